//! From an order to a claim of ours: one request that is never repeated blindly.
use super::packager::{NAME, Packing};
use super::source::{Claim, Found};
use crate::blame::{Blame, Failure};
use crate::journal::{Event, Facts, Phase};
use crate::package::{OrderId, Reason, State};

impl Packing {
    /// Opens the step, or finds out that it is open; then every package of the order is `Claimed`.
    pub(super) async fn claim(&self, id: &OrderId) -> Result<(), Failure> {
        let Some(row) = self.order(id) else { return Ok(()) };
        let us = self.journal.view().technician.clone();
        let found = match (row.phase, row.step.clone()) {
            (Phase::Ordered, _) => Found::Queued,
            (_, Some(id)) => Found::Claimed(Claim { id, us: None }),
            (_, None) => self.source.find_claim(&row.order, us.as_deref()).await?,
        };
        let claim = match found {
            Found::Claimed(claim) => claim,
            Found::Queued => {
                self.say(id, Phase::Intent, None, None).await?;
                fail::fail_point!("packager.intent");
                self.source.claim(&row.order).await?
            }
            // Not for good yet: the LIMS shows things late.
            Found::Lost(why) => return Err(Blame::again_then(Reason::LimsStepLost, why)),
        };
        fail::fail_point!("packager.claimed");
        if row.phase != Phase::Opened {
            let (order, step, technician) = (id.clone(), Some(claim.id), claim.us);
            let event = Event::Claim { order, phase: Phase::Opened, step, technician, detail: None };
            self.journal.record(event).await?;
        }
        for draft in &row.order.packages {
            let _moved = self
                .journal
                .step(&draft.id, Some(State::Found), State::Claimed, NAME, Facts::default())
                .await?;
        }
        Ok(())
    }
}
