//! Where the values lie.

use firmware_protocol::derived::Stats;

use super::sums;

/// Figures of the values, which end up in `sorted` too; `None` without any.
pub(super) fn stats(values: &[f64], sorted: &mut Vec<f64>) -> Option<Stats> {
    sorted.clear();
    sorted.extend_from_slice(values);
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let mean = sums::mean(values);
    let at = |share: f64| sorted[((share * n as f64) as usize).min(n - 1)];
    Some(Stats {
        mean,
        min,
        max,
        std: sums::mean_square(values, mean).sqrt(),
        p05: at(0.05),
        p50: sorted[n / 2],
        p95: at(0.95),
    })
}

/// The smallest difference that is not 0; 0 if there is none.
pub(super) fn smallest_step(differences: &[f64]) -> f64 {
    let smallest = differences.iter().copied().filter(|d| *d > 0.0).fold(f64::INFINITY, f64::min);
    if smallest.is_finite() { smallest } else { 0.0 }
}
