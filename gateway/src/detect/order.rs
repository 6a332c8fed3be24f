//! Order statistics of small sets, with results that depend on the values alone.
//!
//! # Invariants
//! - Sums run in the order of the input, never in the order that a selection algorithm leaves behind.
//! - Inputs are finite; an empty input gives 0.

/// The value at `share` of the sorted order, between neighbours by their distance.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_of_sorted(&sorted, share)
}

pub(super) fn quantile_of_sorted(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share.clamp(0.0, 1.0) * last as f64;
    let below = (at.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

pub(super) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Root of the mean squared distance from the mean.
pub(super) fn std(values: &[f64]) -> f64 {
    let mean = mean(values);
    if values.is_empty() {
        return 0.0;
    }
    (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt()
}

/// Mean without the `leave_out` largest values; 0 if none is left. Reorders nothing; `scratch` is overwritten.
pub(super) fn trimmed_mean(values: &[f64], leave_out: usize, scratch: &mut Vec<f64>) -> f64 {
    let n = values.len();
    if n <= leave_out {
        return 0.0;
    }
    if leave_out == 0 {
        return mean(values);
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    let keep = n - leave_out;
    let (_, largest_kept, _) = scratch.select_nth_unstable_by(keep - 1, f64::total_cmp);
    let largest_kept = *largest_kept;
    let (mut sum, mut below) = (0.0, 0);
    for v in values {
        if *v < largest_kept {
            sum += v;
            below += 1;
        }
    }
    (sum + (keep - below) as f64 * largest_kept) / keep as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 1.0), 4.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_trimmed_mean_leaves_out_the_largest_even_among_equals() {
        let mut scratch = Vec::new();
        assert_eq!(trimmed_mean(&[9.0, 1.0, 3.0, 2.0], 1, &mut scratch), 2.0);
        assert_eq!(trimmed_mean(&[5.0, 5.0, 5.0, 1.0], 2, &mut scratch), 3.0);
        assert_eq!(trimmed_mean(&[5.0], 1, &mut scratch), 0.0);
    }
}
