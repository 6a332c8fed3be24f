//! What outlives a connection: QoS 2, subscriptions, wills; at both sides.

use super::*;
use crate::ingest::wire::Will;

const NEVER: u32 = u32::MAX;

fn qos2(version: MqttVersion, packet_id: u16) -> Vec<u8> {
    publish_bytes(version, 0x34, "sensors/a", packet_id, b"1")
}

fn rel(packet_id: u8) -> [u8; 4] {
    [0x62, 2, 0, packet_id]
}

/// As the last state that was handed over says.
fn last_kept(rig: &Rig) -> Kept {
    let bytes = rig.states.last().expect("a change").clone().expect("not deleted");
    Kept::from_bytes(&bytes).expect("of this version")
}

/// A client that wants its session kept.
fn kept_listener(version: MqttVersion, kept: Option<Kept>) -> Rig {
    let mut rig = Rig::listener();
    rig.kept = kept;
    rig.hear(&kept_connect(version, 600, None));
    rig
}

fn kept_connect(version: MqttVersion, expiry_s: u32, will: Option<&Will>) -> BytesMut {
    let mut out = BytesMut::new();
    match version {
        MqttVersion::V311 => {
            let mut connect = v4::Connect::new("sensor");
            connect.clean_session = false;
            connect.last_will = will.map(|w| {
                let topic = String::from_utf8(w.topic.to_vec()).unwrap();
                v4::LastWill::new(topic, w.payload.to_vec(), rumqttc::mqttbytes::QoS::AtLeastOnce, w.retained)
            });
            connect.write(&mut out).unwrap();
        }
        MqttVersion::V5 => {
            let mut properties = v5::ConnectProperties::new();
            properties.session_expiry_interval = Some(expiry_s);
            let connect = v5::Connect {
                keep_alive: 60,
                client_id: "sensor".into(),
                clean_start: false,
                properties: Some(properties),
            };
            let will = will.map(|w| {
                let topic = String::from_utf8(w.topic.to_vec()).unwrap();
                let properties = v5::LastWillProperties {
                    delay_interval: Some(w.delay_s),
                    payload_format_indicator: None,
                    message_expiry_interval: None,
                    content_type: None,
                    response_topic: None,
                    correlation_data: None,
                    user_properties: Vec::new(),
                };
                let qos = rumqttc::v5::mqttbytes::QoS::AtLeastOnce;
                v5::LastWill::new(topic, w.payload.to_vec(), qos, w.retained, Some(properties))
            });
            connect.write(&will, &None, &mut out).unwrap();
        }
    }
    out
}

#[test]
fn pubrec_waits_for_the_receipt_and_pubcomp_for_that_of_the_release() {
    for mut rig in [Rig::open_dialer(MqttVersion::V311), Rig::open_listener(MqttVersion::V311, 60)] {
        rig.hear(&qos2(MqttVersion::V311, 7));
        assert_eq!(rig.sent(), "");
        assert_eq!(rig.receipt(0), Settled { records: 1, payload_bytes: 1, acks: 1, ended: 0 });
        assert_eq!(rig.sent(), &[0x50, 2, 0, 7][..]);
        rig.hear(&rel(7));
        assert_eq!(rig.sent(), &[0x70, 2, 0, 7][..]);
        assert_eq!(rig.appends.len(), 1);
    }
}

#[test]
fn a_qos_2_message_that_comes_again_before_its_release_is_stored_once() {
    let mut rig = kept_listener(MqttVersion::V311, None);
    rig.sent();
    rig.hear(&qos2(MqttVersion::V311, 7));
    rig.receipt(0);
    rig.sent();
    let kept = last_kept(&rig);
    // The PUBREC was lost with the connection; the next one begins with what was kept.
    let mut again = kept_listener(MqttVersion::V311, Some(kept));
    assert_eq!(again.sent(), &[0x20, 2, 1, 0][..], "the session is present");
    again.hear(&qos2(MqttVersion::V311, 7));
    assert_eq!((again.appends.len(), again.sent()), (0, Bytes::from_static(&[0x50, 2, 0, 7])));
    again.hear(&rel(7));
    assert_eq!(again.sent(), &[0x70, 2, 0, 7][..]);
    // The id is free again.
    again.hear(&qos2(MqttVersion::V311, 7));
    assert_eq!(again.appends.len(), 1);
}

#[test]
fn a_release_of_an_unknown_message_is_completed_so_that_no_broker_repeats_it_for_ever() {
    let mut rig = Rig::open_dialer(MqttVersion::V311);
    rig.hear(&rel(9));
    assert_eq!(rig.sent(), &[0x70, 2, 0, 9][..]);
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    rig.hear(&rel(9));
    assert_eq!(rig.sent(), &[0x70, 3, 0, 9, 0x92][..]);
}

#[test]
fn pubcomp_waits_until_the_release_is_durable() {
    let mut rig = kept_listener(MqttVersion::V311, None);
    rig.hear(&qos2(MqttVersion::V311, 7));
    rig.receipt(0);
    rig.sent();
    rig.session.on_bytes(&mut BytesMut::from(&rel(7)[..]), STAMP, rig.now);
    let Some(Action::Append { ticket, records, state }) = rig.session.poll() else { panic!("a batch") };
    assert!(records.is_empty() && state.is_some());
    assert_eq!(rig.sent(), "");
    rig.session.on_appended(rig.now);
    rig.session.on_receipt(ticket, rig.now);
    assert_eq!(rig.sent(), &[0x70, 2, 0, 7][..]);
}

#[test]
fn a_clean_session_keeps_nothing() {
    let mut rig = Rig::open_listener(MqttVersion::V5, 60);
    rig.hear(&qos2(MqttVersion::V5, 7));
    rig.receipt(0);
    assert_eq!(rig.states.len(), 0);
    assert_eq!(rig.session.into_kept(), None);
}

#[test]
fn connack_waits_until_the_session_that_it_promises_is_durable() {
    let mut rig = Rig::listener();
    rig.session.on_bytes(&mut kept_connect(MqttVersion::V5, 600, None), STAMP, rig.now);
    assert!(matches!(rig.session.poll(), Some(Action::Admit(claim)) if claim.client_id == "sensor"));
    assert!(!rig.session.takes_bytes(), "nothing is read before the client is let in");
    rig.session.admit(Admission { grant: Grant::for_tests(None), kept: None }, rig.now);
    let Some(Action::Append { ticket, state: Some(Some(_)), .. }) = rig.session.poll() else { panic!("a state") };
    assert_eq!(rig.sent(), "");
    rig.session.on_appended(rig.now);
    rig.session.on_receipt(ticket, rig.now);
    assert_eq!(rig.sent()[0], 0x20);
    assert!(rig.session.takes_bytes());
}

#[test]
fn a_clean_start_forgets_what_was_kept() {
    let mut rig = Rig::listener();
    rig.kept = Some(Kept { expiry_s: NEVER, filters: vec!["gateway/#".into()], ..Kept::default() });
    rig.hear(&connect_bytes(MqttVersion::V311, "sensor", true, 60));
    assert_eq!((rig.states.clone(), &rig.sent()[..]), (vec![None], &[0x20, 2, 0, 0][..]));
    assert_eq!(rig.session.into_kept(), None);
}

#[test]
fn a_client_that_ends_its_session_at_the_goodbye_is_forgotten() {
    let mut rig = kept_listener(MqttVersion::V5, None);
    rig.hear(&[0xe0, 7, 0, 5, 17, 0, 0, 0, 0]);
    assert_eq!(rig.closed, Some(Close::PeerDisconnected(0)));
    assert_eq!(rig.states.last(), Some(&None));
}

#[test]
fn a_session_is_kept_no_longer_than_allowed_and_a_v5_client_is_told() {
    let limits = ListenConfig { session_expiry_max: 60 * SECOND, ..ListenConfig::default() };
    let mut rig = Rig::listener_of(&limits);
    rig.hear(&kept_connect(MqttVersion::V5, 600, None));
    let Ok(v5::Packet::ConnAck(ack)) = v5::Packet::read(&mut BytesMut::from(&rig.sent()[..]), None) else {
        panic!("not a CONNACK")
    };
    assert_eq!(ack.properties.unwrap().session_expiry_interval, Some(60));
    assert_eq!(last_kept(&rig).expiry_s, 60);
}

fn will(delay_s: u32) -> Will {
    Will {
        topic: "sensors/a/status".into(),
        payload: "gone".into(),
        content_type: Bytes::new(),
        qos: 1,
        retained: true,
        delay_s,
    }
}

#[test]
fn a_will_is_stored_when_the_client_is_gone_without_a_goodbye() {
    for version in [MqttVersion::V311, MqttVersion::V5] {
        let mut rig = Rig::listener();
        rig.hear(&kept_connect(version, 600, Some(&will(0))));
        rig.session.close(Close::PeerClosed, rig.now);
        rig.act();
        let record = &rig.appends[0].1[0];
        assert_eq!((&record.topic[..], &record.payload[..]), (&b"sensors/a/status"[..], &b"gone"[..]));
        assert_eq!(record.flags, Flags { qos: 1, retained: true, redelivered: false });
        assert_eq!(rig.closed, None, "not before it is durable");
        rig.receipt(0);
        assert_eq!(rig.closed, Some(Close::PeerClosed));
    }
}

#[test]
fn a_goodbye_takes_the_will_back_unless_it_asks_for_it() {
    let mut rig = Rig::listener();
    rig.hear(&kept_connect(MqttVersion::V5, 600, Some(&will(0))));
    rig.hear(&[0xe0, 0]);
    assert_eq!((rig.appends.len(), rig.closed), (0, Some(Close::PeerDisconnected(0))));
    let mut rig = Rig::listener();
    rig.hear(&kept_connect(MqttVersion::V5, 600, Some(&will(0))));
    rig.hear(&[0xe0, 1, 4]);
    assert_eq!(rig.appends.len(), 1);
}

#[test]
fn the_gateways_own_stop_says_no_wills() {
    let mut rig = Rig::listener();
    rig.hear(&kept_connect(MqttVersion::V5, 600, Some(&will(0))));
    rig.session.close(Close::Stopping, rig.now);
    rig.act();
    assert_eq!((rig.appends.len(), rig.closed.clone()), (0, Some(Close::Stopping)));
}

#[test]
fn a_delayed_will_is_handed_over_and_not_said_by_the_connection() {
    let mut rig = Rig::listener();
    rig.hear(&kept_connect(MqttVersion::V5, 600, Some(&will(30))));
    rig.session.close(Close::PeerClosed, rig.now);
    rig.act();
    assert_eq!(rig.appends.len(), 0);
    let (record, delay) = rig.session.take_late_will().expect("a will");
    assert_eq!((&record.payload[..], delay), (&b"gone"[..], 30 * SECOND));
}

#[test]
fn a_will_of_a_session_that_is_not_kept_does_not_wait() {
    let mut rig = Rig::listener();
    rig.hear(&kept_connect(MqttVersion::V5, 0, Some(&will(30))));
    rig.session.close(Close::PeerClosed, rig.now);
    rig.act();
    assert_eq!(rig.appends.len(), 1);
}

fn subscribe_bytes(filter: &str) -> Vec<u8> {
    let length = 2 + 2 + filter.len() + 1;
    [&[0x82, length as u8, 0, 9, 0, filter.len() as u8][..], filter.as_bytes(), &[1]].concat()
}

#[test]
fn results_of_the_gateway_can_be_subscribed_to_and_are_told() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 60);
    rig.hear(&subscribe_bytes("gateway/+/anomalies/#"));
    assert_eq!(rig.sent(), &[0x90, 3, 0, 9, 0][..]);
    assert_eq!(rig.news.last(), Some(&Action::Listens));
    assert!(rig.session.tell("gateway/edge/anomalies/a/b", b"{}", false, rig.now));
    assert_eq!(rig.sent(), [&[0x30, 30, 0, 26][..], b"gateway/edge/anomalies/a/b", b"{}"].concat());
    assert!(rig.session.tell("gateway/edge/windows/a/b", b"{}", false, rig.now));
    assert_eq!(rig.sent(), "", "not subscribed");
}

#[test]
fn a_subscriber_that_does_not_read_loses_results_and_no_acknowledgements() {
    let mut rig = Rig::open_listener(MqttVersion::V311, 0);
    rig.hear(&subscribe_bytes("gateway/#"));
    let mut told = 0;
    while rig.session.tell("gateway/a", &[0; 1_000], false, rig.now) {
        told += 1;
    }
    assert!((20..40).contains(&told), "{told}");
    assert!(rig.session.takes_bytes());
    rig.hear(&qos1(7));
    rig.receipt(0);
    assert!(rig.sent().ends_with(&acks(&[7])));
}

#[test]
fn a_kept_subscription_is_there_at_the_next_connection() {
    let mut rig = kept_listener(MqttVersion::V311, None);
    rig.hear(&subscribe_bytes("gateway/#"));
    let mut again = kept_listener(MqttVersion::V311, Some(last_kept(&rig)));
    again.sent();
    again.session.tell("gateway/x", b"1", false, again.now);
    assert_eq!(again.sent()[0], 0x30);
}

fn dial(config: &MqttConfig, kept: Kept) -> Rig {
    let now = Instant::now();
    let mut rig = Rig::new(Session::dial(config, Subscribe::IfNeeded, kept, Epoch(2), now).unwrap(), now);
    rig.sent();
    rig
}

fn of(filters: &[&str]) -> Kept {
    Kept { filters: filters.iter().map(|f| (*f).to_owned()).collect(), qos: 1, ..Kept::default() }
}

#[test]
fn a_kept_session_that_has_our_filters_is_not_subscribed_again() {
    let config = MqttConfig::default();
    let mut kept = dial(&config, of(&["sensors/#"]));
    kept.hear(&[0x20, 2, 1, 0]);
    assert_eq!(kept.sent(), "");
    let mut lost = dial(&config, of(&["sensors/#"]));
    lost.hear(&[0x20, 2, 0, 0]);
    assert_eq!(lost.sent()[0], 0x82);
}

#[test]
fn a_filter_that_is_no_longer_wanted_is_given_up_at_the_broker() {
    let mut rig = dial(&MqttConfig::default(), of(&["old/#", "sensors/#"]));
    rig.hear(&[0x20, 2, 1, 0]);
    let sent = rig.sent();
    assert_eq!(sent[0], 0x82);
    let unsubscribe = &sent[2 + usize::from(sent[1])..];
    assert_eq!((unsubscribe[0], &unsubscribe[6..]), (0xa2, &b"old/#"[..]));
    assert_eq!(last_kept(&rig).filters, ["old/#", "sensors/#"], "until the broker has answered");
    rig.hear(&[0x90, 3, 0, 1, 1, 0xb0, 2, 0, 2]);
    assert_eq!(last_kept(&rig).filters, ["sensors/#"]);
}

#[test]
fn a_session_that_the_broker_has_lost_is_durably_forgotten_before_it_is_subscribed_again() {
    let config = MqttConfig { qos: 2, ..MqttConfig::default() };
    let mut first = dial(&config, Kept::default());
    first.hear(&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 2]);
    first.hear(&qos2(MqttVersion::V311, 7));
    let kept = last_kept(&first);

    let mut rig = dial(&config, kept);
    rig.session.on_bytes(&mut BytesMut::from(&[0x20, 2, 0, 0][..]), STAMP, rig.now);
    let mut append = rig.session.poll();
    while let Some(Action::Opened(_)) = append {
        append = rig.session.poll();
    }
    let Some(Action::Append { ticket, state: Some(Some(bytes)), .. }) = append else { panic!("a state: {append:?}") };
    assert_eq!(rig.sent(), "", "no SUBSCRIBE yet");
    let mut expected = Kept { filters: vec!["sensors/#".into()], qos: 2, ..Kept::default() };
    assert_eq!(Kept::from_bytes(&bytes), Some(expected.clone()));
    assert!(expected.take(7), "the message of the old session does not hide one of the new");
    rig.session.on_appended(rig.now);
    rig.session.on_receipt(ticket, rig.now);
    assert_eq!(rig.sent()[0], 0x82);
}

#[test]
fn a_gateway_tells_the_broker_that_it_is_there_and_that_it_goes() {
    let config = MqttConfig { status_topic: "gateway/edge/status".into(), ..MqttConfig::default() };
    let now = Instant::now();
    let mut rig =
        Rig::new(Session::dial(&config, Subscribe::IfNeeded, of(&["sensors/#"]), Epoch(2), now).unwrap(), now);
    let connect = rig.sent();
    let frame = Frame::peek(&connect, usize::MAX).unwrap().unwrap();
    let Ok(Packet::Connect(connect)) = wire::decode(MqttVersion::V311, &connect, frame) else {
        panic!("not a CONNECT")
    };
    let will = connect.will.expect("a will");
    assert_eq!(
        (&will.topic[..], &will.payload[..], will.retained),
        (&b"gateway/edge/status"[..], wire::Status::OFFLINE.as_bytes(), true)
    );

    let said = |sent: Bytes| {
        let frame = Frame::peek(&sent, usize::MAX).unwrap().unwrap();
        wire::decode_publish(MqttVersion::V311, &sent, 0, frame).unwrap()
    };
    rig.hear(&[0x20, 2, 1, 0]);
    let online = said(rig.sent());
    assert_eq!((&online.payload[..], online.retained, online.qos), (wire::Status::ONLINE.as_bytes(), true, 1));
    rig.hear(&[0x40, 2, 0, 3]);
    rig.session.close(Close::Stopping, rig.now);
    rig.act();
    let goodbye = rig.sent();
    assert!(goodbye.ends_with(&[0xe0, 0]));
    let offline = said(goodbye);
    assert_eq!((&offline.payload[..], offline.retained), (wire::Status::OFFLINE.as_bytes(), true));
}
