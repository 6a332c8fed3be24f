//! Impulses and steps, told apart by a running median of 7.

use serde::{Deserialize, Serialize};

const SPAN: usize = 7;
const CARRIED: usize = SPAN - 1;

/// The last samples of the window before, so that an impulse at the window's edge is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Carry {
    last: Option<[f64; CARRIED]>,
}

impl Carry {
    /// Takes the end of `values`; too few values leave the carry as it was.
    pub(super) fn follow(&mut self, values: &[f64]) {
        if let Some(last) = values.last_chunk::<CARRIED>() {
            self.last = Some(*last);
        }
    }

    fn values(&self) -> &[f64] {
        self.last.as_ref().map_or(&[], |l| l.as_slice())
    }
}

pub(super) struct Edges {
    /// Largest distance of a sample from the median of the 7 around it.
    pub(super) impulse: f64,
    /// Largest difference of two running medians 7 samples apart.
    pub(super) step: f64,
}

pub(super) fn edges(carry: &Carry, values: &[f64]) -> Edges {
    let mut edges = Edges { impulse: 0.0, step: 0.0 };
    let mut ring = [0.0; SPAN];
    let mut medians = [0.0; SPAN];
    let (mut seen, mut medians_seen) = (0_usize, 0_usize);
    for value in carry.values().iter().chain(values) {
        ring[seen % SPAN] = *value;
        seen += 1;
        if seen < SPAN {
            continue;
        }
        // The middle of the 7 is the one that came three before the newest.
        let middle = ring[(seen + SPAN - 4) % SPAN];
        let median = median_of_7(ring);
        edges.impulse = edges.impulse.max((middle - median).abs());
        let place = medians_seen % SPAN;
        if medians_seen >= SPAN {
            edges.step = edges.step.max((median - medians[place]).abs());
        }
        medians[place] = median;
        medians_seen += 1;
    }
    edges
}

/// The first exchanges of a sorting network that decide its middle place; exact, and without branches. Written out, for
/// as a loop over a table it is neither unrolled nor kept in registers, and it runs once a sample.
fn median_of_7(mut v: [f64; SPAN]) -> f64 {
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
}
