use std::time::Duration;

use firmware_protocol::derived::{Anomaly, AnomalyState, Derived, Status, Window};
use firmware_protocol::measurement::{EventTime, Measurement, Reading, Received};

use super::super::{Config, Engine, InMemory};
use crate::queue::Cursor;

const MINUTE_MS: i64 = 60_000;
const DAY: i64 = 1_440;

/// An engine, its store, and all that it told.
struct Run {
    engine: Engine,
    store: InMemory,
    told: Vec<Derived>,
}

impl Run {
    fn new(config: &Config) -> Self {
        let store = InMemory::default();
        Self { engine: Engine::restore(config, &store, Cursor::default()), store, told: Vec::new() }
    }

    /// Readings of one device at one time, by channel; they arrive at `received`.
    fn take(&mut self, minute: i64, received: i64, readings: &[(&str, f64)]) {
        let mut measurement = Measurement::default();
        measurement.set_device("pump");
        let at = EventTime::from_millis(minute * MINUTE_MS);
        for (name, value) in readings {
            let channel = measurement.push_channel(name);
            measurement.readings.push(Reading { channel, at, value: *value });
        }
        let received = Received::known(EventTime::from_millis(received * MINUTE_MS));
        self.engine.on_measurement(self.engine.next(), &measurement, received, &self.store);
        if let Some(changes) = self.engine.changes() {
            self.store.commit(changes.state, changes.past);
            self.told.extend(changes.derived);
        }
    }

    fn windows(&self, minute: i64) -> Vec<&Window> {
        self.told.iter().filter_map(window_of).filter(|w| w.start_at_ms == minute * MINUTE_MS).collect()
    }

    fn anomalies(&self, detector: &str, minute: i64) -> Vec<&Anomaly> {
        let of_window = |a: &&Anomaly| a.detector == detector && a.start_at_ms == minute * MINUTE_MS;
        self.told.iter().filter_map(anomaly_of).filter(of_window).collect()
    }
}

fn window_of(record: &Derived) -> Option<&Window> {
    match record {
        Derived::Window(window) => Some(window),
        Derived::Anomaly(_) | Derived::Incident(_) | Derived::Gap(_) => None,
    }
}

fn anomaly_of(record: &Derived) -> Option<&Anomaly> {
    match record {
        Derived::Anomaly(anomaly) => Some(anomaly),
        Derived::Window(_) | Derived::Incident(_) | Derived::Gap(_) => None,
    }
}

/// In -1..=1, the same for a minute everywhere.
fn noise(minute: i64) -> f64 {
    let mixed = (minute as u64 ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn config(learn_days: u64) -> Config {
    Config { learn: Duration::from_secs(learn_days * 86_400), ..Config::default() }
}

#[test]
fn what_novel_found_stands_when_late_readings_revise_the_window() {
    let mut run = Run::new(&config(7));
    let odd = 4 * DAY;
    for minute in (0..odd + 40).step_by(5) {
        run.take(minute, minute, &[("level", if minute == odd { 90.0 } else { noise(minute) })]);
    }
    assert_eq!(run.anomalies("novel", odd).len(), 1);
    run.take(odd + 7, odd + 40, &[("level", 0.1)]);
    for minute in (odd + 45..odd + 90).step_by(5) {
        run.take(minute, minute, &[("level", noise(minute))]);
    }
    let windows = run.windows(odd);
    assert_eq!(
        windows.iter().map(|w| (w.revision, w.status)).collect::<Vec<_>>(),
        [(0, Status::Anomalous), (1, Status::Anomalous)]
    );
    assert!((windows[0].score.unwrap() - windows[1].score.unwrap()).abs() < 1e-6);
    assert!(run.anomalies("novel", odd).iter().all(|a| a.state == AnomalyState::Confirmed));
}

#[test]
fn novel_tells_nothing_before_verdicts_are_wanted() {
    let mut run = Run::new(&Config { novel_after: Duration::from_secs(5 * 86_400), ..config(7) });
    for minute in (0..6 * DAY).step_by(5) {
        let is_odd = minute == 4 * DAY || minute == 5 * DAY + 600;
        run.take(minute, minute, &[("level", if is_odd { 90.0 * minute as f64 } else { noise(minute) })]);
    }
    assert!(run.anomalies("novel", 4 * DAY).is_empty());
    assert_eq!(run.anomalies("novel", 5 * DAY + 600).len(), 1);
}

#[test]
fn a_broken_relation_is_withdrawn_when_late_readings_mend_it_and_scores_are_told_all_along() {
    let mut run = Run::new(&config(2));
    let odd = 4 * DAY;
    let readings = |minute: i64, off: f64| {
        let load = 5.0 * libm::sin(minute as f64 / 700.0) + noise(minute / 30);
        let own = |n: i64| 0.05 * noise(minute * 8 + n);
        [("current", load + own(1)), ("flow", 2.0 * load + own(2) + off), ("power", 3.0 * load + own(3))]
    };
    for minute in 0..odd + 30 {
        let is_odd = (odd..odd + 10).contains(&minute);
        if !is_odd || minute % 2 == 0 {
            run.take(minute, minute, &readings(minute, if is_odd { 3.0 } else { 0.0 }));
        }
    }
    let found = run.anomalies("maha", odd);
    assert_eq!(found.iter().map(|a| a.state).collect::<Vec<_>>(), [AnomalyState::Confirmed]);
    assert_eq!(found[0].channels[0].channel, "flow");
    for minute in (odd + 1..odd + 10).step_by(2) {
        run.take(minute, odd + 30, &readings(minute, -3.0));
    }
    for minute in odd + 31..odd + 60 {
        run.take(minute, minute, &readings(minute, 0.0));
    }
    let found = run.anomalies("maha", odd);
    assert_eq!(found.last().map(|a| (a.state, a.revision)), Some((AnomalyState::Withdrawn, 1)));
    let before: Vec<f64> = run.windows(odd - 10).iter().filter_map(|w| w.score).collect();
    assert!(before.len() == 3 && before.iter().all(|score| *score < 0.0), "{before:?}");
}
