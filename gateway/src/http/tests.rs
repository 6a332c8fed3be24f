use firmware_protocol::derived::{Anomaly, AnomalyState, Incident, IncidentState, Stats, Status, Window};
use firmware_protocol::measurement::EventTime;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::ingest::access::tokens::{TokenConfig, Tokens};
use crate::metrics::{DoorLabel, SinkLabel};
use crate::queue::{Cursor, Log, QueueSeq};
use crate::secret::Secret;
use crate::shutdown::{self, Trigger};
use crate::view::Point;
use crate::view::testing::incident;

struct Running {
    addr: SocketAddr,
    readiness: watch::Sender<Readiness>,
    pressure: watch::Sender<Pressure>,
    clock: watch::Sender<clock::Status>,
    sources: Sources,
    trigger: Trigger,
    server: tokio::task::JoinHandle<Result<(), Infallible>>,
}

impl Running {
    async fn start() -> Self {
        Self::with(Login::Open, Limits::default(), None).await
    }

    async fn with(login: Login, limits: Limits, tls: Option<Arc<tls::Server>>) -> Self {
        let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let (readiness, watched) = watch::channel(Readiness::Starting);
        let (pressure, watched_pressure) = watch::channel(Pressure::None);
        let (clock, watched_clock) = watch::channel(clock::Status::default());
        let sources = Sources {
            gateway: "plant-7".into(),
            view: Arc::default(),
            metrics: Metrics::default(),
            ledger: Arc::new(|| vec![row()]),
            readiness: watched,
            pressure: watched_pressure,
            clock: watched_clock,
        };
        let (trigger, stop) = shutdown::channel();
        let addr = server.addr();
        let site = Site { sources: sources.clone(), doors: Router::new(), login, tls, limits };
        let server = tokio::spawn(server.run(site, stop));
        Self { addr, readiness, pressure, clock, sources, trigger, server }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("http://{}{path}", self.addr)).await.unwrap()
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_slice(&self.get(path).await.bytes().await.unwrap()).unwrap()
    }
}

fn row() -> LedgerRow {
    let cursor = Cursor { next: QueueSeq(7), delivered: 6, quarantined: 1, ..Cursor::default() };
    LedgerRow {
        consumer: "lines".into(),
        log: Log::Raw,
        accepted: 10,
        queued: 3,
        dropped: 0,
        expired: 0,
        lost: 0,
        cursor,
        ahead: Vec::new(),
    }
}

fn window(channel: &str, start_at_ms: i64, revision: u32) -> Window {
    Window {
        id: format!("{start_at_ms:016x}"),
        device: "motor-1".into(),
        channel: channel.into(),
        start_at_ms,
        end_at_ms: start_at_ms + 600_000,
        revision,
        count: 600,
        gap_s: 1.0,
        stats: Some(Stats { mean: 2.0, min: 1.0, max: 4.0, std: 0.5, p05: 1.5, p50: 2.0, p95: 3.0 }),
        status: Status::Normal,
        score: Some(-1.5),
    }
}

fn anomaly() -> Anomaly {
    Anomaly {
        id: "00000000000927c0".into(),
        device: "motor-1".into(),
        channel: "current".into(),
        start_at_ms: 600_000,
        end_at_ms: 1_200_000,
        revision: 0,
        state: AnomalyState::Confirmed,
        incident: String::new(),
        score: 3.5,
        detector: "window".into(),
        model: String::new(),
        kind: "level".into(),
        feature: "mean".into(),
        value: 9.0,
        expected_low: 1.0,
        expected_high: 3.0,
        share: None,
        peak_from_ms: None,
        peak_to_ms: None,
        channels: Vec::new(),
        summary: "mean 9 instead of 1 to 3".into(),
    }
}

#[tokio::test]
async fn readiness_follows_the_doors_and_says_why_not() {
    let running = Running::start().await;
    for (readiness, status, text) in [
        (Readiness::Starting, 503, "starting"),
        (Readiness::Ready, 200, "ready"),
        (Readiness::Failed("no space left on device".into()), 503, "no space left on device"),
        (Readiness::Stopping, 503, "stopping"),
    ] {
        running.readiness.send_replace(readiness);
        let answer = running.get("/readyz").await;
        assert_eq!(answer.status(), status);
        assert!(answer.text().await.unwrap().contains(text));
        assert_eq!(running.get("/healthz").await.status(), 200);
    }
}

#[tokio::test]
async fn while_doors_are_held_up_the_gateway_is_alive_and_not_ready_and_says_what_to_do() {
    let running = Running::start().await;
    running.readiness.send_replace(Readiness::Ready);
    for (pressure, status, text) in [
        (Pressure::OverBudget, 503, "queue.max_size"),
        (Pressure::DiskFull, 503, "delete files"),
        (Pressure::None, 200, "ready"),
    ] {
        running.pressure.send_replace(pressure);
        let answer = running.get("/readyz").await;
        assert_eq!(answer.status(), status);
        assert!(answer.text().await.unwrap().contains(text));
        assert_eq!(running.get("/healthz").await.status(), 200);
        let state = running.json("/api/v1/state").await;
        assert_eq!(state["held_up"].is_string(), status == 503);
        assert_eq!(state["readiness"], if status == 503 { "held up" } else { "ready" });
    }
}

#[tokio::test]
async fn metrics_are_open_metrics_with_the_ledger_as_of_now() {
    let running = Running::start().await;
    running.sources.metrics.ingest.messages.get_or_create(&DoorLabel { door: "listen" }).inc_by(10);
    let answer = running.get("/metrics").await;
    assert_eq!(answer.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text().await.unwrap();
    for line in [
        r#"gateway_ingest_messages_total{door="listen"} 10"#,
        r#"gateway_ledger_backlog_records{consumer="lines",log="raw"} 3"#,
        r#"gateway_ledger_records{consumer="lines",log="raw",fate="delivered"} 6"#,
        r#"gateway_ledger_records{consumer="lines",log="raw",fate="lost"} 0"#,
        r#"gateway_ledger_balances{consumer="lines",log="raw"} 1"#,
        "gateway_queue_survivable_outage_seconds 315360000.0",
        "gateway_disk_written_bytes_total 0",
        "gateway_disk_written_per_day_bytes 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_state_names_devices_ledger_and_what_was_found_newest_first() {
    let running = Running::start().await;
    let metrics = &running.sources.metrics;
    metrics.ingest.messages.get_or_create(&DoorLabel { door: "mqtt" }).inc_by(3);
    metrics.ingest.messages.get_or_create(&DoorLabel { door: "listen" }).inc_by(4);
    metrics.forward.up.get_or_create(&SinkLabel { sink: "lines".into() }).set(1);
    let view = &running.sources.view;
    for channel in ["current", "voltage"] {
        view.add_points("motor-1", channel, &[Point { at: EventTime::from_millis(1_500), value: 2.25 }]);
    }
    view.add_window(window("current", 0, 0));
    view.add_window(window("current", 600_000, 0));
    view.add_anomaly(anomaly());
    view.add_incident(incident("motor-1", 600_000));
    view.add_incident(Incident { state: IncidentState::Closed, ..incident("motor-2", 1_200_000) });
    running.readiness.send_replace(Readiness::Ready);

    let state = running.json("/api/v1/state").await;
    assert_eq!((&state["gateway"], &state["readiness"]), (&"plant-7".into(), &"ready".into()));
    assert_eq!(state["totals"]["messages"], 7);
    assert_eq!(state["ledger"][0]["delivered"], 6);
    assert_eq!((&state["ledger"][0]["balances"], &state["ledger"][0]["up"]), (&true.into(), &true.into()));
    assert_eq!(state["devices"].as_array().unwrap().len(), 1);
    assert_eq!(state["devices"][0]["channels"][1]["channel"], "voltage");
    assert_eq!(state["devices"][0]["channels"][0]["at_ms"], 1_500);
    assert_eq!(state["windows"][0]["start_at_ms"], 600_000);
    assert_eq!(state["anomalies"][0]["summary"], "mean 9 instead of 1 to 3");
    let devices = [&state["incidents"][0]["device"], &state["incidents"][1]["device"]];
    assert_eq!(devices, ["motor-1", "motor-2"], "open ones first");
}

#[tokio::test]
async fn an_incident_comes_with_its_anomalies_and_can_be_asked_for_by_device_and_state() {
    let running = Running::start().await;
    let view = &running.sources.view;
    view.add_incident(incident("motor-1", 600_000));
    view.add_incident(Incident { state: IncidentState::Withdrawn, ..incident("motor-2", 600_000) });
    view.add_anomaly(anomaly());
    view.add_anomaly(Anomaly { incident: incident("motor-1", 600_000).id, channel: "voltage".into(), ..anomaly() });
    let asked = async |query: &str| {
        let answer = running.json(&format!("/api/v1/incidents{query}")).await;
        answer["incidents"].as_array().unwrap().clone()
    };
    let all = asked("").await;
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["device"], &all[0]["evidence"]["feature"]), (&"motor-1".into(), &"mean".into()));
    let anomalies = all[0]["anomalies"].as_array().unwrap();
    assert_eq!((anomalies.len(), &anomalies[0]["channel"]), (1, &"voltage".into()));
    assert_eq!(asked("?device=motor-2").await.len(), 1);
    assert_eq!(asked("?device=motor-2&state=open").await.len(), 0);
    assert_eq!(running.get("/api/v1/incidents?state=odd").await.status(), 400);
}

#[tokio::test]
async fn a_series_comes_whole_or_only_what_is_new() {
    let running = Running::start().await;
    let view = &running.sources.view;
    let point = |ms: i64| Point { at: EventTime::from_millis(ms), value: ms as f64 };
    view.add_points("motor-1", "current", &[point(1), point(2), point(3)]);
    view.add_points("motor-1", "voltage", &[point(1)]);
    view.add_points("motor-10", "current", &[point(1)]);
    view.add_window(window("current", 0, 0));
    view.add_window(window("current", 0, 1));
    view.add_window(window("current", 600_000, 0));

    let whole = running.json("/api/v1/series?device=motor-1").await;
    assert_eq!(whole["channels"].as_array().unwrap().len(), 2, "another device's channels are not among them");
    assert_eq!(whole["channels"][0]["points"], serde_json::json!([[1, 1.0], [2, 2.0], [3, 3.0]]));
    let windows = &whole["channels"][0]["windows"];
    assert_eq!(windows.as_array().unwrap().len(), 2, "a revision replaces the window before it");
    assert_eq!(windows[0]["levels"], serde_json::json!([1.0, 1.5, 2.0, 3.0, 4.0]));

    let newer =
        running.json("/api/v1/series?device=motor-1&channel=current&points_after_ms=2&windows_after_ms=0").await;
    assert_eq!(newer["channels"].as_array().unwrap().len(), 1);
    assert_eq!(newer["channels"][0]["points"], serde_json::json!([[3, 3.0]]));
    assert_eq!(newer["channels"][0]["windows"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_unknown_series_is_named_and_a_missing_device_is_a_bad_request() {
    let running = Running::start().await;
    let answer = running.get("/api/v1/series?device=nobody&channel=x").await;
    assert_eq!(answer.status(), 404);
    let text = answer.text().await.unwrap();
    assert!(text.contains("`nobody`") && text.contains("`x`"), "{text}");
    assert_eq!(running.get("/api/v1/series").await.status(), 400);
}

#[tokio::test]
async fn the_page_comes_with_its_types_and_a_policy_that_lets_nothing_else_in() {
    let running = Running::start().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = running.get(path).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &content_type.parse().unwrap())
        );
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    assert_eq!(running.get("/nothing").await.status(), 404);
}

#[tokio::test]
async fn a_taken_port_is_named_with_a_hint() {
    let running = Running::start().await;
    let Err(error) = Server::bind(running.addr).await else { panic!("bound twice") };
    let text = error.to_string();
    assert!(text.contains(&running.addr.to_string()) && text.contains("hint:"), "{text}");
}

/// All until the other side closes, be it with a reset.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
    read.expect("the server closes it").map(drop).unwrap_or_default();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_head_that_does_not_come_and_a_connection_without_requests_are_given_up() {
    let limits = Limits { head_timeout: Duration::from_millis(300), ..Limits::default() };
    let running = Running::with(Login::Open, limits, None).await;
    for (sent, answered) in
        [("", false), ("GET /healthz HTT", false), ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", true)]
    {
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert_eq!(read_to_end(&mut stream).await.contains("alive"), answered, "{sent:?}");
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_there_is_room_again_when_another_ends() {
    let running = Running::with(Login::Open, Limits { connections_max: 1, ..Limits::default() }, None).await;
    let mut first = TcpStream::connect(running.addr).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let refused = read_to_end(&mut TcpStream::connect(running.addr).await.unwrap()).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("Retry-After: 5\r\n"), "{refused}");
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with(&format!("Content-Length: {}", body.len())) && body.contains("http.connections_max"));
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut first).await.ends_with("alive\n"));
    // The place is free once the server has noted that the connection ended, a moment after we have.
    let mut attempts = 0;
    while reqwest::get(format!("http://{}/healthz", running.addr)).await.unwrap().status() != 200 {
        attempts += 1;
        assert!(attempts < 10_000, "the place is never free again");
    }
}

#[tokio::test]
async fn where_a_token_is_needed_nothing_is_shown_without_one_but_that_the_gateway_lives() {
    let token = TokenConfig { name: "ops".into(), secret: Secret::new("hunter2"), publish: Vec::new() };
    let login = Login::Token(Arc::new(Tokens::new(&[token])));
    let running = Running::with(login, Limits::default(), None).await;
    let client = reqwest::Client::new();
    let get = |path: &str| client.get(format!("http://{}{path}", running.addr));
    for path in ["/", "/app.js", "/api/v1/state", "/metrics", "/readyz"] {
        let refused = get(path).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "), "a browser asks");
        assert_eq!(get(path).basic_auth("any", Some("wrong")).send().await.unwrap().status(), 401, "{path}");
        assert_ne!(get(path).basic_auth("any", Some("hunter2")).send().await.unwrap().status(), 401, "{path}");
        assert_ne!(get(path).bearer_auth("hunter2").send().await.unwrap().status(), 401, "{path}");
    }
    assert_eq!(get("/healthz").send().await.unwrap().status(), 200);
    let nobody = Running::with(Login::Token(Arc::new(Tokens::new(&[]))), Limits::default(), None).await;
    assert_eq!(nobody.get("/").await.status(), 401, "without tokens nobody has one");
}

#[tokio::test]
async fn with_a_certificate_it_speaks_https_and_a_plain_connection_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (cert_file, key_file) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&cert_file, made.cert.pem()).unwrap();
    std::fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
    let config = tls::ServerConfig { cert_file, key_file, client_auth: tls::ClientAuth::None };
    let server = tls::Server::new(config, "http", Metrics::default().security).unwrap();
    let tls = Some(Arc::new(server));
    let running = Running::with(Login::Open, Limits::default(), tls.clone()).await;
    let impatient = Limits { head_timeout: Duration::from_millis(50), ..Limits::default() };
    let impatient = Running::with(Login::Open, impatient, tls).await;

    let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
    let answer = client.get(format!("https://{}/healthz", running.addr)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "alive\n");
    let mut plain = TcpStream::connect(running.addr).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut silent = TcpStream::connect(impatient.addr).await.unwrap();
    for stream in [&mut plain, &mut silent] {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
        read.expect("the server closes it").map(drop).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("alive"));
    }
}

#[tokio::test]
async fn a_stop_ends_the_server_though_a_reader_hangs() {
    let running = Running::start().await;
    let hanging = tokio::net::TcpStream::connect(running.addr).await.unwrap();
    running.get("/healthz").await;
    running.trigger.stop();
    assert!(running.server.await.unwrap().is_ok());
    drop(hanging);
}

#[tokio::test]
async fn a_clock_that_is_not_set_is_told_with_what_waits_for_it_and_the_doors_stay_ready() {
    let running = Running::start().await;
    running.readiness.send_replace(Readiness::Ready);
    assert!(running.json("/api/v1/state").await["clock"]["note"].is_null());
    let status = clock::Status { state: clock::State::Wrong, phase: clock::Phase::Held, held_records: 12 };
    running.clock.send_replace(status);
    let told = running.json("/api/v1/state").await["clock"].clone();
    assert_eq!((told["state"].as_str(), told["held_records"].as_u64()), (Some("wrong"), Some(12)));
    assert!(told["note"].as_str().unwrap().starts_with("clock not set: 12 records held"), "{told}");
    assert_eq!(running.get("/readyz").await.text().await.unwrap(), "ready\n");
}
