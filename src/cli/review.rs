//! `review`: what happened, is it over, do I have to act?
use jiff::{Span, Timestamp};

use super::ConfArgs;
use super::exit::{Exit, say};
use crate::clock;
use crate::journal::{self, Owner};
use crate::review::{Review, Scope};
use crate::role;

/// Options of `review`.
#[derive(clap::Args, Debug, Clone)]
pub struct ReviewArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// From: an age such as 24h, or a time such as 2026-06-12T18:00:00Z
    #[arg(long, default_value = "24h", value_parser = moment)]
    since: Moment,
    /// To: the same; now if not given
    #[arg(long, value_parser = moment)]
    until: Option<Moment>,
    /// Only this actor's incidents, outages and failures
    #[arg(long)]
    actor: Option<String>,
    /// Only packages whose name contains this
    #[arg(long)]
    package: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A moment as a person gives it.
#[derive(Clone, Debug)]
pub enum Moment {
    Ago(Span),
    At(Timestamp),
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Moment::At(at));
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| e.to_string())?;
        return Ok(Moment::At(midnight.timestamp()));
    }
    let span: Span = text
        .parse()
        .map_err(|_| format!("{text:?} is no age (24h, 30min) and no time (2026-06-12T18:00:00Z)"))?;
    Ok(Moment::Ago(span))
}

impl Moment {
    fn resolve(&self, now: Timestamp) -> Result<Timestamp, Exit> {
        match self {
            Self::At(at) => Ok(*at),
            Self::Ago(span) => {
                let zoned = now.to_zoned(jiff::tz::TimeZone::UTC).checked_sub(*span);
                zoned.map(|z| z.timestamp()).map_err(|e| Exit::no(format!("that is too long ago: {e}")))
            }
        }
    }
}

/// Reads the journal and prints the review. Exit code 1 if somebody has to act.
pub fn review(args: &ReviewArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let now = clock::now();
    let scope = Scope {
        since: args.since.resolve(now)?,
        until: args.until.as_ref().map_or(Ok(now), |u| u.resolve(now))?,
        actor: args.actor.clone(),
        package: args.package.clone(),
    };
    if scope.since >= scope.until {
        return Err(Exit::no("--since must lie before --until, and neither in the future"));
    }
    let known = role::actors(conf.role);
    if let Some(odd) = args.actor.as_deref().filter(|a| !known.contains(a)) {
        return Err(Exit::no(format!(
            "role {} has no actor {odd:?}; it has {}",
            conf.role,
            known.join(", ")
        )));
    }
    if !conf.state_dir.join(journal::FILE).is_file() {
        return Err(Exit::no(format!(
            "there is no journal in {}; is state.dir right?",
            conf.state_dir.display()
        )));
    }
    let mut review = Review::default();
    review.alive = Owner::look(&conf.state_dir).is_some();
    let read = journal::read(&conf.state_dir, |line| review.take(&line, &scope));
    let report = read.map_err(|e| Exit::no(crate::chain(&e)))?;
    review.finish(&scope);
    if let Some(wanted) = args.package.as_deref().filter(|_| review.packages() == 0) {
        return Err(Exit::no(format!("no package in this journal has {wanted:?} in its name")));
    }
    if args.json {
        let text = serde_json::to_string_pretty(&review).map_err(Exit::no)?;
        say(format_args!("{text}"))?;
    } else {
        say(format_args!("{}", review.to_text(&scope, conf.role.as_str()).trim_end()))?;
        if report.torn > 0 {
            say(format_args!("\nthe last line of the journal is not whole (yet) and was not counted"))?;
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
        assert!(moment("yesterday").unwrap_err().contains("24h"));
    }
}
