//! From the sum of all happenings to the answer.
use jiff::Timestamp;

use super::answer::{Alive, Review, Sources, Verdict};
use super::flow;
use super::fold::Fold;
use super::happening::Happening;
use super::messages::LogCount;
use super::verdict;

/// What only the end of the reading can tell.
#[derive(Debug)]
pub struct Ending {
    /// To when, where the scope does not say.
    pub until: Timestamp,
    /// Whether the first daemon is there now.
    pub alive: Alive,
    /// What was read.
    pub sources: Sources,
    /// Lines of the log.
    pub log: LogCount,
}

impl Fold {
    /// A package has left the sender's disk. What is told twice counts once.
    pub(super) fn cleaned(&mut self, stream: usize, at: Timestamp, what: &Happening<'_>) {
        let Happening::Cleaned { package, bytes, by, proof } = what else { return };
        if !self.scope.of_package(package) || !self.scope.covers(at) {
            return;
        }
        let before = self.life(stream).flow.cleaned.insert((**package).into(), *bytes);
        if before.is_none() {
            self.step(at, package, || format!("cleaned (by {}); proof: {}", &**by, &**proof));
        }
    }

    /// Ends the review.
    pub fn finish(mut self, ending: Ending) -> Review {
        let known_packages = self.packages();
        let scope = std::mem::take(&mut self.scope);
        let until = scope.until.unwrap_or(ending.until);
        let since = scope.since.or(ending.sources.log.first).unwrap_or(until);
        let (incidents, outages, silences) = self.troubles();
        let mut flows = Vec::new();
        let (mut daemons, mut open_orders, mut doubts) = (Vec::new(), Vec::new(), Vec::new());
        for (n, mut life) in self.lives.into_iter().enumerate() {
            flows.push(std::mem::take(&mut life.flow));
            let alive = if n == 0 { ending.alive } else { Alive::Unknown };
            let (daemon, orders, doubted) = life.finish(since, until, alive);
            daemons.push(daemon);
            open_orders.extend(orders);
            doubts.extend(doubted);
        }
        let packages = flow::finish(flows, since, until, &scope);
        let mut review = Review {
            since,
            until,
            actor: scope.actor,
            package: scope.package,
            verdict: Verdict::NoAnswer,
            act: Vec::new(),
            daemons,
            causes: self.causes,
            incidents,
            outages,
            silences,
            reloads: self.reloads.into_vec(),
            levers: self.levers.into_vec(),
            delivered: packages.done.len(),
            delivered_bytes: packages.done.iter().map(|d| d.bytes).sum(),
            cleaned: packages.cleaned.0,
            cleaned_bytes: packages.cleaned.1,
            quarantined: packages.quarantined,
            stopped: packages.stopped,
            open_orders,
            doubts,
            known_packages,
            underway: packages.underway,
            oldest_underway: packages.oldest_underway,
            slow: packages.slow,
            slowest: packages.slowest,
            done: packages.done,
            retried_count: self.retried.count,
            retried: self.retried.into_vec(),
            throughput: packages.throughput,
            steps: self.steps.into_vec(),
            log: ending.log,
            sources: ending.sources,
        };
        review.act = verdict::acts(&review, self.twice);
        review.verdict = verdict::verdict(&review, self.anything);
        review
    }
}
