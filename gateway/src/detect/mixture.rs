//! Where a channel's feature vectors usually lie: a few Gaussian modes and the rarest normal vectors.
//!
//! # Invariants
//! - The number of modes is the one of the least BIC, counted by our own loops; linfa moves the modes (EM).
//! - Scoring is plain loops over stored precisions: the same model gives the same bits everywhere.
//!
//! # Not here
//! What the dimensions mean; they come standardised and clipped.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::GaussianMixtureModel;
use ndarray::{Array2, ArrayView2};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::linalg;

/// A third mode brought nothing measurable and took half of the time of learning.
const MODES_MAX: usize = 1;
/// A mode must be able to fill its covariance.
const ROWS_PER_MODE_MIN: usize = 60;
/// Added to variances while fitting: a hundredth of a standardised unit is no structure.
const REGULARISATION: f64 = 0.02;
const TOLERANCE: f64 = 1e-2;
const ITERATIONS_MAX: u64 = 60;
const SEED: u64 = 0x5eed_0001;
/// A mode lighter than this is a handful of rows: they are remembered as exemplars instead.
const WEIGHT_MIN: f64 = 0.01;
/// Covariances are pulled this far to their diagonal: there are more pairs of features than rows tell apart.
const SHRINKAGE: f64 = 0.1;
const EXEMPLARS_MAX: usize = 64;
/// Steps in a unit: a sixteenth is far below the units in which normal windows differ, and 8 units fit a byte.
const EXEMPLAR_STEPS: f64 = 16.0;
/// The E step takes exp(−d²/2) without a guard and underflows at d² of about 1400: rows beyond are left to the exemplars.
const FIT_DISTANCE_SQUARED_MAX: f64 = 600.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mixture {
    dims: u32,
    modes: Vec<Mode>,
    /// Rare but normal: `dims` values each, in sixteenths of a unit.
    exemplars: Vec<i8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Mode {
    mean: Vec<f32>,
    /// Lower triangle of the inverse covariance, off-diagonal entries doubled.
    precision: Vec<f32>,
}

/// A mode while it is fitted.
#[derive(Clone, Debug)]
struct Gaussian {
    weight: f64,
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

impl Mixture {
    /// Learns from `rows` of `dims` values each; `modes` fixes their number (a relearning keeps what was found best).
    pub(super) fn fit(rows: &[f64], dims: usize, modes: Option<usize>) -> Self {
        let single = Gaussian::of(rows, dims);
        let near = near_rows(rows, dims, &single);
        let mut best = vec![single];
        let most = modes.unwrap_or(MODES_MAX);
        let fewest = modes.unwrap_or(2).max(2);
        let mut best_bic = if modes.is_some_and(|m| m > 1) { f64::INFINITY } else { bic(&near, dims, &best) };
        for k in fewest..=most {
            if near.len() / dims < ROWS_PER_MODE_MIN * k {
                break;
            }
            // A fit that does not converge is no candidate: fewer modes stay.
            let Some(candidate) = expectation_maximisation(&near, dims, k) else { continue };
            let bic = bic(&near, dims, &candidate);
            if bic < best_bic {
                (best, best_bic) = (candidate, bic);
            }
        }
        let modes = best.iter().filter(|g| g.weight > WEIGHT_MIN || best.len() == 1).map(|g| g.mode(dims)).collect();
        let mut mixture = Self { dims: dims as u32, modes, exemplars: Vec::new() };
        mixture.remember_the_rarest(rows);
        mixture
    }

    pub(super) fn modes(&self) -> usize {
        self.modes.len()
    }

    /// Distance per dimension to the nearest mode or remembered exemplar.
    pub(super) fn distance(&self, z: &[f64]) -> f64 {
        self.to_modes(z).min(self.to_exemplars(z))
    }

    fn to_modes(&self, z: &[f64]) -> f64 {
        let nearest = self.modes.iter().map(|m| m.distance_squared(z)).fold(f64::INFINITY, f64::min);
        (nearest / f64::from(self.dims)).sqrt()
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

    fn remember_the_rarest(&mut self, rows: &[f64]) {
        let mut by_distance: Vec<(f64, &[f64])> =
            rows.chunks_exact(self.dims as usize).map(|z| (self.to_modes(z), z)).collect();
        // Stable: rows at the same distance keep their order in time.
        by_distance.sort_by(|a, b| b.0.total_cmp(&a.0));
        let step = |v: &f64| (v * EXEMPLAR_STEPS).round().clamp(f64::from(i8::MIN), f64::from(i8::MAX)) as i8;
        self.exemplars = by_distance.iter().take(EXEMPLARS_MAX).flat_map(|(_, z)| z.iter().map(step)).collect();
    }
}

impl Mode {
    fn distance_squared(&self, z: &[f64]) -> f64 {
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
        sum.max(0.0)
    }
}

impl Gaussian {
    /// Mean and covariance of all rows.
    fn of(rows: &[f64], dims: usize) -> Self {
        let n = (rows.len() / dims).max(1) as f64;
        let mut mean = vec![0.0; dims];
        for row in rows.chunks_exact(dims) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += v);
        }
        mean.iter_mut().for_each(|m| *m /= n);
        let mut covariance = vec![0.0; dims * dims];
        for row in rows.chunks_exact(dims) {
            for i in 0..dims {
                for j in 0..dims {
                    covariance[i * dims + j] += (row[i] - mean[i]) * (row[j] - mean[j]);
                }
            }
        }
        covariance.iter_mut().for_each(|c| *c /= n);
        (0..dims).for_each(|i| covariance[i * dims + i] += REGULARISATION);
        Self { weight: 1.0, mean, covariance }
    }

    /// Shrinks and inverts the covariance for scoring.
    fn mode(&self, dims: usize) -> Mode {
        let mut c = self.covariance.clone();
        for i in 0..dims {
            for j in 0..dims {
                if i == j {
                    c[i * dims + j] += REGULARISATION;
                } else {
                    c[i * dims + j] *= 1.0 - SHRINKAGE;
                }
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
        Mode { mean: self.mean.iter().map(|m| *m as f32).collect(), precision }
    }
}

fn near_rows(rows: &[f64], dims: usize, single: &Gaussian) -> Vec<f64> {
    let mode = single.mode(dims);
    rows.chunks_exact(dims).filter(|z| mode.distance_squared(z) < FIT_DISTANCE_SQUARED_MAX).flatten().copied().collect()
}

fn expectation_maximisation(rows: &[f64], dims: usize, k: usize) -> Option<Vec<Gaussian>> {
    let records: ArrayView2<'_, f64> = ArrayView2::from_shape((rows.len() / dims, dims), rows).ok()?;
    let records: Array2<f64> = records.to_owned();
    let fitted = GaussianMixtureModel::params(k)
        .n_runs(1)
        .tolerance(TOLERANCE)
        .reg_covariance(REGULARISATION)
        .max_n_iterations(ITERATIONS_MAX)
        .with_rng(Xoshiro256Plus::seed_from_u64(SEED))
        .fit(&DatasetBase::from(records))
        .ok()?;
    let gaussians: Vec<Gaussian> = (0..k)
        .map(|i| Gaussian {
            weight: fitted.weights()[i],
            mean: fitted.means().row(i).to_vec(),
            covariance: fitted.covariances().index_axis(ndarray::Axis(0), i).iter().copied().collect(),
        })
        .collect();
    let finite =
        gaussians.iter().all(|g| g.weight.is_finite() && g.mean.iter().chain(&g.covariance).all(|v| v.is_finite()));
    finite.then_some(gaussians)
}

/// Bayesian information criterion; infinite if a covariance cannot be inverted.
fn bic(rows: &[f64], dims: usize, gaussians: &[Gaussian]) -> f64 {
    const LN_2_PI: f64 = 1.837_877_066_409_345_5;
    let mut parts = Vec::with_capacity(gaussians.len());
    for g in gaussians {
        let Some(l) = linalg::cholesky(&g.covariance, dims) else { return f64::INFINITY };
        let constant = libm::log(g.weight) - 0.5 * (dims as f64 * LN_2_PI + linalg::log_determinant(&l, dims));
        parts.push((constant, l));
    }
    let mut solved = vec![0.0; dims];
    let mut log_likelihood = 0.0;
    let mut terms = vec![0.0; gaussians.len()];
    for row in rows.chunks_exact(dims) {
        for ((term, g), (constant, l)) in terms.iter_mut().zip(gaussians).zip(&parts) {
            let mut distance_squared = 0.0;
            for i in 0..dims {
                let dot: f64 = (0..i).map(|j| l[i * dims + j] * solved[j]).sum();
                solved[i] = (row[i] - g.mean[i] - dot) / l[i * dims + i];
                distance_squared += solved[i] * solved[i];
            }
            *term = constant - 0.5 * distance_squared;
        }
        let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        log_likelihood += largest + libm::log(terms.iter().map(|t| libm::exp(t - largest)).sum::<f64>());
    }
    let k = gaussians.len() as f64;
    let d = dims as f64;
    let parameters = k * (d + d * (d + 1.0) / 2.0) + k - 1.0;
    parameters * libm::log((rows.len() / dims).max(1) as f64) - 2.0 * log_likelihood
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::rand_core::RngCore;

    fn blobs(centres: &[[f64; 2]], each: usize) -> Vec<f64> {
        let mut rng = Xoshiro256Plus::seed_from_u64(7);
        let mut noise = || (0..12).map(|_| (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0;
        let mut rows = Vec::new();
        for i in 0..each * centres.len() {
            let centre = centres[i % centres.len()];
            rows.extend([centre[0] + 0.3 * noise(), centre[1] + 0.3 * noise()]);
        }
        rows
    }

    #[test]
    fn two_operating_points_become_two_modes() {
        let mixture = Mixture::fit(&blobs(&[[-3.0, 0.0], [3.0, 1.0]], 150), 2, None);
        assert_eq!(mixture.modes(), 2);
        assert!(mixture.distance(&[-3.0, 0.0]) < 1.0);
        assert!(mixture.distance(&[3.0, 1.0]) < 1.0);
        assert!(mixture.distance(&[0.0, 0.5]) > 1.0, "between the modes is far from both");
    }

    #[test]
    fn one_operating_point_stays_one_mode() {
        assert_eq!(Mixture::fit(&blobs(&[[0.0, 0.0]], 300), 2, None).modes(), 1);
    }

    #[test]
    fn a_rare_normal_row_is_remembered() {
        let mut rows = blobs(&[[0.0, 0.0]], 300);
        rows.extend([6.0, 6.0]);
        assert!(Mixture::fit(&rows, 2, None).distance(&[6.0, 6.0]) < 0.05);
    }

    #[test]
    fn constant_rows_give_a_model_and_not_a_failure() {
        let mixture = Mixture::fit(&[0.0; 400], 2, None);
        assert!(mixture.distance(&[0.0, 0.0]) < 0.05);
        assert!(mixture.distance(&[5.0, 0.0]) > 3.5);
    }
}
