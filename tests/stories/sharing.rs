//! Two receiving hosts on one bucket and one file system, each with a journal of its own: every package lands once, whoever is suspended,
//! killed or slow, and however eagerly a consumer takes away what is READY.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use tsd_import::conf::Role;
use tsd_import::demo::daemon::Daemon;
use tsd_import::demo::site::SiteOptions;
use tsd_import::demo::store::{FaultKind, FaultRule, Who};
use tsd_import::journal::{self, Event, Fold, Row};
use tsd_import::package::{Reason, State};

use crate::world::{PROGRAM, World, sample_ids, tail, text};

const A: &str = "p22-hpc-02";
const B: &str = "p22-hpc-03";

/// A site whose receivers share its bucket.
async fn world(lease: &str, more: &str) -> World {
    let share = format!(
        "share.claims = true\nshare.begin = true\nshare.lease = \"{lease}\"\nwork.under_way_urgent = 0\n{more}\n"
    );
    let options = SiteOptions {
        token_life: Duration::from_secs(600),
        more_of: vec![(Role::Tsd, share)],
        ..SiteOptions::default()
    };
    let world = World::with(options).await;
    world.site.store.let_receiver_claim();
    world
}

/// One of the receivers.
struct Host {
    name: &'static str,
    dir: PathBuf,
    /// More lines for its configuration.
    more: &'static str,
    daemon: Option<Daemon>,
}

impl Host {
    fn new(world: &World, name: &'static str) -> Self {
        let dir = world.path().join(name);
        tsd_import::fs::create_dir(&dir).unwrap();
        Self { name, dir, more: "", daemon: None }
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("tsd.toml")
    }

    fn start(&mut self, world: &World, failpoints: &str) {
        let (state, log) = (self.dir.join("state"), self.dir.join("log"));
        let text = std::fs::read_to_string(world.site.conf(Role::Tsd)).unwrap();
        let own = text.lines().filter(|l| !["host", "state.dir", "log.dir"].iter().any(|k| l.starts_with(k)));
        let mut text = own.collect::<Vec<_>>().join("\n");
        text += &format!(
            "\n{}\nhost = \"{}\"\nstate.dir = \"{}\"\nlog.dir = \"{}\"\n",
            self.more,
            self.name,
            state.display(),
            log.display()
        );
        tsd_import::fs::write_durably(&self.conf(), text.as_bytes()).unwrap();
        let env = [("FAILPOINTS", failpoints)];
        let env = if failpoints.is_empty() { &env[..0] } else { &env[..] };
        self.daemon = Some(Daemon::start(Path::new(PROGRAM), Role::Tsd, &self.conf(), &[], env).unwrap());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("tsd.stderr")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.daemon.as_ref().unwrap().pid().unwrap();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    /// Its exit code; none: a signal ended it.
    async fn ends(&mut self, within: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.daemon.as_mut().unwrap().ended() {
                self.daemon = None;
                return status.code();
            }
            assert!(begun.elapsed() < within, "{} runs on\n{}", self.name, tail(&self.said()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(&mut self) {
        let status = self.daemon.take().unwrap().stop(Duration::from_secs(60)).await.unwrap();
        assert!(status.success(), "{}: {status}\n{}", self.name, tail(&self.said()));
    }

    fn fold(&self) -> Fold {
        let mut fold = Fold::default();
        let state = self.dir.join("state");
        if state.join("journal.jsonl").exists() {
            journal::read(&state, |line| fold.apply(&line)).unwrap();
        }
        fold
    }

    fn row(&self, id: &str) -> Option<Row> {
        self.fold().package(&id.parse().unwrap()).cloned()
    }

    fn state(&self, id: &str) -> Option<State> {
        self.row(id).map(|row| row.state)
    }

    fn count(&self, state: State) -> usize {
        self.fold().in_state(state).count()
    }

    fn command(&self, args: &[&str]) -> String {
        let mut command = std::process::Command::new(PROGRAM);
        let done = command.args(args).arg("--config").arg(self.conf()).env("COLUMNS", "2000").output();
        text(&done.unwrap().stdout)
    }
}

/// Takes away what is READY the moment it sees it, and remembers each time.
struct Consumer {
    taken: Arc<Mutex<BTreeMap<String, u32>>>,
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Consumer {
    fn of(world: &World) -> Self {
        let (watched, away) = (world.site.landing("samples"), world.path().join("consumed"));
        tsd_import::fs::create_dir(&away).unwrap();
        let (taken, ends) = (Arc::<Mutex<BTreeMap<String, u32>>>::default(), Arc::<AtomicBool>::default());
        let (into, until) = (taken.clone(), ends.clone());
        let thread = std::thread::spawn(move || {
            while !until.load(Relaxed) {
                for entry in std::fs::read_dir(&watched).unwrap().flatten() {
                    if !entry.path().join("READY").exists() {
                        continue;
                    }
                    let name = entry.file_name().into_string().unwrap();
                    let mut taken = into.lock().unwrap();
                    let times = taken.entry(name.clone()).or_default();
                    *times += 1;
                    tsd_import::fs::publish(&entry.path(), &away.join(format!("{name}.{times}"))).unwrap();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { taken, ends, thread: Some(thread) }
    }

    fn taken(&self) -> BTreeMap<String, u32> {
        self.taken.lock().unwrap().clone()
    }

    /// Each of these was handed over, whole, and once.
    fn has_each_once(&self, world: &World, ids: &[String]) {
        let expected: BTreeMap<String, u32> = ids.iter().map(|id| (name(id), 1)).collect();
        assert_eq!(self.taken(), expected);
        for id in ids {
            let landed = world.path().join("consumed").join(format!("{}.1", name(id)));
            let sums = std::process::Command::new("sha256sum")
                .args(["-c", "--strict", "--quiet", "SHA256SUMS"])
                .current_dir(&landed)
                .output()
                .unwrap();
            assert!(sums.status.success(), "{id}: {}", text(&sums.stderr));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

fn name(id: &str) -> String {
    id.split('/').nth(1).unwrap().to_owned()
}

async fn until(what: &str, hosts: &[&Host], true_now: impl Fn() -> bool) {
    let begun = Instant::now();
    while !true_now() {
        if begun.elapsed() > Duration::from_secs(90) {
            let told = |h: &&Host| format!("{} {:?}\n{}\n", h.name, h.fold().tally(), tail(&h.said()));
            panic!("not within 90 s: {what}\n{}", hosts.iter().map(told).collect::<String>());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn moves_to_ready(hosts: &[&Host], id: &str) -> usize {
    let mut count = 0;
    for host in hosts {
        journal::read(&host.dir.join("state"), |line| {
            if let Event::Moved { package, to: State::Ready, .. } = &line.event {
                count += usize::from(package.to_string() == id);
            }
        })
        .unwrap();
    }
    count
}

/// As many as there is to see of one who put below `claims` alone, and listed and fetched.
fn receivers_kept_to_their_rights(world: &World) {
    let odd: BTreeSet<String> = world
        .site
        .store
        .requests()
        .into_iter()
        .filter(|r| r.who == Who::Receiver && !matches!(r.operation(), "ListObjectsV2" | "GetObject"))
        .filter(|r| r.operation() != "PutObject" || !r.path.contains("/tsd-import/claims/"))
        .map(|r| format!("{} {} {}", r.operation(), r.path, r.status))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_share_the_work_and_each_package_lands_once() {
    let mut world = world("6 s", "work.under_way = 3").await;
    let ids = sample_ids(&world.samples(14, 400_000));
    let consumer = Consumer::of(&world);
    let (mut a, mut b) = (Host::new(&world, A), Host::new(&world, B));
    // At the same moment of some keys: what the store answers then must stop nobody.
    let conflict = FaultRule {
        method: Some(Method::PUT),
        key_contains: Some("/claims/packages/".into()),
        times: 5,
        ..FaultRule::next(FaultKind::Conflict)
    };
    world.site.store.fault(conflict);
    // Some answers are lost after the work was done.
    for times in [2, 3] {
        world.site.store.fault(FaultRule {
            method: Some(Method::PUT),
            key_contains: Some(if times == 2 { "/claims/packages/" } else { "/claims/sessions/" }.into()),
            times,
            ..FaultRule::next(FaultKind::DropAfterWork)
        });
    }
    a.start(&world, "");
    b.start(&world, "");
    world.start(Role::Nsc, &[]);
    let all = ids.clone();
    let known = || {
        let (here, there) = (a.fold(), b.fold());
        all.iter().map(|id| id.parse().unwrap()).all(|id| {
            let state = |fold: &Fold| fold.package(&id).map(|row| row.state);
            let (here, there) = (state(&here), state(&there));
            matches!(
                (here, there),
                (Some(State::Ready), Some(State::SettledElsewhere))
                    | (Some(State::SettledElsewhere), Some(State::Ready))
            )
        })
    };
    until("each is ready on one host and the other knows it", &[&a, &b], known).await;
    consumer.has_each_once(&world, &ids);
    let (by_a, by_b) = (a.count(State::Ready), b.count(State::Ready));
    println!("landed by {A}: {by_a}, by {B}: {by_b}");
    assert!(by_a > 0 && by_b > 0, "both work");
    for id in &ids {
        assert_eq!(moves_to_ready(&[&a, &b], id), 1, "{id}");
    }
    // The senders' books are whole on both: what the other landed is no gap.
    for (host, other) in [(&a, &b), (&b, &a)] {
        let json: serde_json::Value = serde_json::from_str(&host.command(&["status", "--json"])).unwrap();
        assert_eq!(json["daemon"]["senders"][0]["missing"], 0, "{json:#}");
        assert_eq!(json["daemon"]["share"]["peers"][0]["host"], other.name, "{json:#}");
        assert_eq!(json["daemon"]["share"]["peers"][0]["state"], "shares");
        let said = host.command(&["status"]);
        let landed = other.count(State::Ready);
        assert!(said.contains(&format!("{landed} settled-elsewhere")), "{said}");
        assert!(said.contains(&format!("shares the bucket with {} (shares)", other.name)), "{said}");
    }
    // What is settled costs nothing any more.
    let before = world.site.store.requests().len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let since = world.site.store.requests().split_off(before);
    assert!(!since.iter().any(|r| r.path.contains("/claims/packages/") && r.operation() != "ListObjectsV2"));
    receivers_kept_to_their_rights(&world);
    let puts = |below: &str| {
        let of =
            |r: &&tsd_import::demo::store::RequestLog| r.operation() == "PutObject" && r.path.contains(below);
        world.site.store.requests().iter().filter(of).count()
    };
    println!(
        "{} puts of claims for {} packages, {} of sessions",
        puts("/claims/packages/"),
        ids.len(),
        puts("/claims/sessions/")
    );
    a.stop().await;
    b.stop().await;
    world.stop().await;
    world.nothing_is_left_incoming();
}

/// One is suspended for longer than its lease when `caught`; the other takes over, and the first one wakes up.
async fn suspended(
    failpoints: &str,
    slow: Option<FaultRule>,
    caught: impl Fn(&Host) -> bool,
    inherits: bool,
) {
    let mut world = world("3 s", "work.under_way = 50").await;
    let ids = sample_ids(&world.samples(5, 1 << 20));
    let consumer = Consumer::of(&world);
    let (mut a, mut b) = (Host::new(&world, A), Host::new(&world, B));
    slow.into_iter().for_each(|rule| world.site.store.fault(rule));
    world.start(Role::Nsc, &[]);
    let sent = |w: &World| ids.iter().all(|id| w.state(Role::Nsc, id) == Some(State::Transferred));
    world.until("all are sent", sent).await;
    a.start(&world, failpoints);
    until("it is caught in the act", &[&a], || caught(&a)).await;
    a.signal(Signal::STOP);
    let had: Vec<String> =
        ids.iter().filter(|id| a.state(id).is_some_and(|s| !s.is_settled())).cloned().collect();
    assert!(!had.is_empty());
    b.start(&world, "");
    let landed = || had.iter().all(|id| b.state(id) == Some(State::Ready));
    until("the other has landed what the first one had in hand", &[&b], landed).await;
    if inherits {
        let inherited = had.iter().filter(|id| b.row(id).unwrap().facts.inherited.is_some()).count();
        assert!(inherited > 0, "some were about to be put in place");
    }
    let before = consumer.taken();
    a.signal(Signal::CONT);
    assert_eq!(a.ends(Duration::from_secs(20)).await, Some(75), "{}", tail(&a.said()));
    // On a busy machine the lease of its state directory is over as well, and may be noticed first.
    let why = [format!("{B} has ended its session"), "this process was suspended".to_owned()];
    assert!(why.iter().any(|why| a.said().contains(why)), "{}", tail(&a.said()));
    assert_eq!(consumer.taken(), before, "the one that woke up has handed over nothing");
    // Started again it goes on, and leaves to the other what is the other's.
    a.start(&world, "");
    let known = || {
        ids.iter().all(|id| {
            let states = [a.state(id), b.state(id)];
            let ready = states.iter().filter(|s| **s == Some(State::Ready)).count();
            ready == 1 && states.contains(&Some(State::SettledElsewhere))
        })
    };
    until("each is ready on one host and the other knows it", &[&a, &b], known).await;
    consumer.has_each_once(&world, &ids);
    for id in &ids {
        assert_eq!(moves_to_ready(&[&a, &b], id), 1, "{id}");
    }
    receivers_kept_to_their_rights(&world);
    a.stop().await;
    b.stop().await;
    world.stop().await;
    world.nothing_is_left_incoming();
}

fn quiet(host: &Host, state: State) -> bool {
    let mut last = None;
    journal::read(&host.dir.join("state"), |line| last = Some(line.at)).unwrap();
    let quiet = last.is_some_and(|at| tsd_import::clock::now() > at + Duration::from_millis(1200));
    quiet && host.count(state) > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn one_suspended_in_the_middle_of_copying_loses_its_packages_and_nothing_lands_twice() {
    let slow = FaultRule {
        method: Some(Method::GET),
        key_contains: Some("fastq".into()),
        times: 10,
        ..FaultRule::next(FaultKind::Delay(Duration::from_secs(4)))
    };
    suspended(
        "",
        Some(slow),
        |a| a.dir.join("state/journal.jsonl").exists() && a.count(State::Copying) > 1,
        false,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_suspended_before_its_rename_does_not_rename_when_it_wakes() {
    let caught = |a: &Host| a.dir.join("state/journal.jsonl").exists() && quiet(a, State::Verified);
    suspended("put-in-place=sleep(5000)", None, caught, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_suspended_before_ready_does_not_mark_when_it_wakes() {
    let caught = |a: &Host| a.dir.join("state/journal.jsonl").exists() && quiet(a, State::Verified);
    suspended("hand-over=sleep(5000)", None, caught, true).await;
}

/// The steps at which a host is killed, between all that it writes to bucket, disk and journal.
const STEPS: [&str; 9] = [
    "journal-writing=return(moved:seen)",
    "journal-written=return(moved:copying)",
    "journal-written=return(moved:verified)",
    "share-reach=return(placing)",
    "share-reached=return(placing)",
    "journal-writing=return(placed)",
    "journal-written=return(placed)",
    "share-reach=return(landed)",
    "journal-writing=return(moved:ready)",
];

async fn killed_at(step: &str) -> (World, Consumer, Vec<String>, Host) {
    let mut world = world("3 s", "work.under_way = 50").await;
    let ids = sample_ids(&world.samples(2, 200_000));
    let consumer = Consumer::of(&world);
    let mut a = Host::new(&world, A);
    world.start(Role::Nsc, &[]);
    let sent = |w: &World| ids.iter().all(|id| w.state(Role::Nsc, id) == Some(State::Transferred));
    world.until("all are sent", sent).await;
    a.start(&world, step);
    assert_eq!(a.ends(Duration::from_secs(60)).await, None, "{step}: {}", tail(&a.said()));
    (world, consumer, ids, a)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_goes_on_where_it_was() {
    let each = STEPS.map(|step| {
        tokio::spawn(async move {
            let (mut world, consumer, ids, mut a) = killed_at(step).await;
            a.start(&world, "");
            let ready = || ids.iter().all(|id| a.state(id) == Some(State::Ready));
            until(&format!("all are ready after {step}"), &[&a], ready).await;
            consumer.has_each_once(&world, &ids);
            a.stop().await;
            world.stop().await;
            world.nothing_is_left_incoming();
        })
    });
    for one in each {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_another_goes_on_and_what_nobody_can_know_is_asked() {
    let each = STEPS.map(|step| {
        tokio::spawn(async move {
            let (mut world, consumer, ids, mut a) = killed_at(step).await;
            let mut b = Host::new(&world, B);
            b.start(&world, "");
            let decided = || {
                ids.iter().all(|id| {
                    let state = b.state(id);
                    matches!(state, Some(State::Ready | State::Quarantined | State::SettledElsewhere))
                })
            };
            until(&format!("the other has decided after {step}"), &[&b], decided).await;
            // Whatever was decided: it was handed over once at most, and where it was not, a person is asked or nothing is lost.
            for id in &ids {
                let (taken, row) =
                    (consumer.taken().get(&name(id)).copied().unwrap_or(0), b.row(id).unwrap());
                match row.state {
                    State::Ready => assert_eq!(taken, 1, "{step}: {id}"),
                    State::SettledElsewhere => {
                        assert_eq!(taken, 1, "{step}: {id}: the first host said landed")
                    }
                    _ => {
                        assert_eq!(row.facts.reason, Some(Reason::HandoverUnknown), "{step}: {id}");
                        assert_eq!(taken, 1, "{step}: {id}: only its consumer can have it");
                        assert!(row.facts.detail.unwrap().contains(A), "{step}");
                    }
                }
            }
            // The first one comes back, and hands nothing over a second time.
            a.start(&world, "");
            let known = || {
                ids.iter()
                    .all(|id| a.state(id).is_some_and(|s| s == State::Ready || s == State::SettledElsewhere))
            };
            until(&format!("the first one knows it, {step}"), &[&a, &b], known).await;
            assert!(consumer.taken().values().all(|times| *times == 1), "{step}: {:?}", consumer.taken());
            a.stop().await;
            b.stop().await;
            world.stop().await;
        })
    });
    for one in each {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgets_conditions_or_rights_that_are_missing_end_the_start_with_the_cure() {
    let world = world("3 s", "").await;
    let mut a = Host::new(&world, A);
    let forgets =
        FaultRule { method: Some(Method::PUT), times: 1000, ..FaultRule::next(FaultKind::ForgetConditions) };
    world.site.store.fault(forgets);
    a.start(&world, "");
    assert_eq!(a.ends(Duration::from_secs(30)).await, Some(78), "{}", tail(&a.said()));
    let said = a.said();
    assert!(
        said.contains("this store cannot keep two hosts apart: it told 8 of 8 writers"),
        "{}",
        tail(&said)
    );
    assert!(said.contains("share.claims = false"), "{}", tail(&said));
    world.site.store.mend();
    let mut b = Host::new(&world, B);
    let denied = FaultRule { method: Some(Method::PUT), times: 1000, ..FaultRule::next(FaultKind::Denied) };
    world.site.store.fault(denied);
    b.start(&world, "");
    assert_eq!(b.ends(Duration::from_secs(30)).await, Some(78), "{}", tail(&b.said()));
    assert!(b.said().contains("have the key granted put there"), "{}", tail(&b.said()));
    world.site.store.mend();
    // Both begin when that is mended.
    for host in [&mut a, &mut b] {
        host.start(&world, "");
    }
    until("both share", &[&a, &b], || [&a, &b].iter().all(|h| h.said().contains("shares the bucket with")))
        .await;
    a.stop().await;
    b.stop().await;
}

/// Without claims one journal alone receives: whoever lives there keeps the others out, and whoever died there is asked about.
#[tokio::test(flavor = "multi_thread")]
async fn without_claims_a_second_daemon_refuses_to_start() {
    let options = SiteOptions {
        token_life: Duration::from_secs(600),
        more_of: vec![(Role::Tsd, "state.lease = \"2 s\"\n".into())],
        ..SiteOptions::default()
    };
    let world = World::with(options).await;
    let (mut a, mut b) = (Host::new(&world, A), Host::new(&world, B));
    a.start(&world, "");
    let runs = |h: &Host| h.dir.join("state/status.json").exists();
    until("the first one runs", &[&a], || runs(&a)).await;
    b.start(&world, "");
    assert_eq!(b.ends(Duration::from_secs(30)).await, Some(78), "{}", tail(&b.said()));
    let said = b.said();
    assert!(
        said.contains("another daemon lives and lands packages in the same place (p22-hpc-02"),
        "{}",
        tail(&said)
    );
    // One that would share does not get on with one that does not.
    let conf = world.site.conf(Role::Tsd);
    let plain = std::fs::read_to_string(&conf).unwrap();
    tsd_import::fs::write_durably(
        &conf,
        format!("{plain}share.claims = true\nshare.begin = true\n").as_bytes(),
    )
    .unwrap();
    b.start(&world, "");
    assert_eq!(b.ends(Duration::from_secs(30)).await, Some(78), "{}", tail(&b.said()));
    tsd_import::fs::write_durably(&conf, plain.as_bytes()).unwrap();
    // Killed, it leaves its name, and only its own journal may go on.
    a.daemon.take().unwrap().kill().await.unwrap();
    b.start(&world, "");
    assert_eq!(b.ends(Duration::from_secs(30)).await, Some(78), "{}", tail(&b.said()));
    assert!(b.said().contains("did not end in order (p22-hpc-02"), "{}", tail(&b.said()));
    a.start(&world, "");
    let again = |h: &Host| h.said().matches("tsd-import starts").count() == 2;
    until("the same journal goes on", &[&a], || again(&a)).await;
    a.stop().await;
    let left = |b: &Host| std::fs::remove_file(b.dir.join("state/status.json")).is_ok();
    assert!(!left(&b), "it never ran");
    b.start(&world, "");
    until("where nobody is left the other may start", &[&b], || runs(&b)).await;
    b.stop().await;
}

/// What landed before the bucket was shared has no claim: the journal that knows it begins, and nobody joins before.
#[tokio::test(flavor = "multi_thread")]
async fn sharing_begins_with_the_journal_that_knows_what_has_landed() {
    const ON: &str = "share.claims = true\nshare.lease = \"3 s\"";
    const BEGIN: &str = "share.claims = true\nshare.begin = true\nshare.lease = \"3 s\"";
    let mut world = World::new().await;
    world.site.store.let_receiver_claim();
    let mut ids = sample_ids(&world.samples(3, 100_000));
    let consumer = Consumer::of(&world);
    let (mut a, mut b) = (Host::new(&world, A), Host::new(&world, B));
    world.start(Role::Nsc, &[]);
    a.start(&world, "");
    until("all are ready", &[&a], || ids.iter().all(|id| a.state(id) == Some(State::Ready))).await;
    a.stop().await;
    b.more = ON;
    b.start(&world, "");
    assert_eq!(b.ends(Duration::from_secs(30)).await, Some(78), "{}", tail(&b.said()));
    assert!(b.said().contains("this bucket is not shared yet"), "{}", tail(&b.said()));
    a.more = BEGIN;
    a.start(&world, "");
    until("the first one shares", &[&a], || a.said().contains("the bucket is shared from now on")).await;
    b.start(&world, "");
    ids.extend(sample_ids(&world.samples(2, 100_000)));
    let known = || {
        ids.iter().all(|id| {
            let states = [a.state(id), b.state(id)];
            states.contains(&Some(State::Ready)) && states.contains(&Some(State::SettledElsewhere))
        })
    };
    until("both know all", &[&a, &b], known).await;
    consumer.has_each_once(&world, &ids);
    a.stop().await;
    a.more = "";
    a.start(&world, "");
    assert_eq!(a.ends(Duration::from_secs(30)).await, Some(78), "{}", tail(&a.said()));
    let said = a.said();
    assert!(
        said.contains("shared by claims") || said.contains("lives and lands packages"),
        "{}",
        tail(&said)
    );
    b.stop().await;
    a.start(&world, "");
    assert_eq!(a.ends(Duration::from_secs(30)).await, Some(78), "{}", tail(&a.said()));
    assert!(a.said().contains("this bucket is shared by claims"), "{}", tail(&a.said()));
    world.stop().await;
}
