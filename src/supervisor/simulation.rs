//! The real supervisor, cages and stations in virtual time, on one thread, with faults thrown at random: 200 seeded runs.
//!
//! A run is a pipeline of three stations over a table that outlives everything (as the journal does), through several lives of
//! the process: some end by a stop, some by a kill -9 in the middle of anything. After a while the faults cease, and then
//! what is promised must be so: every accepted package is at its end exactly once, only the poison ones were stopped, the
//! window was kept, every failure of an actor is on record with its end, and a stop left nothing in hand. The seed of a
//! failed run is printed; `TSD_IMPORT_SEED=n` repeats that run alone, move by move.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::Addr;
use futures_util::future::LocalBoxFuture;
use tokio::sync::watch;

use super::meter::{Board, Meter};
use super::station::{Failure, Manner, Station, Tuning, Wake, Work};
use super::turn::{Rules, Weight};
use super::*;

const PACKAGES: u32 = 24;
const WINDOW: usize = 8;
const MAX_FAILURES: u32 = 3;
const STALL: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Outside,
    Accepted,
    Made,
    Done,
    Stopped,
}

#[derive(Debug)]
struct Row {
    stage: Stage,
    failures: u32,
    not_before: Duration,
    urgent: bool,
    large: bool,
}

/// What survives: the truth, and what the run may check it against.
struct Site {
    dice: Dice,
    rows: BTreeMap<u32, Row>,
    /// Effects of each stage; more than one for a package is a broken promise.
    effects: BTreeMap<(u32, Stage), u32>,
    poison: BTreeSet<u32>,
    /// Virtual time of earlier lives.
    before: Duration,
    born: Instant,
    /// Faults happen until then.
    heals: Duration,
    /// The store is away from–to.
    outages: Vec<(Duration, Duration)>,
    /// Panics thrown into actors, by name.
    thrown: BTreeMap<&'static str, u32>,
    in_hand: usize,
    /// Who is being worked on, and how often somebody began what somebody else still had.
    at_work: BTreeSet<u32>,
    doubles: u32,
    most_under_way: usize,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Site>>);

impl Shared {
    fn get(&self) -> MutexGuard<'_, Site> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Site {
    fn now(&self) -> Duration {
        self.before + self.born.elapsed()
    }

    fn chance(&self, p: f64) -> bool {
        self.now() < self.heals && self.dice.roll() < p
    }

    fn store_is_away(&self) -> bool {
        let now = self.now();
        self.outages.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    fn under_way(&self) -> usize {
        self.rows.values().filter(|r| matches!(r.stage, Stage::Accepted | Stage::Made)).count()
    }

    /// Compare-and-set, as in the journal.
    fn step(&mut self, id: u32, from: Stage, to: Stage) {
        let row = self.rows.get_mut(&id).unwrap();
        if row.stage == from {
            (row.stage, row.failures) = (to, 0);
            *self.effects.entry((id, to)).or_default() += 1;
        }
        self.most_under_way = self.most_under_way.max(self.under_way());
    }
}

/// One of the three stations; the first looks outside, the others move packages.
struct Mover {
    site: Shared,
    name: &'static str,
    from: Stage,
    to: Stage,
}

#[derive(Clone, Debug)]
enum Unit {
    Look,
    Move(u32),
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Units in hand, however they end.
struct InHand(Shared, Option<u32>);

impl Drop for InHand {
    fn drop(&mut self) {
        let mut site = self.0.get();
        site.in_hand -= 1;
        if let Some(id) = self.1 {
            site.at_work.remove(&id);
        }
    }
}

impl Work for Mover {
    type Unit = Unit;
    type Blame = String;

    fn waiting(&mut self) -> Vec<Unit> {
        let mut site = self.site.get();
        if site.chance(0.01) {
            *site.thrown.entry(self.name).or_default() += 1;
            drop(site);
            std::panic::resume_unwind(Box::new(format!("thrown into {}", self.name))); // without the hook's words
        }
        if self.from == Stage::Outside {
            return vec![Unit::Look];
        }
        let now = site.now();
        let due = site.rows.iter().filter(|(_, r)| r.stage == self.from && r.not_before <= now);
        due.map(|(id, _)| Unit::Move(*id)).collect()
    }

    fn weight(&self, unit: &Unit) -> Weight {
        match unit {
            Unit::Look => Weight::SERVICE,
            Unit::Move(id) => {
                let row = &self.site.get().rows[id];
                Weight {
                    service: false,
                    urgency: u8::from(row.urgent),
                    bytes: if row.large { 100 } else { 1 },
                }
            }
        }
    }

    fn perform(&self, unit: Unit, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure<String>>> {
        let (site, from, to) = (self.site.clone(), self.from, self.to);
        let id = if let Unit::Move(id) = unit { Some(id) } else { None };
        {
            let mut site = site.get();
            site.in_hand += 1;
            if id.is_some_and(|id| !site.at_work.insert(id)) {
                site.doubles += 1;
            }
        }
        let held = InHand(site.clone(), id);
        let work = async move {
            let _held = held;
            let Unit::Move(id) = unit else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let mut site = site.get();
                let waits: Vec<u32> =
                    site.rows.iter().filter(|(_, r)| r.stage == Stage::Outside).map(|(id, _)| *id).collect();
                for id in waits {
                    if site.under_way() < WINDOW {
                        site.step(id, Stage::Outside, Stage::Accepted);
                    }
                }
                return Ok(());
            };
            let secs = {
                let site = site.get();
                1 + (site.dice.roll() * if site.rows[&id].large { 40.0 } else { 4.0 }) as u64
            };
            for _ in 0..secs {
                tokio::time::sleep(Duration::from_secs(1)).await;
                meter.add(1);
                if to == Stage::Done && site.get().store_is_away() {
                    return Err(Failure::Outage("the store is away".into()));
                }
                let (poisoned, how) = {
                    let site = site.get();
                    (from == Stage::Accepted && site.poison.contains(&id), id % 3)
                };
                let thrown = site.get().chance(0.01);
                match how {
                    _ if !poisoned && !thrown => {}
                    0 => std::panic::resume_unwind(Box::new(format!("odd input in {id}"))),
                    1 => return Err(Failure::Unit(format!("{id} is odd"))),
                    _ => std::future::pending().await,
                }
            }
            site.get().step(id, from, to);
            Ok(())
        };
        Box::pin(work)
    }

    fn accident(&self, what: String) -> String {
        what
    }

    fn blame(&self, unit: Unit, _: String) -> LocalBoxFuture<'static, Result<(), String>> {
        if let Unit::Move(id) = unit {
            let mut site = self.site.get();
            let now = site.now();
            let row = site.rows.get_mut(&id).unwrap();
            // As on record: a stage's third failure stops the package; random faults are given more patience than poison.
            row.failures += 1;
            row.not_before = now + Duration::from_secs(5);
            let (poison, failures) = (site.poison.contains(&id), site.rows[&id].failures);
            if failures >= if poison { MAX_FAILURES } else { 50 } {
                site.step(id, self.from, Stage::Stopped);
            }
        }
        Box::pin(futures_util::future::ready(Ok(())))
    }
}

/// An actor that does not come back to its mailbox.
#[derive(Message)]
#[rtype(result = "()")]
struct Hang;

impl Handler<Hang> for Station<Mover> {
    type Result = ();
    fn handle(&mut self, _: Hang, ctx: &mut Context<Self>) {
        ctx.wait(std::future::pending::<()>().into_actor(self));
    }
}

struct Life {
    supervisor: Addr<Supervisor>,
    ended: oneshot::Receiver<Result<(), String>>,
    stations: Vec<Addr<Station<Mover>>>,
}

type Happened = Arc<Mutex<Vec<Happening>>>;

const STATIONS: [(&str, Stage, Stage); 3] = [
    ("sink", Stage::Made, Stage::Done),
    ("middle", Stage::Accepted, Stage::Made),
    ("source", Stage::Outside, Stage::Accepted),
];

fn begin(site: &Shared, strategy: Strategy, happened: &Happened) -> Life {
    let dice = site.get().dice.clone();
    let second = Duration::from_secs;
    let backoff = Backoff::try_new(Duration::from_millis(200), second(30)).unwrap();
    let limits = Limits { max_restarts: 15, period: second(600), backoff, reset_after: second(600) };
    limits.check().unwrap();
    let (mut specs, mut stations, mut next) = (Vec::new(), Vec::new(), Vec::new());
    for (name, from, to) in STATIONS {
        let rules = Rules { room: 3, large: 100, overtakes: 4 };
        let tuning = Tuning { rules, rhythm: second(5), stall: STALL, outage: backoff };
        let manner = Manner {
            name,
            tuning: watch::channel(tuning).1,
            next: std::mem::take(&mut next),
            board: Board::default(),
            weather: Arc::new(|_, _, _| {}),
            paused: std::sync::Arc::new(|| false),
            dice: dice.clone(),
        };
        let shared = site.clone();
        let make = move || Mover { site: shared.clone(), name, from, to };
        let (spec, addr) = ChildSpec::new(name, 16, move |env| Station::new(env, manner, make));
        specs.push(spec.here().significant().drain_within(second(120)).stall_after(second(10)));
        next.push(addr.clone().recipient::<Wake>());
        stations.push(addr);
    }
    let seen = happened.clone();
    let observer: Observer = Arc::new(move |what| seen.lock().unwrap().push(what));
    let (supervisor, ended) = Supervisor::new(limits, strategy, dice, observer, specs);
    Life { supervisor: supervisor.start(), ended, stations }
}

/// One life of the process, `secs` long at most. True: everything is at its end.
async fn live(
    site: &Shared,
    strategy: Strategy,
    happened: &Happened,
    secs: u64,
    last: bool,
    hung: &mut u32,
) -> bool {
    site.get().born = Instant::now();
    let Life { supervisor, mut ended, stations } = begin(site, strategy, happened);
    let (born, dice) = (Instant::now(), site.get().dice.clone());
    loop {
        let pause = tokio::time::sleep(Duration::from_millis(500 + (dice.roll() * 9_000.0) as u64));
        tokio::select! {
            biased;
            verdict = &mut ended => panic!("it gave up: {verdict:?}"),
            () = pause => {}
        }
        if site.get().chance(0.03) {
            *hung += 1;
            stations[(dice.roll() * 3.0) as usize].do_send(Hang);
        }
        let over = site.get().rows.values().all(|r| r.stage >= Stage::Done);
        if over || (!last && born.elapsed() > Duration::from_secs(secs)) {
            break;
        }
        assert!(born.elapsed() < Duration::from_secs(7_200), "nothing moves: {:?}", site.get().rows);
    }
    if last || dice.roll() < 0.5 {
        supervisor.do_send(Shutdown);
        let verdict = ended.await.unwrap();
        let cut_off = matches!(&verdict, Err(why) if why.contains("cut off"));
        let failed = matches!(&verdict, Err(why) if why.contains("while it was stopped"));
        assert!(verdict.is_ok() || cut_off || failed, "{verdict:?}");
        tokio::task::yield_now().await;
        assert!(cut_off || site.get().in_hand == 0, "a stop in order leaves nothing in hand");
    } // otherwise: kill -9, whatever is going on
    site.get().rows.values().all(|r| r.stage >= Stage::Done)
}

fn run(seed: u64) -> (usize, usize) {
    let dice = Dice::seeded(seed);
    let secs = |most: f64| Duration::from_secs((dice.roll() * most) as u64);
    let row = |_| Row {
        stage: Stage::Outside,
        failures: 0,
        not_before: Duration::ZERO,
        urgent: dice.roll() < 0.2,
        large: dice.roll() < 0.2,
    };
    let site = Shared(Arc::new(Mutex::new(Site {
        rows: (0..PACKAGES).map(|id| (id, row(id))).collect(),
        effects: BTreeMap::new(),
        poison: (0..PACKAGES).filter(|_| dice.roll() < 0.08).collect(),
        before: Duration::ZERO,
        born: Instant::now(),
        heals: Duration::from_secs(90) + secs(300.0),
        outages: (0..3).map(|_| secs(400.0)).map(|from| (from, from + secs(60.0))).collect(),
        thrown: BTreeMap::new(),
        in_hand: 0,
        at_work: BTreeSet::new(),
        doubles: 0,
        most_under_way: 0,
        dice: dice.clone(),
    })));
    let strategy = if dice.roll() < 0.5 { Strategy::OneForOne } else { Strategy::RestForOne };
    let (happened, mut hung, mut lives) = (Happened::default(), 0, 0);
    loop {
        lives += 1;
        let last = lives == 5;
        let system = actix_rt::System::with_tokio_rt(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().start_paused(true).build().expect("a runtime")
        });
        let (span, on) = (50 + (dice.roll() * 200.0) as u64, site.clone());
        let over = system.block_on(async {
            let over = live(&on, strategy, &happened, span, last, &mut hung).await;
            let lived = on.get().born.elapsed();
            on.get().before += lived;
            over
        });
        drop(system);
        {
            let mut site = site.get();
            site.in_hand = 0;
            site.at_work.clear();
        }
        if over {
            break;
        }
        assert!(!last, "after the last life all is over");
    }
    check(&site.get(), &happened.lock().unwrap(), hung, lives)
}

fn check(site: &Site, happened: &[Happening], hung: u32, lives: usize) -> (usize, usize) {
    for (id, row) in &site.rows {
        let wanted = if site.poison.contains(id) { Stage::Stopped } else { Stage::Done };
        assert_eq!(row.stage, wanted, "package {id}: {row:?}");
    }
    assert_eq!(site.doubles, 0, "nobody works on what another one has in hand, also not after a restart");
    assert!(site.effects.values().all(|n| *n == 1), "once and only once: {:?}", site.effects);
    assert!(site.most_under_way <= WINDOW, "{} under way", site.most_under_way);
    let of = |h: &Happening| if let Happening::Failed(i) = h { Some(i.clone()) } else { None };
    let failed: Vec<Incident> = happened.iter().filter_map(of).collect();
    for (name, _, _) in STATIONS {
        let panics = failed.iter().filter(|i| i.actor == name && matches!(i.exit, Exit::Panic(_))).count();
        assert_eq!(
            panics,
            site.thrown.get(name).map_or(0, |n| *n as usize),
            "{name}: each panic has its incident, and no other"
        );
    }
    let hangs = failed.iter().filter(|i| i.exit == Exit::Killed).count();
    assert!(hangs <= hung as usize, "nobody is killed who did not hang");
    let known =
        |i: &Incident| (i.action == Action::Restart) == i.next_delay.is_some() && i.action != Action::GivenUp;
    assert!(failed.iter().all(known), "{failed:?}");
    let recovered = happened.len() - failed.len();
    assert!(
        recovered <= failed.len() && recovered + lives * 3 >= failed.len(),
        "each failure ends, or its process does"
    );
    (failed.len(), lives)
}

#[test]
fn what_is_promised_holds_in_two_hundred_seeded_runs() {
    let only = std::env::var("TSD_IMPORT_SEED").ok().map(|s| s.parse::<u64>().expect("a number"));
    // Each run has one thread; two of them side by side.
    let half = |odd: u64| {
        let (mut incidents, mut lives) = (0, 0);
        for seed in only.map_or(0..200, |s| s..s + 1).filter(|s| s % 2 == odd) {
            match std::panic::catch_unwind(|| run(seed)) {
                Ok((more, lived)) => (incidents, lives) = (incidents + more, lives + lived),
                Err(payload) => {
                    eprintln!("the run with seed {seed} failed; TSD_IMPORT_SEED={seed} repeats it");
                    std::panic::resume_unwind(payload);
                }
            }
        }
        (incidents, lives)
    };
    let (even, odd) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        (half(0), odd.join().unwrap())
    });
    let (incidents, lives) = (even.0 + odd.0, even.1 + odd.1);
    println!("{incidents} incidents in {lives} lives");
    assert!(
        only.is_some() || (incidents > 500 && lives > 300),
        "the dice did try: {incidents} in {lives} lives"
    );
}

#[test]
fn a_seed_repeats_its_run() {
    assert_eq!(run(7), run(7));
}
