//! The process around the supervisor: who may ask it to stop or to read its configuration again, what it tells the service
//! manager and `status`, and what listens for silence or to questions.
//!
//! The supervisor lives on the main thread. Everything here that must work while that thread or a disk is stuck runs beside
//! it, on the shared runtime: signals, the pulse, the state directory, the ear. They talk through channels of one place.
mod acts;
mod desk;
mod ear;
mod end;
mod pulse;
mod wishes;

use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::acts::Site;
use crate::aside::Aside;
use crate::clock;
use crate::conf::{AlarmConf, Complaints, Conf, TellConf};
use crate::control::Control;
use crate::journal::{Event, Journal};
use crate::log::Level;
use crate::notices::Notices;
use crate::notify::Notifier;
use crate::reload::{Reloader, Reread};
use crate::role::{self, Assembly};
use crate::supervisor::{Dice, Limits, Observer, Retune, Shutdown, Strategy, Supervisor, runtime};
use crate::tell::{self, Teller};
pub use end::End;
use pulse::Pulse;
pub use wishes::Signals;
use wishes::Wish;

/// A configuration that cannot be read within this time (a mount that hangs) is given up; the old one stays.
const READING: Duration = Duration::from_secs(60);

/// What a daemon is made of, ready to run.
pub struct Daemon<'a> {
    /// As configured.
    pub conf: &'a Conf,
    /// The truth.
    pub journal: Journal,
    /// The actors.
    pub assembly: Assembly,
    /// Reads the configuration again.
    pub reloader: Reloader,
    /// Changes the level of the log.
    pub level: &'a Level,
    /// Stop when stdin ends.
    pub until_eof: bool,
}

/// On the way out.
#[derive(Clone, Debug)]
struct Stopping {
    since: Timestamp,
    why: String,
}

impl Daemon<'_> {
    /// Runs until all actors are gone or somebody wants to leave at once. `Ok` says how it was stopped in order; `Err`, why
    /// the process must end with an error.
    pub async fn run(mut self, signals: Signals, end: &Arc<End>) -> Result<String, String> {
        let notifier = Arc::new(Notifier::from_environment());
        let (mut wishes, mut hangup) = wishes::listen(signals, self.until_eof, end.clone());

        let specs = std::mem::take(&mut self.assembly.specs);
        // With stable addresses and a journal nobody depends on what a neighbour keeps in memory.
        let (limits, one) = (self.conf.supervisor.limits, Strategy::OneForOne);
        let (supervisor, mut ended) =
            Supervisor::new(limits, one, Dice::shaken(), observer(&self.assembly.aside), specs);
        let supervisor = supervisor.start();
        let (tuning, limits) = watch::channel(self.conf.alarm);
        let (leaving, stopping) = watch::channel(None::<Stopping>);
        let (news, latest) = watch::channel(None);
        let wakes = std::mem::take(&mut self.assembly.wakes);
        let (site, dir) = (Site::of(self.conf), self.conf.state_dir.clone());
        let (acts, levers) = acts::desk(self.journal.clone(), self.assembly.store.clone(), wakes, site, dir);
        let unasked = Notices::default();
        self.assembly.notices.push(unasked.clone());
        let control = Control {
            conf: self.conf.clone(),
            journal: self.journal.clone(),
            board: self.assembly.board.clone(),
            latest: latest.clone(),
            acts,
            notices: unasked,
        };
        let (telling, rules) = watch::channel(self.conf.tell.clone());
        let channels = tell::Board::default();
        let pulse = Pulse {
            supervisor: supervisor.clone(),
            journal: self.journal.clone(),
            board: self.assembly.board.clone(),
            store: self.assembly.store.clone(),
            notices: self.assembly.notices.clone(),
            senders: self.assembly.senders.clone(),
            stock: self.assembly.stock.clone(),
            share: self.assembly.share.clone(),
            notifier: notifier.clone(),
            channels: channels.clone(),
            drain: self.conf.supervisor.drain,
            stopping,
            started: clock::now(),
        };
        let dir = self.conf.state_dir.clone();
        let mut beside = JoinSet::new(); // they end with us
        let (there, asker) = (runtime().handle(), wishes.asker());
        let ear = ear::listen(self.journal.clone(), latest.clone(), limits, asker.clone());
        let _levers = beside.spawn_on(levers.keep(), there);
        let teller = Teller {
            state_dir: dir.clone(),
            role: self.conf.role,
            host: self.conf.host.to_string(),
            journal: self.journal.clone(),
            latest: latest.clone(),
            rules,
            board: channels,
        };
        let _teller = beside.spawn_on(tell::keep(teller), there);
        let _pulse = beside.spawn_on(pulse.beat(news), there);
        let _desk = beside.spawn_on(desk::keep(dir, latest, asker), there);
        let _ear = beside.spawn_on(ear, there);
        let _control = beside.spawn_on(control.keep(), there);
        for task in std::mem::take(&mut self.assembly.beside) {
            let _runs = beside.spawn_on(task, there);
        }

        let mut reading: Option<Reading> = None;
        let mut fatal: Option<String> = None;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        let verdict = loop {
            tokio::select! {
                verdict = &mut ended => break verdict.unwrap_or_else(|_| {
                    Err("the supervisor itself ended; the panic stands in the log before this line".to_owned())
                }),
                wish = wishes.next() => match wish {
                    Wish::Leave(signal) => break Err(format!(
                        "left at once on a second signal ({signal}); what was in flight is resumed at the next start"
                    )),
                    Wish::Stop(why) => {
                        if stop(&leaving, &why, &notifier) {
                            supervisor.do_send(Shutdown);
                        }
                    }
                    Wish::Fatal(why) => {
                        tracing::error!(why, "the process must end");
                        if stop(&leaving, &why, &notifier) {
                            supervisor.do_send(Shutdown);
                        }
                        let _the_first_counts = fatal.get_or_insert(why);
                    }
                },
                // One reload at a time. A SIGHUP meanwhile stays with the stream, so the newest file is read in the end.
                _ = hangup.recv(), if reading.is_none() => {
                    if leaving.borrow().is_some() {
                        tracing::warn!("SIGHUP: on the way out, so the configuration is not read again");
                    } else {
                        notifier.reloading();
                        reading = Some(begin(self.reloader.clone()));
                    }
                }
                reread = finished(&mut reading) => {
                    reading = None;
                    if leaving.borrow().is_none() {
                        if let Some(limits) = self.reloaded(reread, &tuning, &telling) {
                            supervisor.do_send(Retune(limits));
                        }
                        notifier.ready();
                    }
                }
                // Without pulse, desk or ear nobody would notice what goes wrong next.
                Some(Err(fell)) = beside.join_next() => {
                    wishes.ask(Wish::Fatal(format!("a part beside the supervisor fell: {fell}")));
                }
                // For tests: stops the thread on which the supervisor lives.
                _ = tick.tick(), if fail::has_failpoints() => fail::fail_point!("main-thread"),
            }
        };
        notifier.stopping();
        self.assembly.aside.settled().await;
        let asked = leaving.borrow().as_ref().map(|s| s.why.clone());
        match (fatal, verdict) {
            (Some(why), _) | (None, Err(why)) => Err(why),
            (None, Ok(())) => {
                Ok(asked.map_or("stopped in order".to_owned(), |why| format!("stopped in order: {why}")))
            }
        }
    }

    /// Takes over what was read and returns the supervisor's new limits, or says why not. Waits for nothing: a state directory
    /// that hangs must not keep us from hearing a signal.
    fn reloaded(
        &mut self,
        read: Result<Reread, String>,
        alarm: &watch::Sender<AlarmConf>,
        telling: &watch::Sender<TellConf>,
    ) -> Option<Limits> {
        let taken = read.and_then(|reread| self.assembly.retune(&reread.conf).map(|()| reread));
        let reread = match taken {
            Ok(reread) => reread,
            Err(why) => {
                tracing::error!(why, "the configuration was not read again; the old one stays");
                return None;
            }
        };
        if let Err(why) = self.level.set(&reread.conf.log.level) {
            tracing::error!(why, "the level of the log stays as it was");
        }
        let _was = alarm.send_replace(reread.conf.alarm);
        let _was = telling.send_replace(reread.conf.tell.clone());
        let limits = reread.conf.supervisor.limits;
        let (changed, needs_restart) = (reread.changed.clone(), reread.needs_restart.clone());
        self.reloader.adopt(reread);
        self.assembly.aside.note(Event::Reloaded { changed, needs_restart });
        Some(limits)
    }
}

type Reading = JoinHandle<Result<Reread, String>>;

/// Reads beside us, because the disk of the configuration may hang.
fn begin(reloader: Reloader) -> Reading {
    runtime().spawn(async move {
        let read = runtime().spawn_blocking(move || {
            let reread = reloader.read(std::env::vars());
            let reread = reread
                .map_err(|Complaints(all)| format!("it has {} fault(s): {}", all.len(), all.join("; ")))?;
            role::prepare(&reread.conf).map(|()| reread)
        });
        match timeout(READING, read).await {
            Ok(Ok(read)) => read,
            Ok(Err(fell)) => Err(fell.to_string()),
            Err(_) => Err(format!("it could not be read within {READING:?}: does its disk answer?")),
        }
    })
}

async fn finished(reading: &mut Option<Reading>) -> Result<Reread, String> {
    match reading {
        Some(reading) => reading.await.unwrap_or_else(|fell| Err(fell.to_string())),
        None => std::future::pending().await,
    }
}

/// The first wish to stop counts; whether this was it.
fn stop(leaving: &watch::Sender<Option<Stopping>>, why: &str, notifier: &Notifier) -> bool {
    let first = leaving.send_if_modified(|now| {
        let first = now.is_none();
        if first {
            *now = Some(Stopping { since: clock::now(), why: why.to_owned() });
        }
        first
    });
    if first {
        tracing::info!(
            why,
            "stopping: what is in hand is finished, nothing new is taken; a second signal leaves at once"
        );
        notifier.stopping();
    } else {
        tracing::info!(why, "stopping already; what is in hand is being finished");
    }
    first
}

fn observer(aside: &Aside) -> Observer {
    let record = role::observer(aside.clone());
    Arc::new(move |incident| {
        fail::fail_point!("supervisor"); // inside the supervisor's own handler
        record(incident);
    })
}
