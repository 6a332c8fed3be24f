//! One JSON document: an object, or an array of objects.
//!
//! A document is whole or broken: with a fault in its syntax nothing of it is taken, for what it was to say is not known,
//! and a sender that sends it again mended stores nothing twice.

use bytes::Bytes;
use firmware_protocol::content_type::JSON;
use serde::de::IgnoredAny;

use super::{Fault, Item, Wrong, breaks, check_length, trimmed, utf8};

pub(in crate::ingest::http) struct Document {
    body: Bytes,
    at: usize,
    /// Line breaks before `at`.
    breaks: usize,
    state: State,
}

/// How far the document was read.
enum State {
    /// Not looked at.
    New,
    /// Within a valid array, after so many of its values.
    Array {
        values: usize,
    },
    Done,
}

impl Document {
    pub(super) fn new(body: Bytes) -> Self {
        Self { body, at: 0, breaks: 0, state: State::New }
    }

    fn begin(&mut self) -> Option<Result<Item, Fault>> {
        self.state = State::Done;
        let whole = trimmed(&self.body, &self.body);
        let first = *whole.first()?;
        if let Err(fault) = check(&self.body) {
            return Some(Err(fault));
        }
        match first {
            b'[' => {
                self.skip_to(|b| b == b'[');
                self.at += 1;
                self.state = State::Array { values: 0 };
                self.next_value(0)
            }
            b'{' => Some(self.item(whole, None)),
            _ => {
                let wrong = Wrong::new("json", "json: expected an object, or an array of objects");
                Some(Err(wrong.at(Some(1), None)))
            }
        }
    }

    /// The value after `values` others.
    fn next_value(&mut self, values: usize) -> Option<Result<Item, Fault>> {
        self.skip_to(|b| !b.is_ascii_whitespace() && b != b',');
        let rest = &self.body[self.at..];
        if rest.first().is_none_or(|b| *b == b']') {
            self.state = State::Done;
            return None;
        }
        self.state = State::Array { values: values + 1 };
        let length = value_length(rest);
        let value = self.body.slice(self.at..self.at + length);
        let item = self.item(value, Some(values + 1));
        self.pass(length);
        Some(item)
    }

    fn item(&self, payload: Bytes, item: Option<usize>) -> Result<Item, Fault> {
        let checked = check_length(&payload).and_then(|()| {
            if payload.first() == Some(&b'{') { Ok(()) } else { Err(Wrong::new("json", "json: expected an object")) }
        });
        match checked {
            Ok(()) => Ok(Item { payload, content_type: JSON }),
            Err(wrong) => Err(wrong.at(Some(self.breaks + 1), item)),
        }
    }

    fn skip_to(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = &self.body[self.at..];
        self.pass(rest.iter().position(|b| wanted(*b)).unwrap_or(rest.len()));
    }

    fn pass(&mut self, length: usize) {
        let end = self.at + length;
        self.breaks += breaks(&self.body[self.at..end]);
        self.at = end;
    }
}

impl Iterator for Document {
    type Item = Result<Item, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.state {
            State::New => self.begin(),
            State::Array { values } => self.next_value(values),
            State::Done => None,
        }
    }
}

fn check(body: &[u8]) -> Result<(), Fault> {
    let text = utf8(body).map_err(|wrong| wrong.at(None, None))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|e| Wrong::new("json", format!("json: {e}")).at(Some(e.line()), None))
}

/// Length of the value that `text` begins with, within a document that was found valid.
fn value_length(text: &[u8]) -> usize {
    let (mut depth, mut in_text, mut at) = (0_usize, false, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}
