//! The supervisor with small actors of its own: what restarts, what keeps its mailbox, what gives up.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use actix::{Addr, Supervised};

use super::*;

/// Counts what it is told; does what it is told.
struct Obedient {
    env: Env,
    log: Log,
    /// Dies with its incarnation.
    count: u64,
}

#[derive(Clone, Default)]
struct Log {
    handled: Arc<AtomicU64>,
    stopped: Arc<AtomicU64>,
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Add;

#[derive(Message)]
#[rtype(result = "()")]
enum Do {
    Panic,
    PanicInSpawned,
    Fail,
    Fatal,
    Hang,
}

impl Actor for Obedient {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Context<Self>) {
        self.env.pulse(ctx);
    }
}
impl Supervised for Obedient {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.count = 0;
    }
}
impl Handler<Drain> for Obedient {
    type Result = ();
    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.log.stopped.fetch_add(1, Relaxed);
        ctx.stop();
    }
}
impl Handler<Add> for Obedient {
    type Result = u64;
    fn handle(&mut self, _: Add, _: &mut Context<Self>) -> u64 {
        self.count += 1;
        self.log.handled.fetch_add(1, Relaxed);
        self.count
    }
}
impl Handler<Do> for Obedient {
    type Result = ();
    fn handle(&mut self, what: Do, ctx: &mut Context<Self>) {
        match what {
            Do::Panic => panic!("as told"),
            Do::PanicInSpawned => drop(ctx.spawn(async { panic!("as told, later") }.into_actor(self))),
            Do::Fail => self.env.fail(ctx, Exit::Error("no more".into())),
            Do::Fatal => self.env.fail(ctx, Exit::Fatal("journal gone".into())),
            Do::Hang => ctx.wait(std::future::pending::<()>().into_actor(self)),
        }
    }
}

struct World {
    supervisor: Addr<Supervisor>,
    ended: oneshot::Receiver<Result<(), String>>,
    children: Vec<Addr<Obedient>>,
    happened: Arc<Mutex<Vec<Happening>>>,
    log: Log,
}

const NAMES: [&str; 3] = ["sink", "middle", "source"];

fn world(max_restarts: usize, restart: Restart) -> World {
    let backoff = Backoff::try_new(Duration::from_millis(20), Duration::from_millis(200)).unwrap();
    let limits = Limits {
        max_restarts,
        period: Duration::from_secs(60),
        backoff,
        reset_after: Duration::from_secs(60),
    };
    let (happened, log) = (Arc::new(Mutex::new(Vec::new())), Log::default());
    let (mut specs, mut children) = (Vec::new(), Vec::new());
    for name in NAMES {
        let log = log.clone();
        let (spec, addr) = ChildSpec::new(name, 64, move |env| Obedient { env, log, count: 0 });
        let spec = spec
            .restart(restart)
            .stall_after(Duration::from_millis(500))
            .drain_within(Duration::from_secs(1));
        // Where a child may be given up, the others are to go on.
        specs.push(if restart == Restart::Permanent { spec.significant() } else { spec });
        children.push(addr);
    }
    let seen = happened.clone();
    let observer: Observer = Arc::new(move |i| seen.lock().unwrap().push(i));
    let (supervisor, ended) = Supervisor::new(limits, Strategy::OneForOne, Dice::seeded(1), observer, specs);
    World { supervisor: supervisor.start(), ended, children, happened, log }
}

impl World {
    fn incidents(&self) -> Vec<Incident> {
        let of = |h: &Happening| if let Happening::Failed(i) = h { Some(i.clone()) } else { None };
        self.happened.lock().unwrap().iter().filter_map(of).collect()
    }
}

fn run<T>(story: impl Future<Output = T>) -> T {
    actix_rt::System::with_tokio_rt(runtime).block_on(story)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), work).await.expect("in time")
}

#[test]
fn a_panic_restarts_in_place_and_the_mailbox_survives() {
    for poison in [|| Do::Panic, || Do::PanicInSpawned, || Do::Fail] {
        run(async {
            let w = world(5, Restart::Permanent);
            assert_eq!(within(w.children[1].send(Add)).await.unwrap(), 1);
            w.children[1].do_send(poison());
            // Queued behind the fault or sent while it is down: all are answered by the next incarnation.
            let answers = (0..20).map(|_| w.children[1].send(Add));
            let answers = within(futures_util::future::join_all(answers)).await;
            assert!(answers.iter().all(Result::is_ok));
            let recovered = async {
                loop {
                    let status = w.supervisor.send(Status).await.unwrap();
                    if status.iter().all(|c| c.up) && status.iter().any(|c| c.restarts > 0) {
                        return status.iter().map(|c| c.restarts).collect::<Vec<_>>();
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            assert_eq!(within(recovered).await, [0, 1, 0], "siblings are not touched");
            let incidents = w.incidents();
            assert_eq!(incidents.len(), 1);
            assert_eq!((incidents[0].actor, incidents[0].streak, incidents[0].budget_left), ("middle", 1, 4));
        });
    }
}

#[test]
fn the_state_of_a_failed_incarnation_is_gone() {
    run(async {
        let w = world(5, Restart::Permanent);
        for n in 1..=3 {
            assert_eq!(within(w.children[0].send(Add)).await.unwrap(), n);
        }
        w.children[0].do_send(Do::Panic);
        assert_eq!(within(w.children[0].send(Add)).await.unwrap(), 1);
    });
}

#[test]
fn a_hung_actor_is_killed_and_restarted() {
    run(async {
        let w = world(5, Restart::Permanent);
        w.children[2].do_send(Do::Hang);
        assert_eq!(within(w.children[2].send(Add)).await.unwrap(), 1);
        assert_eq!(w.incidents()[0].exit, Exit::Killed);
    });
}

#[test]
fn too_many_restarts_end_everything_in_order() {
    run(async {
        let mut w = world(2, Restart::Permanent);
        for _ in 0..3 {
            w.children[1].do_send(Do::Panic);
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        let verdict = within(&mut w.ended).await.unwrap().unwrap_err();
        assert!(verdict.contains("middle: panic: as told"), "{verdict}");
        let incidents = w.incidents();
        assert_eq!(incidents.len(), 3);
        assert!(incidents[2].outcome.contains("the process ends"), "{:?}", incidents[2]);
        assert_eq!(w.log.stopped.load(Relaxed), 2, "the two that lived were drained");
    });
}

#[test]
fn what_no_restart_can_mend_ends_at_once() {
    run(async {
        let mut w = world(5, Restart::Permanent);
        w.children[0].do_send(Do::Fatal);
        let verdict = within(&mut w.ended).await.unwrap().unwrap_err();
        assert!(verdict.contains("journal gone"), "{verdict}");
    });
}

#[test]
fn a_temporary_child_is_left_alone_and_an_ordered_stop_is_no_failure() {
    run(async {
        let mut w = world(5, Restart::Temporary);
        w.children[1].do_send(Do::Panic);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let status = within(w.supervisor.send(Status)).await.unwrap();
        assert_eq!(status.iter().map(|c| c.up).collect::<Vec<_>>(), [true, false, true]);
        w.supervisor.do_send(Shutdown);
        assert_eq!(within(&mut w.ended).await.unwrap(), Ok(()));
        assert_eq!(w.incidents().len(), 1);
        assert_eq!(w.incidents()[0].action, Action::GivenUp);
        assert_eq!(w.log.handled.load(Relaxed), 0);
    });
}
