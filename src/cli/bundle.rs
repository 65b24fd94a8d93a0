//! `support-bundle`: one file for those who help.
use std::path::PathBuf;

use clap::Args;

use super::exit::say;
use super::{ConfArgs, Exit};
use crate::bundle::{BundleError, Site, Wish, make};
use crate::clock;
use crate::journal::{self, Fold, JournalError};
use crate::review::size;
use crate::snapshot::Snapshot;

/// Options of `support-bundle`.
#[derive(Args, Debug, Clone)]
pub struct BundleArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// The file; it must not be there yet [default: tsd-import-support-ROLE-HOST-TIME.tar.gz, here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Logs and journal of so many days
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// All files together, before they are packed, in MB
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    max_mb: u64,
}

/// Makes it and says what is in it.
pub fn bundle(args: &BundleArgs) -> Result<(), Exit> {
    let settings = args.conf.settings()?;
    let conf = args.conf.check(&settings)?;
    let mut fold = Fold::default();
    let read = journal::read(&conf.state_dir, |line| fold.apply(&line));
    let damage = match read {
        Ok(_) => None,
        Err(e @ JournalError::Damaged { .. }) => Some(crate::chain(&e)),
        Err(e) => {
            return Err(Exit::no(format!(
                "{}; without it nobody knows which names to take out",
                crate::chain(&e)
            )));
        }
    };
    let seen = Snapshot::read(&conf.state_dir);
    let now = clock::now();
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    let usual = || PathBuf::from(format!("tsd-import-support-{}-{}-{time}.tar.gz", conf.role, conf.host));
    let wish =
        Wish { out: args.out.clone().unwrap_or_else(usual), days: args.days, bytes: args.max_mb * 1_000_000 };
    let site = Site { conf: &conf, settings: &settings, fold: &fold, damage, seen: seen.as_ref() };
    let index = make(&site, &wish, now).map_err(|e| match e {
        BundleError::Leak { .. } | BundleError::Names(_) => Exit::no(crate::chain(&e)),
        _ => Exit::config(crate::chain(&e)),
    })?;
    let packed = std::fs::metadata(&wish.out).map_or(0, |meta| meta.len());
    for file in &index.files {
        say(format_args!("  {:>10}  {}: {}", size(file.bytes), file.name, file.what))?;
    }
    for line in &index.left_out {
        say(format_args!("  left out: {line}"))?;
    }
    say(format_args!(
        "{}: {}; ids are pseudonyms, secrets are gone, and it was searched for both",
        wish.out.display(),
        size(packed)
    ))
}
