//! What the levers of the journal mean for those who honour them.
use jiff::Timestamp;

use crate::journal::Fold;
use crate::store::Over;

/// The limit that a person set instead of the configured one, if it still counts.
pub fn over(fold: &Fold, now: Timestamp) -> Option<Over> {
    fold.levers().pace(now).map(|pace| Over { rate: pace.limit, until: pace.until })
}

/// The levers that are not at rest, in words for `status`.
pub fn lines(fold: &Fold, now: Timestamp) -> Vec<String> {
    let at = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let levers = fold.levers();
    let mut lines: Vec<String> = levers
        .all_paused()
        .map(|(what, word)| {
            format!(
                "! paused: {what} by {} since {}: {} (undo: resume {what})",
                word.by,
                at(word.at),
                word.why
            )
        })
        .collect();
    if let Some(pace) = levers.pace(now) {
        let limit =
            pace.limit.map_or("no limit".to_owned(), |limit| format!("{}/s", bytesize::ByteSize(limit)));
        let until = pace.until.map_or(String::new(), |until| format!(" until {}", at(until)));
        let word = &pace.word;
        lines.push(format!(
            "! bandwidth: {limit}{until} by {} since {}: {} (undo: bandwidth as-configured)",
            word.by,
            at(word.at),
            word.why
        ));
    }
    for (revised, again) in levers.again() {
        let word = &again.word;
        lines.push(format!(
            "  to be sent once more as {revised}, by {} since {}: {}",
            word.by,
            at(word.at),
            word.why
        ));
    }
    lines
}
