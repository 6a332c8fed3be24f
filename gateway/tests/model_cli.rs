//! `gateway model …` as an operator meets it, on the queue of a stopped gateway that has learned for three days.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use firmware_protocol::measurement::{EventTime, Measurement, Reading, Received};
use gateway::detect::{self, Config, Engine, InMemory};
use gateway::metrics;
use gateway::queue::{self, Cursor, Queue, Transaction};
use serde_json::Value;

const DEVICES: [&str; 2] = ["fan", "pump"];
const MINUTES: i64 = 3 * 1_440;

fn gateway(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    for name in ["GATEWAY_NAME", "GATEWAY_DATA_DIR", "GATEWAY_HTTP_BIND", "GATEWAY_LOG"] {
        command.env_remove(name);
    }
    command.arg("model").args(arguments).current_dir(dir).output().expect("the program starts")
}

fn done(dir: &Path, arguments: &[&str]) -> String {
    let output = gateway(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(dir: &Path, arguments: &[&str]) -> String {
    let output = gateway(dir, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn shown(dir: &Path, queue: &str) -> Vec<Value> {
    serde_json::from_str(&done(dir, &["show", "--dir", queue, "--json"])).unwrap()
}

/// What an engine has learned of two devices with a level and a flow each minute, of which one drives the other.
fn learned() -> InMemory {
    let config = Config { learn: Duration::from_secs(86_400), ..Config::default() };
    let mut store = InMemory::default();
    let mut engine = Engine::restore(&config, &store, Cursor::default());
    let mut measurement = Measurement::default();
    for minute in 0..MINUTES {
        for device in DEVICES {
            measurement.clear();
            measurement.set_device(device);
            let at = EventTime::from_millis(minute * 60_000);
            let load = (minute * 7_919 % 101) as f64;
            for (name, value) in [("level", load), ("flow", 3.0 * load + (minute * 104_729 % 13) as f64)] {
                let channel = measurement.push_channel(name);
                measurement.readings.push(Reading { channel, at, value });
            }
            engine.on_measurement(engine.next(), &measurement, Received::known(at), &store);
        }
        if let Some(changes) = engine.changes() {
            store.commit(changes.state, changes.past);
        }
    }
    store
}

fn write(dir: &Path, store: &InMemory) {
    let settings = queue::Config { ballast_bytes: 0, ..queue::Config::new(dir) };
    let queue = Queue::open(&settings, metrics::Queue::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let past = store.past().iter().map(|(name, bytes)| (detect::chunk_key(*name), Some(bytes.clone())));
    queue.annex(detect::PAST).commit(past.collect()).unwrap();
    let state = store.state().iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    let receipt = runtime.block_on(queue.appender().commit(Transaction { state, ..Transaction::default() }));
    receipt.unwrap().blocking_recv().unwrap().unwrap();
    queue.close().unwrap();
}

#[test]
fn what_was_learned_is_shown_and_comes_back_by_export_and_import_after_a_reset() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    write(&dir.join("queue"), &learned());
    let before = shown(dir, "queue");
    assert_eq!(before.len(), 4);
    for view in &before {
        assert!(view["model"].is_string() && view["relation"].is_string(), "{view}");
        assert_eq!((view["nature"].as_str(), view["rate"].as_str()), (Some("level"), Some("sparse")), "{view}");
        assert!(view["threshold"].as_f64().unwrap() > 4.0, "{view}");
    }
    let table = done(dir, &["show", "--dir", "queue", "--device", "pump"]);
    assert!(["learned", "level", "sparse", "decades"].iter().all(|word| table.contains(word)), "{table}");

    assert_eq!(done(dir, &["export", "--dir", "queue", "all.ndjson"]), "all.ndjson: 4 channels\n");
    assert!(refused(dir, &["export", "--dir", "queue", "all.ndjson"]).contains("none is overwritten"));
    done(dir, &["reset", "--dir", "queue", "--device", "pump"]);
    done(dir, &["reset", "--dir", "queue", "--device", "fan", "--channel", "level"]);
    let reset = shown(dir, "queue");
    let model_of = |views: &[Value], device: &str, channel: &str| {
        let found = views.iter().find(|view| view["device"] == device && view["channel"] == channel);
        found.map(|view| view["model"].clone())
    };
    assert_eq!(model_of(&reset, "pump", "flow"), Some(Value::Null));
    assert_eq!(model_of(&reset, "fan", "level"), Some(Value::Null));
    assert_eq!(model_of(&reset, "fan", "flow"), model_of(&before, "fan", "flow"));

    assert_eq!(done(dir, &["import", "--dir", "queue", "all.ndjson"]), "4 channels and 2 relations taken over\n");
    assert_eq!(shown(dir, "queue"), before);
}

#[test]
fn names_and_files_that_are_none_are_refused_and_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    write(&dir.join("queue"), &learned());
    let before = shown(dir, "queue");
    assert!(refused(dir, &["reset", "--dir", "queue", "--device", "mixer"]).contains("no `mixer` has been seen"));
    std::fs::write(dir.join("other.ndjson"), "{\"level\":1}\n").unwrap();
    assert!(refused(dir, &["import", "--dir", "queue", "other.ndjson"]).contains("no file of models"));
    done(dir, &["export", "--dir", "queue", "all.ndjson"]);
    let text = std::fs::read_to_string(dir.join("all.ndjson")).unwrap();
    std::fs::write(dir.join("cut.ndjson"), &text[..text.len() - 40]).unwrap();
    assert!(refused(dir, &["import", "--dir", "queue", "cut.ndjson"]).contains("cut.ndjson: line 7"));
    assert_eq!(shown(dir, "queue"), before);
}
