//! Clean values that follow the day, the week or chance.

use std::f64::consts::TAU;

use super::DAY_S;
use super::chance::{Chance, Wander};

/// Temperature in a room or, seldom read, anywhere.
#[derive(Clone, Debug)]
pub(super) struct Daily {
    middle: f64,
    size: f64,
    phase: f64,
    drift: Wander,
    noise: f64,
    /// 0: none.
    digit: f64,
}

impl Daily {
    pub(super) fn temperature(step_s: f64, chance: &mut Chance) -> Self {
        let (phase, size) = (chance.unit(), chance.between(1.0, 4.0));
        let drift = Wander::new(step_s, 4.0 * 3600.0, 0.6, chance);
        Self { middle: 21.0, size, phase, drift, noise: 0.05, digit: 0.1 }
    }

    pub(super) fn humidity(step_s: f64, chance: &mut Chance) -> Self {
        let phase = chance.unit();
        let drift = Wander::new(step_s, 6.0 * 3600.0, 4.0, chance);
        Self { middle: 50.0, size: 8.0, phase, drift, noise: 0.3, digit: 0.0 }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        let daily = self.size * libm::sin(TAU * (at_s / DAY_S as f64 + self.phase));
        let exact = self.middle + daily + self.drift.next(chance) + self.noise * chance.normal();
        if self.digit > 0.0 { libm::round(exact / self.digit) * self.digit } else { exact.clamp(0.0, 100.0) }
    }
}

#[derive(Clone, Debug)]
pub(super) struct WeeklyFlow {
    size: f64,
    wobble: Wander,
    drift: Wander,
}

impl WeeklyFlow {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let size = chance.between(3.0, 8.0);
        let wobble = Wander::new(step_s, 3600.0, 0.12, chance);
        Self { size, wobble, drift: Wander::new(step_s, 1800.0, 0.1, chance) }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        let day = at_s / DAY_S as f64;
        let off = ((day - libm::floor(day)) * 24.0 - 13.0) / 3.5;
        let working = if is_workday(at_s) { 1.0 } else { 0.2 };
        let profile = self.size * working * libm::exp(-off * off) * libm::exp(self.wobble.next(chance));
        (1.0 + profile + self.drift.next(chance) + 0.1 * chance.normal()).max(0.0)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Solar {
    peak: f64,
    noon: f64,
    clouds: Wander,
    passing: Wander,
}

impl Solar {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let (peak, noon) = (chance.between(400.0, 900.0), chance.between(0.4, 0.6));
        let clouds = Wander::new(step_s, 8.0 * 3600.0, 0.8, chance);
        Self { peak, noon, clouds, passing: Wander::new(step_s, 120.0, 0.8, chance) }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        let day = at_s / DAY_S as f64;
        let height = libm::cos(TAU * (day - libm::floor(day) - self.noon)).max(0.0);
        // Between full sun and a fifth of it.
        let cover = 1.0 / (1.0 + libm::exp(-1.5 * (self.clouds.next(chance) + 0.5 * self.passing.next(chance)) - 1.0));
        let light = self.peak * height * (0.2 + 0.8 * cover);
        (light + 1.5 * chance.normal()).max(0.0)
    }
}

/// Pulses of an energy meter.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    rate: f64,
    phase: f64,
    wobble: Wander,
    count: f64,
    reset_chance: f64,
}

impl Counter {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let (rate, phase) = (chance.between(0.5, 3.0) * step_s, chance.unit());
        let wobble = Wander::new(step_s, 3600.0, 0.15, chance);
        Self { rate, phase, wobble, count: 0.0, reset_chance: step_s / (10.0 * DAY_S as f64) }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        let daily = 1.0 + 0.6 * libm::sin(TAU * (at_s / DAY_S as f64 + self.phase));
        let rate = self.rate * daily * libm::exp(self.wobble.next(chance));
        self.count += chance.poisson(rate);
        if chance.unit() < self.reset_chance {
            self.count = 0.0;
        }
        self.count
    }
}

/// Monday to Friday: second 0 is the midnight before a Monday.
pub(super) fn is_workday(at_s: f64) -> bool {
    (at_s / DAY_S as f64) as usize % 7 < 5
}
