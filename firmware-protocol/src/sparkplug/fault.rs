//! What can be wrong with a Sparkplug message.

use std::fmt;

use super::BIRTH_METRICS_MAX;
use crate::decode::DecodeError;

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The topic is not of the namespace.
    Topic,
    /// The bytes end inside a field.
    Truncated,
    /// A number of more than 64 bits.
    Varint,
    /// A field number that protobuf does not know.
    FieldNumber,
    /// A field of another type than the message has at this number, or of one that is not in use.
    WireType {
        field: u32,
        wire_type: u8,
    },
    NotUtf8 {
        what: &'static str,
    },
    /// In a metric's name.
    ControlCharacters,
    /// Neither name nor alias.
    NoName,
    /// Not within 0 to 255.
    Seq(u64),
    /// An integer that its data type does not hold.
    OutOfType {
        value: u64,
        kind: u32,
    },
    /// A birth that tells of one metric twice, by its name or its alias.
    Duplicate(String),
    /// A birth of more metrics than [`BIRTH_METRICS_MAX`].
    TooManyMetrics,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic => f.write_str("topic is not one of spBv1.0/GROUP/TYPE/NODE[/DEVICE] or spBv1.0/STATE/HOST"),
            Self::Truncated => f.write_str("payload ends inside a field"),
            Self::Varint => f.write_str("a number has more than 64 bits"),
            Self::FieldNumber => f.write_str("a field has a number that protobuf does not allow"),
            Self::WireType { field, wire_type } => write!(f, "field {field} has the wire type {wire_type}"),
            Self::NotUtf8 { what } => write!(f, "{what} is not utf-8"),
            Self::ControlCharacters => f.write_str("a metric's name has control characters"),
            Self::NoName => f.write_str("a metric has neither name nor alias"),
            Self::Seq(seq) => write!(f, "seq is {seq}, and its limit 255"),
            Self::OutOfType { value, kind } => write!(f, "integer {value} does not fit its data type {kind}"),
            Self::Duplicate(name) => write!(f, "birth tells of metric `{name}` twice, by name or by alias"),
            Self::TooManyMetrics => write!(f, "birth has more metrics than the limit of {BIRTH_METRICS_MAX}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Duplicate(name) => Self::DuplicateChannel(name),
            Fault::TooManyMetrics => Self::TooLarge { what: "number of metrics in a birth", limit: BIRTH_METRICS_MAX },
            Fault::Topic
            | Fault::Truncated
            | Fault::Varint
            | Fault::FieldNumber
            | Fault::WireType { .. }
            | Fault::NotUtf8 { .. }
            | Fault::ControlCharacters
            | Fault::NoName
            | Fault::Seq(_)
            | Fault::OutOfType { .. } => Self::Broken { format: "sparkplug", detail: fault.to_string() },
        }
    }
}
