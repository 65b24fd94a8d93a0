//! The review as one HTML file: nothing is fetched, nothing is run; the same answers in the same order as on the screen.
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::answer::{IncidentAt, Review, Verdict};
use super::charts;
use super::flow::SLOW;
use super::words::{count, length, minute, number, size};

const STYLE: &str = include_str!("page.css");
/// As many rows of one list; the JSON has all.
const ROWS: usize = 500;

impl Review {
    /// The page. `now` is when it was made.
    pub fn to_html(&self, now: Timestamp) -> Result<String, Box<dyn std::error::Error>> {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    // Whatever a log line holds: nothing is fetched and no script runs.
                    meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                    meta name="referrer" content="no-referrer";
                    title { "Review " (minute(self.until)) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1.act[self.needs_somebody()] { (self.sentence()) }
                    p.what { (self.title()) }
                    (self.acts())
                    @if self.verdict != Verdict::NoAnswer {
                        (self.numbers())
                        (self.pictures()?)
                        (self.lists())
                    }
                    footer {
                        "tsd-import " (env!("CARGO_PKG_VERSION")) ", made " (minute(now)) ". All times are UTC. This page may name samples: "
                        "it stays where the log may be."
                    }
                }
            }
        };
        Ok(page.into_string())
    }

    fn acts(&self) -> Markup {
        html! {
            @if !self.act.is_empty() {
                ul.acts {
                    @for act in self.act.iter().take(ROWS) { li { b { "! " } (act.what) span.cure { "→ " (act.cure) } } }
                }
                (more(self.act.len(), ROWS))
            }
        }
    }

    fn numbers(&self) -> Markup {
        html! {
            h2 { "In short" }
            dl { @for (name, what) in self.summary() { dt { (name) } dd { (what) } } }
        }
    }

    fn pictures(&self) -> Result<Markup, Box<dyn std::error::Error>> {
        let each = length(self.throughput.bucket_secs as f64);
        let incidents = format!(
            "Timeline: {}, {}, {}, {} of a daemon.",
            count(self.incidents.len() as u64, "incident"),
            count(self.outages.len() as u64, "outage"),
            count(self.silences.len() as u64, "silence"),
            count(self.daemons.iter().map(|d| d.starts.len() as u64).sum(), "start"),
        );
        let most = charts::busiest(self).map(|(at, much)| format!(" Most from {}: {much}.", minute(at)));
        let bytes = format!(
            "Bytes that moved in each {each}, {} in all.{}",
            size(self.throughput.bytes),
            most.unwrap_or_default()
        );
        let packages = format!(
            "Packages in each {each}: {} delivered, {} quarantined in all.",
            number(self.delivered as u64),
            number(self.quarantined as u64)
        );
        Ok(html! {
            h2 { "What happened when" }
            (figure(&charts::timeline(self)?, &incidents, html! {
                span.pair { span.key.up {} "runs" } span.pair { span.key.start {} "start" } span.pair { span.key.incident {} "incident, or start after a crash" }
                span.pair { span.key.outage {} "outage" } span.pair { span.key.silence {} "silence" }
            }))
            h2 { "Throughput" }
            @if self.throughput.bytes == 0 && self.delivered == 0 && self.quarantined == 0 {
                p.none { "Nothing moved in this time." }
            } @else {
                (figure(&charts::bytes(self)?, &bytes, html! {
                    span { span.key.bytes {} "bytes of packages in each " (each) ", counted when the package's last byte was acknowledged" }
                }))
                (figure(&charts::packages(self)?, &packages, html! {
                    span.pair { span.key.done {} "packages delivered in each " (each) } span.pair { span.key.quarantined {} "packages quarantined" }
                }))
                details {
                    summary { "the same as a table" }
                    table {
                        thead { tr { th { "from" } th { "bytes" } th { "delivered" } th { "quarantined" } } }
                        tbody {
                            @for (at, b) in self.throughput.buckets.iter().filter(|(_, b)| *b != super::answer::Bucket::default()) {
                                tr { td.when { (minute(*at)) } td { (size(b.bytes)) } td { (b.packages) } td { (b.quarantined) } }
                            }
                        }
                    }
                }
            }
        })
    }

    fn lists(&self) -> Markup {
        let open = |secs: Option<f64>| {
            html! {
                @match secs { Some(s) => (length(s)), None => span.open { "still going on" } }
            }
        };
        html! {
            (table("Way of the packages", &["when", "package", "what"], &self.steps, |s| html! {
                td.when { (minute(s.at)) } td { (s.package) } td { (s.what) }
            }))
            (table("Stopped packages", &["since", "package", "reason", "details"], &self.stopped, |s| html! {
                td.when { (minute(s.at)) } td { (s.package) } td { (s.reason.as_deref().unwrap_or("held")) } td { (s.detail.as_deref().unwrap_or_default()) }
            }))
            (table("Incidents", &["when", "actor", "cause", "what", "over"], &self.incidents, incident))
            (table("Outages", &["since", "actor", "for", "why"], &self.outages, |o| html! {
                td.when { (minute(o.since)) } td { (o.actor) } td.short { (open(o.secs)) } td { (o.why) }
            }))
            (table("Silences", &["since", "not", "for", "why"], &self.silences, |s| html! {
                td.when { (minute(s.last)) } td { (s.what) } td.short { (open(s.secs)) } td { (s.why) }
            }))
            // The slowest are the last of their list, as the newest are of the others.
            (table(&format!("Slow packages: {SLOW}"), &["since", "package", "took", "median of its kind", "state"],
                &self.slow.iter().rev().cloned().collect::<Vec<_>>(), |s| html! {
                td.when { (minute(s.since)) } td { (s.package) } td.short { (length(s.secs)) }
                td { (s.median_secs.map(length).unwrap_or_default()) } td { (s.state) }
            }))
            (table("Failures that were tried again", &["when", "by", "package", "so far", "error"], &self.retried, |r| html! {
                td.when { (minute(r.at)) } td { (r.by) } td { (r.package) } td { (r.failures) } td { (r.error) }
            }))
            (table("By hand", &["when", "package", "what"], &self.levers, |s| html! {
                td.when { (minute(s.at)) } td { (s.package) } td { (s.what) }
            }))
            (table("Settings read again", &["when", "changed", "wait for a restart"], &self.reloads, |(at, changed, waits)| html! {
                td.when { (minute(*at)) } td { (changed) } td { (waits) }
            }))
            (table("Lines of the log", &["last", "level", "times", "message", "fields of the last"],
                &self.log.messages.iter().rev().cloned().collect::<Vec<_>>(), |m| html! {
                td.when { (minute(m.last)) } td { (m.level.as_str()) } td { (number(m.count)) } td { (m.message) } td { (m.fields) }
            }))
            (table("Damaged lines of the log (skipped)", &["file", "line", "why"], &self.sources.log.damages, |d| html! {
                td { (d.path.display()) } td { (d.line) } td { (d.why) }
            }))
        }
    }
}

fn incident(one: &IncidentAt) -> Markup {
    let i = &one.incident;
    html! {
        td.when { (minute(one.at)) }
        td { (i.actor) }
        td { (i.cause) }
        td { (i.detail) @if !i.in_hand.is_empty() { br; "in hand: " (i.in_hand.join(", ")) } }
        td.short {
            @match (one.over_by, one.down_secs) {
                (Some(_), Some(secs)) => { "back after " (length(secs)) }
                (Some("failed-again"), None) => "failed again",
                (Some("stopped"), None) => "ended with the daemon",
                (Some(_), None) => "ended by a new start",
                (None, _) => span.open { "not over" },
            }
        }
    }
}

/// A chart with its words: for who cannot see it, and below it for everybody.
fn figure(svg: &str, says: &str, key: Markup) -> Markup {
    let svg =
        svg.replacen("<svg ", "<svg role=\"img\" aria-label=\"chart; the words below say the same\" ", 1);
    html! { figure { div.wide tabindex="0" { (PreEscaped(svg)) } figcaption { div { (key) } div { (says) } } } }
}

fn more(all: usize, shown: usize) -> Markup {
    html! { @if all > shown { p.more { "and " (number((all - shown) as u64)) " more: review --json has all" } } }
}

/// A list, the newest first; nothing at all if it is empty.
fn table<T>(title: &str, heads: &[&str], rows: &[T], row: impl Fn(&T) -> Markup) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { (title) }
            table.rows {
                thead { tr { @for head in heads { th { (head) } } } }
                tbody { @for one in rows.iter().rev().take(ROWS) { tr { (row(one)) } } }
            }
            (more(rows.len(), ROWS))
        }
    }
}
