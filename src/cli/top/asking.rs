//! Who asks, on a thread of its own: daemon, socket and state directory may hang, and the screen must not.
use std::path::PathBuf;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::model::{Beat, Input, MOST};
use crate::chain;
use crate::cli::ask::{Asked, Both};
use crate::conf::Conf;
use crate::control::client::Trouble;
use crate::journal;
use crate::package::PackageId;
use crate::present::Filter;

/// One that was asked and one that waits; more would be old before they are answered.
const WAITING: usize = 2;
/// Of the journal's end.
const LINES: usize = 200;

/// A question.
pub(super) enum Question {
    Beat(Timestamp, Filter),
    Why(PackageId),
}

/// Where questions go to.
pub(super) struct Asker {
    questions: Sender<Question>,
}

impl Asker {
    /// Answers come home as inputs. An error: there is no thread.
    pub(super) fn start(conf: Conf, home: mpsc::Sender<Input>) -> std::io::Result<Self> {
        let (questions, waiting) = bounded(WAITING);
        let thread = std::thread::Builder::new().name("top-asks".into());
        drop(thread.spawn(move || answer_all(conf, &waiting, &home))?);
        Ok(Self { questions })
    }

    /// Where others wait before it, it is not kept: whoever wants to know asks again with the next second. An error: nobody answers any
    /// more.
    pub(super) fn ask(&self, question: Question) -> std::io::Result<()> {
        match self.questions.try_send(question) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(std::io::Error::other("the thread that asks fell")),
        }
    }
}

/// Until nobody asks or nobody listens any more.
fn answer_all(conf: Conf, questions: &Receiver<Question>, home: &mpsc::Sender<Input>) {
    let dir = conf.state_dir.clone();
    let (mut asked, mut first) = (Asked::quietly(conf), true);
    for question in questions {
        let input = match question {
            Question::Why(package) => {
                let answer = asked.why(&package.to_string());
                Input::Why(package, answer.map(Box::new).map_err(|exit| exit.why))
            }
            Question::Beat(at, filter) => {
                let Both { answer, instead } = asked.both(MOST, &filter);
                let mut answer = answer.map_err(|exit| exit.why);
                let mut lines = Vec::new();
                // Events come from the daemon while it answers; what was before is read once.
                if std::mem::replace(&mut first, false) || instead.is_some() {
                    match journal::latest(&dir, LINES) {
                        Ok(read) => lines = read,
                        Err(e) => answer = Err(chain(&e)),
                    }
                }
                let instead = instead.map(|trouble| trouble.as_ref().map(in_short));
                Input::Beat(Box::new(Beat { asked: at, filter, answer, instead, lines }))
            }
        };
        if home.blocking_send(input).is_err() {
            return;
        }
    }
}

/// For a line that has little room.
fn in_short(trouble: &Trouble) -> String {
    let place = |socket: &PathBuf| socket.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match trouble {
        Trouble::NoDaemon { socket } => format!("nobody listens at {}", place(socket)),
        Trouble::Denied { owner, .. } => format!("the control socket belongs to {owner}"),
        Trouble::Hangs { .. } => "the daemon does not answer".to_owned(),
        other => other.to_string(),
    }
}
