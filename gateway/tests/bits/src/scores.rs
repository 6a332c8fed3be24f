//! The engine over made-up devices: a week of learning on one processor, the day after it on each.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use firmware_protocol::derived::Derived;
use firmware_protocol::measurement::{EventTime, Measurement, Reading, Received};

use crate::detect::synthetic::{Chance, Fault, Kind, Stream, Tick, WINDOWS_PER_DAY};
use crate::detect::{Changes, Config, Due, Engine, InMemory};
use crate::queue::{Cursor, QueueSeq};

/// Monday, 2023-11-13 00:00 UTC.
const START_MS: i64 = 1_699_833_600_000;
const LEARN_DAYS: usize = 7;
/// The models are those of the first day after learning: the next are learned at its end.
const DAY_FROM: usize = (LEARN_DAYS + 1) * WINDOWS_PER_DAY + 2;
const DAY_TO: usize = (LEARN_DAYS + 2) * WINDOWS_PER_DAY - 2;
/// Readings of a message: a minute of a device that reads once a second.
const MESSAGE_TICKS: usize = 60;
/// Rows of the past serve to learn from, closed windows to be revised, neither of which is done here: without them the file
/// is small.
const LEFT_OUT: [&str; 3] = ["/rows/", "/sealed", "/closed/"];

/// One for each detector, and the features that are the farthest from plain sums.
const KINDS: [Kind; 7] = [
    Kind::DailyTemperature,
    Kind::LoadVibration,
    Kind::OscillatingPressure,
    Kind::Counter,
    Kind::Bursts,
    Kind::SparseTemperature,
    Kind::Pump,
];

/// What was learned of each kind, as named state of its engine, and its cursor.
type Models = Vec<(BTreeMap<String, Vec<u8>>, u64)>;

/// Learns a week of each kind.
pub(crate) fn learn() -> Result<Vec<u8>, Box<dyn Error>> {
    let models = KINDS.into_iter().map(|kind| {
        let mut device = Device::new(kind, InMemory::default(), Cursor::default());
        device.run_to(DAY_FROM);
        let is_kept = |key: &str| !LEFT_OUT.iter().any(|part| key.contains(part));
        let state = device.store.state().iter().filter(|(key, _)| is_kept(key));
        (state.map(|(key, value)| (key.clone(), value.clone())).collect(), device.cursor.next.0)
    });
    Ok(postcard::to_stdvec(&models.collect::<Models>())?)
}

/// Check sums of the windows, anomalies and incidents of a day with a fault, by channel; or of each by itself.
pub(crate) fn lines(models: &[u8], each: bool) -> Result<Vec<String>, Box<dyn Error>> {
    let models: Models = postcard::from_bytes(models)?;
    let mut lines = Vec::new();
    for (kind, (store, next)) in KINDS.into_iter().zip(models) {
        let mut device = Device::new(kind, InMemory::of_state(store), Cursor { next: QueueSeq(next), ..Cursor::default() });
        device.run_to(DAY_FROM);
        device.derived.clear();
        device.stream.inject(Fault::Noise, 0, 0, 1.0, Chance::new(1));
        device.run_to(DAY_TO);
        let mut sums: BTreeMap<String, (u32, crc32fast::Hasher)> = BTreeMap::new();
        let mut scored = 0;
        for derived in device.derived {
            let (mut name, at) = match &derived {
                Derived::Window(w) => {
                    scored += usize::from(w.score.is_some());
                    (format!("window.{}", w.channel), w.start_at_ms)
                }
                Derived::Anomaly(a) => (format!("anomaly.{}", a.channel), a.start_at_ms),
                Derived::Incident(i) => ("incident".to_owned(), i.opened_at_ms),
                Derived::Gap(_) => continue,
            };
            if each {
                name = format!("{name}.{at}");
            }
            let (count, sum) = sums.entry(name).or_default();
            *count += 1;
            sum.update(&derived.to_json());
        }
        if scored == 0 {
            return Err(format!("no window of {} has a score: learn the models anew", kind.name()).into());
        }
        let kind = kind.name().replace(' ', "_");
        let line = |(name, (count, sum)): (String, (u32, crc32fast::Hasher))| {
            format!("{kind}.{name} {count} {:08x}", sum.finalize())
        };
        lines.extend(sums.into_iter().map(line));
    }
    Ok(lines)
}

/// A device and its engine.
struct Device {
    engine: Engine,
    store: InMemory,
    cursor: Cursor,
    stream: Stream,
    messages: u64,
    derived: Vec<Derived>,
}

impl Device {
    fn new(kind: Kind, store: InMemory, cursor: Cursor) -> Self {
        let config = Config { learn: Duration::from_secs(LEARN_DAYS as u64 * 86_400), ..Config::default() };
        let engine = Engine::restore(&config, &store, cursor);
        Self { engine, store, cursor, stream: Stream::new(kind, 7), messages: 0, derived: Vec::new() }
    }

    /// Messages that the engine has seen before it was restored are made, and not sent again.
    fn run_to(&mut self, until: usize) {
        let mut ticks = Vec::new();
        while self.stream.windows() < until {
            ticks.clear();
            self.stream.next_window(&mut ticks);
            for ticks in ticks.chunks(MESSAGE_TICKS) {
                let seq = QueueSeq(self.messages);
                self.messages += 1;
                if seq < self.engine.next() {
                    continue;
                }
                let (measurement, received_at) = self.message(ticks);
                self.engine.on_measurement(seq, &measurement, Received::known(received_at), &self.store);
                while self.engine.on_idle(received_at, &self.store) == Due::More {
                    self.commit();
                }
            }
            self.commit();
        }
    }

    fn message(&self, ticks: &[Tick]) -> (Measurement, EventTime) {
        let mut measurement = Measurement::default();
        measurement.set_device("device");
        for (place, name) in self.stream.kind().channels().iter().enumerate() {
            let channel = measurement.push_channel(name);
            for tick in ticks {
                let at = EventTime::from_millis(START_MS + tick.at_ms as i64);
                measurement.readings.extend(tick.values[place].map(|value| Reading { channel, at, value }));
            }
        }
        let last_ms = ticks.last().map_or(0, |t| t.at_ms as i64);
        (measurement, EventTime::from_millis(START_MS + last_ms + 1_000))
    }

    fn commit(&mut self) {
        let Some(Changes { derived, cursor, state, past }) = self.engine.changes() else { return };
        self.cursor = cursor;
        self.store.commit(state, past);
        self.derived.extend(derived);
    }
}
