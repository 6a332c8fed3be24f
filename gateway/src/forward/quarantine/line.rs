//! One quarantined record as a line of JSON: all that is needed to look at it, and to encode it once more.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use firmware_protocol::decode::DecoderName;
use firmware_protocol::measurement::{ClockTrust, EventTime, Received};
use serde::{Deserialize, Serialize};

use crate::clock::{ClockBoot, Stamp};
use crate::forward::Undeliverable;
use crate::queue::{Door, Flags, Log, QueueSeq, Record};

const SCHEMA: &str = "quarantine/1";

/// Keys that a later release adds are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    schema: String,
    log: String,
    pub seq: u64,
    /// One of few words, and the same in full.
    pub reason: String,
    pub detail: String,
    door: String,
    /// As far as it is text.
    pub topic: String,
    /// Where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic_base64: Option<String>,
    pub content_type: String,
    /// What the channel numbers of the payload mean.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub table: String,
    /// `ID/VERSION` of the decoder that would have read it; of raw records alone, where a table takes the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<String>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retained: bool,
    #[serde(default)]
    redelivered: bool,
    received_boot: u64,
    received_since_boot_ns: u64,
    /// When that was, as far as it was known then; nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received_at_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<String>,
    payload_base64: String,
}

/// A record that a line holds, ready to be encoded once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub log: Log,
    pub seq: QueueSeq,
    pub record: Record,
    /// When it was received, as it was known when it was set aside.
    pub received: Received,
}

/// Why a line holds no record that could be encoded once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("is no line of quarantine/1")]
    Format,
    #[error("does not tell when it was received: it is of an earlier release")]
    NoReceivedTime,
}

impl Line {
    pub(super) fn new(
        (log, seq, record): (Log, QueueSeq, &Record),
        received: Received,
        decoder: Option<DecoderName<'_>>,
        why: &Undeliverable,
    ) -> Self {
        let Stamp { boot, since_boot_ns } = record.received;
        let Flags { qos, retained, redelivered } = record.flags;
        let is_text = std::str::from_utf8(&record.topic).is_ok();
        Self {
            schema: SCHEMA.to_owned(),
            log: log.name().to_owned(),
            seq: seq.0,
            reason: why.reason.to_owned(),
            detail: why.detail.clone(),
            door: record.door.name().to_owned(),
            topic: String::from_utf8_lossy(&record.topic).into_owned(),
            topic_base64: (!is_text).then(|| BASE64_STANDARD.encode(&record.topic)),
            content_type: String::from_utf8_lossy(&record.content_type).into_owned(),
            table: record.table().to_owned(),
            decoder: decoder.map(|name| name.as_str().to_owned()),
            qos,
            retained,
            redelivered,
            received_boot: boot.0,
            received_since_boot_ns: since_boot_ns,
            received_at_ns: Some(received.at.0),
            clock: received.clock.mark().map(str::to_owned),
            payload_base64: BASE64_STANDARD.encode(&record.payload),
        }
    }

    /// # Errors
    /// It is no line of a version that is known here.
    pub fn parse(text: &[u8]) -> Result<Self, LineFault> {
        serde_json::from_slice(text).ok().filter(|line: &Self| line.schema == SCHEMA).ok_or(LineFault::Format)
    }

    /// With a newline.
    pub(in crate::forward) fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, self).expect("plain data has a JSON form, and memory takes it");
        out.push(b'\n');
    }

    /// `raw/41`: what tells a record from all others of the gateway.
    pub fn place(&self) -> String {
        format!("{}/{}", self.log, self.seq)
    }

    /// When it was received, if the line tells.
    pub fn received_at(&self) -> Option<EventTime> {
        self.received_at_ns.map(EventTime)
    }

    /// # Errors
    /// It is not base64.
    pub fn payload(&self) -> Result<Vec<u8>, LineFault> {
        BASE64_STANDARD.decode(&self.payload_base64).map_err(|_| LineFault::Format)
    }

    /// # Errors
    /// It cannot be restored bit by bit, or its time of receipt is not known.
    pub fn kept(&self) -> Result<Kept, LineFault> {
        let log = Log::ALL.into_iter().find(|log| log.name() == self.log).ok_or(LineFault::Format)?;
        let door = Door::ALL.into_iter().find(|door| door.name() == self.door).ok_or(LineFault::Format)?;
        let trusts = |trust: &ClockTrust| trust.mark() == self.clock.as_deref();
        let clock = ClockTrust::ALL.into_iter().find(trusts).ok_or(LineFault::Format)?;
        let topic = match &self.topic_base64 {
            Some(bytes) => BASE64_STANDARD.decode(bytes).map_err(|_| LineFault::Format)?,
            None => self.topic.as_bytes().to_vec(),
        };
        let at = EventTime(self.received_at_ns.ok_or(LineFault::NoReceivedTime)?);
        let record = Record {
            door,
            flags: Flags { qos: self.qos, retained: self.retained, redelivered: self.redelivered },
            received: Stamp { boot: ClockBoot(self.received_boot), since_boot_ns: self.received_since_boot_ns },
            topic: topic.into(),
            payload: self.payload()?.into(),
            content_type: Bytes::copy_from_slice(self.content_type.as_bytes()),
            table: Bytes::copy_from_slice(self.table.as_bytes()),
        };
        Ok(Kept { log, seq: QueueSeq(self.seq), record, received: Received { at, clock } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::testing::{record, retained};

    fn line(record: &Record, received: Received) -> Line {
        let why = Undeliverable { reason: "json", detail: "expected value".into() };
        Line::new((Log::Raw, QueueSeq(41), record), received, DecoderName::parse("zigbee/2"), &why)
    }

    fn again(line: &Line) -> Line {
        let mut text = Vec::new();
        line.write(&mut text);
        Line::parse(&text).unwrap()
    }

    #[test]
    fn a_record_comes_back_bit_by_bit_with_the_time_of_its_receipt() {
        let odd = Record { topic: Bytes::from_static(b"\xffa"), ..retained(record("", b"\xff\x00{")) };
        let numbered = Record { table: Bytes::from_static(b"0\tflow\tl/min\n"), ..record("a", b"1") };
        for record in [record("sensors/press-07", b"1"), odd, numbered] {
            for clock in ClockTrust::ALL {
                let received = Received { at: EventTime(i64::MAX), clock };
                let kept = again(&line(&record, received)).kept().unwrap();
                assert_eq!(kept, Kept { log: Log::Raw, seq: QueueSeq(41), record: record.clone(), received });
            }
        }
    }

    #[test]
    fn what_a_later_release_adds_is_passed_over_and_what_it_changes_is_not_guessed_at() {
        let line = line(&record("sensors/press-07", b"1"), Received::default());
        let mut value = serde_json::to_value(&line).unwrap();
        value["colour"] = "blue".into();
        assert_eq!(Line::parse(value.to_string().as_bytes()), Ok(line));
        value["schema"] = "quarantine/2".into();
        assert_eq!(Line::parse(value.to_string().as_bytes()), Err(LineFault::Format));
    }

    #[test]
    fn a_line_of_an_earlier_release_can_be_read_but_does_not_tell_when_it_was_received() {
        let text = br#"{"schema":"quarantine/1","log":"raw","seq":41,"reason":"json","detail":"x","door":"mqtt",
            "topic":"a","content_type":"","received_boot":1,"received_since_boot_ns":2,"payload_base64":"/w=="}"#;
        let line = Line::parse(text).unwrap();
        assert_eq!(line.payload().unwrap(), b"\xff");
        assert_eq!(line.kept(), Err(LineFault::NoReceivedTime));
    }
}
