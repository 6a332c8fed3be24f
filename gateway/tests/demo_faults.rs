//! The demo without its sockets: what its devices say, decoded and judged as the gateway does, against its own truth.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use firmware_protocol::decode::{Decoder, Incoming};
use firmware_protocol::derived::{Anomaly, Derived, Incident};
use firmware_protocol::measurement::{EventTime, Measurement, Received};
use gateway::demo::device::Start;
use gateway::demo::plan::{self, Sampling, Timeline, WINDOW_MS};
use gateway::demo::report::Report;
use gateway::demo::settings;
use gateway::detect::{Engine, InMemory};
use gateway::queue::{Cursor, QueueSeq};
use gateway::text::Style;

const DEVICES: u32 = 6;
/// Window every 1.25 s, as the demo's default is.
const SPEED: f64 = 480.0;
const NOW_MS: i64 = 1_795_267_786_000;

/// The demo's 60 seconds with this seed.
fn play(seed: u64) -> Report {
    let line = Timeline::new(NOW_MS, Duration::from_secs(60), SPEED);
    let start = Start { seed, at_ms: line.history_start_at_ms, monday_at_ms: line.history_start_at_ms };
    let mut devices = plan::fleet(DEVICES, settings::TOPIC, Sampling::for_history(DEVICES), start);
    let faults = plan::faults(&devices, seed, line.live_start_at_ms, line.live_end_at_ms);
    plan::inject(&mut devices, &faults);

    let config = settings::config(Path::new("unused"), SocketAddr::from(([127, 0, 0, 1], 0)), &line);
    let decoder = Decoder::new(config.decode).expect("the demo's own settings and messages are valid");
    let mut store = InMemory::default();
    let mut engine = Engine::restore(
        &config.detect.expect("the demo's own settings and messages are valid"),
        &store,
        Cursor::default(),
    );
    // As of the last word on each.
    let mut anomalies: BTreeMap<(String, String, String, i64), Anomaly> = BTreeMap::new();
    let mut incidents: BTreeMap<(String, i64), Incident> = BTreeMap::new();
    let mut measurement = Measurement::default();
    // All is received in one moment of the gateway's clock, much faster than it was measured.
    let received_at = EventTime::from_millis(line.live_end_at_ms);
    for seq in 0.. {
        let device =
            devices.iter_mut().min_by_key(|d| d.due_at_ms()).expect("the demo's own settings and messages are valid");
        if device.due_at_ms() >= line.live_end_at_ms {
            break;
        }
        let topic = device.topic().to_owned();
        let message = device.next_message();
        decoder
            .decode(
                Incoming {
                    topic: &topic,
                    payload: &message.payload,
                    content_type: "",
                    received_at,
                    is_replay: false,
                    table: "",
                },
                &mut measurement,
            )
            .expect("the demo's own settings and messages are valid");
        engine.on_measurement(QueueSeq(seq), &measurement, Received::known(received_at), &store);
        let Some(changes) = (engine.derived_waiting() > 0).then(|| engine.changes()).flatten() else { continue };
        store.commit(changes.state, changes.past);
        for record in changes.derived {
            match record {
                Derived::Anomaly(a) => {
                    let key = (a.device.clone(), a.channel.clone(), a.detector.clone(), a.start_at_ms);
                    anomalies.insert(key, a);
                }
                Derived::Incident(i) => drop(incidents.insert((i.device.clone(), i.opened_at_ms), i)),
                Derived::Window(_) | Derived::Gap(_) => {}
            }
        }
    }
    let (anomalies, incidents): (Vec<_>, Vec<_>) =
        (anomalies.into_values().collect(), incidents.into_values().collect());
    Report::new(&faults, &anomalies, &incidents, WINDOW_MS)
}

#[test]
fn the_default_demo_finds_at_least_four_of_five_faults_with_few_false_alarms() {
    let report = play(1);
    let table = report.table(Style::Plain);
    assert!(report.rows.len() >= 10, "{table}");
    assert!(report.found() * 5 >= report.rows.len() * 4, "{table}");
    assert!(report.false_alarm_count() <= 5, "{table}");
}

#[test]
fn another_seed_finds_as_many() {
    let report = play(2);
    assert!(report.found() * 5 >= report.rows.len() * 4, "{}", report.table(Style::Plain));
}
