//! `why`: where is this package or sample, and why is it not further?
use clap::Args;

use super::ConfArgs;
use super::ask::{self, Asked};
use super::exit::{Exit, show};

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
    let mut asked = Asked::of(&args.conf)?;
    let answer = asked.why(&args.what)?;
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
