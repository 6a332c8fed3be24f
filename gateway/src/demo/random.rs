//! Random numbers that are the same on every machine: xoshiro256++ and `libm`.

use std::f64::consts::TAU;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// A stream of random numbers; streams with different labels of one seed are independent.
#[derive(Clone, Debug)]
pub struct Random {
    bits: Xoshiro256PlusPlus,
    /// Box–Muller yields two at a time.
    spare: Option<f64>,
}

impl Random {
    pub fn new(seed: u64, label: u64) -> Self {
        // The odd factor spreads small labels over all bits, so that (seed, label) pairs do not meet.
        let mixed = seed ^ label.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { bits: Xoshiro256PlusPlus::seed_from_u64(mixed), spare: None }
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// In `0..end`; `end` must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.unit() * end as f64) as usize).min(end - 1)
    }

    /// −1 or 1.
    pub fn sign(&mut self) -> f64 {
        if self.unit() < 0.5 { -1.0 } else { 1.0 }
    }

    /// Mean 0, standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        let angle = TAU * self.unit();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (2..=items.len()).rev() {
            items.swap(end - 1, self.below(end));
        }
    }
}

/// Slow noise that remembers: an Ornstein–Uhlenbeck process.
#[derive(Clone, Debug)]
pub struct Wander {
    memory_s: f64,
    deviation: f64,
    value: f64,
    /// Step that `keep` was computed for, seconds.
    step_s: f64,
    keep: f64,
}

impl Wander {
    /// `memory_s`: seconds after which it has forgotten about two thirds.
    pub fn new(memory_s: f64, deviation: f64, random: &mut Random) -> Self {
        Self { memory_s, deviation, value: deviation * random.normal(), step_s: 0.0, keep: 1.0 }
    }

    pub fn step(&mut self, step_s: f64, random: &mut Random) -> f64 {
        if step_s != self.step_s {
            self.step_s = step_s;
            self.keep = libm::exp(-step_s / self.memory_s);
        }
        let fresh = self.deviation * libm::sqrt(1.0 - self.keep * self.keep);
        self.value = self.keep * self.value + fresh * random.normal();
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut random = Random::new(1, 0);
        let first = [random.unit().to_bits(), random.normal().to_bits()];
        assert_eq!(first, [4_604_533_929_293_314_228, 13_832_786_360_437_511_753]);
        assert_ne!(first[0], Random::new(2, 0).unit().to_bits());
        assert_ne!(first[0], Random::new(1, 1).unit().to_bits());
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut random = Random::new(7, 0);
        let n = 100_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let x = random.normal();
            sum += x;
            squares += x * x;
        }
        let mean = sum / f64::from(n);
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((squares / f64::from(n) - 1.0).abs() < 0.02);
    }

    #[test]
    fn wandering_keeps_its_deviation_whatever_the_step() {
        for step_s in [1.0, 5.0, 60.0] {
            let mut random = Random::new(3, 0);
            let mut wander = Wander::new(60.0, 2.0, &mut random);
            let squares: f64 = (0..50_000).map(|_| wander.step(step_s, &mut random)).map(|x| x * x).sum();
            let deviation = (squares / 50_000.0).sqrt();
            assert!((deviation - 2.0).abs() < 0.25, "step {step_s}: {deviation}");
        }
    }
}
