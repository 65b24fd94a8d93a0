//! `why`: where is this package or sample, and why is it not further?
use clap::Args;

use super::ConfArgs;
use super::ask::{self, Asked};
use super::exit::{Exit, show};
use crate::chain;
use crate::journal;

/// Options of `why`.
#[derive(Args, Debug, Clone)]
pub struct WhyArgs {
    /// kind/name/rN, a name, a sample's number, a LIMS artifact or order, the beginning or a part of a name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    what: String,
    #[command(flatten)]
    conf: ConfArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Tells it. Exit code 1 if nothing is known of it, 2 if several may be meant.
pub fn why(args: &WhyArgs) -> Result<(), Exit> {
    let asked = Asked::of(&args.conf)?;
    let mut answer = asked.present().why(&args.what);
    if let Some((package, order)) = answer.wants() {
        let about = journal::about(&asked.conf.state_dir, package, order).map_err(|e| Exit::no(chain(&e)))?;
        answer = answer.with(&about);
    }
    if args.json {
        let _read = ask::show_json(&answer)?;
    } else {
        let _read = show(&answer.to_text(ask::look()))?;
    }
    match answer.exit_code() {
        0 => Ok(()),
        code => Err(Exit { code, why: String::new() }),
    }
}
