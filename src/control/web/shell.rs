//! What all pages have: head, way around, search, how everything is, and of when the data is.
use maud::{DOCTYPE, Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::wants;
use crate::present::{StatusAnswer, span};
use crate::review::{length, minute};

/// Where one is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Packages,
    Package,
}

/// A page around what it is about. `sought` stands in the search box.
pub(super) fn shell(status: &StatusAnswer, place: Place, name: &str, sought: &str, main: &Markup) -> Markup {
    let (role, host) = (&status.role, &status.host);
    let banner = wants::banner(status);
    let mark = match banner.class {
        "good" => "✓",
        "odd" => "…",
        _ => "!",
    };
    let title = format!("{}{name} – {role} on {host}", if banner.class == "good" { "" } else { "! " });
    let here = |at| (place == at).then_some("page");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="icon" href="/favicon.svg";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
                noscript { meta http-equiv="refresh" content="15"; }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    div.bar {
                        p.brand { "tsd-import " span.side { (role) " on " (host) } }
                        nav aria-label="Pages" {
                            a href="/" aria-current=[here(Place::Overview)] { "Overview" }
                            a href="/packages" aria-current=[here(Place::Packages)] { "Packages" }
                            a href="/review" { "Review of 24 h" }
                        }
                        form role="search" action="/why" method="get" {
                            label for="what" { "Where is" }
                            input #what type="search" name="what" value=(sought) placeholder="sample, package, LIMS order" autocomplete="off" spellcheck="false" maxlength="200";
                            button type="submit" { "Find" }
                        }
                    }
                    div.how {
                        p #health role="status" aria-live="polite" class=(banner.class) {
                            span.mark aria-hidden="true" { (mark) } " " span #words { (banner.words) }
                        }
                        p #asof {
                            "Data of " time #at datetime=(status.at.to_string()) { (minute(status.at)) }
                            " UTC" span #age { noscript { "; without JavaScript it is renewed every 15 s" } }
                        }
                    }
                    p #lost role="alert" hidden {}
                }
                main #main tabindex="-1" { h1 { (name) } (main) }
                footer #foot { (life(status)) " All times are UTC. This page only reads; the commands act. It names samples: it stays where the journal may be." }
            }
        }
    }
}

fn life(status: &StatusAnswer) -> Markup {
    html! {
        @if let (Some(holder), Some(seen)) = (&status.running, &status.daemon) {
            "Runs since " (minute(seen.started)) " (" (span(seen.started, status.at)) "), process " (holder.pid) ", version " (seen.version) "."
        } @else if let Some(holder) = &status.running {
            "Process " (holder.pid) " on " (holder.host) " has not reported for " (status.silent_secs.unwrap_or(0)) " s."
        }
    }
}

/// Where one package, order or artifact is told of.
pub(super) fn address(what: &str) -> String {
    format!("/why?what={}", utf8_percent_encode(what, NON_ALPHANUMERIC))
}

/// A name that leads there.
pub(super) fn link(what: &str) -> Markup {
    html! { a.name href=(address(what)) { (what) } }
}

/// A length of time without fractions of seconds.
pub(super) fn lasting(secs: u64) -> String {
    if secs == 0 { "<1 s".into() } else { length(secs as f64).replacen(".0 s", " s", 1) }
}

/// A table with a name and a head for each column; on a narrow screen it is scrolled in its own frame, also by the keyboard.
pub(super) fn table(name: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        div.frame role="region" aria-label=(name) tabindex="0" {
            table {
                caption { (name) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// How far something is.
pub(super) fn bar(what: &str, done: u64, total: u64, per_cent: u64) -> Markup {
    html! { progress max=(total.max(1)) value=(done.min(total)) aria-label={ (what) ": " (per_cent) " %" } {} " " (per_cent) " %" }
}
