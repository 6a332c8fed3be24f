//! The short packets that we send, without a codec: acknowledgements, pings, refusals, goodbyes.

use bytes::{BufMut, BytesMut};

use crate::ingest::MqttVersion;

/// An answer to a PUBLISH or a PUBREL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest) struct Reply {
    /// The packet's first byte.
    kind: u8,
    /// v5 alone can say it; 0: success.
    reason: u8,
    packet_id: u16,
}

impl Reply {
    /// v5: the client may not publish to this topic.
    pub(in crate::ingest) const NOT_AUTHORIZED: u8 = 0x87;
    /// v5: PUBREL of a message that is not known, or not any more.
    pub(in crate::ingest) const ID_NOT_FOUND: u8 = 0x92;

    const ACK: u8 = 0x40;
    const REC: u8 = 0x50;
    const COMP: u8 = 0x70;

    pub(in crate::ingest) fn ack(packet_id: u16) -> Self {
        Self { kind: Self::ACK, reason: 0, packet_id }
    }

    pub(in crate::ingest) fn rec(packet_id: u16) -> Self {
        Self { kind: Self::REC, reason: 0, packet_id }
    }

    pub(in crate::ingest) fn comp(packet_id: u16) -> Self {
        Self { kind: Self::COMP, reason: 0, packet_id }
    }

    /// The same with a reason other than success; 3.1.1 leaves it out.
    pub(in crate::ingest) fn because(self, reason: u8) -> Self {
        Self { reason, ..self }
    }

    /// Whether it says that a message is stored.
    pub(in crate::ingest) fn is_receipt(self) -> bool {
        self.kind != Self::COMP && self.reason == 0
    }

    /// Whether the peer may send another message instead of this one: a PUBREC that says yes is not the end of it.
    pub(in crate::ingest) fn ends_message(self) -> bool {
        self.kind != Self::REC || self.reason >= 0x80
    }

    pub(in crate::ingest) fn write_all(replies: &[Self], version: MqttVersion, out: &mut BytesMut) {
        out.reserve(5 * replies.len());
        for reply in replies {
            let [high, low] = reply.packet_id.to_be_bytes();
            match (version, reply.reason) {
                (MqttVersion::V5, reason @ 1..) => out.put_slice(&[reply.kind, 3, high, low, reason]),
                (MqttVersion::V311 | MqttVersion::V5, _) => out.put_slice(&[reply.kind, 2, high, low]),
            }
        }
    }
}

pub(in crate::ingest) fn ping_req(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

pub(in crate::ingest) fn ping_resp(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0]);
}

/// CONNACK with a refusal, in the words of the version.
pub(in crate::ingest) fn conn_ack_refused(version: MqttVersion, code: u8, out: &mut BytesMut) {
    match version {
        MqttVersion::V311 => out.put_slice(&[0x20, 2, 0, code]),
        MqttVersion::V5 => out.put_slice(&[0x20, 3, 0, code, 0]),
    }
}

/// SUBACK with a code for each filter: 0, or why not. 3.1.1 has one word for all reasons.
pub(in crate::ingest) fn sub_ack(version: MqttVersion, packet_id: u16, codes: &[u8], out: &mut BytesMut) {
    let codes = codes.iter().map(|code| match version {
        MqttVersion::V311 => (*code).min(0x80),
        MqttVersion::V5 => *code,
    });
    codes_packet(0x90, version, packet_id, codes, out);
}

/// UNSUBACK; 3.1.1 has no codes.
pub(in crate::ingest) fn unsub_ack(version: MqttVersion, packet_id: u16, codes: &[u8], out: &mut BytesMut) {
    match version {
        MqttVersion::V311 => codes_packet(0xb0, version, packet_id, [].into_iter(), out),
        MqttVersion::V5 => codes_packet(0xb0, version, packet_id, codes.iter().copied(), out),
    }
}

/// rumqttc knows only some of the codes. As many codes as one SUBSCRIBE has filters, which fits.
fn codes_packet(
    first: u8,
    version: MqttVersion,
    packet_id: u16,
    codes: impl ExactSizeIterator<Item = u8>,
    out: &mut BytesMut,
) {
    let mut length = 2 + usize::from(version == MqttVersion::V5) + codes.len();
    out.put_u8(first);
    while length >= 0x80 {
        out.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
    out.put_u16(packet_id);
    if version == MqttVersion::V5 {
        out.put_u8(0);
    }
    out.extend(codes);
}

/// DISCONNECT; 3.1.1 has no reason in it.
pub(in crate::ingest) fn disconnect(version: MqttVersion, reason: u8, out: &mut BytesMut) {
    match version {
        MqttVersion::V311 => out.put_slice(&[0xe0, 0]),
        MqttVersion::V5 => out.put_slice(&[0xe0, 1, reason]),
    }
}
