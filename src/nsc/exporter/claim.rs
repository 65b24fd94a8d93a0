//! Opening the export step, and finding it again.
//!
//! Opening is one POST without a key by which a repeat could be known, so it is never repeated blindly: after a lost answer
//! or a crash the queue and the open steps are read. A step is taken for ours only if it is a run of the export step, holds
//! exactly these artifacts, is open, and was opened by our account or bears the order's key. One that is completed is never
//! taken for ours: it may be that of an earlier export of the same samples.
use std::collections::BTreeSet;

use super::super::source::{Claim, Found};
use super::{Exporter, is_run_of, lims_ids, list};
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clarity::{Class, LimsId, Process, ProtocolStep, Settle, State, Step, StepDetails, Udf, UdfKind};
use crate::package::Order;

/// Steps of one artifact that are looked at: it is exported once or twice.
const MOST_STEPS: usize = 200;
/// For the key: the claim is waiting to be journalled.
const KEY_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Whose an open step with the right inputs is.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs(String),
}

/// `us`: our account, as far as it is known. `by`: whose the step is, if the LIMS says. `key`: what its field says, if the
/// site has one.
fn whose(us: Option<&str>, by: Option<&str>, key: Option<&str>, order: &str) -> Whose {
    match (key, us, by) {
        (Some(key), _, _) if key == order => Whose::Ours,
        (Some(key), _, _) if !key.is_empty() => Whose::Theirs(format!("bears the key {key:?}")),
        (_, Some(us), Some(by)) if us == by => Whose::Ours,
        (_, Some(_), Some(by)) => Whose::Theirs(format!("was opened by researcher {by}")),
        (_, None, Some(by)) => Whose::Theirs(format!(
            "was opened by researcher {by}, and the LIMS does not tell whether that is this program"
        )),
        // A LIMS that does not say who works on a step.
        (_, _, None) => Whose::Ours,
    }
}

impl Exporter {
    /// Opens the step for these artifacts: one POST. They must be in the queue.
    pub(super) async fn open(&self, order: &Order) -> Result<Claim, Failure> {
        let artifacts = lims_ids(&order.artifacts)?;
        let queue = self.queue().await?;
        let queued: BTreeSet<&LimsId> = queue.items.iter().map(|item| &item.id).collect();
        let gone: Vec<&LimsId> = artifacts.iter().filter(|a| !queued.contains(a)).collect();
        if !gone.is_empty() {
            let gone = list(gone);
            return Err(Blame::again(format!(
                "{gone} is not in the queue any more: withdrawn, or taken by somebody"
            )));
        }
        let nameless = || Failure::Outage("the queue does not say which step it belongs to".into());
        let uri = queue.protocol_step_uri.ok_or_else(nameless)?;
        let step = match self.client.start_step(&uri, &artifacts).await {
            Err(refused) if refused.class() == Class::Refused => {
                return Err(self.refused(&artifacts, &chain(&refused)).await?);
            }
            step => step?,
        };
        self.mark(&step.id, order).await?;
        Ok(Claim { id: step.id.to_string(), us: step.technician.map(|t| t.to_string()) })
    }

    /// Why the step could not be opened: perhaps another was faster.
    pub(super) async fn refused(&self, artifacts: &[LimsId], why: &str) -> Result<Failure, Failure> {
        let queue = self.queue().await?;
        let queued: BTreeSet<&LimsId> = queue.items.iter().map(|item| &item.id).collect();
        let gone: Vec<&LimsId> = artifacts.iter().filter(|a| !queued.contains(a)).collect();
        Ok(Blame::again(match gone.is_empty() {
            true => why.to_owned(),
            false => format!("{why}; meanwhile somebody took {} out of the queue", list(gone)),
        }))
    }

    /// Writes the order's name into the step. It helps to find the step again, and nothing else depends on it, so that the
    /// claim, which must be journalled soon, does not fail with it.
    async fn mark(&self, id: &LimsId, order: &Order) -> Result<(), Failure> {
        let Some(field) = &self.conf.key_field else { return Ok(()) };
        let patience = self.settle();
        let patience = Settle { deadline: patience.deadline.min(KEY_PATIENCE), ..patience };
        let marked = async {
            let _step = self.client.wait_started(id, patience).await?;
            let key = Udf { kind: UdfKind::String, value: order.id.to_string() };
            self.client.set_fields(id, &[(field.as_str(), key)]).await
        };
        match marked.await {
            Ok(_) => Ok(()),
            Err(fenced) if fenced.class() == Class::Fenced => Err(fenced.into()),
            Err(e) => {
                tracing::warn!(step = %id, field, error = chain(&e), "the step is opened, but it does not bear its key");
                Ok(())
            }
        }
    }

    /// After a crash or a lost answer: was the step opened?
    pub(super) async fn find(&self, order: &Order, us: Option<&str>) -> Result<Found, Failure> {
        let artifacts = lims_ids(&order.artifacts)?;
        let queue = self.queue().await?;
        let queued: BTreeSet<&LimsId> = queue.items.iter().map(|item| &item.id).collect();
        // A queue may show what was a moment ago, so that all of them are in it says nothing before no step was found.
        let configured = self.step_as_configured().await?;
        let known = match us {
            Some(us) => Some(us.to_owned()),
            None => self.who_we_are().await?,
        };
        let Some(first) = artifacts.first() else {
            return Ok(Found::Lost("the order has no artifacts".into()));
        };
        let kind = configured.process_type.as_deref().unwrap_or_default();
        let filters = [("type", kind), ("inputartifactlimsid", first.as_str())];
        let mut others = Vec::new();
        for id in self.client.find_processes(&filters).await?.iter().take(MOST_STEPS) {
            let Some((step, details, by)) = self.candidate(id, &configured, first).await? else { continue };
            if details.inputs() != artifacts.iter().collect() {
                others.push(format!("step {id} ({}) holds {}", step.state, list(details.inputs())));
                continue;
            }
            if step.state == State::Completed {
                others.push(format!("step {id} with them is completed"));
                continue;
            }
            match whose(known.as_deref(), by.as_deref(), self.key_in(&details), &order.id.0) {
                Whose::Ours => return Ok(Found::Claimed(Claim { id: id.to_string(), us: by })),
                Whose::Theirs(why) => others.push(format!("step {id} with them {why}")),
            }
        }
        if artifacts.iter().all(|a| queued.contains(a)) {
            return Ok(Found::Queued);
        }
        let waits = artifacts.iter().filter(|a| queued.contains(a)).collect::<Vec<_>>();
        if !waits.is_empty() {
            others.push(format!("{} is in the queue, the others are not", list(waits)));
        }
        let seen = if others.is_empty() { "nothing else was found".to_owned() } else { others.join("; ") };
        Ok(Found::Lost(format!(
            "{} is neither in the queue nor in an open step of ours: {seen}",
            list(&artifacts)
        )))
    }

    /// A step that a search found, if it is what was searched for, with its inputs and who works on it.
    pub(super) async fn candidate(
        &self,
        id: &LimsId,
        configured: &ProtocolStep,
        input: &LimsId,
    ) -> Result<Option<(Step, StepDetails, Option<String>)>, Failure> {
        let Some(step) = self.open_or_closed(id).await? else { return Ok(None) };
        if !is_run_of(&step, configured) {
            return Ok(None);
        }
        let details = self.client.step_details(id).await?;
        if !details.inputs().contains(input) {
            return Ok(None);
        }
        let by = match &step.technician {
            Some(technician) => Some(technician.to_string()),
            // Versions before 6 name the technician in the process alone.
            None => self.process(id).await?.and_then(|process| process.technician).map(|t| t.to_string()),
        };
        Ok(Some((step, details, by)))
    }

    /// A process; none if it is gone.
    pub(super) async fn process(&self, id: &LimsId) -> Result<Option<Process>, Failure> {
        match self.client.process(id).await {
            Err(e) if e.class() == Class::NotFound => Ok(None),
            process => Ok(Some(process?)),
        }
    }

    /// What the step's key field says; none if the site has no such field.
    pub(super) fn key_in<'a>(&self, details: &'a StepDetails) -> Option<&'a str> {
        let field = self.conf.key_field.as_ref()?;
        Some(details.fields.get(field).map_or("", |udf| udf.value.as_str()))
    }

    /// As whom the LIMS knows the account; none if it does not tell.
    pub(super) async fn who_we_are(&self) -> Result<Option<String>, Failure> {
        match self.client.researcher_named(&self.conf.user).await {
            Ok(found) => Ok(found.map(|who| who.id.to_string())),
            Err(e) if matches!(e.class(), Class::Outage | Class::Fenced) => Err(e.into()),
            Err(e) => {
                tracing::warn!(error = chain(&e), "the LIMS does not tell who this program is in it");
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_ours_by_its_key_or_by_our_account_and_never_by_a_guess() {
        let theirs = |why: &str| Whose::Theirs(why.to_owned());
        for (us, by, key, want) in [
            (Some("3"), Some("3"), None, Whose::Ours),
            (Some("3"), Some("64"), None, theirs("was opened by researcher 64")),
            (Some("3"), Some("64"), Some("A1PA1"), Whose::Ours),
            (Some("3"), Some("3"), Some("A2PA1"), theirs("bears the key \"A2PA1\"")),
            (Some("3"), Some("3"), Some(""), Whose::Ours), // killed before it was marked
            (
                None,
                Some("3"),
                None,
                theirs("was opened by researcher 3, and the LIMS does not tell whether that is this program"),
            ),
            (Some("3"), None, None, Whose::Ours),
        ] {
            assert_eq!(whose(us, by, key, "A1PA1"), want, "{us:?} {by:?} {key:?}");
        }
    }
}
