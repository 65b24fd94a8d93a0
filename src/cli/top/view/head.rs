//! The two lines at the top: how the daemon is, now and never held still; and what wants a person.
use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{put, row};
use crate::cli::top::model::Model;
use crate::cli::top::paint::{Paint, Tone, brief, cut};
use crate::clock;
use crate::package::Reason;
use crate::present::{Health, StatusAnswer};
use crate::review::count;

/// Longer than a question may take, with what is read instead.
const LATE: u64 = 6;

pub(super) fn draw(model: &Model, paint: Paint, area: Rect, buf: &mut Buffer) {
    let time = model.now.strftime("%H:%M:%SZ").to_string();
    let (tone, text) = who(model);
    let width = area.width.saturating_sub(11);
    if let Some(first) = row(area, 0) {
        put(buf, Rect { width, ..first }, paint, &[(tone, &text)]);
        put(buf, Rect { x: area.x + area.width - 9, width: 9, ..first }, paint, &[(Tone::Aside, &time)]);
    }
    let (tone, text) = wanted(model);
    row(area, 1).into_iter().for_each(|second| put(buf, second, paint, &[(tone, &text)]));
}

fn hour(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({} ago)", hour(at), brief(clock::age(at, now).as_secs()))
}

/// Role, host, and how it is.
fn who(model: &Model) -> (Tone, String) {
    let (link, now) = (&model.link, model.now);
    let late = clock::age(link.told.unwrap_or(model.began), now).as_secs();
    let Some(status) = model.live() else {
        return match &link.failed {
            Some(why) => (Tone::Bad, cut(why, 300)),
            None if late > LATE => (
                Tone::Bad,
                format!("nothing answers for {late} s: is the disk of the state directory alive?"),
            ),
            None => (Tone::Plain, "asking …".to_owned()),
        };
    };
    let before = format!("{} on {}: ", status.role, status.host);
    let (tone, text) = if late > LATE {
        let since = ago(link.told.unwrap_or(model.began), now);
        match &link.failed {
            Some(why) => (Tone::Bad, format!("NO ANSWER since {since}: {why}")),
            None => {
                (Tone::Bad, format!("NO ANSWER since {since}: is the disk of the state directory alive?"))
            }
        }
    } else {
        health(model, status)
    };
    (tone, format!("{before}{text}"))
}

fn health(model: &Model, status: &StatusAnswer) -> (Tone, String) {
    let (link, now) = (&model.link, model.now);
    let last = link.answered.map_or(String::new(), |at| format!("; no answer since {}", ago(at, now)));
    let seen = status.daemon.as_ref();
    match (status.health, &link.instead) {
        (Health::Down, _) => (Tone::Bad, format!("NOT RUNNING; from the journal{last}")),
        (Health::Hangs, _) => {
            let secs = status.silent_secs.unwrap_or(0);
            (Tone::Bad, format!("HANGS or is stopped, silent for {}; from the journal{last}", brief(secs)))
        }
        (Health::Runs | Health::Stops, Some(why)) => {
            let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            (Tone::Odd, format!("NO ANSWER{why}; from the journal{last}"))
        }
        (Health::Stops, None) => {
            let stopping = seen.and_then(|seen| seen.stopping.as_ref());
            (Tone::Odd, format!("STOPPING: {}", stopping.map_or(String::new(), ToString::to_string)))
        }
        (Health::Runs, None) => {
            let up = seen.map_or(0, |seen| clock::age(seen.started, now).as_secs());
            let version = seen.map_or("", |seen| seen.version.as_str());
            let under_way: usize = status.under_way.iter().flat_map(|tally| tally.count.values()).sum();
            let rate = model
                .data()
                .flow
                .last()
                .map_or(String::new(), |bytes| format!(", {}/s", crate::review::size(bytes)));
            (Tone::Head, format!("runs for {}, {under_way} under way{rate} ({version})", brief(up)))
        }
    }
}

/// What a person must see to, in one line; the details are behind `w`, `Tab` and `status`.
fn wanted(model: &Model) -> (Tone, String) {
    if let Some(since) = model.paused() {
        let held = brief(clock::age(since, model.now).as_secs());
        return (Tone::Odd, format!("PAUSED: as it was at {} ({held} ago); p goes on", hour(since)));
    }
    if let Some(why) = &model.link.failed {
        return (Tone::Bad, format!("! {why}"));
    }
    let Some(status) = model.live() else { return (Tone::Plain, String::new()) };
    let mut wants = Vec::new();
    for actor in status.daemon.iter().flat_map(|seen| &seen.actors) {
        match &actor.report.degraded {
            Some(why) => wants.push(format!("{} cannot work: {why}", actor.actor)),
            None if !actor.up => wants.push(format!("{} is {}", actor.actor, actor.state)),
            None => {}
        }
    }
    if let Some(newest) = status.stopped.shown.first() {
        let why = newest.reason.map_or("held", Reason::code);
        wants.push(format!("newest {}: {why}", newest.package));
    }
    if let Some(stop) = &status.stop_file {
        wants.push(format!("{} of {}: no daemon starts", stop.file, stop.by));
    }
    wants.extend(status.silences.iter().map(|silence| format!("silent: {}", silence.what)));
    let lists = [
        (status.stopped.shown.len() + status.stopped.more, "stopped package"),
        (status.orders.shown.len() + status.orders.more, "order in the LIMS"),
        (status.doubts.shown.len() + status.doubts.more, "doubted sample"),
    ];
    // Numbers first: they are short, and a reason may fill the line.
    let lists = lists.iter().filter(|(n, _)| *n > 0);
    let mut all: Vec<String> = lists
        .map(|(n, what)| match *what {
            "order in the LIMS" => count(*n as u64, "order").to_string() + " in the LIMS",
            what => count(*n as u64, what),
        })
        .collect();
    all.append(&mut wants);
    match (all.is_empty(), status.wants_a_person()) {
        (false, _) => (Tone::Bad, format!("! {}", all.join("; "))),
        (true, true) if status.health.is_alive() => {
            (Tone::Bad, "! something wants a person: `tsd-import status`".into())
        }
        (true, true) => {
            (Tone::Bad, "! nothing moves: start the daemon; `tsd-import review` tells why it ended".into())
        }
        (true, false) => (Tone::Good, "all is well: nothing waits for a person".into()),
    }
}
