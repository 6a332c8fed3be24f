use std::net::SocketAddr;
use std::path::Path as FilePath;

use bytes::Bytes;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::queue::{self, Log, Queue};
use crate::shutdown::{self, Trigger};

const LIMIT: u64 = 1 << 20;
const FILE: &str = "ts,device,a\n1772366400,m,1\n?,m,2\n1772366402,m,3\n";

/// A gateway with this door alone.
struct Running {
    addr: SocketAddr,
    queue: Queue,
    pressure: watch::Sender<Pressure>,
    trigger: Trigger,
    task: JoinHandle<Result<(), Failure>>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(dir: &FilePath) -> Self {
        let metrics = Metrics::default();
        let queue = Queue::open(&queue::Config::new(dir.join("queue")), metrics.queue.clone()).unwrap();
        let (ingest, imports) = (metrics.ingest.clone(), metrics.imports.clone());
        let importer = Importer::open(queue.appender(), &queue.monitor(), Clock::system(), ingest, imports).unwrap();
        let (pressure, watched) = watch::channel(Pressure::None);
        let config = UploadConfig { dir: dir.join("import"), max_bytes: LIMIT, mapping: Mapping::default() };
        let (routes, task) = open(config, &importer, watched).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let routes = routes.merge(progress_routes(&importer));
        let server = tokio::spawn(axum::serve(listener, routes).into_future());
        let (trigger, stop) = shutdown::channel();
        Self { addr, queue, pressure, trigger, task: tokio::spawn(task.run(stop)), server }
    }

    fn post(&self, query: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        reqwest::Client::new().post(format!("http://{}/v1/upload{query}", self.addr)).body(body)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        told(reqwest::Client::new().get(format!("http://{}{path}", self.addr))).await
    }

    fn records(&self) -> u64 {
        self.queue.monitor().end(Log::Raw).0
    }

    async fn stop(self) {
        self.trigger.stop();
        self.task.await.unwrap().unwrap();
        self.server.abort();
        self.queue.close().unwrap();
    }
}

async fn told(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

fn spooled(dir: &FilePath) -> usize {
    std::fs::read_dir(dir.join("import")).unwrap().count()
}

#[tokio::test]
async fn the_answer_tells_what_is_durable_and_a_repetition_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    let (status, report) = told(running.post("?file=day.csv", FILE)).await;
    assert_eq!((status, running.records()), (200, 2));
    let expected = json!({
        "file": "day.csv", "bytes": FILE.len(), "rows": 3, "stored": 2, "rejected": 1, "not_numbers": 0,
        "errors": [{ "line": 3, "reason": report["errors"][0]["reason"] }], "already_imported": false,
    });
    assert_eq!(report, expected);
    let (status, report) = told(running.post("", FILE)).await;
    assert_eq!((status, &report["already_imported"], running.records()), (200, &json!(true), 2));
    assert_eq!(spooled(dir.path()), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_query_says_what_the_columns_mean() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    let query = "?device=p&time_column=Zeit&time_format=%25d.%25m.%25Y%20%25H:%25M&utc_offset=%2B01:00&decimal=,\
                 &topic=plant/%7Bdevice%7D&rename=Druck%3Dpressure&readings=Druck";
    let (status, report) = told(running.post(query, "Zeit;Druck;x\n01.03.2026 13:00;1,5;2\n")).await;
    assert_eq!((status, &report["stored"]), (200, &json!(1)), "{report}");
    let block = running.queue.reader("sink").read(Log::Raw, queue::QueueSeq(0)).unwrap().unwrap();
    let (_, record) = block.records_from(block.first()).next().unwrap();
    assert_eq!(record.topic, "plant/p");
    assert_eq!(record.payload, "{\"ts\":1772366400000000,\"pressure\":1.5}");
    assert_eq!((record.door, &record.content_type[..]), (queue::Door::Csv, &b"application/json"[..]));
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_taken_is_told_with_a_status_a_reason_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    let large = "x".repeat(LIMIT as usize + 1);
    for (request, status, reason) in [
        (running.post("?colour=red", FILE), 400, "`colour` is not known"),
        (running.post("?wait=soon", FILE), 400, "`wait` is neither"),
        (running.post("?decimal=,&delimiter=,", FILE), 400, "`decimal` is a comma"),
        (running.post("", "a,b\n1,2\n"), 400, "which column has the time"),
        (running.post("", &b"ts,W\xE4rme\n1,2\n"[..]), 400, "iconv -f latin1"),
        (running.post("", FILE).header("content-type", "multipart/form-data; boundary=x"), 415, "multipart"),
        (running.post("", FILE).header("content-encoding", "gzip"), 415, "compressed"),
        (running.post("", large.clone()), 413, "larger than 1048576 bytes"),
    ] {
        let (told_status, told) = told(request).await;
        assert_eq!(told_status, status, "{told}");
        assert!(told["error"].as_str().unwrap().contains(reason), "{told}");
        assert!(!told["hint"].as_str().unwrap().is_empty());
    }
    assert_eq!((running.records(), spooled(dir.path())), (0, 0));
    running.stop().await;
}

#[tokio::test]
async fn while_the_queue_holds_doors_up_uploads_are_to_come_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    for pressure in [Pressure::OverBudget, Pressure::DiskFull] {
        running.pressure.send_replace(pressure);
        let answer = running.post("", FILE).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"10".parse().unwrap()));
    }
    running.pressure.send_replace(Pressure::None);
    assert_eq!(told(running.post("", FILE)).await.0, 200);
    running.stop().await;
}

#[tokio::test]
async fn who_does_not_wait_asks_for_the_progress() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    let (status, accepted) = told(running.post("?wait=false", FILE)).await;
    assert_eq!(status, 202);
    let path = accepted["progress"].as_str().unwrap().to_owned();
    let done = loop {
        let (status, progress) = running.get(&path).await;
        assert_eq!(status, 200);
        if progress["state"] == "done" {
            break progress;
        }
    };
    assert_eq!((&done["rows"], &done["rejected"], &done["report"]["stored"]), (&json!(3), &json!(1), &json!(2)));
    assert_eq!(running.get("/v1/imports").await.1["imports"][0]["id"], accepted["id"]);
    assert_eq!(running.get("/v1/imports/0000000000000000").await.0, 404);
    running.stop().await;
}

#[tokio::test]
async fn an_upload_that_a_crash_left_on_disk_is_imported_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("import")).unwrap();
    let (id, (tx, mut rx)) = (ImportId::random(), mpsc::channel(2));
    tx.send(Some(Bytes::from(FILE))).await.unwrap();
    tx.send(None).await.unwrap();
    let note = Note { file: "a.csv".into(), mapping: Mapping::default() };
    let receiving = tokio::task::spawn_blocking(move || spool.receive(id, &note, &mut rx));
    receiving.await.unwrap().unwrap();
    let running = Running::start(dir.path()).await;
    while running.get(&format!("/v1/imports/{id}")).await.1["state"] != "done" {}
    assert_eq!(running.records(), 2);
    let (_, again) = told(running.post("", FILE)).await;
    assert_eq!(again["already_imported"], json!(true));
    running.stop().await;
}
