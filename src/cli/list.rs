//! `list`: which packages are there?
use clap::Args;

use super::ConfArgs;
use super::ask::{self, Asked};
use super::exit::{Exit, show};
use super::review::{Moment, moment};
use crate::clock;
use crate::package::{Kind, Priority, State};
use crate::present::Filter;

/// Options of `list`.
#[derive(Args, Debug, Clone)]
pub struct ListArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// Only in these states, such as quarantined or uploading,packed
    #[arg(long, value_delimiter = ',', value_parser = state, value_name = "STATES")]
    state: Vec<State>,
    /// Only of these kinds, such as samples
    #[arg(long, value_delimiter = ',', value_name = "KINDS")]
    kind: Vec<Kind>,
    /// Only of these priorities: urgent, high, normal
    #[arg(long, value_delimiter = ',', value_name = "PRIORITIES")]
    priority: Vec<Priority>,
    /// Only those that came into their state since then: an age such as 24h, or a time (UTC) such as 2026-06-12T18:00
    #[arg(long, value_parser = moment, value_name = "AGE|TIME")]
    since: Option<Moment>,
    /// Only those that came into their state before then: the same
    #[arg(long, value_parser = moment, value_name = "AGE|TIME")]
    until: Option<Moment>,
    /// Only those that were stopped: held or quarantined
    #[arg(long)]
    stopped: bool,
    /// Only those under way: neither stopped nor at their end
    #[arg(long, conflicts_with = "stopped")]
    moving: bool,
    /// Only with this in their name; with * or ? a pattern for the whole name or for kind/name/rN
    #[arg(long, value_name = "PART|PATTERN")]
    name: Option<String>,
    /// At most so many; 0: all
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn state(text: &str) -> Result<State, String> {
    let known = || State::ALL.map(State::as_str).join(", ");
    let found = State::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| format!("there is no state {text:?}; there are {}", known()))
}

/// Prints them, those whose state changed last first.
pub fn list(args: &ListArgs) -> Result<(), Exit> {
    let mut asked = Asked::of(&args.conf)?;
    let now = clock::now();
    let given = |moment: &Option<Moment>| moment.as_ref().map(|m| m.resolve(now)).transpose();
    let filter = Filter {
        states: args.state.clone(),
        kinds: args.kind.clone(),
        priorities: args.priority.clone(),
        since: given(&args.since)?,
        until: given(&args.until)?,
        stopped: args.stopped,
        moving: args.moving,
        name: args.name.clone(),
        limit: (args.limit > 0).then_some(args.limit),
    };
    let answer = asked.list(&filter)?;
    if args.json {
        let _read = ask::show_json(&answer)?;
    } else {
        let _read = show(&answer.to_text(ask::look()))?;
    }
    Ok(())
}
