//! Whether another host is there: by its session changing while we watch, on our own clock. Pure; the clock is handed in.
//!
//! Why no two hosts work on a package at the same time, with clocks that are never compared:
//! - a holder has a permit only if the renewal of its session that succeeded last *began* less than **half** a lease ago;
//! - whoever wants its packages must have seen its session unchanged for a lease and a third, and then replaces it under the condition
//!   that it still is: so the renewal that succeeded last began before the watching did, and its permits ended long before;
//! - a renewal that is still on its way finds another session there and is refused, for good;
//! - then each claim is taken over under the condition that it is the one that was read, so of two heirs one gets it.
use std::time::Duration;

use super::record::{Claim, Session};
use crate::lease::{LONGEST, SHORTEST};
use crate::store::Tag;

/// How long a session must stand still: its whole lease, and a third for clocks that run unequally.
pub(super) fn watch(lease: Duration) -> Duration {
    lease + lease / 3
}

/// Whether a permit may be given, this long after the last renewal that succeeded began.
pub(super) fn permitted(lease: Duration, age: Duration) -> bool {
    age < lease / 2
}

/// What stands under the key of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// Something that is no session.
    Odd,
    /// A session.
    Session(Session),
}

impl Found {
    /// How long it may be silent.
    fn lease(&self, ours: Duration) -> Duration {
        match self {
            Self::Session(session) => {
                Duration::from_millis(session.lease_ms).clamp(SHORTEST, LONGEST).max(ours)
            }
            Self::Absent | Self::Odd => ours,
        }
    }
}

/// Another host's session, as it is seen from here.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    tag: Option<Tag>,
    pub found: Found,
    /// Since when it is the same.
    since: Duration,
}

/// What is thought of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Thought {
    /// It may be there.
    Alive,
    /// It has not moved for too long. With this tag: none, there is nothing to be replaced.
    Silent(Option<Tag>),
    /// Its session was ended by another host.
    Ended,
}

impl Sight {
    /// At the first look.
    pub(super) fn new(tag: Option<Tag>, found: Found, now: Duration) -> Self {
        Self { tag, found, since: now }
    }

    /// Whether it is still the same.
    pub(super) fn is(&self, tag: &Option<Tag>) -> bool {
        self.tag == *tag
    }

    /// At every other look. `now`: after the answer came, for what it shows may be as young as that.
    pub(super) fn look(&mut self, tag: Option<Tag>, found: Found, now: Duration) {
        if self.tag != tag {
            *self = Self::new(tag, found, now);
        }
    }

    /// `looked`: when the last look began, for what it shows may be as old as that.
    pub(super) fn thought(&self, ours: Duration, looked: Duration) -> Thought {
        if let Found::Session(session) = &self.found
            && session.ended_by.is_some()
        {
            return Thought::Ended;
        }
        match looked.saturating_sub(self.since) >= watch(self.found.lease(ours)) {
            true => Thought::Silent(self.tag.clone()),
            false => Thought::Alive,
        }
    }
}

/// What a claim of another life means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is ours: of this journal.
    Ours,
    /// Another host has it.
    Theirs,
    /// Another host has it and has settled it.
    Settled,
}

pub(super) fn stand(claim: &Claim, seat: &str) -> Stand {
    match claim.holder.seat == seat {
        true => Stand::Ours,
        false if claim.state.is_end() => Stand::Settled,
        false => Stand::Theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsd::share::record::Holder;
    use proptest::prelude::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn session(lease: Duration, ended: bool) -> Found {
        Found::Session(Session {
            version: 1,
            holder: Holder { seat: "a".into(), life: "1".into(), host: "h".into() },
            state_dir: String::new(),
            lease_ms: lease.as_millis() as u64,
            beat: 1,
            at: crate::clock::now(),
            ended_by: ended.then(|| "b".into()),
        })
    }

    fn tag(n: u64) -> Option<Tag> {
        Some(Tag::of(&n.to_string()))
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(1_000 + secs)
    }

    #[test]
    fn who_stands_still_for_a_lease_and_a_third_is_silent() {
        let mut sight = Sight::new(tag(1), session(LEASE, false), at(0));
        assert_eq!(sight.thought(LEASE, at(39)), Thought::Alive);
        assert_eq!(sight.thought(LEASE, at(40)), Thought::Silent(tag(1)));
        sight.look(tag(1), session(LEASE, false), at(41));
        assert_eq!(sight.thought(LEASE, at(41)), Thought::Silent(tag(1)), "the same is no sign of life");
        sight.look(tag(2), session(LEASE, false), at(42));
        assert_eq!(sight.thought(LEASE, at(81)), Thought::Alive, "it was looked at anew");
    }

    #[test]
    fn the_longer_lease_counts_and_an_absurd_one_does_not() {
        let long = Sight::new(tag(1), session(LEASE * 2, false), at(0));
        assert_eq!(long.thought(LEASE, at(79)), Thought::Alive);
        let short = Sight::new(tag(1), session(Duration::ZERO, false), at(0));
        assert_eq!(short.thought(LEASE, at(39)), Thought::Alive);
        let absurd = Sight::new(tag(1), session(LONGEST * 1000, false), at(0));
        assert!(matches!(absurd.thought(LEASE, at(LONGEST.as_secs() * 2)), Thought::Silent(_)));
    }

    #[test]
    fn ended_is_ended_and_what_is_away_is_watched_as_well() {
        assert_eq!(Sight::new(tag(1), session(LEASE, true), at(0)).thought(LEASE, at(0)), Thought::Ended);
        for found in [Found::Absent, Found::Odd] {
            let away = Sight::new(None, found, at(0));
            assert_eq!(away.thought(LEASE, at(39)), Thought::Alive);
            assert_eq!(away.thought(LEASE, at(40)), Thought::Silent(None));
        }
    }

    proptest! {
        /// The holder renews at any moments and may be suspended at any; the heir looks at any moments, by a clock that runs up to a
        /// tenth faster. Once the heir has ended the session the holder never has a permit.
        #[test]
        fn no_permit_is_left_when_a_session_is_ended(
            renewals in proptest::collection::vec((0u64..40_000, 0u64..20_000), 1..20),
            looks in proptest::collection::vec(1u64..30_000, 1..60),
            faster in 0u64..100,
        ) {
            // (began, arrived at the store), one after the other.
            let mut now = 0;
            let renewals: Vec<(u64, u64)> = renewals.iter().map(|(pause, way)| {
                let began = now + pause;
                now = began + way;
                (began, now)
            }).collect();
            let mut sight: Option<Sight> = None;
            let mut at_the_store = 0;
            for pause in looks {
                at_the_store += pause;
                let ours = Duration::from_millis(at_the_store + at_the_store * faster / 1000);
                let seen = renewals.iter().filter(|(_, arrived)| *arrived <= at_the_store).count();
                let tag = tag(seen as u64);
                match &mut sight {
                    None => sight = Some(Sight::new(tag, session(LEASE, false), ours)),
                    Some(sight) => sight.look(tag, session(LEASE, false), ours),
                }
                let thought = sight.as_ref().unwrap().thought(LEASE, ours);
                if seen > 0 && matches!(thought, Thought::Silent(_)) {
                    // It is ended now; whatever arrives later is refused.
                    let (began, _) = renewals[seen - 1];
                    prop_assert!(!permitted(LEASE, Duration::from_millis(at_the_store - began)));
                    break;
                }
            }
        }
    }
}
