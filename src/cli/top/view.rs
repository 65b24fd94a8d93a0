//! The model as cells of a screen. Pure: the same model is the same picture.
//!
//! ```text
//! who and how it is                                     the time
//! what wants a person
//! ── actors ───────────────┬─ throughput ──
//! ── packages ──────────────────────────────
//! ── events ────────────────────────────────
//! keys, or the line that is typed
//! ```
mod actors;
mod head;
mod packages;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use super::keys::KEYS;
use super::model::{Model, Over};
use super::paint::{Paint, Tone, cut};
use super::why;

/// Less than this has no room for what must be seen.
const LEAST: (u16, u16) = (60, 15);

/// Draws all of it.
pub(super) fn draw(model: &Model, paint: Paint, area: Rect, buf: &mut Buffer) {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return too_small(paint, area, buf);
    }
    let actors = model.data().status.as_ref().and_then(|s| s.daemon.as_ref()).map_or(0, |d| d.actors.len());
    // Heading, names of columns, and a row each.
    let actors = 2 + u16::try_from(actors).unwrap_or(u16::MAX).clamp(3, (area.height / 5).max(3));
    let rest = area.height - 3 - actors;
    let events = (rest / 3).clamp(3, 14);
    let rows = |y, height| Rect { x: area.x, y: area.y + y, width: area.width, height };
    head::draw(model, paint, rows(0, 2), buf);
    actors::draw(model, paint, rows(2, actors), buf);
    packages::draw(model, paint, rows(2 + actors, rest - events), buf);
    draw_events(model, paint, rows(2 + actors + rest - events, events), buf);
    draw_foot(model, paint, rows(area.height - 1, 1), buf);
    draw_over(model, paint, area, buf);
}

/// A line of pieces, cut where the room ends.
fn put(buf: &mut Buffer, row: Rect, paint: Paint, pieces: &[(Tone, &str)]) {
    let mut left = usize::from(row.width);
    let mut spans = Vec::new();
    for (tone, text) in pieces {
        let text = cut(text, left);
        left -= text.chars().count().min(left);
        spans.push(Span::styled(text, paint.style(*tone)));
    }
    let _end = buf.set_line(row.x, row.y, &Line::from(spans), row.width);
}

/// `── heading ── more ─────`
fn rule(buf: &mut Buffer, row: Rect, paint: Paint, heading: &str, more: &str) {
    let line = "─".repeat(usize::from(row.width));
    put(buf, row, paint, &[(Tone::Aside, &line)]);
    let inner = Rect { x: row.x + 2, width: row.width.saturating_sub(4), ..row };
    let (heading, more) =
        (format!(" {heading} "), if more.is_empty() { String::new() } else { format!("{more} ") });
    let long = heading.chars().count() + more.chars().count();
    let inner = Rect { width: inner.width.min(u16::try_from(long).unwrap_or(u16::MAX)), ..inner };
    put(buf, inner, paint, &[(Tone::Head, &heading), (Tone::Plain, &more)]);
}

/// One row of an area; none below its end.
fn row(area: Rect, n: usize) -> Option<Rect> {
    let n = u16::try_from(n).ok().filter(|n| *n < area.height)?;
    Some(Rect { y: area.y + n, height: 1, ..area })
}

fn too_small(paint: Paint, area: Rect, buf: &mut Buffer) {
    let (width, height) = (area.width, area.height);
    let lines = [
        format!("This window is {width} × {height}."),
        format!("top needs {} × {}.", LEAST.0, LEAST.1),
        "Make it larger, or q and".to_owned(),
        "`tsd-import status`.".to_owned(),
    ];
    for (n, line) in lines.iter().enumerate() {
        if let Some(row) = row(area, n) {
            put(buf, row, paint, &[(if n < 2 { Tone::Bad } else { Tone::Plain }, line)]);
        }
    }
}

fn draw_events(model: &Model, paint: Paint, area: Rect, buf: &mut Buffer) {
    let tail = &model.data().tail;
    let missed = match tail.missed {
        0 => String::new(),
        n => format!("({n} went by unseen; they are in the journal)"),
    };
    rule(buf, Rect { height: 1, ..area }, paint, "events", &missed);
    let newest = tail.newest(usize::from(area.height.saturating_sub(1)));
    if newest.is_empty() {
        row(area, 1).into_iter().for_each(|row| put(buf, row, paint, &[(Tone::Aside, "none yet")]));
    }
    for (n, told) in newest.iter().enumerate() {
        if let Some(row) = row(area, n + 1) {
            let at = told.at.strftime("%H:%M:%SZ ").to_string();
            put(buf, row, paint, &[(Tone::Aside, &at), (told.tone, &told.text)]);
        }
    }
}

fn draw_foot(model: &Model, paint: Paint, row: Rect, buf: &mut Buffer) {
    if let Over::Act { lever, package, reason } = &model.over {
        let ask = format!("{} {package}; why? ", lever.word());
        let rest = if reason.is_empty() { "  (it stands in the journal; Esc: nothing is done)" } else { "" };
        // The end of a long reason is what is being typed.
        let room = usize::from(row.width).saturating_sub(ask.chars().count() + 1);
        let skip = reason.chars().count().saturating_sub(room.max(8));
        let typed: String = reason.chars().skip(skip).collect();
        let ask = cut(&ask, usize::from(row.width).saturating_sub(typed.chars().count() + 1));
        return put(
            buf,
            row,
            paint,
            &[(Tone::Odd, &ask), (Tone::Head, &typed), (Tone::Head, "▏"), (Tone::Aside, rest)],
        );
    }
    if model.typing {
        let line = format!("/{}", model.name);
        let pieces = [
            (Tone::Head, line.as_str()),
            (Tone::Head, "▏"),
            (Tone::Aside, "  a part of the name, or a pattern with * and ?; Enter keeps it, Esc drops it"),
        ];
        return put(buf, row, paint, &pieces);
    }
    let shown = KEYS.iter().filter(|(_, short, _)| !short.is_empty());
    let mut pieces: Vec<(Tone, String)> = Vec::new();
    for (key, short, _) in shown {
        let gap = if pieces.is_empty() { "" } else { "  " };
        pieces.push((Tone::Head, format!("{gap}{key}")));
        pieces.push((Tone::Plain, format!(" {short}")));
    }
    let pieces: Vec<(Tone, &str)> = pieces.iter().map(|(tone, text)| (*tone, text.as_str())).collect();
    put(buf, row, paint, &pieces);
}

/// What stands before the rest, in a window around its text.
fn draw_over(model: &Model, paint: Paint, area: Rect, buf: &mut Buffer) {
    let room = why::room((area.width, area.height));
    let Some((title, lines, scroll)) = why::shown(&model.over, room.0) else { return };
    let height = room.1.min(u16::try_from(lines.len()).unwrap_or(u16::MAX).max(3));
    let window = Rect {
        x: area.x + (area.width.saturating_sub(room.0 + 4)) / 2,
        y: area.y + (area.height.saturating_sub(height + 2)) / 2,
        width: (room.0 + 4).min(area.width),
        height: (height + 2).min(area.height),
    };
    Clear.render(window, buf);
    let scroll = scroll.min(lines.len().saturating_sub(usize::from(height)));
    let below = lines.len().saturating_sub(scroll + usize::from(height));
    let keys = match (scroll, below) {
        (0, 0) => " Esc closes ".to_owned(),
        (_, 0) => " ↑ more above; Esc closes ".to_owned(),
        (_, n) => format!(" ↓ {n} more; Esc closes "),
    };
    let title = format!(" {} ", cut(&title, usize::from(room.0).saturating_sub(2)));
    let block = Block::bordered().title_top(Line::styled(title, paint.style(Tone::Head))).title_bottom(keys);
    let inner = block.inner(window);
    block.render(window, buf);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    for (n, line) in lines.iter().skip(scroll).enumerate() {
        let Some(row) = row(inner, n) else { return };
        let tone = match line {
            _ if n + scroll == 0 || line.starts_with("its way") => Tone::Head,
            line if line.starts_with('!') => Tone::Bad,
            line if line.starts_with("what to do") => Tone::Odd,
            _ => Tone::Plain,
        };
        put(buf, row, paint, &[(tone, line)]);
    }
}

/// Turns a row around: this one is selected.
fn select(buf: &mut Buffer, row: Rect) {
    buf.set_style(row, ratatui::style::Style::new().add_modifier(Modifier::REVERSED));
}

#[cfg(test)]
mod tests;
