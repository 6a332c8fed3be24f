//! How rare a number is among those that came before it: a histogram on a log scale that forgets slowly.

use serde::{Deserialize, Serialize};

/// From below [`LEAST`] to above e⁴ in steps of 32 %. 32 and 256 bins score the same on NAB.
const BINS: usize = 64;
const LN_LOW: f64 = -14.0;
const LN_HIGH: f64 = 4.0;
/// Distances are shares of the channel's spread: less than a millionth is no distance.
const LEAST: f64 = 1e-6;
/// Numbers after which one counts half: five days of five-minute values. From 1 000 to 6 000 is a plateau.
const HALF_LIFE: f64 = 1_500.0;
const KEEP: f64 = 1.0 - std::f64::consts::LN_2 / HALF_LIFE;
/// Numbers before the first verdict: a rarity of a hundredth needs a hundred.
const WARM_UP: u16 = 100;
/// A weight below it is none: fractions that no verdict sees would cost time when they become subnormal.
const FORGOTTEN: f64 = 1e-9;
/// What never happened counts as half a time.
const UNSEEN: f64 = 0.5;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rank {
    weights: Vec<f32>,
    /// Numbers so far, up to [`WARM_UP`].
    count: u16,
}

impl Rank {
    pub(super) fn new() -> Self {
        Self { weights: vec![0.0; BINS], count: 0 }
    }

    pub(super) fn is_warm(&self) -> bool {
        self.count >= WARM_UP
    }

    /// Decades of rarity: −log10 of the share of earlier numbers that were as large; 0 while warming up. Then counts it.
    pub(super) fn observe(&mut self, number: f64) -> f64 {
        let bin = bin_of(number);
        let (mut all, mut as_large) = (0.0, 0.0);
        for (i, weight) in self.weights.iter_mut().enumerate() {
            all += f64::from(*weight);
            if i >= bin {
                as_large += f64::from(*weight);
            }
            let kept = f64::from(*weight) * KEEP;
            *weight = if kept < FORGOTTEN { 0.0 } else { kept as f32 };
        }
        self.weights[bin] += 1.0;
        if !self.is_warm() {
            self.count += 1;
            return 0.0;
        }
        -libm::log10((as_large + UNSEEN) / (all + UNSEEN))
    }
}

fn bin_of(number: f64) -> usize {
    let step = (LN_HIGH - LN_LOW) / BINS as f64;
    let bin = (libm::log(number + LEAST) - LN_LOW) / step;
    (bin.max(0.0) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_thousand_is_three_decades() {
        let mut rank = Rank::new();
        for i in 0..20_000 {
            rank.observe(if i % 1_000 == 0 { 1.0 } else { 0.001 });
        }
        let decades = rank.observe(1.0);
        assert!((2.7..3.3).contains(&decades), "{decades}");
        assert!(rank.observe(0.001) < 0.01);
    }

    #[test]
    fn nothing_is_rare_before_a_hundred_numbers_were_seen() {
        let mut rank = Rank::new();
        let verdicts: Vec<f64> = (0..101).map(|i| rank.observe(if i < 99 { 0.0 } else { 1.0 })).collect();
        assert!(verdicts[..100].iter().all(|v| *v == 0.0));
        assert!(verdicts[100] > 1.5, "{}", verdicts[100]);
    }

    #[test]
    fn what_was_common_once_becomes_rare_again() {
        let mut rank = Rank::new();
        for _ in 0..1_000 {
            rank.observe(1.0);
        }
        let while_common = rank.observe(1.0);
        for _ in 0..15_000 {
            rank.observe(0.001);
        }
        assert!(rank.observe(1.0) > while_common + 2.0);
    }

    #[test]
    fn numbers_out_of_the_scale_fall_into_its_ends() {
        assert_eq!(bin_of(0.0), 0);
        assert_eq!(bin_of(f64::MAX), BINS - 1);
    }
}
