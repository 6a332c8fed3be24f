//! A made-up machine: some channels that one load drives, each with its own gain, inertia and noise.
//!
//! One row a window; the same seed gives the same rows.

use std::f64::consts::TAU;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use super::super::calendar::WindowIndex;
use super::row::DeviceRow;

pub(super) const DAY: usize = 144;

/// What breaks the relation of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is off by so many of its own standard deviations.
    Level(f64),
    /// It answers to the load so many times as strongly.
    Gain(f64),
    /// It answers so many windows later.
    Lag(usize),
}

/// How the load moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// A day's round with weather.
    Daily,
    /// Working hours on five days.
    Shifts,
    /// On and off, for some windows each.
    Duty,
    /// A walk that forgets itself within half a day.
    Wander,
}

impl Load {
    pub(super) const ALL: [Self; 4] = [Self::Daily, Self::Shifts, Self::Duty, Self::Wander];
}

pub(super) struct Machine {
    pub(super) levels: Vec<Vec<f64>>,
}

struct Chance(Xoshiro256PlusPlus);

impl Chance {
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * libm::log(1.0 - self.unit())).sqrt() * libm::cos(TAU * self.unit())
    }
}

impl Machine {
    /// `channels` over `windows` of ten minutes; `fault` of a channel from a window on until another.
    pub(super) fn run(
        seed: u64,
        (load, channels, windows): (Load, usize, usize),
        fault: Option<(usize, Fault, std::ops::Range<usize>)>,
    ) -> Self {
        let mut chance = Chance(Xoshiro256PlusPlus::seed_from_u64(seed));
        let (mut weather, mut on, mut left) = (0.0, false, 0);
        let loads: Vec<f64> = (0..windows)
            .map(|w| {
                let day = w as f64 / DAY as f64;
                weather = 0.986 * weather + 0.167 * chance.normal();
                if left == 0 {
                    on = !on;
                    left = 6 + (chance.unit() * 30.0) as usize;
                }
                left -= 1;
                match load {
                    Load::Daily => libm::sin(TAU * day) + 0.5 * weather,
                    Load::Shifts => {
                        let works = w / DAY % 7 < 5 && (36..108).contains(&(w % DAY));
                        f64::from(u8::from(works)) * (1.0 + 0.15 * weather)
                    }
                    Load::Duty => f64::from(u8::from(on)) + 0.1 * weather,
                    Load::Wander => weather,
                }
            })
            .collect();
        let levels = (0..channels).map(|channel| {
            let gain = chance.between(0.5, 3.0) * if chance.unit() < 0.3 { -1.0 } else { 1.0 };
            let offset = chance.between(-20.0, 80.0);
            let inertia = if chance.unit() < 0.5 { 0.0 } else { chance.between(0.0, 0.8) };
            let noise = gain.abs() * chance.between(0.03, 0.15);
            let (mut slow, mut own) = (0.0, 0.0);
            // The standard deviation that the channel has with its share of the load.
            let spread = gain.abs() * 0.6;
            (0..windows)
                .map(|w| {
                    let broken = fault.as_ref().filter(|(c, _, when)| *c == channel && when.contains(&w));
                    let (mut factor, mut shift, mut lag) = (1.0, 0.0, 0);
                    match broken.map(|(_, fault, _)| *fault) {
                        Some(Fault::Level(units)) => shift = units * spread,
                        Some(Fault::Gain(times)) => factor = times,
                        Some(Fault::Lag(windows)) => lag = windows,
                        None => {}
                    }
                    slow = inertia * slow + (1.0 - inertia) * loads[w.saturating_sub(lag)];
                    own = 0.95 * own + 0.3 * 0.7 * noise * chance.normal();
                    offset + gain * factor * slow + shift + own + 0.7 * noise * chance.normal()
                })
                .collect()
        });
        Self { levels: levels.collect() }
    }

    pub(super) fn row(&self, window: usize) -> DeviceRow {
        DeviceRow::of_levels(WindowIndex(window as i64), self.levels.iter().map(|channel| Some(channel[window])))
    }

    pub(super) fn rows(&self, windows: std::ops::Range<usize>) -> Vec<DeviceRow> {
        windows.map(|w| self.row(w)).collect()
    }
}
