//! Measures detection on made-up devices: recall per fault, false alarms per device-month, and the rate of readings.
//!
//! ```text
//! cargo run --release -p gateway --example detection_quality -- [SEEDS] [SEVERITY] [FIRST_SEED]
//! ```
//! Settings were chosen while looking at seeds 0 to 2: judge them by others.
//! Every device has one clean signal; every fault is a copy of it with one fault after the learning week, continued from
//! the state that the engine had at the fault's first window.

#[path = "../src/detect/synthetic.rs"]
mod synthetic;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firmware_protocol::derived::Derived;
use firmware_protocol::measurement::{EventTime, Measurement, Reading, Received};
use gateway::detect::{Changes, Config, Engine};
use gateway::queue::{Cursor, QueueSeq};

use synthetic::{Chance, DAY, Fault, Kind, Signal, WINDOW};

const DAYS: usize = 21;
const LEARN_DAYS: usize = 7;
/// Readings come in messages of a minute.
const MESSAGE_S: usize = 60;
/// A Monday.
const START_S: i64 = 1_699_833_600;

type Store = BTreeMap<String, Vec<u8>>;

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<f64>());
    let mut next = |default: f64| args.next().and_then(Result::ok).unwrap_or(default);
    let (seeds, severity, first_seed) = (next(1.0) as u64, next(1.0), next(3.0) as u64);
    let mut found: BTreeMap<Fault, Vec<bool>> = BTreeMap::new();
    let mut false_alarms: BTreeMap<Kind, usize> = BTreeMap::new();
    let mut by_group: BTreeMap<String, usize> = BTreeMap::new();
    let (mut readings, mut busy) = (0_usize, Duration::ZERO);

    for kind in Kind::ALL {
        for seed in first_seed..first_seed + seeds {
            let clean = Signal::new(kind, DAYS, 1_000 + seed);
            let mut chance = Chance::new(seed * 31 + kind as u64);
            let last = |f: Fault| DAYS * DAY - (f.windows() + 3) * WINDOW;
            let mut onsets: Vec<(usize, Fault)> = Fault::ALL
                .into_iter()
                .filter(|f| kind.can_have(*f))
                .map(|f| (LEARN_DAYS * DAY + chance.below(last(f) - LEARN_DAYS * DAY), f))
                .collect();
            onsets.sort_unstable();

            let started = Instant::now();
            let mut device = Device::new();
            for (onset, fault) in onsets {
                device.observe(&clean, onset / WINDOW * WINDOW);
                let mut copy = device.snapshot();
                let mut faulty = clean.clone();
                faulty.inject(fault, onset, severity, &mut chance);
                copy.observe(&faulty, (onset / WINDOW + fault.windows() + 2) * WINDOW);
                let is_found = copy.anomalies.iter().any(|(window, _)| *window >= onset / WINDOW);
                if !is_found {
                    println!("missed: {kind:?} seed {seed} {fault:?}");
                }
                found.entry(fault).or_default().push(is_found);
                readings += fault.windows() * WINDOW;
            }
            device.observe(&clean, clean.values.len());
            busy += started.elapsed();
            readings += clean.values.len();
            let mut last = None;
            for (window, group) in &device.anomalies {
                if last.is_none_or(|l| window - l > 6) {
                    *false_alarms.entry(kind).or_default() += 1;
                    *by_group.entry(group.clone()).or_default() += 1;
                }
                last = Some(*window);
            }
        }
    }

    let months = (Kind::ALL.len() * (DAYS - LEARN_DAYS)) as f64 * seeds as f64 / 30.0;
    for (fault, found) in &found {
        println!("{fault:?}: recall {:.3} of {}", share(found), found.len());
    }
    let all: Vec<bool> = found.into_values().flatten().collect();
    let alarms: usize = false_alarms.values().sum();
    println!("recall {:.3} of {} faults", share(&all), all.len());
    println!("false alarms {:.2} per device-month ({alarms} in {months:.1})", alarms as f64 / months);
    println!("by kind {false_alarms:?}, by group {by_group:?}");
    println!("{:.2} million readings/s", readings as f64 / busy.as_secs_f64() / 1e6);
}

fn share(found: &[bool]) -> f64 {
    found.iter().filter(|f| **f).count() as f64 / found.len().max(1) as f64
}

/// An engine with one channel and what was made durable of it.
struct Device {
    engine: Engine,
    store: Store,
    cursor: Cursor,
    /// Window since the start, and the kind of anomaly.
    anomalies: Vec<(usize, String)>,
}

impl Device {
    fn new() -> Self {
        Self::restore(Store::new(), Cursor::default())
    }

    fn restore(store: Store, cursor: Cursor) -> Self {
        let engine = Engine::restore(&Config::default(), &store, cursor);
        Self { engine, store, cursor, anomalies: Vec::new() }
    }

    /// Another device that goes on from here.
    fn snapshot(&mut self) -> Self {
        self.commit();
        Self::restore(self.store.clone(), self.cursor)
    }

    fn observe(&mut self, signal: &Signal, until: usize) {
        let mut measurement = Measurement::default();
        loop {
            let seq = self.engine.next();
            let from = seq.0 as usize * MESSAGE_S;
            if from >= until {
                break;
            }
            fill(&mut measurement, signal, from);
            let received_at = EventTime::from_millis((START_S + from as i64 + MESSAGE_S as i64) * 1_000);
            self.engine.on_measurement(QueueSeq(seq.0), &measurement, Received::known(received_at), &self.store);
            if self.engine.derived_waiting() >= 256 {
                self.commit();
            }
        }
        self.commit();
    }

    fn commit(&mut self) {
        let Some(Changes { derived, cursor, state }) = self.engine.changes() else { return };
        self.cursor = cursor;
        for (key, value) in state {
            match value {
                Some(value) => self.store.insert(key, value),
                None => self.store.remove(&key),
            };
        }
        for record in derived {
            if let Derived::Anomaly(a) = record {
                self.anomalies.push((((a.start_at_ms / 1_000 - START_S) / WINDOW as i64) as usize, a.kind));
            }
        }
    }
}

fn fill(measurement: &mut Measurement, signal: &Signal, from: usize) {
    measurement.clear();
    measurement.set_device("device");
    let channel = measurement.push_channel("channel");
    for second in (from..from + MESSAGE_S).filter(|s| signal.is_there[*s]) {
        let at = EventTime::from_millis((START_S + second as i64) * 1_000);
        measurement.readings.push(Reading { channel, at, value: signal.values[second] });
    }
}
