//! Which bytes are asked for, and what an answer says it brings. Pure; everything in an answer is hostile.

/// A stretch of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// Its first byte.
    pub from: u64,
    /// Behind its last one.
    pub until: u64,
}

impl Range {
    pub(super) fn len(self) -> u64 {
        self.until.saturating_sub(self.from)
    }

    /// As a request says it. An empty one cannot be said.
    pub(super) fn header(self) -> String {
        format!("bytes={}-{}", self.from, self.until.saturating_sub(1))
    }
}

/// The requests that bring the rest of an object, in its order. An empty object takes one too.
pub(super) fn ranges(from: u64, size: u64, step: u64) -> impl Iterator<Item = Range> {
    let step = step.max(1);
    let count = size.saturating_sub(from).div_ceil(step).max(u64::from(size == 0));
    (0..count).map(move |n| {
        let from = from + n * step;
        Range { from, until: size.min(from + step) }
    })
}

/// What an answer says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    /// `Content-Range`.
    pub range: Option<&'a str>,
    /// `Content-Length`.
    pub length: Option<i64>,
}

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Odd {
    /// The object has another size than it was listed with.
    OtherSize(u64),
    /// It does not fit what was asked.
    Wrong(String),
}

/// At which byte of the object the answer's body begins: where it was asked to, or, if the store ignores ranges, at the first.
///
/// Without a Content-Range an answer is the whole object only if its length says so; or, where the whole was asked for, if it says
/// nothing of its length (the bytes are counted then). Another length does not prove that the object was replaced: it may be a page
/// of a proxy. If it was, the bucket lists another size at the next attempt.
pub(super) fn begins(asked: Range, size: u64, said: Said<'_>) -> Result<u64, Odd> {
    let length = said.length.and_then(|n| u64::try_from(n).ok());
    let Some(text) = said.range else {
        return match length {
            Some(length) if length == size => Ok(0),
            Some(length) => Err(Odd::Wrong(format!(
                "it answers with {length} bytes, the bucket lists {size} for the object"
            ))),
            None if asked.len() == size => Ok(0),
            None => Err(Odd::Wrong("it says neither which bytes it answers with nor how many".into())),
        };
    };
    let (got, total) = parse(text).ok_or_else(|| Odd::Wrong(format!("Content-Range {text:?} is none")))?;
    if total != size {
        return Err(Odd::OtherSize(total));
    }
    let other =
        || Odd::Wrong(format!("asked for {}, it answers with Content-Range {text:?}", asked.header()));
    // Fewer bytes than were asked for are allowed; the rest is asked for again.
    if got.from != asked.from || got.until > asked.until || got.len() == 0 {
        return Err(other());
    }
    if length.is_some_and(|length| length != got.len()) {
        return Err(other());
    }
    Ok(got.from)
}

/// `bytes 0-99/1000`.
fn parse(text: &str) -> Option<(Range, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let until = number(last)?.checked_add(1)?;
    Some((Range { from: number(first)?, until }, number(total)?))
}

/// Digits alone: `parse` would take a sign too.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_follow_each_other_without_a_gap(size in 0u64..5000, step in 0u64..700, done in 0u64..6000) {
            let from = done.min(size);
            let all: Vec<Range> = ranges(from, size, step).collect();
            let mut at = from;
            for range in &all {
                prop_assert!(range.from == at && (range.len() > 0 || size == 0) && range.len() <= step.max(1));
                at = range.until;
            }
            prop_assert_eq!(at, size);
            prop_assert_eq!(all.is_empty(), from == size && size > 0);
        }

        #[test]
        fn no_header_makes_it_panic(text in ".*", length in any::<i64>(), from in 0u64..10, until in 0u64..10) {
            let said = Said { range: Some(&text), length: Some(length) };
            if let Ok(at) = begins(Range { from, until }, 10, said) {
                prop_assert_eq!(at, from);
            }
        }
    }

    #[test]
    fn an_answer_is_taken_only_for_what_was_asked() {
        let asked = Range { from: 10, until: 20 };
        let says = |range, length| begins(asked, 100, Said { range, length });
        assert_eq!(says(Some("bytes 10-19/100"), Some(10)), Ok(10));
        assert_eq!(says(Some("bytes 10-19/100"), None), Ok(10));
        assert_eq!(says(Some("bytes 10-14/100"), Some(5)), Ok(10), "less than asked");
        assert_eq!(says(None, Some(100)), Ok(0), "the whole object");
        for length in [None, Some(99), Some(10), Some(0), Some(-1), Some(4096)] {
            assert!(
                matches!(says(None, length), Err(Odd::Wrong(_))),
                "{length:?}: a page of a proxy, perhaps"
            );
        }
        let all = Range { from: 0, until: 100 };
        assert_eq!(begins(all, 100, Said { range: None, length: None }), Ok(0), "the bytes are counted");
        assert_eq!(says(Some("bytes 10-19/101"), Some(10)), Err(Odd::OtherSize(101)));
        for odd in [
            "bytes 11-19/100",
            "bytes 9-18/100",
            "bytes 10-20/100",
            "bytes 10-9/100",
            "bytes 10-19/*",
            "bytes */100",
            "bytes 10-18446744073709551615/100",
            "bytes +10-19/100",
            "items 10-19/100",
            "",
        ] {
            assert!(matches!(says(Some(odd), None), Err(Odd::Wrong(_))), "{odd}");
        }
        assert!(matches!(says(Some("bytes 10-19/100"), Some(9)), Err(Odd::Wrong(_))));
    }
}
