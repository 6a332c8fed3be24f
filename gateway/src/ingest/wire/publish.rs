//! PUBLISH, decoded in place. rumqttc's reader copies a 3.1.1 topic and loses its place after three v5 subscription
//! identifiers, so that properties end up in the payload.

use std::ops::Range;

use bytes::Bytes;

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
    let content_type = match version {
        MqttVersion::V311 => 0..0,
        MqttVersion::V5 => content_type(&mut cursor, body)?,
    };
    Ok(Publish {
        packet_id,
        qos,
        redelivered: frame.first & 8 != 0,
        retained: frame.first & 1 != 0,
        topic: slice(topic),
        payload: slice(cursor.at()..body.len()),
        content_type: slice(content_type),
    })
}

/// Steps over the properties of a v5 PUBLISH; where the content type lies, empty if there is none.
fn content_type(cursor: &mut Cursor<'_>, body: &[u8]) -> Result<Range<usize>, Error> {
    let length = cursor.variable()?;
    if length == 0 {
        return Ok(0..0);
    }
    let all = cursor.take(length)?;
    // A cursor of its own, so that no property can reach into the payload.
    let mut inner = Cursor::new(&body[all.clone()], "PUBLISH: properties");
    let mut found = 0..0;
    while inner.at() < length {
        let id = inner.u8()?;
        let value = match id {
            PAYLOAD_FORMAT => inner.take(1)?,
            MESSAGE_EXPIRY => inner.take(4)?,
            TOPIC_ALIAS => inner.take(2)?,
            CONTENT_TYPE | RESPONSE_TOPIC | CORRELATION_DATA => inner.bytes_16()?,
            USER_PROPERTY => {
                inner.bytes_16()?;
                inner.bytes_16()?
            }
            SUBSCRIPTION_ID => {
                inner.variable()?;
                continue;
            }
            _ => return Err(Error::Malformed("PUBLISH: unknown property")),
        };
        if id == CONTENT_TYPE {
            found = all.start + value.start..all.start + value.end;
            if std::str::from_utf8(&body[found.clone()]).is_err() {
                return Err(Error::Malformed("PUBLISH: content type is not UTF-8"));
            }
        }
    }
    Ok(found)
}

const PAYLOAD_FORMAT: u8 = 1;
const MESSAGE_EXPIRY: u8 = 2;
const CONTENT_TYPE: u8 = 3;
const RESPONSE_TOPIC: u8 = 8;
const CORRELATION_DATA: u8 = 9;
const SUBSCRIPTION_ID: u8 = 11;
const TOPIC_ALIAS: u8 = 35;
const USER_PROPERTY: u8 = 38;
