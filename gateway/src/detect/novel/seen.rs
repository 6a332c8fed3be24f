//! The values that were seen, thinned: how far away is a new one from all of them?
//!
//! A sorted list of at most [`SEEN_MAX`] values. When it is full, the value goes whose two neighbours lie closest together,
//! never the least or the greatest: dense parts become sparse, lonely values stay.

use serde::{Deserialize, Serialize};

/// 1 KB. 64 values score the same to a tenth of a point on NAB, 1 024 do not score better.
const SEEN_MAX: usize = 128;
/// Values at each end that the unit of distance does not reach to: a few wild values must not make all later
/// distances look small. None scores 2 points less on NAB; one to four score alike.
const OUTLIERS: usize = 3;
/// Values closer than this share of all that was seen are one value that was computed in two ways.
const SAME: f64 = 1e-9;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen(Vec<f64>);

/// Where a value lies among the values seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// To the nearest value seen.
    pub(super) distance: f64,
    /// Least and greatest value seen on the side of the nearest one.
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Seen {
    /// `None` until something was seen.
    pub(super) fn place(&self, value: f64) -> Option<Place> {
        let (first, last) = (*self.0.first()?, *self.0.last()?);
        let above = self.0.partition_point(|seen| *seen < value);
        let to_above = self.0.get(above).map_or(f64::INFINITY, |seen| seen - value);
        let below = above.checked_sub(1).map(|i| self.0[i]);
        let to_below = below.map_or(f64::INFINITY, |seen| value - seen);
        if to_above <= to_below {
            let low = self.0.get(above).copied().unwrap_or(last);
            Some(Place { distance: to_above, low, high: last })
        } else {
            Some(Place { distance: to_below, low: first, high: below.unwrap_or(first) })
        }
    }

    /// Between the values seen, but for a few at each end; 0 while one value only was seen.
    pub(super) fn spread(&self) -> f64 {
        let count = self.0.len();
        let cut = if count < 2 * OUTLIERS + 2 { 0 } else { OUTLIERS };
        match (self.0.get(cut), self.0.get(count.wrapping_sub(1 + cut))) {
            (Some(low), Some(high)) => high - low,
            (None, _) | (_, None) => 0.0,
        }
    }

    /// The step in which values come: the least distance of two of them. 0 if there are more values than are kept: then
    /// none is known, and none matters.
    pub(super) fn tick(&self) -> f64 {
        if self.0.len() < 2 || self.0.len() >= SEEN_MAX {
            return 0.0;
        }
        self.0.windows(2).fold(f64::INFINITY, |least, pair| least.min(pair[1] - pair[0]))
    }

    pub(super) fn insert(&mut self, value: f64) {
        let same = match (self.0.first(), self.0.last()) {
            (Some(first), Some(last)) => SAME * (last - first),
            (None, _) | (_, None) => 0.0,
        };
        if self.place(value).is_some_and(|place| place.distance <= same) {
            return;
        }
        let at = self.0.partition_point(|seen| *seen < value);
        self.0.insert(at, value);
        if self.0.len() > SEEN_MAX {
            self.thin();
        }
    }

    fn thin(&mut self) {
        let (mut closest, mut least) = (1, f64::INFINITY);
        for (i, around) in self.0.windows(3).enumerate() {
            let gap = around[2] - around[0];
            if gap < least {
                (closest, least) = (i + 1, gap);
            }
        }
        self.0.remove(closest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[f64]) -> Seen {
        let mut seen = Seen::default();
        values.iter().for_each(|v| seen.insert(*v));
        seen
    }

    #[test]
    fn the_distance_is_to_the_nearest_value_on_either_side() {
        let seen = seen(&[1.0, 2.0, 10.0]);
        assert_eq!(seen.place(9.0), Some(Place { distance: 1.0, low: 10.0, high: 10.0 }));
        assert_eq!(seen.place(4.0), Some(Place { distance: 2.0, low: 1.0, high: 2.0 }));
        assert_eq!(seen.place(-3.0), Some(Place { distance: 4.0, low: 1.0, high: 10.0 }));
        assert_eq!(seen.place(2.0).map(|p| p.distance), Some(0.0));
    }

    #[test]
    fn nothing_is_near_before_anything_was_seen() {
        assert_eq!(Seen::default().place(1.0), None);
        assert_eq!(Seen::default().spread(), 0.0);
    }

    #[test]
    fn values_that_come_in_steps_have_a_tick_and_others_none() {
        assert_eq!(seen(&[4.0, 1.0, 3.0, 8.0]).tick(), 1.0);
        assert_eq!(seen(&[4.0]).tick(), 0.0);
        // What rounding makes of one value is one value.
        assert!((seen(&[0.6, 0.4, 0.3, 0.1 + 0.2]).tick() - 0.1).abs() < 1e-9);
        let many: Vec<f64> = (0..1_000).map(f64::from).collect();
        assert_eq!(seen(&many).tick(), 0.0);
    }

    #[test]
    fn three_wild_values_do_not_widen_the_spread() {
        assert_eq!(seen(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1e6, 1e8, 1e9]).spread(), 2.0);
    }

    #[test]
    fn a_full_list_keeps_its_ends_and_its_lonely_values() {
        let mut seen = Seen::default();
        seen.insert(-50.0);
        seen.insert(40.0);
        seen.insert(99.0);
        for i in 0..10_000_u32 {
            seen.insert(f64::from(i.wrapping_mul(2_654_435_761) % 10_007) / 10_007.0);
        }
        assert_eq!(seen.0.len(), SEEN_MAX);
        assert!(seen.0.is_sorted());
        for kept in [-50.0, 40.0, 99.0] {
            assert_eq!(seen.place(kept).map(|p| p.distance), Some(0.0), "{kept}");
        }
        let holes = (0..=1_000).filter(|i| seen.place(f64::from(*i) / 1_000.0).is_some_and(|p| p.distance > 0.02));
        assert_eq!(holes.count(), 0);
    }
}
