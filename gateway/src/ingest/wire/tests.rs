use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

use super::*;

const MAX: usize = 256 * 1024;

fn v4_bytes(packet: &v4::Packet) -> Bytes {
    let mut out = BytesMut::new();
    packet.write(&mut out, usize::MAX).unwrap();
    out.freeze()
}

fn v5_bytes(packet: &v5::Packet) -> Bytes {
    let mut out = BytesMut::new();
    packet.write(&mut out, None).unwrap();
    out.freeze()
}

fn publish(version: MqttVersion, bytes: &Bytes) -> Result<Publish, Error> {
    let frame = Frame::peek(bytes, MAX)?.expect("a whole packet");
    assert_eq!(frame.bytes, bytes.len());
    decode_publish(version, bytes, 0, frame)
}

fn packet(version: MqttVersion, bytes: &[u8]) -> Result<Packet, Error> {
    let frame = Frame::peek(bytes, MAX)?.expect("a whole packet");
    decode(version, &bytes[..frame.bytes], frame)
}

#[test]
fn a_3_1_1_publish_keeps_flags_topic_and_payload() {
    let mut sent = v4::Publish::new("sensors/a", rumqttc::mqttbytes::QoS::AtLeastOnce, "21.5");
    (sent.pkid, sent.dup, sent.retain) = (7, true, true);
    let read = publish(MqttVersion::V311, &v4_bytes(&v4::Packet::Publish(sent))).unwrap();
    let expected = Publish {
        packet_id: 7,
        qos: 1,
        redelivered: true,
        retained: true,
        topic: "sensors/a".into(),
        alias: None,
        payload: "21.5".into(),
        content_type: Bytes::new(),
    };
    assert_eq!(read, expected);
}

#[test]
fn a_v5_publish_keeps_its_content_type_among_all_other_properties() {
    let properties = v5::PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(60),
        topic_alias: None,
        response_topic: Some("r".into()),
        correlation_data: Some("c".into()),
        user_properties: vec![("k".into(), "v".into())],
        subscription_identifiers: vec![1, 200, 300_000],
        content_type: Some("application/json".into()),
    };
    let mut sent = v5::Publish::new("t", rumqttc::v5::mqttbytes::QoS::AtLeastOnce, "{}", Some(properties));
    sent.pkid = 9;
    let read = publish(MqttVersion::V5, &v5_bytes(&v5::Packet::Publish(sent))).unwrap();
    assert_eq!((read.packet_id, &read.content_type[..], &read.payload[..]), (9, &b"application/json"[..], &b"{}"[..]));
}

#[test]
fn topic_and_payload_are_slices_of_the_chunk() {
    let sent = v4::Publish::new("sensors/a", rumqttc::mqttbytes::QoS::AtMostOnce, vec![1; 100]);
    let bytes = v4_bytes(&v4::Packet::Publish(sent));
    let read = publish(MqttVersion::V311, &bytes).unwrap();
    let chunk = bytes.as_ptr_range();
    assert!(chunk.contains(&read.topic.as_ptr()) && chunk.contains(&read.payload.as_ptr()));
}

#[test]
fn a_publish_whose_lengths_lie_is_malformed() {
    // Topic longer than the packet; no packet id; packet id 0; QoS 3; topic not UTF-8; properties beyond the end.
    for (version, bytes) in [
        (MqttVersion::V311, &[0x30, 3, 0, 9, b'a'][..]),
        (MqttVersion::V311, &[0x30, 1, 0]),
        (MqttVersion::V311, &[0x30, 0]),
        (MqttVersion::V311, &[0x32, 3, 0, 1, b'a']),
        (MqttVersion::V311, &[0x32, 5, 0, 1, b'a', 0, 0]),
        (MqttVersion::V311, &[0x36, 5, 0, 1, b'a', 0, 1]),
        (MqttVersion::V311, &[0x30, 3, 0, 1, 0xff]),
        (MqttVersion::V5, &[0x30, 3, 0, 1, b'a']),
        (MqttVersion::V5, &[0x30, 4, 0, 1, b'a', 9]),
        (MqttVersion::V5, &[0x30, 6, 0, 1, b'a', 2, 3, 0]),
        (MqttVersion::V5, &[0x30, 6, 0, 1, b'a', 2, 0x7e, 0]),
    ] {
        let error = publish(version, &Bytes::copy_from_slice(bytes)).unwrap_err();
        assert!(matches!(error, Error::Malformed(_)), "{bytes:x?}: {error}");
    }
}

#[test]
fn a_property_cannot_reach_into_the_payload() {
    // Properties of 2 bytes, in which a string claims 3.
    let bytes = Bytes::from_static(&[0x30, 10, 0, 1, b'a', 3, 3, 0, 3, b'x', b'y', b'z']);
    assert!(matches!(publish(MqttVersion::V5, &bytes), Err(Error::Malformed(_))));
}

#[test]
fn a_frame_waits_for_its_last_byte_and_no_longer() {
    let bytes =
        v4_bytes(&v4::Packet::Publish(v4::Publish::new("t", rumqttc::mqttbytes::QoS::AtMostOnce, vec![0; 300])));
    for short in 0..bytes.len() {
        assert_eq!(Frame::peek(&bytes[..short], MAX), Ok(None));
    }
    assert_eq!(Frame::peek(&bytes, MAX).unwrap().unwrap().bytes, bytes.len());
}

#[test]
fn a_too_large_packet_is_refused_by_its_header_alone() {
    assert_eq!(Frame::peek(&[0x30, 0x80, 0x80, 0x01], 1_000), Err(Error::TooLarge { bytes: 4 + 16_384, max: 1_000 }));
    assert_eq!(Frame::peek(&[0x30, 0xff, 0xff, 0xff, 0xff], MAX), Err(Error::Malformed("remaining length")));
}

#[test]
fn the_version_of_a_client_is_found_in_its_connect() {
    let connect = v4_bytes(&v4::Packet::Connect(v4::Connect::new("a")));
    let Ok(Packet::Connect(read)) = packet(MqttVersion::V5, &connect) else { panic!("not a CONNECT") };
    assert_eq!((read.version, read.client_id.as_str(), read.clean), (MqttVersion::V311, "a", true));

    let connect = v5::Connect { keep_alive: 5, client_id: "b".into(), clean_start: false, properties: None };
    let connect = v5_bytes(&v5::Packet::Connect(connect, None, None));
    let Ok(Packet::Connect(read)) = packet(MqttVersion::V311, &connect) else { panic!("not a CONNECT") };
    assert_eq!((read.version, read.client_id.as_str(), read.keep_alive), (MqttVersion::V5, "b", 5));
}

#[test]
fn other_protocols_and_levels_are_told_apart_from_noise() {
    let old = [&[0x10, 12, 0, 6][..], b"MQIsdp", &[3, 2, 0, 0]].concat();
    assert_eq!(packet(MqttVersion::V311, &old), Err(Error::Protocol(3)));
    let future = [&[0x10, 8, 0, 4][..], b"MQTT", &[9, 2]].concat();
    assert_eq!(packet(MqttVersion::V311, &future), Err(Error::Protocol(9)));
    let noise = [&[0x10, 8, 0, 4][..], b"HTTP", &[4, 2]].concat();
    assert!(matches!(packet(MqttVersion::V311, &noise), Err(Error::Malformed(_))));
}

#[test]
fn the_short_forms_of_a_v5_disconnect_are_read() {
    assert_eq!(packet(MqttVersion::V5, &[0xe0, 0]), Ok(Packet::Disconnect { reason: 0, session_expiry_s: None }));
    assert_eq!(
        packet(MqttVersion::V5, &[0xe0, 1, 0x8e]),
        Ok(Packet::Disconnect { reason: 0x8e, session_expiry_s: None })
    );
    let expiring = &[0xe0, 7, 0, 5, 17, 0, 1, 0, 2];
    assert_eq!(packet(MqttVersion::V5, expiring), Ok(Packet::Disconnect { reason: 0, session_expiry_s: Some(65_538) }));
    assert_eq!(packet(MqttVersion::V5, &[0xe0, 3, 0, 1, 99]), Err(Error::Malformed("DISCONNECT: unknown property")));
    assert_eq!(
        packet(MqttVersion::V5, &[0xe0, 2, 0x8b, 0]),
        Ok(Packet::Disconnect { reason: 0x8b, session_expiry_s: None })
    );
}

#[test]
fn a_3_1_1_broker_that_answers_a_v5_connect_is_named_as_the_cause() {
    let Err(Error::Codec { reason, .. }) = packet(MqttVersion::V5, &[0x20, 2, 0, 1]) else { panic!("no error") };
    assert!(reason.contains("does not speak MQTT 5"), "{reason}");
}

#[test]
fn a_run_of_pub_acks_is_the_codecs_bytes() {
    let mut out = BytesMut::new();
    Reply::write_all(&[1, 2, 65_535].map(Reply::ack), MqttVersion::V5, &mut out);
    let expected = [1, 2, 65_535].map(|id| v4_bytes(&v4::Packet::PubAck(v4::PubAck::new(id)))).concat();
    assert_eq!(out, expected);
}

proptest! {
    #[test]
    fn no_bytes_panic_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), v5 in any::<bool>()) {
        read_all(&bytes, if v5 { MqttVersion::V5 } else { MqttVersion::V311 });
    }

    /// Random bytes hardly ever pass the header: here it is right and the body is noise.
    #[test]
    fn no_body_panics_a_reader(
        first in any::<u8>(), body in prop::collection::vec(prop_oneof![0u8..45, any::<u8>()], 0..127), v5 in any::<bool>(),
    ) {
        let bytes = [&[first, body.len() as u8][..], &body].concat();
        read_all(&bytes, if v5 { MqttVersion::V5 } else { MqttVersion::V311 });
    }

    /// The same behind the start of a real CONNECT.
    #[test]
    fn no_connect_panics_a_reader(
        level in 4u8..6, body in prop::collection::vec(prop_oneof![0u8..45, any::<u8>()], 0..100),
    ) {
        let bytes = [&[0x10, 7 + body.len() as u8, 0, 4][..], b"MQTT", &[level], &body].concat();
        read_all(&bytes, MqttVersion::V311);
    }
}

fn read_all(bytes: &[u8], version: MqttVersion) {
    let chunk = Bytes::copy_from_slice(bytes);
    let mut at = 0;
    while let Ok(Some(frame)) = Frame::peek(&chunk[at..], MAX) {
        let result = if frame.is_publish() {
            decode_publish(version, &chunk, at, frame).map(drop)
        } else {
            decode(version, &chunk[at..at + frame.bytes], frame).map(drop)
        };
        if result.is_err() {
            break;
        }
        at += frame.bytes;
    }
}
