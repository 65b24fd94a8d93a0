//! What is wrong with a body: [`Fault`], said in one sentence with the byte at which reading stopped where there is one.
//!
//! It is the source of [`Error::Malformed`](super::Error::Malformed); the request it belongs to is named there. A fault
//! quotes element names and ids, never the values of fields, because those may be about a patient.

/// What is wrong with a body, or with a value that was to be put into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    at: Option<u64>,
    what: String,
}

impl Fault {
    /// A fault in what the body says.
    pub fn new(what: impl Into<String>) -> Self {
        Self { at: None, what: what.into() }
    }

    /// A fault in how the body is written, found at this byte.
    pub fn at(byte: u64, what: impl Into<String>) -> Self {
        Self { at: Some(byte), what: what.into() }
    }

    /// The byte at which the body stopped being readable.
    pub fn byte(&self) -> Option<u64> {
        self.at
    }

    /// The same fault, said of this element.
    #[must_use]
    pub fn within(mut self, element: &str) -> Self {
        self.what = format!("in <{element}>: {}", self.what);
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            Some(at) => write!(f, "at byte {at}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Fault {}
