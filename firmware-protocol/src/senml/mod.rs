//! SenML packs (RFC 8428), in JSON and CBOR, record by record.
//!
//! # Invariants
//! - Both forms go through the same visitor: a pack means the same in either.
//! - Records are given away as they are read, and none is kept: memory does not grow with the pack.
//! - What the RFC says must be refused is refused: fields that must be understood (a label ending in `_`), later versions,
//!   a record of two values.
//!
//! # Not here
//! What base fields do to the records after them: see `decode`.

mod label;
mod pack;
mod record;

use serde::de::DeserializeSeed;

use crate::cbor;
use crate::decode::DecodeError;

use pack::Pack;
pub(crate) use record::{Record, Value};

/// Calls `take` with each record, in order.
///
/// # Errors
/// The pack is broken, or what `take` said first.
pub(crate) fn read<'de>(
    payload: &'de [u8],
    mut take: impl FnMut(Record<'de>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut refused = None;
    let pack = Pack { take: &mut take, refused: &mut refused };
    let broken = |detail| DecodeError::Broken { format: "senml", detail };
    let result = if is_json(payload) {
        let mut json = serde_json::Deserializer::from_slice(payload);
        pack.deserialize(&mut json).and_then(|()| json.end()).map_err(|e| broken(e.to_string()))
    } else {
        cbor::read(payload, pack).map_err(|fault| match fault {
            cbor::Fault::TooDeep { limit } => DecodeError::TooDeep { limit },
            cbor::Fault::Truncated
            | cbor::Fault::Trailing { .. }
            | cbor::Fault::Malformed { .. }
            | cbor::Fault::Visitor(_) => broken(fault.to_string()),
        })
    };
    refused.map_or(result, Err)
}

/// A pack is an array, which begins with `[` in JSON; in CBOR that byte begins none.
fn is_json(payload: &[u8]) -> bool {
    payload.trim_ascii_start().first() == Some(&b'[')
}

#[cfg(test)]
mod tests;
