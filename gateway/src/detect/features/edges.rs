//! Impulses and steps, told apart by a running median of 7.
//!
//! A window is judged by its own samples alone, so that it does not matter which of two windows is closed, or closed
//! again, first. Toward its ends the median's span therefore shrinks to 5 and 3 (Tukey's rule for the ends of a running
//! median), and the very first and last sample are judged by nobody: alone they may as well belong to a change that lasts.
//! Comparing them with the median of the first or last 7 made each switch of a duty cycle near a window's end an impulse.

/// Samples that a running median looks at.
pub(super) const SPAN: usize = 7;
/// Samples on either side of the middle one.
const REACH: usize = SPAN / 2;

/// The largest of each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Edges {
    /// Largest distance of a sample from the median of the 7 around it.
    pub(super) impulse: f64,
    /// Largest difference of two running medians 7 samples apart.
    pub(super) step: f64,
}

/// Of a whole window; 0 for fewer than 7 values.
pub(super) fn edges(values: &[f64]) -> Edges {
    let mut edges = within(values);
    let (Some(first), Some(last)) = (values.first_chunk::<5>(), values.last_chunk::<5>()) else { return edges };
    if values.len() < SPAN {
        return edges;
    }
    let [a, b, c, ..] = *first;
    let [.., x, y, z] = *last;
    for (value, median) in [(b, median_of_3([a, b, c])), (c, median_of_5(*first))] {
        edges.impulse = edges.impulse.max((value - median).abs());
    }
    for (value, median) in [(x, median_of_5(*last)), (y, median_of_3([x, y, z]))] {
        edges.impulse = edges.impulse.max((value - median).abs());
    }
    edges
}

/// Of the samples that have all 7 around them: never more than of a series that contains this one.
pub(super) fn within(values: &[f64]) -> Edges {
    let mut edges = Edges::default();
    let mut medians = [0.0; SPAN];
    for (i, around) in values.windows(SPAN).filter_map(<[f64]>::first_chunk::<SPAN>).enumerate() {
        let median = median_of_7(*around);
        edges.impulse = edges.impulse.max((around[REACH] - median).abs());
        let before = &mut medians[i % SPAN];
        if i >= SPAN {
            edges.step = edges.step.max((median - *before).abs());
        }
        *before = median;
    }
    edges
}

/// The first exchanges of a sorting network that decide its middle place; exact, and without branches. Written out, for
/// as a loop over a table it is neither unrolled nor kept in registers, and it runs once a sample.
pub(super) fn median_of_7(mut v: [f64; SPAN]) -> f64 {
    let mut exchange = |low: usize, high: usize| {
        let (a, b) = (v[low], v[high]);
        // Finite values: one instruction each, unlike `f64::min`, which looks for NaN.
        v[low] = if b < a { b } else { a };
        v[high] = if b < a { a } else { b };
    };
    exchange(0, 6);
    exchange(2, 3);
    exchange(4, 5);
    exchange(0, 2);
    exchange(1, 4);
    exchange(3, 6);
    exchange(0, 1);
    exchange(2, 5);
    exchange(3, 4);
    exchange(1, 2);
    exchange(4, 6);
    exchange(2, 3);
    exchange(4, 5);
    exchange(1, 2);
    exchange(3, 4);
    v[3]
}

fn median_of_5(mut v: [f64; 5]) -> f64 {
    v.sort_unstable_by(f64::total_cmp);
    v[2]
}

fn median_of_3(mut v: [f64; 3]) -> f64 {
    v.sort_unstable_by(f64::total_cmp);
    v[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_seven_is_right_for_every_order() {
        fn permute(v: &mut [f64; SPAN], k: usize, check: &mut impl FnMut([f64; SPAN])) {
            if k == SPAN {
                check(*v);
                return;
            }
            for i in k..SPAN {
                v.swap(k, i);
                permute(v, k + 1, check);
                v.swap(k, i);
            }
        }
        permute(&mut [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 0, &mut |v| assert_eq!(median_of_7(v), 4.0));
    }

    fn level_with(pulse: std::ops::Range<usize>) -> Vec<f64> {
        (0..30).map(|i| if pulse.contains(&i) { 9.0 } else { 1.0 }).collect()
    }

    #[test]
    fn one_to_three_samples_off_are_an_impulse_anywhere_if_they_return_within_the_window() {
        for length in 1..=3 {
            for from in 1..30 - length {
                let pulse = from..from + length;
                assert_eq!(edges(&level_with(pulse.clone())), Edges { impulse: 8.0, step: 0.0 }, "{pulse:?}");
            }
        }
    }

    #[test]
    fn a_change_that_lasts_to_the_end_of_the_window_is_no_impulse_wherever_it_begins() {
        for at in 0..=30 {
            assert_eq!(edges(&level_with(at..30)).impulse, 0.0, "from {at}");
            assert_eq!(edges(&level_with(0..at)).impulse, 0.0, "until {at}");
        }
    }

    #[test]
    fn fewer_than_seven_have_no_edges() {
        assert_eq!(edges(&[1.0, 9.0, 1.0, 1.0, 1.0, 1.0]), Edges::default());
    }
}
