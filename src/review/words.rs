//! Times, lengths of time and sizes as people read them.
use jiff::Timestamp;

/// A time to the second.
pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}

/// A fraction of a byte more or less is nothing to anybody.
pub fn rate(bytes: f64) -> String {
    size(bytes.max(0.0).round() as u64)
}

/// A length of time in at most two units: `850 ms`, `12.3 s`, `4 min 5 s`, `3 h 20 min`, `2 d 4 h`.
pub fn length(secs: f64) -> String {
    let whole = secs.max(0.0).round() as u64;
    let two = |many: u64, unit: &str, rest: u64, small: &str| match rest {
        0 => format!("{many} {unit}"),
        _ => format!("{many} {unit} {rest} {small}"),
    };
    match whole {
        _ if secs < 0.9995 => format!("{} ms", (secs.max(0.0) * 1000.0).round() as u64),
        _ if secs < 59.95 => format!("{secs:.1} s"),
        0..3600 => two(whole / 60, "min", whole % 60, "s"),
        3600..172_800 => two(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3600, "h"),
    }
}

/// `1 thing`, `3 things`, `1,234 things`.
pub fn count(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(n), if n == 1 { "" } else { "s" })
}

/// `1,234,567`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// The beginning of a text, in one line.
pub fn clip(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut clipped: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let cases = [
            (0.0, "0 ms"),
            (0.0004, "0 ms"),
            (0.85, "850 ms"),
            (0.9999, "1.0 s"),
            (12.34, "12.3 s"),
            (59.99, "1 min"),
            (245.0, "4 min 5 s"),
            (3600.0, "1 h"),
            (12_000.0, "3 h 20 min"),
            (86_400.0, "24 h"),
            (-0.0, "0 ms"),
            (187_200.0, "2 d 4 h"),
        ];
        for (secs, text) in cases {
            assert_eq!(length(secs), text);
        }
    }

    #[test]
    fn numbers_and_clips() {
        assert_eq!(
            (number(0), number(999), number(1000), number(1_234_567)),
            ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
        );
        assert_eq!((count(1, "line"), count(0, "line")), ("1 line".into(), "0 lines".into()));
        assert_eq!((clip("a\nb", 9), clip("æøå", 2)), ("a b".into(), "æø…".into()));
    }
}
