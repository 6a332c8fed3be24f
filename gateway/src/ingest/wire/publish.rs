//! PUBLISH, decoded in place. rumqttc's reader copies a 3.1.1 topic and loses its place after three v5 subscription
//! identifiers, so that properties end up in the payload.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::Cursor;
use super::{Error, Frame};
use crate::ingest::MqttVersion;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ingest) struct Publish {
    /// 0 for QoS 0, never 0 otherwise.
    pub(in crate::ingest) packet_id: u16,
    /// 0, 1 or 2.
    pub(in crate::ingest) qos: u8,
    pub(in crate::ingest) redelivered: bool,
    pub(in crate::ingest) retained: bool,
    /// UTF-8; empty if v5 sent only an alias.
    pub(in crate::ingest) topic: Bytes,
    /// v5: stands for the topic, or is to stand for it from now on.
    pub(in crate::ingest) alias: Option<u16>,
    pub(in crate::ingest) payload: Bytes,
    pub(in crate::ingest) content_type: Bytes,
}

pub(super) fn decode(version: MqttVersion, chunk: &Bytes, start: usize, frame: Frame) -> Result<Publish, Error> {
    let base = start + frame.header_bytes;
    let body = &chunk[base..start + frame.bytes];
    let slice = |range: Range<usize>| chunk.slice(base + range.start..base + range.end);

    let qos = (frame.first >> 1) & 3;
    if qos == 3 {
        return Err(Error::Malformed("PUBLISH: QoS 3"));
    }
    let mut cursor = Cursor::new(body, "PUBLISH");
    let topic = cursor.bytes_16()?;
    if std::str::from_utf8(&body[topic.clone()]).is_err() {
        return Err(Error::Malformed("PUBLISH: topic is not UTF-8"));
    }
    let packet_id = if qos == 0 { 0 } else { cursor.u16()? };
    if qos > 0 && packet_id == 0 {
        return Err(Error::Malformed("PUBLISH: packet id 0"));
    }
    let properties = match version {
        MqttVersion::V311 => Properties::default(),
        MqttVersion::V5 => Properties::read(&mut cursor, body)?,
    };
    Ok(Publish {
        packet_id,
        qos,
        redelivered: frame.first & 8 != 0,
        retained: frame.first & 1 != 0,
        topic: slice(topic),
        alias: properties.alias,
        payload: slice(cursor.at()..body.len()),
        content_type: slice(properties.content_type),
    })
}

/// What of a v5 PUBLISH's properties a door uses.
#[derive(Default)]
struct Properties {
    /// Where it lies in the body; empty if there is none.
    content_type: Range<usize>,
    alias: Option<u16>,
}

impl Properties {
    /// Steps over all of them.
    fn read(cursor: &mut Cursor<'_>, body: &[u8]) -> Result<Self, Error> {
        let mut found = Self::default();
        let length = cursor.variable()?;
        if length == 0 {
            return Ok(found);
        }
        let all = cursor.take(length)?;
        // A cursor of its own, so that no property can reach into the payload.
        let mut inner = Cursor::new(&body[all.clone()], "PUBLISH: properties");
        while inner.at() < length {
            match inner.u8()? {
                PAYLOAD_FORMAT => {
                    inner.take(1)?;
                }
                MESSAGE_EXPIRY => {
                    inner.take(4)?;
                }
                TOPIC_ALIAS => found.alias = Some(inner.u16()?),
                CONTENT_TYPE => {
                    let value = inner.bytes_16()?;
                    found.content_type = all.start + value.start..all.start + value.end;
                    if std::str::from_utf8(&body[found.content_type.clone()]).is_err() {
                        return Err(Error::Malformed("PUBLISH: content type is not UTF-8"));
                    }
                }
                RESPONSE_TOPIC | CORRELATION_DATA => {
                    inner.bytes_16()?;
                }
                USER_PROPERTY => {
                    inner.bytes_16()?;
                    inner.bytes_16()?;
                }
                SUBSCRIPTION_ID => {
                    inner.variable()?;
                }
                _ => return Err(Error::Malformed("PUBLISH: unknown property")),
            }
        }
        Ok(found)
    }
}

/// The beginning of a PUBLISH that is too long to be taken: enough to name it and to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ingest) struct Head {
    pub(in crate::ingest) topic: String,
    pub(in crate::ingest) qos: u8,
    pub(in crate::ingest) packet_id: u16,
}

/// Looks at the start of `bytes`, which is that of a PUBLISH with a well-formed length of `packet_bytes` in all; `None`: more bytes are needed,
/// some 64 KiB at most.
///
/// # Errors
/// It is malformed.
pub(in crate::ingest) fn peek_head(bytes: &[u8], packet_bytes: usize) -> Result<Option<Head>, Error> {
    let Some(length_ends) = bytes.iter().skip(1).position(|byte| byte & 0x80 == 0) else { return Ok(None) };
    let body = &bytes[length_ends + 2..];
    let mut cursor = Cursor::new(body, "PUBLISH");
    let Ok(topic) = cursor.bytes_16() else {
        let topic_bytes = Cursor::new(body, "PUBLISH").u16().map_or(0, usize::from);
        return if topic_bytes < packet_bytes { Ok(None) } else { Err(Error::Malformed("PUBLISH: topic")) };
    };
    let qos = (bytes[0] >> 1) & 3;
    let packet_id = match (qos, cursor.u16()) {
        (0, _) => 0,
        (1 | 2, Ok(id @ 1..)) => id,
        (1 | 2, Err(_)) => return Ok(None),
        _ => return Err(Error::Malformed("PUBLISH: QoS or packet id")),
    };
    let topic = String::from_utf8(body[topic].to_vec()).map_err(|_| Error::Malformed("PUBLISH: topic is not UTF-8"))?;
    Ok(Some(Head { topic, qos, packet_id }))
}

/// PUBLISH of our own, without v5 properties; `packet_id` is `None` for QoS 0, else it is sent with QoS 1.
///
/// # Errors
/// It is longer than MQTT can say.
pub(in crate::ingest) fn write(
    version: MqttVersion,
    topic: &str,
    payload: &[u8],
    retained: bool,
    packet_id: Option<u16>,
    out: &mut BytesMut,
) -> Result<(), Error> {
    const TOO_LONG: Error = Error::Malformed("PUBLISH to send: longer than MQTT can say");
    let topic_bytes = u16::try_from(topic.len()).map_err(|_| TOO_LONG)?;
    let properties = usize::from(version == MqttVersion::V5);
    let mut length = 2 + topic.len() + 2 * usize::from(packet_id.is_some()) + properties + payload.len();
    if length >= 1 << 28 {
        return Err(TOO_LONG);
    }
    out.reserve(5 + length);
    out.put_u8(0x30 | u8::from(packet_id.is_some()) << 1 | u8::from(retained));
    while length >= 0x80 {
        out.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
    out.put_u16(topic_bytes);
    out.put_slice(topic.as_bytes());
    if let Some(id) = packet_id {
        out.put_u16(id);
    }
    out.put_bytes(0, properties);
    out.put_slice(payload);
    Ok(())
}

const PAYLOAD_FORMAT: u8 = 1;
const MESSAGE_EXPIRY: u8 = 2;
const CONTENT_TYPE: u8 = 3;
const RESPONSE_TOPIC: u8 = 8;
const CORRELATION_DATA: u8 = 9;
const SUBSCRIPTION_ID: u8 = 11;
const TOPIC_ALIAS: u8 = 35;
const USER_PROPERTY: u8 = 38;
