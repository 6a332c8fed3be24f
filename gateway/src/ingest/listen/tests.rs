//! Real clients over loopback. The rules are tested in `session`; here it is the wiring.

use bytes::Bytes;
use rumqttc::{AsyncClient, MqttOptions, v5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::ingest::access;
use crate::metrics::{DoorLabel, DoorReason, Security};
use crate::queue::{self, Log, Queue, QueueSeq, Record};
use crate::shutdown::{self, Trigger};

/// No step takes longer, even on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

struct Door {
    addr: SocketAddr,
    queue: Queue,
    _dir: tempfile::TempDir,
    metrics: Ingest,
    stop: Trigger,
    task: JoinHandle<Result<(), Error>>,
}

impl Door {
    fn open(config: ListenConfig) -> Self {
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(ListenConfig { bind, ..config }).unwrap();
        let addr = listener.local_addr();
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(&queue::Config::new(dir.path()), crate::metrics::Queue::default()).unwrap();
        let metrics = Ingest::default();
        let (stop, stopped) = shutdown::channel();
        let doorway = Doorway {
            appender: queue.appender(),
            monitor: queue.monitor(),
            clock: Clock::system(),
            metrics: metrics.clone(),
            results: Results::new("edge"),
            guard: Guard::new("listen", None, &access::Config::default(), &Security::default()).unwrap(),
        };
        let task = tokio::spawn(listener.run(doorway, stopped));
        Self { addr, queue, _dir: dir, metrics, stop, task }
    }

    async fn records(&self, count: u64) -> Vec<Record> {
        let mut reader = self.queue.reader("test");
        within(async {
            while reader.end(Log::Raw) < QueueSeq(count) {
                reader.changed().await.unwrap();
            }
        })
        .await;
        let mut records = Vec::new();
        while let Some(block) = reader.read(Log::Raw, QueueSeq(records.len() as u64)).unwrap() {
            records.extend(block.records_from(QueueSeq(records.len() as u64)).map(|(_, record)| record.clone()));
        }
        records
    }

    async fn connect(&self, connect: &[u8]) -> TcpStream {
        let mut stream = within(TcpStream::connect(self.addr)).await.unwrap();
        stream.write_all(connect).await.unwrap();
        stream
    }

    fn acks(&self) -> u64 {
        self.metrics.acks.get_or_create(&DoorLabel { door: "listen" }).get()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("the deadline holds")
}

async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// All until the other side closes, be it with a reset.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.map(drop).unwrap_or_default();
    bytes
}

/// CONNECT of a clean session, keep-alive 60 s; client id `a`.
fn connect(level: u8) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let body = [&[0, 4][..], b"MQTT", &[level, 2, 0, 60], properties, &[0, 1, b'a']].concat();
    [&[0x10, body.len() as u8][..], &body].concat()
}

#[tokio::test]
async fn a_3_1_1_client_gets_its_pubacks_and_its_messages_are_stored() {
    let door = Door::open(ListenConfig::default());
    let (client, mut events) =
        AsyncClient::new(MqttOptions::new("sensor", door.addr.ip().to_string(), door.addr.port()), 200);
    for n in 0..100 {
        client.publish("sensors/a", rumqttc::QoS::AtLeastOnce, false, format!("{n}")).await.unwrap();
    }
    let mut acked = 0;
    while acked < 100 {
        if let rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_)) = within(events.poll()).await.unwrap() {
            acked += 1;
        }
    }
    let payloads: Vec<Bytes> = door.records(100).await.into_iter().map(|r| r.payload).collect();
    assert_eq!(payloads, (0..100).map(|n| Bytes::from(n.to_string())).collect::<Vec<_>>());
    assert_eq!(door.acks(), 100);
}

#[tokio::test]
async fn a_v5_client_gets_its_pubacks_and_its_content_type_is_stored() {
    let door = Door::open(ListenConfig::default());
    let (client, mut events) =
        v5::AsyncClient::new(v5::MqttOptions::new("sensor", door.addr.ip().to_string(), door.addr.port()), 10);
    let properties = v5::mqttbytes::v5::PublishProperties {
        content_type: Some("application/json".into()),
        ..v5::mqttbytes::v5::PublishProperties::default()
    };
    let qos = v5::mqttbytes::QoS::AtLeastOnce;
    client.publish_with_properties("sensors/a", qos, false, "{}", properties).await.unwrap();
    loop {
        let event = within(events.poll()).await.unwrap();
        if matches!(event, v5::Event::Incoming(v5::mqttbytes::v5::Packet::PubAck(_))) {
            break;
        }
    }
    let records = door.records(1).await;
    assert_eq!((&records[0].content_type[..], &records[0].payload[..]), (&b"application/json"[..], &b"{}"[..]));
}

#[tokio::test]
async fn a_message_longer_than_one_read_comes_in_whole() {
    let door = Door::open(ListenConfig::default());
    let mut stream = door.connect(&connect(4)).await;
    let payload = vec![7u8; 200_000];
    let body = [&[0, 1, b'a', 0, 9][..], &payload].concat();
    let length = body.len();
    let header = [0x32, length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8];
    stream.write_all(&[&header[..], &body].concat()).await.unwrap();
    assert_eq!(read(&mut stream, 8).await, [0x20, 2, 0, 0, 0x40, 2, 0, 9]);
    assert_eq!(door.records(1).await[0].payload, payload);
}

#[tokio::test]
async fn a_new_connection_takes_over_its_client_id() {
    let door = Door::open(ListenConfig::default());
    let mut old = door.connect(&connect(5)).await;
    let greeting = read(&mut old, 2).await[1];
    read(&mut old, greeting.into()).await;
    let mut new = door.connect(&connect(4)).await;
    assert_eq!(read(&mut new, 4).await, [0x20, 2, 0, 0]);
    assert_eq!(read_to_end(&mut old).await, [0xe0, 1, 0x8e]);
    new.write_all(&[0xc0, 0]).await.unwrap();
    assert_eq!(read(&mut new, 2).await, [0xd0, 0]);
}

#[tokio::test]
async fn a_client_id_that_no_session_can_be_kept_under_is_refused() {
    let door = Door::open(ListenConfig::default());
    for id in ["x".repeat(257), "a\0b".to_owned()] {
        let body = [&[0, 4][..], b"MQTT", &[4, 2, 0, 60], &(id.len() as u16).to_be_bytes(), id.as_bytes()].concat();
        let length = [body.len() as u8 | 0x80, (body.len() >> 7) as u8];
        let mut stream = door.connect(&[&[0x10][..], &length, &body].concat()).await;
        assert_eq!(read_to_end(&mut stream).await, [0x20, 2, 0, 2], "{id:?}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_counted() {
    let door = Door::open(ListenConfig { connections_max: 1, ..ListenConfig::default() });
    let mut first = door.connect(&connect(4)).await;
    read(&mut first, 4).await;
    let mut second = door.connect(&[]).await;
    assert_eq!(read_to_end(&mut second).await, b"");
    let label = DoorReason { door: "listen", reason: "connections_max" };
    assert_eq!(door.metrics.disconnects.get_or_create(&label).get(), 1);
    // The one that is in stays.
    first.write_all(&[0xc0, 0]).await.unwrap();
    assert_eq!(read(&mut first, 2).await, [0xd0, 0]);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let door = Door::open(ListenConfig { connect_timeout: Duration::from_millis(1), ..ListenConfig::default() });
    let mut stream = door.connect(&[]).await;
    assert_eq!(read_to_end(&mut stream).await, b"");
}

#[tokio::test]
async fn noise_closes_one_connection_and_no_other() {
    let door = Door::open(ListenConfig::default());
    let mut good = door.connect(&connect(4)).await;
    read(&mut good, 4).await;
    let mut noisy = door.connect(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(read_to_end(&mut noisy).await, b"");
    good.write_all(&[0xc0, 0]).await.unwrap();
    assert_eq!(read(&mut good, 2).await, [0xd0, 0]);
}

#[tokio::test]
async fn the_stop_says_goodbye_and_ends_the_door() {
    let door = Door::open(ListenConfig::default());
    let mut stream = door.connect(&connect(5)).await;
    let greeting = read(&mut stream, 2).await[1];
    read(&mut stream, greeting.into()).await;
    stream.write_all(&[0x32, 7, 0, 1, b'a', 0, 9, 0, b'1']).await.unwrap();
    assert_eq!(read(&mut stream, 4).await, [0x40, 2, 0, 9]);
    door.stop.stop();
    assert_eq!(read_to_end(&mut stream).await, [0xe0, 1, 0x8b]);
    drop(stream);
    within(door.task).await.unwrap().unwrap();
    assert_eq!(door.metrics.connections.get_or_create(&DoorLabel { door: "listen" }).get(), 0);
}

#[tokio::test]
async fn a_busy_port_names_the_address_and_the_option() {
    let first = Listener::bind(ListenConfig { bind: ([127, 0, 0, 1], 0).into(), ..ListenConfig::default() }).unwrap();
    let second = Listener::bind(ListenConfig { bind: first.local_addr(), ..ListenConfig::default() });
    let message = second.err().expect("the port is taken").to_string();
    assert!(message.contains(&first.local_addr().to_string()) && message.contains("`listen.bind`"), "{message}");
}
