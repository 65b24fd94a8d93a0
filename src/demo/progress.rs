//! Live progress: a bar per package on a terminal, a line per move elsewhere.
use std::collections::BTreeMap;
use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::journal::{self, Fold};
use crate::package::{PackageId, State};
use crate::review::size;
use crate::snapshot::Snapshot;
use crate::supervisor::meter::Motion;

use super::site::Site;
use crate::conf::Role;

/// A package seen from both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// At nsc.
    pub here: Option<State>,
    /// At tsd.
    pub there: Option<State>,
    /// Bytes.
    pub bytes: u64,
    /// Why it was stopped.
    pub stopped: Option<String>,
}

/// Every package that either side knows. A journal that cannot be read at this moment (it is being written) shows nothing
/// new; the next look will.
pub fn look(site: &Site) -> BTreeMap<PackageId, View> {
    let mut views: BTreeMap<PackageId, View> = BTreeMap::new();
    for role in [Role::Nsc, Role::Tsd] {
        let mut fold = Fold::default();
        if journal::read(&site.state(role), |line| fold.apply(&line)).is_err() {
            continue;
        }
        for row in fold.packages() {
            let empty = View { here: None, there: None, bytes: 0, stopped: None };
            let view = views.entry(row.id.clone()).or_insert(empty);
            match role {
                Role::Nsc => view.here = Some(row.state),
                Role::Tsd => view.there = Some(row.state),
            }
            view.bytes = view.bytes.max(row.facts.bytes.unwrap_or(0));
            if row.state == State::Quarantined {
                let reason = row.facts.reason.map_or("", |r| r.code());
                view.stopped = Some(format!("{reason}: {}", row.facts.detail.as_deref().unwrap_or_default()));
            }
        }
    }
    views
}

/// What moves on either side.
fn motions(site: &Site) -> Vec<Motion> {
    let seen = [Role::Nsc, Role::Tsd].into_iter().filter_map(|role| Snapshot::read(&site.state(role)));
    seen.flat_map(|s| s.moving).collect()
}

/// The display.
pub struct Progress {
    multi: Option<MultiProgress>,
    bars: BTreeMap<PackageId, ProgressBar>,
    last: BTreeMap<PackageId, View>,
    total: Option<ProgressBar>,
}

/// More packages than this: finished ones leave the screen.
const MANY: usize = 18;

impl Progress {
    /// Bars on a terminal, lines elsewhere.
    pub fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(4);
        let multi = std::io::stderr().is_terminal().then(|| MultiProgress::with_draw_target(target));
        let total = multi.as_ref().map(|m| {
            let style =
                ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            m.add(ProgressBar::new(1).with_style(style))
        });
        Self { multi, bars: BTreeMap::new(), last: BTreeMap::new(), total }
    }

    /// Shows the present and returns it.
    pub fn show(&mut self, site: &Site) -> BTreeMap<PackageId, View> {
        let (views, motions) = (look(site), motions(site));
        for (id, view) in &views {
            let moving = matches!(view.there, Some(State::Copying | State::Copied))
                || view.here == Some(State::Uploading);
            let of = |m: &&Motion| {
                moving && m.unit == id.to_string() && m.total > 0 && m.done > 0 && m.done < m.total
            };
            let motion = motions.iter().find(of);
            match self.multi.as_ref().zip(self.total.as_ref()) {
                Some((multi, total)) => {
                    let bar =
                        self.bars.entry(id.clone()).or_insert_with(|| multi.insert_before(total, bar(id)));
                    draw(bar, id, view, motion);
                    let over = view.there == Some(State::Ready) || view.stopped.is_some();
                    if over && views.len() > MANY {
                        bar.finish_and_clear(); // the ones that move must stay in sight
                    }
                }
                None if self.last.get(id) != Some(view) => eprintln!("{id}: {}", words(view, motion)),
                None => {}
            }
        }
        let ready = views.values().filter(|v| v.there == Some(State::Ready)).count();
        let stopped = views.values().filter(|v| v.stopped.is_some()).count();
        let bytes: u64 = views.values().filter(|v| v.there == Some(State::Ready)).map(|v| v.bytes).sum();
        if let Some(total) = &self.total {
            total.set_message(format!(
                "{ready} of {} ready ({}), {stopped} stopped",
                views.len(),
                size(bytes)
            ));
        }
        self.last.clone_from(&views);
        views
    }

    /// Leaves the last picture standing.
    pub fn end(&self) {
        self.bars.values().filter(|b| !b.is_finished()).for_each(ProgressBar::abandon);
        self.total.iter().for_each(ProgressBar::abandon);
    }
}

fn bar(id: &PackageId) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:26!} {bar:8} {wide_msg}");
    let bar = ProgressBar::new(8).with_prefix(id.name.to_string());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Eight steps from found to ready.
fn steps(view: &View) -> u64 {
    match (view.there, view.here) {
        (Some(State::Ready), _) => 8,
        (Some(State::Verified | State::Copied), _) => 7,
        (Some(State::Copying), _) => 6,
        (Some(_), _) | (_, Some(State::Committed | State::Transferred)) => 5,
        (_, Some(State::Uploading)) => 4,
        (_, Some(State::Packed)) => 3,
        (_, Some(State::Claimed)) => 2,
        _ => 1,
    }
}

fn draw(bar: &ProgressBar, id: &PackageId, view: &View, motion: Option<&Motion>) {
    bar.set_position(steps(view));
    let kind = if id.kind.as_str() == "samples" { "" } else { id.kind.as_str() };
    bar.set_message(format!("{}  {kind}", words(view, motion)));
}

fn words(view: &View, motion: Option<&Motion>) -> String {
    if let Some(why) = &view.stopped {
        return format!("quarantined {why}");
    }
    let state = match (view.there, view.here) {
        (Some(there), _) => there.as_str(),
        (None, Some(here)) => here.as_str(),
        (None, None) => "",
    };
    let Some(m) = motion else { return format!("{state:<11} {:>9}", size(view.bytes)) };
    let rate = m.done as f64 / m.secs.max(0.05);
    let left = m.total.saturating_sub(m.done) as f64 / rate.max(1.0);
    let per_cent = 100 * m.done.min(m.total) / m.total.max(1);
    // 43 columns, so that it fits beside name and bar on a terminal of 80.
    format!("{state:<11} {:>9} {per_cent:>3}% {:>9}/s {left:>3.0}s", size(m.total), size(rate as u64))
}
