//! What is shown, and how each thing that happens changes it. Pure: time comes with the ticks, and what is wanted of the world goes out
//! as [`Wish`]es. What an operator may do to a package will be one wish more.
use crossterm::event::KeyEvent;
use jiff::Timestamp;

use super::act::Lever;
use super::flow::Flow;
use super::keys::{self, Typed, Want};
use super::tail::Tail;
use super::why;
use crate::journal::Line;
use crate::package::PackageId;
use crate::present::{Filter, ListAnswer, ListRow, StatusAnswer, WhyAnswer};

/// Packages that are fetched; who has more looks for a name.
pub(super) const ROWS: usize = 500;
/// Of each list in a status.
pub(super) const MOST: usize = 50;
/// A part of a name is no longer.
const LONGEST: usize = 120;
/// With Page Up and Page Down.
const PAGE: isize = 10;

/// Something happened.
pub(super) enum Input {
    Key(KeyEvent),
    Resized(u16, u16),
    Tick(Timestamp),
    /// What was asked for every second.
    Beat(Box<Beat>),
    /// A question about one package was answered.
    Why(PackageId, Result<Box<WhyAnswer>, String>),
    /// A line of the journal.
    Line(Box<Line>),
    /// So many lines went by unseen.
    Missed(u64),
    /// What became of an act.
    Acted(Vec<String>),
}

/// The answer of a second.
pub(super) struct Beat {
    /// When it was asked for.
    pub(super) asked: Timestamp,
    /// Which packages were wanted.
    pub(super) filter: Filter,
    pub(super) answer: Result<(StatusAnswer, ListAnswer), String>,
    /// None: the daemon itself answered. Otherwise the state directory was read, because of that, if there is anything to be said.
    pub(super) instead: Option<Option<String>>,
    /// The journal's last lines, where they were read.
    pub(super) lines: Vec<Line>,
}

/// What is wanted of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Suspend,
    Redraw,
    /// Ask at once instead of at the next second.
    Ask,
    Why(PackageId),
    /// With its reason.
    Act(Lever, PackageId, String),
}

/// Which packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Show {
    #[default]
    All,
    UnderWay,
    Stopped,
}

/// What stands before the rest.
#[derive(Clone, Debug)]
pub(super) enum Over {
    Nothing,
    Help {
        scroll: usize,
    },
    /// Its reason is typed.
    Act {
        lever: Lever,
        package: PackageId,
        reason: String,
    },
    /// What became of it; nothing yet.
    Acted {
        title: String,
        said: Option<Vec<String>>,
        scroll: usize,
    },
    Why {
        package: PackageId,
        answer: Option<Result<Box<WhyAnswer>, String>>,
        scroll: usize,
    },
}

/// What a paused screen holds still.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) status: Option<StatusAnswer>,
    pub(super) list: Option<ListAnswer>,
    /// What the list was asked for.
    pub(super) filter: Filter,
    pub(super) tail: Tail,
    pub(super) flow: Flow,
}

/// How it stands between us and the daemon; never held still.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// The daemon's last answer.
    pub(super) answered: Option<Timestamp>,
    /// The last answer of whomsoever.
    pub(super) told: Option<Timestamp>,
    /// The daemon did not answer, and why, if there is anything to be said.
    pub(super) instead: Option<Option<String>>,
    /// Nobody answered.
    pub(super) failed: Option<String>,
}

/// All that is known about the screen.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) size: (u16, u16),
    pub(super) began: Timestamp,
    pub(super) now: Timestamp,
    data: Data,
    frozen: Option<(Timestamp, Box<Data>)>,
    pub(super) link: Link,
    /// The selected package, and where it stood: if it has gone, its neighbour is selected.
    selected: Option<PackageId>,
    place: usize,
    pub(super) show: Show,
    pub(super) name: String,
    pub(super) typing: bool,
    pub(super) over: Over,
}

impl Model {
    pub(super) fn new(size: (u16, u16), now: Timestamp) -> Self {
        Self {
            size,
            began: now,
            now,
            data: Data::default(),
            frozen: None,
            link: Link::default(),
            selected: None,
            place: 0,
            show: Show::All,
            name: String::new(),
            typing: false,
            over: Over::Nothing,
        }
    }

    /// What is shown: what is, or what was when the screen was paused.
    pub(super) fn data(&self) -> &Data {
        self.frozen.as_ref().map_or(&self.data, |(_, held)| held)
    }

    /// Since when it is held still.
    pub(super) fn paused(&self) -> Option<Timestamp> {
        self.frozen.as_ref().map(|(since, _)| *since)
    }

    /// The moment of what is shown.
    pub(super) fn moment(&self) -> Timestamp {
        self.paused().unwrap_or(self.now)
    }

    /// The health of the daemon as it is now, also while the screen is paused.
    pub(super) fn live(&self) -> Option<&StatusAnswer> {
        self.data.status.as_ref()
    }

    /// Which packages are wanted at present.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            stopped: self.show == Show::Stopped,
            moving: self.show == Show::UnderWay,
            name: (!self.name.is_empty()).then(|| self.name.clone()),
            limit: Some(ROWS),
            ..Filter::default()
        }
    }

    pub(super) fn rows(&self) -> &[ListRow] {
        self.data().list.as_ref().map_or(&[], |list| &list.packages)
    }

    /// Which row is selected; none if there is no row.
    pub(super) fn cursor(&self) -> Option<usize> {
        let rows = self.rows();
        let same = |id: &PackageId| rows.iter().position(|row| row.package == *id);
        let found = self.selected.as_ref().and_then(same);
        (!rows.is_empty()).then(|| found.unwrap_or(self.place.min(rows.len() - 1)))
    }

    pub(super) fn update(&mut self, input: Input) -> Vec<Wish> {
        match input {
            Input::Key(key) if matches!(self.over, Over::Act { .. }) => self.type_reason(&key),
            Input::Key(key) if self.typing => self.type_in(&key),
            Input::Key(key) => keys::want(&key).map_or(Vec::new(), |want| self.want(want)),
            Input::Resized(columns, rows) => {
                self.size = (columns, rows);
                Vec::new()
            }
            Input::Tick(now) => {
                self.now = now;
                match &self.over {
                    // It goes on while somebody looks at it.
                    Over::Why { package, .. } if self.frozen.is_none() => vec![Wish::Why(package.clone())],
                    _ => Vec::new(),
                }
            }
            Input::Beat(beat) => self.beat(*beat),
            Input::Why(id, said) => {
                if let Over::Why { package, answer, .. } = &mut self.over
                    && *package == id
                {
                    *answer = Some(said);
                }
                Vec::new()
            }
            Input::Line(line) => {
                self.data.tail.add(&line);
                Vec::new()
            }
            Input::Acted(words) => {
                // Also where something else was opened meanwhile: it was asked for, and this is the answer.
                let title = match &self.over {
                    Over::Acted { title, .. } => title.clone(),
                    _ => "what became of it".to_owned(),
                };
                self.over = Over::Acted { title, said: Some(words), scroll: 0 };
                vec![Wish::Ask]
            }
            Input::Missed(lines) => {
                self.data.tail.missed = self.data.tail.missed.saturating_add(lines);
                Vec::new()
            }
        }
    }

    fn beat(&mut self, beat: Beat) -> Vec<Wish> {
        let from_the_daemon = beat.instead.is_none();
        self.link.instead = beat.instead;
        beat.lines.iter().for_each(|line| self.data.tail.add(line));
        match beat.answer {
            Ok((status, list)) => {
                self.link.told = Some(status.at);
                self.link.failed = None;
                if from_the_daemon {
                    self.link.answered = Some(status.at);
                }
                let wire = status.daemon.as_ref().map(|seen| &seen.wire);
                let bytes = wire.map(|wire| wire.as_ref().map_or(0, |wire| wire.bytes_per_second));
                self.data.flow.add(status.at, bytes);
                self.keep_the_cursor();
                (self.data.status, self.data.list, self.data.filter) =
                    (Some(status), Some(list), beat.filter);
            }
            Err(why) => {
                self.data.flow.add(beat.asked, None);
                self.link.failed = Some(why);
                return Vec::new();
            }
        }
        // What was typed meanwhile was not yet asked for.
        if self.data.filter == self.filter() { Vec::new() } else { vec![Wish::Ask] }
    }

    /// Remembers where the selected package stands before the rows change.
    fn keep_the_cursor(&mut self) {
        if self.frozen.is_none()
            && let Some(place) = self.cursor()
        {
            self.place = place;
        }
    }

    fn want(&mut self, want: Want) -> Vec<Wish> {
        match want {
            Want::Quit => return vec![Wish::Quit],
            Want::Suspend => return vec![Wish::Suspend],
            Want::Redraw => return vec![Wish::Redraw],
            Want::Up => self.step(-1),
            Want::Down => self.step(1),
            Want::PageUp => self.step(-PAGE),
            Want::PageDown => self.step(PAGE),
            Want::First => self.step(isize::MIN),
            Want::Last => self.step(isize::MAX),
            Want::Why => return self.ask_why(),
            Want::Act(lever) => self.begin_act(lever),
            Want::Filter => {
                self.over = Over::Nothing;
                self.typing = true;
            }
            Want::Show => {
                self.show = match self.show {
                    Show::All => Show::UnderWay,
                    Show::UnderWay => Show::Stopped,
                    Show::Stopped => Show::All,
                };
                return self.ask_anew();
            }
            Want::Pause if self.frozen.take().is_some() => return vec![Wish::Ask],
            Want::Pause => self.frozen = Some((self.now, Box::new(self.data.clone()))),
            Want::Help if matches!(self.over, Over::Help { .. }) => self.over = Over::Nothing,
            Want::Help => self.over = Over::Help { scroll: 0 },
            Want::Back if !matches!(self.over, Over::Nothing) => self.over = Over::Nothing,
            Want::Back if !self.name.is_empty() => {
                self.name.clear();
                return self.ask_anew();
            }
            Want::Back => {}
        }
        Vec::new()
    }

    /// Other packages are wanted. A paused screen would not show them, so it goes on.
    fn ask_anew(&mut self) -> Vec<Wish> {
        self.frozen = None;
        vec![Wish::Ask]
    }

    fn ask_why(&mut self) -> Vec<Wish> {
        if !matches!(self.over, Over::Nothing) {
            self.over = Over::Nothing;
            return Vec::new();
        }
        let row = self.cursor().and_then(|at| self.rows().get(at));
        let Some(package) = row.map(|row| row.package.clone()) else { return Vec::new() };
        self.over = Over::Why { package: package.clone(), answer: None, scroll: 0 };
        vec![Wish::Why(package)]
    }

    /// On the selected package, or on the one whose answer stands before the rest.
    fn begin_act(&mut self, lever: Lever) {
        let selected = || self.cursor().and_then(|at| self.rows().get(at)).map(|row| row.package.clone());
        let package = match &self.over {
            Over::Why { package, .. } => Some(package.clone()),
            _ => selected(),
        };
        if let Some(package) = package {
            self.over = Over::Act { lever, package, reason: String::new() };
        }
    }

    fn type_reason(&mut self, key: &KeyEvent) -> Vec<Wish> {
        let Over::Act { lever, package, reason } = &mut self.over else { return Vec::new() };
        match keys::typed(key) {
            Some(Typed::Quit) => return vec![Wish::Quit],
            Some(Typed::Cancel) => self.over = Over::Nothing,
            Some(Typed::Char(c)) if reason.chars().count() < LONGEST && !c.is_control() => reason.push(c),
            Some(Typed::Rub) => drop(reason.pop()),
            Some(Typed::RubAll) => reason.clear(),
            Some(Typed::Done) if !reason.trim().is_empty() => {
                let title = format!("{} {package}", lever.word());
                let wish = Wish::Act(*lever, package.clone(), reason.trim().to_owned());
                self.over = Over::Acted { title, said: None, scroll: 0 };
                return vec![wish];
            }
            // Without a reason nothing is done.
            Some(Typed::Done | Typed::Char(_)) | None => {}
        }
        Vec::new()
    }

    fn step(&mut self, by: isize) {
        let room = why::room(self.size);
        let last = match &self.over {
            Over::Nothing => return self.select(by),
            Over::Act { .. } => return,
            Over::Acted { said, .. } => why::acted(said.as_deref(), room.0).len(),
            Over::Help { .. } => why::help(room.0).len(),
            Over::Why { answer, .. } => why::lines(answer.as_ref(), room.0).len(),
        };
        let last = last.saturating_sub(usize::from(room.1));
        if let Over::Help { scroll } | Over::Why { scroll, .. } | Over::Acted { scroll, .. } = &mut self.over
        {
            *scroll = scroll.saturating_add_signed(by).min(last);
        }
    }

    fn select(&mut self, by: isize) {
        let Some(at) = self.cursor() else { return };
        self.place = at.saturating_add_signed(by).min(self.rows().len() - 1);
        self.selected = self.rows().get(self.place).map(|row| row.package.clone());
    }

    fn type_in(&mut self, key: &KeyEvent) -> Vec<Wish> {
        let Some(typed) = keys::typed(key) else { return Vec::new() };
        match typed {
            Typed::Quit => return vec![Wish::Quit],
            Typed::Done => {
                self.typing = false;
                return Vec::new();
            }
            Typed::Cancel => {
                self.typing = false;
                self.name.clear();
            }
            Typed::Char(c) if self.name.chars().count() < LONGEST && !c.is_control() => self.name.push(c),
            Typed::Char(_) => return Vec::new(),
            Typed::Rub => drop(self.name.pop()),
            Typed::RubAll => self.name.clear(),
        }
        self.ask_anew()
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
