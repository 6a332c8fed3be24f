//! Where a channel's feature vectors usually lie: a Gaussian, and exemplars of rare but normal vectors.
//!
//! # Invariants
//! - Scoring is plain loops over a stored precision: the same model gives the same bits everywhere.
//! - More Gaussians than one found nothing that the exemplars do not find, and took nine tenths of the time of learning.
//!
//! # Not here
//! What the dimensions mean; they come standardised and clipped.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use ndarray::Array2;
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::linalg;

/// Added to variances: a hundredth of a standardised unit is no structure.
const REGULARISATION: f64 = 0.04;
/// Covariances are pulled this far to their diagonal: there are more pairs of features than rows tell apart.
const SHRINKAGE: f64 = 0.1;
const EXEMPLARS_MAX: usize = 64;
/// Steps in a unit: a sixteenth is far below the units in which normal windows differ, and 8 units fit a byte.
const EXEMPLAR_STEPS: f64 = 16.0;
/// So many of the rarest rows are summed up by the exemplars,
const RARE_MAX: usize = 128;
/// half of which stand for themselves, and the other half for groups of the rows that follow (k-means).
const ALONE: usize = 32;
const ITERATIONS_MAX: u64 = 10;
const TOLERANCE: f64 = 1e-2;
const SEED: u64 = 0x5eed_0001;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mixture {
    dims: u32,
    mean: Vec<f32>,
    /// Lower triangle of the inverse covariance, off-diagonal entries doubled.
    precision: Vec<f32>,
    /// `dims` values each, in steps.
    exemplars: Vec<i8>,
}

/// How the exemplars are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// The rarest rows: for a model that only scores a day left out.
    Quick,
    /// Rows and groups of rows.
    Thorough,
}

impl Mixture {
    /// Learns from `rows` of `dims` values each.
    pub(super) fn fit(rows: &[f64], dims: usize, care: Care) -> Self {
        let (mean, precision) = gaussian(rows, dims);
        let mut mixture = Self { dims: dims as u32, mean, precision, exemplars: Vec::new() };
        mixture.remember(rows, care);
        mixture
    }

    /// Distance per dimension to the Gaussian or to the nearest exemplar.
    pub(super) fn distance(&self, z: &[f64]) -> f64 {
        self.to_gaussian(z).min(self.to_exemplars(z))
    }

    fn to_gaussian(&self, z: &[f64]) -> f64 {
        let mut d = [0.0; super::model::DIMS];
        let d = &mut d[..z.len()];
        for ((d, z), mean) in d.iter_mut().zip(z).zip(&self.mean) {
            *d = z - f64::from(*mean);
        }
        let mut sum = 0.0;
        let mut rest = self.precision.as_slice();
        for i in 0..d.len() {
            let (row, others) = rest.split_at(i + 1);
            rest = others;
            let mut dot = 0.0;
            for (p, d) in row.iter().zip(&*d) {
                dot += f64::from(*p) * d;
            }
            sum += dot * d[i];
        }
        (sum.max(0.0) / f64::from(self.dims)).sqrt()
    }

    fn to_exemplars(&self, z: &[f64]) -> f64 {
        let mut nearest = f64::INFINITY;
        for exemplar in self.exemplars.chunks_exact(z.len()) {
            let mut sum = 0.0;
            for (a, b) in exemplar.iter().zip(z) {
                let d = f64::from(*a) / EXEMPLAR_STEPS - b;
                sum += d * d;
            }
            nearest = nearest.min(sum);
        }
        (nearest / f64::from(self.dims)).sqrt()
    }

    fn remember(&mut self, rows: &[f64], care: Care) {
        let dims = self.dims as usize;
        let mut by_distance: Vec<(f64, &[f64])> = rows.chunks_exact(dims).map(|z| (self.to_gaussian(z), z)).collect();
        // Stable: rows at the same distance keep their order in time.
        by_distance.sort_by(|a, b| b.0.total_cmp(&a.0));
        by_distance.truncate(RARE_MAX);
        let rare: Vec<f64> = by_distance.into_iter().flat_map(|(_, z)| z).copied().collect();
        let groups = match care {
            Care::Thorough if rare.len() == RARE_MAX * dims => centres(&rare[ALONE * dims..], dims),
            Care::Thorough | Care::Quick => None,
        };
        let step = |v: &f64| (v * EXEMPLAR_STEPS).round().clamp(f64::from(i8::MIN), f64::from(i8::MAX)) as i8;
        self.exemplars = match groups {
            Some(groups) => rare[..ALONE * dims].iter().chain(&groups).map(step).collect(),
            None => rare.iter().take(EXEMPLARS_MAX * dims).map(step).collect(),
        };
    }
}

/// Mean, and precision of the shrunk covariance, of all rows.
fn gaussian(rows: &[f64], dims: usize) -> (Vec<f32>, Vec<f32>) {
    let n = (rows.len() / dims).max(1) as f64;
    let mut mean = vec![0.0; dims];
    for row in rows.chunks_exact(dims) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += v);
    }
    mean.iter_mut().for_each(|m| *m /= n);
    let mut c = vec![0.0; dims * dims];
    let mut d = vec![0.0; dims];
    for row in rows.chunks_exact(dims) {
        d.iter_mut().zip(row).zip(&mean).for_each(|((d, v), m)| *d = v - m);
        for i in 0..dims {
            for j in 0..=i {
                c[i * dims + j] += d[i] * d[j];
            }
        }
    }
    for i in 0..dims {
        for j in 0..=i {
            let entry = c[i * dims + j] / n;
            c[i * dims + j] = if i == j { entry + REGULARISATION } else { entry * (1.0 - SHRINKAGE) };
            c[j * dims + i] = c[i * dims + j];
        }
    }
    // Only a covariance with non-finite entries fails here: then each dimension counts as it is.
    let inverse = linalg::cholesky(&c, dims).map(|l| linalg::inverse(&l, dims));
    let entry = |i: usize, j: usize| inverse.as_ref().map_or(f64::from(i == j), |inv| inv[i * dims + j]);
    let mut precision = Vec::with_capacity(dims * (dims + 1) / 2);
    for i in 0..dims {
        for j in 0..=i {
            precision.push((entry(i, j) * if i == j { 1.0 } else { 2.0 }) as f32);
        }
    }
    (mean.iter().map(|m| *m as f32).collect(), precision)
}

/// Centres of groups of rows (k-means); `None` if they cannot be found.
fn centres(rows: &[f64], dims: usize) -> Option<Vec<f64>> {
    let records = Array2::from_shape_vec((rows.len() / dims, dims), rows.to_vec()).ok()?;
    let fitted = KMeans::params_with_rng(EXEMPLARS_MAX - ALONE, Xoshiro256Plus::seed_from_u64(SEED))
        .n_runs(1)
        .max_n_iterations(ITERATIONS_MAX)
        .tolerance(TOLERANCE)
        .fit(&DatasetBase::from(records))
        .ok()?;
    let centres: Vec<f64> = fitted.centroids().iter().copied().collect();
    centres.iter().all(|v| v.is_finite()).then_some(centres)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::rand_core::RngCore;

    fn blob(rows: usize) -> Vec<f64> {
        let mut rng = Xoshiro256Plus::seed_from_u64(7);
        let mut noise = || (0..12).map(|_| (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0;
        (0..rows * 2).map(|_| 0.3 * noise()).collect()
    }

    #[test]
    fn distances_count_in_spreads_of_what_was_learned() {
        let mixture = Mixture::fit(&blob(300), 2, Care::Thorough);
        assert!(mixture.distance(&[0.0, 0.0]) < 0.2);
        assert!(mixture.distance(&[3.0, 0.0]) > 1.3, "{}", mixture.distance(&[3.0, 0.0]));
    }

    #[test]
    fn a_rare_normal_row_is_remembered() {
        for care in [Care::Quick, Care::Thorough] {
            let mut rows = blob(300);
            rows.extend([6.0, 6.0]);
            assert!(Mixture::fit(&rows, 2, care).distance(&[6.0, 6.0]) < 0.05);
        }
    }

    #[test]
    fn constant_rows_give_a_model_and_not_a_failure() {
        let mixture = Mixture::fit(&[0.0; 400], 2, Care::Thorough);
        assert!(mixture.distance(&[0.0, 0.0]) < 0.05);
        assert!(mixture.distance(&[5.0, 0.0]) > 3.5);
    }

    #[test]
    fn no_rows_give_a_model_that_finds_everything_odd_in_plain_units() {
        assert!(Mixture::fit(&[], 2, Care::Quick).distance(&[1.0, 0.0]).is_finite());
    }
}
