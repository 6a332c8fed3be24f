//! MQTT packets as the doors need them, in both versions, from and to bytes.
//!
//! # Invariants
//! - No bytes of a peer can panic: every length is checked before it is used.
//! - A packet is looked at only when all of it is there; an error inside it is final, never "wait for more".
//! - Topic and payload are slices of the read buffer; nothing is copied.
//!
//! # Flow
//! Framing and the packets that come by the million (PUBLISH, PUBACK, PINGREQ) are done here, as is DISCONNECT, whose
//! short v5 forms rumqttc cannot read. The rest goes through rumqttc's codec, one whole frame at a time.
//!
//! # Not here
//! What a packet means for the connection: `session`.

mod codec;
mod cursor;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod publish;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

use super::MqttVersion;
use cursor::Cursor;

pub(super) use codec::{conn_ack_accepted, conn_ack_refused, connect, sub_ack_refused, subscribe, unsub_ack};
pub(super) use publish::Publish;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("packet of {bytes} bytes, limit is {max}; raise `packet_max_bytes` if such messages are wanted")]
    TooLarge { bytes: usize, max: usize },
    #[error("malformed {0}")]
    Malformed(&'static str),
    #[error("protocol level {0} is not supported, only MQTT 3.1.1 and 5")]
    Protocol(u8),
    #[error("malformed {packet}: {reason}")]
    Codec { packet: &'static str, reason: String },
}

/// One whole packet at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) first: u8,
    pub(super) header_bytes: usize,
    /// All of it, header included.
    pub(super) bytes: usize,
}

impl Frame {
    /// Looks at the start of `bytes`; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The length is malformed or over `packet_max_bytes`: what follows cannot be found any more.
    pub(super) fn peek(bytes: &[u8], packet_max_bytes: usize) -> Result<Option<Self>, Error> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let mut length = 0usize;
        for (i, &byte) in rest.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                let header_bytes = 2 + i;
                let all = header_bytes + length;
                if all > packet_max_bytes {
                    return Err(Error::TooLarge { bytes: all, max: packet_max_bytes });
                }
                return Ok((bytes.len() >= all).then_some(Self { first, header_bytes, bytes: all }));
            }
        }
        if rest.len() >= 4 { Err(Error::Malformed("remaining length")) } else { Ok(None) }
    }

    pub(super) fn is_publish(self) -> bool {
        self.first >> 4 == 3
    }
}

/// What a peer can say to a door, except PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connect(Connect),
    ConnAck(ConnAck),
    /// A code per filter, as in MQTT: below 0x80 the granted QoS.
    SubAck(Vec<u8>),
    Subscribe {
        packet_id: u16,
        filters: usize,
    },
    Unsubscribe {
        packet_id: u16,
        filters: usize,
    },
    PingReq,
    PingResp,
    Disconnect {
        reason: u8,
    },
    /// Known to MQTT, never due at a door; its name.
    Foreign(&'static str),
}

impl Packet {
    /// For messages about a packet that is not due.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Connect(_) => "CONNECT",
            Self::ConnAck(_) => "CONNACK",
            Self::SubAck(_) => "SUBACK",
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Unsubscribe { .. } => "UNSUBSCRIBE",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect { .. } => "DISCONNECT",
            Self::Foreign(name) => name,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) version: MqttVersion,
    pub(super) client_id: String,
    pub(super) clean: bool,
    /// Seconds; 0: none.
    pub(super) keep_alive: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnAck {
    pub(super) session_present: bool,
    /// `None`: accepted. Otherwise why not.
    pub(super) refused: Option<String>,
    /// v5: the broker wants this instead, seconds.
    pub(super) server_keep_alive: Option<u16>,
}

/// What a packet with this first byte is called.
pub(super) fn name(first: u8) -> &'static str {
    const NAMES: [&str; 16] = [
        "packet of type 0",
        "CONNECT",
        "CONNACK",
        "PUBLISH",
        "PUBACK",
        "PUBREC",
        "PUBREL",
        "PUBCOMP",
        "SUBSCRIBE",
        "SUBACK",
        "UNSUBSCRIBE",
        "UNSUBACK",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
        "AUTH",
    ];
    NAMES[usize::from(first >> 4)]
}

/// Reads the PUBLISH that fills `frame` of `chunk` from `start` on.
///
/// # Errors
/// It is malformed.
pub(super) fn decode_publish(
    version: MqttVersion,
    chunk: &Bytes,
    start: usize,
    frame: Frame,
) -> Result<Publish, Error> {
    publish::decode(version, chunk, start, frame)
}

/// Reads any packet but PUBLISH; `packet` is exactly one frame. The version of a CONNECT is found in it.
///
/// # Errors
/// It is malformed, or a CONNECT of a version that is not spoken here.
pub(super) fn decode(version: MqttVersion, packet: &[u8], frame: Frame) -> Result<Packet, Error> {
    let body = &packet[frame.header_bytes..];
    match frame.first >> 4 {
        1 => codec::read(protocol(body)?, packet, "CONNECT"),
        2 => conn_ack(version, packet, body),
        4..=7 | 11 | 15 => Ok(Packet::Foreign(name(frame.first))),
        8 => codec::read(version, packet, "SUBSCRIBE"),
        9 => codec::read(version, packet, "SUBACK"),
        10 => codec::read(version, packet, "UNSUBSCRIBE"),
        12 => Ok(Packet::PingReq),
        13 => Ok(Packet::PingResp),
        14 => Ok(Packet::Disconnect { reason: body.first().copied().unwrap_or(0) }),
        _ => Err(Error::Malformed("packet type")),
    }
}

/// A broker that does not speak v5 answers a v5 CONNECT in the form of 3.1.1: two bytes.
fn conn_ack(version: MqttVersion, packet: &[u8], body: &[u8]) -> Result<Packet, Error> {
    match (version, body) {
        (MqttVersion::V5, [_, 1]) => Err(Error::Codec {
            packet: "CONNACK",
            reason: "the broker does not speak MQTT 5; set `version` to \"3.1.1\"".to_owned(),
        }),
        (MqttVersion::V5 | MqttVersion::V311, _) => codec::read(version, packet, "CONNACK"),
    }
}

fn protocol(connect_body: &[u8]) -> Result<MqttVersion, Error> {
    let mut cursor = Cursor::new(connect_body, "CONNECT");
    let name = cursor.bytes_16()?;
    let level = cursor.u8()?;
    match (&connect_body[name], level) {
        (b"MQTT", 4) => Ok(MqttVersion::V311),
        (b"MQTT", 5) => Ok(MqttVersion::V5),
        (b"MQTT" | b"MQIsdp", level) => Err(Error::Protocol(level)),
        (_, _) => Err(Error::Malformed("CONNECT: not MQTT")),
    }
}

/// PUBACKs with reason "success", the same bytes in both versions.
pub(super) fn pub_acks(packet_ids: &[u16], out: &mut BytesMut) {
    out.reserve(4 * packet_ids.len());
    for id in packet_ids {
        let [high, low] = id.to_be_bytes();
        out.put_slice(&[0x40, 2, high, low]);
    }
}

pub(super) fn ping_req(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

pub(super) fn ping_resp(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0]);
}

/// DISCONNECT; 3.1.1 has no reason in it.
pub(super) fn disconnect(version: MqttVersion, reason: u8, out: &mut BytesMut) {
    match version {
        MqttVersion::V311 => out.put_slice(&[0xe0, 0]),
        MqttVersion::V5 => out.put_slice(&[0xe0, 1, reason]),
    }
}
