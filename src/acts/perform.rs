//! Does what was judged: compare-and-set in the journal, and judged anew when somebody was faster.
use super::{Act, Answer, Deed, MOST, Outcome, Plan, Refusal, Request, Site, judge};
use crate::chain;
use crate::clock;
use crate::journal::{Acted, Facts, Journal};

/// A package moves on while it is judged; it has a handful of states to move through.
const TRIES: usize = 16;

/// Does all that was asked for, or says what would be done. `Err`: the journal does not take it any more.
pub async fn perform(journal: &Journal, site: Site, request: &Request) -> Result<Answer, String> {
    let mut outcomes = Vec::new();
    let wrong = refused(request);
    for act in &request.acts {
        outcomes.push(match &wrong {
            Some(refusal) => Outcome::Refused(refusal.clone()),
            None => one(journal, site, request, act).await?,
        });
    }
    Ok(Answer { dry_run: request.dry_run, outcomes })
}

/// What is wrong with all of it.
fn refused(request: &Request) -> Option<Refusal> {
    if request.reason.trim().is_empty() {
        return Some(Refusal::with(
            "no reason was given",
            "--reason TEXT: it stands in the journal for those who ask later",
        ));
    }
    if request.acts.len() > MOST {
        return Some(Refusal::new(format!("more than {MOST} acts at once")));
    }
    None
}

async fn one(journal: &Journal, site: Site, request: &Request, act: &Act) -> Result<Outcome, String> {
    for _ in 0..TRIES {
        let judged = judge(&journal.view(), act, site, clock::now());
        let Plan { deed, told } = match judged {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        if request.dry_run {
            return Ok(Outcome::Done(told));
        }
        let why = request.reason.trim().to_owned();
        let done = match deed {
            Deed::Nothing => Ok(true),
            Deed::Move { package, from, to, facts } => {
                let facts = Facts { detail: Some(why), ..*facts };
                journal.step(&package, Some(from), to, &request.by, facts).await
            }
            Deed::Pull(act, still) => journal.act(Acted { act, by: request.by.clone(), why }, still).await,
        };
        if done.map_err(|e| chain(&*e))? {
            return Ok(Outcome::Done(told));
        }
    }
    Ok(Outcome::Refused(Refusal::with("it moves on all the time just now", "ask again")))
}
