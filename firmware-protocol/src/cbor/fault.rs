//! What can be wrong with CBOR.

use std::fmt;

use super::DEPTH_MAX;
use crate::decode::DecodeError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes end inside a value.
    Truncated,
    /// Bytes follow the value.
    Trailing { at: usize },
    /// Not well-formed.
    Malformed { at: usize, what: &'static str },
    /// Deeper than [`DEPTH_MAX`], or for what is passed over, beyond its own limit.
    TooDeep { limit: usize },
    /// What the reader of the values has against them.
    Visitor(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("payload ends inside a value"),
            Self::Trailing { at } => write!(f, "bytes follow the value, from byte {at} on"),
            Self::Malformed { at, what } => write!(f, "byte {at}: {what}"),
            Self::TooDeep { limit } => write!(f, "values are nested deeper than the limit of {limit}"),
            Self::Visitor(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Visitor(text.to_string())
    }
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooDeep { limit } => Self::TooDeep { limit },
            Fault::Truncated | Fault::Trailing { .. } | Fault::Malformed { .. } | Fault::Visitor(_) => {
                Self::Broken { format: "cbor", detail: fault.to_string() }
            }
        }
    }
}

impl Fault {
    pub(super) fn depth() -> Self {
        Self::TooDeep { limit: DEPTH_MAX }
    }

    /// Of a decoding step that began at byte `at`.
    pub(super) fn of(error: &minicbor::decode::Error, at: usize) -> Self {
        if error.is_end_of_input() {
            Self::Truncated
        } else if error.is_type_mismatch() {
            Self::Malformed { at, what: "a value of another type than stands there is expected" }
        } else {
            Self::Malformed { at, what: "the value is not well-formed" }
        }
    }
}
