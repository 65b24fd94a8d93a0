//! Which packages are there, by state and name.
use maud::{Markup, html};
use serde::Deserialize;

use super::shell::{Place, link, shell, table};
use super::wants::code;
use crate::package::State;
use crate::present::{Filter, ListAnswer, StatusAnswer, relative};
use crate::review::{minute, number, size};

/// Rows of one page; a longer list is narrowed by its form.
const ROWS: usize = 200;

/// What the form asks for; what is empty asks for nothing in particular.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    state: String,
    show: String,
    name: String,
}

impl Asked {
    /// As a filter; what cannot be understood is refused, or a list would be wrong in silence.
    pub(super) fn filter(&self) -> Result<Filter, String> {
        let mut states = Vec::new();
        if !self.state.is_empty() {
            let known = State::ALL.into_iter().find(|state| state.as_str() == self.state);
            states.push(known.ok_or_else(|| format!("state: there is no state {:?}", self.state))?);
        }
        if !["", "stopped", "moving"].contains(&self.show.as_str()) {
            return Err(format!("show: stopped, moving or nothing, not {:?}", self.show));
        }
        let name = Some(self.name.trim().to_owned()).filter(|name| !name.is_empty());
        let (stopped, moving) = (self.show == "stopped", self.show == "moving");
        Ok(Filter { states, stopped, moving, name, limit: Some(ROWS), ..Filter::default() })
    }
}

/// The page.
pub(super) fn page(status: &StatusAnswer, asked: &Asked, list: &ListAnswer) -> Markup {
    let rows = html! {
        @for one in &list.packages {
            tr data-key=(one.package) {
                th scope="row" { (link(&one.package.to_string())) }
                td { (one.state) }
                td.when { (minute(one.since)) }
                td { (one.priority) }
                td.when { @if let Some(bytes) = one.bytes { (size(bytes)) } }
                td {
                    (code(one.reason))
                    @if one.failures > 0 { (one.failures) " failure(s)" @if let Some(at) = one.retry_at { ", again " (relative(at, list.at)) } }
                }
            }
        }
    };
    let (shown, fit, known) = (list.packages.len(), number(list.fit as u64), number(list.known as u64));
    let main = html! {
        (form(status, asked))
        p { (shown) " shown, " (fit) " fit, " (known) " known."
            @if shown < list.fit { " The newest are shown; narrow the list by a name or a state." } }
        @if list.packages.is_empty() { p.none { "No package is like that." } }
        @else { (table("Packages, whose state changed last first", &["Package", "State", "Since", "Priority", "Size", "Remark"], &rows)) }
    };
    shell(status, Place::Packages, "Packages", "", &main)
}

fn form(status: &StatusAnswer, asked: &Asked) -> Markup {
    html! {
        form.filter action="/packages" method="get" aria-label="Narrow the list" {
            span { label for="show" { "Show" } " "
                select #show name="show" {
                    @for (value, text) in [("", "all"), ("moving", "under way"), ("stopped", "stopped")] {
                        option value=(value) selected[asked.show == value] { (text) }
                    }
                }
            }
            span { label for="state" { "State" } " "
                select #state name="state" {
                    option value="" { "any" }
                    @for state in State::ALL.into_iter().filter(|s| status.states.contains_key(s) || s.as_str() == asked.state) {
                        option value=(state) selected[asked.state == state.as_str()] { (state) }
                    }
                }
            }
            span { label for="name" { "Name holds" } " " input #name name="name" value=(asked.name) autocomplete="off" spellcheck="false" maxlength="200"; }
            button type="submit" { "Show" }
        }
    }
}
