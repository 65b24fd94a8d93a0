//! Which package somebody means: an id, a name, a sample's number, or the beginning of one of these, as far as only one can be meant.
use super::Refusal;
use crate::journal::{Fold, Row};
use crate::package::{PackageId, State, without_uuid};

/// So many are named when it is not clear which one is meant.
const NAMED: usize = 5;

/// How exactly the text names the package; less is better. None: not at all.
fn rank(text: &str, id: &PackageId) -> Option<u8> {
    let (whole, name) = (id.to_string(), id.name.as_str());
    let stem = without_uuid(name);
    let without_revision = whole.rsplit_once('/').map_or(whole.as_str(), |(before, _)| before);
    if text == whole {
        Some(0)
    } else if text == without_revision || text == name {
        Some(1)
    } else if text == stem || stem.strip_suffix(text).is_some_and(|before| before.ends_with('-')) {
        Some(2)
    } else if whole.starts_with(text) || name.starts_with(text) {
        Some(3)
    } else {
        None
    }
}

/// The one package that is meant. Of several revisions of one name it is the newest; of several packages, the one that `fits`, if only
/// one does.
pub(super) fn find<'a>(fold: &'a Fold, text: &str, fits: impl Fn(&Row) -> bool) -> Result<&'a Row, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::new("no package was named"));
    }
    if let Some(row) = text.parse::<PackageId>().ok().and_then(|id| fold.package(&id)) {
        return Ok(row);
    }
    let ranked: Vec<(u8, &Row)> =
        fold.packages().filter_map(|row| Some((rank(text, &row.id)?, row))).collect();
    let Some(best) = ranked.iter().map(|(rank, _)| *rank).min() else {
        return Err(Refusal::with(
            format!("{text}: the journal knows no package of that name"),
            "`tsd-import status` shows what there is; a sample that is still queued has no package yet",
        ));
    };
    let mut meant: Vec<&Row> =
        ranked.into_iter().filter(|(rank, _)| *rank == best).map(|(_, row)| row).collect();
    // The newest revision stands for its name.
    let newer = |row: &Row| {
        fold.revisions(&row.id.kind, &row.id.name).any(|other| other.id.revision > row.id.revision)
    };
    meant.retain(|row| best == 0 || !newer(row));
    if meant.len() > 1 && meant.iter().filter(|row| fits(row)).count() == 1 {
        meant.retain(|row| fits(row));
    }
    match meant.as_slice() {
        [one] => Ok(one),
        several => {
            let named: Vec<String> =
                several.iter().take(NAMED).map(|row| format!("{} ({})", row.id, row.state)).collect();
            let more = several.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Err(Refusal::with(
                format!("{text} may be {}{more}", named.join(", ")),
                "give more of its name; nothing was done",
            ))
        }
    }
}

/// Whether a person can do something about it by releasing it.
pub(super) fn is_stopped(row: &Row) -> bool {
    matches!(row.state, State::Held | State::Quarantined)
}
