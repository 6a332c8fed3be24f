//! Against librdkafka's own mock broker, on loopback.

use std::time::Duration;

use bytes::Bytes;
use firmware_protocol::envelope::Envelope;
use firmware_protocol::measurement::FrameIdentity;
use firmware_protocol::{BootId, DeviceSeq};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::message::Message;
use super::reports::LastError;
use super::*;
use crate::clock::SharedClockMap;
use crate::forward::testing::{decoder, frame, gap, labels, record, retained};
use crate::forward::{DeliveryConfig, Encoder, TlsFiles};
use crate::queue::{Door, Log, QueueSeq, Record};
use crate::secret::{Secret, SecretSource};

const TIMEOUT: Duration = Duration::from_secs(20);

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    for topic in ["t.raw", "t.gaps"] {
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    cluster
}

fn config(bootstrap: &str, timeout: Duration) -> KafkaConfig {
    KafkaConfig {
        name: "kafka".into(),
        bootstrap: bootstrap.into(),
        topics: Topics::new("t"),
        compression: Compression::Lz4,
        security: KafkaSecurity::default(),
        delivery: DeliveryConfig { timeout, ..DeliveryConfig::default() },
    }
}

fn sink(bootstrap: &str, timeout: Duration) -> KafkaSink {
    KafkaSink::new(&config(bootstrap, timeout), "edge-1").unwrap()
}

fn encoder() -> KafkaEncoder {
    KafkaEncoder::new(decoder(), SharedClockMap::default(), &labels())
}

fn batch(payloads: &[String]) -> Batch {
    let mut encoder = encoder();
    for (seq, payload) in payloads.iter().enumerate() {
        encoder.push(Log::Raw, QueueSeq(seq as u64), &record("sensors/a", payload.as_bytes())).unwrap();
    }
    encoder.take().unwrap()
}

fn consumer(bootstrap: &str, topic: &str) -> BaseConsumer {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", bootstrap).set("group.id", "test");
    let consumer: BaseConsumer = settings.create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&partitions).unwrap();
    consumer
}

fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    consumer.poll(TIMEOUT).expect("a message in time").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_arrives_as_it_was_received_with_key_headers_and_in_order() {
    let cluster = cluster();
    let bootstrap = cluster.bootstrap_servers();
    let payloads: Vec<String> = (0..1_000).map(|i| format!("{{\"x\":{i}}}")).collect();
    let batch = batch(&payloads);
    assert!(KafkaSink::wire_bytes(&batch) > 1_000);
    sink(&bootstrap, TIMEOUT).send(&batch).await.unwrap();
    let consumer = consumer(&bootstrap, "t.raw");
    for (seq, payload) in payloads.iter().enumerate() {
        let message = next(&consumer);
        assert_eq!(message.payload(), Some(payload.as_bytes()));
        assert_eq!(message.key(), Some(&b"a"[..]));
        let headers: Vec<_> = message.headers().unwrap().iter().map(|h| (h.key, h.value.unwrap())).collect();
        let envelope = Envelope::from_headers(headers).unwrap();
        assert_eq!((envelope.queue_seq, envelope.gateway), (seq as u64, "edge-1"));
        assert_eq!((envelope.topic, envelope.door, envelope.identity), ("sensors/a", "mqtt", None));
        assert_eq!(envelope.decoder.map(|name| name.as_str()), Some("sensors/{device}/1"));
    }
}

/// The headers of the record's message.
fn headers(record: &Record) -> Vec<(&'static str, Vec<u8>)> {
    let mut encoder = encoder();
    encoder.push(Log::Raw, QueueSeq(0), record).unwrap();
    let batch = encoder.take().unwrap();
    batch.messages().flat_map(Message::headers).map(|(name, value)| (name, value.to_vec())).collect()
}

fn envelope<'a>(headers: &'a [(&'static str, Vec<u8>)]) -> Envelope<'a> {
    Envelope::from_headers(headers.iter().map(|(name, value)| (*name, value.as_slice()))).unwrap()
}

#[test]
fn a_frames_identity_is_in_the_headers_unless_the_frame_is_damaged() {
    let identity = FrameIdentity { boot: BootId(3), seq: DeviceSeq(9) };
    assert_eq!(envelope(&headers(&frame())).identity, Some(identity));
    let mut damaged = frame().payload.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(envelope(&headers(&record("sensors/a", &damaged))).identity, None);
}

#[test]
fn a_brokers_retained_copy_is_marked_and_a_sensors_wish_to_retain_is_not() {
    let copy = retained(record("sensors/a", b"1"));
    assert!(envelope(&headers(&copy)).retained);
    assert!(!envelope(&headers(&Record { door: Door::Listen, ..copy })).retained);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn derived_records_go_to_the_topic_of_their_schema() {
    let cluster = cluster();
    let bootstrap = cluster.bootstrap_servers();
    let mut encoder = encoder();
    encoder.push(Log::Derived, QueueSeq(0), &gap("press-07")).unwrap();
    sink(&bootstrap, TIMEOUT).send(&encoder.take().unwrap()).await.unwrap();
    let consumer = consumer(&bootstrap, "t.gaps");
    let message = next(&consumer);
    assert_eq!((message.key(), message.payload()), (Some(&b"press-07"[..]), Some(&gap("press-07").payload[..])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_and_comes_back_gets_everything_and_nothing_overtakes() {
    let cluster = cluster();
    let bootstrap = cluster.bootstrap_servers();
    let sink = sink(&bootstrap, Duration::from_secs(2));
    let payloads: Vec<String> = (0..500).map(|i| format!("{i}")).collect();
    sink.send(&batch(&payloads[..100])).await.unwrap();
    cluster.broker_down(1).unwrap();
    let rest = batch(&payloads[100..]);
    let outcome = sink.send(&rest).await;
    assert!(matches!(outcome, Err(SinkError::Retry { .. })), "{outcome:?}");
    cluster.broker_up(1).unwrap();
    let mut attempts = 0;
    while let Err(error) = sink.send(&rest).await {
        attempts += 1;
        assert!(attempts < 20, "the broker is back: {error}");
    }
    let consumer = consumer(&bootstrap, "t.raw");
    let mut first_arrivals: Vec<String> = Vec::new();
    while first_arrivals.len() < payloads.len() {
        let payload = String::from_utf8(next(&consumer).payload().unwrap().to_vec()).unwrap();
        if !first_arrivals.contains(&payload) {
            first_arrivals.push(payload);
        }
    }
    assert_eq!(first_arrivals, payloads);
}

#[test]
fn a_message_above_the_brokers_limit_is_not_even_tried() {
    let mut encoder = encoder();
    let large =
        crate::queue::Record { payload: Bytes::from(vec![b'1'; MESSAGE_MAX_BYTES]), ..record("sensors/a", b"") };
    assert_eq!(encoder.push(Log::Raw, QueueSeq(0), &large).unwrap_err().reason, "too_large");
    assert!(encoder.take().is_none(), "nothing of it stays in the batch");
}

#[test]
fn failures_are_told_apart_by_what_helps() {
    let of = |code| verdict(&KafkaError::MessageProduction(code), &Topics::new("t"));
    for too_large in [RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::MessageBatchTooLarge] {
        assert!(matches!(of(too_large), SinkError::Reject { .. }), "{too_large}");
    }
    let missing = of(RDKafkaErrorCode::UnknownTopicOrPartition);
    let SinkError::Misconfigured { reason } = missing else { panic!("{missing:?}") };
    assert!(reason.contains("create the topics t.raw, t.windows, t.anomalies and t.gaps"), "{reason}");
    assert!(matches!(of(RDKafkaErrorCode::TopicAuthorizationFailed), SinkError::Misconfigured { .. }));
    for passing in [
        RDKafkaErrorCode::QueueFull,
        RDKafkaErrorCode::NotEnoughReplicas,
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::NotLeaderForPartition,
        RDKafkaErrorCode::LeaderNotAvailable,
    ] {
        assert!(matches!(of(passing), SinkError::Retry { .. }), "{passing}");
    }
}

#[test]
fn silence_is_explained_by_what_broke_the_connection() {
    let of = |code, text: &str| unanswered(TIMEOUT, Some(LastError { code: Some(code), text: text.into() }));
    let wrong = of(RDKafkaErrorCode::Authentication, "Authentication failed");
    assert!(matches!(wrong, SinkError::Misconfigured { .. }), "{wrong:?}");
    let unknown = of(RDKafkaErrorCode::SSL, "SSL handshake failed: certificate verify failed: broker");
    assert!(matches!(unknown, SinkError::Misconfigured { .. }), "{unknown:?}");
    let away = of(RDKafkaErrorCode::BrokerTransportFailure, "Connection refused");
    let SinkError::Retry { reason, .. } = away else { panic!("{away:?}") };
    assert!(reason.contains("Connection refused"), "{reason}");
    assert!(matches!(unanswered(TIMEOUT, None), SinkError::Retry { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_finds_a_message_too_large_rejects_the_batch_and_takes_the_next() {
    let cluster = cluster();
    let sink = sink(&cluster.bootstrap_servers(), TIMEOUT);
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_large]);
    let payload = ["1".to_owned()];
    let outcome = sink.send(&batch(&payload)).await;
    assert!(matches!(outcome, Err(SinkError::Reject { .. })), "{outcome:?}");
    sink.send(&batch(&payload)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_moves_is_followed() {
    let cluster = cluster();
    let sink = sink(&cluster.bootstrap_servers(), TIMEOUT);
    let moved = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    cluster.request_errors(RDKafkaApiKey::Produce, &[moved, moved]);
    sink.send(&batch(&["1".to_owned()])).await.unwrap();
}

#[test]
fn this_build_can_pack_in_each_way_and_speak_tls_and_scram() {
    let compressions = [Compression::None, Compression::Lz4, Compression::Zstd, Compression::Snappy, Compression::Gzip];
    for compression in compressions {
        let config = KafkaConfig { compression, ..config("127.0.0.1:1", TIMEOUT) };
        KafkaSink::new(&config, "edge-1").map(drop).unwrap();
    }
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let password = SecretSource::fixed(Secret::new("pw"));
        let login = Some(KafkaLogin { mechanism, username: "gw".into(), password });
        let tls = HAS_TLS.then(TlsFiles::default);
        let config = KafkaConfig { security: KafkaSecurity { tls, login }, ..config("127.0.0.1:1", TIMEOUT) };
        let is_made = KafkaSink::new(&config, "edge-1").is_ok();
        assert_eq!(is_made, HAS_TLS || mechanism == SaslMechanism::Plain, "{mechanism:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_read_again_when_a_producer_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    std::fs::write(&path, "w0rn").unwrap();
    let password = SecretSource::file(path.clone(), Secret::new("w0rn"));
    let login = Some(KafkaLogin { mechanism: SaslMechanism::Plain, username: "gw".into(), password });
    let security = KafkaSecurity { tls: None, login };
    let sink = KafkaSink::new(&KafkaConfig { security, ..config("127.0.0.1:1", TIMEOUT) }, "edge-1").unwrap();
    std::fs::remove_file(&path).unwrap();
    let outcome = sink.replace(sink.producer()).await;
    let Err(SinkError::Misconfigured { reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("password_file names"), "{reason}");
    std::fs::write(&path, "fre5h").unwrap();
    let before = sink.producer();
    sink.replace(before.clone()).await.unwrap();
    assert!(!Arc::ptr_eq(&before, &sink.producer()));
}
