//! `run`: the daemon. One state directory, one owner, one journal, one supervisor.
use std::time::Duration;

use actix::{Actor, Addr};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfArgs, Exit};
use crate::chain;
use crate::clock;
use crate::conf::Conf;
use crate::journal::{Event, Holder, Journal, JournalError, Owner, OwnerError};
use crate::lease::{self, Fenced, Lease};
use crate::role::{self, Assembly};
use crate::snapshot::{Clerk, Snapshot};
use crate::supervisor::{Dice, Shutdown, Status, Strategy, Supervisor, install_panic_hook, runtime};

/// After the end of the lease, for the end in order.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Options of `run`.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// Run only these actors of the role, such as poller,packager
    #[arg(long, value_delimiter = ',', value_name = "ACTORS")]
    only: Vec<String>,
    /// Take a state directory that another host left owned; watches first that it is not renewed there any more
    #[arg(long)]
    take_over: bool,
    /// Stop when stdin ends: for a parent that must not leave us behind
    #[arg(long, hide = true)]
    until_eof: bool,
}

/// Runs until it is told to stop or gives up.
pub fn run(args: &RunArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    conf.check_files().map_err(Exit::config)?;
    role::check(conf.role, &args.only).map_err(Exit::config)?;
    let _flushes_at_the_end = crate::log::start(&conf.log).map_err(Exit::config)?;
    install_panic_hook();
    start(&conf, args).map_err(|exit| {
        tracing::error!(code = exit.code, why = exit.why, "the daemon ends");
        Exit { why: String::new(), ..exit } // said already, in the log and on stderr
    })
}

fn start(conf: &Conf, args: &RunArgs) -> Result<(), Exit> {
    let me = Holder::this(conf.host.to_string(), conf.role.to_string());
    let owner = Owner::acquire(&conf.state_dir, &me, conf.lease, args.take_over).map_err(|e| match e {
        OwnerError::Foreign { .. } | OwnerError::Alive { .. } => Exit::config(chain(&e)),
        _ => Exit::temporary(chain(&e)),
    })?;
    let lease = owner.lease().clone();
    lease::govern(lease.clone());
    end_for_certain(lease.clone())?;
    let journal = Journal::open(&conf.state_dir, &owner).map_err(|e| match e {
        JournalError::Damaged { .. } | JournalError::Version { .. } => Exit::config(chain(&e)),
        _ => Exit::temporary(chain(&e)),
    })?;
    let assembly = role::assemble(conf, &journal, &args.only).map_err(Exit::config)?;
    let (role, host, version) = (conf.role.to_string(), me.host, env!("CARGO_PKG_VERSION"));
    let live = async {
        let begin = Event::Started { role, host, pid: me.pid, version: version.to_owned() };
        journal.record(begin).await.map_err(|e| Exit::temporary(chain(&*e)))?;
        let verdict = tokio::select! {
            verdict = supervise(conf, &journal, assembly, args.until_eof) => verdict,
            // Nothing is drained: what is in flight has no permits any more.
            fenced = lease.run_out() => return Err(Exit::temporary(fenced)),
        };
        let exit = verdict.as_ref().err().map_or(0, |_| 75);
        let why = verdict.clone().err().unwrap_or_else(|| "stopped in order".into());
        if let Err(e) = journal.record(Event::Stopped { exit, why: why.clone() }).await {
            tracing::error!(error = %chain(&*e), "could not record the end in the journal");
        }
        verdict.map_err(Exit::temporary)
    };
    actix_rt::System::with_tokio_rt(runtime).block_on(live)
}

/// Once the lease is over the process must go, also if the disk has taken its main thread with it.
fn end_for_certain(lease: Lease) -> Result<(), Exit> {
    let wait = move || {
        let why = loop {
            match lease.over() {
                None => std::thread::sleep(Duration::from_secs(1)),
                Some(Fenced::Released) => return, // the end is in order
                Some(why) => break why,
            }
        };
        std::thread::sleep(LAST_WORDS);
        tracing::error!(%why, "the process does not come to its end by itself and is ended");
        std::process::exit(75);
    };
    let spawned = std::thread::Builder::new().name("last".into()).spawn(wait);
    spawned.map(drop).map_err(|e| Exit::temporary(format!("could not start a thread: {e}")))
}

async fn supervise(
    conf: &Conf,
    journal: &Journal,
    assembly: Assembly,
    until_eof: bool,
) -> Result<(), String> {
    let observer = role::observer(journal.clone());
    let (limits, one) = (conf.supervisor.limits, Strategy::OneForOne);
    let (supervisor, mut ended) = Supervisor::new(limits, one, Dice::shaken(), observer, assembly.specs);
    let supervisor = supervisor.start();
    let clerk = Clerk::start(conf.state_dir.clone());
    let clerk = clerk.map_err(|e| format!("could not start the thread that writes status.json: {e}"))?;
    let (board, notices) = (assembly.board, assembly.notices);
    let (asked, began) = (supervisor.clone(), clock::now());
    let writing = actix_rt::spawn(async move {
        loop {
            let mut not_taken = std::collections::BTreeMap::new();
            notices.iter().for_each(|n| not_taken.extend(n.now()));
            write_status(&asked, &clerk, began, board.motions(), not_taken).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let hook = |kind| signal(kind).map_err(|e| format!("could not listen for signals: {e}"));
    let (mut term, mut int) = (hook(SignalKind::terminate())?, hook(SignalKind::interrupt())?);
    let mut parent = std::pin::pin!(parent_gone(until_eof));
    let gone = |_| "the supervisor itself ended".to_owned();
    let name = tokio::select! {
        verdict = &mut ended => return verdict.map_err(gone)?,
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
        () = &mut parent => "end of stdin",
    };
    tracing::info!(
        signal = name,
        "stopping: what is in hand is finished, nothing new is taken; a second signal leaves at once"
    );
    supervisor.do_send(Shutdown);
    let verdict = tokio::select! {
        verdict = &mut ended => verdict.map_err(gone)?,
        _ = term.recv() => Err("left at once on a second signal; what was in flight is resumed at the next start".into()),
        _ = int.recv() => Err("left at once on a second signal; what was in flight is resumed at the next start".into()),
    };
    writing.abort();
    verdict
}

/// Waits for the end of stdin, which comes when the parent is gone, however it went. For ever, if nobody asked for that.
async fn parent_gone(asked: bool) {
    if !asked {
        return std::future::pending().await;
    }
    let mut buffer = [0; 64];
    let mut stdin = tokio::io::stdin();
    while tokio::io::AsyncReadExt::read(&mut stdin, &mut buffer).await.is_ok_and(|n| n > 0) {}
}

async fn write_status(
    supervisor: &Addr<Supervisor>,
    clerk: &Clerk,
    started: jiff::Timestamp,
    moving: Vec<crate::supervisor::meter::Motion>,
    not_taken: std::collections::BTreeMap<String, String>,
) {
    let Ok(mut actors) = supervisor.send(Status).await else { return };
    actors.reverse(); // shown in the order of flow
    let snapshot = Snapshot {
        at: clock::now(),
        started,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        actors,
        moving,
        not_taken,
    };
    clerk.write(snapshot);
}
