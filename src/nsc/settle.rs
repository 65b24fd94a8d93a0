//! The end of an order: its claim is ended at the source as its packages have ended, or by a person and then noticed here.
use super::outcome::{Outcome, Sorted, ending, outcome, sorted};
use super::packager::{NAME, Packing};
use super::source::{Ended, Found, Standing};
use crate::blame::Failure;
use crate::chain;
use crate::clock;
use crate::conf::{CompleteAfter, WorkConf};
use crate::journal::{Event, Facts, OrderRow, Phase};
use crate::package::{Order, OrderId, PackageId, Reason, State};
use crate::supervisor::jitter;
use crate::supervisor::meter::Meter;

/// Of packages that move on while it is decided to stop them; each has a handful of states to move through.
const TRIES: usize = 32;

impl Packing {
    /// Ends the step of an order whose packages have come to their end.
    pub(super) async fn settle(&self, id: &OrderId) -> Result<(), Failure> {
        let Some((row, outcome)) = ({
            let view = self.journal.view();
            view.order(id).map(|row| (row.clone(), outcome(&view, row, self.after)))
        }) else {
            return Ok(());
        };
        if matches!(outcome, Outcome::NothingDelivered | Outcome::PartlyDelivered) {
            self.stop_blocked(&row).await?;
        }
        let us = self.journal.view().technician.clone();
        let claim = match (row.step.clone(), row.phase) {
            (Some(claim), _) => claim,
            (None, Phase::Ordered) => {
                return self.say(id, Phase::Withdrawn, None, Some("it was never claimed".into())).await;
            }
            // Stopped between the intent and the answer: the step may or may not exist.
            (None, Phase::Intent) => match self.source.find_claim(&row.order, us.as_deref()).await? {
                Found::Claimed(claim) => claim.id,
                Found::Queued => {
                    let why = "the step was never opened".into();
                    return self.say(id, Phase::Withdrawn, None, Some(why)).await;
                }
                // There is nothing of ours that a person could end and we could see ended, so it is an end.
                Found::Lost(why) => {
                    let why = format!("find it in the LIMS: {why}");
                    return self.say(id, Phase::Flagged, None, Some(why)).await;
                }
            },
            (None, _) => {
                let why = "the order has no step: find its samples in the LIMS";
                return self.say(id, Phase::Flagged, None, Some(why.into())).await;
            }
        };
        let Some(ending) = ending(&self.journal.view(), &row, outcome) else { return Ok(()) };
        let (phase, detail) = match self.source.end(&claim, &row.order, &ending).await? {
            Ended::Completed => (Phase::Completed, None),
            Ended::Withdrawn(how) => (Phase::Withdrawn, Some(how)),
            Ended::Failed(how) => (Phase::Failed, Some(how)),
            Ended::Review(how) => (self.with_a_person(&claim, &row.order).await?, Some(how)),
        };
        fail::fail_point!("packager.ended");
        self.say(id, phase, Some(claim), detail).await
    }

    /// What waits for a package that was stopped comes to its end too: nothing may be under way for ever.
    async fn stop_blocked(&self, row: &OrderRow) -> Result<(), Failure> {
        for draft in &row.order.packages {
            let (state, stopped) = {
                let view = self.journal.view();
                let state = |id: &PackageId| view.package(id).map(|row| row.state);
                let is_stopped = |id: &&PackageId| state(id) == Some(State::Quarantined);
                (state(&draft.id), draft.after.iter().find(is_stopped).cloned())
            };
            if let (Some(state @ (State::Found | State::Claimed)), Some(stopped)) = (state, stopped) {
                let detail = Some(format!("{stopped} was stopped"));
                let facts = Facts { reason: Some(Reason::MemberStopped), detail, ..Facts::default() };
                let _moved =
                    self.journal.step(&draft.id, Some(state), State::Quarantined, NAME, facts).await?;
            }
        }
        Ok(())
    }

    /// Looks whether the claims of all open orders stand as we left them.
    pub(super) async fn check(&self, meter: &Meter) -> Result<(), Failure> {
        let claimed: Vec<OrderId> = {
            let view = self.journal.view();
            let open = view.open_orders().into_iter();
            let mine =
                |row: &&OrderRow| row.step.is_some() && matches!(row.phase, Phase::Opened | Phase::Review);
            open.filter(mine).map(|row| row.order.id.clone()).collect()
        };
        for id in claimed {
            meter.alive();
            let Some(row) = self.order(&id) else { continue };
            let Some(claim) = row.step.clone() else { continue };
            let standing = match self.source.standing(&claim, &row.order).await {
                Err(Failure::Unit(blame)) => {
                    tracing::warn!(order = %id, claim, error = %blame, "cannot tell how its step stands; asked again later");
                    continue; // one odd step hides nobody else's
                }
                standing => standing?,
            };
            self.compare(&id, &standing).await?;
        }
        Ok(())
    }

    /// Draws the conclusion from how a claim stands; does nothing when it stands as we left it, or when we end it ourselves.
    pub(super) async fn compare(&self, id: &OrderId, standing: &Standing) -> Result<(), Failure> {
        let gone = match standing {
            Standing::Open | Standing::InReview => return Ok(()),
            Standing::Completed => false,
            Standing::Gone => true,
        };
        // Completed when packed, which is before the end of its packages: by us, most likely, and right in any case.
        let early = self.after == CompleteAfter::Packing && !gone;
        if early && self.order(id).is_some_and(|row| row.phase == Phase::Opened) {
            return Ok(());
        }
        for _ in 0..TRIES {
            let Some((row, outcome, packages)) = ({
                let view = self.journal.view();
                view.order(id)
                    .map(|r| (r.clone(), outcome(&view, r, self.after), sorted(&view, r, self.sends_here)))
            }) else {
                return Ok(());
            };
            match row.phase {
                // Ours to end, or ended by us just now: that the packages are at their end is decided before we end a step.
                Phase::Opened if outcome != Outcome::Underway => return Ok(()),
                Phase::Opened | Phase::Review => {}
                _ => return Ok(()),
            }
            let (phase, words) = conclusion(row.phase, gone, outcome, &packages);
            let detail =
                Some(format!("{} while it was on its way", if gone { "taken back" } else { "ended" }));
            let facts = Facts { reason: Some(Reason::Withdrawn), detail, ..Facts::default() };
            // What a person called exported, having been asked, goes on: nobody took it back.
            let stop = if gone || row.phase == Phase::Opened { &packages.stoppable[..] } else { &[] };
            if self.journal.withdraw((id, row.phase), stop, (NAME, facts), (phase, words)).await? {
                return Ok(());
            }
        }
        Ok(()) // they move on all the time; the next look will find them further
    }

    /// A package was stopped after its order had been called exported.
    pub(super) async fn flag(&self, id: &OrderId) -> Result<(), Failure> {
        let stopped: Vec<String> = {
            let view = self.journal.view();
            let Some(row) = view.order(id).filter(|row| row.phase == Phase::Completed) else { return Ok(()) };
            let is_stopped = |id: &PackageId| view.package(id).is_some_and(|p| p.state == State::Quarantined);
            let ids = row.order.packages.iter().map(|d| &d.id);
            ids.filter(|id| is_stopped(id)).map(ToString::to_string).collect()
        };
        if stopped.is_empty() {
            return Ok(());
        }
        let words = format!(
            "called exported when it was packed (orders.complete_after), but not delivered: {}. Correct that in the LIMS",
            stopped.join(", ")
        );
        self.say(id, Phase::Flagged, None, Some(words)).await
    }
}

/// What an order comes to whose claim was ended by others, with words for a person.
fn conclusion(phase: Phase, gone: bool, outcome: Outcome, packages: &Sorted) -> (Phase, String) {
    let names = |ids: &mut dyn Iterator<Item = &PackageId>| {
        let names: Vec<String> = ids.map(ToString::to_string).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let delivered = names(&mut packages.gone.iter());
    let kept = names(&mut packages.stopped.iter().chain(packages.stoppable.iter().map(|(id, _)| id)));
    let how = if gone { "taken back" } else { "called exported" };
    // A person was asked and has answered; whoever did it knows what was and was not delivered.
    if phase == Phase::Review {
        let end = match (gone, outcome) {
            (true, _) => Phase::Withdrawn,
            (false, Outcome::AllDelivered) => Phase::Completed,
            (false, _) => Phase::Failed,
        };
        return (end, format!("{how} by a person; delivered: {delivered}; not delivered: {kept}"));
    }
    match (gone, packages.gone.is_empty()) {
        (true, true) => (Phase::Withdrawn, format!("taken back by somebody; stopped in time: {kept}")),
        (true, false) => (
            Phase::Flagged,
            format!(
                "taken back by somebody, too late for {delivered}: tell the receiver if that must not be used. Not delivered: {kept}"
            ),
        ),
        (false, _) => (
            Phase::Flagged,
            format!(
                "called exported by somebody while it was on its way. Delivered, or about to be: {delivered}. NOT delivered, and stopped: \
                 {kept}. Correct that in the LIMS"
            ),
        ),
    }
}

impl Packing {
    /// A person ends a step that is still open, and we see it end. One that has ended already tells nothing any more.
    async fn with_a_person(&self, claim: &str, order: &Order) -> Result<Phase, Failure> {
        Ok(match self.source.standing(claim, order).await? {
            Standing::Open | Standing::InReview => Phase::Review,
            Standing::Completed | Standing::Gone => Phase::Flagged,
        })
    }

    /// The step cannot be opened or ended: it is tried again with back-off, and after too many failures a person is asked.
    pub(super) async fn blame_order(
        &self,
        work: &WorkConf,
        order: OrderId,
        error: String,
    ) -> Result<(), String> {
        let Some(row) = self.order(&order) else { return Ok(()) };
        let failures = row.failures + 1;
        let retry_at = clock::now() + work.retry.delay(failures, jitter());
        let event = Event::OrderFailed { order: order.clone(), failures, error: error.clone(), retry_at };
        self.journal.record(event).await.map_err(|e| chain(&*e))?;
        if failures < work.max_failures || row.phase == Phase::Review || row.phase.is_end() {
            return Ok(());
        }
        let (phase, detail) = match (row.phase, &row.step) {
            (Phase::Ordered | Phase::Intent, _) => (Phase::Flagged, format!("it cannot be claimed: {error}")),
            (_, Some(claim)) => {
                // Not known: it is asked again at the next failure.
                let Ok(phase) = self.with_a_person(claim, &row.order).await else { return Ok(()) };
                (phase, format!("the step cannot be ended as it should: {error}"))
            }
            (_, None) => (Phase::Flagged, format!("the step cannot be ended: {error}")),
        };
        let event = Event::Claim { order, phase, step: None, technician: None, detail: Some(detail) };
        self.journal.record(event).await.map_err(|e| chain(&*e))
    }
}
