//! What the export step needs of the LIMS: look at the queue, claim, complete, withdraw.
//!
//! The claim is a POST that is never repeated blindly: its intent is journalled first, and after a lost answer or a crash
//! [`Source::find_claim`] finds out whether the step was opened. Completing and deleting are safe to repeat, because each
//! begins by reading the step's present state.
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::reading::{Desk, look};
use super::source::{Ask, Claim, Ended, Ending, Fault, Found, Look, Looking, Source, Standing};
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clarity::{
    Action, Class, Client, Error, LimsId, ProtocolStep, Queue, Settings, Settle, State, Step,
};
use crate::conf::LimsConf;
use crate::package::Order;
use crate::secret::Secret;

/// The largest answer that is read.
const MAX_BODY: u64 = 64 << 20;
/// A no-output step has four states; each is left by one advance.
const MAX_ADVANCES: usize = 8;

/// The export step of one site; clones share the connection.
#[derive(Clone)]
pub struct Exporter {
    /// The LIMS itself.
    pub client: Arc<Client>,
    /// What the site calls things.
    pub conf: LimsConf,
    /// Where FASTQ is delivered.
    pub delivery_root: PathBuf,
    /// What reading the queue needs besides.
    pub desk: Arc<Desk>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.class() {
            Class::Fenced => Self::Fatal(chain(&error)),
            Class::Outage | Class::Config | Class::Unclear => Self::Outage(chain(&error)),
            Class::Refused | Class::NotFound | Class::Stuck | Class::Malformed => Blame::again(chain(&error)),
        }
    }
}

impl Exporter {
    /// Prepares the client; nothing is sent yet.
    pub fn new(conf: &LimsConf, delivery_root: PathBuf, desk: Desk) -> Result<Self, String> {
        let password = Secret::from_file(&conf.password_file).map_err(|e| chain(&e))?;
        let settings = Settings {
            base: conf.base.clone(),
            user: conf.user.clone(),
            password,
            deadline: conf.deadline,
            attempts: conf.attempts,
            max_body: MAX_BODY,
            ca_file: conf.ca_file.clone(),
        };
        let client = Client::new(settings).map_err(|e| chain(&e))?;
        Ok(Self { client: Arc::new(client), conf: conf.clone(), delivery_root, desk: Arc::new(desk) })
    }

    /// Reads the configured step and makes sure that it is the one that is meant and can be completed without a person.
    pub async fn step_as_configured(&self) -> Result<ProtocolStep, Failure> {
        let step = self.client.protocol_step(self.conf.protocol, self.conf.step).await.map_err(everybody)?;
        let name = step.name.as_deref().unwrap_or_default();
        if name != self.conf.step_name {
            return Err(Failure::Outage(format!(
                "step {} of protocol {} is called {name:?} in the LIMS, but lims.step_name is {:?}: correct the numbers",
                self.conf.step, self.conf.protocol, self.conf.step_name
            )));
        }
        if step.needs_signature() {
            return Err(Failure::Outage(format!(
                "step {name:?} wants an electronic signature, which no program can give: ask the laboratory to switch it off"
            )));
        }
        Ok(step)
    }

    /// The queue of the export step.
    pub async fn queue(&self) -> Result<Queue, Failure> {
        self.client.queue(self.conf.step).await.map_err(everybody)
    }

    /// Opens the step for these artifacts: one POST. They must be in the queue.
    async fn open(&self, artifacts: &[LimsId]) -> Result<Step, Failure> {
        let queue = self.queue().await?;
        let queued: BTreeSet<&LimsId> = queue.items.iter().map(|item| &item.id).collect();
        if let Some(gone) = artifacts.iter().find(|a| !queued.contains(a)) {
            return Err(Blame::again(format!(
                "{gone} is not in the queue any more: withdrawn, or taken by somebody"
            )));
        }
        let nameless = || Failure::Outage("the queue does not say which step it belongs to".into());
        let uri = queue.protocol_step_uri.ok_or_else(nameless)?;
        Ok(self.client.start_step(&uri, artifacts).await?)
    }

    /// After a crash or a lost answer: was the step opened? Every search result is checked against its own question, and a
    /// step that somebody else opened with the same artifacts is not ours (`us`: as whom the LIMS knows us, if known).
    async fn find(&self, artifacts: &[LimsId], us: Option<&str>) -> Result<Found, Failure> {
        let queue = self.queue().await?;
        let queued: BTreeSet<&LimsId> = queue.items.iter().map(|item| &item.id).collect();
        if artifacts.iter().all(|a| queued.contains(a)) {
            return Ok(Found::Queued);
        }
        let process_type = self.step_as_configured().await?.process_type.unwrap_or_default();
        let Some(first) = artifacts.first() else { return Ok(Found::Lost) };
        let filters = [("type", process_type.as_str()), ("inputartifactlimsid", first.as_str())];
        let wanted: BTreeSet<&LimsId> = artifacts.iter().collect();
        for id in self.client.find_processes(&filters).await? {
            let step = match self.client.step(&id).await {
                Err(e) if e.class() == Class::NotFound => continue,
                step => step?,
            };
            let theirs = us.zip(step.technician.as_ref()).is_some_and(|(us, they)| us != they.as_str());
            if step.state == State::Completed || theirs {
                continue;
            }
            if self.client.step_details(&id).await?.inputs() == wanted {
                let us = step.technician.map(|t| t.to_string());
                return Ok(Found::Claimed(Claim { id: id.to_string(), us }));
            }
        }
        Ok(Found::Lost)
    }

    /// Gives every artifact of the step its action and advances until it is completed. Ends at once if it already is.
    async fn complete(&self, id: &LimsId) -> Result<(), Failure> {
        let configured = self.step_as_configured().await?;
        let onward = configured.transitions.first().map(|t| t.next_step_uri.clone());
        let settle = Settle { poll: Duration::from_millis(500), deadline: self.conf.step_deadline };
        let mut step = self.client.step(id).await?;
        for _ in 0..MAX_ADVANCES {
            match step.state {
                State::Completed => return Ok(()),
                State::RecordDetails | State::AssignNextSteps => {
                    let action = || onward.clone().map_or(Action::Complete, Action::NextStep);
                    let _as_they_stand = self.client.set_actions(id, |_| action()).await?;
                }
                _ => {}
            }
            step = self.client.advance(id, settle).await?;
        }
        Err(Blame::again(format!("step {id} is not completed after {MAX_ADVANCES} advances")))
    }

    async fn stands(&self, id: &LimsId) -> Result<Standing, Failure> {
        match self.client.step(id).await {
            Err(e) if e.class() == Class::NotFound => Ok(Standing::Gone),
            step => Ok(match step?.state {
                State::Completed => Standing::Completed,
                state if state.is_review() => Standing::InReview,
                _ => Standing::Open,
            }),
        }
    }

    /// The name that the site uses for one of the program's fields.
    pub fn field(&self, ours: &str) -> &str {
        self.conf.fields.get(ours).map_or("", String::as_str)
    }
}

impl Source for Exporter {
    fn name(&self) -> &str {
        "the LIMS"
    }

    fn preflight(&self) -> Ask<'_, Vec<String>> {
        async move { self.step_as_configured().await.map(|_| Vec::new()) }.boxed_local()
    }

    fn look<'a>(&'a self, with: Looking<'a>) -> Ask<'a, Look> {
        look(self, with).boxed_local()
    }

    fn claim<'a>(&'a self, order: &'a Order) -> Ask<'a, Claim> {
        async move {
            let step = self.open(&lims_ids(&order.artifacts)?).await?;
            Ok(Claim { id: step.id.to_string(), us: step.technician.map(|t| t.to_string()) })
        }
        .boxed_local()
    }

    fn find_claim<'a>(&'a self, order: &'a Order, us: Option<&'a str>) -> Ask<'a, Found> {
        async move { self.find(&lims_ids(&order.artifacts)?, us).await }.boxed_local()
    }

    fn standing<'a>(&'a self, claim: &'a str, _: &'a Order) -> Ask<'a, Standing> {
        async move { self.stands(&lims_id(claim)?).await }.boxed_local()
    }

    fn end<'a>(&'a self, claim: &'a str, _: &'a Order, ending: &'a Ending) -> Ask<'a, Ended> {
        async move {
            let step = lims_id(claim)?;
            match ending {
                Ending::Delivered => self.complete(&step).await.map(|()| Ended::Completed),
                Ending::Undelivered(_) => {
                    if self.stands(&step).await? == Standing::Open {
                        self.client.abort_step(&step).await?;
                    }
                    let how = "nothing was delivered; the step is deleted and the samples are in the queue again";
                    Ok(Ended::Withdrawn(how.into()))
                }
                Ending::Partly(_) => {
                    let how = "delivered in part; the step stays open until the rest is delivered or a person decides";
                    Ok(Ended::Review(how.into()))
                }
            }
        }
        .boxed_local()
    }

    fn refuse<'a>(&'a self, artifact: &'a str, _: &'a Fault, _: bool) -> Ask<'a, String> {
        async move { Err(Failure::Outage(format!("{artifact} stays in the queue: nothing routes it yet"))) }
            .boxed_local()
    }
}

fn lims_id(text: &str) -> Result<LimsId, Failure> {
    LimsId::new(text)
        .map_err(|e| Failure::Fatal(format!("the journal holds something that is no LIMS id: {e}")))
}

/// What concerns the whole queue is nobody's own fault.
fn everybody(error: Error) -> Failure {
    Failure::Outage(chain(&error))
}

/// Ids from the journal, as the client wants them.
fn lims_ids(texts: &[String]) -> Result<Vec<LimsId>, Failure> {
    texts.iter().map(|text| lims_id(text)).collect()
}
