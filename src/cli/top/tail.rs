//! The newest lines of the journal, in order, from whichever side they came: the daemon's events or the file.
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::paint::Tone;
use crate::journal::{Event, Line};
use crate::package::{Reason, State};
use crate::review::{clip, length, size};

/// So many are kept.
const KEPT: usize = 200;

/// What is shown of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at: Timestamp,
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// The newest ones, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    lines: BTreeMap<u64, Told>,
    /// Lines that went by unseen.
    pub(super) missed: u64,
}

impl Tail {
    /// Takes a line that may be known already.
    pub(super) fn add(&mut self, line: &Line) {
        let told = told(line);
        // The same number at another time: it is another journal, begun anew.
        if self.lines.get(&line.seq).is_some_and(|known| known.at != line.at) {
            self.lines.clear();
        }
        let _same = self.lines.insert(line.seq, told);
        while self.lines.len() > KEPT {
            let _oldest = self.lines.pop_first();
        }
    }

    /// The newest ones, the oldest of them first.
    pub(super) fn newest(&self, most: usize) -> Vec<&Told> {
        let mut newest: Vec<&Told> = self.lines.values().rev().take(most).collect();
        newest.reverse();
        newest
    }
}

fn told(line: &Line) -> Told {
    let (tone, text) = words(&line.event);
    Told { at: line.at, tone, text: clip(&text, 300) }
}

fn ms(ms: u64) -> String {
    length(ms as f64 / 1000.0)
}

fn words(event: &Event) -> (Tone, String) {
    match event {
        Event::Started { role, host, version, .. } => {
            (Tone::Head, format!("the daemon began: {role} on {host}, version {version}"))
        }
        Event::Stopped { exit, why } => (Tone::Head, format!("the daemon ended ({exit}): {why}")),
        Event::Ordered { order } => {
            let packages: Vec<String> = order.packages.iter().map(|p| p.id.to_string()).collect();
            (Tone::Plain, format!("{} found: order {}", packages.join(", "), order.id))
        }
        Event::Moved { package, to, by, facts, .. } => {
            let tone = match to {
                State::Held | State::Quarantined => Tone::Bad,
                State::Ready | State::Transferred => Tone::Good,
                _ => Tone::Plain,
            };
            let reason = facts.reason.map_or(String::new(), |r| format!(" as {}", Reason::code(r)));
            let detail = facts.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
            (tone, format!("{package} {to}{reason} by {by}{detail}"))
        }
        Event::Failed { package, by, failures, error, .. } => {
            (Tone::Odd, format!("{package} failed at the {by} ({failures} in a row): {error}"))
        }
        Event::OrderFailed { order, failures, error, .. } => {
            (Tone::Odd, format!("the LIMS step of order {order} failed ({failures} in a row): {error}"))
        }
        Event::Claim { order, phase, step, detail, .. } => {
            let step = step.as_ref().map_or(String::new(), |step| format!(", LIMS step {step}"));
            let detail = detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
            (Tone::Aside, format!("order {order} {phase}{step}{detail}"))
        }
        Event::Doubted { who, detail, times, .. } if *times > 0 => {
            (Tone::Odd, format!("{who} is doubted: {detail}"))
        }
        Event::Doubted { who, .. } => (Tone::Plain, format!("{who} is doubted no more")),
        Event::Cleaned { package, done, bytes, by, .. } => {
            let what = if *done { "was removed" } else { "is being removed" };
            (Tone::Plain, format!("{package} {what} by {by} ({})", size(*bytes)))
        }
        Event::Incident(one) => (Tone::Bad, format!("{} fell: {}; {}", one.actor, one.detail, one.outcome)),
        Event::Restarted { actor, down_ms, .. } => {
            (Tone::Odd, format!("{actor} is up again after {}", ms(*down_ms)))
        }
        Event::Degraded { actor, why } => (Tone::Bad, format!("{actor} cannot work: {why}")),
        Event::Recovered { actor, after_ms } => {
            (Tone::Good, format!("{actor} works again after {}", ms(*after_ms)))
        }
        Event::Silent { what, why, .. } => (Tone::Bad, format!("silent: {what}: {why}")),
        Event::Heard { what, after_ms } => (Tone::Good, format!("{what} again after {}", ms(*after_ms))),
        Event::Placed { package, place } => (Tone::Aside, format!("{package} put in place: {place}")),
        Event::Committing { package, sequence, .. } => {
            (Tone::Aside, format!("{package}: its COMMIT was decided, number {sequence}"))
        }
        Event::Reloaded { changed, .. } => {
            (Tone::Plain, format!("the configuration was read again: {} changed", changed.len()))
        }
        other => (Tone::Plain, in_general(other)),
    }
}

/// Of an event that has no words of its own: its name and what it says of texts, as the journal has it.
fn in_general(event: &Event) -> String {
    let fields = serde_json::to_value(event).unwrap_or_default();
    let texts = fields.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
    texts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Sha256Hex;

    fn line(seq: u64, secs: i64, event: Event) -> Line {
        let at = Timestamp::from_second(1_800_000_000 + secs).unwrap();
        Line { v: 1, seq, at, prev: Sha256Hex::zero(), event }
    }

    fn heard(what: &str) -> Event {
        Event::Heard { what: what.into(), after_ms: 90_000 }
    }

    #[test]
    fn lines_that_come_twice_stand_once_and_in_order() {
        let mut tail = Tail::default();
        for seq in [3, 1, 2, 3, 2] {
            tail.add(&line(seq, i64::try_from(seq).unwrap(), heard(&format!("seen {seq}"))));
        }
        let texts = |tail: &Tail| tail.newest(9).iter().map(|t| t.text.clone()).collect::<Vec<_>>();
        let three = [
            "seen 1 again after 1 min 30 s",
            "seen 2 again after 1 min 30 s",
            "seen 3 again after 1 min 30 s",
        ];
        assert_eq!(texts(&tail), three);
        assert_eq!(tail.newest(2)[0].text, three[1]);
        tail.add(&line(1, 500, heard("anew")));
        assert_eq!(texts(&tail), ["anew again after 1 min 30 s"], "another journal");
        (2..5000).for_each(|seq| tail.add(&line(seq, 600, heard("x"))));
        assert_eq!(tail.lines.len(), KEPT);
    }

    #[test]
    fn what_has_no_words_of_its_own_is_told_in_general_and_nothing_moves_the_cursor() {
        let refused = Event::Refused {
            artifact: "2-1".into(),
            done: true,
            detail: "put out\x1b[2J of the queue".into(),
        };
        let mut tail = Tail::default();
        tail.add(&line(1, 0, refused));
        assert_eq!(tail.newest(1)[0].text, "refused 2-1 put out [2J of the queue");
    }
}
