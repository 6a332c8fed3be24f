//! From a body to records: one for each object, line or frame, each checked by its looks.
//!
//! # Invariants
//! - A payload is a slice of the body, byte for byte; only frames, which travel encoded, are copied.
//! - Lazy: what a body of many small records costs in memory is up to whoever takes them.
//! - Checked is what needs no configuration: syntax, and a frame's CRC. What the records mean, routes decide later, and
//!   may be changed.

mod frames;
mod json;
mod text;

use bytes::Bytes;
use firmware_protocol::line::Precision;
use serde::Serialize;

use crate::queue::Record;

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One object, or an array of objects.
    Json,
    /// An object a line.
    NdJson,
    /// A line protocol, or a bare number, `true` or `false`.
    Text(Precision),
    Lines(Precision),
    /// One frame, or several, each encoded by COBS and ended by a zero byte.
    Frames,
    /// One record of this content type.
    Whole(&'static str),
}

/// The records of one body, one after the other.
pub(super) enum Items {
    Json(json::Document),
    Text(text::Lines),
    Frames(frames::Frames),
    Whole(std::option::IntoIter<Result<Item, Fault>>),
}

/// What becomes a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) payload: Bytes,
    pub(super) content_type: &'static str,
}

/// Why a part of a body becomes no record, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    /// Where the part begins, counted from 1; none in binary bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    /// Which object of an array or which frame, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<usize>,
    pub(super) reason: String,
    /// One of few words, for a metric's label.
    #[serde(skip)]
    pub(super) label: &'static str,
}

impl Format {
    pub(super) fn split(self, body: Bytes) -> Items {
        match self {
            Self::Json => Items::Json(json::Document::new(body)),
            Self::NdJson => Items::Text(text::Lines::new(body, text::Kind::Json)),
            Self::Text(precision) => Items::Text(text::Lines::new(body, text::Kind::Plain(precision))),
            Self::Lines(precision) => Items::Text(text::Lines::new(body, text::Kind::Line(precision))),
            Self::Frames => Items::Frames(frames::Frames::new(body)),
            Self::Whole(content_type) => Items::Whole(whole(body, content_type).into_iter()),
        }
    }
}

impl Iterator for Items {
    type Item = Result<Item, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Json(document) => document.next(),
            Self::Text(lines) => lines.next(),
            Self::Frames(frames) => frames.next(),
            Self::Whole(record) => record.next(),
        }
    }
}

fn whole(payload: Bytes, content_type: &'static str) -> Option<Result<Item, Fault>> {
    if payload.is_empty() {
        return None;
    }
    let item = check_length(&payload).map(|()| Item { payload, content_type });
    Some(item.map_err(|wrong| wrong.at(None, None)))
}

/// What is wrong with a payload by its looks.
struct Wrong {
    label: &'static str,
    reason: String,
}

impl Wrong {
    fn new(label: &'static str, reason: impl ToString) -> Self {
        Self { label, reason: reason.to_string() }
    }

    fn at(self, line: Option<usize>, item: Option<usize>) -> Fault {
        Fault { line, item, reason: self.reason, label: self.label }
    }
}

fn check_length(payload: &[u8]) -> Result<(), Wrong> {
    let (bytes, limit) = (payload.len(), Record::PAYLOAD_MAX);
    if bytes <= limit {
        return Ok(());
    }
    Err(Wrong::new("too_large", format!("{bytes} bytes are longer than a record may be: {limit}")))
}

fn utf8(payload: &[u8]) -> Result<&str, Wrong> {
    std::str::from_utf8(payload)
        .map_err(|e| Wrong::new("not_utf8", format!("not UTF-8 at byte {}", e.valid_up_to() + 1)))
}

/// Passes over white space around a part of the body.
fn trimmed(body: &Bytes, part: &[u8]) -> Bytes {
    body.slice_ref(part.trim_ascii())
}

fn breaks(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests;
