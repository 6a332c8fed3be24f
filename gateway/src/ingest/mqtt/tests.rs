//! Against a broker that the test plays byte by byte. The rules are tested in `session`; here it is the wiring.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::frames::Requests;
use crate::metrics::DoorReason;
use crate::queue::{self, Log, Queue, QueueSeq};
use crate::shutdown::{self, Trigger};

/// No step takes longer, even on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A door that dials us.
struct Rig {
    broker: TcpListener,
    queue: Queue,
    _dir: tempfile::TempDir,
    metrics: Ingest,
    stop: Trigger,
    task: JoinHandle<Result<(), Error>>,
}

impl Rig {
    async fn new() -> Self {
        let broker = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let config = MqttConfig {
            port: broker.local_addr().unwrap().port(),
            reconnect_max: Duration::from_millis(1),
            ..MqttConfig::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(&queue::Config::new(dir.path()), crate::metrics::Queue::default()).unwrap();
        let metrics = Ingest::default();
        let (stop, stopped) = shutdown::channel();
        let task = tokio::spawn(run(
            config,
            queue.appender(),
            queue.monitor(),
            Clock::system(),
            metrics.clone(),
            Requests::default().listen(),
            stopped,
        ));
        Self { broker, queue, _dir: dir, metrics, stop, task }
    }

    /// The door's next connection, its CONNECT read.
    async fn dialled(&self) -> TcpStream {
        let (mut stream, _) = within(self.broker.accept()).await.unwrap();
        let connect = packet(&mut stream).await;
        assert_eq!((connect[0], &connect[4..8]), (0x10, &b"MQTT"[..]));
        assert_eq!(connect[9] & 2, 0, "the session shall be kept");
        stream
    }

    /// Answers CONNECT and SUBSCRIBE.
    async fn connected(&self, session_present: u8) -> TcpStream {
        let mut stream = self.dialled().await;
        stream.write_all(&[0x20, 2, session_present, 0]).await.unwrap();
        let subscribe = packet(&mut stream).await;
        assert_eq!(subscribe[0], 0x82);
        stream.write_all(&[0x90, 3, subscribe[2], subscribe[3], 1]).await.unwrap();
        stream
    }

    fn lost(&self, reason: &'static str) -> u64 {
        self.metrics.disconnects.get_or_create(&DoorReason { door: "mqtt", reason }).get()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("the deadline holds")
}

/// One packet of less than 128 bytes.
async fn packet(stream: &mut TcpStream) -> Vec<u8> {
    within(async {
        let mut bytes = vec![0; 2];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes.resize(2 + usize::from(bytes[1]), 0);
        stream.read_exact(&mut bytes[2..]).await.unwrap();
        bytes
    })
    .await
}

fn publish(packet_id: u8) -> [u8; 8] {
    [0x32, 6, 0, 1, b'a', 0, packet_id, b'1']
}

#[tokio::test]
async fn messages_are_stored_and_acknowledged() {
    let rig = Rig::new().await;
    let mut broker = rig.connected(0).await;
    broker.write_all(&[publish(7), publish(8)].concat()).await.unwrap();
    assert_eq!(packet(&mut broker).await, [0x40, 2, 0, 7]);
    assert_eq!(packet(&mut broker).await, [0x40, 2, 0, 8]);
    assert_eq!(rig.queue.reader("test").end(Log::Raw), QueueSeq(2));
}

#[tokio::test]
async fn a_lost_connection_is_dialled_again_and_a_kept_session_not_subscribed_twice() {
    let rig = Rig::new().await;
    let mut first = rig.connected(0).await;
    // Read until here, the door has seen the answer to its SUBSCRIBE.
    first.write_all(&publish(1)).await.unwrap();
    packet(&mut first).await;
    drop(first);

    let mut second = rig.dialled().await;
    second.write_all(&[0x20, 2, 1, 0]).await.unwrap();
    second.write_all(&publish(2)).await.unwrap();
    assert_eq!(packet(&mut second).await, [0x40, 2, 0, 2]);
    drop(second);

    rig.connected(0).await;
    assert_eq!(rig.lost("peer_closed") + rig.lost("io"), 2);
}

#[tokio::test]
async fn a_new_door_subscribes_even_in_a_kept_session() {
    let rig = Rig::new().await;
    rig.connected(1).await;
}

#[tokio::test]
async fn a_broker_that_refuses_or_hangs_up_is_tried_again() {
    let rig = Rig::new().await;
    drop(rig.dialled().await);
    let mut refusing = rig.dialled().await;
    refusing.write_all(&[0x20, 2, 0, 5]).await.unwrap();
    drop(refusing);
    let mut noisy = rig.dialled().await;
    noisy.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
    drop(noisy);
    rig.connected(0).await;
    assert_eq!(rig.lost("refused"), 1);
}

#[tokio::test]
async fn the_stop_disconnects_and_ends_the_door() {
    let rig = Rig::new().await;
    let mut broker = rig.connected(0).await;
    broker.write_all(&publish(7)).await.unwrap();
    packet(&mut broker).await;
    rig.stop.stop();
    assert_eq!(packet(&mut broker).await, [0xe0, 0]);
    drop(broker);
    within(rig.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_stop_ends_a_door_that_has_no_broker() {
    let broker = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let port = broker.local_addr().unwrap().port();
    drop(broker);
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(&queue::Config::new(dir.path()), crate::metrics::Queue::default()).unwrap();
    let metrics = Ingest::default();
    let (stop, stopped) = shutdown::channel();
    let config = MqttConfig { port, ..MqttConfig::default() };
    let door = run(
        config,
        queue.appender(),
        queue.monitor(),
        Clock::system(),
        metrics.clone(),
        Requests::default().listen(),
        stopped,
    );
    let stopping = async {
        let label = DoorReason { door: "mqtt", reason: "not_reached" };
        while metrics.disconnects.get_or_create(&label).get() == 0 {
            tokio::task::yield_now().await;
        }
        stop.stop();
    };
    within(async { tokio::join!(door, stopping).0 }).await.unwrap();
}
