//! A site, its two daemons, and the oracles that every story ends with.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tsd_import::conf::Role;
use tsd_import::demo::daemon::Daemon;
use tsd_import::demo::lims::StepState;
use tsd_import::demo::site::{Order, PROJECT, Reads, Site, SiteOptions};
use tsd_import::journal::{self, Event, Fold};
use tsd_import::package::{PackageId, Priority, State};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tsd-import");

pub struct World {
    pub site: Site,
    pub daemons: Vec<(Role, Daemon)>,
    pub samples: Vec<String>,
    dir: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(SiteOptions { token_life: Duration::from_secs(600), ..SiteOptions::default() }).await
    }

    pub async fn with(options: SiteOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::open(dir.path(), &options).await.unwrap();
        Self { site, daemons: Vec::new(), samples: Vec::new(), dir }
    }

    /// Sequences and queues samples with made-up reads of this size; returns their laboratory numbers.
    pub fn samples(&mut self, count: u32, bytes: u64) -> Vec<String> {
        let first = self.samples.len() as u32;
        let mut roots = Vec::new();
        for n in first..first + count {
            let dna = format!("HG{:08}", 30_000_001 + n);
            let priority = Priority::ALL[(n % 3) as usize];
            let order = Order { dna: dna.clone(), priority, family: None, reads: Reads::Made(bytes) };
            roots.push(self.site.sequence(&order).unwrap().root_artifact);
            self.samples.push(dna);
        }
        self.site.sums().unwrap();
        roots.iter().for_each(|r| self.site.lims.enqueue(r).unwrap());
        self.samples[first as usize..].to_vec()
    }

    pub fn start(&mut self, role: Role, env: &[(&str, &str)]) {
        let daemon = Daemon::start(Path::new(PROGRAM), role, &self.site.conf(role), &[], env).unwrap();
        self.daemons.push((role, daemon));
    }

    pub fn start_both(&mut self) {
        self.start(Role::Nsc, &[]);
        self.start(Role::Tsd, &[]);
    }

    /// kill -9.
    pub async fn kill(&mut self, role: Role) {
        let at = self.daemons.iter().position(|(r, _)| *r == role).unwrap();
        self.daemons.remove(at).1.kill().await.unwrap();
    }

    /// SIGTERM; the exit code must tell the truth.
    pub async fn stop(&mut self) {
        // One that has not begun yet would be ended by the signal itself, without a word. Its journal or its log tells.
        let running = self.daemons.iter().map(|(role, d)| (*role, d.pid(), d.stderr.clone()));
        for (role, pid, log) in running.collect::<Vec<_>>() {
            let begun = |w: &Self| {
                let told = std::fs::read_to_string(&log).unwrap_or_default();
                told.contains(&format!("pid={} ", pid.unwrap_or(0)))
                    || w.events(role)
                        .iter()
                        .any(|l| matches!(l.event, Event::Started { pid: p, .. } if Some(p) == pid))
            };
            self.until("it has begun", begun).await;
        }
        for (role, daemon) in std::mem::take(&mut self.daemons) {
            let status = daemon.stop(Duration::from_secs(60)).await.unwrap();
            assert!(status.success(), "{role}: {status}\n{}", self.stderr(role));
        }
    }

    /// Waits until a daemon has ended by itself; its exit code.
    pub async fn until_ended(&mut self, role: Role) -> Option<i32> {
        let at = self.daemons.iter().position(|(r, _)| *r == role).unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = self.daemons[at].1.ended() {
                drop(self.daemons.remove(at));
                return status.code();
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{role} runs on\n{}",
                tail(&self.stderr(role))
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn stderr(&self, role: Role) -> String {
        std::fs::read_to_string(self.site.dir.join("conf").join(format!("{role}.stderr"))).unwrap_or_default()
    }

    pub fn fold(&self, role: Role) -> Fold {
        let mut fold = Fold::default();
        journal::read(&self.site.state(role), |line| fold.apply(&line)).unwrap();
        fold
    }

    pub fn events(&self, role: Role) -> Vec<journal::Line> {
        let mut events = Vec::new();
        journal::read(&self.site.state(role), |line| events.push(line)).unwrap();
        events
    }

    pub fn state(&self, role: Role, id: &str) -> Option<State> {
        self.fold(role).package(&id.parse().unwrap()).map(|row| row.state)
    }

    /// Waits for something to become true; says what was there instead when it does not.
    pub async fn until(&self, what: &str, true_now: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !true_now(self) {
            if begun.elapsed() > Duration::from_secs(90) {
                let show = |role| format!("{:?}\n{}", self.fold(role).tally(), tail(&self.stderr(role)));
                panic!("not within 90 s: {what}\nnsc {}\ntsd {}", show(Role::Nsc), show(Role::Tsd));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until_ready(&self, ids: &[String]) {
        let all = |w: &Self| {
            let (here, there) = (w.fold(Role::Nsc), w.fold(Role::Tsd));
            ids.iter().map(|id| id.parse().unwrap()).all(|id| {
                here.package(&id).is_some_and(|r| r.state == State::Transferred)
                    && there.package(&id).is_some_and(|r| r.state == State::Ready)
            })
        };
        self.until(&format!("{ids:?} are READY"), all).await;
        let closed = |w: &Self| w.site.lims.steps().iter().all(|s| s.state == StepState::Completed);
        self.until("all LIMS steps are completed", closed).await;
    }

    /// Everything arrives, the daemons stop in order, and all is right.
    pub async fn see_it_through(&mut self, ids: &[String]) {
        self.until_ready(ids).await;
        self.stop().await;
        self.everything_is_right(ids);
    }

    /// `READY` ⇒ right, once: the oracles of every story, with the real coreutils.
    pub fn everything_is_right(&self, ids: &[String]) {
        for id in ids {
            let id: PackageId = id.parse().unwrap();
            let landed = self.site.landing(id.kind.as_str()).join(id.name.as_str());
            let wants_ready = !id.kind.as_str().starts_with("analyses-results");
            assert_eq!(landed.join("READY").is_file(), wants_ready, "{}", landed.display());
            let sums = Command::new("sha256sum")
                .args(["-c", "--strict", "--quiet", "SHA256SUMS"])
                .current_dir(&landed)
                .output()
                .unwrap();
            assert!(sums.status.success(), "{id}: {}", String::from_utf8_lossy(&sums.stderr));
            for (role, end) in [(Role::Nsc, State::Transferred), (Role::Tsd, State::Ready)] {
                let ends = self.events(role).iter().filter(|l| matches!(&l.event, Event::Moved { package, to, .. } if *package == id && *to == end)).count();
                assert_eq!(ends, 1, "{id} came to its end {ends} times at {role}");
            }
        }
        let landed = self.fold(Role::Tsd).packages().filter(|r| r.state == State::Ready).count();
        assert_eq!(landed, ids.len(), "nothing else became READY");
        self.nothing_is_left_incoming();
        self.each_artifact_was_exported_once();
    }

    pub fn nothing_is_left_incoming(&self) {
        let areas = [
            "archive/.incoming",
            "production/data/.incoming",
            "production/data/analyses-results/.incoming",
            "production/ella/data/analyses/.incoming",
        ];
        for area in areas {
            let left: Vec<PathBuf> = std::fs::read_dir(self.site.dir.join("tsd").join(area))
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    fn each_artifact_was_exported_once(&self) {
        let mut exported: BTreeMap<String, usize> = BTreeMap::new();
        for step in self.site.lims.steps().into_iter().filter(|s| s.state == StepState::Completed) {
            step.inputs.into_iter().for_each(|a| *exported.entry(a).or_default() += 1);
        }
        assert!(exported.values().all(|n| *n == 1), "{exported:?}");
    }

    /// Landed reads are the delivered ones, byte for byte; on the sending side they are hard links to the delivery.
    pub fn reads_are_those_delivered(&self, dna: &str, priority: Priority) {
        use std::os::unix::fs::MetadataExt;
        let delivered = self.site.delivered(dna).unwrap();
        let name = format!("{PROJECT}-{dna}");
        let reads = |dir: &Path| -> Vec<PathBuf> {
            let files = tsd_import::fs::plain_files(dir).unwrap().into_iter();
            files.filter(|p| p.to_string_lossy().contains("fastq")).map(|p| dir.join(p)).collect()
        };
        let kept = self
            .site
            .dir
            .join("nsc/transfer/production/transferred")
            .join(priority.as_str())
            .join("samples")
            .join(&name);
        let (sent, landed) = (reads(&kept), reads(&self.site.landing("samples").join(&name)));
        assert_eq!((delivered.len(), sent.len(), landed.len()), (2, 2, 2));
        for n in 0..2 {
            let inode = |p: &Path| std::fs::metadata(p).unwrap().ino();
            assert_eq!(inode(&delivered[n]), inode(&sent[n]), "a hard link");
            assert!(
                std::fs::read(&delivered[n]).unwrap() == std::fs::read(&landed[n]).unwrap(),
                "{dna}: the same bytes"
            );
        }
    }

    pub fn command(&self, role: Role, args: &[&str]) -> Output {
        // So wide that a sentence stands on one line, whatever it says.
        let mut command = Command::new(PROGRAM);
        command.args(args).arg("--config").arg(self.site.conf(role)).env("COLUMNS", "2000").output().unwrap()
    }

    pub fn review(&self, role: Role) -> String {
        String::from_utf8(self.command(role, &["review"]).stdout).unwrap()
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

pub fn sample_ids(dna: &[String]) -> Vec<String> {
    dna.iter().map(|d| format!("samples/{PROJECT}-{d}/r1")).collect()
}

pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
