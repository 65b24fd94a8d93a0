//! Whether a daemon runs, and what it does, told from files alone, because it may run on another host: the lock where it
//! reaches, the owner file (emptied by an orderly end), `status.json` (changes every second while it lives) and the journal
//! (its last word). Two hosts' clocks are never compared: that `status.json` changes is seen by our own clock.
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, test_kill_process};

use super::exit::Exit;
use crate::chain;
use crate::clock;
use crate::journal::{self, Event, Holder, Owner};
use crate::snapshot::Snapshot;

/// A `status.json` that changed within this time belongs to a living daemon.
const FRESH: Duration = Duration::from_secs(10);

/// A start or an end.
pub(super) enum Word {
    Started,
    Stopped { exit: i32, why: String },
}

/// The last start or end in the journal, with its number.
pub(super) fn last_word(dir: &Path) -> Result<Option<(u64, Word)>, Exit> {
    let mut word = None;
    let read = journal::read(dir, |line| match line.event {
        Event::Started { .. } => word = Some((line.seq, Word::Started)),
        Event::Stopped { exit, why } => word = Some((line.seq, Word::Stopped { exit, why })),
        _ => {}
    });
    let _report = read.map_err(|e| Exit::no(chain(&e)))?;
    Ok(word)
}

/// Whether a daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Runs,
    Gone,
    /// It gives no sign, and from here nobody can tell.
    Unknown,
}

/// Looks again and again.
pub(super) struct Lookout<'a> {
    dir: &'a Path,
    /// The time in `status.json`, and since when (by our clock) it has been that.
    news: Option<(Timestamp, Instant)>,
}

impl<'a> Lookout<'a> {
    pub(super) fn new(dir: &'a Path) -> Self {
        Self { dir, news: None }
    }

    pub(super) fn out(&mut self) -> Result<Signs, Exit> {
        let lock = Owner::look(self.dir);
        let locked = lock.is_some();
        let holder = lock.or_else(|| written(self.dir));
        let seen = Snapshot::read(self.dir);
        let quiet = seen.as_ref().map(|s| self.quiet(s.at));
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let here =
            holder.as_ref().filter(|h| !h.boot.is_empty() && h.boot == boot.trim()).map(|h| alive(h.pid));
        let silent = !locked && holder.is_some() && quiet.is_none_or(|quiet| quiet >= FRESH);
        // The journal is read only when nothing else tells: it may be long.
        let said_goodbye = silent && matches!(last_word(self.dir)?, Some((_, Word::Stopped { .. })));
        Ok(Signs { locked, holder, here, said_goodbye, seen, quiet })
    }

    /// For how long that time has stood there. At the first look only the other clock can tell; if it is wrong, the truth
    /// comes out within [`FRESH`].
    fn quiet(&mut self, at: Timestamp) -> Duration {
        let now = Instant::now();
        let since = match self.news {
            Some((known, since)) if known == at => since,
            Some(_) => now,
            None => now.checked_sub(clock::age(at, clock::now())).unwrap_or(now),
        };
        self.news = Some((at, since));
        now - since
    }
}

/// What can be seen of a daemon from outside.
#[derive(Debug)]
pub(super) struct Signs {
    /// The lock is held, where locks reach.
    locked: bool,
    /// Who the owner file names; an orderly end empties it.
    holder: Option<Holder>,
    /// The named process is one of this machine: whether it lives.
    here: Option<bool>,
    /// Its journal ends with an end.
    said_goodbye: bool,
    /// What it reported last.
    seen: Option<Snapshot>,
    /// For how long it has not reported anything new.
    quiet: Option<Duration>,
}

impl Signs {
    pub(super) fn life(&self) -> Life {
        let fresh = self.quiet.is_some_and(|quiet| quiet < FRESH);
        match (&self.holder, self.here) {
            _ if self.locked => Life::Runs,
            (None, _) => Life::Gone,
            _ if self.said_goodbye => Life::Gone,
            // Not the lock and not the pid: neither reaches every host and every container.
            _ if fresh => Life::Runs,
            (Some(_), Some(false)) => Life::Gone,
            (Some(_), _) => Life::Unknown,
        }
    }

    /// Who is late, and how long that may take.
    pub(super) fn progress(&self) -> (String, String) {
        let who = self
            .holder
            .as_ref()
            .map_or("the daemon".to_owned(), |h| format!("process {} on {}", h.pid, h.host));
        match (&self.seen, self.quiet) {
            (Some(_), Some(quiet)) if quiet >= FRESH => (
                format!("{who} gives no sign of life: it hangs, is suspended or is dead"),
                format!(" (last seen {} s ago)", quiet.as_secs()),
            ),
            (Some(seen), _) => match &seen.stopping {
                Some(stopping) => {
                    let text = stopping.to_string();
                    let (late, left) = text.split_once("; at most").unwrap_or((&text, ""));
                    (
                        late.to_owned(),
                        if left.is_empty() { String::new() } else { format!("; at most{left}") },
                    )
                }
                None => (format!("{who} has not seen the file yet"), String::new()),
            },
            (None, _) => (format!("{who} has not reported anything yet"), String::new()),
        }
    }
}

/// Whom the owner file names, whether the lock tells so or not.
fn written(dir: &Path) -> Option<Holder> {
    serde_json::from_slice(&std::fs::read(dir.join("owner.lock")).ok()?).ok()
}

fn alive(pid: u32) -> bool {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // "Not permitted" is said of a living process of somebody else.
    let there = known.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
    // A dead one that its parent has not noticed yet is still there, with state Z.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    there && !matches!(state, Some('Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Late, Stopping};

    fn holder() -> Holder {
        Holder { host: "gdx-login".into(), pid: 7, boot: "b".into(), role: "nsc".into(), since: clock::now() }
    }

    fn signs(locked: bool, named: bool, here: Option<bool>, goodbye: bool, age: Option<u64>) -> Signs {
        let seen = age.map(|_| Snapshot::empty(clock::now()));
        let quiet = age.map(Duration::from_secs);
        Signs { locked, holder: named.then(holder), here, said_goodbye: goodbye, seen, quiet }
    }

    #[test]
    fn gone_is_only_what_is_known_to_be_gone() {
        for here in [None, Some(true), Some(false)] {
            for age in [None, Some(1), Some(1000)] {
                assert_eq!(signs(true, true, here, false, age).life(), Life::Runs, "the lock is held");
                assert_eq!(
                    signs(false, false, here, false, age).life(),
                    Life::Gone,
                    "the owner file is empty"
                );
                assert_eq!(signs(false, true, here, true, age).life(), Life::Gone, "it said goodbye");
            }
            assert_eq!(signs(false, true, here, false, Some(1)).life(), Life::Runs, "it has just reported");
        }
        for age in [None, Some(1000)] {
            assert_eq!(
                signs(false, true, Some(false), false, age).life(),
                Life::Gone,
                "killed, on this machine"
            );
            assert_eq!(signs(false, true, None, false, age).life(), Life::Unknown, "on another host");
            assert_eq!(
                signs(false, true, Some(true), false, age).life(),
                Life::Unknown,
                "frozen, no locks here"
            );
        }
    }

    #[test]
    fn a_clock_that_goes_wrong_elsewhere_does_not_deceive_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let mut look = Lookout::new(dir.path());
        let ahead = clock::now() + Duration::from_secs(3600);
        assert!(look.quiet(ahead) < FRESH, "it may live");
        std::thread::sleep(Duration::from_millis(30));
        assert!(look.quiet(ahead) >= Duration::from_millis(30), "but it does not change");
        let behind = clock::now() - Duration::from_secs(3600);
        assert!(look.quiet(behind) < FRESH, "it changed, so somebody wrote it");
        assert!(Lookout::new(dir.path()).quiet(behind) >= Duration::from_secs(3599));
    }

    #[test]
    fn the_seconds_left_alone_are_no_news() {
        let mut signs = signs(true, true, None, false, Some(1));
        assert_eq!(signs.progress().0, "process 7 on gdx-login has not seen the file yet");
        let mut said = Vec::new();
        for left_secs in [19, 14] {
            let late = vec![Late { actor: "uploader".into(), in_hand: vec!["samples/a/r1".into()] }];
            let stopping = Stopping { since: clock::now(), why: "x".into(), late, left_secs };
            signs.seen.as_mut().unwrap().stopping = Some(stopping);
            said.push(signs.progress());
        }
        assert_eq!(said[0].0, "waiting for uploader with samples/a/r1");
        assert_eq!(said[0].0, said[1].0);
        assert_eq!(said[1].1, "; at most 14 s left");
        signs.quiet = Some(Duration::from_secs(60));
        assert!(signs.progress().0.contains("gives no sign of life"), "{:?}", signs.progress());
    }

    #[test]
    fn processes_are_told_from_none() {
        assert!(alive(std::process::id()));
        assert!(!alive(u32::MAX) && !alive(0));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while alive(child.id()) {
            std::thread::sleep(Duration::from_millis(1)); // it ends, and nobody has waited for it yet
        }
        assert!(child.wait().unwrap().success());
    }
}
