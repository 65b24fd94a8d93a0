//! `supersede`: a person's word that a package which was stopped because another one of its name was handed over counts instead of that.
//!
//! Nothing is deleted: what still lies at the destination is moved aside, on request, with its `READY`. The word, who gave it and why
//! stand in the journal. Limit: what its consumer has taken away already is the consumer's to withdraw.
use std::path::{Path, PathBuf};

use clap::Args;

use super::ConfArgs;
use super::exit::{Exit, say};
use super::owned;
use crate::chain;
use crate::conf::{Conf, Side, TsdConf};
use crate::fs;
use crate::journal::{Event, Facts, Journal};
use crate::package::{PackageId, Reason, State};
use crate::reconcile::gather;
use crate::stop::person;
use crate::supervisor::runtime;

/// Options of `supersede`.
#[derive(Args, Debug, Clone)]
pub struct SupersedeArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// The package that counts from now on
    #[arg(value_name = "KIND/NAME/rN")]
    package: PackageId,
    /// Why; stands in the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Move what still lies at its destination aside, into .quarantine
    #[arg(long)]
    set_aside: bool,
}

/// Takes a package up again that was stopped as `supersedes`. The daemon must be stopped.
pub fn supersede(args: &SupersedeArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let Side::Tsd(tsd) = &conf.side else {
        return Err(Exit::config("only role tsd hands packages over"));
    };
    if tsd.share.claims {
        return Err(Exit::config(
            "with share.claims the other hosts have heard that the package is stopped: set landing.KIND.revisions = \"land\" on all of them and \
             have it sent once more as a new revision",
        ));
    }
    let owner = owned::take(&conf)?;
    let journal = owned::journal(&conf, &owner)?;
    let (role, host, pid) = (conf.role.to_string(), conf.host.to_string(), std::process::id());
    let version = env!("CARGO_PKG_VERSION").to_owned();
    record(&journal, Event::Started { role, host, pid, version })?;
    let done = perform(args, &conf, tsd, &journal);
    let (exit, why) = match &done {
        Ok(_) => (0, format!("supersede {}: done", args.package)),
        Err(refused) => (refused.code, format!("supersede {}: {}", args.package, refused.why)),
    };
    record(&journal, Event::Stopped { exit: exit.into(), why })?;
    drop(owner);
    say(format_args!("{}", done?))
}

fn record(journal: &Journal, event: Event) -> Result<(), Exit> {
    runtime().block_on(journal.record(event)).map_err(|e| Exit::temporary(chain(&*e)))
}

/// In words, what was done.
fn perform(args: &SupersedeArgs, conf: &Conf, tsd: &TsdConf, journal: &Journal) -> Result<String, Exit> {
    let id = &args.package;
    let (state, reason, older) = {
        let view = journal.view();
        let row = view.package(id).ok_or_else(|| Exit::no(format!("{id}: the journal does not know it")))?;
        let older = view.revisions(&id.kind, &id.name).filter(|row| row.state == State::Ready);
        (row.state, row.facts.reason, older.last().map(|row| row.id.clone()))
    };
    if (state, reason) != (State::Quarantined, Some(Reason::Supersedes)) {
        return Err(Exit::no(format!(
            "{id} is {state}{}: only what is stopped as {} can be taken up like this",
            reason.map_or(String::new(), |reason| format!(" ({reason})")),
            Reason::Supersedes
        )));
    }
    let older = older.ok_or_else(|| Exit::no(format!("{id}: no other revision was handed over here")))?;
    let place =
        tsd.landing.get(&id.kind).ok_or_else(|| Exit::config(format!("{id}: its kind has no landing")))?;
    let broken = |e| Exit::temporary(chain(&e));
    fs::answers(&place.destination).map_err(broken)?;
    let lies = gather::destination(place, id);
    let area = gather::beside(place, ".quarantine");
    if fs::dir_exists(&lies).map_err(broken)? {
        if !args.set_aside {
            return Err(Exit::no(format!(
                "{older} still lies at {}: make sure that nobody works on it, then --set-aside moves it into {}",
                lies.display(),
                area.display()
            )));
        }
        let _at = set_aside(&older, &lies, &area)?;
    }
    // Also by an earlier attempt that was cut off.
    let mut detail = format!("supersedes {older}, on {}: {}", conf.host, args.reason);
    for n in 1..=MOST {
        let aside = aside(&older, &area, n);
        if fs::dir_exists(&aside).map_err(broken)? {
            detail = format!("{detail}; the other one lies in {}", aside.display());
        }
    }
    let facts = Facts { detail: Some(detail.clone()), ..Facts::default() };
    let by = person();
    let step = journal.step(id, Some(State::Quarantined), State::Seen, &by, facts);
    let moved = runtime().block_on(step).map_err(|e| Exit::temporary(chain(&*e)))?;
    match moved {
        true => Ok(format!("{id} is taken up again: the daemon lands it. In the journal: {detail}")),
        false => Err(Exit::temporary(format!("{id} was moved meanwhile"))),
    }
}

/// So often one of this name can be set aside.
const MOST: u32 = 20;

fn aside(older: &PackageId, area: &Path, n: u32) -> PathBuf {
    area.join(format!("{}~superseded.{n}", older.to_string().replace('/', "~")))
}

fn set_aside(older: &PackageId, lies: &Path, area: &Path) -> Result<PathBuf, Exit> {
    for n in 1..=MOST {
        let to = aside(older, area, n);
        match fs::publish(lies, &to) {
            Ok(()) => return Ok(to),
            Err(e) if e.source.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Exit::temporary(chain(&e))),
        }
    }
    Err(Exit::no(format!("{older} was set aside {MOST} times already: see {}", area.display())))
}
