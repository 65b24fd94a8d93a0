//! People's levers: hold, release, retry, priority, reexport, pause, resume, bandwidth, undrain. The daemon does what is asked, over its
//! control socket; where none runs, this command does it as the daemon would. `--dry-run` is the same up to the journal.
use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::{Span, Timestamp};

use super::ConfArgs;
use super::exit::{Exit, say};
use super::owned;
use crate::acts::shelf::Shelf;
use crate::acts::{Act, Answer, Limit, Outcome, Plan, Request, Site, Told, judge, perform};
use crate::chain;
use crate::clock;
use crate::conf::Conf;
use crate::control::client::{self, Trouble};
use crate::journal::{self, Fold, Holder, Owner};
use crate::package::{Priority, State};
use crate::stop::{Stop, person};
use crate::supervisor::runtime;

/// How long a daemon has for a request that was laid into its state directory.
const PATIENCE: Duration = Duration::from_secs(30);
/// A daemon answers sooner.
const ASKING: Duration = Duration::from_secs(10);

/// What all of them take.
#[derive(Args, Debug, Clone)]
pub struct Common {
    #[command(flatten)]
    conf: ConfArgs,
    /// Why; stands in the journal for those who ask later. Asked for on a terminal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Options of `hold`, `release` and `reexport`.
#[derive(Args, Debug, Clone)]
pub struct PackagesArgs {
    /// kind/name/rN, a name, a sample's number, or the beginning of a name, as far as it is clear
    #[arg(required = true, value_name = "PACKAGE")]
    packages: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Options of `retry`.
#[derive(Args, Debug, Clone)]
pub struct RetryArgs {
    /// As for `hold`
    #[arg(required = true, value_name = "PACKAGE")]
    packages: Vec<String>,
    /// From this step, such as packed or seen; else from where it can be gone on with
    #[arg(long, value_name = "STATE", value_parser = super::list::state)]
    from: Option<State>,
    #[command(flatten)]
    common: Common,
}

/// Options of `priority`.
#[derive(Args, Debug, Clone)]
pub struct PriorityArgs {
    /// As for `hold`
    #[arg(required = true, value_name = "PACKAGE")]
    packages: Vec<String>,
    /// urgent, high or normal
    #[arg(required = true)]
    priority: Priority,
    #[command(flatten)]
    common: Common,
}

/// Options of `pause` and `resume`.
#[derive(Args, Debug, Clone)]
pub struct PauseArgs {
    /// An actor, such as poller or copier, or `uploads`: the sending of packages alone
    #[arg(value_name = "ACTOR|uploads")]
    what: String,
    #[command(flatten)]
    common: Common,
}

/// Options of `bandwidth`.
#[derive(Args, Debug, Clone)]
pub struct BandwidthArgs {
    /// Such as 50MB/s; `off`: no limit; `as-configured`: store.limit and its timetable count again
    #[arg(value_parser = limit)]
    limit: Limit,
    /// It ends by itself then: a length of time such as 2h, or a time (UTC) such as 2026-06-12T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    #[command(flatten)]
    common: Common,
}

/// Options of `undrain`.
#[derive(Args, Debug, Clone)]
pub struct UndrainArgs {
    #[command(flatten)]
    common: Common,
}

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "off" => return Ok(Limit::Off),
        "as-configured" => return Ok(Limit::AsConfigured),
        _ => {}
    }
    let bytes = text.strip_suffix("/s").unwrap_or(text).parse::<bytesize::ByteSize>();
    let bytes = bytes.map_err(|_| format!("{text:?} is no limit such as 50MB/s, off or as-configured"))?;
    Ok(Limit::Bytes(bytes.as_u64()))
}

fn until(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let span: Span = text.parse().map_err(|_| {
        format!("{text:?} is no length of time such as 2h and no time such as 2026-06-12T18:00:00Z")
    })?;
    let then = clock::now().to_zoned(jiff::tz::TimeZone::UTC).checked_add(span);
    then.map(|then| then.timestamp()).map_err(|e| e.to_string())
}

fn each(packages: &[String], act: impl Fn(String) -> Act) -> Vec<Act> {
    packages.iter().cloned().map(act).collect()
}

/// Nobody works on them until they are released.
pub fn hold(args: &PackagesArgs) -> Result<(), Exit> {
    carry_out(&args.common, each(&args.packages, |package| Act::Hold { package }))
}

/// What is held or was stopped is taken up again.
pub fn release(args: &PackagesArgs) -> Result<(), Exit> {
    carry_out(&args.common, each(&args.packages, |package| Act::Release { package }))
}

/// What failed or was stopped is tried again.
pub fn retry(args: &RetryArgs) -> Result<(), Exit> {
    carry_out(&args.common, each(&args.packages, |package| Act::Retry { package, from: args.from }))
}

/// How soon.
pub fn priority(args: &PriorityArgs) -> Result<(), Exit> {
    let priority = args.priority;
    carry_out(&args.common, each(&args.packages, |package| Act::Priority { package, priority }))
}

/// What was sent is sent once more, as a new revision.
pub fn reexport(args: &PackagesArgs) -> Result<(), Exit> {
    carry_out(&args.common, each(&args.packages, |package| Act::Reexport { package }))
}

/// An actor takes nothing new.
pub fn pause(args: &PauseArgs) -> Result<(), Exit> {
    carry_out(&args.common, vec![Act::Pause { what: args.what.clone() }])
}

/// It goes on.
pub fn resume(args: &PauseArgs) -> Result<(), Exit> {
    carry_out(&args.common, vec![Act::Resume { what: args.what.clone() }])
}

/// Another limit of bytes a second.
pub fn bandwidth(args: &BandwidthArgs) -> Result<(), Exit> {
    carry_out(&args.common, vec![Act::Bandwidth { limit: args.limit, until: args.until }])
}

/// Takes the stop file away. A daemon that is on its way out already goes on with that.
pub fn undrain(args: &UndrainArgs) -> Result<(), Exit> {
    let conf = args.common.conf.load()?;
    let failed = |e: &crate::fs::FsError| Exit::temporary(chain(e));
    let Some(stop) = Stop::look(&conf.state_dir).map_err(|e| failed(&e))? else {
        return say(format_args!(
            "there is no stop file in {}: nothing to take away",
            conf.state_dir.display()
        ));
    };
    carry_out(&args.common, vec![Act::Undrain])?;
    if args.common.dry_run {
        return Ok(());
    }
    match stop.remove(&conf.state_dir).map_err(|e| failed(&e))? {
        true if Owner::look(&conf.state_dir).is_some() => say(format_args!(
            "a daemon that has begun to end goes on with that; start it again when it is gone"
        )),
        true => Ok(()),
        false => {
            Err(Exit::no(format!("the stop file of {stop} was changed meanwhile and stays: look at it")))
        }
    }
}

/// The reason that was given, or is asked for.
fn reason(common: &Common) -> Result<String, Exit> {
    if let Some(reason) = common.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()) {
        return Ok(reason.to_owned());
    }
    if common.dry_run {
        return Ok("dry run".into());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Exit::no(
            "no reason was given: --reason TEXT stands in the journal for those who ask later",
        ));
    }
    let asked = |e: std::io::Error| Exit::no(format!("could not ask for the reason: {e}"));
    let mut line = String::new();
    eprint!("why? ");
    std::io::stderr().flush().map_err(asked)?;
    let _bytes = stdin.lock().read_line(&mut line).map_err(asked)?;
    match line.trim() {
        "" => Err(Exit::no("no reason was given; nothing was done")),
        reason => Ok(reason.to_owned()),
    }
}

fn carry_out(common: &Common, acts: Vec<Act>) -> Result<(), Exit> {
    let conf = common.conf.load()?;
    let request = Request {
        version: 1,
        id: uuid::Uuid::new_v4().to_string(),
        by: person(),
        at: clock::now(),
        reason: reason(common)?,
        dry_run: common.dry_run,
        acts,
    };
    let answer = match Owner::look(&conf.state_dir) {
        Some(holder) => ask(&conf, request, &holder)?,
        None if request.dry_run => foreseen(&conf, &request)?,
        None => by_ourselves(&conf, &request)?,
    };
    show(&answer, common.json)
}

/// The running daemon does it.
pub(super) fn ask(conf: &Conf, request: Request, holder: &Holder) -> Result<Answer, Exit> {
    let sent = request.clone();
    let asked = client::ask_within(&conf.control.socket, ASKING, async move |client| client.act(&sent).await);
    match asked {
        Ok(answer) => Ok(answer),
        // Another login node that sees the state directory, but not the socket.
        Err(Trouble::NoDaemon { .. }) => by_its_directory(conf, &request, holder),
        Err(trouble @ (Trouble::Denied { .. } | Trouble::Stranger { .. })) => Err(Exit::config(trouble)),
        Err(trouble @ (Trouble::Hangs { .. } | Trouble::CutOff { .. })) => {
            Err(Exit::temporary(format!("{trouble}. `why` tells whether it was done")))
        }
        Err(trouble) => Err(Exit::no(trouble)),
    }
}

fn by_its_directory(conf: &Conf, request: &Request, holder: &Holder) -> Result<Answer, Exit> {
    let (shelf, begun) = (Shelf::of(&conf.state_dir), Instant::now());
    let failed = |e: crate::fs::FsError| Exit::temporary(chain(&e));
    shelf.put(request).map_err(failed)?;
    loop {
        if let Some(answer) = shelf.answered(&request.id).map_err(failed)? {
            return answer.map_err(Exit::no);
        }
        if begun.elapsed() > PATIENCE {
            return Err(match shelf.take_back(&request.id).map_err(failed)? {
                true => Exit::temporary(format!(
                    "{holder} does not answer; nothing was done, and the request was taken back"
                )),
                false => Exit::temporary(format!(
                    "{holder} has taken the request and not answered; `why` tells whether it was done"
                )),
            });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// No daemon runs: what would be done, without touching anything.
fn foreseen(conf: &Conf, request: &Request) -> Result<Answer, Exit> {
    let mut fold = Fold::default();
    let read = journal::read(&conf.state_dir, |line| fold.apply(&line));
    let _report = read.map_err(|e| Exit::no(chain(&e)))?;
    let judged = |act: &Act| match judge(&fold, act, Site::of(conf), clock::now()) {
        Ok(Plan { told, .. }) => Outcome::Done(told),
        Err(refusal) => Outcome::Refused(refusal),
    };
    Ok(Answer { dry_run: true, outcomes: request.acts.iter().map(judged).collect() })
}

/// No daemon runs: this process is the writer for as long as it takes.
fn by_ourselves(conf: &Conf, request: &Request) -> Result<Answer, Exit> {
    let owner = owned::take(conf)?;
    let journal = owned::journal(conf, &owner)?;
    let answer = runtime().block_on(async {
        let answer = perform(&journal, Site::of(conf), request).await;
        journal.leave_checkpoint().await;
        answer
    });
    drop(owner);
    answer.map_err(Exit::temporary)
}

/// Exit code 1 if anything was refused.
fn show(answer: &Answer, json: bool) -> Result<(), Exit> {
    if json {
        let text = serde_json::to_string_pretty(answer).map_err(|e| Exit::no(e.to_string()))?;
        say(format_args!("{text}"))?;
    }
    let mut refused = Vec::new();
    for outcome in &answer.outcomes {
        match outcome {
            Outcome::Done(told) if !json => tell(told, answer.dry_run)?,
            Outcome::Done(_) => {}
            Outcome::Refused(refusal) => {
                let remedy = refusal
                    .remedy
                    .as_ref()
                    .map_or(String::new(), |remedy| format!("\n  what to do: {remedy}"));
                refused.push(format!("{}{remedy}", refusal.why));
            }
        }
    }
    if refused.is_empty() {
        Ok(())
    } else {
        Err(Exit::no(format!("refused: {}", refused.join("\nrefused: "))))
    }
}

fn tell(told: &Told, dry_run: bool) -> Result<(), Exit> {
    say(format_args!("{}{}", if dry_run { "would be " } else { "" }, told.done))?;
    for change in &told.changes {
        say(format_args!("  {change}"))?;
    }
    match &told.undo {
        Some(undo) => say(format_args!("  undo: tsd-import {undo} --reason TEXT")),
        None => Ok(()),
    }
}
