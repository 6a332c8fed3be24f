//! What accompanies a payload in Kafka: the topics' names, and headers that say where the value is from.
//!
//! # Invariants
//! - All header values are text, readable in any Kafka tool; the set is documented in `SPEC.md`.
//! - `(gateway, log, queue_seq)` is the identity of a message, and `(device, boot, seq)` that of a frame in it.
//!
//! # Not here
//! A Kafka client, and the message's key, which is the device.

use std::fmt;

use crate::decode::DecoderName;
use crate::derived::Derived;
use crate::digits::Digits;
use crate::measurement::{ClockTrust, EventTime, FrameIdentity, Received};
use crate::{BootId, DeviceSeq};

/// What kind of value the message has: `raw/1`, `window/1`, `anomaly/1`, `incident/1` or `gap/1`.
pub const SCHEMA: &str = "schema";
pub const GATEWAY: &str = "gateway";
/// Sequence in the gateway's raw log (schema `raw/1`) or in its derived log (the others), decimal.
pub const QUEUE_SEQ: &str = "queue_seq";
/// When the gateway received it, or made it, nanoseconds since 1970, decimal.
pub const RECEIVED_AT_NS: &str = "received_at_ns";
/// `unsynchronised` or `estimated` if the received time is no better than that (see [`ClockTrust`]); else left out.
pub const CLOCK: &str = "clock";
/// The MQTT topic or its like; left out if there is none.
pub const TOPIC: &str = "topic";
pub const DOOR: &str = "door";
/// `1` if the message is an MQTT broker's retained copy; else left out.
pub const RETAINED: &str = "retained";
/// Boot id and sequence of the firmware frame that the value is, decimal; left out for all else.
pub const FRAME_BOOT: &str = "frame_boot";
pub const FRAME_SEQ: &str = "frame_seq";
/// As the sender gave it; left out if it gave none.
pub const CONTENT_TYPE: &str = "content_type";
/// What the channel numbers in the value mean, in the text of [`crate::table`]; left out if it has none.
pub const TABLE: &str = "table";
/// Name of the decoder that the gateway would take for a raw record, `ID/VERSION`; left out where no table takes its topic.
pub const DECODER: &str = "decoder";
/// On dead letters, beside the headers that they came with: why they could not be used, in one of few words ...
pub const ERROR_REASON: &str = "error_reason";
/// ... and in full.
pub const ERROR_DETAIL: &str = "error_detail";
/// Where it was: `topic/partition/offset`.
pub const ERROR_ORIGIN: &str = "error_origin";

/// Names of the Kafka topics of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    pub raw: String,
    pub windows: String,
    pub anomalies: String,
    pub gaps: String,
    pub dead_letters: String,
}

impl Topics {
    /// `prefix.raw`, `prefix.windows` and so on.
    pub fn new(prefix: &str) -> Self {
        let name = |kind: &str| format!("{prefix}.{kind}");
        Self {
            raw: name("raw"),
            windows: name("windows"),
            anomalies: name("anomalies"),
            gaps: name("gaps"),
            dead_letters: name("dead-letters"),
        }
    }

    /// The topic for values of this schema.
    pub fn of(&self, schema: Schema) -> &str {
        match schema {
            Schema::Raw => &self.raw,
            Schema::Window => &self.windows,
            // What was found and what a person is told of it stay in order: one topic, one key.
            Schema::Anomaly | Schema::Incident => &self.anomalies,
            Schema::Gap => &self.gaps,
        }
    }
}

/// What kind of value a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// A sensor's payload, as it was received.
    Raw,
    /// The JSON of [`crate::derived`].
    Window,
    Anomaly,
    Incident,
    Gap,
}

impl Schema {
    const ALL: [Self; 5] = [Self::Raw, Self::Window, Self::Anomaly, Self::Incident, Self::Gap];

    pub fn of(derived: &Derived) -> Self {
        match derived {
            Derived::Window(_) => Self::Window,
            Derived::Anomaly(_) => Self::Anomaly,
            Derived::Incident(_) => Self::Incident,
            Derived::Gap(_) => Self::Gap,
        }
    }

    pub fn id(self) -> &'static str {
        match self {
            Self::Raw => "raw/1",
            Self::Window => "window/1",
            Self::Anomaly => "anomaly/1",
            Self::Incident => "incident/1",
            Self::Gap => "gap/1",
        }
    }
}

/// What accompanies a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub schema: Schema,
    pub gateway: &'a str,
    pub queue_seq: u64,
    pub received: Received,
    /// Empty if there is none.
    pub topic: &'a str,
    /// Through which door of the gateway it came in: mqtt, listen, http, csv, serial or detect.
    pub door: &'a str,
    pub retained: bool,
    pub identity: Option<FrameIdentity>,
    /// Empty if the sender named none.
    pub content_type: &'a str,
    /// Empty if the payload numbers no channels.
    pub table: &'a str,
    /// Which decoder reads it; `None`: whichever takes the topic.
    pub decoder: Option<DecoderName<'a>>,
}

/// Why headers are not an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeError {
    Missing(&'static str),
    Invalid { header: &'static str, value: String },
}

impl EnvelopeError {
    /// One of few words, for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "header_missing",
            Self::Invalid { .. } => "header_invalid",
        }
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(header) => write!(f, "message has no header `{header}`: was it written by a gateway?"),
            Self::Invalid { header, value } => {
                write!(f, "header `{header}` holds {value:?}, which this version cannot read")
            }
        }
    }
}

impl std::error::Error for EnvelopeError {}

impl<'a> Envelope<'a> {
    /// Gives each header to `put`, in a fixed order.
    pub fn write_headers(&self, mut put: impl FnMut(&'static str, &[u8])) {
        put(SCHEMA, self.schema.id().as_bytes());
        put(GATEWAY, self.gateway.as_bytes());
        put(QUEUE_SEQ, Digits::unsigned(self.queue_seq).as_bytes());
        put(RECEIVED_AT_NS, Digits::signed(self.received.at.0).as_bytes());
        if let Some(mark) = self.received.clock.mark() {
            put(CLOCK, mark.as_bytes());
        }
        put(DOOR, self.door.as_bytes());
        if !self.topic.is_empty() {
            put(TOPIC, self.topic.as_bytes());
        }
        if self.retained {
            put(RETAINED, b"1");
        }
        if let Some(identity) = self.identity {
            put(FRAME_BOOT, Digits::unsigned(identity.boot.0.into()).as_bytes());
            put(FRAME_SEQ, Digits::unsigned(identity.seq.0.into()).as_bytes());
        }
        if !self.content_type.is_empty() {
            put(CONTENT_TYPE, self.content_type.as_bytes());
        }
        if !self.table.is_empty() {
            put(TABLE, self.table.as_bytes());
        }
        if let Some(decoder) = self.decoder {
            put(DECODER, decoder.as_str().as_bytes());
        }
    }

    /// Unknown headers are passed over: a later version may add some.
    ///
    /// # Errors
    /// A header is missing or holds what this version cannot read, such as a later schema.
    pub fn from_headers(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, EnvelopeError> {
        let mut found = Found::default();
        for (name, value) in headers {
            match name {
                SCHEMA => found.schema = Some(schema(value)?),
                GATEWAY => found.gateway = Some(text(GATEWAY, value)?),
                QUEUE_SEQ => found.queue_seq = Some(number(QUEUE_SEQ, value)?),
                RECEIVED_AT_NS => found.received_at = Some(EventTime(number(RECEIVED_AT_NS, value)?)),
                CLOCK => found.clock = clock(value)?,
                TOPIC => found.topic = text(TOPIC, value)?,
                DOOR => found.door = Some(text(DOOR, value)?),
                RETAINED => found.retained = number::<u8>(RETAINED, value)? == 1,
                FRAME_BOOT => found.boot = Some(BootId(number(FRAME_BOOT, value)?)),
                FRAME_SEQ => found.seq = Some(DeviceSeq(number(FRAME_SEQ, value)?)),
                CONTENT_TYPE => found.content_type = text(CONTENT_TYPE, value)?,
                TABLE => found.table = text(TABLE, value)?,
                DECODER => found.decoder = Some(decoder(value)?),
                _ => {}
            }
        }
        found.envelope()
    }
}

/// Headers read so far.
#[derive(Default)]
struct Found<'a> {
    schema: Option<Schema>,
    gateway: Option<&'a str>,
    queue_seq: Option<u64>,
    received_at: Option<EventTime>,
    clock: ClockTrust,
    topic: &'a str,
    door: Option<&'a str>,
    retained: bool,
    boot: Option<BootId>,
    seq: Option<DeviceSeq>,
    content_type: &'a str,
    table: &'a str,
    decoder: Option<DecoderName<'a>>,
}

impl<'a> Found<'a> {
    fn envelope(self) -> Result<Envelope<'a>, EnvelopeError> {
        let missing = EnvelopeError::Missing;
        let identity = match (self.boot, self.seq) {
            (Some(boot), Some(seq)) => Some(FrameIdentity { boot, seq }),
            (None, None) => None,
            (None, Some(_)) => return Err(missing(FRAME_BOOT)),
            (Some(_), None) => return Err(missing(FRAME_SEQ)),
        };
        Ok(Envelope {
            schema: self.schema.ok_or(missing(SCHEMA))?,
            gateway: self.gateway.ok_or(missing(GATEWAY))?,
            queue_seq: self.queue_seq.ok_or(missing(QUEUE_SEQ))?,
            received: Received { at: self.received_at.ok_or(missing(RECEIVED_AT_NS))?, clock: self.clock },
            topic: self.topic,
            door: self.door.ok_or(missing(DOOR))?,
            retained: self.retained,
            identity,
            content_type: self.content_type,
            table: self.table,
            decoder: self.decoder,
        })
    }
}

fn schema(value: &[u8]) -> Result<Schema, EnvelopeError> {
    let known = Schema::ALL.into_iter().find(|s| s.id().as_bytes() == value);
    known.ok_or_else(|| invalid(SCHEMA, value))
}

fn clock(value: &[u8]) -> Result<ClockTrust, EnvelopeError> {
    let known = ClockTrust::ALL.into_iter().find(|c| c.mark().is_some_and(|mark| mark.as_bytes() == value));
    known.ok_or_else(|| invalid(CLOCK, value))
}

fn decoder(value: &[u8]) -> Result<DecoderName<'_>, EnvelopeError> {
    DecoderName::parse(text(DECODER, value)?).ok_or_else(|| invalid(DECODER, value))
}

fn text<'a>(header: &'static str, value: &'a [u8]) -> Result<&'a str, EnvelopeError> {
    std::str::from_utf8(value).map_err(|_| invalid(header, value))
}

fn number<N: std::str::FromStr>(header: &'static str, value: &[u8]) -> Result<N, EnvelopeError> {
    let parsed = std::str::from_utf8(value).ok().and_then(|t| t.parse().ok());
    parsed.ok_or_else(|| invalid(header, value))
}

fn invalid(header: &'static str, value: &[u8]) -> EnvelopeError {
    EnvelopeError::Invalid { header, value: String::from_utf8_lossy(value).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Envelope<'static> {
        Envelope { decoder: DecoderName::parse("sensors/{device}/1"), ..FRAME }
    }

    const FRAME: Envelope<'static> = Envelope {
        schema: Schema::Raw,
        gateway: "g1",
        queue_seq: u64::MAX,
        received: Received { at: EventTime(-1), clock: ClockTrust::Estimated },
        topic: "sensors/pump-7",
        door: "mqtt",
        retained: true,
        identity: Some(FrameIdentity { boot: BootId(3), seq: DeviceSeq(u32::MAX) }),
        content_type: "application/octet-stream",
        table: "0\tflow\tl/min\n3\tlevel\n",
        decoder: None,
    };

    fn headers(envelope: &Envelope<'_>) -> Vec<(&'static str, Vec<u8>)> {
        let mut headers = Vec::new();
        envelope.write_headers(|name, value| headers.push((name, value.to_vec())));
        headers
    }

    fn read<'a>(headers: &'a [(&'static str, Vec<u8>)]) -> Result<Envelope<'a>, EnvelopeError> {
        Envelope::from_headers(headers.iter().map(|(name, value)| (*name, value.as_slice())))
    }

    #[test]
    fn an_envelope_comes_back_from_its_headers() {
        assert_eq!(read(&headers(&frame())), Ok(frame()));
        let plain = Envelope {
            received: Received::known(EventTime(-1)),
            topic: "",
            retained: false,
            identity: None,
            content_type: "",
            table: "",
            ..FRAME
        };
        assert_eq!(headers(&plain).len(), 5, "what says nothing is left out");
        assert_eq!(read(&headers(&plain)), Ok(plain));
    }

    #[test]
    fn each_missing_header_is_named() {
        for required in [SCHEMA, GATEWAY, QUEUE_SEQ, RECEIVED_AT_NS, DOOR, FRAME_BOOT, FRAME_SEQ] {
            let mut headers = headers(&FRAME);
            headers.retain(|(name, _)| *name != required);
            assert_eq!(read(&headers), Err(EnvelopeError::Missing(required)));
        }
    }

    #[test]
    fn a_later_schema_is_refused_and_a_later_header_passed_over() {
        let mut later = headers(&FRAME);
        later.push(("colour", b"blue".to_vec()));
        assert_eq!(read(&later), Ok(FRAME));
        later[0].1 = b"raw/2".to_vec();
        let error = read(&later).unwrap_err();
        assert_eq!(error.to_string(), "header `schema` holds \"raw/2\", which this version cannot read");
        assert_eq!(error.reason(), "header_invalid");
    }

    #[test]
    fn a_decoder_without_a_version_is_refused() {
        let mut headers = headers(&frame());
        assert_eq!(headers.pop(), Some((DECODER, b"sensors/{device}/1".to_vec())));
        headers.push((DECODER, b"sensors".to_vec()));
        assert_eq!(read(&headers), Err(EnvelopeError::Invalid { header: DECODER, value: "sensors".into() }));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let mut headers = headers(&FRAME);
        headers[2].1 = b"18446744073709551616".to_vec();
        assert_eq!(
            read(&headers),
            Err(EnvelopeError::Invalid { header: QUEUE_SEQ, value: "18446744073709551616".into() })
        );
    }

    #[test]
    fn each_schema_has_its_topic() {
        let topics = Topics::new("sensors");
        let names = Schema::ALL.map(|s| (s.id(), topics.of(s)));
        assert_eq!(
            names,
            [
                ("raw/1", "sensors.raw"),
                ("window/1", "sensors.windows"),
                ("anomaly/1", "sensors.anomalies"),
                ("incident/1", "sensors.anomalies"),
                ("gap/1", "sensors.gaps")
            ]
        );
        assert_eq!(topics.dead_letters, "sensors.dead-letters");
    }
}
