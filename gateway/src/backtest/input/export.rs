//! What `gateway queue export` wrote: the raw log's records as they were received, decoded as live.

use std::borrow::Cow;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firmware_protocol::decode::{Decoder, Incoming, TimeUnit};
use firmware_protocol::measurement::{ClockTrust, EventTime, Measurement, Received};
use firmware_protocol::time;
use serde::Deserialize;

use super::lines::{Lines, Next, too_long};
use super::{Formats, Item};
use crate::queue::{Door, Log, QueueSeq};

/// A line; what is not needed here is passed over.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    door: Cow<'a, str>,
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content_type: Cow<'a, str>,
    #[serde(borrow, default)]
    table: Cow<'a, str>,
    #[serde(default)]
    retained: bool,
    #[serde(borrow, default)]
    received_at: Option<Cow<'a, str>>,
}

#[derive(Debug)]
pub(super) struct ExportRows {
    lines: Lines,
    decoder: Decoder,
    /// Of the last record whose time is known.
    received_at: EventTime,
    payload: Vec<u8>,
}

impl ExportRows {
    pub(super) fn new(lines: Lines, formats: &Formats) -> Self {
        let decoder = formats.configured.as_ref().unwrap_or(&formats.defaults).clone();
        Self { lines, decoder, received_at: EventTime(0), payload: Vec::new() }
    }

    pub(super) fn next(&mut self, out: &mut Measurement) -> io::Result<Item> {
        let (line, bytes) = match self.lines.next()? {
            Next::End => return Ok(Item::End),
            Next::TooLong(line) => return Ok(Item::Bad { line, reason: too_long(), seq: None }),
            Next::Line(_, b"") => return Ok(Item::Passed),
            Next::Line(line, bytes) => (line, bytes),
        };
        let record: Line<'_> = match serde_json::from_slice(bytes) {
            Ok(record) => record,
            Err(error) => return Ok(Item::Bad { line, reason: format!("no record: {error}"), seq: None }),
        };
        if record.log != Log::Raw.name() {
            return Ok(Item::Passed);
        }
        let seq = Some(QueueSeq(record.seq));
        let bad = |reason: String| Ok(Item::Bad { line, reason, seq });
        let received = match &record.received_at {
            Some(text) => match time::from_text(text, TimeUnit::Rfc3339) {
                Ok(at) => Received::known(at),
                Err(why) => return bad(format!("`received_at` is no time: {why}")),
            },
            // The gateway's clock was never set: no earlier than what came before.
            None => Received { at: self.received_at, clock: ClockTrust::Unsynchronised },
        };
        self.received_at = received.at;
        let payload = match (&record.payload, &record.payload_base64) {
            (Some(text), _) => text.as_bytes(),
            (None, Some(text)) => {
                self.payload.clear();
                if let Err(error) = STANDARD.decode_vec(text.as_bytes(), &mut self.payload) {
                    return bad(format!("`payload_base64` is not base64: {error}"));
                }
                &self.payload
            }
            (None, None) => return bad("neither `payload` nor `payload_base64`".to_owned()),
        };
        let Some(topic) = &record.topic else { return bad("topic is not utf-8".to_owned()) };
        let message = Incoming {
            topic,
            payload,
            content_type: &record.content_type,
            received_at: received.at,
            is_replay: record.retained && record.door == Door::Mqtt.name(),
            table: &record.table,
        };
        match self.decoder.decode(message, out) {
            Ok(_) => {
                let at = out.readings.iter().map(|reading| reading.at).max().unwrap_or(received.at);
                Ok(Item::Row { at, received, seq })
            }
            Err(error) => bad(error.to_string()),
        }
    }
}
