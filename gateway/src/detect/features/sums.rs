//! Mean and deviation that an offset cannot spoil.
//!
//! # Invariants
//! - Four running sums, joined in one order: the same bits everywhere, and no addition waits for the one before.
//! - The mean is corrected by the mean of the distances from it, and the deviation is taken about that mean: readings of
//!   a billion and a little keep the digits of the little, and a constant deviates by exactly 0.

const LANES: usize = 4;

/// 0 without values.
pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let n = values.len() as f64;
    let rough = sum_of(values, |v| v) / n;
    rough + sum_of(values, |v| v - rough) / n
}

/// Mean squared distance from `middle`; 0 without values.
pub(super) fn mean_square(values: &[f64], middle: f64) -> f64 {
    if values.is_empty() { 0.0 } else { sum_of(values, |v| (v - middle) * (v - middle)) / values.len() as f64 }
}

fn sum_of(values: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let (groups, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for group in groups {
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane += term(*value);
        }
    }
    let mut total = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    for value in rest {
        total += term(*value);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn std(values: &[f64]) -> f64 {
        mean_square(values, mean(values)).sqrt()
    }

    #[test]
    fn a_constant_deviates_by_exactly_nothing() {
        for value in [0.1, -7.3, 1e9 + 0.1, 1e18, 5e-324, f64::MIN_POSITIVE / 3.0] {
            for n in 1..100 {
                assert_eq!((mean(&vec![value; n]), std(&vec![value; n])), (value, 0.0), "{n} times {value}");
            }
        }
    }

    #[test]
    fn noise_on_an_offset_of_a_billion_has_the_deviation_that_it_has_alone() {
        // Multiples of 1/1024, which the offset does not round.
        let noise: Vec<f64> = (0..600_u32).map(|i| f64::from((i * 7_919) % 1_009) / 1_024.0).collect();
        let raised: Vec<f64> = noise.iter().map(|v| v + 1e9).collect();
        assert!((std(&raised) / std(&noise) - 1.0).abs() < 1e-9);
        assert!((mean(&raised) - 1e9 - mean(&noise)).abs() < 1e-6);
    }

    #[test]
    fn the_smallest_and_the_largest_numbers_have_a_mean() {
        assert_eq!(mean(&[5e-324, 15e-324]), 10e-324);
        assert!((mean(&[1e18, -1e18, 1e18]) * 3e-18 - 1.0).abs() < 1e-15);
        assert_eq!((mean(&[]), mean_square(&[], 1.0)), (0.0, 0.0));
    }
}
