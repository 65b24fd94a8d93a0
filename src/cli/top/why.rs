//! What stands before the rest: the answer of `why`, and the help.
use super::keys::KEYS;
use super::model::Over;
use crate::present::{Look, WhyAnswer};

/// The window around it, and its margins.
const AROUND: (u16, u16) = (8, 4);

/// Columns and rows for text in a screen of this size. The answer's own text is never narrower than 40.
pub(super) fn room(size: (u16, u16)) -> (u16, u16) {
    (size.0.saturating_sub(AROUND.0).clamp(40, 110), size.1.saturating_sub(AROUND.1).max(1))
}

/// An answer as lines of this width.
pub(super) fn lines(answer: Option<&Result<Box<WhyAnswer>, String>>, width: u16) -> Vec<String> {
    let text = match answer {
        None => "asking …".to_owned(),
        Some(Ok(answer)) => answer.to_text(Look { width: usize::from(width), colour: false }),
        Some(Err(why)) => why.clone(),
    };
    text.lines().map(str::to_owned).collect()
}

/// What became of an act, in lines of this width.
pub(super) fn acted(said: Option<&[String]>, width: u16) -> Vec<String> {
    let Some(said) = said else { return vec!["the daemon is asked …".to_owned()] };
    said.iter().flat_map(|line| folded(line, "", usize::from(width))).collect()
}

/// The keys, in lines of this width.
pub(super) fn help(width: u16) -> Vec<String> {
    KEYS.iter().flat_map(|(key, _, what)| folded(what, &format!("{key:<10}"), usize::from(width))).collect()
}

/// Words behind a beginning, and below each other where it is too long.
fn folded(text: &str, begin: &str, width: usize) -> Vec<String> {
    let indent = " ".repeat(begin.chars().count());
    let (mut lines, mut line, mut empty) = (Vec::new(), begin.to_owned(), true);
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines
}

/// Title and lines of what stands before the rest, and the first line that is shown.
pub(super) fn shown(over: &Over, width: u16) -> Option<(String, Vec<String>, usize)> {
    match over {
        Over::Nothing | Over::Act { .. } => None,
        Over::Acted { title, said, scroll } => Some((title.clone(), acted(said.as_deref(), width), *scroll)),
        Over::Help { scroll } => Some(("keys".to_owned(), help(width), *scroll)),
        Over::Why { package, answer, scroll } => {
            Some((format!("why {package}"), lines(answer.as_ref(), width), *scroll))
        }
    }
}
