//! When what happens: the demo's time line, and which faults come where. Pure: the time is an argument.
//!
//! # Invariants
//! - Event time never passes the real clock: the live part ends about when the demo does.
//! - History and live part meet at a boundary of windows, so a pause between them tears no window apart.
//! - Faults of one device do not overlap and leave it some healthy windows in between.

use std::time::Duration;

use super::device::{Device, Encoding, Start};
use super::fault::{Fault, Kind};
use super::random::Random;
use super::signal;

pub const WINDOW_MS: i64 = 600_000;
const DAY_MS: i64 = 86_400_000;

/// The demo's event time: history up to `live_start_at_ms`, then the live part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeline {
    pub history_start_at_ms: i64,
    pub live_start_at_ms: i64,
    pub live_end_at_ms: i64,
    /// Event time that passes in a unit of real time, in the live part.
    pub speed: f64,
}

impl Timeline {
    /// Days that the detectors learn from.
    pub const LEARN_DAYS: i64 = 3;
    /// Played after the learning days, so that verdicts are given before the live part begins.
    const SETTLE_WINDOWS: i64 = 12;

    /// `now_at_ms` is the real time at the start of the demo.
    pub fn new(now_at_ms: i64, live: Duration, speed: f64) -> Self {
        let live_ms = (live.as_millis() as f64 * speed) as i64;
        let end_by_ms = now_at_ms + live.as_millis() as i64;
        let live_start_at_ms = (end_by_ms - live_ms).div_euclid(WINDOW_MS) * WINDOW_MS;
        Self {
            history_start_at_ms: live_start_at_ms - Self::LEARN_DAYS * DAY_MS - Self::SETTLE_WINDOWS * WINDOW_MS,
            live_start_at_ms,
            live_end_at_ms: live_start_at_ms + live_ms,
            speed,
        }
    }
}

/// How densely a fleet samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// As real devices of these kinds do, times a whole number where that would be too much.
    Natural { stretch: i64 },
    /// So that all devices together send this many messages a second of event time.
    Rate(f64),
}

impl Sampling {
    /// Natural sampling that keeps a history of some days near 300 000 messages: above ten devices all sample more
    /// rarely, but a window keeps at least ten JSON readings.
    pub fn for_history(devices: u32) -> Self {
        Self::Natural { stretch: i64::from(devices.div_ceil(10).clamp(1, 12)) }
    }

    /// Time between two samples of a device, microseconds.
    pub fn step_us(self, encoding: Encoding, devices: u32) -> i64 {
        match self {
            Self::Natural { stretch } => encoding.natural_step_us() * stretch,
            Self::Rate(per_s) => {
                let samples_per_s = per_s / f64::from(devices) * encoding.samples_per_message() as f64;
                ((1_000_000.0 / samples_per_s) as i64).max(encoding.step_min_us())
            }
        }
    }

    /// Messages of all devices in a second of event time.
    pub fn messages_per_s(self, devices: u32) -> f64 {
        let each = |index| {
            let encoding = Encoding::of(signal::Kind::of(index));
            1_000_000.0 / (self.step_us(encoding, devices) as f64 * encoding.samples_per_message() as f64)
        };
        (0..devices).map(each).sum()
    }
}

/// Devices that begin at `start`, in order of their number.
pub fn fleet(devices: u32, topic: &str, sampling: Sampling, start: Start) -> Vec<Device> {
    (0..devices)
        .map(|index| {
            let step_us = sampling.step_us(Encoding::of(signal::Kind::of(index)), devices);
            Device::new(index, topic, step_us, start)
        })
        .collect()
}

/// Healthy windows of a device before its first fault.
const LEAD_WINDOWS: i64 = 3;
/// First faults of the devices are spread over this many windows, or fewer where a short run has no room for them.
const SPREAD_WINDOWS: i64 = 8;
/// Healthy windows between two faults of a device, and after its last: enough for the window after a fault to be closed.
const REST_WINDOWS: i64 = 6;

/// Spreads faults of all kinds over the devices and the time between `start_at_ms` and `end_at_ms`.
/// The same seed gives the same faults at the same distances from the start.
pub fn faults(devices: &[Device], seed: u64, start_at_ms: i64, end_at_ms: i64) -> Vec<Fault> {
    let mut random = Random::new(seed, u64::MAX / 2);
    let mut kinds = Kinds::default();
    let mut faults = Vec::new();
    // Each device is ready for its next fault at some time; the earliest one is served next.
    let spare = (end_at_ms - start_at_ms) / WINDOW_MS - LEAD_WINDOWS - Kind::Spike.windows() - REST_WINDOWS;
    let spread = spare.clamp(0, SPREAD_WINDOWS) as f64;
    let mut ready: Vec<i64> = devices
        .iter()
        .map(|_| start_at_ms + LEAD_WINDOWS * WINDOW_MS + (random.between(0.0, spread) * WINDOW_MS as f64) as i64)
        .collect();
    while let Some(device) = (0..devices.len()).min_by_key(|d| ready[*d]) {
        if ready[device] + (Kind::Spike.windows() + REST_WINDOWS) * WINDOW_MS > end_at_ms {
            break;
        }
        let channels = devices[device].kind().channels();
        let kind = kinds.take(&mut random, |kind| {
            let lasts_until = ready[device] + (kind.windows() + REST_WINDOWS) * WINDOW_MS;
            lasts_until <= end_at_ms && channels.iter().any(|c| kind.suits(c))
        });
        let suitable: Vec<_> = channels.iter().filter(|c| kind.suits(c)).collect();
        let channel = suitable[random.below(suitable.len())];
        let start_at_ms = ready[device] / 1_000 * 1_000;
        let fault = Fault {
            kind,
            device: devices[device].name().to_owned(),
            channel: channel.name,
            start_at_ms,
            end_at_ms: start_at_ms + kind.windows() * WINDOW_MS,
        };
        let rest = REST_WINDOWS as f64 + random.between(0.0, 12.0);
        ready[device] = fault.end_at_ms + (rest * WINDOW_MS as f64) as i64;
        faults.push(fault);
    }
    faults
}

/// Gives each device its own faults.
pub fn inject(devices: &mut [Device], faults: &[Fault]) {
    for device in devices {
        for fault in faults.iter().filter(|f| f.device == device.name()).cloned().collect::<Vec<_>>() {
            device.inject(fault);
        }
    }
}

/// Deals kinds so that each comes about equally often.
#[derive(Default)]
struct Kinds(Vec<Kind>);

impl Kinds {
    /// The next kind that `suits`; spikes suit everywhere.
    fn take(&mut self, random: &mut Random, suits: impl Fn(Kind) -> bool) -> Kind {
        for _ in 0..2 {
            if let Some(i) = self.0.iter().rposition(|k| suits(*k)) {
                return self.0.remove(i);
            }
            let mut fresh = Kind::ALL;
            random.shuffle(&mut fresh);
            self.0.splice(..0, fresh);
        }
        Kind::Spike
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_763_731_234_567;

    fn six() -> Vec<Device> {
        let start = Start { seed: 1, at_ms: 0, monday_at_ms: 0 };
        fleet(6, "t", Sampling::for_history(6), start)
    }

    #[test]
    fn event_time_ends_about_now_and_never_passes_the_clock() {
        let line = Timeline::new(NOW, Duration::from_secs(60), 480.0);
        assert_eq!(line.live_start_at_ms % WINDOW_MS, 0);
        assert_eq!(line.live_end_at_ms - line.live_start_at_ms, 60 * 480 * 1_000);
        let end_of_run = NOW + 60_000;
        assert!((end_of_run - WINDOW_MS..=end_of_run).contains(&line.live_end_at_ms));
        assert!(line.live_start_at_ms - line.history_start_at_ms > Timeline::LEARN_DAYS * DAY_MS);
    }

    #[test]
    fn a_history_of_six_devices_stays_below_300_000_messages() {
        for devices in [1, 6, 10, 20, 50, 100] {
            let per_s = Sampling::for_history(devices).messages_per_s(devices);
            let messages = per_s * (Timeline::LEARN_DAYS * DAY_MS / 1_000) as f64;
            assert!(messages < 310_000.0, "{devices} devices: {messages}");
        }
    }

    #[test]
    fn a_rate_is_met_by_sampling_more_densely() {
        for (rate, devices) in [(100.0, 8), (5_000.0, 100), (0.1, 3)] {
            let met = Sampling::Rate(rate).messages_per_s(devices);
            assert!((0.99..=1.03).contains(&(met / rate)), "{met} for {rate}");
        }
        let met = Sampling::Rate(1_000_000.0).messages_per_s(4);
        assert!(met < 600_000.0, "two readings of one channel would share a time: {met}");
    }

    #[test]
    fn faults_are_spread_and_do_not_touch_each_other() {
        let devices = six();
        let end = 48 * WINDOW_MS;
        let faults = faults(&devices, 1, 0, end);
        assert!(faults.len() >= 10, "{}", faults.len());
        for d in &devices {
            let own: Vec<&Fault> = faults.iter().filter(|f| f.device == d.name()).collect();
            assert!(!own.is_empty(), "{} has none", d.name());
            assert!(own[0].start_at_ms >= LEAD_WINDOWS * WINDOW_MS);
            assert!(own.windows(2).all(|w| w[1].start_at_ms >= w[0].end_at_ms + (REST_WINDOWS - 1) * WINDOW_MS));
            assert!(own.iter().all(|f| f.end_at_ms + (REST_WINDOWS - 1) * WINDOW_MS <= end));
            assert!(own.iter().all(|f| d.kind().channels().iter().any(|c| c.name == f.channel && f.kind.suits(c))));
        }
    }

    #[test]
    fn the_seed_decides_the_faults_and_the_start_only_shifts_them() {
        let devices = six();
        let (a, b) = (faults(&devices, 1, 0, 48 * WINDOW_MS), faults(&devices, 1, WINDOW_MS, 49 * WINDOW_MS));
        let shifted = |f: &Fault| Fault {
            start_at_ms: f.start_at_ms + WINDOW_MS,
            end_at_ms: f.end_at_ms + WINDOW_MS,
            ..f.clone()
        };
        assert_eq!(a.iter().map(shifted).collect::<Vec<_>>(), b);
        assert_ne!(a, faults(&devices, 2, 0, 48 * WINDOW_MS));
    }

    #[test]
    fn all_kinds_of_fault_come_in_the_default_demo() {
        let faults = faults(&six(), 1, 0, 48 * WINDOW_MS);
        let missing: Vec<Kind> = Kind::ALL.into_iter().filter(|k| faults.iter().all(|f| f.kind != *k)).collect();
        assert!(missing.is_empty(), "{missing:?} of {} faults", faults.len());
    }

    #[test]
    fn even_one_device_has_a_fault_in_a_run_of_fifteen_seconds() {
        let start = Start { seed: 1, at_ms: 0, monday_at_ms: 0 };
        let one = fleet(1, "t", Sampling::for_history(1), start);
        for seed in 0..50 {
            assert!(!faults(&one, seed, 0, 12 * WINDOW_MS).is_empty(), "seed {seed}");
        }
    }

    #[test]
    fn a_short_run_has_no_faults_rather_than_half_ones() {
        assert!(faults(&six(), 1, 0, 5 * WINDOW_MS).is_empty());
    }
}
