//! The answer of `list` as text: one line for each package, and a second one where the first has no room for its name.
use super::list::{ListAnswer, ListRow};
use super::page::{Look, Page, Tone, relative, span};
use crate::package::{Reason, State};
use crate::review::{number, size};

impl ListAnswer {
    /// For a person. Nothing is asked or read for it.
    pub fn to_text(&self, look: Look) -> String {
        let mut page = Page::new(look);
        if let Some(caution) = self.health.caution() {
            page.say(Tone::Bad, &format!("! {caution}"));
        }
        let (fit, known) = (number(self.fit as u64), number(self.known as u64));
        if self.fit == 0 {
            page.say(Tone::Head, &format!("no package fits; {known} are known"));
            return page.text();
        }
        let widest = self.packages.iter().map(|row| row.state.as_str().len()).max().unwrap_or(0).max(5);
        page.say(
            Tone::Head,
            &format!("{:<widest$} {:<8} {:>12} {:>10}  package", "state", "priority", "for", "size"),
        );
        for row in &self.packages {
            self.say_row(&mut page, row, widest);
        }
        let shown = self.packages.len();
        let tail = match self.fit.saturating_sub(shown) {
            0 => format!("{fit} of {known} package(s)"),
            more => format!("… and {more} more of {fit} that fit ({known} known): --limit {}", self.fit),
        };
        page.say(Tone::Aside, &tail);
        page.text()
    }

    /// For a program.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("an answer is plain data and always serialises")
    }

    fn say_row(&self, page: &mut Page, row: &ListRow, widest: usize) {
        let tone = match row.state {
            State::Held | State::Quarantined => Tone::Bad,
            _ if row.failures > 0 => Tone::Odd,
            _ => Tone::Plain,
        };
        let (bytes, since) = (row.bytes.map_or("-".into(), size), span(row.since, self.at));
        let start =
            format!("{:<widest$} {:<8} {since:>12} {bytes:>10} ", row.state.as_str(), row.priority.as_str());
        let whole = format!("{start} {}", row.package);
        if whole.chars().count() <= page.width() {
            page.say(tone, &whole);
        } else {
            page.say(tone, &start);
            page.say(tone, &format!("    {}", row.package));
        }
        if let Some(reason) = row.reason.filter(|_| matches!(row.state, State::Held | State::Quarantined)) {
            page.say(tone, &format!("    {}", Reason::code(reason)));
        }
        if row.failures > 0 {
            let next =
                row.retry_at.map_or(String::new(), |at| format!(", next attempt {}", relative(at, self.at)));
            page.say(tone, &format!("    {} failed attempt(s){next}", row.failures));
        }
    }
}
