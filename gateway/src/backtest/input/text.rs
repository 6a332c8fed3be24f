//! JSON lines and line protocol: each line is a message, read by the decode routes.
//!
//! Without a configuration, objects are of the device that their field `device` names, else of the file; the time is the
//! first known name that the first object has. Lines are of the device of their tags. With one, its routes decide, and the
//! topic is `sensors/FILE/telemetry`.

use std::io;

use firmware_protocol::content_type;
use firmware_protocol::decode::{DecodeError, Decoder, Format, Incoming, Route};
use firmware_protocol::measurement::{EventTime, Measurement};
use serde_json::Value;

use super::lines::{Lines, Next, too_long};
use super::{Error, Formats, Item, Kind, received_with};

/// Names of the field with the time.
const TIME_NAMES: [&str; 6] = ["ts", "time", "timestamp", "datetime", "_time", "date"];
const DEVICE_FIELD: &str = "device";
/// Topic of objects that name their device.
const NAMED_TOPIC: &str = "named";

#[derive(Debug)]
pub(super) struct TextRows {
    kind: Kind,
    lines: Lines,
    device: String,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    Configured {
        decoder: Decoder,
        topic: String,
    },
    /// Until the first object is seen.
    Unknown,
    Own {
        decoder: Decoder,
        topic: String,
        /// Objects may name their device.
        by_field: bool,
    },
}

impl TextRows {
    /// # Errors
    /// The routes contradict each other.
    pub(super) fn new(kind: Kind, lines: Lines, device: &str, formats: &Formats) -> Result<Self, Error> {
        let reading = match &formats.configured {
            Some(decoder) => {
                Reading::Configured { decoder: decoder.clone(), topic: format!("sensors/{device}/telemetry") }
            }
            None if kind == Kind::LineProtocol => {
                let route = Route { topic: "#".to_owned(), format: Format::Line, ..Route::default() };
                let decoder = Decoder::new(vec![route]).map_err(Error::Decoder)?;
                Reading::Own { decoder, topic: device.to_owned(), by_field: false }
            }
            None => Reading::Unknown,
        };
        Ok(Self { kind, lines, device: device.to_owned(), reading })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn next(&mut self, newest_at: &mut EventTime, out: &mut Measurement) -> io::Result<Item> {
        let (line, payload) = match self.lines.next()? {
            Next::End => return Ok(Item::End),
            Next::TooLong(line) => return Ok(Item::Bad { line, reason: too_long(), seq: None }),
            Next::Line(_, b"" | [b'#', ..]) => return Ok(Item::Passed),
            Next::Line(line, payload) => (line, payload),
        };
        if matches!(self.reading, Reading::Unknown) {
            self.reading = of_objects(payload, &self.device).map_err(io::Error::other)?;
        }
        let decoded = match &self.reading {
            Reading::Configured { decoder, topic } => decode(decoder, topic, self.kind, payload, out),
            Reading::Own { decoder, topic, by_field: false } => decode(decoder, topic, self.kind, payload, out),
            Reading::Own { decoder, topic, by_field: true } => {
                match decode(decoder, NAMED_TOPIC, self.kind, payload, out) {
                    Err(DecodeError::NoDevice) => decode(decoder, topic, self.kind, payload, out),
                    decoded => decoded,
                }
            }
            Reading::Unknown => Err(DecodeError::NoRoute),
        };
        Ok(match decoded {
            Ok(()) => match out.readings.iter().map(|reading| reading.at).max() {
                Some(at) => Item::Row { at, received: received_with(newest_at, at), seq: None },
                None => Item::Passed,
            },
            Err(DecodeError::Retained) => {
                let reason = match self.kind {
                    Kind::LineProtocol => "no time at its end".to_owned(),
                    Kind::Csv | Kind::JsonLines | Kind::Export => "no field with the time".to_owned(),
                };
                Item::Bad { line, reason, seq: None }
            }
            Err(error) => Item::Bad { line, reason: error.to_string(), seq: None },
        })
    }
}

fn decode(
    decoder: &Decoder,
    topic: &str,
    kind: Kind,
    payload: &[u8],
    out: &mut Measurement,
) -> Result<(), DecodeError> {
    let content_type = match kind {
        Kind::LineProtocol => content_type::LINE_PROTOCOL,
        Kind::Csv | Kind::JsonLines | Kind::Export => "",
    };
    // Nobody knows when it was received: without a time of its own it tells nothing.
    let message = Incoming { topic, payload, content_type, received_at: EventTime(0), is_replay: true, table: "" };
    decoder.decode(message, out).map(drop)
}

/// What the first object says about all.
fn of_objects(first: &[u8], device: &str) -> Result<Reading, String> {
    let object = match serde_json::from_slice(first) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    let time = TIME_NAMES.into_iter().find(|name| object.contains_key(*name)).unwrap_or(TIME_NAMES[0]);
    let route = |topic: &str, device_field: Option<&str>| Route {
        topic: topic.to_owned(),
        device_field: device_field.map(str::to_owned),
        time_field: Some(time.to_owned()),
        ..Route::default()
    };
    let routes = vec![route(NAMED_TOPIC, Some(DEVICE_FIELD)), route("file/{device}", None)];
    let by_field = object.contains_key(DEVICE_FIELD);
    Ok(Reading::Own { decoder: Decoder::new(routes)?, topic: format!("file/{device}"), by_field })
}
