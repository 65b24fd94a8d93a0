//! What is to become of a claim: the site's rules applied to one order. Pure.
//!
//! Actions that a step accepts follow from its transitions: without any, `complete`; with some, `nextstep` to one of them. An
//! artifact that was not delivered never gets the action of one that was.
use std::collections::{BTreeMap, BTreeSet};

use super::super::source::{Ending, Fault};
use crate::clarity::{Action, ActionWord, LimsId, NextAction, ProtocolStep, Review, Transition, number_in};
use crate::conf::{LimsConf, OnFailure, OrdersConf};

/// The longest text for a field of one line.
const FIELD: usize = 250;
/// The longest comment for a manager.
const COMMENT: usize = 1000;

/// What the site wants, and what its LIMS allows.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Where failed ones go.
    pub lims: &'a LimsConf,
    /// What becomes of failed ones.
    pub orders: &'a OrdersConf,
    /// The export step as it is configured.
    pub step: &'a ProtocolStep,
}

/// How a claim is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// Taken back as a whole.
    Delete(Faults),
    /// Left open for a person.
    Leave(Faults),
    /// Taken to its end.
    Finish(Plan),
}

/// What was not delivered, and why.
pub type Faults = BTreeMap<LimsId, Fault>;

/// How a step is taken to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Everything in the step.
    pub actions: BTreeMap<LimsId, Action>,
    /// What was not delivered.
    pub faults: Faults,
    /// Who is asked about that.
    pub review: Option<Review>,
    /// Workflow and stage that it is put into afterwards.
    pub route: Option<(u32, u32)>,
    /// Where it goes, in words.
    pub place: String,
}

impl Plan {
    /// Whether these lines are the plan's own, so that it was this program that closed the step.
    pub fn told(&self, lines: &[NextAction]) -> bool {
        lines.len() == self.actions.len()
            && lines.iter().all(|line| self.actions.get(&line.artifact).is_some_and(|a| line.says(a)))
    }

    /// Nothing was delivered.
    pub fn is_void(&self) -> bool {
        self.faults.len() == self.actions.len()
    }
}

impl Course {
    /// What was not delivered.
    pub fn faults(&self) -> &Faults {
        match self {
            Self::Delete(faults) | Self::Leave(faults) => faults,
            Self::Finish(plan) => &plan.faults,
        }
    }
}

fn title(transition: &Transition) -> String {
    let number = number_in(&transition.next_step_uri, "steps");
    let number = number.map_or_else(|| transition.next_step_uri.clone(), |n| n.to_string());
    format!("{number} {:?}", transition.name.as_deref().unwrap_or("?"))
}

/// The names of the steps that a step leads to.
pub fn titles<'a>(transitions: impl IntoIterator<Item = &'a Transition>) -> String {
    transitions.into_iter().map(title).collect::<Vec<_>>().join(", ")
}

/// The transition to the step for failed exports, if there is one.
pub fn to_failed<'a>(step: &'a ProtocolStep, lims: &LimsConf) -> Option<&'a Transition> {
    let failed = lims.failed_step?;
    step.transitions.iter().find(|t| number_in(&t.next_step_uri, "steps") == Some(failed))
}

/// How what was delivered leaves the step; `Err` says why that cannot be told, and the remedy.
pub fn onward(step: &ProtocolStep, lims: &LimsConf) -> Result<Action, String> {
    let failed = to_failed(step, lims);
    let ways: Vec<&Transition> = step.transitions.iter().filter(|t| Some(*t) != failed).collect();
    match (ways[..].as_ref(), failed) {
        ([], None) => Ok(Action::Complete),
        ([one], _) => Ok(Action::NextStep(one.next_step_uri.clone())),
        ([], Some(failed)) => Err(format!(
            "the export step leads only to {}, the step for failed exports, and a step that leads on cannot complete a \
             sample: ask the laboratory to add a step for exported samples, or to let failed ones be reached by routing \
             alone (lims.failed_stage)",
            title(failed)
        )),
        (several, _) => Err(format!(
            "the export step leads to several steps ({}), and nothing says which of them exported samples go to: ask the \
             laboratory to leave one of them (beside lims.failed_step)",
            titles(several.iter().copied())
        )),
    }
}

/// How this order's claim is ended. `Err` concerns the configuration, and so every order.
pub fn course(rules: Rules<'_>, artifacts: &BTreeSet<LimsId>, ending: &Ending) -> Result<Course, String> {
    let mut faults = Faults::new();
    match ending {
        Ending::Delivered => {}
        Ending::Undelivered(fault) => faults.extend(artifacts.iter().map(|a| (a.clone(), fault.clone()))),
        Ending::Partly(some) => {
            for (artifact, fault) in some {
                let known = artifacts.iter().find(|a| a.as_str() == artifact);
                let known = known.ok_or_else(|| format!("{artifact} is not an artifact of the order"))?;
                drop(faults.insert(known.clone(), fault.clone()));
            }
        }
    }
    let Rules { lims, orders, step } = rules;
    let partly = matches!(ending, Ending::Partly(_));
    if faults.is_empty() {
        return match partly {
            true => Err("an order was delivered in part, but nothing of it is missing".into()),
            false => Ok(Course::Finish(Plan {
                actions: all(artifacts, &onward(step, lims)?),
                faults,
                review: None,
                route: None,
                place: String::new(),
            })),
        };
    }
    let (failing, review, route, place) = match orders.on_failure {
        OnFailure::Delete if partly => return Ok(Course::Leave(faults)),
        OnFailure::Delete => return Ok(Course::Delete(faults)),
        OnFailure::Review => {
            let reviewer =
                lims.reviewer.ok_or("orders.on_failure is \"review\", but lims.reviewer is not set")?;
            let review = Review { reviewer, comment: comment(&faults) };
            (Action::Review, Some(review), None, format!("is before researcher {reviewer}"))
        }
        OnFailure::FailedStep => match (to_failed(step, lims), lims.failed_stage) {
            (Some(to), _) => (
                Action::NextStep(to.next_step_uri.clone()),
                None,
                None,
                format!("went to step {}", title(to)),
            ),
            (None, Some((workflow, stage))) => {
                let place = format!("was put into stage {stage} of workflow {workflow}");
                (Action::Remove, None, Some((workflow, stage)), place)
            }
            (None, None) => {
                return Err(format!(
                    "orders.on_failure is \"failed-step\", but the export step does not lead to lims.failed_step ({}), only to: \
                     {}; correct the number, or set lims.failed_stage",
                    lims.failed_step.unwrap_or(0),
                    titles(&step.transitions)
                ));
            }
        },
    };
    let mut actions = all(&faults.keys().cloned().collect(), &failing);
    if faults.len() < artifacts.len() {
        let good = onward(step, lims)?;
        let delivered = artifacts.iter().filter(|a| !faults.contains_key(*a));
        actions.extend(delivered.map(|a| (a.clone(), good.clone())));
    }
    Ok(Course::Finish(Plan { actions, faults, review, route, place }))
}

fn all(artifacts: &BTreeSet<LimsId>, action: &Action) -> BTreeMap<LimsId, Action> {
    artifacts.iter().map(|a| (a.clone(), action.clone())).collect()
}

/// Whether somebody who closed the step called everything in it exported. `failed`: the step for failed exports.
pub fn calls_exported(lines: &[NextAction], failed: Option<u32>) -> bool {
    let onward = |line: &NextAction| {
        let to = line.step_uri.as_deref().and_then(|uri| number_in(uri, "steps"));
        let failed = failed.is_some() && to == failed;
        let word = line.action.as_ref();
        word == Some(&ActionWord::Complete)
            || (!failed && matches!(word, Some(ActionWord::NextStep | ActionWord::CompleteRepeat)))
    };
    !lines.is_empty() && lines.iter().all(onward)
}

/// What each artifact's action says, in words.
pub fn in_words(lines: &[NextAction]) -> String {
    let word = |line: &NextAction| {
        let action = line.action.as_ref().map_or_else(|| "nothing".into(), ToString::to_string);
        format!("{} {action}", line.artifact)
    };
    lines.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn bounded(text: &str, most: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.trim();
    match clean.chars().count() > most {
        true => clean.chars().take(most - 1).chain(['…']).collect(),
        false => clean.to_owned(),
    }
}

/// The text for the artifact's own field: one line.
pub fn field_text(fault: &Fault) -> String {
    bounded(&format!("not exported ({}): {}", fault.reason, fault.detail), FIELD)
}

/// The text for the manager who is asked.
fn comment(faults: &Faults) -> String {
    let mut alike: BTreeMap<(&str, &str), Vec<&LimsId>> = BTreeMap::new();
    for (artifact, fault) in faults {
        alike.entry((fault.reason.code(), &fault.detail)).or_default().push(artifact);
    }
    let remedies: BTreeSet<&str> = faults.values().map(|fault| fault.reason.remedy()).collect();
    let each = alike.into_iter().map(|((code, detail), artifacts)| {
        let who = artifacts.into_iter().map(LimsId::as_str).collect::<Vec<_>>().join(", ");
        format!("{who}: not exported ({code}): {detail}.")
    });
    let what = remedies.into_iter().map(|remedy| format!("To do: {remedy}."));
    bounded(&each.chain(what).collect::<Vec<_>>().join(" "), COMMENT)
}

/// All faults in one sentence.
pub fn why(faults: &Faults) -> String {
    let each =
        faults.iter().map(|(artifact, fault)| format!("{artifact}: {}: {}", fault.reason, fault.detail));
    bounded(&each.collect::<Vec<_>>().join("; "), COMMENT)
}
