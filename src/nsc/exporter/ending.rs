//! Ending a claim: as planned, from wherever it stands.
//!
//! Every attempt begins by reading the step: it may be that an earlier one got half way, or that a person closed or aborted
//! it meanwhile. A step that a person ended otherwise than planned is not overruled: it is said, for a person to decide.
use std::collections::BTreeSet;

use super::super::source::{Ended, Ending, Standing};
use super::plan::{self, Course, Plan, Rules};
use super::{Exporter, lims_id, lims_ids, list};
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clarity::{ActionWord, Class, LimsId, ProtocolStep, State, Step};
use crate::package::Order;

/// A no-output step has four states; each is left by one advance.
const MAX_ADVANCES: usize = 8;

impl Exporter {
    /// How the step stands.
    pub(super) async fn stands(&self, id: &LimsId) -> Result<Standing, Failure> {
        Ok(match self.open_or_closed(id).await? {
            None => Standing::Gone,
            Some(step) if step.state == State::Completed => Standing::Completed,
            Some(step) if step.state.is_review() => Standing::InReview,
            Some(_) => Standing::Open,
        })
    }

    /// The step; none if it is gone. A step has a process of the same id, and what follows from "gone" cannot be taken back,
    /// so both must be missing.
    pub(super) async fn open_or_closed(&self, id: &LimsId) -> Result<Option<Step>, Failure> {
        match self.client.step(id).await {
            Err(e) if e.class() == Class::NotFound => match self.process(id).await? {
                None => Ok(None),
                Some(_) => Err(Blame::again(format!(
                    "the LIMS contradicts itself: it has no step {id}, but the process that belongs to it ({})",
                    chain(&e)
                ))),
            },
            step => Ok(Some(step?)),
        }
    }

    /// What was delivered ends with the LIMS calling it exported and in no other way: whatever stands against that is a
    /// failure, counted and tried again with back-off until somebody has put it right in the LIMS.
    pub(super) async fn finish(&self, claim: &str, order: &Order, ending: &Ending) -> Result<Ended, Failure> {
        match self.attempt(claim, order, ending).await? {
            Ended::Review(why) if *ending == Ending::Delivered => Err(Blame::again(why)),
            ended => Ok(ended),
        }
    }

    async fn attempt(&self, claim: &str, order: &Order, ending: &Ending) -> Result<Ended, Failure> {
        let id = lims_id(claim)?;
        let artifacts: BTreeSet<LimsId> = lims_ids(&order.artifacts)?.into_iter().collect();
        let configured = self.step_as_configured().await?;
        let rules = Rules { lims: &self.conf, orders: &self.orders, step: &configured };
        let course = plan::course(rules, &artifacts, ending).map_err(Failure::Outage)?;
        let Some(step) = self.open_or_closed(&id).await? else {
            return self.gone(&id, &artifacts, &course).await;
        };
        if let Some(why) = self.not_ours(&step, &configured, &artifacts).await? {
            return Ok(Ended::Review(why));
        }
        if step.state == State::Completed {
            return self.completed(&step, &course).await;
        }
        if step.state.is_review() {
            return Ok(Ended::Review(in_review(&id, &course)));
        }
        self.note(course.faults()).await?;
        match &course {
            Course::Leave(faults) => Ok(Ended::Review(format!(
                "delivered in part ({}); step {id} stays open until the rest is delivered or a person decides in the LIMS",
                plan::why(faults)
            ))),
            Course::Delete(_) => self.delete(&id, &artifacts, &course).await,
            Course::Finish(plan) => self.drive(step, plan, &course).await,
        }
    }

    /// A step of another kind or with other inputs than the order's is touched by nobody but a person.
    async fn not_ours(
        &self,
        step: &Step,
        configured: &ProtocolStep,
        artifacts: &BTreeSet<LimsId>,
    ) -> Result<Option<String>, Failure> {
        let id = &step.id;
        if !super::is_run_of(step, configured) {
            let other = step.configuration_uri.as_deref().unwrap_or_default();
            return Ok(Some(format!(
                "step {id} is not a run of the export step but of {other}: nothing was done to it"
            )));
        }
        let details = self.client.step_details(id).await?;
        let inputs = details.inputs();
        if inputs == artifacts.iter().collect() {
            return Ok(None);
        }
        Ok(Some(format!(
            "step {id} holds {}, but the order is about {}: nothing was done to it; find out which is right",
            list(inputs),
            list(artifacts)
        )))
    }

    /// Gives every artifact its action and advances until the step is completed, or waits for a manager.
    async fn drive(&self, mut step: Step, plan: &Plan, course: &Course) -> Result<Ended, Failure> {
        let id = step.id.clone();
        for _ in 0..MAX_ADVANCES {
            match &step.state {
                State::Completed => return self.completed(&step, course).await,
                state if state.is_review() => return Ok(Ended::Review(in_review(&id, course))),
                State::RecordDetails | State::AssignNextSteps => {
                    if plan.review.is_some() && self.is_decided(&id, plan).await? {
                        return Ok(Ended::Review(format!(
                            "step {id} was reviewed, and its samples have their next steps; it waits to be finished in the LIMS"
                        )));
                    }
                    let choose = |artifact: &LimsId| plan.actions.get(artifact).cloned();
                    let _as_they_stand = self.client.decide(&id, choose, plan.review.as_ref()).await?;
                }
                _ => {}
            }
            step = self.client.advance(&id, self.settle()).await?;
        }
        Err(Blame::again(format!("step {id} is not completed after {MAX_ADVANCES} advances")))
    }

    /// Whether the manager who was asked has answered: those artifacts are still escalated, and have another action.
    async fn is_decided(&self, id: &LimsId, plan: &Plan) -> Result<bool, Failure> {
        let actions = self.client.actions(id).await?;
        let (lines, escalated) = (actions.next(), actions.escalated());
        let decided = |artifact: &LimsId| {
            let line = lines.iter().find(|line| line.artifact == *artifact);
            let word = line.and_then(|line| line.action.as_ref());
            escalated.contains(artifact)
                && word.is_some_and(|word| !matches!(word, ActionWord::Review | ActionWord::Unknown))
        };
        Ok(plan.faults.keys().all(decided))
    }

    /// The step is completed: by us, as planned, or by somebody.
    async fn completed(&self, step: &Step, course: &Course) -> Result<Ended, Failure> {
        let id = &step.id;
        let plan = match course {
            Course::Finish(plan) => plan,
            Course::Delete(faults) | Course::Leave(faults) => {
                return Ok(Ended::Review(format!(
                    "somebody completed step {id} in the LIMS, but not everything of it was delivered ({}): put what is missing \
                     into the queue again",
                    plan::why(faults)
                )));
            }
        };
        let lines = match self.client.actions(id).await {
            Err(e) if e.class() == Class::NotFound => Vec::new(), // a server that shows none of a closed step
            actions => actions?.next(),
        };
        match (plan.told(&lines), plan.faults.is_empty()) {
            (true, _) => {}
            (false, true) if lines.is_empty() || plan::calls_exported(&lines, self.conf.failed_step) => {}
            (false, true) => {
                return Ok(Ended::Review(format!(
                    "everything of step {id} was delivered, but somebody closed it otherwise ({}): correct that in the LIMS",
                    plan::in_words(&lines)
                )));
            }
            (false, false) => {
                return Ok(Ended::Review(format!(
                    "somebody completed step {id} in the LIMS ({}), but not everything of it was delivered ({}): put what is \
                     missing into the queue again",
                    plan::in_words(&lines),
                    plan::why(&plan.faults)
                )));
            }
        }
        if let Some(stage) = plan.route {
            let failed: Vec<LimsId> = plan.faults.keys().cloned().collect();
            self.route(&failed, &[], stage).await?;
        }
        self.left_the_queue(step, &plan.actions.keys().collect()).await?;
        if plan.faults.is_empty() {
            return Ok(Ended::Completed);
        }
        let failed = list(plan.faults.keys());
        Ok(Ended::Failed(format!(
            "{failed} {} ({}); step {id} is completed",
            plan.place,
            plan::why(&plan.faults)
        )))
    }

    /// A completed step's artifacts are not queued any more, unless somebody queued them after it.
    async fn left_the_queue(&self, step: &Step, artifacts: &BTreeSet<&LimsId>) -> Result<(), Failure> {
        let mut still = Vec::new();
        let left = self.watch(async || {
            let later = |at| step.completed.is_some_and(|completed| at > completed);
            let items = self.queue().await?.items.into_iter();
            let there = items.filter(|i| artifacts.contains(&i.id) && !i.queued_at.is_some_and(later));
            still = there.map(|item| item.id).collect();
            Ok(still.is_empty())
        });
        if left.await? {
            return Ok(());
        }
        Err(Blame::again(format!(
            "step {} is completed, but {} still stands in its queue: take it out there, or have it exported again",
            step.id,
            list(&still)
        )))
    }

    /// Takes the claim back.
    async fn delete(
        &self,
        id: &LimsId,
        artifacts: &BTreeSet<LimsId>,
        course: &Course,
    ) -> Result<Ended, Failure> {
        match self.client.abort_step(id).await {
            Ok(()) => {}
            Err(refused) if refused.class() == Class::Refused => match self.open_or_closed(id).await? {
                Some(step) if step.state == State::Completed => return self.completed(&step, course).await,
                Some(step) if step.state.is_review() => return Ok(Ended::Review(in_review(id, course))),
                Some(_) => return Err(refused.into()),
                None => {}
            },
            Err(other) => return Err(other.into()),
        }
        if !self.watch(async || Ok(self.open_or_closed(id).await?.is_none())).await? {
            return Err(Blame::again(format!("the LIMS took the deletion of step {id}, and still shows it")));
        }
        self.gone(id, artifacts, course).await
    }

    /// There is no such step any more.
    async fn gone(
        &self,
        id: &LimsId,
        artifacts: &BTreeSet<LimsId>,
        course: &Course,
    ) -> Result<Ended, Failure> {
        let mut missing = Vec::new();
        let back = self.watch(async || {
            let queue = self.queue().await?;
            let queued: BTreeSet<&LimsId> = queue.items.iter().map(|item| &item.id).collect();
            missing = artifacts.iter().filter(|a| !queued.contains(a)).cloned().collect();
            Ok(missing.is_empty())
        });
        let back = back.await?;
        let where_now = match back {
            true => format!("{} is in the queue again", list(artifacts)),
            false => format!(
                "{} is not in the queue: look for it in the LIMS and put it where it belongs",
                list(&missing)
            ),
        };
        let void = match course {
            Course::Delete(_) => true,
            Course::Leave(_) => false,
            Course::Finish(plan) => plan.is_void(),
        };
        let why = plan::why(course.faults());
        Ok(match (void, back) {
            (true, true) => {
                Ended::Withdrawn(format!("nothing was delivered ({why}); step {id} is deleted, {where_now}"))
            }
            (true, false) => {
                Ended::Review(format!("nothing was delivered ({why}); step {id} is deleted, but {where_now}"))
            }
            (false, _) if course.faults().is_empty() => Ended::Review(format!(
                "everything was delivered, but somebody deleted step {id}, so the LIMS does not call it exported; {where_now}"
            )),
            (false, _) => Ended::Review(format!(
                "delivered in part ({why}), and somebody deleted step {id}; {where_now}"
            )),
        })
    }
}

fn in_review(id: &LimsId, course: &Course) -> String {
    match course.faults().is_empty() {
        true => format!(
            "everything of step {id} was delivered; somebody put it before a manager, who has to finish it"
        ),
        false => format!("step {id} waits for a manager: {}", plan::why(course.faults())),
    }
}
