//! Made-up devices and faults with a known truth, for tests and for measuring how good detection is.
//!
//! One value a second from second 0 of a Monday. The same seed gives the same signal.

use std::f64::consts::TAU;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

pub(super) const DAY: usize = 86_400;
pub(super) const WINDOW: usize = 600;

/// Random numbers in the shapes that signals need.
pub(super) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// From 0 up to 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    pub(super) fn sign(&mut self) -> f64 {
        if self.unit() < 0.5 { -1.0 } else { 1.0 }
    }

    /// Standard normal.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        radius * libm::cos(TAU * self.unit())
    }

    /// Noise that forgets itself within `tau_s`, of standard deviation `std`.
    fn wander(&mut self, n: usize, tau_s: f64, std: f64) -> Vec<f64> {
        let keep = libm::exp(-1.0 / tau_s);
        let fresh = std * (1.0 - keep * keep).sqrt();
        let mut at = std * self.normal();
        (0..n)
            .map(|_| {
                let now = at;
                at = keep * at + fresh * self.normal();
                now
            })
            .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    DailyTemperature,
    ShiftMotor,
    LoadVibration,
    OscillatingPressure,
    Humidity,
    Constant,
    WeeklyFlow,
    Compressor,
    Recipes,
}

impl Kind {
    pub(super) const ALL: [Self; 9] = [
        Self::DailyTemperature,
        Self::ShiftMotor,
        Self::LoadVibration,
        Self::OscillatingPressure,
        Self::Humidity,
        Self::Constant,
        Self::WeeklyFlow,
        Self::Compressor,
        Self::Recipes,
    ];

    fn is_slow(self) -> bool {
        matches!(self, Self::DailyTemperature | Self::Humidity | Self::WeeklyFlow)
    }

    /// Some faults mean nothing on some kinds.
    pub(super) fn can_have(self, fault: Fault) -> bool {
        self != Self::Constant || !matches!(fault, Fault::Stuck | Fault::Gain)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Spike,
    Stuck,
    Level,
    Drift,
    Noise,
    Dropout,
    Frequency,
    Gain,
}

impl Fault {
    pub(super) const ALL: [Self; 8] =
        [Self::Spike, Self::Stuck, Self::Level, Self::Drift, Self::Noise, Self::Dropout, Self::Frequency, Self::Gain];

    /// How long it lasts, in windows.
    pub(super) fn windows(self) -> usize {
        match self {
            Self::Spike => 1,
            Self::Dropout => 6,
            Self::Drift => 72,
            Self::Stuck | Self::Level | Self::Noise | Self::Frequency | Self::Gain => 12,
        }
    }
}

/// A channel's values, second by second; `None` where the reading is missing.
#[derive(Clone)]
pub(super) struct Signal {
    pub(super) kind: Kind,
    pub(super) values: Vec<f64>,
    pub(super) is_there: Vec<bool>,
    /// The kind's natural unit of noise.
    unit: f64,
    /// Of an oscillation, seconds.
    period_s: Option<f64>,
}

impl Signal {
    pub(super) fn new(kind: Kind, days: usize, seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(kind as u64 + 1));
        let n = days * DAY;
        let (values, unit, period_s) = values(kind, n, &mut chance);
        let is_there = (0..n).map(|_| chance.unit() > 0.005).collect();
        Self { kind, values, is_there, unit, period_s }
    }

    /// Puts one fault into the seconds from `from`.
    pub(super) fn inject(&mut self, fault: Fault, from: usize, severity: f64, chance: &mut Chance) {
        let to = from + fault.windows() * WINDOW;
        let before = &self.values[from.saturating_sub(DAY)..from];
        let spread = std(before);
        let middle_before = median(before);
        let (unit, sign) = (self.unit, chance.sign());
        let values = &mut self.values[from..to];
        let n = values.len();
        match fault {
            Fault::Spike => {
                for _ in 0..1 + chance.below(3) {
                    let (at, length, sign) = (chance.below(n), 1 + chance.below(3), chance.sign());
                    for v in values.iter_mut().skip(at).take(length) {
                        *v += sign * severity * (15.0 * unit + 2.0 * spread);
                    }
                }
            }
            Fault::Stuck => values.fill(values[0]),
            Fault::Level => values.iter_mut().for_each(|v| *v += sign * severity * (6.0 * unit + 2.0 * spread)),
            Fault::Drift => {
                for (i, v) in values.iter_mut().enumerate() {
                    *v += sign * severity * (8.0 * unit + 3.0 * spread) * i as f64 / n as f64;
                }
            }
            Fault::Noise => values.iter_mut().for_each(|v| *v += chance.normal() * 4.0 * unit * severity),
            Fault::Dropout => {
                let share = (chance.between(0.5, 1.0) * severity).min(1.0);
                for is_there in &mut self.is_there[from..to] {
                    *is_there &= chance.unit() > share;
                }
            }
            Fault::Frequency => {
                let size = severity * if self.period_s.is_some() { 0.3 } else { 3.0 * unit };
                let period_s = self.period_s.unwrap_or(60.0) / 2.5;
                for (i, v) in values.iter_mut().enumerate() {
                    *v += size * libm::sin(TAU * i as f64 / period_s);
                }
            }
            Fault::Gain => {
                let middle = if self.kind.is_slow() { middle_before } else { median(values) };
                values.iter_mut().for_each(|v| *v = middle + (*v - middle) * (1.0 + 2.0 * severity));
            }
        }
    }
}

fn values(kind: Kind, n: usize, chance: &mut Chance) -> (Vec<f64>, f64, Option<f64>) {
    let day = |i: usize| i as f64 / DAY as f64;
    let phase = chance.unit();
    match kind {
        Kind::DailyTemperature => {
            let size = chance.between(1.0, 4.0);
            let drift = chance.wander(n, 4.0 * 3600.0, 0.6);
            let value = |i: usize, noise: f64| {
                let exact = 21.0 + size * libm::sin(TAU * (day(i) + phase)) + drift[i] + 0.05 * noise;
                (exact * 10.0).round() / 10.0
            };
            ((0..n).map(|i| value(i, chance.normal())).collect(), 0.08, None)
        }
        Kind::ShiftMotor => {
            let on = working_hours(n, 0.3, 0.75, 300.0, chance);
            let cycle_s = chance.between(400.0, 900.0);
            let drift = chance.wander(n, 1800.0, 0.15);
            let value = |i: usize, noise: f64| {
                let cycle = if libm::sin(TAU * i as f64 / cycle_s) > 0.0 { 1.5 } else { 0.0 };
                0.4 + if on[i] { 3.0 + cycle + drift[i] } else { 0.0 } + 0.05 * noise
            };
            ((0..n).map(|i| value(i, chance.normal())).collect(), 0.06, None)
        }
        Kind::LoadVibration => {
            let drift = chance.wander(n, 600.0, 0.01);
            let mut load = chance.between(0.8, 1.3);
            let mut out = Vec::with_capacity(n);
            for d in drift {
                if chance.unit() < 1.0 / (3.0 * 3600.0) {
                    load = chance.between(0.8, 1.3);
                }
                out.push(0.5 * load * (1.0 + 0.08 * chance.normal()) + d);
            }
            (out, 0.04, None)
        }
        Kind::OscillatingPressure => {
            let period_s = chance.between(40.0, 120.0);
            let (jitter, drift) = (chance.wander(n, 300.0, 1.0), chance.wander(n, 7200.0, 0.15));
            let mut turns = 0.0;
            let mut out = Vec::with_capacity(n);
            for (jitter, drift) in jitter.iter().zip(&drift) {
                turns += (1.0 + 0.02 * jitter) / period_s;
                out.push(5.0 + 0.3 * libm::sin(TAU * turns) + drift + 0.03 * chance.normal());
            }
            (out, 0.2, Some(period_s))
        }
        Kind::Humidity => {
            let drift = chance.wander(n, 6.0 * 3600.0, 4.0);
            let value = |i: usize, noise: f64| {
                (50.0 + 8.0 * libm::sin(TAU * (day(i) + phase)) + drift[i] + 0.3 * noise).clamp(0.0, 100.0)
            };
            ((0..n).map(|i| value(i, chance.normal())).collect(), 0.4, None)
        }
        Kind::Constant => {
            let level = (chance.between(5.0, 80.0) * 10.0).round() / 10.0;
            let flicker = if chance.unit() < 0.5 { 0.003 } else { 0.0 };
            ((0..n).map(|_| if chance.unit() < flicker { level + 0.1 } else { level }).collect(), 0.1, None)
        }
        Kind::WeeklyFlow => {
            let size = chance.between(3.0, 8.0);
            let (wobble, drift) = (chance.wander(n, 3600.0, 0.12), chance.wander(n, 1800.0, 0.1));
            let value = |i: usize, noise: f64| {
                let off = (day(i).fract() * 24.0 - 13.0) / 3.5;
                let working = if i / DAY % 7 < 5 { 1.0 } else { 0.2 };
                let profile = size * working * libm::exp(-off * off) * libm::exp(wobble[i]);
                (1.0 + profile + drift[i] + 0.1 * noise).max(0.0)
            };
            ((0..n).map(|i| value(i, chance.normal())).collect(), 0.15, None)
        }
        Kind::Compressor => {
            let period_s = chance.between(1200.0, 3600.0);
            let (jitter, drift) = (chance.wander(n, 7200.0, 1.0), chance.wander(n, 3600.0, 0.1));
            let mut cycles = 0.0_f64;
            let mut out = Vec::with_capacity(n);
            for i in 0..n {
                cycles += (1.0 + 0.1 * jitter[i]) / period_s;
                let is_on = cycles.rem_euclid(1.0) < 0.5 + 0.2 * libm::sin(TAU * (day(i) + phase));
                out.push(0.2 + if is_on { 5.0 + drift[i] } else { 0.0 } + 0.05 * chance.normal());
            }
            (out, 0.06, None)
        }
        Kind::Recipes => {
            let recipes: Vec<[f64; 3]> = (0..4)
                .map(|_| [chance.between(10.0, 60.0), chance.between(0.1, 0.4), chance.between(0.0, 1.0)])
                .collect();
            let drift = chance.wander(n, 3600.0, 0.3);
            let (mut recipe, mut left) = (0, 0);
            let mut out = Vec::with_capacity(n);
            for (i, d) in drift.iter().enumerate() {
                if left == 0 {
                    recipe = chance.below(4);
                    left = chance.between(3600.0, 4.0 * 3600.0) as usize;
                }
                left -= 1;
                let [level, noise, size] = recipes[recipe];
                out.push(level + noise * chance.normal() + size * libm::sin(TAU * i as f64 / 90.0) + d);
            }
            (out, 0.4, None)
        }
    }
}

/// Monday to Friday from `start` to `end` (shares of a day), each edge off by up to `jitter_s`.
fn working_hours(n: usize, start: f64, end: f64, jitter_s: f64, chance: &mut Chance) -> Vec<bool> {
    let mut on = vec![false; n];
    for day in (0..n.div_ceil(DAY)).filter(|d| d % 7 < 5) {
        let mut edge = |share: f64| ((day as f64 + share) * DAY as f64 + chance.between(-jitter_s, jitter_s)) as usize;
        let (from, to) = (edge(start).min(n), edge(end).min(n));
        on[from..to].fill(true);
    }
    on
}

fn std(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
