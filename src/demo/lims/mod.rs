//! A Clarity LIMS to try the program on: same addresses, same documents, same refusals, and on demand the same faults.
//!
//! It serves the part of the REST API v2 that an exporter needs: configuration, queues, artifacts, samples, projects,
//! containers, processes, steps with fields, actions and programs, routing. It keeps everything in memory and is meant
//! to be as strict as a real server: what passes here should pass there. Used by `tsd-import demo` and by tests.
//!
//! [`Lims`] is a handle; clones share one world. One side of it is the HTTP server, the other side is the laboratory:
//! create runs and samples, queue them, act like a person at a screen, break things, and look at what came of it.
//!
//! It shares no code with the client on purpose: two independent readings of the same reference.

mod actions;
mod advance;
mod answer;
mod batch;
mod build;
mod config;
mod directory;
mod entities;
mod faults;
mod hook;
mod http;
mod lab;
mod lists;
mod lots;
mod oracle;
mod read;
mod recipe;
mod resources;
mod route;
mod settings;
mod steps;
mod view;
mod wire;
mod world;
mod writing;
mod xml;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use tokio::net::TcpListener;

pub use faults::{Fault, FaultRule};
pub use hook::When;
pub use oracle::ArtifactView;
pub use recipe::{NewData, NewRun, NewSample, NewSampleIds as Sample, Run, Stats, Unknown};
pub use settings::{Field, Program, ProgramOutcome, Settings, StepState, Udf, UdfKind};
pub use view::{RequestLog, StepView};

use answer::{Outcome, Uris};
use http::{Call, dispatch};
use world::World;

/// Older entries of the record of requests are dropped: a demo may run for days.
const RECORD_LIMIT: usize = 100_000;

struct Inner {
    world: World,
    /// How many more reads are answered from this older world.
    stale: Option<(u32, World)>,
    faults: Vec<FaultRule>,
    record: Vec<RequestLog>,
    hook: Option<hook::Hook>,
}

/// A simulated LIMS.
#[derive(Clone)]
pub struct Lims(Arc<Mutex<Inner>>);

impl std::fmt::Debug for Lims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lims").field(&self.lock().world.settings).finish()
    }
}

impl Lims {
    /// An empty laboratory.
    pub fn new(settings: Settings) -> Self {
        let world = World::new(settings);
        Self(Arc::new(Mutex::new(Inner {
            world,
            stale: None,
            faults: Vec::new(),
            record: Vec::new(),
            hook: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves on `http://ADDRESS/api/v2` until dropped; then all connections are closed and the port is free again,
    /// while the world stays: serving the same handle once more is a restart of the server.
    ///
    /// # Errors
    /// If the listener has no address.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let base = format!("http://{}/api/v2", listener.local_addr()?);
        let wire = wire::Wire::new(listener);
        let _cut_at_the_end = wire.guard();
        axum::serve(wire, self.router(base).into_make_service_with_connect_info::<wire::Line>()).await
    }

    /// The API as a router, for callers that serve by themselves. `base` is what its addresses start with. Without
    /// [`Lims::serve`], faults that drop the connection answer 502 instead.
    pub fn router(&self, base: String) -> Router {
        http::router(self.clone(), base)
    }

    /// The settings as they are.
    pub fn settings(&self) -> Settings {
        self.lock().world.settings.clone()
    }

    /// Changes settings while the server runs. Steps that are open keep the fields they were started with.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock().world.settings);
    }

    // Breaking things.

    /// Adds a fault.
    pub fn fault(&self, rule: FaultRule) {
        self.lock().faults.push(rule);
    }

    /// Removes all faults, also a lag that is still going on.
    pub fn clear_faults(&self) {
        let inner = &mut *self.lock();
        inner.faults.clear();
        inner.stale = None;
    }

    fn take_faults(&self, method: &str, target: &str) -> Vec<Fault> {
        let inner = &mut *self.lock();
        let met =
            inner.faults.iter_mut().filter_map(|rule| rule.meets(method, target).then(|| rule.kind.clone()));
        let met = met.collect();
        inner.faults.retain(|rule| rule.times > 0);
        met
    }

    fn record(&self, entry: RequestLog) {
        let record = &mut self.lock().record;
        if record.len() >= RECORD_LIMIT {
            let _ = record.drain(..RECORD_LIMIT / 2);
        }
        record.push(entry);
    }

    /// Does what a request asks, in the world of now or, for a read during a lag, in the world of before.
    fn work(&self, call: &Call, uris: &Uris, faults: &[Fault]) -> Outcome {
        let inner = &mut *self.lock();
        let mut outcome = inner.answer(call, uris, faults);
        if let Ok(answer) = &mut outcome
            && let Some(body) = &mut answer.body
        {
            faults::colour(faults, body, uris);
        }
        outcome
    }
}

impl Inner {
    fn answer(&mut self, call: &Call, uris: &Uris, faults: &[Fault]) -> Outcome {
        if call.is_read()
            && let Some((left, mut old)) = self.stale.take()
        {
            let outcome = dispatch(&mut old, call, uris);
            if left > 1 {
                self.stale = Some((left - 1, old));
            }
            // What did not exist then is shown as it is now: a server that gave out an id knows it.
            if !matches!(&outcome, Err(refusal) if refusal.status == 404) {
                return outcome;
            }
        }
        let lag = faults.iter().find_map(|fault| match fault {
            Fault::LagReads(reads) if !call.is_read() && *reads > 0 => Some(*reads),
            _ => None,
        });
        let before = lag.map(|reads| (reads, self.world.clone()));
        let outcome = dispatch(&mut self.world, call, uris);
        if before.is_some() && outcome.is_ok() {
            self.stale = before;
        }
        outcome
    }
}
