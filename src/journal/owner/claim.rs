//! May we take the state directory? What lock and file say, decided without touching anything.
use std::time::Duration;

use jiff::Timestamp;

use super::Holder;
use super::file::{Content, Lock, Record};

/// Between looking at the file of a holder that is proven dead and replacing it: slower than this, and another may have come in
/// between, so we wait as if nothing had been proven.
pub(super) const PROMPT: Duration = Duration::from_secs(1);

/// What to do about the file as it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Its holder is proven dead.
    Take,
    /// It lives on this host.
    Held(Box<Holder>),
    /// It is of another host, and nobody said that it is gone.
    Foreign(Box<Holder>, Timestamp),
    /// It may live; see whether it renews.
    Watch,
}

/// How long a silent holder is watched before it is replaced: its whole lease, and a third for clocks and caches.
pub(super) fn watch(lease: Duration) -> Duration {
    lease + lease / 3
}

/// How long the new holder waits after the replacement: the permits of the old one end after half its lease.
pub(super) fn settle(lease: Duration) -> Duration {
    lease / 3 * 2
}

pub(super) fn decide(
    lock: Lock,
    content: &Content,
    me: &Record,
    take_over: bool,
    lives: impl Fn(&Record) -> bool,
) -> Claim {
    let (Content::Record(old, _), me) = (content, &me.holder) else { return Claim::Watch };
    let holder = || Box::new(old.holder.clone());
    if old.holder.host != me.host {
        return if take_over { Claim::Watch } else { Claim::Foreign(holder(), old.renewed) };
    }
    // The same name under another kernel: this machine before its last boot, or another machine that calls itself so.
    if old.holder.boot != me.boot || me.boot.is_empty() {
        return Claim::Watch;
    }
    match lock {
        Lock::Ours => Claim::Take,
        Lock::Theirs => Claim::Held(holder()),
        Lock::Unsupported if lives(old) => Claim::Held(holder()),
        Lock::Unsupported => Claim::Watch, // it may live in another container
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(host: &str, boot: &str) -> Record {
        let holder = Holder {
            host: host.into(),
            pid: 7,
            boot: boot.into(),
            role: "nsc".into(),
            since: crate::clock::now(),
        };
        Record::new(holder, Duration::from_secs(30))
    }

    #[test]
    fn every_case() {
        let (me, nobody_knows) = (record("here", "b"), |_: &Record| false);
        let content = |host, boot| Content::Record(Box::new(record(host, boot)), Vec::new());
        let decide = |lock, content: &Content, take_over| decide(lock, content, &me, take_over, nobody_knows);
        let foreign = |claim| matches!(claim, Claim::Foreign(holder, _) if holder.host == "there");
        for lock in [Lock::Ours, Lock::Unsupported] {
            assert!(foreign(decide(lock, &content("there", "b2"), false)), "needs a person");
            assert_eq!(decide(lock, &content("there", "b2"), true), Claim::Watch, "the person may be wrong");
            assert_eq!(
                decide(lock, &content("here", "b2"), false),
                Claim::Watch,
                "rebooted, or of that name"
            );
            assert_eq!(decide(lock, &Content::Unreadable(b"{".to_vec()), false), Claim::Watch);
        }
        assert_eq!(
            decide(Lock::Ours, &content("here", "b"), false),
            Claim::Take,
            "killed; the lock proves it"
        );
        assert_eq!(decide(Lock::Unsupported, &content("here", "b"), false), Claim::Watch);
        let lives = super::decide(Lock::Unsupported, &content("here", "b"), &me, true, |_| true);
        assert!(matches!(lives, Claim::Held(_)), "never overruled, not even by --take-over");
        let nowhere = record("here", "");
        let same = Content::Record(Box::new(nowhere.clone()), Vec::new());
        assert_eq!(super::decide(Lock::Ours, &same, &nowhere, false, |_| false), Claim::Watch, "no boot id");
    }

    #[test]
    fn the_new_one_begins_after_the_last_permit_of_the_old_one() {
        for secs in [2, 3, 30, 600] {
            let lease = Duration::from_secs(secs);
            assert!(watch(lease) > lease);
            assert!(settle(lease) >= lease / 2 + lease / 7, "half a lease, and some for unequal clocks");
            assert!(settle(lease) > PROMPT);
        }
    }
}
