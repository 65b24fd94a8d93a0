//! Lines of text that fit a width, with or without colour.
use console::Style;
use jiff::Timestamp;

use crate::clock;
use crate::review::length;

/// How a text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns; at least 40 are used.
    pub width: usize,
    /// With colours.
    pub colour: bool,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    Plain,
    /// A heading.
    Head,
    /// As it should be.
    Good,
    /// Somebody must act.
    Bad,
    /// It goes on by itself.
    Odd,
    /// Beside the point.
    Aside,
}

impl Tone {
    fn style(self) -> Style {
        let style = Style::new().force_styling(true);
        match self {
            Self::Plain => style,
            Self::Head => style.bold(),
            Self::Good => style.green(),
            Self::Bad => style.red().bold(),
            Self::Odd => style.yellow(),
            Self::Aside => style.dim(),
        }
    }
}

/// A text that grows line by line.
pub(super) struct Page {
    look: Look,
    text: String,
}

impl Page {
    pub(super) fn new(look: Look) -> Self {
        Self { look: Look { width: look.width.max(40), ..look }, text: String::new() }
    }

    /// Columns that there are.
    pub(super) fn width(&self) -> usize {
        self.look.width
    }

    /// One line, or several where it is too long: they begin further in than the first. What a stranger wrote into a name cannot move the
    /// cursor.
    pub(super) fn say(&mut self, tone: Tone, line: &str) {
        let indent = line.chars().take_while(|c| *c == ' ').count();
        self.hang(tone, line, indent + 4);
    }

    /// A word in a column of its own, and what is said about it.
    pub(super) fn tell(&mut self, what: &str, text: &str) {
        self.hang(Tone::Plain, &format!("{what:<13}{text}"), 13);
    }

    fn hang(&mut self, tone: Tone, line: &str, hang: usize) {
        let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        for line in wrapped(plain.trim_end(), self.look.width, hang.min(self.look.width / 2)) {
            if self.look.colour && tone != Tone::Plain {
                self.text.push_str(&tone.style().apply_to(line).to_string());
            } else {
                self.text.push_str(&line);
            }
            self.text.push('\n');
        }
    }

    /// An empty line, if there is anything above it.
    pub(super) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    pub(super) fn text(self) -> String {
        let mut text = self.text;
        text.truncate(text.trim_end_matches('\n').len());
        text.push('\n');
        text
    }
}

/// Words in lines of at most so many characters, with the spaces that stand between them where they stay on one line. A word that is
/// longer than a line is cut.
fn wrapped(line: &str, width: usize, hang: usize) -> Vec<String> {
    if line.chars().count() <= width {
        return vec![line.to_owned()];
    }
    let (mut lines, mut now, mut length, mut empty) = (Vec::new(), String::new(), 0usize, true);
    let mut gap = 0usize;
    for word in line.split(' ') {
        if word.is_empty() {
            gap += 1;
            continue;
        }
        let mut rest: Vec<char> = word.chars().collect();
        // In front of the first word the gap is how far in the line begins.
        let space = if lines.is_empty() || !empty { gap } else { 0 };
        if !empty && length + space + rest.len() > width {
            lines.push(std::mem::replace(&mut now, " ".repeat(hang)));
            length = hang;
        } else {
            now.push_str(&" ".repeat(space.min(width / 2)));
            length += space.min(width / 2);
        }
        while length + rest.len() > width {
            let cut = width.saturating_sub(length).max(1).min(rest.len());
            now.extend(rest.drain(..cut));
            lines.push(std::mem::replace(&mut now, " ".repeat(hang)));
            length = hang;
        }
        length += rest.len();
        now.extend(rest);
        (empty, gap) = (false, 1);
    }
    lines.push(now);
    lines
}

/// How long ago, or how long until then: `3 min 20 s ago`, `in 5 s`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        let left = length(clock::age(now, at).as_secs_f64().ceil());
        format!("in {}", left.replacen(".0 s", " s", 1))
    } else {
        format!("{} ago", span(at, now))
    }
}

/// From one moment to the other, in at most two units; nothing is said of fractions of a second.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> String {
    match clock::age(from, to).as_secs_f64() {
        secs if secs < 1.0 => "<1 s".into(),
        secs => length(secs.floor()).replacen(".0 s", " s", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_nothing_is_lost() {
        let line = "  waits: samples/Diag-wgs1-HG12345677/r1: the disk of /ess/p22/archive/no-backup/samples does not answer";
        for width in 40..100 {
            let lines = wrapped(line, width, 6);
            assert!(lines.iter().all(|l| l.chars().count() <= width), "{width}: {lines:?}");
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().concat();
            assert_eq!(words(&lines.join(" ")), words(line), "{width}");
            assert!(lines[0].starts_with("  w") && lines.iter().skip(1).all(|l| l.starts_with("      ")));
        }
        let long = "x".repeat(100);
        assert!(wrapped(&long, 40, 4).iter().all(|l| l.chars().count() <= 40));
        assert_eq!(wrapped("a  b", 40, 4), ["a  b"], "columns stay");
        let columns = format!("  a   b {}", "c ".repeat(30));
        assert!(
            wrapped(columns.trim_end(), 40, 4)[0].starts_with("  a   b c c"),
            "also where it is too long"
        );
    }

    #[test]
    fn a_stranger_cannot_move_the_cursor_and_colour_is_only_where_it_is_wanted() {
        let said = |colour| {
            let mut page = Page::new(Look { width: 80, colour });
            page.gap();
            page.say(Tone::Bad, "a\x1b[2Jb\nc");
            page.gap();
            page.gap();
            page.say(Tone::Plain, "d");
            page.text()
        };
        assert_eq!(said(false), "a [2Jb c\n\nd\n");
        assert_eq!(said(true), "\x1b[31m\x1b[1ma [2Jb c\x1b[0m\n\nd\n");
    }

    #[test]
    fn times() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (a, b) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:01:05.7Z"));
        assert_eq!((relative(a, b), relative(b, a)), ("1 min 5 s ago".into(), "in 1 min 6 s".into()));
        assert_eq!((span(a, a), span(a, at("2026-01-01T00:00:09.9Z"))), ("<1 s".into(), "9 s".into()));
    }
}
