//! `drain`: has the daemon finish what is in hand and end, through the stop file, and waits until it is gone.
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use super::ConfArgs;
use super::exit::{Exit, say};
use super::lookout::{Life, Lookout, Word, last_word};
use crate::chain;
use crate::conf::length_of_time;
use crate::stop::Stop;

/// Options of `drain`.
#[derive(Args, Debug, Clone)]
pub struct DrainArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// Why; shown to whoever finds the daemon stopped
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Leave the stop file, so that no daemon starts until somebody removes it
    #[arg(long)]
    keep: bool,
    /// Wait this long at most
    #[arg(long, default_value = "10min", value_parser = length_of_time, value_name = "TIME")]
    within: Duration,
}

const LOOK: Duration = Duration::from_millis(300);
/// What has not changed is said again after this long.
const REPEAT: Duration = Duration::from_secs(5);

/// Asks, waits, tells what it waits for, and how it ended.
pub fn drain(args: &DrainArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let dir = conf.state_dir.as_path();
    let (file, mut look) = (Stop::path(dir), Lookout::new(dir));
    let before = last_word(dir)?.map_or(0, |(seq, _)| seq);
    let stop = Stop::by_us(args.reason.trim());
    if look.out()?.life() == Life::Gone {
        if args.keep {
            let stop = put_down(&stop, dir)?.unwrap_or(stop);
            return say(format_args!(
                "no daemon runs; {} of {stop} keeps one from starting until it is removed",
                file.display()
            ));
        }
        return say(format_args!("no daemon runs on {}: nothing to drain", dir.display()));
    }
    let earlier = put_down(&stop, dir)?;
    match &earlier {
        Some(earlier) => say(format_args!("asked already: {} of {earlier}", file.display()))?,
        None => say(format_args!("asked it to finish what is in hand and end: {}", file.display()))?,
    }
    wait(&mut look, args.within, &file)?;
    match &earlier {
        None if !args.keep => {
            let removed = stop.remove(dir).map_err(|e| Exit::no(chain(&e)))?;
            if !removed {
                say(format_args!("{} was changed meanwhile and stays", file.display()))?;
            }
        }
        _ => say(format_args!("{} stays: no daemon starts until it is removed", file.display()))?,
    }
    outcome(dir, before)
}

/// Puts the file down, or returns the one that lies there already.
fn put_down(stop: &Stop, dir: &Path) -> Result<Option<Stop>, Exit> {
    match stop.write(dir) {
        Ok(()) => Ok(None),
        Err(e) if e.source.kind() == std::io::ErrorKind::AlreadyExists => {
            let earlier = Stop::look(dir).map_err(|e| Exit::no(chain(&e)))?;
            Ok(Some(earlier.unwrap_or_else(|| stop.clone())))
        }
        Err(e) => Err(Exit::no(format!("could not ask the daemon to stop: {}", chain(&e)))),
    }
}

/// Until it is gone. `Err` when it does not go in time.
fn wait(look: &mut Lookout<'_>, within: Duration, file: &Path) -> Result<(), Exit> {
    let (begun, mut said, mut said_at) = (Instant::now(), String::new(), None::<Instant>);
    loop {
        let signs = look.out()?;
        if signs.life() == Life::Gone {
            return Ok(());
        }
        let (who, left) = signs.progress();
        if begun.elapsed() >= within {
            return Err(Exit::no(format!(
                "it has not ended within {within:?}: {who}{left}\n{} stays, so it ends as soon as it can and none starts; remove the file if you do not want that any more",
                file.display()
            )));
        }
        if who != said || said_at.is_none_or(|at| at.elapsed() >= REPEAT) {
            say(format_args!("{who}{left}"))?;
            (said, said_at) = (who, Some(Instant::now()));
        }
        std::thread::sleep(LOOK);
    }
}

/// What its last words were. `before`: the journal's last start or end when we began.
fn outcome(dir: &Path, before: u64) -> Result<(), Exit> {
    match last_word(dir)? {
        Some((seq, Word::Stopped { exit: 0, .. })) if seq > before => say(format_args!("it ended in order")),
        Some((seq, Word::Stopped { exit, why })) if seq > before => Err(Exit::temporary(format!(
            "it ended with exit code {exit}: {why}; what was cut off is resumed at the next start"
        ))),
        Some((_, Word::Stopped { .. })) => say(format_args!("it had ended already")),
        _ => Err(Exit::temporary(
            "it is gone, but without a word in its journal (killed?); what was cut off is resumed at the next start",
        )),
    }
}
