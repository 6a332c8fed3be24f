//! What healthy devices measure: four kinds of machines, each with a few channels that move together.
//!
//! # Invariants
//! - Sampling in the same steps from the same seed gives the same values.
//! - State is a few numbers a device, whatever time has passed.
//!
//! # Not here
//! Faults: they are laid over these values by `fault`.

use std::f64::consts::TAU;

use super::random::{Random, Wander};

const DAY_S: f64 = 86_400.0;
/// Memory of slow wandering. Short against the three days that the demo's detectors learn from: a process that wanders
/// over days is still new to them after three, and would be reported, rightly.
const WANDER_S: f64 = 2_400.0;
/// Channels of the kind with the most.
pub const CHANNELS_MAX: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A bearing: vibration and its crest factor follow a duty cycle of minutes, temperature follows slowly.
    Vibration,
    /// A room: temperature and humidity in opposite daily cycles.
    Temperature,
    /// A motor: load steps and cycles, heavier from 6 to 22 h on workdays.
    Motor,
    /// A regulated line: control oscillation, noise and a slow wander.
    Pressure,
}

/// What is known of a channel beforehand: how much it moves decides how large a fault must be to be one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    pub name: &'static str,
    pub unit: &'static str,
    /// Standard deviation of neighbouring samples around the process.
    pub noise: f64,
    /// Standard deviation over a day.
    pub spread: f64,
    /// What the sensor shows when its wire is broken or its range is left.
    pub rail: f64,
    /// Amplitude of a foreign oscillation that would be a fault here; `None` where a change of frequency means nothing.
    pub hum: Option<f64>,
}

const VIBRATION: [Channel; 3] = [
    Channel { name: "rms", unit: "mm/s", noise: 0.09, spread: 1.1, rail: 25.0, hum: None },
    Channel { name: "crest", unit: "", noise: 0.12, spread: 0.25, rail: 0.0, hum: Some(0.6) },
    Channel { name: "temperature", unit: "°C", noise: 0.05, spread: 1.5, rail: -127.0, hum: None },
];
const TEMPERATURE: [Channel; 2] = [
    Channel { name: "temperature", unit: "°C", noise: 0.05, spread: 2.0, rail: -127.0, hum: None },
    Channel { name: "humidity", unit: "%", noise: 0.2, spread: 6.0, rail: -1.0, hum: None },
];
const MOTOR: [Channel; 2] = [
    Channel { name: "current", unit: "A", noise: 0.06, spread: 1.0, rail: 25.0, hum: None },
    Channel { name: "voltage", unit: "V", noise: 0.3, spread: 0.9, rail: 0.0, hum: Some(2.0) },
];
const PRESSURE: [Channel; 2] = [
    Channel { name: "pressure", unit: "bar", noise: 0.03, spread: 0.1, rail: 0.0, hum: Some(0.3) },
    Channel { name: "flow", unit: "l/min", noise: 0.25, spread: 1.4, rail: 120.0, hum: Some(1.8) },
];

impl Kind {
    pub const ALL: [Self; 4] = [Self::Vibration, Self::Temperature, Self::Motor, Self::Pressure];

    /// Of the device number `index` of a fleet: kinds rotate.
    pub fn of(index: u32) -> Self {
        Self::ALL[index as usize % Self::ALL.len()]
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Vibration => "vibration",
            Self::Temperature => "temperature",
            Self::Motor => "motor",
            Self::Pressure => "pressure",
        }
    }

    pub fn channels(self) -> &'static [Channel] {
        match self {
            Self::Vibration => &VIBRATION,
            Self::Temperature => &TEMPERATURE,
            Self::Motor => &MOTOR,
            Self::Pressure => &PRESSURE,
        }
    }
}

/// One device's process, sampled forward in time.
#[derive(Clone, Debug)]
pub struct Signal {
    random: Random,
    last_s: Option<f64>,
    process: Process,
}

#[derive(Clone, Debug)]
enum Process {
    Vibration { period_s: f64, level: Wander, bearing: Wander, phase: f64 },
    Temperature { mean: f64, swing: f64, phase: f64, air: Wander, damp: Wander },
    Motor { cycle_s: f64, load: f64, load_until_s: f64, heat: Wander, grid: Wander },
    Pressure { period_s: f64, angle: f64, jitter: Wander, setpoint: Wander, demand: Wander, phase: f64 },
}

impl Signal {
    pub fn new(kind: Kind, seed: u64, label: u64) -> Self {
        let mut random = Random::new(seed, label);
        let r = &mut random;
        let process = match kind {
            Kind::Vibration => Process::Vibration {
                period_s: r.between(120.0, 240.0),
                phase: r.unit(),
                level: Wander::new(600.0, 0.04, r),
                bearing: Wander::new(WANDER_S, 0.25, r),
            },
            Kind::Temperature => Process::Temperature {
                mean: r.between(18.0, 24.0),
                swing: r.between(2.0, 3.5),
                phase: r.unit(),
                air: Wander::new(WANDER_S, 0.2, r),
                damp: Wander::new(WANDER_S, 0.8, r),
            },
            Kind::Motor => Process::Motor {
                cycle_s: r.between(60.0, 120.0),
                load: 1.0,
                load_until_s: 0.0,
                heat: Wander::new(WANDER_S, 0.05, r),
                grid: Wander::new(WANDER_S, 0.8, r),
            },
            Kind::Pressure => Process::Pressure {
                period_s: r.between(40.0, 120.0),
                angle: r.unit(),
                phase: r.unit(),
                jitter: Wander::new(300.0, 0.02, r),
                setpoint: Wander::new(WANDER_S, 0.03, r),
                demand: Wander::new(WANDER_S, 0.8, r),
            },
        };
        Self { random, last_s: None, process }
    }

    /// The values of all channels at `at_s`, seconds since a Monday 0 h. Times must not go backwards.
    pub fn sample(&mut self, at_s: f64) -> [f64; CHANNELS_MAX] {
        let step_s = self.last_s.map_or(0.0, |last| at_s - last);
        self.last_s = Some(at_s);
        let r = &mut self.random;
        match &mut self.process {
            Process::Vibration { period_s, level, bearing, phase } => {
                let level = 1.0 + level.step(step_s, r);
                let daily = libm::sin(TAU * (at_s / DAY_S + *phase));
                let temperature = 46.0 + 2.0 * daily + bearing.step(step_s, r) + 0.05 * r.normal();
                let running = (at_s / *period_s + *phase).rem_euclid(1.0) < 0.6;
                let (rms, crest) = match running {
                    true => (2.6 * level + 0.09 * r.normal(), 3.5 + 0.12 * r.normal()),
                    false => (0.35 + 0.02 * r.normal(), 3.0 + 0.1 * r.normal()),
                };
                [rms.max(0.0), crest, temperature]
            }
            Process::Temperature { mean, swing, phase, air, damp } => {
                let daily = libm::sin(TAU * (at_s / DAY_S + *phase));
                let temperature = *mean + *swing * daily + air.step(step_s, r) + 0.05 * r.normal();
                let humidity = 48.0 - 8.0 * daily + damp.step(step_s, r) + 0.2 * r.normal();
                [temperature, humidity.clamp(0.0, 100.0), 0.0]
            }
            Process::Motor { cycle_s, load, load_until_s, heat, grid } => {
                if at_s >= *load_until_s {
                    *load = [0.85, 0.95, 1.05, 1.15][r.below(4)];
                    *load_until_s = at_s + r.between(900.0, 2_400.0);
                }
                let working = if in_shift(at_s) { 1.0 } else { 0.75 };
                let cycle = if (at_s / *cycle_s).rem_euclid(1.0) < 0.5 { 1.2 } else { 0.0 };
                let current = 0.4 + working * *load * (4.0 + cycle) + heat.step(step_s, r) + 0.06 * r.normal();
                let voltage = 400.0 + grid.step(step_s, r) + 0.3 * r.normal();
                [current, voltage, 0.0]
            }
            Process::Pressure { period_s, angle, jitter, setpoint, demand, phase } => {
                *angle = (*angle + step_s / *period_s * (1.0 + jitter.step(step_s, r))).rem_euclid(1.0);
                let control = 0.12 * libm::sin(TAU * *angle);
                let pressure = 6.0 + control + setpoint.step(step_s, r) + 0.03 * r.normal();
                let daily = libm::sin(TAU * (at_s / DAY_S + *phase));
                let flow = 42.0 + 1.5 * daily + demand.step(step_s, r) + 0.25 * r.normal();
                [pressure, flow, 0.0]
            }
        }
    }
}

/// 6 to 22 h, Monday to Friday.
fn in_shift(at_s: f64) -> bool {
    let day = (at_s / DAY_S).floor().rem_euclid(7.0);
    let hour = (at_s / 3600.0).rem_euclid(24.0);
    day < 5.0 && (6.0..22.0).contains(&hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of one channel over a day, one each `step_s`.
    fn a_day(kind: Kind, channel: usize, step_s: f64) -> Vec<f64> {
        let mut signal = Signal::new(kind, 1, 0);
        (0..(DAY_S / step_s) as usize).map(|i| signal.sample(i as f64 * step_s)[channel]).collect()
    }

    fn deviation(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn a_seed_gives_the_same_day_and_another_seed_another_one() {
        for kind in Kind::ALL {
            let day = |seed| -> Vec<[u64; CHANNELS_MAX]> {
                let mut signal = Signal::new(kind, seed, 0);
                (0..1_000).map(|i| signal.sample(f64::from(i) * 5.0).map(f64::to_bits)).collect()
            };
            assert_eq!(day(1), day(1), "{kind:?}");
            assert_ne!(day(1), day(2), "{kind:?}");
        }
    }

    #[test]
    fn each_channel_moves_about_as_much_as_its_profile_says() {
        for kind in Kind::ALL {
            for (i, channel) in kind.channels().iter().enumerate() {
                let spread = deviation(&a_day(kind, i, 5.0));
                let ratio = spread / channel.spread;
                assert!((0.4..2.0).contains(&ratio), "{kind:?} {}: {spread} against {}", channel.name, channel.spread);
            }
        }
    }

    #[test]
    fn the_rail_of_a_channel_is_far_from_everything_it_measures() {
        for kind in Kind::ALL {
            for (i, channel) in kind.channels().iter().enumerate() {
                let nearest = a_day(kind, i, 60.0).iter().map(|v| (v - channel.rail).abs()).fold(f64::MAX, f64::min);
                assert!(nearest > 4.0 * channel.spread, "{kind:?} {}: {nearest}", channel.name);
            }
        }
    }

    #[test]
    fn a_room_is_warmest_and_driest_at_the_same_time() {
        let (t, h) = (a_day(Kind::Temperature, 0, 60.0), a_day(Kind::Temperature, 1, 60.0));
        let warmest = (0..t.len()).max_by(|a, b| t[*a].total_cmp(&t[*b])).unwrap();
        let mean = h.iter().sum::<f64>() / h.len() as f64;
        assert!(h[warmest] < mean - 3.0);
    }

    #[test]
    fn a_motor_draws_less_at_night_and_on_sundays() {
        assert!(in_shift(12.0 * 3600.0));
        assert!(!in_shift(3.0 * 3600.0));
        assert!(!in_shift(6.0 * DAY_S + 12.0 * 3600.0));
        let day = a_day(Kind::Motor, 0, 60.0);
        let mean = |hours: std::ops::Range<usize>| {
            day[hours.start * 60..hours.end * 60].iter().sum::<f64>() / (hours.len() * 60) as f64
        };
        assert!(mean(0..6) < 0.85 * mean(8..20));
    }
}
