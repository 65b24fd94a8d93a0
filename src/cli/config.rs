//! `config check`: what is wrong with the configuration, all at once; on request also compared with the LIMS.
//!
//! It only reads: of the LIMS too, every request is a GET.
use clap::Args;

use super::exit::say;
use super::{ConfArgs, Exit};
use crate::chain;
use crate::clarity::{Class, Error};
use crate::conf::{Conf, NscConf, OrderSource, Side};
use crate::nsc::exporter::{Check, Exporter, Verdict};

/// Options of `config check`.
#[derive(Args, Debug, Clone)]
pub struct CheckArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// Also ask the LIMS: the export step and whether it can be worked with unattended, the queue, names of fields, offered values
    #[arg(long)]
    against_lims: bool,
}

/// Says that it is good, or everything that is not.
pub fn check(args: &CheckArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    conf.check_files().map_err(Exit::config)?;
    conf.check_receipts().map_err(Exit::config)?;
    conf.tell.check_files().map_err(Exit::config)?;
    say(format_args!(
        "the configuration is good: role {}, host {}, store {} bucket {}, {}",
        conf.role,
        conf.host,
        conf.store.endpoint,
        conf.store.bucket,
        side(&conf)
    ))?;
    if !args.against_lims {
        return Ok(());
    }
    match &conf.side {
        Side::Nsc(nsc) if nsc.orders.source == OrderSource::Clarity => against_lims(nsc),
        Side::Nsc(_) => {
            Err(Exit::config("orders.source is not \"clarity\": there is no LIMS to compare with"))
        }
        Side::Tsd(_) => Err(Exit::config("role tsd has no LIMS to compare with: leave --against-lims out")),
    }
}

fn side(conf: &Conf) -> String {
    match &conf.side {
        Side::Nsc(nsc) => {
            let signed = if nsc.signing_key.is_some() { "signed" } else { "UNSIGNED (no signing.key_file)" };
            let from = match &nsc.orders.source {
                OrderSource::Clarity => format!("LIMS {}", nsc.lims.base),
                OrderSource::Directory(path) => format!("work orders in {}", path.display()),
            };
            format!("{from}, transfer tree {}, commits {signed}", nsc.transfer.root.display())
        }
        Side::Tsd(tsd) => {
            let kinds: Vec<&str> = tsd.landing.keys().map(|k| k.as_str()).collect();
            let signed = match tsd.allowed_signers {
                Some(_) => "required",
                None => "NOT REQUIRED (no signers.allowed_file)",
            };
            format!("landing of {}, signatures {signed}", kinds.join(", "))
        }
    }
}

fn against_lims(nsc: &NscConf) -> Result<(), Exit> {
    let exporter = Exporter::new(nsc).map_err(Exit::config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Exit::temporary(format!("could not start: {e}")))?;
    let faults = runtime.block_on(async {
        let mut faults = print(exporter.reachable().await)?;
        faults += print(exporter.checks().await)?;
        faults += print(exporter.field_checks().await)?;
        Ok::<usize, Exit>(faults)
    })?;
    match faults {
        0 => say(format_args!("the LIMS and the configuration fit together")),
        _ => Err(Exit::config(format!("{faults} fault(s): the export cannot run like this"))),
    }
}

/// One line for each check; the number of faults.
fn print(checks: Result<Vec<Check>, Error>) -> Result<usize, Exit> {
    let checks = checks.map_err(|e| match e.class() {
        Class::Outage | Class::Fenced => Exit::temporary(chain(&e)),
        _ => Exit::config(chain(&e)),
    })?;
    for check in &checks {
        let (word, text) = match &check.verdict {
            Verdict::Fine(text) => ("ok", text),
            Verdict::Remark(text) => ("note", text),
            Verdict::Unknown(text) => ("?", text),
            Verdict::Fault(text) => ("FAULT", text),
        };
        say(format_args!("{word:<5} {}: {text}", check.what))?;
    }
    Ok(checks.iter().filter(|check| matches!(check.verdict, Verdict::Fault(_))).count())
}
