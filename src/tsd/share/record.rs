//! What stands in the bucket: one session for each host, one claim for each package. Described in `docs/format.md`.
//!
//! Nobody but a host that shares the bucket may write here (the rights see to that); all the same, what cannot be read, or is about
//! something else than its key says, is nobody's, and decides nothing.
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::package::PackageId;

/// Larger ones are not read.
pub(super) const MOST_BYTES: u64 = 16 << 10;
/// So often a package may be taken over in the middle of being put in place; then a person looks.
const MOST_HEIRS: usize = 8;

/// Who holds something: a journal, and the life of the process that writes it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Names the journal.
    pub seat: String,
    /// Names one life of the process. Random.
    pub life: String,
    /// The host, for people.
    pub host: String,
}

/// Whether a host is there. Renewed all the time; who wants to know watches whether it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// Of this format: 1.
    pub version: u32,
    #[serde(flatten)]
    pub holder: Holder,
    /// The state directory, so that the same journal in two places is noticed.
    pub state_dir: String,
    /// How long the holder may be silent.
    pub lease_ms: u64,
    /// Counts up.
    pub beat: u64,
    /// By the holder's clock; for people.
    pub at: Timestamp,
    /// The host that found it silent and took its place: from then on it holds nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
}

/// How far a package is. It never goes back, unless a person has it taken up again where it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Being copied or verified.
    Working,
    /// It may be in place, and its consumer may have it.
    Placing,
    /// It was handed over.
    Landed,
    /// It was stopped, and a person sees to it there.
    Stopped,
}

impl Phase {
    /// Whether nothing more comes.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Landed | Self::Stopped)
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Placing => "placing",
            Self::Landed => "landed",
            Self::Stopped => "stopped",
        }
    }
}

/// Whose a package is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Of this format: 1.
    pub version: u32,
    /// Which package; the same as in the key.
    pub package: PackageId,
    /// Whose.
    #[serde(flatten)]
    pub holder: Holder,
    /// Counts up with every life that takes it: no two bodies of a claim are ever the same.
    pub fence: u64,
    /// How far it is.
    pub state: Phase,
    /// Seats from which it was taken over while it was `placing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherited: Vec<String>,
    /// By the holder's clock; for people.
    pub at: Timestamp,
}

impl Claim {
    /// The first one.
    pub(super) fn new(package: &PackageId, holder: &Holder, now: Timestamp) -> Self {
        Self {
            version: 1,
            package: package.clone(),
            holder: holder.clone(),
            fence: 1,
            state: Phase::Working,
            inherited: Vec::new(),
            at: now,
        }
    }

    /// The same in the hands of another life. None: it was handed on too often to know what became of it.
    pub(super) fn handed_to(&self, holder: &Holder, now: Timestamp) -> Option<Self> {
        let mut next =
            Self { holder: holder.clone(), fence: self.fence.checked_add(1)?, at: now, ..self.clone() };
        if self.state == Phase::Stopped {
            next.state = Phase::Working;
        }
        if self.state == Phase::Placing && self.holder.seat != holder.seat {
            next.inherited.push(self.holder.seat.clone());
        }
        (next.inherited.len() <= MOST_HEIRS).then_some(next)
    }

    /// Whether it was written by the same life for the same step; when does not matter. Nobody else can have written such a one.
    pub(super) fn is_the_same_as(&self, other: &Self) -> bool {
        *self == Self { at: self.at, ..other.clone() }
    }

    /// The same, further on.
    pub(super) fn at(&self, state: Phase, now: Timestamp) -> Self {
        Self { state: self.state.max(state), at: now, ..self.clone() }
    }
}

/// The bytes that are put.
pub(super) fn bytes(document: &impl Serialize) -> bytes::Bytes {
    serde_json::to_vec(document).expect("plain fields always serialise").into()
}

fn read<T: DeserializeOwned>(bytes: &[u8], version: impl Fn(&T) -> u32) -> Result<T, String> {
    let found: T = serde_json::from_slice(bytes).map_err(|e| format!("it cannot be read: {e}"))?;
    match version(&found) {
        1 => Ok(found),
        other => Err(format!("it has version {other}; this program knows version 1")),
    }
}

/// Reads what was found under the session key of `seat`.
pub(super) fn session(bytes: &[u8], seat: &str) -> Result<Session, String> {
    let found = read(bytes, |session: &Session| session.version)?;
    if found.holder.seat == seat { Ok(found) } else { Err(format!("it is about {}", found.holder.seat)) }
}

/// Reads what was found under the claim key of `package`.
pub(super) fn claim(bytes: &[u8], package: &PackageId) -> Result<Claim, String> {
    let found = read(bytes, |claim: &Claim| claim.version)?;
    if found.package == *package { Ok(found) } else { Err(format!("it is about {}", found.package)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(seat: &str, life: &str) -> Holder {
        Holder { seat: seat.into(), life: life.into(), host: format!("host-{seat}") }
    }

    fn id() -> PackageId {
        "samples/Diag-1/r1".parse().unwrap()
    }

    #[test]
    fn there_and_back_and_about_nothing_else() {
        let now = crate::clock::now();
        let first = Claim::new(&id(), &holder("a", "1"), now);
        assert_eq!(claim(&bytes(&first), &id()), Ok(first.clone()));
        assert!(claim(&bytes(&first), &"samples/Diag-2/r1".parse().unwrap()).unwrap_err().contains("Diag-1"));
        let newer = bytes(&Claim { version: 2, ..first });
        assert!(claim(&newer, &id()).unwrap_err().contains("version 2"));
        assert!(claim(b"<html>", &id()).is_err());
        let beat = Session {
            version: 1,
            holder: holder("a", "1"),
            state_dir: "/s".into(),
            lease_ms: 1,
            beat: 7,
            at: now,
            ended_by: None,
        };
        assert_eq!(session(&bytes(&beat), "a"), Ok(beat.clone()));
        assert!(session(&bytes(&beat), "b").is_err());
    }

    #[test]
    fn a_claim_never_goes_back_and_remembers_who_was_about_to_place_it() {
        let now = crate::clock::now();
        let first = Claim::new(&id(), &holder("a", "1"), now);
        let again = first.handed_to(&holder("a", "2"), now).unwrap();
        assert_eq!((again.fence, again.inherited.len()), (2, 0), "the same journal knows what it did");
        let later = Claim { at: now + std::time::Duration::from_secs(9), ..again.clone() };
        assert!(again.is_the_same_as(&later) && !again.is_the_same_as(&first));
        assert!(!again.is_the_same_as(&again.at(Phase::Placing, now)));
        let early = first.handed_to(&holder("b", "1"), now).unwrap();
        assert_eq!(early.inherited.len(), 0, "nothing was put in place");
        let placing = first.at(Phase::Placing, now);
        let late = placing.handed_to(&holder("b", "1"), now).unwrap();
        let later = late.handed_to(&holder("c", "1"), now).unwrap();
        assert_eq!((late.inherited.len(), later.state), (1, Phase::Placing));
        assert_eq!(later.inherited, ["a", "b"]);
        assert_eq!(later.at(Phase::Working, now).state, Phase::Placing);
        let stopped = later.at(Phase::Stopped, now);
        assert_eq!(
            (stopped.state, stopped.handed_to(&holder("c", "2"), now).unwrap().state),
            (Phase::Stopped, Phase::Working)
        );
        let mut passed = placing;
        for n in 0..MOST_HEIRS {
            passed = passed.handed_to(&holder(&format!("s{n}"), "1"), now).unwrap();
        }
        assert_eq!(passed.handed_to(&holder("one more", "1"), now), None);
    }
}
