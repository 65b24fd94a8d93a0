//! Signals to daemons, and how they end.
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tsd_import::conf::Role;
use tsd_import::journal::Event;
use tsd_import::snapshot::Snapshot;

use crate::world::{World, tail};

/// Sends it to the daemon of that role.
pub fn signal(world: &World, role: Role, signal: Signal) {
    let (_, daemon) = world.daemons.iter().find(|(r, _)| *r == role).unwrap();
    let pid = Pid::from_raw(daemon.pid().unwrap() as i32).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits for its end; it must come within `limit`.
pub async fn ended(world: &mut World, role: Role, limit: Duration) -> ExitStatus {
    let at = world.daemons.iter().position(|(r, _)| *r == role).unwrap();
    let begun = Instant::now();
    loop {
        if let Some(status) = world.daemons[at].1.ended() {
            drop(world.daemons.remove(at));
            return status;
        }
        assert!(begun.elapsed() < limit, "not gone within {limit:?}\n{}", tail(&world.stderr(role)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Exit code and words of the last end in the journal, which must be the last line.
pub fn last_end(world: &World, role: Role) -> (i32, String) {
    match &world.events(role).last().unwrap().event {
        Event::Stopped { exit, why } => (*exit, why.clone()),
        other => panic!("the journal does not end with an end: {other:?}"),
    }
}

pub fn snapshot(world: &World, role: Role) -> Option<Snapshot> {
    Snapshot::read(&world.site.state(role))
}

/// Waits until the daemon works.
pub async fn up(world: &World, role: Role) {
    let up =
        |w: &World| snapshot(w, role).is_some_and(|s| !s.actors.is_empty() && s.actors.iter().all(|a| a.up));
    world.until("it works", up).await;
}
