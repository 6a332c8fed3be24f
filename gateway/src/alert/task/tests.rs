//! The shell with a real queue and a fake Slack on loopback.

use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use firmware_protocol::derived::{Incident, IncidentState, Status};
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::alert::history::testing::window;
use crate::alert::settings::{Http, Target};
use crate::alert::testing::{START_MS, config, incident, sender};
use crate::detect::derived_record;
use crate::queue::{LedgerRow, Queue};
use crate::secret::Secret;
use crate::shutdown;

const DEADLINE: Duration = Duration::from_secs(60);

/// What the fake Slack answers, and what it got.
struct Slack {
    status: Mutex<StatusCode>,
    attempts: watch::Sender<usize>,
    got: watch::Sender<Vec<Value>>,
}

async fn take(State(slack): State<Arc<Slack>>, body: String) -> (StatusCode, &'static str) {
    let status = *slack.status.lock().unwrap();
    if status == StatusCode::OK {
        slack.got.send_modify(|got| got.push(serde_json::from_str(&body).unwrap()));
    }
    slack.attempts.send_modify(|attempts| *attempts += 1);
    (status, "said")
}

impl Slack {
    async fn start() -> (Arc<Self>, Http) {
        let status = Mutex::new(StatusCode::OK);
        let slack = Arc::new(Self { status, attempts: watch::Sender::new(0), got: watch::Sender::new(Vec::new()) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Secret::new(format!("http://{}/services/secret", listener.local_addr().unwrap()));
        let app = Router::new().route("/services/secret", post(take)).with_state(slack.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (slack, Http { url, token: None, headers: Vec::new(), ca_file: None })
    }

    async fn got(&self, count: usize) -> Vec<Value> {
        let mut got = self.got.subscribe();
        let enough = got.wait_for(|got| got.len() >= count);
        tokio::time::timeout(DEADLINE, enough).await.expect("messages in time").unwrap().clone()
    }
}

fn queue(dir: &std::path::Path) -> Queue {
    Queue::open(&queue::Config::new(dir.to_owned()), metrics::Queue::default()).unwrap()
}

fn task(queue: &Queue, channels: Vec<Config>, metrics: &metrics::Alert) -> Task {
    let clock = Clock::system();
    Task {
        channels,
        sender: sender(),
        reader: queue.reader_of(CONSUMER, &[Log::Derived]),
        appender: queue.stage_appender(),
        clock,
        clock_map: SharedClockMap::default(),
        metrics: metrics.clone(),
        grace: Duration::from_secs(5),
    }
}

async fn append(queue: &Queue, records: Vec<Derived>) {
    let received = Clock::system().stamp();
    let derived = records.iter().map(|record| derived_record(record, received)).collect();
    let transaction = Transaction { derived, ..Transaction::default() };
    queue.stage_appender().commit(transaction).await.unwrap().await.unwrap().unwrap();
}

fn told(incident: Incident) -> Vec<Derived> {
    vec![Derived::Incident(incident)]
}

fn row(queue: &Queue) -> LedgerRow {
    queue.monitor().ledger().into_iter().find(|row| row.consumer == CONSUMER).unwrap()
}

#[tokio::test]
async fn an_incident_is_one_message_and_its_end_another_and_the_ledger_balances() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, metrics) = (queue(dir.path()), metrics::Alert::default());
    let (slack, http) = Slack::start().await;
    let (trigger, stop) = shutdown::channel();
    let running = tokio::spawn(run(task(&queue, vec![config("team", Target::Slack(http))], &metrics), stop));
    for revision in 0..5 {
        append(&queue, told(incident(7, revision, IncidentState::Open))).await;
        append(&queue, vec![Derived::Window(window("current", START_MS, 9.0, Status::Anomalous))]).await;
    }
    slack.got(1).await;
    append(&queue, told(incident(7, 5, IncidentState::Closed))).await;
    let got = slack.got(2).await;
    trigger.stop();
    running.await.unwrap().unwrap();
    let texts: Vec<&str> = got.iter().map(|body| body["text"].as_str().unwrap()).collect();
    assert!(texts[0].starts_with("[high] pump-7: ") && texts[1].starts_with("[resolved] pump-7: "), "{texts:?}");
    assert_eq!(got.len(), 2);
    let label = AlertLabel { channel: "team".into() };
    assert_eq!((metrics.sent.get_or_create(&label).get(), metrics.failed.get_or_create(&label).get()), (2, 0));
    let row = row(&queue);
    assert_eq!((row.cursor.delivered, row.queued, row.balances()), (11, 0, true));
}

#[tokio::test]
async fn what_a_dead_slack_did_not_get_arrives_once_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = metrics::Alert::default();
    let (slack, http) = Slack::start().await;
    let channels = vec![config("team", Target::Slack(http))];
    *slack.status.lock().unwrap() = StatusCode::SERVICE_UNAVAILABLE;
    {
        let queue = queue(dir.path());
        let (_trigger, stop) = shutdown::channel();
        let running = tokio::spawn(run(task(&queue, channels.clone(), &metrics), stop));
        append(&queue, told(incident(7, 0, IncidentState::Open))).await;
        let mut attempts = slack.attempts.subscribe();
        tokio::time::timeout(DEADLINE, attempts.wait_for(|n| *n >= 2)).await.expect("it is tried again").unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }
    *slack.status.lock().unwrap() = StatusCode::OK;
    let queue = queue(dir.path());
    let (trigger, stop) = shutdown::channel();
    let running = tokio::spawn(run(task(&queue, channels, &metrics), stop));
    slack.got(1).await;
    append(&queue, told(incident(7, 1, IncidentState::Open))).await;
    append(&queue, told(incident(8, 0, IncidentState::Open))).await;
    let got = slack.got(2).await;
    trigger.stop();
    running.await.unwrap().unwrap();
    assert_eq!(got.len(), 2);
    assert!(got[0]["text"].as_str().unwrap().contains("pump-7") && got[1]["text"].as_str().unwrap().contains("pump-8"));
}

#[tokio::test]
async fn a_webhook_gets_the_plot_with_the_windows_from_before_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(dir.path());
    let (slack, http) = Slack::start().await;
    let target = Target::Webhook { http, template: None, svg: true };
    let windows = (0..5).map(|n| {
        let mut window = window("current", START_MS - n * 600_000, 2.0, Status::Normal);
        window.device = "pump-7".into();
        Derived::Window(window)
    });
    append(&queue, windows.collect()).await;
    for revision in 0..2 {
        let metrics = metrics::Alert::default();
        let (trigger, stop) = shutdown::channel();
        let running = tokio::spawn(run(task(&queue, vec![config("hook", target.clone())], &metrics), stop));
        let state = if revision == 0 { IncidentState::Open } else { IncidentState::Closed };
        append(&queue, told(incident(7, revision, state))).await;
        let got = slack.got(revision as usize + 1).await;
        let svg = got[revision as usize]["svg"].as_str().expect("a plot");
        assert!(svg.starts_with("<svg") && svg.contains("pump-7: current"));
        trigger.stop();
        running.await.unwrap().unwrap();
    }
    assert_eq!(row(&queue).cursor.next, QueueSeq(7));
}
