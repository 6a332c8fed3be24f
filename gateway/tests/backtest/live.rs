//! The same messages to a whole gateway and, by the queue's export, to a backtest.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use firmware_protocol::derived::Derived;
use firmware_protocol::measurement::EventTime;
use gateway::backtest::{self, Formats, Learn, Settings};
use gateway::clock::{Clock, ClockBoot, ClockMap, Simulated, Stamp};
use gateway::config::{self, Loaded, Overrides};
use gateway::metrics;
use gateway::pipeline::Pipeline;
use gateway::queue::{Config, Door, Flags, Log, Queue, Record, Transaction};
use serde_json::Value;

use super::gateway;
use super::signal::{START_S, Signal};

const BOOT: ClockBoot = ClockBoot(7);
const DAYS: i64 = 5;
/// Records that become durable together.
const BLOCK: usize = 256;

fn record(received_s: i64, topic: &str, payload: &str) -> Record {
    Record {
        door: Door::Listen,
        flags: Flags { qos: 1, retained: false, redelivered: false },
        received: Stamp { boot: BOOT, since_boot_ns: (received_s - START_S) as u64 * 1_000_000_000 },
        topic: topic.to_owned().into(),
        payload: payload.to_owned().into_bytes().into(),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

/// Two devices, of which one is silent for a day; some messages come late, some cannot be read.
fn messages() -> Vec<Record> {
    let mut records = Vec::new();
    for (i, row) in (0..).zip(&Signal::of_days(DAYS).rows) {
        let late_s = if i % 50 == 0 { 20 } else { 0 };
        let at_s = row.at_s - late_s;
        let pump = format!(r#"{{"ts":{at_s},"level":{},"flow":{}}}"#, row.level, row.flow);
        records.push(record(row.at_s + 1, "sensors/pump/telemetry", &pump));
        if i / 1_440 != 3 {
            records.push(record(row.at_s + 1, "sensors/fan/speed", &format!("{}", row.flow * 100.0)));
        }
        if i % 1_000 == 0 {
            records.push(record(row.at_s + 1, "sensors/fan/telemetry", "{\"ts\":"));
        }
    }
    records
}

fn fill(config: &Config) {
    let queue = Queue::open(config, metrics::Queue::default()).unwrap();
    drop(queue.reader_of("detect", &[Log::Raw]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut map = ClockMap::default();
    map.set(BOOT, START_S * 1_000_000_000);
    for raw in messages().chunks(BLOCK) {
        let state = vec![("clock".to_owned(), Some(map.to_bytes()))];
        let transaction = Transaction { raw: raw.to_vec(), state, ..Transaction::default() };
        let receipt = runtime.block_on(queue.appender().commit(transaction));
        receipt.unwrap().blocking_recv().unwrap().unwrap();
    }
    queue.close().unwrap();
}

/// A gateway starts on it, detects, and ends.
fn live(config: config::Config) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let now = EventTime((START_S + DAYS * 86_400) * 1_000_000_000);
        let clock = Simulated::boot_at(ClockBoot(8), now);
        clock.synchronise(now);
        let pipeline = Pipeline::start_with(config, Clock::simulated(clock)).await.unwrap();
        pipeline.drained().await;
        pipeline.shutdown().await.unwrap();
    });
}

/// Derived records by their ids, windows and anomalies apart.
fn by_id(records: impl Iterator<Item = Derived>) -> BTreeMap<(bool, String), Derived> {
    let keyed = records.filter_map(|record| match &record {
        Derived::Window(window) => Some(((false, window.id.clone()), record)),
        Derived::Anomaly(anomaly) => Some(((true, anomaly.id.clone()), record)),
        Derived::Gap(_) => None,
    });
    keyed.collect()
}

fn exported(dir: &Path) -> BTreeMap<(bool, String), Derived> {
    let text = fs::read_to_string(dir.join("export.ndjson")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let derived = lines.filter(|line| line["log"] == "derived");
    by_id(derived.map(|line| Derived::from_json(line["payload"].as_str().unwrap().as_bytes()).unwrap()))
}

#[test]
fn a_backtest_over_the_export_of_a_queue_gives_what_the_gateway_gave_live() {
    let dir = tempfile::tempdir().unwrap();
    let settings = format!(
        "[gateway]\nname = \"edge\"\ndata_dir = \"{}\"\n[http]\nenabled = false\n[listen]\nbind = \"127.0.0.1:0\"\n\
         [detect]\nlearn = \"2d\"\n[queue]\nreserve = \"0B\"\nkeep_delivered = \"365d\"\n[[file]]\n",
        dir.path().display()
    );
    let file = dir.path().join("gateway.toml");
    fs::write(&file, &settings).unwrap();
    let config = Loaded::parse("gateway.toml", &settings, &Overrides::default()).unwrap().config;
    fill(&config.queue);
    live(config);
    let out = gateway(dir.path(), &["queue", "export", "--config", "gateway.toml", "--output", "export.ndjson"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lived = exported(dir.path());

    let (routes, detect) = config::detection(&file).unwrap();
    let settings = Settings { learn: Learn::For(detect.learn), detect, draw: false };
    let formats = Formats::new(Some(routes), Vec::new()).unwrap();
    let outcome = backtest::run(&dir.path().join("export.ndjson"), &formats, &settings, Arc::default()).unwrap();
    let windows = outcome.windows.into_values().map(Derived::Window);
    let again = by_id(windows.chain(outcome.anomalies.into_values().map(Derived::Anomaly)));

    assert_eq!(outcome.bad.count, 8, "{:?}", outcome.bad);
    assert!(lived.keys().filter(|(is_anomaly, _)| *is_anomaly).count() > 5, "the fault is found");
    assert!(lived.len() > DAYS as usize * 3 * 143, "{}", lived.len());
    for (key, record) in &again {
        assert_eq!(lived.get(key), Some(record), "{key:?}");
    }
    for (key, record) in &lived {
        assert!(again.contains_key(key), "only live: {record:?}");
    }
}
