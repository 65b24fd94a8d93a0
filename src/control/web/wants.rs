//! What wants a person, from a status: each with what is wrong, what is known of it, and what to do. Pure.
use jiff::Timestamp;

use crate::package::Reason;
use crate::present::{StatusAnswer, refusal};
use crate::review::minute;

/// One thing that wants a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Want {
    /// In a few words.
    pub what: String,
    /// What `why` is to be asked for; none: it is about no package.
    pub about: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What is known of it.
    pub detail: String,
    /// What to do.
    pub cure: String,
}

fn want(what: impl Into<String>, detail: impl Into<String>, cure: impl Into<String>) -> Want {
    Want { what: what.into(), about: None, since: None, detail: detail.into(), cure: cure.into() }
}

/// All of them, what concerns everything first; and how many there are more.
pub(super) fn of(status: &StatusAnswer) -> (Vec<Want>, usize) {
    let mut all = whole_side(status);
    for order in &status.orders.shown {
        let step = order.step.as_deref().unwrap_or("none");
        let detail = order.detail.clone().unwrap_or_else(|| format!("it is {}", order.phase));
        all.push(Want {
            since: Some(order.since),
            about: Some(order.order.to_string()),
            ..want(
                format!("Order {} (LIMS step {step})", order.order),
                detail,
                "look at the step in the LIMS; docs/operations.md, orders",
            )
        });
    }
    for doubted in &status.doubts.shown {
        let (artifact, doubt) = (&doubted.artifact, &doubted.doubt);
        all.push(Want {
            since: Some(doubt.since),
            about: Some(artifact.clone()),
            ..want(
                format!(
                    "Queued sample {} ({artifact}): {}{}",
                    doubt.who,
                    doubt.reason.code(),
                    refusal(doubt.refused)
                ),
                doubt.detail.clone(),
                doubt.reason.remedy(),
            )
        });
    }
    for stopped in &status.stopped.shown {
        let (code, cure) = match stopped.reason {
            Some(reason) => (reason.code(), reason.remedy()),
            None => ("held by a person", "ask who held it; it goes on when it is released"),
        };
        all.push(Want {
            since: Some(stopped.since),
            about: Some(stopped.package.to_string()),
            ..want(format!("Stopped: {code}"), stopped.detail.clone().unwrap_or_default(), cure)
        });
    }
    (all, status.orders.more + status.doubts.more + status.stopped.more)
}

/// What concerns more than one package.
fn whole_side(status: &StatusAnswer) -> Vec<Want> {
    let mut all = Vec::new();
    if let Some(stop) = &status.stop_file {
        let detail = format!("{} of {}", stop.file, stop.by);
        all.push(want(
            "A stop file lies in the state directory",
            detail,
            "no daemon starts until it is removed",
        ));
    }
    for silence in &status.silences {
        let what = format!("Silent: {}", silence.what);
        let cure = "docs/operations.md, silence, says where to look";
        all.push(Want { since: Some(silence.last), ..want(what, silence.why.clone(), cure) });
    }
    let Some(seen) = &status.daemon else { return all };
    for actor in &seen.actors {
        let name = &actor.actor;
        match &actor.report.degraded {
            Some(why) => all.push(want(
                format!("{name} cannot work"),
                why.clone(),
                "mend what is named; it tries again by itself and goes on",
            )),
            None if actor.state == "given up" => all.push(want(
                format!("{name} was given up"),
                actor.report.last_error.clone().unwrap_or_default(),
                format!(
                    "`review --actor {name}` tells why; mend that, then stop the daemon and start it again"
                ),
            )),
            None if !actor.up => all.push(want(
                format!("{name} is {}", if actor.state.is_empty() { "down" } else { &actor.state }),
                actor.report.last_error.clone().unwrap_or_default(),
                "it is started again by itself; if it stays so, `review` tells why",
            )),
            None => {}
        }
    }
    if let Some(trouble) = seen.share.as_ref().and_then(|share| share.trouble.as_ref()) {
        all.push(want(
            "The bucket is shared, and something is wrong with that",
            trouble.clone(),
            "docs/operations.md, several receiving hosts",
        ));
    }
    for one in &seen.senders {
        if let Some(since) = one.missing_since {
            let what = format!("{} commits of {} are not here", one.missing, one.sender);
            let cure = "look at the sending side and the bucket: who may have removed them?";
            all.push(Want { since: Some(since), ..want(what, one.gaps.join(", "), cure) });
        }
        if let Some(remark) = &one.remark {
            all.push(want(format!("Sender {}", one.sender), remark.clone(), "look at the sending side"));
        }
    }
    all
}

/// How everything is: the mark, the words, and the class of the banner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Banner {
    pub class: &'static str,
    pub words: String,
}

/// One sentence. It has no times in it: it is read aloud whenever it changes.
pub(super) fn banner(status: &StatusAnswer) -> Banner {
    let said = |class, words: String| Banner { class, words };
    if let Some(caution) = status.health.caution() {
        return said("bad", caution.to_owned());
    }
    let (shown, more) = of(status);
    let (some, stopping) =
        (shown.len() + more, status.daemon.as_ref().and_then(|seen| seen.stopping.as_ref()));
    let wants = match some {
        0 => "Nothing waits for a person".to_owned(),
        1 => "1 thing wants a person".to_owned(),
        n => format!("{n} things want a person"),
    };
    match (stopping, some) {
        (Some(stopping), _) => said(
            "odd",
            format!("The daemon is stopping since {} ({}). {wants}.", minute(stopping.since), stopping.why),
        ),
        (None, 0) => said("good", format!("All is well. {wants}.")),
        (None, _) => said("bad", format!("{wants}. What it is and what to do stands below.")),
    }
}

/// What is known of a reason, for a list.
pub(super) fn code(reason: Option<Reason>) -> &'static str {
    reason.map_or("", Reason::code)
}
