//! The answer of `why` as text.
use super::page::{Look, Page, Tone, relative, span};
use super::timeline::is_over;
use super::why::{Found, PackageAnswer, WaitingAnswer, WhyAnswer};
use crate::package::{Reason, State};
use crate::review::{count, length, minute, size};

/// Steps that are shown of a long way: the first ones and the last ones.
const STEPS: usize = 40;

impl WhyAnswer {
    /// For a person. Nothing is asked or read for it.
    pub fn to_text(&self, look: Look) -> String {
        let mut page = Page::new(look);
        if let Some(caution) = self.health.caution() {
            page.say(Tone::Bad, &format!("! {caution}"));
        }
        match &self.found {
            Found::Package(one) => self.say_package(&mut page, one),
            Found::Waiting(one) => say_waiting(&mut page, one),
            Found::Several(few) => {
                let all = few.shown.len() + few.more;
                page.say(
                    Tone::Head,
                    &format!("{:?} may be each of these {all}; ask for one of them exactly:", self.query),
                );
                let width = few.shown.iter().map(|one| one.ask.chars().count()).max().unwrap_or(0);
                for one in &few.shown {
                    page.say(Tone::Plain, &format!("  {:<width$}  {}", one.ask, one.state));
                }
                if few.more > 0 {
                    let line = format!("  … and {} more: `list --name '{}'`", few.more, self.query);
                    page.say(Tone::Aside, &line);
                }
            }
            Found::Nothing(looked) => {
                let (role, host) = (&self.role, &self.host);
                page.say(
                    Tone::Head,
                    &format!("{:?} is not known here ({role} on {host}). It was looked for in:", self.query),
                );
                for one in looked {
                    page.say(Tone::Plain, &format!("  - {}: {}", one.place, one.means));
                }
            }
        }
        page.text()
    }

    fn say_package(&self, page: &mut Page, one: &PackageAnswer) {
        let now = self.at;
        let tone = match one.state {
            State::Held | State::Quarantined => Tone::Bad,
            state if is_over(state) => Tone::Good,
            _ => Tone::Head,
        };
        page.say(tone, &format!("{}: {}", one.package, one.state));
        let mut tell = |what: &str, text: &str| page.tell(what, text);
        tell("since", &format!("{} ({})", minute(one.since), relative(one.since, now)));
        tell("first seen", &format!("{} ({})", minute(one.first_seen), relative(one.first_seen, now)));
        tell("priority", one.priority.as_str());
        if let Some(reason) = one.reason {
            let by = one.stopped_by.as_ref().map_or(String::new(), |by| format!(" (by {by})"));
            tell("stopped as", &format!("{}{by}", Reason::code(reason)));
        } else if let Some(by) = &one.stopped_by {
            tell("held by", by);
        }
        if let Some(detail) = &one.detail {
            tell("detail", detail);
        }
        tell("waits for", &one.waits_for);
        if let Some(m) = &one.moving {
            let left = m.left_secs.map_or("stands still".into(), |s| format!("{} left", length(s as f64)));
            let (done, of, rate) = (m.per_cent(), size(m.total), size(m.per_second));
            tell("progress", &format!("{done} % of {of}, {rate}/s, {left}"));
        }
        if let Some(at) = one.next_attempt {
            tell("next attempt", &format!("{} ({})", minute(at), relative(at, now)));
        }
        tell("what to do", one.to_do.as_deref().unwrap_or("nothing"));
        if let Some(error) = &one.last_error {
            tell("last error", &format!("{error} ({} in a row)", one.failures));
        }
        if let Some((order, step, phase)) = &one.order {
            let step = step.as_ref().map_or(String::new(), |step| format!(", LIMS step {step}"));
            let phase = phase.map_or("at its end".into(), |phase| phase.to_string());
            tell("order", &format!("{order} ({phase}{step})"));
        }
        if let Some(holder) = &one.holder {
            tell("in hand of", holder);
        }
        if let Some((files, bytes)) = one.size {
            tell("size", &format!("{}, {}", count(files, "file"), size(bytes)));
        }
        if let Some(place) = &one.place {
            tell("lies at", place);
        }
        if let Some(place) = &one.sent_as {
            tell("sent as", place);
        }
        for (other, state) in &one.others {
            tell("also", &format!("{other}: {state}"));
        }
        say_timeline(page, one, self);
    }
}

fn say_timeline(page: &mut Page, one: &PackageAnswer, answer: &WhyAnswer) {
    let (steps, total) = (&one.timeline, one.timeline.len());
    page.gap();
    let whole = match one.timeline.first() {
        Some(first) if is_over(one.state) => format!(" ({} from first to last)", span(first.at, one.since)),
        Some(first) => format!(" ({} so far)", span(first.at, answer.at)),
        None => String::new(),
    };
    page.say(Tone::Head, &format!("its way{whole}:"));
    for (n, step) in steps.iter().enumerate() {
        if total > STEPS && n == STEPS / 2 {
            let hidden = total - STEPS + one.left_out;
            page.say(Tone::Aside, &format!("  … {hidden} more steps: --json"));
        }
        if total > STEPS && (STEPS / 2..total - STEPS / 2).contains(&n) {
            continue;
        }
        let took = step.secs.map_or(String::new(), |secs| {
            if secs < 1.0 { "<1 s".into() } else { length(secs.floor()).replacen(".0 s", " s", 1) }
        });
        let by = step.by.as_ref().map_or(String::new(), |by| format!(" [{by}]"));
        let tone = match step.state {
            Some(State::Held | State::Quarantined) => Tone::Bad,
            Some(_) => Tone::Plain,
            None => Tone::Aside,
        };
        page.say(tone, &format!("  {} {took:>12}  {}{by}", minute(step.at), step.what));
    }
}

fn say_waiting(page: &mut Page, one: &WaitingAnswer) {
    page.say(Tone::Odd, &format!("{}: not a package yet", one.who));
    let mut tell = |what: &str, text: &str| page.tell(what, text);
    tell("where", &one.whereabouts);
    if let Some(since) = one.since {
        tell("since", &minute(since));
    }
    if let Some(reason) = one.reason {
        tell("reason", reason.code());
    }
    tell("waits for", &one.detail);
    tell("what to do", &one.to_do);
}
