//! `drain`: has the daemon finish what is in hand and end, through the stop file, and waits until it is gone.
//!
//! Whether it is gone must be told from files alone, because it may run on another host: the lock where it reaches, the
//! owner file (emptied by an orderly end), `status.json` (changes every second while it lives) and the journal (its last
//! word). Two hosts' clocks are never compared: that `status.json` changes is seen by our own clock.
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use rustix::process::{Pid, test_kill_process};

use super::ConfArgs;
use super::exit::{Exit, say};
use crate::chain;
use crate::clock;
use crate::conf::length_of_time;
use crate::journal::{self, Event, Holder, Owner};
use crate::snapshot::Snapshot;
use crate::stop::Stop;

/// Options of `drain`.
#[derive(Args, Debug, Clone)]
pub struct DrainArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// Why; shown to whoever finds the daemon stopped
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Leave the stop file, so that no daemon starts until somebody removes it
    #[arg(long)]
    keep: bool,
    /// Wait this long at most
    #[arg(long, default_value = "10min", value_parser = length_of_time, value_name = "TIME")]
    within: Duration,
}

const LOOK: Duration = Duration::from_millis(300);
/// What has not changed is said again after this long.
const REPEAT: Duration = Duration::from_secs(5);
/// A `status.json` that changed within this time belongs to a living daemon.
const FRESH: Duration = Duration::from_secs(10);

/// Asks, waits, tells what it waits for, and how it ended.
pub fn drain(args: &DrainArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let dir = conf.state_dir.as_path();
    let (file, mut look) = (Stop::path(dir), Lookout::new(dir));
    let before = last_word(dir)?.map_or(0, |(seq, _)| seq);
    let stop = Stop::by_us(args.reason.trim());
    if look.out()?.life() == Life::Gone {
        if args.keep {
            let stop = put_down(&stop, dir)?.unwrap_or(stop);
            return say(format_args!(
                "no daemon runs; {} of {stop} keeps one from starting until it is removed",
                file.display()
            ));
        }
        return say(format_args!("no daemon runs on {}: nothing to drain", dir.display()));
    }
    let earlier = put_down(&stop, dir)?;
    match &earlier {
        Some(earlier) => say(format_args!("asked already: {} of {earlier}", file.display()))?,
        None => say(format_args!("asked it to finish what is in hand and end: {}", file.display()))?,
    }
    wait(&mut look, args.within, &file)?;
    match &earlier {
        None if !args.keep => {
            let removed = stop.remove(dir).map_err(|e| Exit::no(chain(&e)))?;
            if !removed {
                say(format_args!("{} was changed meanwhile and stays", file.display()))?;
            }
        }
        _ => say(format_args!("{} stays: no daemon starts until it is removed", file.display()))?,
    }
    outcome(dir, before)
}

/// Puts the file down, or returns the one that lies there already.
fn put_down(stop: &Stop, dir: &Path) -> Result<Option<Stop>, Exit> {
    match stop.write(dir) {
        Ok(()) => Ok(None),
        Err(e) if e.source.kind() == std::io::ErrorKind::AlreadyExists => {
            let earlier = Stop::look(dir).map_err(|e| Exit::no(chain(&e)))?;
            Ok(Some(earlier.unwrap_or_else(|| stop.clone())))
        }
        Err(e) => Err(Exit::no(format!("could not ask the daemon to stop: {}", chain(&e)))),
    }
}

/// Until it is gone. `Err` when it does not go in time.
fn wait(look: &mut Lookout<'_>, within: Duration, file: &Path) -> Result<(), Exit> {
    let (begun, mut said, mut said_at) = (Instant::now(), String::new(), None::<Instant>);
    loop {
        let signs = look.out()?;
        if signs.life() == Life::Gone {
            return Ok(());
        }
        let (who, left) = signs.progress();
        if begun.elapsed() >= within {
            return Err(Exit::no(format!(
                "it has not ended within {within:?}: {who}{left}\n{} stays, so it ends as soon as it can and none starts; remove the file if you do not want that any more",
                file.display()
            )));
        }
        if who != said || said_at.is_none_or(|at| at.elapsed() >= REPEAT) {
            say(format_args!("{who}{left}"))?;
            (said, said_at) = (who, Some(Instant::now()));
        }
        std::thread::sleep(LOOK);
    }
}

/// What its last words were. `before`: the journal's last start or end when we began.
fn outcome(dir: &Path, before: u64) -> Result<(), Exit> {
    match last_word(dir)? {
        Some((seq, Word::Stopped { exit: 0, .. })) if seq > before => say(format_args!("it ended in order")),
        Some((seq, Word::Stopped { exit, why })) if seq > before => Err(Exit::temporary(format!(
            "it ended with exit code {exit}: {why}; what was cut off is resumed at the next start"
        ))),
        Some((_, Word::Stopped { .. })) => say(format_args!("it had ended already")),
        _ => Err(Exit::temporary(
            "it is gone, but without a word in its journal (killed?); what was cut off is resumed at the next start",
        )),
    }
}

enum Word {
    Started,
    Stopped { exit: i32, why: String },
}

/// The last start or end in the journal, with its number.
fn last_word(dir: &Path) -> Result<Option<(u64, Word)>, Exit> {
    let mut word = None;
    let read = journal::read(dir, |line| match line.event {
        Event::Started { .. } => word = Some((line.seq, Word::Started)),
        Event::Stopped { exit, why } => word = Some((line.seq, Word::Stopped { exit, why })),
        _ => {}
    });
    let _report = read.map_err(|e| Exit::no(chain(&e)))?;
    Ok(word)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Runs,
    Gone,
    /// It gives no sign, and from here nobody can tell.
    Unknown,
}

/// Looks again and again.
struct Lookout<'a> {
    dir: &'a Path,
    /// The time in `status.json`, and since when (by our clock) it has been that.
    news: Option<(Timestamp, Instant)>,
}

impl<'a> Lookout<'a> {
    fn new(dir: &'a Path) -> Self {
        Self { dir, news: None }
    }

    fn out(&mut self) -> Result<Signs, Exit> {
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
struct Signs {
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
    fn life(&self) -> Life {
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
    fn progress(&self) -> (String, String) {
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
