//! What is out of order at present, from snapshot and journal; pure.
//!
//! A trouble has a key, by which it is the same one at the next look and after a restart. *Ripe* means that it is worth telling; one
//! that is open already goes on also while it is not ripe, so that an outage that begins anew after a restart is no news.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::age;
use crate::journal::Fold;
use crate::package::State;
use crate::snapshot::Snapshot;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Good to know.
    Notice,
    /// A person has to see to it.
    Alarm,
}

/// Something that is out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How much it matters.
    pub level: Level,
    /// In words; the same words for troubles that are told together.
    pub what: String,
    /// The package or sample that it is about.
    pub about: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Whether it is worth telling by itself.
    pub ripe: bool,
}

/// Something that happened once and has no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// How much it matters.
    pub level: Level,
    /// In words.
    pub what: String,
    /// How often since it was last told.
    pub times: u32,
}

/// The present, as far as somebody may have to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// When the process began.
    pub started: Option<Timestamp>,
    /// By key.
    pub troubles: BTreeMap<String, Trouble>,
    /// If the life before this one did not end in order: its last words.
    pub crashed: Option<Option<String>>,
    /// Restarts of each actor since the process began.
    pub restarts: BTreeMap<String, u64>,
}

/// A pulse this old comes from a supervisor that does not answer.
const PULSE: Duration = Duration::from_secs(30);
/// A queued sample that is in doubt for so long is not being corrected at this moment.
const DOUBTED: Duration = Duration::from_secs(3600);
/// So much of an error's words.
const WORDS: usize = 600;

/// Whether words of an outage speak of a disk that is full: that never mends itself.
fn is_full(why: &str) -> bool {
    ["os error 28", "No space left", "os error 122", "quota exceeded", "make room"]
        .iter()
        .any(|mark| why.contains(mark))
}

/// What is out of order at `now`. `degraded`: an actor that cannot work for this long is a trouble.
pub fn present(seen: &Snapshot, fold: &Fold, degraded: Duration, now: Timestamp) -> Present {
    let mut troubles = BTreeMap::new();
    let mut put = |key: String, level, what: &str, about: Option<String>, since, ripe| {
        let what = shortened(what, WORDS);
        drop(troubles.insert(key, Trouble { level, what, about, since, ripe }));
    };
    if age(seen.at, now) > PULSE {
        let what = "the supervisor does not answer: the process hangs; see the log, then restart it";
        put("supervisor".into(), Level::Alarm, what, None, seen.at, true);
    }
    for silence in fold.silences() {
        let what = format!("silent: {}: {}", silence.what, silence.why);
        put(format!("silent:{}", silence.what), Level::Alarm, &what, None, silence.last, true);
    }
    for actor in &seen.actors {
        let name = &actor.actor;
        if actor.state == "given up" {
            let what = format!(
                "actor {name} was given up: `tsd-import review --actor {name}` tells why; when that is mended, stop the daemon and \
                 start it again"
            );
            let since = before(seen.at, actor.since_secs);
            put(format!("given-up:{name}"), Level::Alarm, &what, None, since, true);
        }
        let Some(why) = &actor.report.degraded else { continue };
        let secs = actor.report.degraded_secs.unwrap_or(0);
        let since = before(seen.at, secs);
        if is_full(why) {
            let what = format!("a disk is full; {name} waits for room: {why}");
            put(format!("full:{name}"), Level::Alarm, &what, None, since, true);
        } else {
            let what = format!("{name} cannot work: {why}");
            let ripe = Duration::from_secs(secs) >= degraded;
            put(format!("degraded:{name}"), Level::Alarm, &what, None, since, ripe);
        }
    }
    if let Some(trouble) = seen.share.as_ref().and_then(|share| share.trouble.as_ref()) {
        put("share".into(), Level::Alarm, trouble, None, seen.at, true);
    }
    for row in fold.in_state(State::Quarantined) {
        let what = row.facts.reason.map_or("stopped".to_owned(), |reason| {
            format!("stopped ({}): {}", reason.code(), reason.remedy())
        });
        put(format!("stopped:{}", row.id), Level::Alarm, &what, Some(row.id.to_string()), row.since, true);
    }
    for row in fold.orders().filter(|order| order.wants_a_person(now)) {
        let (id, what) =
            (row.order.id.to_string(), "an order needs a person: `tsd-import status` says what to do");
        put(format!("order:{id}"), Level::Alarm, what, Some(id), row.since, true);
    }
    for (artifact, doubt) in fold.doubts() {
        let what =
            format!("cannot be exported as it is ({}): {}", doubt.reason.code(), doubt.reason.remedy());
        let ripe = age(doubt.since, now) >= DOUBTED || doubt.refused.is_some();
        put(format!("doubted:{artifact}"), Level::Notice, &what, Some(doubt.who.clone()), doubt.since, ripe);
    }
    let restarts = seen.actors.iter().map(|actor| (actor.actor.clone(), actor.restarts)).collect();
    let crashed = fold.lives().broken().map(|broken| broken.last_words.clone());
    Present { started: Some(seen.started), troubles, crashed, restarts }
}

/// The beginning of a text in one line, cut between two words: half a name would not be known for one.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= most {
        return text.chars().map(one_line).collect();
    }
    let cut: String = text.chars().take(most).map(one_line).collect();
    let whole = cut.rsplit_once(' ').map_or("", |(whole, _)| whole);
    format!("{whole} …")
}

fn before(at: Timestamp, secs: u64) -> Timestamp {
    at.checked_sub(Duration::from_secs(secs)).unwrap_or(at)
}

#[cfg(test)]
#[path = "trouble_tests.rs"]
pub(super) mod tests;
