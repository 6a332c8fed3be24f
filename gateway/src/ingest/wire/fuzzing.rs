//! Any bytes as a stream of packets.

use bytes::Bytes;

use super::{Frame, Publish, decode, decode_publish};
use crate::ingest::MqttVersion;

/// Small, so that short inputs go beyond it.
const PACKET_MAX_BYTES: usize = 2_000;
/// The longest header, and a byte more.
const HEADER_BYTES: usize = 6;

/// The first byte chooses the version.
pub fn packets(input: &[u8]) {
    let Some((selector, bytes)) = input.split_first() else { return };
    let version = if selector & 1 == 0 { MqttVersion::V311 } else { MqttVersion::V5 };
    let chunk = Bytes::copy_from_slice(bytes);
    let mut at = 0;
    while let Ok(Some(frame)) = Frame::peek(&chunk[at..], PACKET_MAX_BYTES) {
        assert!(frame.header_bytes >= 2 && frame.header_bytes <= frame.bytes && frame.bytes <= PACKET_MAX_BYTES);
        let packet = &chunk[at..at + frame.bytes];
        assert_eq!(Frame::peek(packet, PACKET_MAX_BYTES), Ok(Some(frame)), "what follows does not matter");
        for end in (0..frame.bytes.min(HEADER_BYTES)).chain([frame.bytes - 1]) {
            assert_eq!(Frame::peek(&packet[..end], PACKET_MAX_BYTES), Ok(None), "a part is waited for: {end} bytes");
        }
        if frame.is_publish() {
            let publish = decode_publish(version, &chunk, at, frame);
            publish.iter().for_each(|publish| check(publish, packet));
        } else {
            // What it says is the session's business.
            drop(decode(version, packet, frame));
        }
        at += frame.bytes;
    }
}

fn check(publish: &Publish, packet: &[u8]) {
    assert!(publish.qos <= 2);
    assert_eq!(publish.qos == 0, publish.packet_id == 0);
    assert!(std::str::from_utf8(&publish.topic).is_ok());
    assert!(packet.ends_with(&publish.payload));
    let fields = publish.topic.len() + publish.payload.len() + publish.content_type.len();
    assert!(fields <= packet.len(), "nothing is taken from elsewhere");
}
