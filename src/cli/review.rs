//! `review`: what happened, is it over, do I have to act?
use std::path::PathBuf;

use jiff::{Span, Timestamp};

use super::ConfArgs;
use super::exit::{Exit, say};
use crate::clock;
use crate::conf::Role;
use crate::review::{self, Level, Scope, Source};
use crate::role;

/// Options of `review`.
#[derive(clap::Args, Debug, Clone)]
pub struct ReviewArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// From: an age such as 24h or 3d, or a time (UTC) such as 2026-06-12 or 2026-06-12T18:00 [default: 24h; with --log: all]
    #[arg(long, value_parser = moment, value_name = "AGE|TIME")]
    since: Option<Moment>,
    /// To: the same [default: now; with --log: its last line]
    #[arg(long, value_parser = moment, value_name = "AGE|TIME")]
    until: Option<Moment>,
    /// Only this actor's incidents, outages and failures, all of them
    #[arg(long)]
    actor: Option<String>,
    /// Only packages whose name contains this, with the way of each
    #[arg(long)]
    package: Option<String>,
    /// Also list the lines of the log that are this bad or worse
    #[arg(long)]
    level: Option<Level>,
    /// Everything, as JSON
    #[arg(long)]
    json: bool,
    /// Also write the review with charts into this file, which opens in any browser without a network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Read these log files or directories instead of the configured site's journal and log: copies, other hosts', gzipped ones
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    log: Vec<PathBuf>,
}

/// A moment as a person gives it.
#[derive(Clone, Debug)]
pub enum Moment {
    Ago(Span),
    At(Timestamp),
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Moment::At(at));
    }
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        let at = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| e.to_string())?;
        return Ok(Moment::At(at.timestamp()));
    }
    let span: Span = text.parse().map_err(|_| {
        format!("{text:?} is no age (24h, 30min, 3d) and no time (2026-06-12, 2026-06-12T18:00, 2026-06-12T18:00:00Z)")
    })?;
    Ok(Moment::Ago(span))
}

impl Moment {
    pub(super) fn resolve(&self, now: Timestamp) -> Result<Timestamp, Exit> {
        match self {
            Self::At(at) => Ok(*at),
            Self::Ago(span) => {
                let zoned = now.to_zoned(jiff::tz::TimeZone::UTC).checked_sub(*span);
                zoned.map(|z| z.timestamp()).map_err(|e| Exit::config(format!("that is too long ago: {e}")))
            }
        }
    }
}

/// What is reviewed where nothing else is said.
const HOURS: i64 = 24;

/// Reads journal and logs and prints the review. Exit code 1 if somebody has to act; 78 if there is nothing to read.
pub fn review(args: &ReviewArgs) -> Result<(), Exit> {
    let now = clock::now();
    let given = |moment: &Option<Moment>| moment.as_ref().map(|m| m.resolve(now)).transpose();
    let (mut since, until) = (given(&args.since)?, given(&args.until)?);
    let (source, actors) = if args.log.is_empty() {
        let or_logs =
            |e: Exit| Exit { why: format!("{}; logs alone are read with --log FILE-or-DIR", e.why), ..e };
        let conf = args.conf.load().map_err(or_logs)?;
        since = since.or(until.unwrap_or(now).checked_sub(jiff::SignedDuration::from_hours(HOURS)).ok());
        let actors = role::actors(conf.role).to_vec();
        (Source::Site { state: conf.state_dir, log: conf.log.dir }, actors)
    } else {
        let actors = [Role::Nsc, Role::Tsd].into_iter().flat_map(role::actors).collect();
        (Source::Logs(args.log.clone()), actors)
    };
    if since.is_some_and(|since| since >= until.unwrap_or(now)) {
        return Err(Exit::config("--since must lie before --until, and neither in the future"));
    }
    if let Some(odd) = args.actor.as_deref().filter(|a| !actors.contains(a)) {
        return Err(Exit::config(format!("there is no actor {odd:?}; there are {}", actors.join(", "))));
    }
    let scope =
        Scope { since, until, actor: args.actor.clone(), package: args.package.clone(), level: args.level };
    let review = review::review(&source, &scope, now).map_err(|e| Exit::config(crate::chain(&e)))?;
    if let Some(wanted) = args.package.as_deref().filter(|_| review.known_packages == 0) {
        return Err(Exit::no(format!("no package in what was read has {wanted:?} in its name")));
    }
    if args.json {
        let text = serde_json::to_string_pretty(&review).map_err(Exit::no)?;
        say(format_args!("{text}"))?;
    } else {
        say(format_args!("{}", review.to_text().trim_end()))?;
    }
    if let Some(path) = &args.html {
        let page = review.to_html(now).map_err(|e| Exit::no(format!("could not draw the charts: {e}")))?;
        crate::fs::write_durably(path, page.as_bytes()).map_err(|e| Exit::config(crate::chain(&e)))?;
        if !args.json {
            say(format_args!("\nthe same with charts: {}", path.display()))?;
        }
    }
    if review.needs_somebody() { Err(Exit { code: 1, why: String::new() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_times_and_dates_are_understood() {
        let now: Timestamp = "2026-06-12T12:00:00Z".parse().unwrap();
        let at = |text: &str| moment(text).unwrap().resolve(now).unwrap().to_string();
        assert_eq!(at("24h"), "2026-06-11T12:00:00Z");
        assert_eq!(at("2d"), "2026-06-10T12:00:00Z");
        assert_eq!(at("2026-06-01T01:02:03Z"), "2026-06-01T01:02:03Z");
        assert_eq!(at("2026-06-01"), "2026-06-01T00:00:00Z");
        assert_eq!(at("2026-06-01T18:30"), "2026-06-01T18:30:00Z");
        assert_eq!(at("2026-06-01 18:30"), "2026-06-01T18:30:00Z");
        assert!(moment("yesterday").unwrap_err().contains("24h"));
    }
}
