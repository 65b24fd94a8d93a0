//! The actors, and beside them how fast bytes go, where there is room for it.
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Sparkline, SparklineBar, Widget};

use super::{put, row, rule};
use crate::cli::top::flow::MINUTES;
use crate::cli::top::model::Model;
use crate::cli::top::paint::{Paint, Tone, brief, cut};
use crate::review::size;
use crate::supervisor::ChildStatus;

/// Columns of the table.
const TABLE: u16 = 49;
/// Fewer columns draw nothing that can be read.
const GRAPH: u16 = 24;

pub(super) fn draw(model: &Model, paint: Paint, area: Rect, buf: &mut Buffer) {
    let graph = area.width.saturating_sub(TABLE + 2);
    let table = if graph < GRAPH { area } else { Rect { width: TABLE, ..area } };
    draw_table(model, paint, table, buf);
    if graph >= GRAPH {
        draw_graph(model, paint, Rect { x: area.x + TABLE + 1, width: graph + 1, ..area }, buf);
    }
}

fn draw_table(model: &Model, paint: Paint, area: Rect, buf: &mut Buffer) {
    rule(buf, Rect { height: 1, ..area }, paint, "actors", "");
    let seen = model.data().status.as_ref().and_then(|status| status.daemon.as_ref());
    let Some(seen) = seen else {
        let text = if model.data().status.is_some() { "no daemon says what they do" } else { "" };
        return row(area, 1).into_iter().for_each(|row| put(buf, row, paint, &[(Tone::Aside, text)]));
    };
    let heads = format!(
        "{:<9} {:<9} {:>5} {:>4} {:>5} {:>6} {:>5}",
        "actor", "state", "for", "hand", "queue", "errors", "again"
    );
    row(area, 1).into_iter().for_each(|row| put(buf, row, paint, &[(Tone::Aside, &heads)]));
    let room = usize::from(area.height.saturating_sub(2));
    for (n, actor) in seen.actors.iter().enumerate() {
        let Some(row) = row(area, n + 2) else { return };
        let hidden = seen.actors.len() - n;
        if n + 1 == room && hidden > 1 {
            return put(buf, row, paint, &[(Tone::Aside, &format!("… and {hidden} more"))]);
        }
        let (tone, line) = line(actor);
        put(buf, row, paint, &[(tone, &line)]);
    }
}

fn line(a: &ChildStatus) -> (Tone, String) {
    let (state, tone) = match () {
        () if !a.up => (if a.state.is_empty() { "down" } else { a.state.as_str() }, Tone::Bad),
        () if a.state == "draining" => ("draining", Tone::Odd),
        () if a.report.degraded.is_some() => ("DEGRADED", Tone::Bad),
        () if a.report.in_hand.is_empty() => ("idle", Tone::Plain),
        () => ("busy", Tone::Good),
    };
    let (r, name) = (&a.report, cut(&a.actor, 9));
    let since = brief(r.degraded_secs.unwrap_or(a.since_secs));
    let numbers = format!("{:>4} {:>5} {:>6} {:>5}", r.in_hand.len(), r.queue, r.errors, a.restarts);
    (tone, format!("{name:<9} {:<9} {since:>5} {numbers}", cut(state, 9)))
}

fn draw_graph(model: &Model, paint: Paint, area: Rect, buf: &mut Buffer) {
    let bars = model.data().flow.bars(area.width, model.moment());
    let most = bars.iter().flatten().max().copied();
    let now = model.data().flow.last().map_or("?".to_owned(), |bytes| format!("{}/s", size(bytes)));
    let long = format!("{now}, most {}/s, {MINUTES} min", size(most.unwrap_or(0)));
    let fits = 14 + long.chars().count() + 2 <= usize::from(area.width);
    let more = match most {
        None => format!("{MINUTES} min"),
        Some(_) if fits => long,
        Some(_) => now,
    };
    rule(buf, Rect { height: 1, ..area }, paint, "throughput", &more);
    let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let bars: Vec<SparklineBar> = bars.into_iter().map(SparklineBar::from).collect();
    let style = paint.style(Tone::Good);
    Sparkline::default()
        .data(bars)
        .max(most.unwrap_or(0).max(1))
        .style(style)
        .absent_value_symbol(" ")
        .render(below, buf);
}
