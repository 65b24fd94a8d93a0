//! The packages: one line each, the selected one turned around and always in sight.
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{put, row, rule, select};
use crate::cli::top::model::{Model, ROWS, Show};
use crate::cli::top::paint::{Paint, Tone, brief, brief_size, cut, cut_middle};
use crate::clock;
use crate::package::{Priority, Reason, State};
use crate::present::{ListRow, Moving};
use crate::review::{number, size};

/// A name has at least this much room, and what is said of it too, before either is cut.
const NOTE: usize = 11;
/// In a narrower window names need the room of the sizes.
const SIZES: u16 = 72;

pub(super) fn draw(model: &Model, paint: Paint, area: Rect, buf: &mut Buffer) {
    heading(model, paint, Rect { height: 1, ..area }, buf);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let rows = model.rows();
    if rows.is_empty() {
        let text = match &model.data().list {
            None => "",
            Some(list) if list.known == 0 => "none is known yet",
            Some(_) if !model.name.is_empty() => "none has such a name; Esc drops the filter",
            Some(_) => "none; Tab shows others",
        };
        return row(body, 0).into_iter().for_each(|row| put(buf, row, paint, &[(Tone::Aside, text)]));
    }
    let (room, cursor) = (usize::from(body.height), model.cursor().unwrap_or(0));
    // The selected one in the middle, if there is something above and below.
    let first = cursor.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    let shown: Vec<&ListRow> = rows.iter().skip(first).take(room).collect();
    let state = shown.iter().map(|row| row.state.as_str().len()).max().unwrap_or(0);
    let names = shown.iter().map(|row| row.package.to_string().chars().count()).max().unwrap_or(0);
    let sizes = body.width >= SIZES;
    let left =
        usize::from(body.width).saturating_sub(2 + state + 1 + 6 + 1 + 5 + 1 + if sizes { 6 } else { 0 });
    let name = names.min(left.saturating_sub(NOTE + 1)).max(8);
    for (n, one) in shown.iter().enumerate() {
        let Some(at) = row(body, n) else { return };
        let (tone, note) = note(model, one, left.saturating_sub(name + 1));
        let since = brief(clock::age(one.since, model.moment()).as_secs());
        let bytes =
            if sizes { format!("{:>5} ", one.bytes.map_or("-".into(), brief_size)) } else { String::new() };
        let mark = if first + n == cursor { "> " } else { "  " };
        let urgent = if one.priority == Priority::Urgent { Tone::Odd } else { Tone::Plain };
        let columns = [
            (tone, format!("{mark}{:<state$} ", one.state.as_str())),
            (urgent, format!("{:<6} ", one.priority.as_str())),
            (Tone::Plain, format!("{since:>5} {bytes}")),
            (tone, format!("{:<name$} ", cut_middle(&one.package.to_string(), name))),
            (Tone::Plain, note),
        ];
        let pieces: Vec<(Tone, &str)> = columns.iter().map(|(tone, text)| (*tone, text.as_str())).collect();
        put(buf, at, paint, &pieces);
        if first + n == cursor {
            select(buf, at);
        }
    }
}

fn heading(model: &Model, paint: Paint, at: Rect, buf: &mut Buffer) {
    let which = match model.show {
        Show::All => "all",
        Show::UnderWay => "under way",
        Show::Stopped => "stopped",
    };
    let filter = if model.name.is_empty() { String::new() } else { format!(", with {:?}", model.name) };
    let asked =
        if model.data().filter == model.filter() || model.data().list.is_none() { "" } else { " …" };
    let counts = model.data().list.as_ref().map_or(String::new(), |list| {
        let (fit, known) = (number(list.fit as u64), number(list.known as u64));
        let cut =
            if list.fit > ROWS { format!("; the newest {ROWS}: / finds others") } else { String::new() };
        format!("{fit} of {known}: ").replace(&format!("{known} of {known}"), &known)
            + which
            + &filter
            + &cut
            + asked
    });
    rule(buf, at, paint, "packages", &counts);
}

/// What is to be said of one: how far it is, why it was stopped, when it is tried again.
fn note(model: &Model, one: &ListRow, room: usize) -> (Tone, String) {
    let moving = model.data().status.iter().flat_map(|status| &status.moving);
    let id = one.package.to_string();
    if matches!(one.state, State::Held | State::Quarantined) {
        let reason = one.reason.map_or("by a person", Reason::code);
        return (Tone::Bad, cut(reason, room));
    }
    if let Some(m) = moving.into_iter().find(|m| m.unit == id) {
        return (Tone::Good, progress(m, room));
    }
    if one.failures > 0 {
        let next = one.retry_at.filter(|at| *at > model.moment());
        let next =
            next.map_or("now".into(), |at| format!("in {}", brief(clock::age(model.moment(), at).as_secs())));
        let text = format!("{} failed, again {next}", one.failures);
        let short = format!("again {next}");
        return (Tone::Odd, if text.chars().count() <= room { text } else { cut(&short, room) });
    }
    let tone = if one.state.is_settled() { Tone::Aside } else { Tone::Plain };
    (tone, String::new())
}

/// As much of it as there is room for.
fn progress(m: &Moving, room: usize) -> String {
    let per_cent = format!("{:>3} %", 100 * u128::from(m.done.min(m.total)) / u128::from(m.total.max(1)));
    let rate = format!("{per_cent} {}/s", size(m.per_second));
    let left = m.left_secs.map_or("stands still".into(), |secs| format!("{} left", brief(secs)));
    let all = format!("{rate}, {left}");
    [all, rate].into_iter().find(|text| text.chars().count() <= room).unwrap_or(per_cent)
}
