//! JSON's numeric fields as readings, in one pass and without a tree of the payload.
//!
//! # Invariants
//! - Numbers, `true` and `false` become readings, fields of nested objects as `outer.inner`; text, null and arrays are
//!   passed over, unless a path of the route leads to them. What is skipped costs no memory, however deep or long it is.
//! - All readings of an object have its time: that of the time field, or the received time; if there is neither, as in a
//!   retained copy, the object makes none.
//! - A channel that is there twice in an object is refused: which value counts is not known.
//! - An array of objects at the top, or where the route's `each` says, is several messages of one device, each object with
//!   its own time.
//!
//! # Flow
//! ```text
//! serde_json ─▶ visitors (`object`, `array`) ─▶ Context (`collect`) ─▶ Measurement
//!                 going down the route's tree     times, device, rules
//! ```
//! [`read`] takes any serde deserializer that describes itself, for other formats of the same shape.
//!
//! # Not here
//! What a time looks like: see `time`. What a path is for: see `decode::paths`.

mod array;
mod collect;
mod device;
mod object;
mod path;

use std::borrow::Cow;

use serde::Deserializer;
use serde::de::DeserializeSeed;

use crate::decode::{DecodeError, Node, Plan};
use crate::measurement::{EventTime, Measurement};
use crate::topic::Captures;

use collect::Context;
use object::Top;

/// How a message's fields are to be read.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) plan: &'a Plan,
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
    read(rules, measured_at, out, |top| {
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_any(top).and_then(|()| json.end()).map_err(|e| DecodeError::Json(e.to_string()))
    })
}

/// As [`decode`], with a value on each line; empty lines are passed over.
pub(crate) fn decode_lines(
    text: &str,
    rules: &Rules<'_>,
    measured_at: Option<EventTime>,
    out: &mut Measurement,
) -> Result<(), DecodeError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut context = Context::new(rules, measured_at, out);
    for (i, line) in lines {
        let mut json = serde_json::Deserializer::from_str(line);
        let result = json.deserialize_any(Top(&mut context)).and_then(|()| json.end());
        context.checked(result.map_err(|e| DecodeError::Json(format!("line {} of the payload: {e}", i + 1))))?;
    }
    context.finish()
}

/// Adds the readings of a self-describing payload to `out`: `drive` gives the visitor to its deserializer. What the rules
/// refuse counts more than the error that the deserializer makes of it.
pub(crate) fn read(
    rules: &Rules<'_>,
    measured_at: Option<EventTime>,
    out: &mut Measurement,
    drive: impl FnOnce(Top<'_, '_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut context = Context::new(rules, measured_at, out);
    let result = drive(Top(&mut context));
    context.checked(result)?;
    context.finish()
}

/// The device that the plan's field names in the object, or in the last one of an array; numbers name devices, too.
/// `None` if there is none or the JSON is broken.
pub(crate) fn device<'t>(text: &'t str, plan: &Plan) -> Option<Cow<'t, str>> {
    let mut json = serde_json::Deserializer::from_str(text);
    device::Find { tree: &plan.tree, node: Node::ROOT }.deserialize(&mut json).ok()?
}

/// What [`device`] looks for, in any self-describing payload.
pub(crate) fn device_in<'de>(plan: &Plan) -> impl DeserializeSeed<'de, Value = Option<Cow<'de, str>>> {
    device::Find { tree: &plan.tree, node: Node::ROOT }
}

/// The same in the first of several lines that names one.
pub(crate) fn device_in_lines<'t>(text: &'t str, plan: &Plan) -> Option<Cow<'t, str>> {
    text.lines().find_map(|line| device(line, plan))
}

#[cfg(test)]
mod tests;
