//! What somebody does to the selected package: the same request as the commands `hold`, `release` and `retry` send, on the same way.
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::model::Input;
use crate::acts::{Act, Answer, Outcome, Request};
use crate::cli::acts;
use crate::conf::Conf;
use crate::journal::Owner;
use crate::package::PackageId;
use crate::stop::person;

/// Which lever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lever {
    Hold,
    Release,
    Retry,
}

impl Lever {
    /// The command that does the same.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
        }
    }

    fn act(self, package: &PackageId) -> Act {
        let package = package.to_string();
        match self {
            Self::Hold => Act::Hold { package },
            Self::Release => Act::Release { package },
            Self::Retry => Act::Retry { package, from: None },
        }
    }
}

/// Has the daemon do it, on a thread of its own: it may take seconds, and the screen goes on. An error: there is no thread.
pub(super) fn start(
    conf: Conf,
    (lever, package, reason): (Lever, PackageId, String),
    now: Timestamp,
    home: mpsc::Sender<Input>,
) -> std::io::Result<()> {
    let job = move || {
        let request = Request {
            version: 1,
            id: uuid::Uuid::new_v4().to_string(),
            by: person(),
            at: now,
            reason,
            dry_run: false,
            acts: vec![lever.act(&package)],
        };
        let said = match Owner::look(&conf.state_dir) {
            Some(holder) => match acts::ask(&conf, request, &holder) {
                Ok(answer) => words(&answer),
                Err(exit) => vec![format!("! {}", exit.why)],
            },
            // To write the journal is the matter of a process that does nothing else.
            None => {
                let command = format!("tsd-import {} {package} --reason TEXT", lever.word());
                vec![
                    "! not done: no daemon runs".to_owned(),
                    format!("what to do: `{command}` does it without one"),
                ]
            }
        };
        drop(home.blocking_send(Input::Acted(said))); // nobody may be looking any more
    };
    drop(std::thread::Builder::new().name("top-acts".into()).spawn(job)?);
    Ok(())
}

/// What became of it, as the commands say it.
fn words(answer: &Answer) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in &answer.outcomes {
        match outcome {
            Outcome::Done(told) => {
                lines.push(told.done.clone());
                lines.extend(told.changes.iter().map(|change| format!("  {change}")));
                lines.extend(told.undo.iter().map(|undo| format!("  undo: tsd-import {undo} --reason TEXT")));
            }
            Outcome::Refused(refusal) => {
                lines.push(format!("! refused: {}", refusal.why));
                lines.extend(refusal.remedy.iter().map(|remedy| format!("what to do: {remedy}")));
            }
        }
    }
    lines
}
