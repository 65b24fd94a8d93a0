//! What the commands that answer questions have in common: where the answer comes from and what it is shown on.
use std::future::Future;
use std::io::IsTerminal;
use std::mem::ManuallyDrop;

use console::Term;
use serde::Serialize;

use super::ConfArgs;
use super::exit::{Exit, show};
use crate::chain;
use crate::clock;
use crate::conf::Conf;
use crate::control::client::{self, Client, Trouble};
use crate::journal::{self, Glance, Holder, JournalError, Owner};
use crate::present::{Filter, ListAnswer, Look, Present, StatusAnswer, WhyAnswer};
use crate::snapshot::Snapshot;
use crate::stop::Stop;

/// Where nothing is known of the reader.
const WIDTH: usize = 80;
/// Longer lines are hard to read.
const WIDEST: usize = 110;

/// Who answers: the daemon over its control socket, or, where none runs or it does not answer, what lies in the state directory.
pub(super) struct Asked {
    conf: Conf,
    disk: Option<Disk>,
    /// Why the daemon does not answer is said once.
    said: bool,
    /// That reason, of the last question.
    trouble: Option<Trouble>,
}

/// Status and list of the same moment.
pub(super) struct Both {
    pub(super) answer: Result<(StatusAnswer, ListAnswer), Exit>,
    /// None: the daemon itself gave them. Otherwise the state directory was read, and why, if there is a daemon.
    pub(super) instead: Option<Option<Trouble>>,
}

/// Everything that the state directory says, read once or again and again.
struct Disk {
    /// Never dropped: to free a hundred thousand strings one by one, just before the process ends, takes longer than the answer.
    glance: ManuallyDrop<Glance>,
    holder: Option<Holder>,
    seen: Option<Snapshot>,
    stop: Option<Stop>,
    stop_file: String,
}

impl Asked {
    /// Nobody is asked yet.
    pub(super) fn of(args: &ConfArgs) -> Result<Self, Exit> {
        Ok(Self { conf: args.load()?, disk: None, said: false, trouble: None })
    }

    /// For somebody who tells in his own way why the daemon does not answer.
    pub(super) fn quietly(conf: Conf) -> Self {
        Self { conf, disk: None, said: true, trouble: None }
    }

    /// Status and list of the same moment.
    pub(super) fn both(&mut self, most: usize, filter: &Filter) -> Both {
        let wanted = filter.clone();
        let both =
            self.daemon(async move |client| Ok((client.status(most).await?, client.list(&wanted).await?)));
        if let Some(both) = both {
            return Both { answer: Ok(both), instead: None };
        }
        let trouble = self.trouble.clone();
        let read = self.present().map(|present| (present.status(most), present.list(filter)));
        Both { answer: read, instead: Some(trouble) }
    }

    /// What is going on, with lists of at most this length.
    pub(super) fn status(&mut self, most: usize) -> Result<StatusAnswer, Exit> {
        match self.daemon(async move |client| client.status(most).await) {
            Some(answer) => Ok(answer),
            None => Ok(self.present()?.status(most)),
        }
    }

    /// Where it is and why.
    pub(super) fn why(&mut self, what: &str) -> Result<WhyAnswer, Exit> {
        let sought = what.to_owned();
        if let Some(answer) = self.daemon(async move |client| client.why(&sought).await) {
            return Ok(answer);
        }
        let answer = self.present()?.why(what);
        let Some((package, order)) = answer.wants() else { return Ok(answer) };
        let about = journal::about(&self.conf.state_dir, package, order).map_err(|e| Exit::no(chain(&e)))?;
        Ok(answer.with(&about))
    }

    /// Which packages are there.
    pub(super) fn list(&mut self, filter: &Filter) -> Result<ListAnswer, Exit> {
        let wanted = filter.clone();
        match self.daemon(async move |client| client.list(&wanted).await) {
            Some(answer) => Ok(answer),
            None => Ok(self.present()?.list(filter)),
        }
    }

    /// The daemon's answer, if one runs; that none runs is said by the answer that is read instead.
    fn daemon<T, F, A>(&mut self, question: F) -> Option<T>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, Trouble>>,
        F: FnOnce(Client) -> A + Send + 'static,
    {
        self.trouble = None;
        let _holder = Owner::look(&self.conf.state_dir)?;
        match client::ask(&self.conf.control.socket, question) {
            Ok(answer) => Some(answer),
            Err(trouble) => {
                if !self.said {
                    eprintln!("tsd-import: {trouble}; this is what the journal says");
                }
                self.said = true;
                self.trouble = Some(trouble);
                None
            }
        }
    }

    /// What the state directory says at this moment. Never locks and never writes.
    fn present(&mut self) -> Result<Present<'_>, Exit> {
        let dir = &self.conf.state_dir;
        let no = |e: JournalError| Exit::no(chain(&e));
        let (holder, seen) = (Owner::look(dir), Snapshot::read(dir));
        let stop = Stop::look(dir).map_err(|e| Exit::no(chain(&e)))?;
        let glance = match self.disk.take() {
            Some(mut disk) => {
                disk.glance.refresh().map_err(no)?;
                disk.glance
            }
            None => ManuallyDrop::new(Glance::of(dir).map_err(no)?),
        };
        let stop_file = Stop::path(dir).display().to_string();
        let disk = self.disk.insert(Disk { glance, holder, seen, stop, stop_file });
        Ok(Present {
            role: self.conf.role.as_str(),
            host: self.conf.host.as_str(),
            fold: disk.glance.fold(),
            seen: disk.seen.as_ref(),
            holder: disk.holder.as_ref(),
            stop: disk.stop.as_ref().map(|stop| (stop, disk.stop_file.as_str())),
            now: clock::now(),
        })
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
