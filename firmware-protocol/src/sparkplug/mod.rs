//! Sparkplug B 3.0: topics, payloads, births, and the request for a new birth.
//!
//! # What
//! - [`Topic`] says which message it is and of which edge node or device; [`Payload`] reads the protobuf message in place.
//! - [`Birth`] tells what the numbers of later data messages mean, [`Payload::numbers`] which of them a message needs:
//!   who receives both puts the entries beside the record, as a [table](crate::table).
//! - [`rebirth`] is the command by which an edge node is asked for its births.
//!
//! # Invariants
//! - Whatever the bytes, nothing panics, and nothing is allocated but a birth's list of entries, which is bounded.
//! - What protobuf allows is read as protobuf says: fields in any order, the last of a repeated one, unknown ones passed
//!   over.
//!
//! # Not here
//! Which values become readings: see `decode`. Sessions (who is alive, what is missing): the receiver's.
//!
//! Sections cited are those of the Eclipse Sparkplug Specification 3.0.0.

mod topic;
mod payload;
mod metric;
mod birth;
mod command;
mod protobuf;
mod fault;

pub use birth::{BIRTH_METRICS_MAX, Birth};
pub use command::{REBIRTH_MAX_BYTES, rebirth};
pub use fault::Fault;
pub(crate) use metric::is_control;
pub use metric::{DataType, Label, Metric, Value};
pub use payload::{Metrics, Payload, Seq};
pub use topic::{EdgeNode, Message, Topic};

#[cfg(test)]
mod tests;
