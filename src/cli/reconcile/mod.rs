//! `reconcile`: what journal, bucket, disks and LIMS do not say alike, what to do, and on request what can safely be done.
mod fixing;
mod receiver;
mod sender;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::ConfArgs;
use super::exit::{Exit, say};
use crate::conf::Side;
use crate::package::PackageId;
use crate::reconcile::{Difference, Level};

/// Options of `reconcile`.
#[derive(Args, Debug, Clone)]
pub struct ReconcileArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// Do what can safely be done (said behind each difference); the daemon must be stopped
    #[arg(long)]
    fix: bool,
    /// tsd, after a lost journal: this package has certainly not landed. May be repeated
    #[arg(long, value_name = "KIND/NAME/rN")]
    new: Vec<PackageId>,
    /// tsd, after a lost journal: no receiver has run since this time (UTC), so what was committed later is new. Leave half an hour for clocks
    #[arg(long, value_name = "TIME")]
    lost_at: Option<Timestamp>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What one side found.
struct Report {
    differences: Vec<Difference>,
    /// What was looked at.
    compared: Vec<String>,
    /// What was not, and why.
    not_compared: Vec<String>,
    /// What was done.
    done: Vec<String>,
    /// What was tried and did not come out right.
    undone: Vec<String>,
    /// The journal is gone.
    lost: bool,
}

/// Compares. Exit code 1 if somebody has to do something; 75 something could not be asked, or a daemon is in the way of `--fix`.
pub fn reconcile(args: &ReconcileArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let report = match &conf.side {
        Side::Tsd(tsd) => receiver::reconcile(&conf, tsd, args)?,
        Side::Nsc(_) if args.fix || !args.new.is_empty() || args.lost_at.is_some() => {
            return Err(Exit::config(
                "role nsc only compares: what is safe the daemon does by itself, the rest is a person's",
            ));
        }
        Side::Nsc(nsc) => sender::reconcile(&conf, nsc)?,
    };
    let left = |d: &&Difference| d.level == Level::Act && !(args.fix && d.fix.is_some());
    let left = report.differences.iter().filter(left).count() + report.undone.len();
    if args.json {
        say(format_args!(
            "{:#}",
            json!({"differences": report.differences, "compared": report.compared, "not_compared": report.not_compared,
                "lost_journal": report.lost, "done": report.done, "undone": report.undone})
        ))?;
    } else {
        print(&report, args)?;
    }
    if left == 0 { Ok(()) } else { Err(Exit { code: 1, why: String::new() }) }
}

fn print(report: &Report, args: &ReconcileArgs) -> Result<(), Exit> {
    if report.lost {
        say(format_args!(
            "! the journal is lost: a receiver has worked here, and there is no record of what landed. No daemon starts until `reconcile --fix` has \
             rebuilt it\n"
        ))?;
    }
    for d in &report.differences {
        let sign = if d.level == Level::Act { '!' } else { ' ' };
        let of = d.package.as_ref().map_or(String::new(), |id| format!(" {id}"));
        say(format_args!("{sign} {}:{of}: {}", d.code, d.what))?;
        say(format_args!("    to do: {}", d.todo))?;
        if let Some(fix) = d.fix.as_ref().filter(|_| !args.fix) {
            say(format_args!("    --fix: {fix}"))?;
        }
    }
    for done in &report.done {
        say(format_args!("done: {done}"))?;
    }
    for undone in &report.undone {
        say(format_args!("! not done: {undone}"))?;
    }
    say(format_args!("compared: {}", report.compared.join(", ")))?;
    for not in &report.not_compared {
        say(format_args!("not compared: {not}"))?;
    }
    let act = report.differences.iter().filter(|d| d.level == Level::Act).count();
    say(format_args!("{} difference(s), {act} of them for somebody to look at", report.differences.len()))
}
