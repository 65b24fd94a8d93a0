//! Throughput and backlog as pictures, with the same in words and numbers.
use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;

use super::shell::table;
use crate::clock;
use crate::control::history::Sample;
use crate::review::charts::{BYTES, DONE, Failed, INCIDENT, amount_axis, picture, secs, time_axis};
use crate::review::{length, minute, size};

/// Points of a line; more cannot be seen.
const POINTS: usize = 360;
/// Rows of the table.
const ROWS: usize = 12;
const HIGH: u32 = 200;
/// Lines on an axis have a name.
type Line = (fn(&Sample) -> f64, RGBColor);

/// The section.
pub(super) fn section(samples: &[Sample], now: Timestamp) -> Markup {
    html! {
        section {
            h2 { "Throughput and backlog" }
            @match samples {
                [first, .., last] => {
                    @let over = length(clock::age(first.at, last.at).as_secs() as f64).replacen(".0 s", " s", 1);
                    @match (throughput(samples), backlog(samples)) {
                        (Ok(speed), Ok(counts)) => div.pair {
                            (figure("Throughput", &speed, &speeds(samples, &over), None))
                            (figure("Backlog", &counts, &counted(last, &over), Some(())))
                        },
                        (Err(e), _) | (_, Err(e)) => p.none { "The charts could not be drawn: " (e) },
                    }
                    (numbers(samples))
                    @if clock::age(last.at, now) > Duration::from_secs(60) { p.bad { "The last sample is of " (minute(last.at)) "." } }
                }
                _ => p.none { "The first samples come ten seconds after the start of the daemon." },
            }
        }
    }
}

/// The largest of each few, so that no peak is lost.
fn thinned(samples: &[Sample], value: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let piece = samples.len().div_ceil(POINTS).max(1);
    let peak = |few: &[Sample]| Some((secs(few.last()?.at), few.iter().map(value).fold(0.0, f64::max)));
    samples.chunks(piece).filter_map(peak).collect()
}

fn drawn(samples: &[Sample], lines: &[Line], bytes: bool) -> Result<String, Failed> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(String::new()) };
    let most = samples.iter().flat_map(|s| lines.iter().map(move |(value, _)| value(s))).fold(0.0, f64::max);
    let unit = move |v: &f64| if bytes { format!("{}/s", size(*v as u64)) } else { format!("{v:.0}") };
    let (x, x_label) = time_axis(first.at, last.at);
    picture(HIGH, (x, x_label), (amount_axis(most, bytes), unit), true, |chart| {
        for (n, (value, colour)) in lines.iter().enumerate() {
            let points = thinned(samples, *value);
            let line = PathElement::new(points.clone(), colour.stroke_width(2));
            let _series = chart.draw_series([line])?;
            if n > 0 {
                continue; // a line alone, which the style sheet breaks: nobody depends on colours
            }
            let ends = [points.last(), points.first()];
            let ground = ends.into_iter().flatten().map(|(at, _)| (*at, 0.0));
            let area: Vec<_> = points.iter().copied().chain(ground).collect();
            let _series = chart.draw_series([Polygon::new(area, colour.mix(0.25).filled())])?;
        }
        Ok(())
    })
}

fn throughput(samples: &[Sample]) -> Result<String, Failed> {
    drawn(samples, &[(|s| s.bytes_per_second as f64, BYTES)], true)
}

fn backlog(samples: &[Sample]) -> Result<String, Failed> {
    drawn(samples, &[(|s| s.under_way as f64, DONE), (|s| s.stopped as f64, INCIDENT)], false)
}

fn speeds(samples: &[Sample], over: &str) -> String {
    let most = samples.iter().max_by_key(|s| s.bytes_per_second);
    let now = samples.last().map_or(0, |s| s.bytes_per_second);
    let most = most.filter(|s| s.bytes_per_second > 0);
    let most = most.map_or("nothing moved".to_owned(), |s| {
        format!("at most {}/s at {}", size(s.bytes_per_second), minute(s.at))
    });
    format!("Payload between here and the store: {}/s now; in the last {over} {most}.", size(now))
}

fn counted(last: &Sample, over: &str) -> String {
    let Sample { under_way, stopped, not_taken, .. } = last;
    format!("Now {under_way} under way, {stopped} stopped, {not_taken} waiting outside; the last {over}.")
}

fn figure(name: &str, svg: &str, says: &str, key: Option<()>) -> Markup {
    let named = format!("<svg role=\"img\" aria-label=\"{name}; the words below say the same\" ");
    html! {
        figure {
            h3 { (name) }
            div.chart { (PreEscaped(svg.replacen("<svg ", &named, 1))) }
            figcaption {
                @if key.is_some() { span.key.done {} "packages under way " span.key.dashed {} "stopped (broken line). " }
                (says)
            }
        }
    }
}

fn numbers(samples: &[Sample]) -> Markup {
    let piece = samples.len().div_ceil(ROWS).max(1);
    let rows = html! {
        @for few in samples.rchunks(piece) {
            @if let (Some(first), Some(last)) = (few.first(), few.last()) {
                tr {
                    td.when { (minute(first.at)) }
                    td.number { (size(few.iter().map(|s| s.bytes_per_second).max().unwrap_or(0))) "/s" }
                    td.number { (last.under_way) }
                    td.number { (last.stopped) }
                    td.number { (last.not_taken) }
                }
            }
        }
    };
    html! {
        details {
            summary { "The same as a table" }
            (table("Samples, the newest first", &["From", "At most", "Under way", "Stopped", "Outside"], &rows))
        }
    }
}
