//! The sink against a broker of a few packets; a real one is in the end-to-end tests.

use firmware_protocol::derived::{Derived, Status, Window};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Publish;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::clock::SharedClockMap;
use crate::forward::testing::{decoder, gap, labels, record};
use crate::forward::{Encoder, Times};
use crate::publisher::testing::{Heard, Manner, broker};
use crate::publisher::{IN_FLIGHT_MAX, OFFLINE, ONLINE};
use crate::queue::{Log, QueueSeq, Record};

fn config(port: u16) -> MqttSinkConfig {
    MqttSinkConfig {
        name: "house".into(),
        broker: Broker { host: "127.0.0.1".into(), port, tls: None, client_id: "edge-1-house".into(), login: None },
        topic: TopicTemplate::parse("gw/{log}/{device}", &TopicTemplate::NAMES).unwrap(),
        raw_topic: TopicTemplate::parse("gw/raw/{topic}", &TopicTemplate::RAW_NAMES).unwrap(),
        retain: vec![Kind::Gaps],
        payload_max_bytes: 1_000,
        status_topic: "gw/status".into(),
        delivery: DeliveryConfig::default(),
    }
}

fn encoder() -> MqttEncoder {
    MqttEncoder::new(&config(1), decoder(), SharedClockMap::default(), &labels())
}

fn window() -> Record {
    record(
        "",
        &Derived::Window(Window {
            id: "0".into(),
            device: "pump-7".into(),
            channel: "flow".into(),
            start_at_ms: 0,
            end_at_ms: 1,
            revision: 0,
            count: 1,
            gap_s: 0.0,
            stats: None,
            status: Status::Learning,
            score: None,
        })
        .to_json(),
    )
}

fn batch(messages: usize) -> Batch {
    let mut encoder = encoder();
    for seq in 0..messages {
        let payload = seq.to_string();
        encoder.push(Log::Raw, QueueSeq(seq as u64), &record("sensors/a", payload.as_bytes())).unwrap();
    }
    encoder.take().unwrap()
}

async fn publish(heard: &mut UnboundedReceiver<Heard>) -> Publish {
    loop {
        if let Heard::Publish(publish) = heard.recv().await.unwrap() {
            return publish;
        }
    }
}

#[test]
fn records_become_messages_by_their_topics_and_keep_their_payloads() {
    let mut encoder = encoder();
    encoder.push(Log::Derived, QueueSeq(0), &window()).unwrap();
    encoder.push(Log::Derived, QueueSeq(1), &gap("a")).unwrap();
    let times = encoder.push(Log::Raw, QueueSeq(0), &record("sensors/a", b"\x00\xff")).unwrap();
    assert_eq!(times, Times { is_marked: true, ..Times::default() }, "its boot is not known");
    let batch = encoder.take().unwrap();
    let said: Vec<_> = batch.messages.iter().map(|m| (m.topic.as_str(), m.retain)).collect();
    assert_eq!(said, [("gw/windows/pump-7", false), ("gw/gaps/a", true), ("gw/raw/sensors/a", false)]);
    assert_eq!(&batch.messages[2].payload[..], b"\x00\xff");
    assert!(encoder.take().is_none() && encoder.pending_bytes() == 0, "a batch is taken once");
}

#[test]
fn what_no_broker_takes_is_kept_aside_and_does_not_hold_up_the_rest() {
    let mut encoder = encoder();
    let long = encoder.push(Log::Raw, QueueSeq(0), &record("sensors/a", &[b'x'; 1_001])).unwrap_err();
    assert_eq!((long.reason, long.detail.as_str()), ("too_large", "payload of 1001 bytes, limit is 1000"));
    assert_eq!(encoder.push(Log::Derived, QueueSeq(0), &record("", b"{}")).unwrap_err().reason, "derived");
    assert!(encoder.take().is_none());
}

#[tokio::test]
async fn a_batch_is_confirmed_once_each_message_was_acknowledged_and_the_next_one_goes_the_same_way() {
    let (port, mut heard) = broker(vec![Manner::Acknowledges]).await;
    let sink = MqttSink::new(&config(port));
    let messages = 2 * IN_FLIGHT_MAX + 1;
    sink.send(&batch(messages)).await.unwrap();
    sink.send(&batch(1)).await.unwrap();
    let Some(Heard::Connect(connect)) = heard.recv().await else { panic!("no CONNECT") };
    let will = connect.last_will.expect("a will");
    assert_eq!((will.topic.as_str(), &will.message[..], will.retain), ("gw/status", OFFLINE.as_bytes(), true));
    let online = publish(&mut heard).await;
    assert_eq!((online.topic.as_str(), &online.payload[..], online.retain), ("gw/status", ONLINE.as_bytes(), true));
    for n in (0..messages).chain([0]) {
        let publish = publish(&mut heard).await;
        assert_eq!((publish.qos, &publish.payload[..]), (QoS::AtLeastOnce, n.to_string().as_bytes()));
    }
    drop(sink);
    assert_eq!(&publish(&mut heard).await.payload[..], OFFLINE.as_bytes(), "it says good-bye");
    assert_eq!(heard.recv().await, Some(Heard::Left));
}

#[tokio::test]
async fn a_broker_that_goes_away_in_the_middle_gets_the_whole_batch_again() {
    let (port, mut heard) = broker(vec![Manner::ClosesAfter(2), Manner::Acknowledges]).await;
    let sink = MqttSink::new(&MqttSinkConfig { status_topic: String::new(), ..config(port) });
    let batch = batch(3);
    let Err(SinkError::Retry { .. }) = sink.send(&batch).await else { panic!("it was taken") };
    sink.send(&batch).await.unwrap();
    let mut payloads = Vec::new();
    for _ in 0..5 {
        payloads.push(String::from_utf8(publish(&mut heard).await.payload.to_vec()).unwrap());
    }
    assert_eq!(payloads, ["0", "1", "0", "1", "2"]);
}

#[tokio::test]
async fn a_broker_that_says_nothing_is_given_up_after_the_timeout() {
    let (port, _heard) = broker(vec![Manner::Silent]).await;
    let delivery = DeliveryConfig { timeout: Duration::from_millis(50), ..DeliveryConfig::default() };
    let sink = MqttSink::new(&MqttSinkConfig { delivery, ..config(port) });
    let Err(SinkError::Retry { reason, .. }) = sink.send(&batch(1)).await else { panic!("it was taken") };
    assert_eq!(reason, "not acknowledged within 50ms");
    assert!(sink.connected.lock().await.is_none(), "what was under way is gone with its connection");
}

#[tokio::test]
async fn a_login_that_is_refused_is_a_setting_to_mend_and_nobody_there_is_not() {
    let (port, _heard) = broker(vec![Manner::RefusesLogin]).await;
    let outcome = MqttSink::new(&config(port)).send(&batch(1)).await;
    assert!(matches!(outcome, Err(SinkError::Misconfigured { .. })), "{outcome:?}");
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let outcome = MqttSink::new(&config(port)).send(&batch(1)).await;
    assert!(matches!(outcome, Err(SinkError::Retry { .. })), "{outcome:?}");
}
