//! `run`: the daemon. One state directory, one owner, one journal, one supervisor.
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::area::{self, Areas};
use super::{ConfArgs, Exit};
use crate::chain;
use crate::conf::{Conf, Side};
use crate::daemon::{Daemon, End, Signals};
use crate::disk::OnDisk;
use crate::journal::{self, Event, Holder, Journal, JournalError, Owner, OwnerError};
use crate::lease::{self, Fenced, Lease};
use crate::log::Level;
use crate::reconcile::guard;
use crate::reload::Reloader;
use crate::role::{self, Assembly};
use crate::snapshot;
use crate::stop::Stop;
use crate::supervisor::{install_panic_hook, runtime};
use crate::tsd::share::Refusal;

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
    let settings = args.conf.settings()?;
    let conf = args.conf.check(&settings)?;
    conf.check_files().map_err(Exit::config)?;
    role::check(conf.role, &args.only).map_err(Exit::config)?;
    let (_flushes_at_the_end, level) = crate::log::start(&conf.log).map_err(Exit::config)?;
    install_panic_hook();
    allowed(&conf)?;
    let reloader = Reloader::new(args.conf.config.clone(), args.conf.role, settings);
    start(&conf, args, reloader, &level).map_err(|exit| {
        tracing::error!(code = exit.code, why = exit.why, "the daemon ends");
        Exit { why: String::new(), ..exit } // said already, in the log and on stderr
    })
}

/// Not while a stop file lies there.
fn allowed(conf: &Conf) -> Result<(), Exit> {
    let Some(stop) = Stop::look(&conf.state_dir).map_err(|e| Exit::temporary(chain(&e)))? else {
        return Ok(());
    };
    let file = Stop::path(&conf.state_dir);
    tracing::warn!(file = %file.display(), by = %stop, "not started: a stop file lies there; remove it to start again");
    Err(Exit::forbidden(""))
}

fn start(conf: &Conf, args: &RunArgs, reloader: Reloader, level: &Level) -> Result<(), Exit> {
    let me = Holder::this(conf.host.to_string(), conf.role.to_string());
    let owner = Owner::acquire(&conf.state_dir, &me, conf.lease, args.take_over).map_err(|e| match e {
        OwnerError::Foreign { .. } | OwnerError::Alive { .. } => Exit::config(chain(&e)),
        _ => Exit::temporary(chain(&e)),
    })?;
    // Not before: somebody who waits for a take-over may be interrupted at any time.
    let signals = Signals::hook().map_err(Exit::temporary)?;
    let lease = owner.lease().clone();
    lease::govern(lease.clone());
    end_for_certain(lease.clone())?;
    not_lost(&conf.state_dir)?;
    let journal = Journal::open(&conf.state_dir, &owner).map_err(|e| match e {
        JournalError::Damaged { .. } | JournalError::Version { .. } => Exit::config(chain(&e)),
        _ => Exit::temporary(chain(&e)),
    })?;
    not_begun_anew(conf, &journal)?;
    role::prepare(conf).map_err(Exit::temporary)?;
    let assembly = role::assemble(conf, &journal, &args.only).map_err(Exit::config)?;
    let (role, host, version) = (conf.role.to_string(), me.host, env!("CARGO_PKG_VERSION"));
    let live = async {
        let begin = Event::Started { role, host, pid: me.pid, version: version.to_owned() };
        journal.record(begin).await.map_err(|e| Exit::temporary(chain(&*e)))?;
        let end = End::new(journal.clone());
        if let Err(exit) = worked_here(conf) {
            end.record(75, &exit.why).await;
            return Err(exit);
        }
        let others = tokio::select! {
            others = among_others(conf, &journal, &assembly) => others,
            fenced = lease.run_out() => return Err(Exit::temporary(fenced)),
        };
        let _names_us_until_the_end = match others {
            Ok(areas) => areas,
            Err(refusal) => {
                let exit = match refusal {
                    Refusal::Later(why) => Exit::temporary(why),
                    Refusal::Config(why) => Exit::config(why),
                };
                end.record(exit.code, &exit.why).await;
                return Err(exit);
            }
        };
        let (kept, journal) = (journal.clone(), journal.clone());
        let daemon = Daemon { conf, journal, assembly, reloader, level, until_eof: args.until_eof };
        let verdict = tokio::select! {
            verdict = daemon.run(signals, &end) => verdict,
            // Nothing is drained: what is in flight has no permits any more.
            fenced = lease.run_out() => return Err(Exit::temporary(fenced)),
        };
        let exit = if verdict.is_ok() { 0 } else { 75 };
        let why = match &verdict {
            Ok(why) | Err(why) => why,
        };
        end.record(exit, why).await;
        if exit == 0 {
            kept.leave_checkpoint().await;
        }
        verdict.map(drop).map_err(Exit::temporary)
    };
    actix_rt::System::with_tokio_rt(runtime).block_on(live)
}

/// A receiver with a journal of its own must be alone, or share by claims.
async fn among_others(conf: &Conf, journal: &Journal, assembly: &Assembly) -> Result<Option<Areas>, Refusal> {
    let Side::Tsd(tsd) = &conf.side else { return Ok(None) };
    let seat = journal.view().seat().map(str::to_owned);
    let seat = seat.ok_or_else(|| Refusal::Later("the journal has no first line".into()))?;
    let (host, state_dir) = (conf.host.to_string(), conf.state_dir.clone());
    let (tsd, wish) = (tsd.clone(), area::Wish { seat, host, state_dir, lease: conf.lease });
    let entered = runtime().spawn_blocking(move || area::enter(&OnDisk::alone(), &tsd, &wish)).await;
    let areas = entered.map_err(|fell| Refusal::Later(format!("looking for other daemons: {fell}")))??;
    assembly.share.open(journal).await?;
    Ok(Some(areas))
}

/// A daemon has worked here, and its journal is gone: to begin a new one would send and deliver everything once more.
fn not_lost(state_dir: &Path) -> Result<(), Exit> {
    let there = |name: &str| {
        let path = state_dir.join(name);
        path.try_exists().map_err(|e| Exit::temporary(format!("could not look for {}: {e}", path.display())))
    };
    if there(journal::FILE)? || !there(snapshot::FILE)? {
        return Ok(());
    }
    Err(Exit::config(format!(
        "{} is missing, although a daemon has worked in {}: put it back. Only if it is really lost: a receiver's is \
         rebuilt by `tsd-import reconcile --fix`; at the sending side, if what was sent is known from elsewhere, remove {} and start anew",
        state_dir.join(journal::FILE).display(),
        state_dir.display(),
        snapshot::FILE
    )))
}

/// A receiver's journal is empty where a receiver has worked: what its consumers took away would land once more.
fn not_begun_anew(conf: &Conf, journal: &Journal) -> Result<(), Exit> {
    let Side::Tsd(tsd) = &conf.side else { return Ok(()) };
    let cure = "Put the journal back from its backup, or have it rebuilt: `tsd-import reconcile` says what there is, `tsd-import \
                reconcile --fix` rebuilds it (docs/operations.md, \"A lost journal\")";
    let rebuilding = conf.state_dir.join(guard::REBUILDING);
    let look =
        |e: std::io::Error| Exit::temporary(format!("could not look for {}: {e}", rebuilding.display()));
    if rebuilding.try_exists().map_err(look)? {
        return Err(Exit::config(format!(
            "the journal was being rebuilt, and that was cut off ({}). {cure}",
            rebuilding.display()
        )));
    }
    if journal.view().born().is_some() {
        return Ok(());
    }
    match guard::traces(&OnDisk::alone(), &tsd.landing, &conf.host).map_err(|e| Exit::temporary(chain(&e)))? {
        None => Ok(()),
        Some(traces) => Err(Exit::config(format!(
            "the journal in {} is empty, although a receiver has worked here: {traces}. {cure}",
            conf.state_dir.display()
        ))),
    }
}

/// Leaves behind what tells of it, should the journal be lost.
fn worked_here(conf: &Conf) -> Result<(), Exit> {
    let Side::Tsd(tsd) = &conf.side else { return Ok(()) };
    let left = guard::leave_marks(&OnDisk::alone(), &tsd.landing, &conf.host, &conf.state_dir);
    left.map_err(|e| Exit::temporary(chain(&e)))
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
