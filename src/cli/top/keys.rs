//! Keys → what somebody wants. One table for the keys, the line at the bottom and the help.
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::act::Lever;

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Quit,
    /// Aside for a moment, to the shell.
    Suspend,
    /// What stands there may be spoilt.
    Redraw,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    /// Why is this one not further?
    Why,
    /// Do something to it, with a reason.
    Act(Lever),
    /// Type a part of a name.
    Filter,
    /// All of them, those under way, those that were stopped.
    Show,
    Pause,
    Help,
    /// Away with what stands before the rest.
    Back,
}

/// What is typed into a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Char(char),
    Rub,
    RubAll,
    Done,
    Cancel,
    Quit,
}

/// Key, in short for the line at the bottom (empty: not there), in words for the help.
pub(super) const KEYS: [(&str, &str, &str); 13] = [
    ("↑ ↓ j k", "", "select a package; PgUp, PgDn, Home, End (g, G) go further"),
    ("w", "why", "or Enter: where the selected package is, what it waits for, what to do, and its whole way"),
    (
        "h",
        "hold",
        "have nobody work on the selected package until it is released; asks for a reason, which stands in the journal",
    ),
    ("r", "release", "take up again what is held or was stopped; asks for a reason"),
    ("t", "retry", "try at once what failed, or take up what was stopped; asks for a reason"),
    ("/", "filter", "type a part of a name, or a pattern with * and ?; Enter keeps it, Esc drops it"),
    ("?", "help", "this"),
    ("q", "quit", "or Ctrl-C: end; nothing but this screen ends"),
    ("Tab", "which", "which packages: all, those under way, those that were stopped"),
    ("p", "pause", "hold the screen still; the first line goes on telling how the daemon is"),
    ("Esc", "", "close what stands before the rest; else drop the filter"),
    ("Ctrl-Z", "", "to the shell; `fg` comes back"),
    ("Ctrl-L", "", "draw everything anew"),
];

fn control(key: &KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Outside of a line.
pub(super) fn want(key: &KeyEvent) -> Option<Want> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('c') if control(key) => Want::Quit,
        KeyCode::Char('z') if control(key) => Want::Suspend,
        KeyCode::Char('l') if control(key) => Want::Redraw,
        KeyCode::Char('f') if control(key) => Want::PageDown,
        KeyCode::Char('b') if control(key) => Want::PageUp,
        _ if control(key) => return None,
        KeyCode::Char('q') => Want::Quit,
        KeyCode::Up | KeyCode::Char('k') => Want::Up,
        KeyCode::Down | KeyCode::Char('j') => Want::Down,
        KeyCode::PageUp => Want::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Want::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Want::First,
        KeyCode::End | KeyCode::Char('G') => Want::Last,
        KeyCode::Enter | KeyCode::Char('w') => Want::Why,
        KeyCode::Char('h') => Want::Act(Lever::Hold),
        KeyCode::Char('r') => Want::Act(Lever::Release),
        KeyCode::Char('t') => Want::Act(Lever::Retry),
        KeyCode::Char('/') => Want::Filter,
        KeyCode::Tab => Want::Show,
        KeyCode::Char('p') => Want::Pause,
        KeyCode::Char('?') => Want::Help,
        KeyCode::Esc => Want::Back,
        _ => return None,
    })
}

/// Within a line.
pub(super) fn typed(key: &KeyEvent) -> Option<Typed> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('c') if control(key) => Typed::Quit,
        KeyCode::Char('u' | 'w') if control(key) => Typed::RubAll,
        KeyCode::Char('h') if control(key) => Typed::Rub,
        _ if control(key) => return None,
        KeyCode::Char(c) => Typed::Char(c),
        KeyCode::Backspace => Typed::Rub,
        KeyCode::Enter => Typed::Done,
        KeyCode::Esc => Typed::Cancel,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_something_and_releases_nothing() {
        let key = |code, more| KeyEvent::new(code, more);
        assert_eq!(want(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Want::Quit));
        assert_eq!(want(&key(KeyCode::Char('c'), KeyModifiers::NONE)), None);
        assert_eq!(want(&key(KeyCode::Char('q'), KeyModifiers::CONTROL)), None);
        assert_eq!(want(&key(KeyCode::Char('G'), KeyModifiers::SHIFT)), Some(Want::Last));
        assert_eq!(typed(&key(KeyCode::Char('q'), KeyModifiers::NONE)), Some(Typed::Char('q')));
        assert_eq!(typed(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Typed::Quit));
        assert_eq!(typed(&key(KeyCode::Tab, KeyModifiers::NONE)), None);
        let mut released = key(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!((want(&released), typed(&released)), (None, None));
    }
}
