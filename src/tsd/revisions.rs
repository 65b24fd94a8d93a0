//! A package whose name has come before: what becomes of it. Pure.
//!
//! A name that was handed over is never handed over again by the program alone with other bytes: its consumers would report on a
//! patient twice. The same bytes once more are nobody's work. Of two revisions on their way the earlier one goes first.
use super::landing::Landing;
use crate::conf::Revisions;
use crate::journal::{Fold, Row};
use crate::package::{PackageId, Reason, Sha256Hex, State};

/// Another revision of the package, as the journal knows it.
#[derive(Clone, Debug)]
pub(super) struct Other {
    pub id: PackageId,
    pub state: State,
    /// It was stopped, here or elsewhere.
    pub stopped: bool,
    /// Its consumer may have it, although nobody recorded that it was handed over.
    pub maybe: bool,
    pub manifest: Option<Sha256Hex>,
}

impl From<&Row> for Other {
    fn from(row: &Row) -> Self {
        let reason = row.facts.reason;
        let unknown = [Some(Reason::LandedBefore), Some(Reason::HandoverUnknown)].contains(&reason);
        Self {
            id: row.id.clone(),
            state: row.state,
            stopped: reason.is_some(),
            maybe: row.placed || unknown,
            manifest: row.facts.manifest_sha256.clone(),
        }
    }
}

impl Other {
    fn was_handed_over(&self) -> bool {
        self.state == State::Ready || self.state == State::SettledElsewhere && !self.stopped
    }
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is taken in.
    Welcome,
    /// It is taken in, in place of one that was handed over.
    Follows(PackageId),
    /// Another one is on its way and goes first.
    Waits(PackageId),
    /// The same bytes were handed over already.
    Same(PackageId),
    /// A person decides: in words.
    Asks(String),
}

/// The same of what a journal knows.
pub(super) fn in_journal(
    view: &Fold,
    landing: &Landing,
    id: &PackageId,
    manifest: Option<&Sha256Hex>,
) -> Standing {
    let Some(place) = landing.of(&id.kind) else { return Standing::Welcome };
    let others: Vec<Other> = view.revisions(&id.kind, &id.name).map(Other::from).collect();
    standing(id, manifest, &others, place.revisions)
}

/// Judges `id`, whose manifest has this digest, among the others of its name.
fn standing(id: &PackageId, manifest: Option<&Sha256Hex>, others: &[Other], policy: Revisions) -> Standing {
    let others = || others.iter().filter(|other| other.id != *id);
    let ready = || others().filter(|other| other.was_handed_over());
    // The newest counts: who goes back to what an earlier one held wants something else than what lies there.
    let newest = || ready().max_by_key(|other| other.id.revision);
    if let Some(same) = newest().filter(|other| manifest.is_some() && other.manifest.as_ref() == manifest) {
        return Standing::Same(same.id.clone());
    }
    if let Some(first) = others().find(|other| !other.state.is_settled() || other.state == State::Elsewhere) {
        return Standing::Waits(first.id.clone());
    }
    if let Some(maybe) = others().find(|other| other.maybe && !other.was_handed_over()) {
        return Standing::Asks(format!("{} was stopped, and its consumer may have it", maybe.id));
    }
    match (newest(), policy) {
        (None, _) => Standing::Welcome,
        (Some(newer), _) if newer.id.revision > id.revision => {
            Standing::Asks(format!("{}, which is newer, was handed over before it came", newer.id))
        }
        (Some(older), Revisions::Land) => Standing::Follows(older.id.clone()),
        (Some(older), Revisions::Ask) => {
            Standing::Asks(format!("{} was handed over with other content (landing.revisions)", older.id))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(revision: u32) -> PackageId {
        format!("samples/a/r{revision}").parse().unwrap()
    }

    fn other(revision: u32, state: State, of: &str) -> Other {
        Other {
            id: id(revision),
            state,
            stopped: false,
            maybe: false,
            manifest: Some(Sha256Hex::of(of.as_bytes())),
        }
    }

    #[test]
    fn what_becomes_of_a_name_that_came_before() {
        let new = Sha256Hex::of(b"new");
        let of = |revision, others: &[Other], policy| standing(&id(revision), Some(&new), others, policy);
        for policy in [Revisions::Ask, Revisions::Land] {
            assert_eq!(of(1, &[], policy), Standing::Welcome);
            for stopped in [State::Quarantined, State::Held] {
                assert_eq!(
                    of(2, &[other(1, stopped, "old")], policy),
                    Standing::Welcome,
                    "nothing was handed over"
                );
            }
            for under_way in [State::Seen, State::Copying, State::Copied, State::Verified, State::Elsewhere] {
                assert_eq!(of(2, &[other(1, under_way, "old")], policy), Standing::Waits(id(1)));
                assert_eq!(of(1, &[other(2, under_way, "old")], policy), Standing::Waits(id(2)));
            }
            for handed_over in [State::Ready, State::SettledElsewhere] {
                assert_eq!(of(2, &[other(1, handed_over, "new")], policy), Standing::Same(id(1)));
            }
            let stopped_there = Other { stopped: true, ..other(1, State::SettledElsewhere, "old") };
            assert_eq!(of(2, &[stopped_there], policy), Standing::Welcome);
            assert_eq!(of(1, &[other(2, State::Ready, "new")], policy), Standing::Same(id(2)));
            let late = of(1, &[other(2, State::Ready, "old")], policy);
            assert!(matches!(&late, Standing::Asks(why) if why.contains("newer")), "{late:?}");
        }
        let ready = [other(1, State::Ready, "old"), other(2, State::Ready, "older")];
        assert_eq!(of(3, &ready, Revisions::Land), Standing::Follows(id(2)));
        // Back to what the first one held.
        let back = [other(1, State::Ready, "new"), other(2, State::Ready, "old")];
        assert_eq!(of(3, &back, Revisions::Land), Standing::Follows(id(2)));
        let maybe = Other { maybe: true, ..other(1, State::Quarantined, "new") };
        assert!(
            matches!(of(2, &[maybe], Revisions::Land), Standing::Asks(why) if why.contains("may have it"))
        );
        assert!(matches!(of(3, &ready, Revisions::Ask), Standing::Asks(_)));
    }

    #[test]
    fn without_a_digest_nothing_is_the_same() {
        let unknown = Other { manifest: None, ..other(1, State::Ready, "x") };
        assert!(matches!(standing(&id(2), None, &[unknown], Revisions::Ask), Standing::Asks(_)));
    }
}
