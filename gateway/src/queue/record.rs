//! The record: what a sensor sent, exactly as it was received, and how it came in.

use bytes::Bytes;

use crate::clock::Stamp;

/// A record's place in its log: counts from 0, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueSeq(pub u64);

impl QueueSeq {
    #[must_use]
    pub fn plus(self, records: u64) -> Self {
        Self(self.0 + records)
    }

    /// Records from `self` up to `end`; 0 if `end` lies before.
    pub fn count_to(self, end: Self) -> u64 {
        end.0.saturating_sub(self.0)
    }
}

/// The two logs of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// What sensors sent, untouched.
    Raw,
    /// Windows, anomalies and gaps: small, always first out. Payload: JSON of `firmware_protocol::derived`.
    Derived,
}

impl Log {
    pub const ALL: [Self; 2] = [Self::Raw, Self::Derived];

    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Derived => "derived",
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|log| *log as u8 == byte)
    }
}

/// Through which door a record came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Door {
    Mqtt = 0,
    Listen = 1,
    Http = 2,
    Csv = 3,
    Serial = 4,
    /// Made by the gateway itself: the derived log.
    Detect = 5,
}

impl Door {
    pub const ALL: [Self; 6] = [Self::Mqtt, Self::Listen, Self::Http, Self::Csv, Self::Serial, Self::Detect];

    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Listen => "listen",
            Self::Http => "http",
            Self::Csv => "csv",
            Self::Serial => "serial",
            Self::Detect => "detect",
        }
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|d| *d as u8 == byte)
    }
}

/// MQTT's word about a message; all false and QoS 0 for other doors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// 0, 1 or 2.
    pub qos: u8,
    /// From a broker: a retained replay, which is not a fresh reading. From a sensor: its wish that brokers keep it.
    pub retained: bool,
    /// MQTT's DUP flag.
    pub redelivered: bool,
}

impl Flags {
    pub fn to_byte(self) -> u8 {
        (self.qos & 3) | u8::from(self.retained) << 2 | u8::from(self.redelivered) << 3
    }

    pub fn from_byte(byte: u8) -> Self {
        Self { qos: byte & 3, retained: byte & 4 != 0, redelivered: byte & 8 != 0 }
    }
}

/// A record on its way into the queue. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub door: Door,
    pub flags: Flags,
    pub received: Stamp,
    pub topic: Bytes,
    pub payload: Bytes,
    /// Empty if the sender named none.
    pub content_type: Bytes,
    /// What the channel numbers of the payload mean, as `firmware_protocol::table` writes it; empty if it has none, or if
    /// nobody has told. Doors leave it empty: the queue's [`Admission`](super::Admission) fills it in.
    pub table: Bytes,
}

impl Record {
    /// Largest payload the queue takes, bytes; doors refuse larger ones with a reason before they get here.
    pub const PAYLOAD_MAX: usize = 1 << 20;
    /// Largest topic, bytes (MQTT's own limit).
    pub const TOPIC_MAX: usize = 65_535;
    /// Largest table, bytes: some thousand numbers, more than any payload known to carry them.
    pub const TABLE_MAX: usize = 65_535;

    /// As text; one that is none says nothing.
    pub fn content_type(&self) -> &str {
        std::str::from_utf8(&self.content_type).unwrap_or_default()
    }

    /// As text; one that is none tells nothing.
    pub fn table(&self) -> &str {
        std::str::from_utf8(&self.table).unwrap_or_default()
    }

    /// Whether it is a copy that a broker had kept, so that its receipt says nothing about when it was measured.
    pub fn is_replay(&self) -> bool {
        self.flags.retained && self.door == Door::Mqtt
    }
}
