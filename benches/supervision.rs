//! What supervision costs: a message between actors, a restart in place without back-off, and six idle actors.
//!
//! `cargo bench --bench supervision`. The idle measurement counts this process's own processor time and resident memory over
//! ten seconds, so it stands first, before criterion has filled the memory with its samples.
#![allow(missing_docs)]
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, Supervised};
use criterion::Criterion;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{mpsc, watch};
use tsd_import::supervisor::meter::{Board, Meter};
use tsd_import::supervisor::station::{Failure, Manner, Station, Tuning, Wake, Work};
use tsd_import::supervisor::turn::Rules;
use tsd_import::supervisor::{
    Backoff, ChildSpec, Dice, Drain, Env, Exit, Happening, Limits, Observer, Status, Strategy, Supervisor,
    runtime,
};

/// Nothing ever waits for it.
struct Idle;

impl Work for Idle {
    type Unit = String;
    type Blame = String;
    fn waiting(&mut self) -> Vec<String> {
        Vec::new()
    }
    fn perform(&self, _: String, _: Meter) -> LocalBoxFuture<'static, Result<(), Failure<String>>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn accident(&self, what: String) -> String {
        what
    }
    fn blame(&self, _: String, _: String) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn limits(delay: Duration) -> Limits {
    let backoff = Backoff::try_new(delay, delay).expect("above zero");
    let long = Duration::from_secs(3600);
    Limits { max_restarts: 1_000_000, period: long, backoff, reset_after: Duration::ZERO }
}

/// As a daemon runs them: own threads, a rhythm of a second, a `Status` each second.
async fn six_idle_actors() {
    let second = Duration::from_secs(1);
    let outage = Backoff::try_new(second, 60 * second).expect("above zero");
    let rules = Rules { room: 4, large: 8 << 30, overtakes: 8 };
    let tuning = watch::channel(Tuning { rules, rhythm: second, stall: 1800 * second, outage }).1;
    let mut specs = Vec::new();
    for name in ["one", "two", "three", "four", "five", "six"] {
        let manner = Manner {
            name,
            tuning: tuning.clone(),
            next: Vec::new(),
            board: Board::default(),
            weather: Arc::new(|_, _, _| {}),
            paused: std::sync::Arc::new(|| false),
            dice: Dice::shaken(),
        };
        specs.push(ChildSpec::new(name, 16, move |env| Station::new(env, manner, || Idle)).0);
    }
    let (supervisor, _ended) =
        Supervisor::new(limits(second), Strategy::OneForOne, Dice::shaken(), Arc::new(|_| {}), specs);
    let supervisor = supervisor.start();
    tokio::time::sleep(2 * second).await;
    let (before, began) = (processor_time(), Instant::now());
    for _ in 0..10 {
        tokio::time::sleep(second).await;
        let status = supervisor.send(Status).await.expect("it lives");
        assert!(status.iter().all(|s| s.up));
    }
    let used = (processor_time() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    println!(
        "six idle actors: {:.3} % of a core (limit 0.5 %), {:.1} MiB resident (limit 30 MiB)",
        100.0 * used,
        resident_kib() as f64 / 1024.0
    );
}

/// User and system time of this process, from the kernel's account in nanoseconds per thread.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("proc is there");
    let nanos = |dir: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let text = std::fs::read_to_string(dir.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(nanos).sum())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is there");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("the kernel counts it");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// Answers, and falls when told.
struct Echo(Env);

#[derive(Message)]
#[rtype(result = "u64")]
struct Ask(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Fall;

/// The last of a row of doorbells: says that it was heard.
#[derive(Message)]
#[rtype(result = "()")]
struct Last(mpsc::UnboundedSender<()>);

impl Actor for Echo {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Context<Self>) {
        self.0.pulse(ctx);
    }
}
impl Supervised for Echo {}
impl Handler<Drain> for Echo {
    type Result = ();
    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
impl Handler<Ask> for Echo {
    type Result = u64;
    fn handle(&mut self, ask: Ask, _: &mut Context<Self>) -> u64 {
        ask.0
    }
}
impl Handler<Wake> for Echo {
    type Result = ();
    fn handle(&mut self, _: Wake, _: &mut Context<Self>) {}
}
impl Handler<Last> for Echo {
    type Result = ();
    fn handle(&mut self, last: Last, _: &mut Context<Self>) {
        last.0.send(()).expect("it is awaited");
    }
}
impl Handler<Fall> for Echo {
    type Result = ();
    fn handle(&mut self, _: Fall, ctx: &mut Context<Self>) {
        self.0.fail(ctx, Exit::Error("as told".into()));
    }
}

/// One supervised actor on a thread of its own, and word of its recoveries.
fn echo() -> (Addr<Supervisor>, Addr<Echo>, mpsc::UnboundedReceiver<Duration>) {
    let (tell, recovered) = mpsc::unbounded_channel();
    let observer: Observer = Arc::new(move |what| {
        if let Happening::Recovered { down, .. } = what {
            tell.send(down).expect("it is awaited");
        }
    });
    let (spec, addr) = ChildSpec::new("echo", 16, Echo);
    let limits = limits(Duration::from_nanos(1));
    let (supervisor, _ended) =
        Supervisor::new(limits, Strategy::OneForOne, Dice::shaken(), observer, vec![spec]);
    (supervisor.start(), addr, recovered)
}

fn main() {
    let system = actix_rt::System::with_tokio_rt(runtime);
    system.block_on(six_idle_actors());
    let (_supervisor, addr, mut recovered) = system.block_on(async { echo() });
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("supervision");
    const ROW: u64 = 1_000;
    let _sized = group.throughput(criterion::Throughput::Elements(ROW));
    let _bench = group.bench_function("1,000 doorbells to another thread", |b| {
        b.iter(|| {
            let (tell, mut heard) = mpsc::unbounded_channel();
            system.block_on(async {
                for _ in 1..ROW {
                    addr.do_send(Wake);
                }
                addr.do_send(Last(tell));
                heard.recv().await
            })
        });
    });
    let _sized = group.throughput(criterion::Throughput::Elements(1));
    let _bench = group.bench_function("question and answer between two threads", |b| {
        b.iter(|| system.block_on(addr.send(Ask(7))).expect("it answers"));
    });
    let _bench = group.bench_function("failure to first sign of life, without back-off", |b| {
        b.iter_custom(|times| {
            let mut down = Duration::ZERO;
            for _ in 0..times {
                down += system.block_on(async {
                    addr.do_send(Fall);
                    recovered.recv().await.expect("it comes up")
                });
            }
            down
        });
    });
    group.finish();
    criterion.final_summary();
}
