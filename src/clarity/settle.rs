//! Waiting for a step to move, with an end in sight.
//!
//! The state that a step shows lags behind what was asked of it, and while a program runs it does not move at all. So
//! it is read again and again, at a pace and up to a deadline that the caller sets, and a program that ended badly ends
//! the wait at once.
use super::client::Client;
use super::error::Error;
use super::step::{ProgramStatus, Step};
use super::words::ProgramState;
use super::work::stuck;
use std::time::Duration;
use tokio::time::Instant;

/// How patiently to wait for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// Pause between two readings.
    pub poll: Duration,
    /// For the whole wait.
    pub deadline: Duration,
}

/// A wait that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    poll: Duration,
    end: Instant,
    readings: u32,
}

impl Settle {
    pub(super) fn begin(self) -> Clock {
        Clock {
            poll: self.poll.max(Duration::from_millis(1)),
            end: Instant::now() + self.deadline,
            readings: u32::MAX,
        }
    }
}

impl Clock {
    /// The same wait, with no more than that many readings left.
    pub(super) fn at_most(self, readings: u32) -> Self {
        Self { readings, ..self }
    }

    /// Sleeps until the next reading is due; false if that would be past the end.
    async fn next(&mut self) -> bool {
        if self.readings == 0 || Instant::now() + self.poll > self.end {
            return false;
        }
        self.readings -= 1;
        tokio::time::sleep(self.poll).await;
        true
    }
}

impl Client {
    /// Reads until the step is in another state than it was. `before` is what its programs had to say at the start: an
    /// old complaint that somebody acknowledged is not a new one.
    pub(super) async fn watch(
        &self,
        was: &Step,
        mut clock: Clock,
        before: Option<ProgramStatus>,
    ) -> Result<Step, Error> {
        loop {
            let now = self.step(&was.id).await?;
            if now.state != was.state {
                return Ok(now);
            }
            let program = self.programs(&now).await?;
            if program != before {
                complain(&now, program.as_ref())?;
            }
            if !clock.next().await {
                return Err(stuck(&now, &reason(program.as_ref())));
            }
        }
    }

    /// After a refused advance: the step in its new state, or, where a program was the reason, in its old one a pause
    /// after the program had ended; `None` if neither came in time.
    pub(super) async fn after_refusal(
        &self,
        was: &Step,
        mut clock: Clock,
        program: bool,
    ) -> Result<Option<Step>, Error> {
        loop {
            let now = self.step(&was.id).await?;
            if now.state != was.state {
                return Ok(Some(now));
            }
            let mut busy = false;
            if program {
                let status = self.programs(&now).await?;
                complain(&now, status.as_ref())?;
                busy = status.is_some_and(|program| program.status.is_busy());
            }
            if !clock.next().await {
                return Ok(None);
            }
            if program && !busy {
                return Ok(Some(now));
            }
        }
    }

    /// What the step's programs have to say, if it has any.
    pub(super) async fn programs(&self, step: &Step) -> Result<Option<ProgramStatus>, Error> {
        if step.has_program_status { self.program_status(&step.id).await } else { Ok(None) }
    }
}

fn complain(step: &Step, program: Option<&ProgramStatus>) -> Result<(), Error> {
    match program {
        Some(program) if program.status.needs_a_person() => Err(stuck(step, &reason(Some(program)))),
        _ => Ok(()),
    }
}

fn reason(program: Option<&ProgramStatus>) -> String {
    match program {
        None => "its state did not change within the deadline".to_owned(),
        Some(ProgramStatus { status, message }) => {
            let what = match status {
                ProgramState::Ok if message.is_some() => "waits to be acknowledged",
                ProgramState::Ok => "has ended well",
                ProgramState::Running | ProgramState::Queued => "has not ended within the deadline",
                _ => "did not end well",
            };
            let text = message.as_deref().map(|text| format!(" and says: {text}")).unwrap_or_default();
            format!("a program of it ({status}) {what}{text}")
        }
    }
}
