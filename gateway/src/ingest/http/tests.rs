//! A real server on loopback and a real queue.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{RequestBuilder, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::http::{Limits, Login, Readiness, Server, Site, Sources};
use crate::ingest::access::Filter;
use crate::ingest::access::tokens::TokenConfig;
use crate::metrics::{DoorLabel, DoorReason, Metrics};
use crate::queue::{self, Cursor, Flags, Log, Queue, QueueSeq, Reader, Record, Transaction};
use crate::secret::Secret;
use crate::shutdown::{self, Trigger};

/// No step takes longer, even on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

struct Running {
    addr: SocketAddr,
    queue: Queue,
    reader: Reader,
    metrics: Metrics,
    doors: Trigger,
    door: JoinHandle<Result<(), Error>>,
    client: reqwest::Client,
    _services: Trigger,
    _dir: tempfile::TempDir,
}

impl Running {
    async fn start(config: Config) -> Self {
        Self::with(config, &[], None).await
    }

    /// `pressure`: what the door is told instead of the queue's.
    async fn with(config: Config, tokens: &[TokenConfig], pressure: Option<watch::Receiver<Pressure>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = queue::Config {
            generation_max_bytes: 4 * MIB,
            max_bytes: 48 * MIB,
            ballast_bytes: 0,
            ..queue::Config::new(dir.path())
        };
        let metrics = Metrics::default();
        let queue = Queue::open(&settings, metrics.queue.clone()).unwrap();
        let reader = queue.reader("test");
        let (doors, stop) = shutdown::channel();
        let parts = Parts {
            requests: crate::frames::Requests::default(),
            config,
            tokens: Arc::new(Tokens::new(tokens)),
            appender: queue.appender(),
            clock: Clock::system(),
            pressure: pressure.unwrap_or_else(|| queue.monitor().pressure()),
            metrics: metrics.ingest.clone(),
        };
        let door = Door::new(parts, stop);
        let sources = Sources {
            gateway: "plant-7".into(),
            view: Arc::default(),
            metrics: metrics.clone(),
            ledger: Arc::new(Vec::new),
            readiness: watch::channel(Readiness::Ready).1,
            pressure: queue.monitor().pressure(),
            clock: watch::channel(crate::clock::Status::default()).1,
        };
        let site = Site { sources, doors: door.routes(), login: Login::Open, tls: None, limits: Limits::default() };
        let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let addr = server.addr();
        let (services, stop) = shutdown::channel();
        tokio::spawn(server.run(site, stop));
        let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
        let door = tokio::spawn(door.run());
        Self { addr, queue, reader, metrics, doors, door, client, _services: services, _dir: dir }
    }

    fn post(&self, path: &str, content_type: &'static str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.client.post(format!("http://{}{path}", self.addr)).body(body);
        if content_type.is_empty() { request } else { request.header("content-type", content_type) }
    }

    async fn ndjson(&self, body: impl Into<reqwest::Body>) -> reqwest::Response {
        self.post("/v1/ingest", NDJSON, body).send().await.unwrap()
    }

    /// All that is durable now.
    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        while let Some(block) = self.reader.read(Log::Raw, QueueSeq(records.len() as u64)).unwrap() {
            records.extend(block.records_from(QueueSeq(records.len() as u64)).map(|(_, record)| record.clone()));
        }
        records
    }

    fn texts(&self) -> Vec<(String, String, String)> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        self.records().iter().map(|r| (text(&r.topic), text(&r.payload), text(&r.content_type))).collect()
    }

    fn refused(&self, reason: &'static str) -> u64 {
        self.metrics.ingest.refused.get_or_create(&DoorReason { door: "http", reason }).get()
    }

    /// Takes the queue's last room: what doors hand over from now on waits.
    async fn hold_up(&self) {
        let mut pressure = self.queue.monitor().pressure();
        for round in 0..1_000_u64 {
            let raw = (0..100).map(|n| noise(round * 100 + n)).collect();
            let receipt = self.queue.appender().commit(Transaction { raw, ..Transaction::default() }).await.unwrap();
            let is_held_up = tokio::select! {
                biased;
                done = receipt => { done.unwrap().unwrap(); false }
                held_up = pressure.wait_for(|p| *p == Pressure::OverBudget) => held_up.is_ok(),
            };
            if is_held_up {
                return;
            }
        }
        panic!("the budget holds nobody up");
    }

    async fn release(&self) {
        let end = self.queue.monitor().end(Log::Raw);
        self.reader.advance(Log::Raw, Cursor { next: end, delivered: end.0, ..Cursor::default() });
        within(self.queue.monitor().pressure().wait_for(|p| *p == Pressure::None)).await.unwrap();
    }
}

const NDJSON: &str = "application/x-ndjson";

/// Bytes that no compression makes smaller.
fn noise(seed: u64) -> Record {
    let mut x = seed * 2 + 1;
    let payload = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    });
    Record {
        door: queue::Door::Listen,
        flags: Flags::default(),
        received: crate::clock::Stamp::default(),
        topic: Bytes::from_static(b"noise"),
        payload: payload.take(4_000).collect(),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("the deadline holds")
}

async fn json(answer: reqwest::Response) -> serde_json::Value {
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn token(name: &str, secret: &str, publish: &[&str]) -> TokenConfig {
    let publish = publish.iter().map(|filter| Filter::new(filter)).collect();
    TokenConfig { name: name.into(), secret: Secret::new(secret), publish }
}

#[tokio::test]
async fn records_of_each_format_are_stored_as_they_came_before_the_204() {
    let running = Running::start(Config::default()).await;
    let mut expected = Vec::new();
    for (path, content_type, body, topic, payload, stored_type) in [
        ("/v1/ingest?topic=a/b", "application/json", "{\"x\": 1}", "a/b", "{\"x\": 1}", "application/json"),
        ("/v1/ingest/in/hall%202/x", "application/json", "[{\"x\":2}]", "in/hall 2/x", "{\"x\":2}", "application/json"),
        ("/v1/ingest", NDJSON, "{\"x\":3}\n", "http/ingest", "{\"x\":3}", "application/json"),
        ("/v1/ingest?topic=t", "text/plain", "21.5", "t", "21.5", "text/plain"),
        (
            "/v1/ingest?precision=s",
            "text/plain; charset=utf-8",
            "m,device=a x=1 5\n",
            "http/ingest",
            "m,device=a x=1 5",
            "application/vnd.influx.line-protocol; precision=s",
        ),
    ] {
        let answer = running.post(path, content_type, body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path} {body}");
        expected.push((topic.to_owned(), payload.to_owned(), stored_type.to_owned()));
        assert_eq!(running.texts(), expected, "durable when the answer is here");
    }
    let door = DoorLabel { door: "http" };
    assert_eq!(running.metrics.ingest.messages.get_or_create(&door).get(), 5);
    assert_eq!(running.metrics.ingest.acks.get_or_create(&door).get(), 5);
    assert!(running.records().iter().all(|r| r.door == queue::Door::Http));
}

#[tokio::test]
async fn of_10_000_lines_the_one_that_is_bad_is_told_by_its_number_and_the_rest_is_stored() {
    let running = Running::start(Config::default()).await;
    let lines: Vec<_> =
        (1..=10_000).map(|n| if n == 7_777 { "{\"n\":oops}\n".into() } else { format!("{{\"n\":{n}}}\n") }).collect();
    let answer = running.ndjson(lines.concat()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let answer = json(answer).await;
    assert_eq!((&answer["stored"], &answer["rejected"]), (&9_999.into(), &1.into()));
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    assert_eq!(answer["errors"][0]["line"], 7_777);
    assert!(answer["errors"][0]["reason"].as_str().unwrap().contains("column 6"), "{answer}");
    let expected = lines.iter().filter(|l| !l.contains("oops")).map(|l| Bytes::from(l.trim().to_owned()));
    let records = running.records();
    assert!(records.iter().map(|r| r.payload.clone()).eq(expected), "in order, none twice");
    assert!(records.is_sorted_by(|a, b| a.received < b.received), "databases keep one point per time");
    assert_eq!(running.refused("json"), 1);
}

#[tokio::test]
async fn a_body_without_a_good_line_stores_nothing_and_its_faults_are_bounded() {
    let running = Running::start(Config::default()).await;
    let answer = running.ndjson("x\n".repeat(1_000)).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let answer = json(answer).await;
    assert_eq!((&answer["stored"], &answer["rejected"]), (&0.into(), &1_000.into()));
    assert_eq!(answer["errors"].as_array().unwrap().len(), store::FAULTS_MAX);
    let empty = running.ndjson("\n\n").await;
    assert_eq!(empty.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json(empty).await["errors"][0]["reason"], "the body holds no record");
    assert_eq!(running.records(), []);
    assert_eq!((running.refused("json"), running.refused("empty")), (1_000, 1));
}

#[tokio::test]
async fn gzip_is_unpacked_and_a_bomb_bursts_at_the_limit() {
    let running = Running::start(Config { body_max_bytes: 100_000, ..Config::default() }).await;
    let packed = |bytes: Vec<u8>| running.post("/v1/ingest", NDJSON, bytes).header("content-encoding", "gzip").send();
    let two_members = [gzip(b"{\"a\":1}\n"), gzip(b"{\"b\":2}\n")].concat();
    assert_eq!(packed(two_members).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(running.records().len(), 2);
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let answer = packed(bomb).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let error = answer.text().await.unwrap();
    assert!(error.contains("100000") && error.contains("http.body_max"), "{error}");
    let mut torn = gzip(b"{\"c\":3}\n");
    torn.truncate(torn.len() - 3);
    for broken in [torn, b"{\"d\":4}".to_vec(), vec![]] {
        assert_eq!(packed(broken).await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(running.records().len(), 2);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_with_the_limit_and_the_options_name() {
    let running = Running::start(Config { body_max_bytes: 10_000, ..Config::default() }).await;
    let announced = running.ndjson(vec![b' '; 10_001]).await;
    assert_eq!(announced.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let error = announced.text().await.unwrap();
    assert!(error.contains("10001 bytes") && error.contains("10000") && error.contains("http.body_max"), "{error}");

    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let head = "POST /v1/ingest HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n\
                Transfer-Encoding: chunked\r\n\r\n2711\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b' '; 10_001]).await.unwrap();
    assert!(answer_of(&mut stream).await.starts_with("HTTP/1.1 413 "), "without a length announced");
    assert_eq!(running.refused("too_large"), 2);
}

/// The answer's head and what came with it.
async fn answer_of(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4_096];
    let length = within(stream.read(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let running = Running::start(Config { body_timeout: Duration::from_millis(300), ..Config::default() }).await;
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let head = "POST /v1/ingest HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = answer_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("http.body_timeout"), "{answer}");
    assert_eq!(running.refused("slow"), 1);
    assert_eq!(running.ndjson("{\"a\":1}").await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_with_what_can() {
    let running = Running::start(Config::default()).await;
    for (path, content_type, status, says) in [
        ("/v1/ingest", "", 415, "application/x-ndjson"),
        ("/v1/ingest", "application/x-www-form-urlencoded", 415, "application/x-ndjson"),
        ("/v1/ingest?precision=h", "text/plain", 400, "write ns, us, ms or s"),
        ("/v1/ingest?topic=a/%23", "application/json", 400, "wildcard"),
        ("/v1/ingest?topic=", "application/json", 400, "is empty"),
        ("/v1/ingest/a%00", "application/json", 400, "zero byte"),
        ("/v1/ingest/a?topic=b", "application/json", 400, "in the path and in the query"),
    ] {
        let answer = running.post(path, content_type, "{}").send().await.unwrap();
        assert_eq!(answer.status(), status, "{path} {content_type}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(says), "{text}");
    }
    let packed = running.post("/v1/ingest", NDJSON, "{}").header("content-encoding", "br").send().await.unwrap();
    assert_eq!(packed.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let elsewhere = running.post("/v1/ingest", NDJSON, "{}").header("origin", "http://evil.example").send().await;
    assert_eq!(elsewhere.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(running.client.get(format!("http://{}/v1/ingest", running.addr)).send().await.unwrap().status(), 405);
    assert_eq!(running.records(), []);
}

#[tokio::test]
async fn with_tokens_each_request_needs_one_and_is_held_to_its_topics() {
    let tokens = [token("plc", "hunter2", &["plant/#"]), token("lab", "swordfish", &[])];
    let running = Running::with(Config::default(), &tokens, None).await;
    let post = |topic: &str| running.post(&format!("/v1/ingest/{topic}"), "application/json", "{\"x\":1}");
    let none = post("plant/a").send().await.unwrap();
    assert_eq!(none.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(none.headers()["www-authenticate"], "Bearer realm=\"gateway\"");
    for (answer, status) in [
        (post("plant/a").bearer_auth("hunter3").send().await, 401),
        (post("plant/a").bearer_auth("hunter2").send().await, 204),
        (post("plant/a").basic_auth("any", Some("hunter2")).send().await, 204),
        (post("lab/a").bearer_auth("hunter2").send().await, 403),
        (post("lab/a").header("authorization", "Token swordfish").send().await, 204),
    ] {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), status);
        assert!(!answer.text().await.unwrap().contains("hunter"));
    }
    assert_eq!(running.records().len(), 3);
    assert_eq!((running.refused("unauthorized"), running.refused("topic_not_allowed")), (2, 1));
}

#[tokio::test]
async fn a_client_over_its_rate_is_told_when_to_come_again() {
    let running = Running::start(Config { client_requests_per_second: 1, ..Config::default() }).await;
    let answers = [running.ndjson("{}").await, running.ndjson("{}").await, running.ndjson("{}").await];
    assert_eq!(answers[0].status(), StatusCode::NO_CONTENT);
    let refused = answers.iter().find(|a| a.status() == StatusCode::TOO_MANY_REQUESTS).expect("three in a second");
    assert_eq!(refused.headers()["retry-after"], "1");
}

#[tokio::test]
async fn requests_and_memory_are_bounded_and_given_back() {
    let config = Config { requests_max: 1, memory_max_bytes: 8_192, body_max_bytes: 8_192, ..Config::default() };
    let running = Running::start(config).await;
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let head = "POST /v1/ingest HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\
                Expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(answer_of(&mut stream).await.starts_with("HTTP/1.1 100 "), "it is under way");
    let busy = running.ndjson("{}").await;
    assert_eq!(busy.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(busy.headers()["retry-after"], "1");
    stream.write_all(b"{\"x\":1}").await.unwrap();
    assert!(answer_of(&mut stream).await.starts_with("HTTP/1.1 204 "));
    for _ in 0..20 {
        let body = format!("{{}}{}", " ".repeat(8_000));
        assert_eq!(running.ndjson(body).await.status(), StatusCode::NO_CONTENT, "the room of the one before is back");
    }
    assert_eq!(running.refused("client_requests"), 1);
}

#[tokio::test]
async fn there_is_room_for_no_more_bodies_than_memory_allows() {
    let room = Arc::new(Room::semaphore(3 * 4_096));
    let config = Config { body_max_bytes: 2 * 4_096, ..Config::default() };
    let read = async |room: &mut Room| {
        let body = axum::body::Body::from(vec![b' '; 8_000]);
        body::read(body, gate::Encoding::Identity, &config, room).await
    };
    let (mut first, mut second) = (Room::new(room.clone()), Room::new(room.clone()));
    assert_eq!(read(&mut first).await.unwrap().len(), 8_000);
    assert_eq!(read(&mut second).await.unwrap_err().reason(), "memory_max");
    drop(first);
    assert_eq!(read(&mut second).await.unwrap().len(), 8_000);
}

#[tokio::test]
async fn while_the_queue_is_held_up_senders_are_told_to_come_again_and_then_are_served() {
    let running = Running::start(Config::default()).await;
    running.hold_up().await;
    let answer = running.ndjson("{\"x\":1}").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "5");
    assert!(answer.text().await.unwrap().contains("queue.max_size"));
    running.release().await;
    assert_eq!(running.ndjson("{\"x\":1}").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(running.refused("held_up"), 1);
}

#[tokio::test]
async fn nothing_is_acknowledged_before_its_receipt() {
    // The door does not see it coming, as when the room runs out under its hands.
    let (_tell, blind) = watch::channel(Pressure::None);
    let config = Config { commit_timeout: DEADLINE, ..Config::default() };
    let running = Running::with(config, &[], Some(blind)).await;
    running.hold_up().await;
    let waiting = tokio::spawn(running.post("/v1/ingest", NDJSON, "{\"x\":1}").send());
    // Others are answered meanwhile, so that it had all the time it needs.
    for _ in 0..20 {
        assert_eq!(running.ndjson("x").await.status(), StatusCode::BAD_REQUEST);
    }
    assert!(!waiting.is_finished());
    running.release().await;
    assert_eq!(within(waiting).await.unwrap().unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(running.records().last().unwrap().payload, "{\"x\":1}");
}

#[tokio::test]
async fn a_queue_that_does_not_sync_in_time_is_told_and_the_records_keep_their_memory_until_it_does() {
    let (_tell, blind) = watch::channel(Pressure::None);
    let config = Config { commit_timeout: Duration::ZERO, requests_max: 1, ..Config::default() };
    let running = Running::with(config, &[], Some(blind)).await;
    running.hold_up().await;
    let late = running.ndjson("{\"x\":1}").await;
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(late.text().await.unwrap().contains("http.commit_timeout"));
    assert_eq!(running.ndjson("{}").await.status(), StatusCode::TOO_MANY_REQUESTS, "the first is still there");
    running.release().await;
    let mut changed = running.queue.reader("other");
    within(async {
        while running.records().last().is_none_or(|r| r.payload != "{\"x\":1}") {
            changed.changed().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn after_the_stop_senders_are_told_to_come_again_and_requests_under_way_are_waited_for() {
    let running = Running::start(Config::default()).await;
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let head = "POST /v1/ingest HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\
                Expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(answer_of(&mut stream).await.starts_with("HTTP/1.1 100 "), "it is under way");
    running.doors.stop();
    let refused = running.ndjson("{}").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(!running.door.is_finished());
    stream.write_all(b"{\"x\":1}").await.unwrap();
    assert!(answer_of(&mut stream).await.starts_with("HTTP/1.1 204 "));
    assert!(within(running.door).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_queue_that_is_closed_ends_the_door() {
    let running = Running::start(Config::default()).await;
    running.queue.close().unwrap();
    let request = running.client.post(format!("http://{}/v1/ingest", running.addr)).header("content-type", NDJSON);
    assert_eq!(request.body("{}").send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(matches!(within(running.door).await.unwrap(), Err(Error::Queue(_))));
}
