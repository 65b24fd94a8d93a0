//! Charts as SVG: what went wrong when, how many bytes moved when, how many packages.
//!
//! Drawn by plotters into a text. Colours are plain constants that the page's style sheet knows, so that it can change them for
//! a dark screen and for paper; shapes differ too, so that nobody depends on colours.
use std::collections::HashSet;
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::answer::{Bucket, Review};
use super::words::{rate, size};

pub(crate) type Failed = Box<dyn std::error::Error>;

const WIDE: u32 = 960;
const MARGIN_LEFT: u32 = 90;
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const UP: RGBColor = RGBColor(0x9a, 0xd0, 0xb0);
pub(crate) const OUTAGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
pub(crate) const INCIDENT: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const SILENCE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);
pub(crate) const BYTES: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub(crate) const DONE: RGBColor = RGBColor(0x00, 0x9e, 0x73);

/// A straight axis with ticks where we want them.
#[derive(Clone)]
pub(crate) struct Axis {
    pub(crate) from: f64,
    pub(crate) to: f64,
    ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;
    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let part = (value - self.from) / (self.to - self.from).max(f64::MIN_POSITIVE);
        low + (part.clamp(0.0, 1.0) * f64::from(high - low)).round() as i32
    }
    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }
    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string()
    }
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// Times: at most nine ticks on full minutes, hours or days, and how to write them.
pub(crate) fn time_axis(since: Timestamp, until: Timestamp) -> (Axis, impl Fn(&f64) -> String) {
    let (from, to) = (since.as_millisecond() as f64 / 1000.0, until.as_millisecond() as f64 / 1000.0);
    let to = to.max(from + 60.0); // a moment is no line
    let steps = [
        1,
        2,
        5,
        10,
        15,
        30,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        7 * DAY,
        14 * DAY,
        30 * DAY,
        90 * DAY,
        365 * DAY,
    ];
    let step = steps.into_iter().find(|s| (to - from) / *s as f64 <= 8.0).unwrap_or(3650 * DAY);
    let first = (from / step as f64).ceil() as i64;
    let ticks: Vec<f64> = (first..).map(|n| (n * step) as f64).take_while(|t| *t <= to).take(20).collect();
    let long = to - from > 300.0 * DAY as f64;
    let label = move |secs: &f64| {
        let Ok(at) = Timestamp::from_second(*secs as i64) else { return String::new() };
        let at = at.to_zoned(TimeZone::UTC);
        let form = match (long, (*secs as i64).rem_euclid(DAY) == 0, step < MINUTE) {
            (true, ..) => "%Y-%m-%d",
            (_, true, _) => "%-d %b",
            (_, _, true) => "%H:%M:%S",
            _ => "%H:%M",
        };
        at.strftime(form).to_string()
    };
    (Axis { from, to, ticks }, label)
}

/// Amounts from 0: at most six ticks at round numbers; of bytes, round in their binary unit.
pub(crate) fn amount_axis(most: f64, bytes: bool) -> Axis {
    let most = most.max(1.0);
    let mut unit: f64 = 1.0;
    while bytes && most >= unit * 1024.0 {
        unit *= 1024.0;
    }
    let mut step = if bytes { unit / 100.0 } else { 1.0 }.max(1.0);
    for factor in [2.0, 2.5, 2.0].into_iter().cycle().take(60) {
        if most / step <= 5.0 {
            break;
        }
        step *= factor;
    }
    let count = (most / step).ceil().max(1.0);
    Axis { from: 0.0, to: count * step, ticks: (0..=count as i64).map(|n| n as f64 * step).collect() }
}

pub(crate) fn secs(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// A picture of this height; plotters leaves room for the labels.
pub(crate) fn picture(
    high: u32,
    x: (Axis, impl Fn(&f64) -> String),
    y: (Axis, impl Fn(&f64) -> String),
    grid: bool,
    draw: impl FnOnce(&mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<Axis, Axis>>) -> Result<(), Failed>,
) -> Result<String, Failed> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDE, high)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .margin_right(44)
            .x_label_area_size(30)
            .y_label_area_size(MARGIN_LEFT)
            .build_cartesian_2d(x.0, y.0)?;
        let mut mesh = chart.configure_mesh();
        let style = ("sans-serif", 16).into_font().color(&INK);
        let (x_label, y_label) = (x.1, y.1);
        let _styled = mesh
            .label_style(style)
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&x_label)
            .y_label_formatter(&y_label);
        if !grid {
            let _styled = mesh.disable_y_mesh();
        }
        mesh.draw()?;
        draw(&mut chart)?;
        root.present()?;
    }
    Ok(svg)
}

/// Which lane shows what.
fn lanes(review: &Review) -> Vec<String> {
    let mut lanes: Vec<String> = match review.daemons.as_slice() {
        [_] => vec!["daemon".to_owned()],
        many => many.iter().map(|d| format!("{} {}", d.role, d.host)).collect(),
    };
    let actors = review.causes.keys().chain(review.outages.iter().map(|o| &o.actor));
    let actors = actors.chain(review.incidents.iter().map(|i| &i.incident.actor));
    for actor in actors {
        if !lanes.contains(actor) {
            lanes.push(actor.clone());
        }
    }
    if !review.silences.is_empty() {
        lanes.push("silence".to_owned());
    }
    lanes
}

/// When daemons ran, and incidents, outages and silences, a lane for each actor.
pub fn timeline(review: &Review) -> Result<String, Failed> {
    let lanes = lanes(review);
    let (x, x_label) = time_axis(review.since, review.until);
    let (from, to) = (x.from, x.to);
    let hair = (to - from) / f64::from(WIDE - MARGIN_LEFT); // about a pixel
    let count = lanes.len();
    let y = Axis { from: 0.0, to: count as f64, ticks: (0..count).map(|n| n as f64 + 0.5).collect() };
    // Lanes are counted from below; the first is to be on top.
    let at = |lane: usize| (count - lane) as f64 - 0.5;
    let names = lanes.clone();
    let y_label =
        move |v: &f64| names.get(count.saturating_sub(1 + *v as usize)).cloned().unwrap_or_default();
    let place = |name: &str| lanes.iter().position(|l| l == name);
    let open_end = |end: Option<f64>| end.unwrap_or(to);
    picture(50 + 34 * count as u32, (x, x_label), (y, y_label), false, |chart| {
        let bar = |begin: f64, end: f64, lane: usize, half: f64, colour: RGBColor| {
            let (begin, end) = (begin.clamp(from, to), end.clamp(from, to).max(begin + 2.0 * hair).min(to));
            Rectangle::new([(begin, at(lane) - half), (end, at(lane) + half)], colour.filled())
        };
        let ran = review.daemons.iter().enumerate();
        let ran = ran.flat_map(|(n, d)| d.spans.iter().map(move |s| (n, secs(s.0), secs(s.1))));
        let _series = chart.draw_series(ran.map(|(n, begin, end)| bar(begin, end, n, 0.3, UP)))?;
        let outages = review.outages.iter().filter_map(|o| {
            let begin = secs(o.since);
            Some(bar(begin, open_end(o.secs.map(|s| begin + s)), place(&o.actor)?, 0.2, OUTAGE))
        });
        let _series = chart.draw_series(outages)?;
        let silences = review.silences.iter().filter_map(|s| {
            let begin = secs(s.last);
            Some(bar(begin, open_end(s.secs.map(|s| begin + s)), place("silence")?, 0.2, SILENCE))
        });
        let _series = chart.draw_series(silences)?;
        // Thousands of incidents are one mark for each few pixels.
        let mut marked: HashSet<(usize, i64)> = HashSet::new();
        let mut once = |lane: usize, at: f64| marked.insert((lane, ((at - from) / (4.0 * hair)) as i64));
        let mut marks = Vec::new();
        for one in &review.incidents {
            let begin = secs(one.at).max(from);
            let Some(lane) = place(&one.incident.actor) else { continue };
            let end = open_end(one.over_at.map(secs));
            if end - begin > 4.0 * hair {
                let _series = chart.draw_series([bar(begin, end, lane, 0.06, INCIDENT)])?;
            }
            if once(lane, begin) {
                marks.push(TriangleMarker::new((begin, at(lane)), 6, INCIDENT.filled()));
            }
        }
        let _series = chart.draw_series(marks)?;
        let crashes = review.daemons.iter().enumerate();
        let crashes =
            crashes.flat_map(|(n, d)| d.starts.iter().filter(|s| s.after_crash).map(move |s| (n, s)));
        let _series = chart.draw_series(
            crashes.map(|(n, s)| TriangleMarker::new((secs(s.at), at(n)), 6, INCIDENT.filled())),
        )?;
        let starts = review.daemons.iter().enumerate();
        let starts =
            starts.flat_map(|(n, d)| d.starts.iter().filter(|s| !s.after_crash).map(move |s| (n, s)));
        let _series = chart.draw_series(starts.map(|(n, s)| {
            let begin = secs(s.at);
            PathElement::new([(begin, at(n) - 0.4), (begin, at(n) + 0.4)], INK.stroke_width(2))
        }))?;
        Ok(())
    })
}

/// A part of a bar: how high, and its colour.
type Part = (fn(&Bucket) -> f64, RGBColor);

/// Bars over time, stacked.
fn bars(review: &Review, bytes: bool, parts: &[Part]) -> Result<String, Failed> {
    let t = &review.throughput;
    let all = |b: &Bucket| parts.iter().map(|(part, _)| part(b)).sum::<f64>();
    let y = amount_axis(t.buckets.iter().map(|(_, b)| all(b)).fold(0.0, f64::max), bytes);
    let y_label = move |v: &f64| if bytes { rate(*v) } else { format!("{v:.0}") };
    let width = t.bucket_secs as f64;
    let (x, x_label) = time_axis(review.since, review.until);
    let (from, to) = (x.from, x.to);
    picture(220, (x, x_label), (y, y_label), true, |chart| {
        for (begin, bucket) in &t.buckets {
            let begin = secs(*begin);
            let (left, right) = ((begin + 0.08 * width).max(from), (begin + 0.92 * width).min(to));
            let mut low = 0.0;
            for (part, colour) in parts {
                let high = low + part(bucket);
                if high > low && left < right {
                    let _series =
                        chart.draw_series([Rectangle::new([(left, low), (right, high)], colour.filled())])?;
                }
                low = high;
            }
        }
        Ok(())
    })
}

/// Bytes that moved.
pub fn bytes(review: &Review) -> Result<String, Failed> {
    bars(review, true, &[(|b| b.bytes as f64, BYTES)])
}

/// Packages that came to their end, and those that were quarantined.
pub fn packages(review: &Review) -> Result<String, Failed> {
    bars(review, false, &[(|b| b.packages as f64, DONE), (|b| b.quarantined as f64, INCIDENT)])
}

/// The charts' alternative in words: the largest bucket.
pub fn busiest(review: &Review) -> Option<(Timestamp, String)> {
    let busiest = review.throughput.buckets.iter().max_by_key(|(_, b)| b.bytes)?;
    (busiest.1.bytes > 0).then(|| (busiest.0, size(busiest.1.bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_time_fall_on_round_times() {
        let at = |t: &str| t.parse::<Timestamp>().unwrap();
        let (axis, label) = time_axis(at("2026-11-22T05:10:00Z"), at("2026-11-23T05:10:00Z"));
        let labels: Vec<String> = axis.ticks.iter().map(&label).collect();
        assert_eq!(labels, ["06:00", "09:00", "12:00", "15:00", "18:00", "21:00", "23 Nov", "03:00"]);
        for (from, to) in [
            ("2026-11-22T05:10:00Z", "2026-11-22T05:10:00Z"),
            ("2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z"),
        ] {
            let (axis, label) = time_axis(at(from), at(to));
            assert!(!axis.ticks.is_empty() && axis.ticks.len() <= 12, "{:?}", axis.ticks);
            assert!(axis.ticks.iter().all(|t| !label(t).is_empty()));
        }
    }

    #[test]
    fn ticks_of_amounts_are_few_and_round() {
        for (most, bytes, last) in
            [(0.0, false, 1.0), (7.0, false, 8.0), (1234.0, false, 1500.0), (0.0, true, 1.0)]
        {
            let axis = amount_axis(most, bytes);
            assert_eq!(axis.to, last, "{most} {:?}", axis.ticks);
        }
        for most in [3.0, 1500.0, 7.7e6, 3.3e9, 9.9e12, 4.0e15] {
            let axis = amount_axis(most, true);
            assert!((2..=7).contains(&axis.ticks.len()) && axis.to >= most, "{most}: {:?}", axis.ticks);
        }
    }
}
