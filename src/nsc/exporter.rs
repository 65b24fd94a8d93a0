//! The export step in Clarity: preflight, queue, claim, end, putting out of the queue.
//!
//! Reading goes to [`look`]. What changes something begins by reading how things stand, so that it can be
//! repeated from wherever it was interrupted; the two requests that cannot be told from their repeats (opening a step,
//! routing) are sent only after a reading that shows that they did not take.
mod claim;
mod ending;
mod fields;
mod orphans;
mod plan;
mod preflight;
mod route;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

pub use preflight::{Check, Verdict};

use super::reading::{Desk, look};
use super::source::{Ask, Claim, Ended, Ending, Fault, Found, Look, Looking, Source, Standing};
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clarity::{Class, Client, Error, LimsId, ProtocolStep, Queue, Settings, Settle, Step, same_uri};
use crate::conf::{LimsConf, NscConf, OrdersConf};
use crate::package::Order;
use crate::secret::Secret;

/// The largest answer that is read.
const MAX_BODY: u64 = 64 << 20;
/// What was changed shows in queues and histories within this time, or somebody is asked.
const LAG: Duration = Duration::from_secs(20);
/// Between two readings, at most.
const POLL: Duration = Duration::from_millis(500);

/// The export step of one site; clones share the connection.
#[derive(Clone)]
pub struct Exporter {
    /// The LIMS itself.
    pub client: Arc<Client>,
    /// What the site calls things.
    pub conf: LimsConf,
    /// What becomes of orders.
    pub orders: OrdersConf,
    /// Where FASTQ is delivered.
    pub delivery_root: PathBuf,
    /// What reading the queue needs besides; none: the queue is not read.
    pub desk: Option<Arc<Desk>>,
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
    pub fn new(nsc: &NscConf) -> Result<Self, String> {
        let conf = &nsc.lims;
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
        Ok(Self {
            client: Arc::new(client),
            conf: conf.clone(),
            orders: nsc.orders.clone(),
            delivery_root: nsc.delivery_root.clone(),
            desk: None,
        })
    }

    /// Able to read the queue too.
    #[must_use]
    pub fn with_desk(self, desk: Desk) -> Self {
        Self { desk: Some(Arc::new(desk)), ..self }
    }

    /// Reads the configured step and makes sure that it is the one that is meant and can be completed without a person.
    pub async fn step_as_configured(&self) -> Result<ProtocolStep, Failure> {
        let step = self.client.protocol_step(self.conf.protocol, self.conf.step).await.map_err(everybody)?;
        for check in [preflight::named(&step, &self.conf), preflight::unsigned(&step)] {
            if let Verdict::Fault(why) = check.verdict {
                return Err(Failure::Outage(why));
            }
        }
        Ok(step)
    }

    /// The queue of the export step.
    pub async fn queue(&self) -> Result<Queue, Failure> {
        self.client.queue(self.conf.step).await.map_err(everybody)
    }

    /// The name that the site uses for one of the program's fields.
    pub fn field(&self, ours: &str) -> &str {
        self.conf.fields.get(ours).map_or("", String::as_str)
    }

    /// How patiently a step is waited for.
    fn settle(&self) -> Settle {
        Settle { poll: POLL.min(self.conf.step_deadline / 20), deadline: self.conf.step_deadline }
    }

    /// Reads, with growing pauses, until it holds or what was changed should show by now; whether it holds.
    async fn watch(&self, mut holds: impl AsyncFnMut() -> Result<bool, Failure>) -> Result<bool, Failure> {
        let end = Instant::now() + LAG.min(self.conf.step_deadline);
        let mut pause = self.settle().poll / 2;
        loop {
            if holds().await? {
                return Ok(true);
            }
            if Instant::now() + pause > end {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

/// Whether a step is a run of this configured step. One that does not say is known by its inputs alone.
fn is_run_of(step: &Step, configured: &ProtocolStep) -> bool {
    step.configuration_uri.as_deref().is_none_or(|uri| same_uri(uri, &configured.uri))
}

fn list<'a>(ids: impl IntoIterator<Item = &'a LimsId>) -> String {
    ids.into_iter().map(LimsId::as_str).collect::<Vec<_>>().join(", ")
}

impl Source for Exporter {
    fn name(&self) -> &str {
        "the LIMS"
    }

    fn preflight(&self) -> Ask<'_, Vec<String>> {
        self.can_run_unattended().boxed_local()
    }

    fn look<'a>(&'a self, with: Looking<'a>) -> Ask<'a, Look> {
        look(self, with).boxed_local()
    }

    fn claim<'a>(&'a self, order: &'a Order) -> Ask<'a, Claim> {
        self.open(order).boxed_local()
    }

    fn find_claim<'a>(&'a self, order: &'a Order, us: Option<&'a str>) -> Ask<'a, Found> {
        self.find(order, us).boxed_local()
    }

    fn standing<'a>(&'a self, claim: &'a str, _: &'a Order) -> Ask<'a, Standing> {
        async move { self.stands(&lims_id(claim)?).await }.boxed_local()
    }

    fn end<'a>(&'a self, claim: &'a str, order: &'a Order, ending: &'a Ending) -> Ask<'a, Ended> {
        self.finish(claim, order, ending).boxed_local()
    }

    fn refuse<'a>(&'a self, artifact: &'a str, fault: &'a Fault, again: bool) -> Ask<'a, String> {
        self.put_out(artifact, fault, again).boxed_local()
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
