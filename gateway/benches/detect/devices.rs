//! Whole devices: what the close of a window costs with all detectors, and what a thousand devices take of memory.

use std::time::Duration;

use firmware_protocol::measurement::{EventTime, Measurement, Reading, Received};
use gateway::detect::{Config, Due, Engine, InMemory, PastChanges, Stored, StoredChannel, import};
use gateway::queue::{Cursor, QueueSeq};

use super::speed::cpu_seconds;

const SECOND_NS: i64 = 1_000_000_000;
const WINDOW_S: i64 = 600;
const DAY_S: i64 = 86_400;
const LEARN_DAYS: i64 = 7;
/// Monday, 2023-11-13 00:00 UTC.
const START_S: i64 = 1_699_833_600;
const CHANNELS: [&str; 8] = ["temperature", "humidity", "pressure", "flow", "current", "speed", "torque", "crest"];
const DEVICES: usize = 1_000;

pub(crate) fn run() {
    let mut learned = Device::new(config());
    let before = cpu_seconds();
    learned.run(0, LEARN_DAYS * DAY_S);
    println!("\na week of a device with {} channels at 1 Hz: {:.1} CPU s", CHANNELS.len(), cpu_seconds() - before);
    let mut closes = learned.run(LEARN_DAYS * DAY_S, (LEARN_DAYS + 2) * DAY_S);
    closes.retain(|close| !close.with_learning);
    let mut micros: Vec<f64> = closes.iter().map(|close| close.seconds * 1e6).collect();
    micros.sort_by(f64::total_cmp);
    let [median, most] = [micros[micros.len() / 2], micros[micros.len() * 99 / 100]];
    println!(
        "a window's close with all detectors and the state for the store, {} times: median {median:.0} us, 99 % {most:.0} us",
        micros.len()
    );
    memory(&learned.store);
}

fn config() -> Config {
    Config { learn: Duration::from_secs((LEARN_DAYS * DAY_S) as u64), channels_max: DEVICES * 8, ..Config::default() }
}

struct Close {
    /// Processor time.
    seconds: f64,
    /// A model was learned on the way.
    with_learning: bool,
}

struct Device {
    engine: Engine,
    store: InMemory,
    seq: u64,
    message: Measurement,
}

impl Device {
    fn new(config: Config) -> Self {
        let store = InMemory::default();
        let engine = Engine::restore(&config, &store, Cursor::default());
        Self { engine, store, seq: 0, message: Measurement::default() }
    }

    /// Sends the seconds of a time, and says what each close of all channels' windows took.
    fn run(&mut self, from_s: i64, to_s: i64) -> Vec<Close> {
        let mut closes = Vec::new();
        for second in from_s..to_s {
            fill(&mut self.message, "device", second);
            let received = Received::known(at(second + 1));
            let before = cpu_seconds();
            self.engine.on_measurement(QueueSeq(self.seq), &self.message, received, &self.store);
            self.seq += 1;
            if self.engine.derived_waiting() < CHANNELS.len() {
                continue;
            }
            while self.engine.on_idle(received.at, &self.store) == Due::More {}
            let changes = self.engine.changes();
            let seconds = cpu_seconds() - before;
            let (_, models) = self.engine.take_counts();
            closes.push(Close { seconds, with_learning: models > 0 });
            if let Some(changes) = changes {
                self.store.commit(changes.state, changes.past);
            }
        }
        closes
    }
}

/// All devices have learned what the one has.
fn memory(learned: &InMemory) {
    let store = copies(learned);
    let before = resident_bytes();
    let config = config();
    let mut engine = Engine::restore(&config, &store, Cursor::default());
    let models = resident_bytes() - before;
    assert_eq!(engine.channels(), DEVICES * CHANNELS.len(), "all devices are restored");
    let (mut seq, mut message) = (0, Measurement::default());
    let from = (LEARN_DAYS + 2) * DAY_S;
    // The end of the window is not reached: nothing closes.
    for second in from..from + WINDOW_S - 1 {
        for device in 0..DEVICES {
            fill(&mut message, &name(device), second);
            engine.on_measurement(QueueSeq(seq), &message, Received::known(at(second + 1)), &store);
            seq += 1;
        }
        drop(engine.changes());
    }
    let all = resident_bytes() - before;
    let kib = |bytes: usize| bytes as f64 / 1024.0 / DEVICES as f64;
    println!(
        "{DEVICES} devices with {} channels at 1 Hz: {:.1} MiB with models and full open windows; {:.1} KiB a device, {:.1} of it models",
        CHANNELS.len(),
        all as f64 / 1024.0 / 1024.0,
        kib(all),
        kib(models)
    );
    drop(engine);
}

fn copies(learned: &InMemory) -> InMemory {
    let names: Vec<String> = learned.state().keys().cloned().collect();
    let stored = Stored::new(learned, &names).expect("a week was stored");
    let mut store = InMemory::default();
    for channel in CHANNELS {
        let mut states = stored.channel("device", channel).expect("the channel was learned").states;
        // Rows of the past stay in the store.
        states.retain(|suffix, _| !suffix.starts_with("rows/"));
        for device in 0..DEVICES {
            let copy = StoredChannel { device: name(device), channel: channel.to_owned(), states: states.clone() };
            let changes = import(stored.head(), &copy, &store, &[]).expect("what was exported is taken");
            store.commit(changes.state, PastChanges::default());
        }
    }
    store
}

fn name(device: usize) -> String {
    format!("device-{device}")
}

fn at(second: i64) -> EventTime {
    EventTime((START_S + second) * SECOND_NS)
}

/// A daily wave with noise on each channel; half of them with two decimals, as sensors have, half with all bits.
fn fill(message: &mut Measurement, device: &str, second: i64) {
    message.clear();
    message.set_device(device);
    for (place, name) in CHANNELS.iter().enumerate() {
        let channel = message.push_channel(name);
        let mut x = (second as u64) << 8 | place as u64;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let noise = (x ^ (x >> 31)) as f64 / u64::MAX as f64;
        let wave = libm::sin(second as f64 * std::f64::consts::TAU / DAY_S as f64 + place as f64);
        let value = 20.0 + 5.0 * wave + noise;
        let value = if place % 2 == 0 { (value * 100.0).round() / 100.0 } else { value };
        message.readings.push(Reading { channel, at: at(second), value });
    }
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let resident = pages.split_ascii_whitespace().nth(1).and_then(|n| n.parse::<usize>().ok());
    resident.expect("the second figure is the resident set") * rustix::param::page_size()
}
