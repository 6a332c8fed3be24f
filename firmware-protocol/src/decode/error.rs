//! Why a message could not be decoded.

use std::fmt;

use super::DecoderFault;
use crate::FrameError;
use crate::line::LineFault;

/// Why a message could not be decoded. Poison is data: the caller counts it by `reason` and quarantines the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    NoRoute,
    /// The record names its decoder, which cannot be had here.
    Decoder(DecoderFault),
    NoDevice,
    Frame(FrameError),
    /// What is wrong and where in the payload.
    Json(String),
    /// Line protocol.
    Line(LineFault),
    /// A payload of the format named, one of few words, and what is wrong with it where.
    Broken {
        format: &'static str,
        detail: String,
    },
    /// Channels by numbers, whose names the record does not bring: no table, or one without this number.
    NoTable {
        number: u64,
    },
    /// A channel twice where it may be there once.
    DuplicateChannel(String),
    /// Objects or arrays within each other.
    TooDeep {
        limit: usize,
    },
    NotANumber,
    NotUtf8,
    BadTime(String),
    TooLarge {
        what: &'static str,
        limit: usize,
    },
    /// Nothing numeric in it.
    NoReadings,
    /// Readings, but none of them finite.
    NotFinite,
    /// Readings, but all of them outside what the route calls possible.
    OutOfBounds,
    /// Texts, but none of the words that the route knows.
    UnknownWord,
    /// A retained copy that does not say when it was measured.
    Retained,
}

impl DecodeError {
    /// One of few words, for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::Decoder(fault) => fault.reason(),
            Self::NoDevice => "no_device",
            Self::Frame(fault) => fault.reason(),
            Self::Json(_) => "json",
            Self::Line(_) => "line",
            Self::Broken { format, .. } => format,
            Self::NoTable { .. } => "no_table",
            Self::DuplicateChannel(_) => "duplicate_channel",
            Self::TooDeep { .. } => "too_deep",
            Self::NotFinite => "not_finite",
            Self::OutOfBounds => "out_of_bounds",
            Self::UnknownWord => "unknown_word",
            Self::NotANumber => "not_a_number",
            Self::NotUtf8 => "not_utf8",
            Self::BadTime(_) => "bad_time",
            Self::TooLarge { .. } => "too_large",
            Self::NoReadings => "no_readings",
            Self::Retained => "retained",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute => f.write_str("no decode route matches the topic: add one, or one for `#`"),
            Self::NoDevice => {
                f.write_str("message names no device: the route's device_field is missing in it, or the topic is empty")
            }
            Self::Decoder(fault) => fault.fmt(f),
            Self::Frame(e) => e.fmt(f),
            Self::Json(text) => write!(f, "json: {text}"),
            Self::Line(fault) => write!(f, "line protocol: {fault}"),
            Self::Broken { format, detail } => write!(f, "{format}: {detail}"),
            Self::NoTable { number } => write!(
                f,
                "channel number {number} has no name here: the hello or birth that tells it has not come, or came too late"
            ),
            Self::DuplicateChannel(name) => write!(f, "channel `{name}` is there twice: which one counts is not known"),
            Self::TooDeep { limit } => write!(f, "objects and arrays are nested deeper than the limit of {limit}"),
            Self::NotFinite => f.write_str("no reading is a finite number"),
            Self::OutOfBounds => f.write_str("all readings are outside the bounds that the route gives their channels"),
            Self::UnknownWord => f.write_str("no text is one of the words that the route gives its channel"),
            Self::NotANumber => f.write_str("expected a frame, a json object, a number, true or false"),
            Self::NotUtf8 => f.write_str("payload is not utf-8"),
            Self::BadTime(text) => f.write_str(text),
            Self::TooLarge { what, limit } => write!(f, "{what} beyond the limit of {limit}"),
            Self::NoReadings => f.write_str("message holds no number, true or false"),
            Self::Retained => {
                f.write_str("broker's retained copy has no time of its own: when it was measured is not known")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<FrameError> for DecodeError {
    fn from(e: FrameError) -> Self {
        Self::Frame(e)
    }
}

impl From<DecoderFault> for DecodeError {
    fn from(fault: DecoderFault) -> Self {
        Self::Decoder(fault)
    }
}
