//! What a host asks of an edge node (sections 5.17 and 6.4.23).

use super::protobuf::{put_bytes, put_varint};
use crate::measurement::EventTime;

/// Longest [`rebirth`], bytes.
pub const REBIRTH_MAX_BYTES: usize = 64;

const BOOLEAN: u64 = 11;

/// An NCMD payload that asks for the births of the node and of all its devices, for [`super::EdgeNode::command_topic`].
pub fn rebirth(at: EventTime) -> Vec<u8> {
    let at = at.as_millis().max(0) as u64;
    let mut metric = Vec::with_capacity(REBIRTH_MAX_BYTES);
    put_bytes(&mut metric, 1, b"Node Control/Rebirth");
    put_varint(&mut metric, 3, at);
    put_varint(&mut metric, 4, BOOLEAN);
    put_varint(&mut metric, 14, 1);
    let mut payload = Vec::with_capacity(REBIRTH_MAX_BYTES);
    put_varint(&mut payload, 1, at);
    put_bytes(&mut payload, 2, &metric);
    payload
}
