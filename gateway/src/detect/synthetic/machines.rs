//! Clean values of things that are switched, loaded, filled and turned.

use std::f64::consts::TAU;

use super::chance::{Chance, Wander};
use super::nature::is_workday;
use super::{CHANNELS_MAX, DAY_S};

/// Current of a motor that works shifts; each edge of a shift is off by up to five minutes.
#[derive(Clone, Debug)]
pub(super) struct ShiftMotor {
    cycle_s: f64,
    drift: Wander,
    /// Of this day: its number, start and end of the shift in seconds.
    shift: (usize, f64, f64),
}

impl ShiftMotor {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let cycle_s = chance.between(400.0, 900.0);
        Self { cycle_s, drift: Wander::new(step_s, 1800.0, 0.15, chance), shift: (usize::MAX, 0.0, 0.0) }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        let day = (at_s / DAY_S as f64) as usize;
        if self.shift.0 != day {
            let mut edge = |share: f64| (day as f64 + share) * DAY_S as f64 + chance.between(-300.0, 300.0);
            self.shift = (day, edge(0.3), edge(0.75));
        }
        let is_on = is_workday(at_s) && (self.shift.1..self.shift.2).contains(&at_s);
        let cycle = if libm::sin(TAU * at_s / self.cycle_s) > 0.0 { 1.5 } else { 0.0 };
        let drift = self.drift.next(chance);
        0.4 + if is_on { 3.0 + cycle + drift } else { 0.0 } + 0.05 * chance.normal()
    }
}

/// Vibration whose size follows a load that jumps every few hours.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    load: f64,
    change_chance: f64,
    drift: Wander,
}

impl Loaded {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let drift = Wander::new(step_s, 600.0, 0.01, chance);
        Self { load: chance.between(0.8, 1.3), change_chance: step_s / (3.0 * 3600.0), drift }
    }

    fn load(&mut self, chance: &mut Chance) -> f64 {
        if chance.unit() < self.change_chance {
            self.load = chance.between(0.8, 1.3);
        }
        self.load
    }

    pub(super) fn next(&mut self, chance: &mut Chance) -> f64 {
        let load = self.load(chance);
        0.5 * load * (1.0 + 0.08 * chance.normal()) + self.drift.next(chance)
    }

    /// Acceleration at 100 readings a second: the shaft's turns, a harmonic, and noise.
    pub(super) fn next_fast(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        let load = self.load(chance);
        let turn = TAU * (9.7 * at_s - libm::floor(9.7 * at_s));
        load * (0.5 * libm::sin(turn) + 0.2 * libm::sin(3.0 * turn) + 0.15 * chance.normal()) + self.drift.next(chance)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Oscillating {
    pub(super) period_s: f64,
    step_s: f64,
    turns: f64,
    jitter: Wander,
    drift: Wander,
}

impl Oscillating {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let period_s = chance.between(40.0, 120.0);
        let jitter = Wander::new(step_s, 300.0, 1.0, chance);
        Self { period_s, step_s, turns: 0.0, jitter, drift: Wander::new(step_s, 7200.0, 0.15, chance) }
    }

    pub(super) fn next(&mut self, chance: &mut Chance) -> f64 {
        self.turns += self.step_s * (1.0 + 0.02 * self.jitter.next(chance)) / self.period_s;
        5.0 + 0.3 * libm::sin(TAU * self.turns) + self.drift.next(chance) + 0.03 * chance.normal()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Constant {
    level: f64,
    flicker: f64,
}

impl Constant {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let level = libm::round(chance.between(5.0, 80.0) * 10.0) / 10.0;
        Self { level, flicker: if chance.unit() < 0.5 { 0.003 } else { 0.0 } }
    }

    pub(super) fn next(&mut self, chance: &mut Chance) -> f64 {
        if chance.unit() < self.flicker { self.level + 0.1 } else { self.level }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Compressor {
    period_s: f64,
    step_s: f64,
    phase: f64,
    cycles: f64,
    jitter: Wander,
    drift: Wander,
}

impl Compressor {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let (period_s, phase) = (chance.between(1200.0, 3600.0), chance.unit());
        let jitter = Wander::new(step_s, 7200.0, 1.0, chance);
        let drift = Wander::new(step_s, 3600.0, 0.1, chance);
        Self { period_s, step_s, phase, cycles: 0.0, jitter, drift }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        self.cycles += self.step_s * (1.0 + 0.1 * self.jitter.next(chance)) / self.period_s;
        let duty = 0.5 + 0.2 * libm::sin(TAU * (at_s / DAY_S as f64 + self.phase));
        let is_on = self.cycles - libm::floor(self.cycles) < duty;
        let drift = self.drift.next(chance);
        0.2 + if is_on { 5.0 + drift } else { 0.0 } + 0.05 * chance.normal()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Recipes {
    /// Level, noise, size of the oscillation.
    recipes: [[f64; 3]; 4],
    recipe: usize,
    until_s: f64,
    drift: Wander,
}

impl Recipes {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let mut recipes = [[0.0; 3]; 4];
        for recipe in &mut recipes {
            *recipe = [chance.between(10.0, 60.0), chance.between(0.1, 0.4), chance.between(0.0, 1.0)];
        }
        Self { recipes, recipe: 0, until_s: 0.0, drift: Wander::new(step_s, 3600.0, 0.3, chance) }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        if at_s >= self.until_s {
            self.recipe = chance.below(4);
            self.until_s = at_s + chance.between(3600.0, 4.0 * 3600.0);
        }
        let [level, noise, size] = self.recipes[self.recipe];
        level + noise * chance.normal() + size * libm::sin(TAU * at_s / 90.0) + self.drift.next(chance)
    }
}

/// A level that falls slowly and is filled quickly when low.
#[derive(Clone, Debug)]
pub(super) struct Tank {
    level: f64,
    step_s: f64,
    is_filling: bool,
    use_per_s: f64,
    wobble: Wander,
}

impl Tank {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let use_per_s = chance.between(10.0, 30.0) / 3600.0;
        let wobble = Wander::new(step_s, 3600.0, 0.3, chance);
        Self { level: 60.0, step_s, is_filling: false, use_per_s, wobble }
    }

    pub(super) fn next(&mut self, chance: &mut Chance) -> f64 {
        let used = self.use_per_s * libm::exp(self.wobble.next(chance));
        let filled = if self.is_filling { 0.1 } else { 0.0 };
        self.level += self.step_s * (filled - used);
        self.is_filling = if self.is_filling { self.level < 90.0 } else { self.level < 20.0 };
        self.level + 0.2 * chance.normal()
    }
}

/// Whole numbers of an analogue-to-digital converter.
#[derive(Clone, Debug)]
pub(super) struct Converter {
    middle: f64,
    hum: f64,
    drift: Wander,
}

impl Converter {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let (middle, hum) = (chance.between(300.0, 3_000.0), chance.between(2.0, 10.0));
        Self { middle, hum, drift: Wander::new(step_s, 2.0 * 3600.0, 6.0, chance) }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        let hum = self.hum * libm::sin(TAU * at_s / 12.8);
        libm::round(self.middle + hum + self.drift.next(chance) + 2.0 * chance.normal())
    }
}

/// At rest most of the time, and at work for a few minutes about once an hour.
#[derive(Clone, Debug)]
pub(super) struct Bursts {
    step_s: f64,
    size: f64,
    until_s: f64,
    now: f64,
}

impl Bursts {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        Self { step_s, size: chance.between(3.0, 8.0), until_s: 0.0, now: 0.0 }
    }

    pub(super) fn next(&mut self, at_s: f64, chance: &mut Chance) -> f64 {
        if at_s >= self.until_s && chance.unit() < self.step_s / 3600.0 {
            self.until_s = at_s + chance.between(120.0, 600.0);
            self.now = self.size * libm::exp(0.2 * chance.normal());
        }
        let work = if at_s < self.until_s { self.now * (1.0 + 0.05 * chance.normal()) } else { 0.0 };
        1.0 + work + 0.05 * chance.normal()
    }
}

/// One pump: its speed drives flow, pressure and current; the temperature follows the current slowly.
#[derive(Clone, Debug)]
pub(super) struct Pump {
    step_s: f64,
    speed: Wander,
    demand: Wander,
    warmth: f64,
    ambient: Wander,
}

impl Pump {
    pub(super) fn new(step_s: f64, chance: &mut Chance) -> Self {
        let speed = Wander::new(step_s, 2.0 * 3600.0, 0.12, chance);
        let demand = Wander::new(step_s, 3600.0, 0.06, chance);
        Self { step_s, speed, demand, warmth: 20.0, ambient: Wander::new(step_s, 6.0 * 3600.0, 1.0, chance) }
    }

    pub(super) fn next(&mut self, chance: &mut Chance) -> [f64; CHANNELS_MAX] {
        let speed = 1.0 + self.speed.next(chance);
        let demand = 1.0 + self.demand.next(chance);
        let (flow, pressure) = (50.0 * speed * demand, 6.0 * speed * speed / demand);
        let current = 12.0 * speed * speed * demand;
        self.warmth += self.step_s / 900.0 * (1.7 * current - self.warmth);
        let temperature = 22.0 + self.warmth + self.ambient.next(chance);
        let mut noisy = |value: f64, noise: f64| value + noise * chance.normal();
        [noisy(pressure, 0.04), noisy(flow, 0.4), noisy(current, 0.1), noisy(temperature, 0.05)]
    }
}
