//! One package: where it is, what it waits for, what to do, and its whole way; or what else a search found.
use maud::{Markup, html};

use super::overview::badge;
use super::shell::{Place, bar, lasting, link, shell, table};
use crate::package::State;
use crate::present::{
    Found, Looked, Match, PackageAnswer, StatusAnswer, Step, Tone, WaitingAnswer, WhyAnswer, relative, span,
};
use crate::review::{length, minute, size};

/// The page of an answer.
pub(super) fn page(status: &StatusAnswer, answer: &WhyAnswer) -> Markup {
    let (name, main) = match &answer.found {
        Found::Package(one) => (one.package.to_string(), package(answer, one)),
        Found::Waiting(one) => (one.who.clone(), waiting(answer, one)),
        Found::Several(several) => {
            let all = several.shown.len() + several.more;
            (format!("{all} may be meant by “{}”", answer.query), matches(&several.shown, several.more))
        }
        Found::Nothing(looked) => (format!("“{}” is not known here", answer.query), nothing(looked)),
    };
    shell(status, Place::Package, &name, &answer.query, &main)
}

/// The page for who asked for nothing.
pub(super) fn nothing_asked(status: &StatusAnswer) -> Markup {
    let main = html! { p { "Write a sample's number, a package's name or a part of it, a LIMS artifact or an order into the box above." } };
    shell(status, Place::Package, "Search", "", &main)
}

fn tone(state: State) -> Tone {
    match state {
        State::Held | State::Quarantined => Tone::Bad,
        State::Transferred | State::Ready | State::Duplicate | State::SettledElsewhere => Tone::Good,
        State::Elsewhere => Tone::Odd,
        _ => Tone::Plain,
    }
}

fn package(answer: &WhyAnswer, one: &PackageAnswer) -> Markup {
    let since = |at| html! { (minute(at)) " (" (relative(at, answer.at)) ")" };
    html! {
        section aria-labelledby="now" {
            h2 #now { "Now" }
            dl {
                dt { "Is" } dd { (badge(tone(one.state), one.state.as_str())) ", since " (since(one.since)) }
                dt { "Waits for" } dd { (one.waits_for) }
                @if let Some(to_do) = &one.to_do { dt { "What to do" } dd.cure { (to_do) } }
                @if let Some(at) = one.next_attempt { dt { "Next attempt" } dd { (since(at)) } }
                @if let Some(m) = &one.moving {
                    dt { "Moves" }
                    dd { (bar("progress", m.done, m.total, m.per_cent())) " of " (size(m.total)) ", " (size(m.per_second)) "/s by " (m.actor)
                        @match m.left_secs { Some(secs) => { ", " (lasting(secs)) " left" }, None => ", stands still" } }
                }
                @if let Some(reason) = one.reason { dt { "Stopped because" } dd { (reason.code()) } }
                @if let Some(detail) = &one.detail { dt { "In words" } dd { (detail) } }
                @if let Some(by) = &one.stopped_by { dt { "Stopped by" } dd { (by) } }
                @if let Some(error) = &one.last_error { dt { "Last failure" } dd { (error) " (" (one.failures) " in a row)" } }
            }
        }
        section aria-labelledby="about" {
            h2 #about { "About it" }
            dl {
                dt { "Priority" } dd { (one.priority) }
                dt { "First seen" } dd { (since(one.first_seen)) }
                @if let Some((files, bytes)) = one.size { dt { "Payload" } dd { (files) " files, " (size(bytes)) } }
                @if let Some(place) = &one.place { dt { "Lies in" } dd { (place) } }
                @if let Some((order, step, phase)) = &one.order {
                    dt { "Order" } dd { (order) @if let Some(step) = step { ", LIMS step " (step) } @if let Some(phase) = phase { " (" (phase) ")" } }
                }
                @if let Some(sent) = &one.sent_as { dt { "Sent as" } dd { (sent) } }
                @if let Some(host) = &one.holder { dt { "In hand at" } dd { (host) } }
                @if !one.others.is_empty() {
                    dt { "Other revisions" }
                    dd { @for (other, state) in &one.others { (link(&other.to_string())) " (" (state) ") " } }
                }
            }
        }
        section { h2 { "Its way" } (way(one)) }
    }
}

fn way(one: &PackageAnswer) -> Markup {
    let rows = html! {
        @for step in &one.timeline { (row(step)) }
    };
    html! {
        (table("Every step, the first one first", &["When", "For", "What", "By"], &rows))
        @if one.left_out > 0 { p.more { (one.left_out) " steps in the middle are not shown; the journal has them" } }
    }
}

fn row(step: &Step) -> Markup {
    html! {
        tr.state[step.state.is_some()] {
            td.when { (minute(step.at)) }
            td.when { @if let Some(secs) = step.secs { @if secs < 1.0 { "<1 s" } @else { (length(secs)) } } }
            td { @if step.state.is_some() { b { (step.what) } } @else { (step.what) } }
            td { (step.by.as_deref().unwrap_or_default()) }
        }
    }
}

fn waiting(answer: &WhyAnswer, one: &WaitingAnswer) -> Markup {
    html! {
        section aria-labelledby="now" {
            h2 #now { "It is not a package yet" }
            dl {
                dt { "Is" } dd { (one.whereabouts) }
                @if let Some(since) = one.since { dt { "Since" } dd { (minute(since)) " (" (span(since, answer.at)) ")" } }
                @if let Some(reason) = one.reason { dt { "Not taken because" } dd { (reason.code()) } }
                dt { "In words" } dd { (one.detail) }
                dt { "What to do" } dd.cure { (one.to_do) }
            }
        }
    }
}

fn matches(all: &[Match], more: usize) -> Markup {
    let rows = html! { @for one in all { tr { th scope="row" { (link(&one.ask)) } td { (one.state) } } } };
    html! {
        (table("What may be meant", &["What", "Where it is"], &rows))
        @if more > 0 { p.more { "… and " (more) " more: write a longer part of the name" } }
    }
}

fn nothing(looked: &[Looked]) -> Markup {
    let rows = html! { @for one in looked { tr { th scope="row" { (one.place) } td { (one.means) } } } };
    table("Where it was looked for", &["Looked in", "What that means"], &rows)
}
