//! What one peer may take of us: rates, quotas, aliases, packets that are too long.

use super::*;

#[test]
fn a_client_beyond_its_rate_is_read_later_and_loses_nothing() {
    let limits = ListenConfig { messages_per_second_max: 100, ..ListenConfig::default() };
    let mut rig = Rig::listener_of(&limits);
    rig.hear(&connect_bytes(MqttVersion::V311, "sensor", true, 10));
    rig.hear(&(1..=200).flat_map(qos1).collect::<Vec<_>>());
    assert_eq!(rig.appends[0].1.len(), 200);
    assert!(!rig.session.takes_bytes());
    let due = rig.session.next_tick().expect("reading goes on some time");
    assert!(due > rig.now + 900 * SECOND / 1_000 && due <= rig.now + 1_100 * SECOND / 1_000);
    rig.pass(due - rig.now);
    assert!(rig.session.takes_bytes() && rig.closed.is_none());
}

#[test]
fn a_v5_client_beyond_its_receive_maximum_is_told() {
    let limits = ListenConfig { receive_max: 10, ..ListenConfig::default() };
    let mut rig = Rig::listener_of(&limits);
    rig.hear(&connect_bytes(MqttVersion::V5, "sensor", true, 10));
    rig.sent();
    let publish = |id| publish_bytes(MqttVersion::V5, 0x32, "a", id, b"1");
    rig.hear(&(1..=10).flat_map(publish).collect::<Vec<_>>());
    assert_eq!(rig.closed, None);
    rig.receipt(0);
    rig.hear(&(1..=11).flat_map(publish).collect::<Vec<_>>());
    rig.receipt(1);
    assert_eq!(rig.closed, Some(Close::ReceiveMaximum));
    assert!(rig.sent().ends_with(&[0xe0, 1, 0x93]));
}

#[test]
fn a_message_of_qos_2_counts_once_against_the_receive_maximum_and_until_pubcomp() {
    let limits = ListenConfig { receive_max: 10, ..ListenConfig::default() };
    let mut rig = Rig::listener_of(&limits);
    rig.hear(&connect_bytes(MqttVersion::V5, "sensor", true, 10));
    let publish = |id| publish_bytes(MqttVersion::V5, 0x34, "a", id, b"1");
    let release = |id: u16| [0x62, 2, 0, id as u8];
    for round in 0..3 {
        rig.hear(&(1..=10).flat_map(publish).collect::<Vec<_>>());
        rig.receipt(round);
        rig.hear(&(1..=10).flat_map(release).collect::<Vec<_>>());
        assert_eq!(rig.closed, None, "round {round}");
    }
    rig.hear(&(1..=10).flat_map(publish).collect::<Vec<_>>());
    rig.hear(&(1..=10).flat_map(release).collect::<Vec<_>>());
    rig.hear(&publish(11));
    rig.receipt(3);
    assert_eq!(rig.closed, Some(Close::ReceiveMaximum), "not one PUBCOMP has gone out");
}

#[test]
fn a_topic_alias_stands_for_its_topic_until_it_is_given_another() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    let with = |topic: &str| {
        let length = 2 + topic.len() + 4 + 1;
        [&[0x30, length as u8, 0, topic.len() as u8][..], topic.as_bytes(), &[3, 35, 0, 1, b'x']].concat()
    };
    rig.hear(&[with("a"), with(""), with("b"), with("")].concat());
    let topics: Vec<&[u8]> = rig.appends[0].1.iter().map(|r| &r.topic[..]).collect();
    assert_eq!(topics, [b"a", b"a", b"b", b"b"]);
}

#[test]
fn a_topic_alias_that_stands_for_nothing_or_was_not_allowed_ends_the_connection() {
    for alias in [1, 0, 17] {
        let mut rig = Rig::open_listener(MqttVersion::V5, 60);
        rig.hear(&[0x30, 6, 0, 0, 3, 35, 0, alias]);
        assert_eq!((rig.closed.take(), &rig.sent()[..]), (Some(Close::TopicAlias), &[0xe0, 1, 0x94][..]));
    }
    let mut broker = Rig::open_dialer(MqttVersion::V5);
    broker.hear(&[0x30, 6, 0, 0, 3, 35, 0, 1]);
    assert_eq!(broker.closed, Some(Close::TopicAlias));
}

#[test]
fn topic_aliases_cannot_fill_the_memory() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    for alias in 1..=16_u8 {
        let topic = vec![b'a' + alias; 1_000];
        let body = [&1_000_u16.to_be_bytes()[..], &topic, &[3, 35, 0, alias]].concat();
        rig.hear(&[&[0x30, body.len() as u8 | 0x80, (body.len() >> 7) as u8][..], &body].concat());
    }
    let taken: usize = rig.appends.iter().map(|(_, records)| records.len()).sum();
    assert_eq!(taken, 4);
}

#[test]
fn a_message_of_a_broker_that_is_too_long_is_answered_told_of_and_skipped() {
    let config = MqttConfig { packet_max_bytes: 1_000, ..MqttConfig::default() };
    let mut rig = Rig::dialer_of(&config, Epoch(1));
    rig.hear(&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 1]);
    rig.sent();
    let long = publish_bytes(MqttVersion::V311, 0x32, "sensors/long", 7, &[0; 5_000]);
    let bytes = [qos1(6), long.clone(), qos1(8)].concat();
    // However it is cut.
    let mut buffer = BytesMut::new();
    for piece in bytes.chunks(17) {
        buffer.extend_from_slice(piece);
        while rig.session.on_bytes(&mut buffer, STAMP, rig.now) == Decoded::HasRest {
            rig.act();
        }
        rig.act();
    }
    let refused = Refused::TooLarge { topic: "sensors/long".into(), bytes: long.len(), max: 1_000 };
    assert_eq!(rig.refused, [refused]);
    let payloads: Vec<usize> = rig.appends.iter().flat_map(|(_, r)| r).map(|r| r.payload.len()).collect();
    assert_eq!(payloads, [4, 4]);
    for append in 0..rig.appends.len() {
        rig.receipt(append);
    }
    assert_eq!(rig.sent(), acks(&[6, 7, 8]));
    assert_eq!(rig.closed, None);
}

#[test]
fn a_packet_too_long_that_is_no_message_ends_the_connection() {
    let config = MqttConfig { packet_max_bytes: 1_000, ..MqttConfig::default() };
    let mut rig = Rig::dialer_of(&config, Epoch(1));
    rig.hear(&[0x20, 2, 0, 0]);
    rig.hear(&[0x90, 0x80, 0x80, 0x01]);
    assert_eq!(rig.closed.map(|why| why.label()), Some("too_large"));
}

fn with_rules(version: MqttVersion) -> Rig {
    let mut rig = Rig::listener();
    rig.may_publish = Some(&["sensors/#"]);
    rig.hear(&connect_bytes(version, "sensor", true, 10));
    rig.sent();
    rig
}

#[test]
fn a_v5_client_is_told_which_message_it_may_not_publish_and_stays() {
    let mut rig = with_rules(MqttVersion::V5);
    let publish = |first, topic, id| publish_bytes(MqttVersion::V5, first, topic, id, b"1");
    rig.hear(&[publish(0x32, "sensors/a", 1), publish(0x32, "other", 2), publish(0x34, "other", 3)].concat());
    assert_eq!(rig.receipt(0), Settled { records: 1, payload_bytes: 1, acks: 1, ended: 3 });
    assert_eq!(rig.sent(), [&acks(&[1])[..], &[0x40, 3, 0, 2, 0x87], &[0x50, 3, 0, 3, 0x87]].concat());
    assert_eq!(rig.refused.len(), 2);
    assert_eq!(rig.closed, None);
}

#[test]
fn a_3_1_1_client_is_cut_off_rather_than_told_that_a_message_is_stored() {
    let mut rig = with_rules(MqttVersion::V311);
    rig.hear(&publish_bytes(MqttVersion::V311, 0x30, "other", 0, b"1"));
    assert_eq!((rig.refused.len(), rig.closed.clone()), (1, None), "QoS 0 promises nothing");
    rig.hear(&publish_bytes(MqttVersion::V311, 0x32, "other", 2, b"1"));
    assert_eq!((rig.closed.clone(), rig.sent()), (Some(Close::NotAllowed("other".into())), Bytes::new()));
}

#[test]
fn a_client_that_is_turned_away_hears_why_in_its_own_words() {
    for (version, expected) in [(MqttVersion::V311, &[0x20, 2, 0, 4][..]), (MqttVersion::V5, &[0x20, 3, 0, 0x86, 0])] {
        let mut rig = Rig::listener();
        rig.session.on_bytes(&mut connect_bytes(version, "sensor", true, 10), STAMP, rig.now);
        assert!(matches!(rig.session.poll(), Some(Action::Admit(_))));
        rig.session.turn_away(Denied::BadCredentials, rig.now);
        rig.act();
        assert_eq!((&rig.sent()[..], rig.closed), (expected, Some(Close::TurnedAway(Denied::BadCredentials))));
    }
}

#[test]
fn refusals_are_bounded_while_the_queue_takes_nothing() {
    let mut rig = with_rules(MqttVersion::V5);
    rig.session.on_bytes(
        &mut BytesMut::from(&publish_bytes(MqttVersion::V5, 0x32, "sensors/a", 1, b"1")[..]),
        STAMP,
        rig.now,
    );
    assert!(matches!(rig.session.poll(), Some(Action::Append { .. })));
    rig.session.on_appended(rig.now);
    let release: Vec<u8> = (0..1_000).flat_map(|_| [0x62, 2, 0, 9]).collect();
    let mut read = 0;
    while rig.session.takes_bytes() {
        rig.session.on_bytes(&mut BytesMut::from(&release[..]), STAMP, rig.now);
        while rig.session.poll().is_some() {}
        read += 1;
        assert!(read < 1_000, "nothing ends it");
    }
    assert!(rig.session.in_flight_bytes() < 2 * IN_FLIGHT_MAX_BYTES);
}
