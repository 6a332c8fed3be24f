//! The same messages to a whole gateway and, by the queue's export, to a backtest.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use firmware_protocol::derived::{Anomaly, AnomalyState, Derived};
use firmware_protocol::measurement::EventTime;
use gateway::backtest::{self, By, Formats, Learn, Settings};
use gateway::clock::{Clock, ClockBoot, ClockMap, Simulated, Stamp};
use gateway::config::{self, Loaded, Overrides};
use gateway::metrics;
use gateway::pipeline::Pipeline;
use gateway::queue::{Config, Door, Flags, Log, Queue, Record, Transaction};
use serde_json::Value;

use super::gateway;
use super::signal::{DAY_S, START_S, STEP_S, Signal};

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
    for (i, row) in (0_i64..).zip(&Signal::of_days(DAYS).rows) {
        // A few seconds are on time; twenty minutes make revisions.
        let late_s = match i % 500 {
            0 => 1_200,
            100 | 200 | 300 | 400 => 20,
            _ => 0,
        };
        let at_s = row.at_s - late_s;
        let pump = format!(r#"{{"ts":{at_s},"level":{},"flow":{}}}"#, row.level, row.flow);
        records.push(record(row.at_s + 1, "sensors/pump/telemetry", &pump));
        if i / (DAY_S / STEP_S) != 3 {
            records.push(record(row.at_s + 1, "sensors/fan/speed", &format!("{}", row.flow * 100.0)));
        }
        if i % 2_000 == 0 {
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

/// What a record is about: kind, device, channel, start, detector.
type Key = (&'static str, String, String, i64, String);

/// The last word about each window, anomaly and incident.
fn last_words(records: impl Iterator<Item = Derived>) -> BTreeMap<Key, Derived> {
    let mut last = BTreeMap::new();
    for record in records {
        let key = match &record {
            Derived::Window(w) => ("window", w.device.clone(), w.channel.clone(), w.start_at_ms, String::new()),
            Derived::Anomaly(a) => ("anomaly", a.device.clone(), a.channel.clone(), a.start_at_ms, a.detector.clone()),
            Derived::Incident(i) => ("incident", i.device.clone(), i.id.clone(), i.opened_at_ms, String::new()),
            Derived::Gap(_) => continue,
        };
        match &record {
            Derived::Anomaly(Anomaly { state: AnomalyState::Withdrawn, .. }) => drop(last.remove(&key)),
            Derived::Window(_) | Derived::Anomaly(_) | Derived::Incident(_) | Derived::Gap(_) => {
                drop(last.insert(key, record));
            }
        }
    }
    last
}

fn exported(dir: &Path) -> BTreeMap<Key, Derived> {
    let text = fs::read_to_string(dir.join("export.ndjson")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let derived = lines.filter(|line| line["log"] == "derived");
    last_words(derived.map(|line| Derived::from_json(line["payload"].as_str().unwrap().as_bytes()).unwrap()))
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
    let settings = Settings { by: By::Windows, learn: Learn::For(detect.learn), detect, draw: false };
    let formats = Formats::new(Some(routes), Vec::new()).unwrap();
    let outcome = backtest::run(&dir.path().join("export.ndjson"), &formats, &settings, Arc::default()).unwrap();
    let bad = outcome.bad.clone();
    let again = last_words(outcome.findings("").into_iter().map(|finding| finding.record));
    let windows = last_words(outcome.windows.into_values().map(Derived::Window));
    let again: BTreeMap<Key, Derived> = again.into_iter().chain(windows).collect();

    assert_eq!(bad.count, 8, "{bad:?}");
    let count = |kind: &str| lived.keys().filter(|key| key.0 == kind).count();
    assert!(count("anomaly") > 5, "the fault is found");
    assert!(count("window") > DAYS as usize * 3 * 143, "{}", count("window"));
    let is_revised = |record: &Derived| matches!(record, Derived::Window(window) if window.revision > 0);
    assert!(lived.values().filter(|record| is_revised(record)).count() > 5, "late messages make revisions");
    for (key, record) in &again {
        assert_eq!(lived.get(key), Some(record), "{key:?}");
    }
    for (key, record) in &lived {
        assert!(again.contains_key(key), "only live: {record:?}");
    }
}
