//! How rare a residual is: a Pareto tail per place, from residuals of rows that were not learned from.
//!
//! Above `begins` (the 97 % quantile) a residual `r` is exceeded with probability `0.03 (r / begins)^(-1 / excess)`.

use serde::{Deserialize, Serialize};

use super::super::order::{mean, quantile};

const TAIL_QUANTILE: f64 = 0.97;
/// The 97 % quantile of the size of a standard normal residual, and for how many rows that counts.
const PRIOR_BEGINS: f64 = 2.17;
const PRIOR_ROWS: f64 = 50.0;
/// Mean log excess with which a normal law reaches six decades, and for how many rows beyond the quantile it counts.
const PRIOR_EXCESS: f64 = 0.06;
const PRIOR_BEYOND: f64 = 40.0;
/// A thinner tail than this is luck.
const EXCESS_MIN: f64 = 0.05;
const DAYS_PER_MONTH: f64 = 30.0;
/// Of the device's false alarms, the share that this detector may give.
const SHARE: f64 = 0.1;

/// The tail of one place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    begins: f32,
    excess: f32,
}

impl Tail {
    /// Learns from residuals, in order of time, of rows that were left out, by a relation of so many places.
    pub(super) fn fit(residuals: &[f64], places: usize) -> Self {
        let sizes: Vec<f64> = residuals.iter().map(|r| r.abs()).collect();
        let rows = sizes.len() as f64;
        let prior = PRIOR_BEGINS * (1.0 + (places as f64 + 1.0) / looks(residuals)).sqrt();
        let seen = quantile(&sizes, TAIL_QUANTILE).max(0.1);
        let begins = libm::exp((rows * libm::log(seen) + PRIOR_ROWS * libm::log(prior)) / (rows + PRIOR_ROWS));
        let (mut beyond, mut sum) = (PRIOR_BEYOND, PRIOR_BEYOND * PRIOR_EXCESS);
        for size in sizes.iter().filter(|s| **s > begins) {
            beyond += 1.0;
            sum += libm::log(size / begins);
        }
        Self { begins: begins as f32, excess: (sum / beyond).max(EXCESS_MIN) as f32 }
    }

    /// The size that is exceeded with probability 10^-`decades`.
    pub(super) fn limit(&self, decades: f64) -> f64 {
        let beyond = decades + libm::log10(1.0 - TAIL_QUANTILE);
        f64::from(self.begins) * libm::exp(f64::from(self.excess) * beyond.max(0.0) * std::f64::consts::LN_10)
    }

    /// By how many decades a size of `ratio` limits is rarer than the limit.
    pub(super) fn decades(&self, ratio: f64) -> f64 {
        libm::log10(ratio.max(1e-12)) / f64::from(self.excess)
    }
}

/// How many independent looks a series is worth: one that wanders has been seen at few levels. At least 1.
fn looks(series: &[f64]) -> f64 {
    let mean = mean(series);
    let (mut square, mut product) = (0.0, 0.0);
    for (i, value) in series.iter().enumerate() {
        square += (value - mean) * (value - mean);
        if i > 0 {
            product += (value - mean) * (series[i - 1] - mean);
        }
    }
    let persistence = (product / square.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    (series.len() as f64 * (1.0 - persistence) / (1.0 + persistence)).max(1.0)
}

/// Decades above which a place alarms, so that this detector gives its share of `per_month` alarms of a device.
pub(super) fn threshold(per_month: f64, windows_per_day: i64, places: usize) -> f64 {
    let chances = DAYS_PER_MONTH * windows_per_day as f64 * places.max(1) as f64;
    -libm::log10((SHARE * per_month / chances).clamp(1e-12, 1.0))
}
