//! The fault matrix: each of the six actors × each way an actor can fail, in real processes while packages move.
//!
//! Two actors at the same place of their pipelines fall in one run, one in each process. The oracles are exact: who fell, how
//! often, with which cause, budget and outcome; that no sibling fell; that every package arrived once and right; that nobody's
//! package was blamed for it.
use tsd_import::conf::Role;
use tsd_import::journal::{Event, Incident};
use tsd_import::package::State;
use tsd_import::role::actors;

use crate::world::{World, sample_ids};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    PanicInHandler,
    PanicInSpawnedWork,
    Error,
    AsyncHang,
    BlockedThread,
    PanicLoop,
    /// Work on one unit: the package's circle, not the actor's.
    PanicInUnit,
}
use Fault::{AsyncHang, BlockedThread, Error, PanicInHandler, PanicInSpawnedWork, PanicInUnit, PanicLoop};

const BUDGET: usize = 3;

/// At the third turn of the actor: packages are on their way by then.
fn failpoint(actor: &str, fault: Fault) -> String {
    let what = match fault {
        PanicInHandler => "1*panic(injected)->off",
        PanicInSpawnedWork => "1*return(spawned)->off",
        Error => "1*return(error)->off",
        AsyncHang => "1*return(hang)->off",
        BlockedThread => "1*sleep(600000)->off",
        PanicLoop => "panic(injected)",
        PanicInUnit => return format!("{actor}.unit=1*off->1*panic(injected)->off"),
    };
    format!("{actor}=3*off->{what}")
}

async fn story(place: usize, fault: Fault) {
    let mut world = World::new().await;
    let dna = world.samples(3, 2 << 20);
    let ids = sample_ids(&dna);
    for role in [Role::Nsc, Role::Tsd] {
        let points = failpoint(actors(role)[place], fault);
        let env = [
            ("FAILPOINTS", points.as_str()),
            ("TSD_IMPORT__SUPERVISOR__STALL", "3 s"),
            ("TSD_IMPORT__STATE__LEASE", "5 s"),
            ("TSD_IMPORT__SUPERVISOR__MAX_RESTARTS", "3"),
            ("TSD_IMPORT__SUPERVISOR__BACKOFF", "20 ms"),
            ("TSD_IMPORT__SUPERVISOR__BACKOFF_MAX", "200 ms"),
        ];
        world.start(role, &env);
    }
    let sink = place == 2;
    match fault {
        BlockedThread => both_end_and_are_started_again(&mut world).await,
        PanicLoop if sink => both_end_and_are_started_again(&mut world).await,
        PanicLoop => {
            let given_up = |w: &World, role| incidents(w, role).iter().any(|i| i.action == "given-up");
            let both = |w: &World| given_up(w, Role::Nsc) && given_up(w, Role::Tsd);
            world.until("both are given up", both).await;
            for role in [Role::Nsc, Role::Tsd] {
                let shown = |w: &World| String::from_utf8(w.command(role, &["status"]).stdout).unwrap();
                world.until("status says so", |w| shown(w).contains("given up")).await;
            }
            world.stop().await;
            world.start_both();
        }
        _ => {}
    }
    world.until_ready(&ids).await;
    if fault != PanicInUnit {
        let on_record = |w: &World| [Role::Nsc, Role::Tsd].iter().all(|r| !incidents(w, *r).is_empty());
        world.until("both fell", on_record).await;
    }
    if !matches!(fault, BlockedThread | PanicLoop | PanicInUnit) {
        let over = |w: &World| [Role::Nsc, Role::Tsd].iter().all(|r| restarts(w, *r).len() == 1);
        world.until("both are up again", over).await;
    }
    world.stop().await;
    world.everything_is_right(&ids);
    for role in [Role::Nsc, Role::Tsd] {
        check(&world, role, actors(role)[place], sink, fault);
    }
}

async fn both_end_and_are_started_again(world: &mut World) {
    for role in [Role::Nsc, Role::Tsd] {
        assert_eq!(world.until_ended(role).await, Some(75), "{}", world.stderr(role));
    }
    world.start_both(); // as the service manager does
}

fn incidents(world: &World, role: Role) -> Vec<Incident> {
    let of = |l: tsd_import::journal::Line| if let Event::Incident(i) = l.event { Some(i) } else { None };
    world.events(role).into_iter().filter_map(of).collect()
}

/// Actor and incarnation of those that came up again.
fn restarts(world: &World, role: Role) -> Vec<(String, u64)> {
    let of = |l: tsd_import::journal::Line| match l.event {
        Event::Restarted { actor, incarnation, .. } => Some((actor, incarnation)),
        _ => None,
    };
    world.events(role).into_iter().filter_map(of).collect()
}

fn check(world: &World, role: Role, actor: &str, sink: bool, fault: Fault) {
    let fell = incidents(world, role);
    assert!(fell.iter().all(|i| i.actor == actor), "siblings are not affected: {fell:?}");
    let (cause, detail) = match fault {
        PanicInHandler | PanicLoop => ("panic", "injected (at "),
        PanicInSpawnedWork => ("panic", "injected into spawned work (at "),
        Error => ("error", "injected: error"),
        AsyncHang => ("hang", "no pulse for longer than allowed"),
        BlockedThread => ("blocked", "its thread does not answer"),
        PanicInUnit => {
            assert!(fell.is_empty(), "the actor lives on: {fell:?}");
            let told = world.stderr(role).matches("unit failed").count();
            assert_eq!(told, 1, "{}", world.stderr(role));
            assert!(world.stderr(role).contains("panic: injected (at "), "with its text and place");
            return nobody_was_blamed(world, role);
        }
    };
    for (n, i) in fell.iter().enumerate() {
        assert_eq!((i.cause.as_str(), i.incarnation, i.streak), (cause, n as u64 + 1, n as u32 + 1), "{i:?}");
        assert!(i.detail.contains(detail), "{i:?}");
        assert_eq!(i.budget_left, (BUDGET).saturating_sub(n + 1), "{i:?}");
        let last_straw = fault == BlockedThread || n == BUDGET;
        let action = match (last_straw, sink || fault == BlockedThread) {
            (false, _) => "restart",
            (true, false) => "given-up",
            (true, true) => "process-ends",
        };
        assert_eq!(i.action, action, "{i:?}");
        assert_eq!(i.next_delay_ms.is_some(), action == "restart", "{i:?}");
    }
    let expected = if fault == PanicLoop { BUDGET + 1 } else { 1 };
    assert_eq!(fell.len(), expected, "{fell:?}");
    // One that falls again before its first turn is over was never up.
    let mended = !matches!(fault, BlockedThread | PanicLoop);
    let came_up: Vec<(String, u64)> = mended.then(|| (actor.to_owned(), 2)).into_iter().collect();
    assert_eq!(restarts(world, role), came_up, "each incident that could be mended is over");
    let processes = world.events(role).iter().filter(|l| matches!(l.event, Event::Started { .. })).count();
    assert_eq!(processes, if matches!(fault, BlockedThread | PanicLoop) { 2 } else { 1 });
    if fault == BlockedThread {
        let log = world.stderr(role);
        for sibling in actors(role).into_iter().filter(|a| *a != actor) {
            assert!(
                log.contains(&format!("actor drained actor=\"{sibling}\"")),
                "{sibling} was drained:\n{log}"
            );
        }
    }
    let review = world.review(role);
    assert!(review.contains(&format!("{actor} {expected} × {cause}")), "{review}");
    nobody_was_blamed(world, role);
}

fn nobody_was_blamed(world: &World, role: Role) {
    assert_eq!(world.fold(role).in_state(State::Quarantined).count(), 0);
}

macro_rules! matrix {
    ($($name:ident: $place:literal;)*) => { $(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn panic_in_a_handler() {
                story($place, PanicInHandler).await;
            }
            #[tokio::test]
            async fn panic_in_spawned_work() {
                story($place, PanicInSpawnedWork).await;
            }
            #[tokio::test]
            async fn error() {
                story($place, Error).await;
            }
            #[tokio::test]
            async fn async_hang() {
                story($place, AsyncHang).await;
            }
            #[tokio::test]
            async fn blocked_thread() {
                story($place, BlockedThread).await;
            }
            #[tokio::test]
            async fn panic_loop() {
                story($place, PanicLoop).await;
            }
            #[tokio::test]
            async fn panic_in_a_unit() {
                story($place, PanicInUnit).await;
            }
        }
    )* };
}

matrix! {
    poller_and_watcher: 0;
    packager_and_copier: 1;
    uploader_and_verifier: 2;
}
