//! A JSON object's numeric fields as readings, in one pass and without a tree.
//!
//! # Invariants
//! - Numbers, `true` and `false` become readings, fields of nested objects as `outer.inner`; text, null and arrays
//!   are passed over. A repeated name counts once, with its last value.
//! - All readings of an object have its time: that of the time field, or the received time; if there is neither, as in a
//!   retained copy, the object makes none.
//! - An array of objects at the top is several readings of one device, each object with its own time.
//!
//! # Not here
//! What a time looks like: see `time`.

mod device;
mod object;
mod path;

use std::borrow::Cow;

use serde::Deserializer;
use serde::de::DeserializeSeed;

use crate::decode::{DecodeError, Route};
use crate::measurement::{EventTime, Measurement};
use crate::topic::Captures;

use object::{Context, Top};

/// How a message's fields are to be read.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) route: &'a Route,
    pub(crate) captures: Captures<'a>,
    /// The route's device field must name the device.
    pub(crate) from_payload: bool,
}

/// Adds the readings of `text` to `out`, and sets the device if it is to come from the payload. `measured_at` is the time
/// of objects that name none.
pub(crate) fn decode(
    text: &str,
    rules: &Rules<'_>,
    measured_at: Option<EventTime>,
    out: &mut Measurement,
) -> Result<(), DecodeError> {
    let mut context = Context::new(rules, measured_at, out);
    let mut json = serde_json::Deserializer::from_str(text);
    let result = json.deserialize_any(Top(&mut context)).and_then(|()| json.end());
    let is_timeless = context.is_timeless;
    match (context.fault.take(), result) {
        (Some(fault), _) => Err(fault),
        (None, Err(e)) => Err(DecodeError::Json(e.to_string())),
        (None, Ok(())) if is_timeless && out.readings.is_empty() => Err(DecodeError::Retained),
        (None, Ok(())) if out.device().is_empty() => Err(DecodeError::NoDevice),
        (None, Ok(())) => Ok(()),
    }
}

/// The device that `field` names in the object, or in the last one of an array; numbers name devices, too.
/// `None` if there is none or the JSON is broken.
pub(crate) fn device<'t>(text: &'t str, field: &str) -> Option<Cow<'t, str>> {
    let mut json = serde_json::Deserializer::from_str(text);
    device::Find::Under(field).deserialize(&mut json).ok()?
}

#[cfg(test)]
mod tests;
