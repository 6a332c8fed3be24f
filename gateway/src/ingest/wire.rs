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
mod replies;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::MqttVersion;
use crate::secret::Secret;
use cursor::Cursor;

pub(super) use codec::{Accepted, Status, conn_ack_accepted, connect, subscribe, unsubscribe};
pub(super) use publish::{Publish, peek_head, write as publish};
pub(super) use replies::{Reply, conn_ack_refused, disconnect, ping_req, ping_resp, sub_ack, unsub_ack};

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
    Connect(Box<Connect>),
    ConnAck(ConnAck),
    /// A code per filter, as in MQTT: below 0x80 the granted QoS.
    SubAck(Vec<u8>),
    UnsubAck,
    Subscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    /// Of what we published; the reason is MQTT's.
    PubAck {
        reason: u8,
    },
    /// The sender of a QoS 2 message has our PUBREC.
    PubRel {
        packet_id: u16,
    },
    PingReq,
    PingResp,
    Disconnect {
        reason: u8,
        /// v5: how long the session shall be kept from now on, seconds; `None`: as it was.
        session_expiry_s: Option<u32>,
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
            Self::UnsubAck => "UNSUBACK",
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Unsubscribe { .. } => "UNSUBSCRIBE",
            Self::PubAck { .. } => "PUBACK",
            Self::PubRel { .. } => "PUBREL",
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
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) will: Option<Will>,
    /// v5: how long the session shall outlive the connection, seconds; [`u32::MAX`]: for ever.
    pub(super) session_expiry_s: Option<u32>,
    /// v5: longest packet that the client takes, bytes.
    pub(super) packet_max_bytes: Option<u32>,
}

/// What the client wants said when it is gone without a goodbye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Will {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    pub(super) content_type: Bytes,
    pub(super) qos: u8,
    pub(super) retained: bool,
    /// v5: seconds after the end of the connection.
    pub(super) delay_s: u32,
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
        4 => Ok(Packet::PubAck { reason: acknowledged(body)?.1 }),
        6 if frame.first & 0x0f != 2 => Err(Error::Malformed("PUBREL: flags")),
        6 => Ok(Packet::PubRel { packet_id: acknowledged(body)?.0 }),
        5 | 7 | 15 => Ok(Packet::Foreign(name(frame.first))),
        8 => codec::read(version, packet, "SUBSCRIBE"),
        9 => codec::read(version, packet, "SUBACK"),
        10 => codec::read(version, packet, "UNSUBSCRIBE"),
        11 => Ok(Packet::UnsubAck),
        12 => Ok(Packet::PingReq),
        13 => Ok(Packet::PingResp),
        14 => disconnected(body),
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

/// Packet id and reason of PUBACK and PUBREL; a v5 reason may be left out.
fn acknowledged(body: &[u8]) -> Result<(u16, u8), Error> {
    let packet_id = Cursor::new(body, "acknowledgement").u16()?;
    if packet_id == 0 {
        Err(Error::Malformed("acknowledgement: packet id 0"))
    } else {
        Ok((packet_id, body.get(2).copied().unwrap_or(0)))
    }
}

/// A v5 DISCONNECT may end before its reason, or before its properties.
fn disconnected(body: &[u8]) -> Result<Packet, Error> {
    const SESSION_EXPIRY: u8 = 17;
    const SERVER_REFERENCE: u8 = 28;
    const REASON_STRING: u8 = 31;
    const USER_PROPERTY: u8 = 38;
    let mut session_expiry_s = None;
    if body.len() > 1 {
        let mut cursor = Cursor::new(&body[1..], "DISCONNECT");
        let length = cursor.variable()?;
        let all = cursor.take(length)?;
        let mut inner = Cursor::new(&body[1..][all], "DISCONNECT: properties");
        while inner.at() < length {
            match inner.u8()? {
                SESSION_EXPIRY => session_expiry_s = Some(u32::from(inner.u16()?) << 16 | u32::from(inner.u16()?)),
                SERVER_REFERENCE | REASON_STRING => {
                    inner.bytes_16()?;
                }
                USER_PROPERTY => {
                    inner.bytes_16()?;
                    inner.bytes_16()?;
                }
                _ => return Err(Error::Malformed("DISCONNECT: unknown property")),
            }
        }
    }
    Ok(Packet::Disconnect { reason: body.first().copied().unwrap_or(0), session_expiry_s })
}
