//! CBOR (RFC 8949) for the visitors that read JSON: one set of rules for both.
//!
//! # Invariants
//! - Nothing is read twice, and what no visitor wants is passed over in place, however deep it is.
//! - Values within each other go no deeper than [`DEPTH_MAX`], so the stack is bounded; only text in pieces is copied.
//! - A payload is one value: nothing follows it.
//!
//! # What becomes of CBOR's own values
//! - Numbers of any size and form, decimal fractions and big numbers (tags 2 to 5) are numbers, as near as a `f64` is.
//! - Whole numbers as keys are text to who asks for text.
//! - Byte strings, `undefined` and simple values are null: nothing is read from them.
//! - Times (tags 0 and 1), and all other tags, are what they stand on.

mod fault;
mod number;
mod reader;
mod skip;

use serde::de::{DeserializeSeed, Deserializer, Visitor};

pub(crate) use fault::Fault;
use reader::Reader;

/// Values within each other, the outermost counted.
pub(crate) const DEPTH_MAX: usize = 32;

/// Reads a payload's one value.
///
/// # Errors
/// See [`Fault`]; its `Visitor` is what `seed` refused.
pub(crate) fn read<'de, S: DeserializeSeed<'de>>(payload: &'de [u8], seed: S) -> Result<S::Value, Fault> {
    let mut reader = Reader::new(payload);
    let value = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// As [`read`], for a visitor that takes any value.
///
/// # Errors
/// As [`read`].
pub(crate) fn visit<'de, V: Visitor<'de>>(payload: &'de [u8], visitor: V) -> Result<V::Value, Fault> {
    let mut reader = Reader::new(payload);
    let value = reader.deserialize_any(visitor)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests;
