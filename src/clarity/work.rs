//! What changes something: start a step, set its fields and actions, advance it, abort it.
//!
//! No request here is ever sent twice blindly. Starting is the *claim* on its artifacts and has no key by which a
//! repeat could be recognised: after [`Error::Unclear`] the queue and the open steps must be read to find out. A PUT of
//! the same document may be sent once more, after reading that it did not take. Advancing is guarded by the state that
//! is sent along; after a lost answer the state is watched and nothing is repeated.
//!
//! Traps: a state lags behind what was just asked; a step whose program runs stays where it is; a program that left a
//! message blocks the step until somebody clicks it away, which no request can do.
use super::actions::{Action, Actions, Review};
use super::bodies::step_creation;
use super::client::{Client, same};
use super::error::Error;
use super::fault::Fault;
use super::ids::{LimsId, same_uri};
use super::model::{Udf, Udfs};
use super::read::Record as _;
use super::settle::Settle;
use super::step::{Step, StepDetails};
use super::words::{State, UdfKind};
use reqwest::Method;
use std::collections::BTreeMap;

impl Client {
    /// Starts a step with these artifacts: one POST, never repeated. A lost or unreadable answer is
    /// [`Error::Unclear`]; a refusal leaves the artifacts where they are.
    pub async fn start_step(&self, configuration_uri: &str, inputs: &[LimsId]) -> Result<Step, Error> {
        let body = step_creation(self.wire.spoken(), configuration_uri, inputs).map_err(|source| {
            Error::Malformed { doing: "what was to be sent with POST /steps".to_owned(), source }
        })?;
        let url = self.wire.url("steps", &[]);
        let unclear =
            |why: String| Error::Unclear { doing: format!("POST {}", url.path()), why, source: None };
        let document = match self.wire.act(Method::POST, &url, Some(&body)).await? {
            Ok(Some(document)) => document,
            Ok(None) => return Err(unclear("the answer is empty".to_owned())),
            Err(fault) => return Err(unclear(format!("the answer cannot be read ({fault})"))),
        };
        let step =
            Step::read(&document).map_err(|fault| unclear(format!("the answer is not a step ({fault})")))?;
        match &step.configuration_uri {
            Some(uri) if !same_uri(uri, configuration_uri) => {
                Err(unclear(format!("the answer is the step {} of another configuration", step.id)))
            }
            _ => Ok(step),
        }
    }

    /// The actions document of a step, which lists the artifacts that need one.
    pub async fn actions(&self, id: &LimsId) -> Result<Actions, Error> {
        let url = self.step_url(id, "/actions");
        let actions: Actions = self.fetch(&url).await?;
        same(&url, id, &actions.step)?;
        Ok(actions)
    }

    /// PUTs the actions once. `Ok` says that the LIMS accepted them; the answer's body is not relied on, because
    /// Clarity garbles it. Read them again to be sure, or use [`Client::set_actions`].
    pub async fn put_actions(&self, id: &LimsId, actions: &Actions) -> Result<(), Error> {
        let url = self.step_url(id, "/actions");
        self.wire.act(Method::PUT, &url, Some(actions.document())).await.map(drop)
    }

    /// Sets the action of every artifact that the step lists, and returns the document as it then stands in the LIMS:
    /// GET, PUT, GET and compare. Nothing is sent if it says so already. If it did not take, it is tried once more.
    pub async fn set_actions(
        &self,
        id: &LimsId,
        mut choose: impl FnMut(&LimsId) -> Action,
    ) -> Result<Actions, Error> {
        self.decide(id, |artifact| Some(choose(artifact)), None).await
    }

    /// Like [`Client::set_actions`]; artifacts whose action is [`Action::Review`] are put before this manager. An artifact
    /// for which nothing can be chosen is an error, and nothing is sent.
    pub async fn decide(
        &self,
        id: &LimsId,
        mut choose: impl FnMut(&LimsId) -> Option<Action>,
        review: Option<&Review>,
    ) -> Result<Actions, Error> {
        let mut last = None;
        for _ in 0..2 {
            let mut actions = self.actions(id).await?;
            let mut wanted = BTreeMap::new();
            let foreign = |stranger: &LimsId| {
                let fault = Fault::new(format!("it lists {stranger}, which does not belong into this step"));
                Error::malformed(&format!("GET /steps/{id}/actions"), fault)
            };
            for line in actions.next() {
                let action = choose(&line.artifact).ok_or_else(|| foreign(&line.artifact))?;
                drop(wanted.insert(line.artifact, action));
            }
            let asked: Vec<LimsId> =
                wanted.iter().filter(|(_, a)| **a == Action::Review).map(|(id, _)| id.clone()).collect();
            let took = |now: &Actions| {
                let lines = now.next();
                lines.len() == wanted.len()
                    && asked.iter().all(|asked| now.escalated().contains(asked))
                    && lines
                        .iter()
                        .all(|line| wanted.get(&line.artifact).is_some_and(|action| line.says(action)))
            };
            if took(&actions) {
                return Ok(actions);
            }
            actions.set(|artifact| wanted.get(artifact).cloned().unwrap_or(Action::Leave)); // all are there
            if let Some(Review { reviewer, comment }) = review.filter(|_| !asked.is_empty()) {
                let uri = format!("{}/researchers/{reviewer}", self.wire.spoken());
                let wrong = |source| Error::malformed(&format!("GET /steps/{id}/actions"), source);
                actions.escalate(&uri, comment, &asked).map_err(wrong)?;
            }
            match self.put_actions(id, &actions).await {
                Ok(()) => {}
                Err(error @ Error::Unclear { .. }) => last = Some(error),
                Err(other) => return Err(other),
            }
            let now = self.actions(id).await?;
            if took(&now) {
                return Ok(now);
            }
        }
        Err(last.unwrap_or_else(|| did_not_take("PUT /steps/*/actions", id, "actions")))
    }

    /// Sets fields of a step (a field set to blank is cleared), leaving everything else of its details as it is:
    /// GET, PUT, GET and compare. If they did not take, it is tried once more. A field that the step's type does not
    /// have is refused by the LIMS.
    pub async fn set_fields(&self, id: &LimsId, fields: &[(&str, Udf)]) -> Result<StepDetails, Error> {
        let url = self.step_url(id, "/details");
        let mut last = None;
        for _ in 0..2 {
            let mut details = self.step_details(id).await?;
            for (name, udf) in fields {
                drop(details.fields.insert((*name).to_owned(), udf.clone()));
            }
            match self.wire.act(Method::PUT, &url, Some(&details.document())).await {
                Ok(_) => {}
                Err(error @ Error::Unclear { .. }) => last = Some(error),
                Err(other) => return Err(other),
            }
            let now = self.step_details(id).await?;
            if fields.iter().all(|(name, udf)| holds(&now.fields, name, udf)) {
                return Ok(now);
            }
        }
        Err(last.unwrap_or_else(|| did_not_take("PUT /steps/*/details", id, "fields")))
    }

    /// Waits until the server has set the step up, that is, until it leaves `Started`.
    pub async fn wait_started(&self, id: &LimsId, settle: Settle) -> Result<Step, Error> {
        let step = self.step(id).await?;
        match step.state {
            State::Started => self.watch(&step, settle.begin(), None).await,
            _ => Ok(step),
        }
    }

    /// Moves a step on by one state: sends its document back and watches until the state has changed. `Started` is
    /// only waited out, `Completed` is returned as it is. A refusal because a program still runs is waited out within
    /// the deadline; one because the step has moved meanwhile returns the step where it is now, so look at its state.
    /// [`Error::Stuck`] says that a person must look. May overrun the deadline by one reading.
    pub async fn advance(&self, id: &LimsId, settle: Settle) -> Result<Step, Error> {
        let clock = settle.begin();
        let mut step = self.step(id).await?;
        match &step.state {
            State::Completed => return Ok(step),
            State::Started => return self.watch(&step, clock, None).await,
            state if state.is_review() => return Err(stuck(&step, "a manager must review it")),
            _ => {}
        }
        let url = self.step_url(id, "/advance");
        loop {
            let before = self.programs(&step).await?;
            let refused = match self.wire.act(Method::POST, &url, Some(step.document())).await {
                Ok(_) => return self.watch(&step, clock, before).await,
                Err(unclear @ Error::Unclear { .. }) => {
                    return match self.watch(&step, clock, before).await {
                        Err(Error::Stuck { .. }) => Err(unclear),
                        other => other,
                    };
                }
                Err(refused @ Error::Refused { .. }) => refused,
                Err(other) => return Err(other),
            };
            let program = waits_for_a_program(&refused);
            // Without a program to wait for, the state we sent was perhaps old, and reading it again may still be.
            let patience = if program { clock } else { clock.at_most(3) };
            match self.after_refusal(&step, patience, program).await? {
                Some(moved) if moved.state != step.state => return Ok(moved),
                Some(again) if program => step = again,
                _ if program => return Err(stuck(&step, &words(&refused))),
                _ => return Err(refused),
            }
        }
    }

    /// Aborts an open step: its artifacts go back to where they were. One that is gone already is no error.
    pub async fn abort_step(&self, id: &LimsId) -> Result<(), Error> {
        match self.wire.act(Method::DELETE, &self.step_url(id, ""), None).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

fn holds(fields: &Udfs, name: &str, udf: &Udf) -> bool {
    let now = fields.get(name);
    match udf.kind {
        _ if udf.value.trim().is_empty() => now.is_none(),
        // The server drops trailing zeros.
        UdfKind::Numeric => now.is_some(),
        _ => now.is_some_and(|now| now.value == udf.value),
    }
}

pub(super) fn did_not_take(doing: &str, id: &LimsId, what: &str) -> Error {
    let source = Fault::new(format!("it was accepted, yet other {what} than those sent stand there"));
    Error::malformed(&doing.replace('*', id.as_str()), source)
}

/// The exact text is `Cannot advance a step that has an external program queued, running or pending acknowledgement`.
fn waits_for_a_program(error: &Error) -> bool {
    words(error).to_ascii_lowercase().contains("external program")
}

fn words(error: &Error) -> String {
    match error {
        Error::Refused { message: Some(message), .. } => message.clone(),
        other => other.to_string(),
    }
}

pub(super) fn stuck(step: &Step, why: &str) -> Error {
    Error::Stuck { step: step.id.clone(), state: step.state.to_string(), why: why.to_owned() }
}
