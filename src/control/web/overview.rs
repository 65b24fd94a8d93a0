//! The overview: what wants a person, actors, packages, what moves, charts, and what goes on by itself.
use maud::{Markup, html};

use super::charts;
use super::shell::{Place, bar, lasting, link, shell, table};
use super::wants::{self, Want};
use crate::control::history::Sample;
use crate::package::Priority;
use crate::present::{StatusAnswer, Tone, relative, span, word};
use crate::review::{clip, minute, number, size};
use crate::snapshot::Snapshot;
use crate::supervisor::ChildStatus;

/// Of what waits outside; there may be hundreds.
const MANY: usize = 20;

/// The page.
pub(super) fn page(status: &StatusAnswer, samples: &[Sample]) -> Markup {
    let main = html! {
        (acts(status))
        @if !status.levers.is_empty() {
            section aria-labelledby="levers" {
                h2 #levers { "Set by people" }
                ul { @for lever in &status.levers { li { (lever.trim_start_matches(['!', ' '])) } } }
            }
        }
        @if let Some(seen) = &status.daemon { (actors(seen)) }
        div.pair { (packages(status)) (moving(status)) }
        (charts::section(samples, status.at))
        (alone(status))
        @if let Some(seen) = &status.daemon { (around(status, seen)) }
    };
    shell(status, Place::Overview, "Overview", "", &main)
}

fn acts(status: &StatusAnswer) -> Markup {
    let (all, more) = wants::of(status);
    html! {
        @if !all.is_empty() {
            section aria-labelledby="wants" {
                h2 #wants { "Wants a person" }
                ul.wants { @for want in &all { (act(status, want)) } }
                @if more > 0 { p.more { "… and " (number(more as u64)) " more: " a href="/packages?show=stopped" { "all stopped packages" } } }
            }
        }
    }
}

fn act(status: &StatusAnswer, want: &Want) -> Markup {
    html! {
        li data-key={ (want.what) (want.about.as_deref().unwrap_or_default()) } {
            p.what { b { (want.what) } @if let Some(about) = &want.about { " " (link(about)) }
                @if let Some(since) = want.since { span.since { " since " (minute(since)) " (" (span(since, status.at)) ")" } } }
            @if !want.detail.is_empty() { p { (clip(&want.detail, 400)) } }
            p.cure { b { "What to do: " } (want.cure) }
        }
    }
}

fn actors(seen: &Snapshot) -> Markup {
    let heads = ["Actor", "State", "Since", "In hand", "Waiting", "Done", "Errors", "Restarts", "Last error"];
    let rows = html! { @for actor in &seen.actors { (row(actor)) } };
    html! { section { h2 { "Actors" } (table("Actors, in the order of flow", &heads, &rows)) } }
}

fn row(actor: &ChildStatus) -> Markup {
    let (state, tone) = word(actor);
    let report = &actor.report;
    let since = report.degraded_secs.unwrap_or(actor.since_secs);
    html! {
        tr data-key=(actor.actor) {
            th scope="row" { (actor.actor) }
            td { (badge(tone, state)) }
            td.when { (lasting(since)) }
            td.number { (report.in_hand.len()) }
            td.number { (report.queue) }
            td.number { (number(report.done)) }
            td.number { (number(report.errors)) }
            td.number { (number(actor.restarts)) }
            td {
                @if let Some(error) = &report.last_error {
                    (clip(error, 200))
                    @if let Some(ms) = report.last_error_ms { span.since { " (" (lasting(ms / 1000)) " ago" @if report.consecutive == 0 { ", worked since" } ")" } }
                } @else { span.since { "none" } }
            }
        }
    }
}

/// A word with a mark, so that the colour is never the only sign.
pub(super) fn badge(tone: Tone, text: &str) -> Markup {
    let (class, mark) = match tone {
        Tone::Good => ("good", "● "),
        Tone::Bad => ("bad", "▲ "),
        Tone::Odd => ("odd", "◆ "),
        Tone::Plain | Tone::Head | Tone::Aside => ("plain", "○ "),
    };
    html! { span.badge.(class) { span aria-hidden="true" { (mark) } (text) } }
}

fn packages(status: &StatusAnswer) -> Markup {
    let of = |state| status.under_way.iter().find(|tally| tally.state == state);
    let rows = html! {
        @for (state, all) in &status.states {
            tr data-key=(state) {
                th scope="row" { a href={ "/packages?state=" (state) } { (state) } }
                @for priority in Priority::ALL {
                    td.number { @if let Some(tally) = of(*state) { (tally.count.get(&priority).copied().unwrap_or(0)) } @else { "" } }
                }
                td.number { b { (number(*all as u64)) } }
            }
        }
    };
    html! {
        section {
            h2 { "Packages" }
            @if status.states.is_empty() { p.none { "None yet." } }
            @else { (table("Packages by state; under way also by priority", &["State", "urgent", "high", "normal", "all"], &rows)) }
        }
    }
}

fn moving(status: &StatusAnswer) -> Markup {
    let rows = html! {
        @for one in status.moving.iter().take(MANY) {
            tr data-key={ (one.actor) (one.unit) } {
                th scope="row" { (link(&one.unit)) }
                td { (one.actor) }
                td.far { (bar(&one.unit, one.done, one.total, one.per_cent())) " of " (size(one.total)) }
                td.when { (size(one.per_second)) "/s" }
                td.when { @match one.left_secs { Some(secs) => (lasting(secs)), None => (badge(Tone::Odd, "stands still")) } }
            }
        }
    };
    let more = status.moving.len().saturating_sub(MANY);
    html! {
        section {
            h2 { "Moving now" }
            @if status.moving.is_empty() { p.none { "Nothing moves at this moment." } }
            @else { (table("What moves, and how far it is", &["Package", "By", "Progress", "Speed", "Left"], &rows)) }
            @if more > 0 { p.more { "… and " (more) " more: " a href="/packages?show=moving" { "all under way" } } }
            @if let Some(wire) = status.daemon.as_ref().and_then(|seen| seen.wire.as_ref()).filter(|wire| !wire.is_idle()) {
                p.since { "Wire: " (wire) }
            }
        }
    }
}

/// What failed and is tried again without anybody.
fn alone(status: &StatusAnswer) -> Markup {
    let rows = html! {
        @for one in &status.failing.shown {
            tr data-key=(one.package) {
                th scope="row" { (link(&one.package.to_string())) }
                td { (one.state) }
                td.number { (one.failures) }
                td { (clip(&one.error, 300)) }
                td.when { @if let Some(at) = one.retry_at { (relative(at, status.at)) } @else { "soon" } }
            }
        }
    };
    html! {
        @if !status.failing.shown.is_empty() {
            section {
                h2 { "Tried again by itself" }
                (table("Packages whose last attempt failed", &["Package", "State", "Failures", "Last error", "Next attempt"], &rows))
                @if status.failing.more > 0 { p.more { "… and " (status.failing.more) " more: " a href="/packages?show=moving" { "all under way" } } }
            }
        }
    }
}

/// What the daemon sees around it.
fn around(status: &StatusAnswer, seen: &Snapshot) -> Markup {
    let outside = html! {
        @for (who, why) in seen.not_taken.iter().take(MANY) {
            tr data-key=(who) { th scope="row" { (link(who)) } td { (clip(why, 300)) } }
        }
    };
    let senders = html! {
        @for one in &seen.senders {
            tr data-key=(one.sender) {
                th scope="row" { (one.sender) }
                td.number { "#" (one.last) }
                td.when { @if let Some(beat) = &one.beat { (minute(beat.at)) } @else { "none" } }
                td.number { @if let Some(beat) = &one.beat { (beat.backlog.values().sum::<u64>()) } }
                td.number { (one.missing) }
                td { @if let Some(stuck) = one.stuck { "nothing came since " (minute(stuck.since)) } }
            }
        }
    };
    let more = seen.not_taken.len().saturating_sub(MANY);
    html! {
        @if !seen.not_taken.is_empty() {
            section {
                h2 { "Waits outside" }
                (table("Seen and not taken in yet, or refused", &["What", "Why"], &outside))
                @if more > 0 { p.more { "… and " (more) " more; the search finds each" } }
            }
        }
        @if !seen.senders.is_empty() {
            section {
                h2 { "Senders" }
                (table("Who sends, and what is known of it", &["Sender", "Last commit", "Heartbeat", "Waiting there", "Missing", "Remark"], &senders))
            }
        }
        @for peer in seen.share.iter().flat_map(|share| &share.peers) { p { "Shares the bucket with " (peer.host) " (" (peer.state) ")." } }
        @if let Some(rests) = &status.resting {
            p { "Below transferred/ rest " (number(rests.packages)) " package(s), " (size(rests.bytes)) " to be freed"
                @if let Some(n) = rests.receipts { "; a receipt came for " (n) " of them" } "." }
        }
    }
}
