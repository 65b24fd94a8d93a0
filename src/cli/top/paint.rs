//! What a piece of text is, and how that looks; how a text is cut where it has no room.
use ratatui::style::{Color, Modifier, Style};

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// A heading.
    Head,
    Good,
    /// Somebody must act.
    Bad,
    /// It goes on by itself.
    Odd,
    /// Beside the point.
    Aside,
}

/// Whether there are colours. Without them everything is told by words, and by bold and dim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    pub(super) fn style(self, tone: Tone) -> Style {
        let (colour, more) = match tone {
            Tone::Plain => return Style::new(),
            Tone::Head => (None, Modifier::BOLD),
            Tone::Good => (Some(Color::Green), Modifier::empty()),
            Tone::Bad => (Some(Color::Red), Modifier::BOLD),
            Tone::Odd => (Some(Color::Yellow), Modifier::empty()),
            Tone::Aside => (None, Modifier::DIM),
        };
        let style = Style::new().add_modifier(more);
        match colour.filter(|_| self.colour) {
            Some(colour) => style.fg(colour),
            None => style,
        }
    }
}

/// The beginning, with a sign that there is more.
pub(super) fn cut(text: &str, width: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= width {
        return text.chars().map(plain).collect();
    }
    let kept = text.chars().take(width.saturating_sub(1)).map(plain);
    kept.chain((width > 0).then_some('…')).collect()
}

/// Beginning and end, with a sign that something is missing between: names differ at their ends.
pub(super) fn cut_middle(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width || width < 3 {
        return cut(name, width);
    }
    let end = (width - 1) * 2 / 3;
    let begin = width - 1 - end;
    name.chars().take(begin).chain(std::iter::once('…')).chain(name.chars().skip(length - end)).collect()
}

/// A length of time in at most five characters: `45s`, `12m`, `3h20`, `2d4h`, `120d`.
pub(super) fn brief(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs}s"),
        60..3600 => format!("{}m", secs / 60),
        3600..86_400 => format!("{}h{:02}", secs / 3600, secs % 3600 / 60),
        86_400..864_000 => format!("{}d{}h", secs / 86_400, secs % 86_400 / 3600),
        _ => format!("{}d", secs / 86_400),
    }
}

/// Bytes in at most five characters: `512B`, `9.5G`, `59G`, `1023M`.
pub(super) fn brief_size(bytes: u64) -> String {
    let (mut n, mut unit) = (bytes as f64, 'B');
    for next in ['K', 'M', 'G', 'T', 'P', 'E'] {
        if n < 1023.5 {
            break;
        }
        (n, unit) = (n / 1024.0, next);
    }
    if unit != 'B' && n < 9.95 { format!("{n:.1}{unit}") } else { format!("{n:.0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_cut_with_a_sign() {
        let name = "samples/Diag-wgs1-HG12345677/r1";
        assert_eq!(cut_middle(name, 31), name);
        assert_eq!(cut_middle(name, 20), "samples…G12345677/r1");
        assert_eq!(
            (cut(name, 8), cut(name, 0), cut("a\x1bb", 9)),
            ("samples…".into(), String::new(), "a b".into())
        );
        for width in 0..40 {
            for text in [cut(name, width), cut_middle(name, width)] {
                assert!(text.chars().count() <= width, "{width}: {text}");
                assert!(text == name || width == 0 || text.contains('…'), "{width}: {text}");
            }
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0K"),
            (59 << 30, "59G"),
            ((1 << 30) - 1, "1.0G"),
            (u64::MAX, "16E"),
        ];
        for (bytes, text) in cases {
            assert_eq!(brief_size(bytes), text);
        }
    }

    #[test]
    fn times() {
        let cases = [
            (59, "59s"),
            (61, "1m"),
            (12_000, "3h20"),
            (187_200, "2d4h"),
            (863_999, "9d23h"),
            (8_640_000, "100d"),
        ];
        for (secs, text) in cases {
            assert_eq!(brief(secs), text);
        }
    }
}
