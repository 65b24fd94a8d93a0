//! The power fails. The real daemon runs under `strace` while packages land; its calls are played to a model of a disk (`disk`), and after every
//! beginning and every end of a call the power is cut, in the worst way and in many random ones. READY that survives must lie beside a whole
//! package; what the journal acknowledged must have been durable before what it announces began, and the other way round.
//!
//! The checker is checked: with the fsyncs of one kind taken out of the log it must find what they are for.
mod disk;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tsd_import::conf::Role;
use tsd_import::demo::daemon::Daemon;
use tsd_import::demo::site::SiteOptions;
use tsd_import::package::State;
use tsd_import::supervisor::Dice;

use self::disk::{Disk, Fate, Worst};
use self::log::{Call, Step, TRACED};
use crate::cargo::{Cargo, Sender};
use crate::kill_minus_nine::Moments;
use crate::world::{PROGRAM, World};

/// Random cuts at each boundary at which READY could be seen.
const CUTS: usize = 6;

fn this_machine_lets_us_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-y", "--seccomp-bpf", "-e", "trace=fsync", "-o", "/dev/null", "true"])
        .status();
    let traced = traced.is_ok_and(|status| status.success());
    if !traced {
        eprintln!("IGNORED: strace is not here or may not trace (ptrace), so no power was cut");
    }
    traced
}

/// A package on its way: where it lies and what is in it.
struct Parcel {
    id: String,
    incoming: String,
    destination: String,
    files: BTreeMap<String, u64>,
}

struct Site {
    world: World,
    parcels: Vec<Parcel>,
    lives: Vec<PathBuf>,
}

impl Site {
    async fn with(packages: usize) -> Self {
        let options = SiteOptions { token_life: Duration::from_secs(900), ..SiteOptions::default() };
        let world = World::with(options).await;
        let mut sender = Sender::of(&world);
        let mut parcels = Vec::new();
        for n in 0..packages {
            let name = format!("p-{n}");
            let cargo = if n % 2 == 0 { Cargo::sample(&name) } else { Cargo::analysis(&name) };
            // One that takes several requests, so that its room is allocated and its ranges come in any order.
            let cargo = cargo.file("large.bin", &vec![n as u8; (5 << 20) + 77_777 * (n % 3)]);
            let cargo =
                cargo.file("qc/a/deep.txt", b"deep").file("qc/empty", b"").file("qc/b.txt", &[b'b'; 70_000]);
            let id = sender.put(&cargo).to_string();
            let mut files: BTreeMap<String, u64> =
                cargo.files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
            let _none = files.insert("SHA256SUMS".into(), cargo.sums().len() as u64);
            let destination = world.site.landing(&cargo.kind);
            let incoming = destination.with_file_name(".incoming").join(id.replace('/', "~"));
            let destination = destination.join(&name).display().to_string();
            parcels.push(Parcel { id, incoming: incoming.display().to_string(), destination, files });
        }
        Self { world, parcels, lives: Vec::new() }
    }

    /// Starts the receiver under strace, which writes a log of its own for each life. The process is the daemon itself.
    fn start(&mut self, failpoints: &str) {
        let log = self.world.path().join(format!("strace-{}", self.lives.len()));
        let script = self.world.path().join("traced");
        let text = format!(
            "#!/bin/sh\nexec strace -D -f -y --seccomp-bpf -s 200000 -o {} -e trace={TRACED} {PROGRAM} \"$@\"\n",
            log.display()
        );
        tsd_import::fs::write_durably(&script, text.as_bytes()).unwrap();
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let env = [("TSD_IMPORT__WATCH__INTERVAL", "200 ms"), ("FAILPOINTS", failpoints)];
        let daemon = Daemon::start(&script, Role::Tsd, &self.world.site.conf(Role::Tsd), &[], &env).unwrap();
        self.world.daemons.push((Role::Tsd, daemon));
        self.lives.push(log);
    }

    /// Of all lives. Where a life was cut off in a call, the file system says whether it happened.
    async fn steps(&self) -> Vec<Vec<Step>> {
        let mut lives = Vec::new();
        let mut base = 0;
        for log in &self.lives {
            let over = |_: &World| {
                let text = std::fs::read(log).unwrap_or_default();
                let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(4000)..]).into_owned();
                tail.lines()
                    .last()
                    .is_some_and(|l| l.contains("+++ exited with") || l.contains("+++ killed by"))
            };
            self.world.until("strace has written its log", over).await;
            tokio::time::sleep(Duration::from_millis(300)).await; // the last threads
            let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
            let mut steps = log::parse(&text);
            for step in &mut steps {
                step.begin += base;
                step.end = step.end.map(|end| end + base);
            }
            base += text.lines().count() + 1;
            lives.push(steps);
        }
        lives
    }
}

/// Those of the last life that were cut off: which of them took effect can be seen as long as nobody else works there.
fn settle(steps: &mut Vec<Step>) {
    steps.retain(|step| {
        let there = |path: &str| Path::new(path).symlink_metadata().is_ok();
        step.end.is_some()
            || match &step.call {
                Call::Open { path, create, .. } => *create && there(path),
                Call::Mkdir { path } => there(path),
                Call::Rename { from, to } => there(to) && !there(from),
                Call::Link { to, .. } => there(to),
                Call::Remove { path } => !there(path),
                Call::Close { .. } => true,
                Call::Write { .. } | Call::Allocate { .. } | Call::Truncate { .. } | Call::Sync { .. } => {
                    false
                }
            }
    });
}

/// What survives by chance.
struct Chance<'a> {
    dice: &'a Dice,
    likely: f64,
}

impl Fate for Chance<'_> {
    fn name(&self, _: &str, _: &str) -> bool {
        self.dice.roll() < self.likely
    }
    fn page(&self) -> bool {
        self.dice.roll() < self.likely
    }
    fn size(&self) -> bool {
        self.dice.roll() < self.likely
    }
}

#[derive(Default)]
struct Found {
    boundaries: usize,
    cuts: usize,
    /// Of all cuts, times packages: READY survived.
    ready: usize,
    announced: usize,
    wrong: BTreeSet<String>,
}

/// A line of the journal, as the checker understands it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    package: String,
    what: String,
}

struct Checker<'a> {
    parcels: &'a [Parcel],
    disk: Disk,
    dice: &'a Dice,
    ready_at: BTreeSet<String>,
    survivors: BTreeSet<String>,
    journals: BTreeSet<u64>,
    /// Written and not fsynced, with the end of the writing.
    said: Vec<(Said, Option<usize>)>,
    durable: BTreeSet<Said>,
    found: Found,
}

impl<'a> Checker<'a> {
    fn new(parcels: &'a [Parcel], dice: &'a Dice) -> Self {
        let ready_at: BTreeSet<String> = parcels.iter().map(|p| p.destination.clone()).collect();
        let (journals, said, durable) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        let survivors = ready_at.clone();
        let (disk, found) = (Disk::new(), Found::default());
        Self { parcels, disk, dice, ready_at, survivors, journals, said, durable, found }
    }

    fn life(&mut self, steps: &[Step]) {
        let ends = steps.iter().filter_map(|step| step.end.map(|end| (end, true, step)));
        let mut moments: Vec<(usize, bool, &Step)> =
            steps.iter().map(|step| (step.begin, false, step)).chain(ends).collect();
        moments.sort_by_key(|(at, is_end, _)| (*at, *is_end));
        for (_, is_end, step) in moments {
            if is_end {
                self.disk.end(step);
                self.acknowledged(step);
            } else {
                self.announced(step);
                self.disk.begin(step);
            }
            self.found.boundaries += 1;
            self.cut();
        }
        self.disk.another_life();
        self.journals.clear();
    }

    fn wrong(&mut self, what: String) {
        if self.found.wrong.len() < 50 {
            let _new = self.found.wrong.insert(what);
        }
    }

    fn cut(&mut self) {
        if !self.disk.any_ready(&self.ready_at) {
            return;
        }
        let mut wrong = Vec::new();
        for n in 0..=CUTS {
            self.found.cuts += 1;
            let chance = Chance { dice: self.dice, likely: [0.5, 0.1, 0.9][n % 3] };
            let worst = Worst(&self.survivors);
            let fate: &dyn Fate = if n == 0 { &worst } else { &chance };
            for parcel in self.parcels {
                let Some(lies) = self.disk.lies_after(&parcel.destination, &parcel.files, fate) else {
                    continue;
                };
                self.found.ready += 1;
                wrong
                    .extend(lies.into_iter().map(|lie| format!("READY of {} survives and {lie}", parcel.id)));
            }
        }
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    fn must_have_been_said(&mut self, package: &str, what: &str, before: &str) {
        self.found.announced += 1;
        let said = Said { package: package.into(), what: what.into() };
        if !self.durable.contains(&said) {
            self.wrong(format!("{package}: {before} begins before the journal surely says {what}"));
        }
    }

    /// What begins must be on record, where the record announces it; and what the record says is done must be durable.
    fn announced(&mut self, step: &Step) {
        match &step.call {
            Call::Mkdir { path } => {
                if let Some(parcel) = self.parcels.iter().find(|p| p.incoming == *path) {
                    self.must_have_been_said(&parcel.id, "copying", "its directory");
                }
            }
            Call::Rename { from, to } => {
                if let Some(parcel) =
                    self.parcels.iter().find(|p| p.incoming == *from && p.destination == *to)
                {
                    self.must_have_been_said(&parcel.id, "verified", "the rename into place");
                }
            }
            Call::Open { path, create: true, .. } => {
                let of = |p: &&Parcel| path.strip_suffix("/READY") == Some(p.destination.as_str());
                if let Some(parcel) = self.parcels.iter().find(of) {
                    self.must_have_been_said(&parcel.id, "placed", "READY");
                }
            }
            Call::Write { fd, text, .. } if self.journals.contains(fd) => {
                for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                    let line: Value =
                        serde_json::from_slice(line).expect("a line of the journal is written whole");
                    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
                    let what = if line["event"] == "moved" { text("to") } else { text("event") };
                    let said = Said { package: text("package"), what };
                    self.is_true(&said);
                    self.said.push((said, step.end));
                }
            }
            Call::Close { fd } => {
                let _was = self.journals.remove(fd);
            }
            _ => {}
        }
    }

    fn is_true(&mut self, said: &Said) {
        let Some(parcel) = self.parcels.iter().find(|p| p.id == said.package) else { return };
        let (place, ready) = match said.what.as_str() {
            "copied" | "verified" => (&parcel.incoming, false),
            "placed" => (&parcel.destination, false),
            "ready" => (&parcel.destination, true),
            _ => return,
        };
        self.found.announced += 1;
        let mut files = parcel.files.clone();
        if ready {
            let _none = files.insert("READY".into(), 0);
        }
        let missing = self.disk.surely_holds(place, &files);
        if !missing.is_empty() {
            self.wrong(format!(
                "the journal says {} of {} while it may lose {missing:?}",
                said.what, said.package
            ));
        }
    }

    fn acknowledged(&mut self, step: &Step) {
        match &step.call {
            Call::Open { path, fd: Some(fd), .. } if path.ends_with("/journal.jsonl") => {
                let _new = self.journals.insert(*fd);
            }
            Call::Sync { fd, .. } if self.journals.contains(fd) => {
                let said = std::mem::take(&mut self.said);
                for (said, end) in said {
                    if end.is_some_and(|end| end < step.begin) {
                        let _new = self.durable.insert(said);
                    } else {
                        self.said.push((said, end));
                    }
                }
            }
            _ => {}
        }
    }
}

fn check(parcels: &[Parcel], lives: &[Vec<Step>], dice: &Dice, without: impl Fn(&Step) -> bool) -> Found {
    let mut checker = Checker::new(parcels, dice);
    for steps in lives {
        let steps: Vec<Step> = steps.iter().filter(|step| !without(step)).cloned().collect();
        checker.life(&steps);
    }
    checker.found
}

/// The fsyncs of one kind: their name, whether one of this path belongs to them, and what must be found when they are missing.
type Kind = (&'static str, fn(&str) -> bool, &'static str);

fn kinds_of_fsync() -> [Kind; 7] {
    [
        ("payload files", |p| p.contains(".parts/") && !p.contains("/.tmp-"), "large.bin is not whole"),
        ("manifests", |p| p.contains(".parts/.tmp-"), "SHA256SUMS is not whole"),
        (
            "directories of packages",
            |p| p.contains("/.incoming/") && p.ends_with("~r1"),
            "SHA256SUMS is not there",
        ),
        ("their directories", |p| p.ends_with("/qc") || p.ends_with("/qc/a"), "qc/a/deep.txt is not there"),
        (
            "destinations",
            |p| p.ends_with("/samples") || p.ends_with("/analyses-work"),
            "the journal says placed",
        ),
        (
            "directories of READY",
            |p| !p.contains("/.incoming") && p.contains("/p-") && !p.ends_with("/READY"),
            "the journal says ready",
        ),
        ("the journal", |p| p.ends_with("/journal.jsonl"), "before the journal surely says"),
    ]
}

#[tokio::test]
async fn whatever_a_power_cut_leaves_ready_lies_beside_a_whole_package() {
    if !this_machine_lets_us_trace() {
        return;
    }
    let moments = Moments::new();
    let mut site = Site::with(6).await;
    site.start("");
    let ids: Vec<String> = site.parcels.iter().map(|p| p.id.clone()).collect();
    let all = |w: &World| ids.iter().all(|id| w.state(Role::Tsd, id) == Some(State::Ready));
    site.world.until("all have landed", all).await;
    site.world.stop().await;
    let lives = site.steps().await;
    let dice = Dice::seeded(moments.below(1 << 40));
    let found = check(&site.parcels, &lives, &dice, |_| false);
    println!(
        "{} calls, the power cut {} times at {} boundaries; READY survived {} times, always beside a whole package; {} announcements in order",
        lives.iter().map(Vec::len).sum::<usize>(),
        found.cuts,
        found.boundaries,
        found.ready,
        found.announced
    );
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
    assert!(found.ready > 1_000 && found.announced >= 6 * ids.len(), "{} {}", found.ready, found.announced);
    // Each kind of fsync is there for something, and the checker sees it when it is not.
    for (name, is_of, expected) in kinds_of_fsync() {
        let is_it = |step: &Step| matches!(&step.call, Call::Sync { path, .. } if is_of(path));
        let dropped = lives.iter().flatten().filter(|step| is_it(step)).count();
        let found = check(&site.parcels, &lives, &dice, is_it);
        println!("without the {dropped} fsyncs of {name}: {} findings", found.wrong.len());
        assert!(dropped > 0, "{name}");
        assert!(found.wrong.iter().any(|w| w.contains(expected)), "{name}: {expected} in {:#?}", found.wrong);
    }
}

/// What an earlier life wrote and did not bring to the disk is still only in memory: the next must not take it for durable.
#[tokio::test]
async fn nor_when_the_daemon_was_killed_before() {
    if !this_machine_lets_us_trace() {
        return;
    }
    let moments = Moments::new();
    let mut site = Site::with(6).await;
    let mut lives: Vec<Vec<Step>> = Vec::new();
    // Twice where the order matters most, else anywhere.
    for failpoints in ["put-in-place=1*sleep(60000)", "hand-over=1*sleep(60000)", "", "", "disk=sleep(20)"] {
        site.start(failpoints);
        let lives_so_far = site.lives.len();
        let starts = |w: &World| {
            let is_start = |l: &&tsd_import::journal::Line| {
                matches!(l.event, tsd_import::journal::Event::Started { .. })
            };
            w.events(Role::Tsd).iter().filter(is_start).count()
        };
        site.world.until("it has begun", |w| starts(w) >= lives_so_far).await;
        let pause = if failpoints.ends_with("sleep(60000)") { 1_500 } else { moments.below(1_000) };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        site.world.kill(Role::Tsd).await;
        let mut now = site.steps().await;
        settle(now.last_mut().unwrap());
        lives.push(now.pop().unwrap());
    }
    site.start("");
    let ids: Vec<String> = site.parcels.iter().map(|p| p.id.clone()).collect();
    let all = |w: &World| ids.iter().all(|id| w.state(Role::Tsd, id) == Some(State::Ready));
    site.world.until("all have landed", all).await;
    site.world.stop().await;
    lives.push(site.steps().await.pop().unwrap());
    let dice = Dice::seeded(moments.below(1 << 40));
    let found = check(&site.parcels, &lives, &dice, |_| false);
    println!(
        "{} lives, the power cut {} times at {} boundaries; READY survived {} times; {} announcements in order",
        lives.len(),
        found.cuts,
        found.boundaries,
        found.ready,
        found.announced
    );
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
    assert!(found.ready > 500 && found.announced > 4 * ids.len(), "{} {}", found.ready, found.announced);
}
