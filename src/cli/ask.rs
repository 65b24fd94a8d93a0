//! What the commands that answer questions have in common: where the answer comes from and what it is shown on.
use std::io::IsTerminal;
use std::mem::ManuallyDrop;

use console::Term;
use serde::Serialize;

use super::ConfArgs;
use super::exit::{Exit, show};
use crate::chain;
use crate::clock;
use crate::conf::Conf;
use crate::journal::{Glance, Holder, Owner};
use crate::present::{Look, Present};
use crate::snapshot::Snapshot;
use crate::stop::Stop;

/// Where nothing is known of the reader.
const WIDTH: usize = 80;
/// Longer lines are hard to read.
const WIDEST: usize = 110;

/// Everything that the state directory says, read once or again and again.
pub(super) struct Asked {
    pub conf: Conf,
    /// Never dropped: to free a hundred thousand strings one by one, just before the process ends, takes longer than the answer.
    glance: ManuallyDrop<Glance>,
    holder: Option<Holder>,
    seen: Option<Snapshot>,
    stop: Option<Stop>,
    stop_file: String,
}

impl Asked {
    /// Reads it. Never locks and never writes.
    pub(super) fn of(args: &ConfArgs) -> Result<Self, Exit> {
        let conf = args.load()?;
        let dir = &conf.state_dir;
        let glance = ManuallyDrop::new(Glance::of(dir).map_err(|e| Exit::no(chain(&e)))?);
        let stop_file = Stop::path(dir).display().to_string();
        let mut asked = Self { conf, glance, holder: None, seen: None, stop: None, stop_file };
        asked.look()?;
        Ok(asked)
    }

    /// Reads what has changed.
    pub(super) fn refresh(&mut self) -> Result<(), Exit> {
        self.glance.refresh().map_err(|e| Exit::no(chain(&e)))?;
        self.look()
    }

    fn look(&mut self) -> Result<(), Exit> {
        let dir = &self.conf.state_dir;
        (self.holder, self.seen) = (Owner::look(dir), Snapshot::read(dir));
        self.stop = Stop::look(dir).map_err(|e| Exit::no(chain(&e)))?;
        Ok(())
    }

    /// The present of this moment.
    pub(super) fn present(&self) -> Present<'_> {
        Present {
            role: self.conf.role.as_str(),
            host: self.conf.host.as_str(),
            fold: self.glance.fold(),
            seen: self.seen.as_ref(),
            holder: self.holder.as_ref(),
            stop: self.stop.as_ref().map(|stop| (stop, self.stop_file.as_str())),
            now: clock::now(),
        }
    }
}

/// A terminal's own width, or that in `COLUMNS`, or 80. Colours only on a terminal that has them, and not where `NO_COLOR` is set.
pub(super) fn look() -> Look {
    let term = Term::stdout();
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse::<usize>().ok());
    let own = term.size_checked().map(|(_, columns)| usize::from(columns).min(WIDEST));
    let terminal = std::io::stdout().is_terminal();
    let width = if terminal { own.or(told) } else { told }.filter(|width| *width > 0).unwrap_or(WIDTH);
    let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Look { width, colour: terminal && !quiet && term.features().colors_supported() }
}

/// An answer as JSON, on as many lines as people like.
pub(super) fn show_json(answer: &impl Serialize) -> Result<bool, Exit> {
    let text =
        serde_json::to_string_pretty(answer).map_err(|e| Exit::no(format!("could not write JSON: {e}")))?;
    show(&format!("{text}\n"))
}
