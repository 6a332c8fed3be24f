//! Random numbers in the shapes that signals need.

use std::f64::consts::TAU;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

#[derive(Clone, Debug)]
pub(crate) struct Chance {
    random: Xoshiro256PlusPlus,
    /// Normal numbers are made in pairs.
    spare: Option<f64>,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Xoshiro256PlusPlus::seed_from_u64(seed), spare: None }
    }

    /// Another stream of numbers for each purpose of one seed.
    pub(crate) fn of(seed: u64, purpose: u64) -> Self {
        Self::new(seed ^ 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(purpose + 1))
    }

    /// From 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    pub(crate) fn sign(&mut self) -> f64 {
        if self.unit() < 0.5 { -1.0 } else { 1.0 }
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        let angle = TAU * self.unit();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }

    /// Poisson with a small mean (Knuth).
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        let limit = libm::exp(-mean);
        let (mut count, mut product) = (0.0, self.unit());
        while product > limit {
            count += 1.0;
            product *= self.unit();
        }
        count
    }
}

/// Noise that forgets itself within `tau_s` (Ornstein and Uhlenbeck).
#[derive(Clone, Debug)]
pub(super) struct Wander {
    at: f64,
    keep: f64,
    fresh: f64,
}

impl Wander {
    /// Of standard deviation `std`, advanced every `step_s`.
    pub(super) fn new(step_s: f64, tau_s: f64, std: f64, chance: &mut Chance) -> Self {
        let keep = libm::exp(-step_s / tau_s);
        Self { at: std * chance.normal(), keep, fresh: std * (1.0 - keep * keep).sqrt() }
    }

    pub(super) fn next(&mut self, chance: &mut Chance) -> f64 {
        let now = self.at;
        self.at = self.keep * self.at + self.fresh * chance.normal();
        now
    }
}
