//! Bodies of lines: NDJSON, line protocol, or a bare value alone.

use bytes::Bytes;
use firmware_protocol::content_type::{self, line_protocol};
use firmware_protocol::decode::is_scalar;
use firmware_protocol::line::{Line, Precision, next_line};
use serde::de::IgnoredAny;

use super::{Fault, Item, Wrong, breaks, check_length, trimmed, utf8};

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Json,
    /// Line protocol, or a bare value: no text is both.
    Plain(Precision),
    Line(Precision),
}

/// Blank lines are passed over, and so are comments of line protocol.
pub(in crate::ingest::http) struct Lines {
    body: Bytes,
    kind: Kind,
    at: usize,
    /// Lines before `at`.
    line: usize,
}

impl Lines {
    pub(super) fn new(body: Bytes, kind: Kind) -> Self {
        Self { body, kind, at: 0, line: 0 }
    }

    fn take_line(&mut self) -> Option<(usize, Bytes)> {
        let rest = &self.body[self.at..];
        let line = match self.kind {
            Kind::Json => rest.split_inclusive(|b| *b == b'\n').next()?,
            Kind::Plain(_) | Kind::Line(_) => next_line(rest)?.0,
        };
        let number = self.line + 1;
        self.at += line.len();
        self.line += breaks(line);
        Some((number, trimmed(&self.body, line)))
    }

    fn is_passed_over(&self, line: &[u8]) -> bool {
        match (self.kind, line.first()) {
            (_, None) => true,
            (Kind::Json, Some(_)) => false,
            (Kind::Plain(_) | Kind::Line(_), Some(first)) => *first == b'#',
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Item, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == 0 && matches!(self.kind, Kind::Plain(_)) && is_scalar(&self.body) {
            self.at = self.body.len();
            let payload = trimmed(&self.body, &self.body);
            return Some(Ok(Item { payload, content_type: "text/plain" }));
        }
        loop {
            let (number, payload) = self.take_line()?;
            if self.is_passed_over(&payload) {
                continue;
            }
            let (checked, content_type) = match self.kind {
                Kind::Json => (check_object(&payload), content_type::JSON),
                Kind::Plain(precision) | Kind::Line(precision) => {
                    (check_line(&payload, precision), line_protocol(precision))
                }
            };
            let item = checked.map(|()| Item { payload, content_type });
            return Some(item.map_err(|wrong| wrong.at(Some(number), None)));
        }
    }
}

fn check_object(payload: &[u8]) -> Result<(), Wrong> {
    check_length(payload)?;
    if payload.first() != Some(&b'{') {
        return Err(Wrong::new("json", "json: expected an object"));
    }
    // Its own place in the text says line 1, for it sees no other.
    let wrong = |e: serde_json::Error| Wrong::new("json", format!("json: {e}").replace("line 1 column", "column"));
    serde_json::from_str::<IgnoredAny>(utf8(payload)?).map(drop).map_err(wrong)
}

fn check_line(payload: &[u8], precision: Precision) -> Result<(), Wrong> {
    check_length(payload)?;
    let line = Line::parse(utf8(payload)?).map_err(|fault| Wrong::new("line", fault))?;
    line.at(precision).map(drop).map_err(|fault| Wrong::new("bad_time", fault))
}
