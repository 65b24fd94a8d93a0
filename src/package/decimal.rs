//! A number whose text is kept: `97.760` stays `97.760`, however long.
//!
//! Numbers of the LIMS go into `.sample` as they stand there; a way through binary floating point would re-format them. They
//! are written as they are. Read through serde they come in their canonical form, because buffered formats have lost the text
//! by then; [`SampleDoc::parse`](super::SampleDoc::parse) reads a document with the texts kept. (The switch
//! `arbitrary_precision` of serde_json would do the same for all numbers, and breaks every flattened or tagged type with an
//! integer in it: the journal's lines.)
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::Number;
use serde_json::value::RawValue;

/// The longest text that is taken for a number.
const MAX: usize = 64;

/// A number as JSON writes one.
#[derive(Clone, PartialEq, Eq)]
pub struct Decimal(String);

/// The text is no number as JSON writes one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no number")]
pub struct NoNumber;

impl Decimal {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its value, if it is a whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }
}

impl FromStr for Decimal {
    type Err = NoNumber;
    fn from_str(text: &str) -> Result<Self, NoNumber> {
        let number = text.len() <= MAX && serde_json::from_str::<Number>(text).is_ok();
        if number && text.trim() == text { Ok(Self(text.to_owned())) } else { Err(NoNumber) }
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.clone()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Number::deserialize(deserializer)?.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_text_and_nothing_else_is_one() {
        for text in ["97.760", "0", "-1.50", "121434860", "1e5", "0.1000000000000000055511151231257827"] {
            let number: Decimal = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
        }
        for text in
            ["", "NaN", "97,76", " 1", "1 ", ".5", "007", "+1", "\"1\"", "[1]", "1e999", &"1".repeat(65)]
        {
            assert!(text.parse::<Decimal>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn through_buffered_formats_it_comes_as_a_number_all_the_same() {
        #[derive(Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            One { number: Decimal },
        }
        let Tagged::One { number } = serde_json::from_str(r#"{"number": 97.760, "kind": "One"}"#).unwrap();
        assert_eq!(number.as_str(), "97.76");
    }
}
