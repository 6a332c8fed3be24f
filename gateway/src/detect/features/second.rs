//! One second of a channel that gives more readings than are kept: 48 bytes, however many readings there were.
//!
//! # Invariants
//! - [`Second::fold`] of the same readings gives the same bits; so it is for a window that is folded as it comes or at its
//!   end.
//! - [`Second::merge`] does not depend on which of the two came first. Count, mean, deviation and extremes are those of all
//!   readings (Chan, Golub, LeVeque 1979); the bands are those of the part with more readings.
//! - Everything but the mean is a distance from it: a large offset costs no digits.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::EventTime;

use super::{Sample, sums};

const SECOND_NS: i64 = 1_000_000_000;
/// Parts of the movement within a second, from the fastest: two octaves of the Haar pyramid each, the last takes the rest.
pub(super) const BANDS: usize = 4;
const OCTAVES_PER_BAND: usize = 2;

/// Whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(in crate::detect) struct SecondIndex(pub(in crate::detect) i64);

impl SecondIndex {
    pub(in crate::detect) fn of(at: EventTime) -> Self {
        Self(at.0.div_euclid(SECOND_NS))
    }

    pub(in crate::detect) fn start(self) -> EventTime {
        EventTime(self.0.saturating_mul(SECOND_NS))
    }

    pub(in crate::detect) fn end(self) -> EventTime {
        EventTime(self.start().0.saturating_add(SECOND_NS))
    }
}

/// What is kept of one second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Second {
    pub(in crate::detect) at: SecondIndex,
    pub(in crate::detect) mean: f64,
    /// Readings; more than were folded if the second was thinned out.
    pub(in crate::detect) count: u32,
    /// Root of the mean squared distance from the mean.
    pub(super) deviation: f32,
    /// Distances of the smallest and of the largest reading from the mean.
    pub(super) below: f32,
    pub(super) above: f32,
    /// Root of the mean square of the movement in each band: their squares add up to that of the deviation, less what odd
    /// ends of the pyramid leave out.
    pub(super) bands: [f32; BANDS],
}

impl Second {
    /// Of the samples of one second, in order of time; `count` may exceed them. `None` without any. `work` is scratch.
    pub(in crate::detect) fn fold(samples: &[Sample], count: u32, work: &mut Vec<f64>) -> Option<Self> {
        let at = SecondIndex::of(samples.first()?.at);
        work.clear();
        work.extend(samples.iter().map(|s| s.value));
        let mean = sums::mean(work);
        work.iter_mut().for_each(|v| *v -= mean);
        let (mut below, mut above) = (0.0_f64, 0.0_f64);
        for v in work.iter() {
            below = below.max(-v);
            above = above.max(*v);
        }
        Some(Self {
            at,
            mean,
            count,
            deviation: sums::mean_square(work, 0.0).sqrt() as f32,
            below: below as f32,
            above: above as f32,
            bands: bands(work),
        })
    }

    /// The two parts of one second as one.
    pub(in crate::detect) fn merge(self, other: Self) -> Self {
        let (more, less) = if self.order(&other) == Ordering::Less { (other, self) } else { (self, other) };
        let (a, b) = (f64::from(more.count), f64::from(less.count));
        let total = (a + b).max(1.0);
        let apart = less.mean - more.mean;
        let mean = more.mean + apart * (b / total);
        let square = |d: f32| f64::from(d) * f64::from(d);
        let square =
            (a * square(more.deviation) + b * square(less.deviation) + apart * apart * (a * b / total)) / total;
        let reach = |of_more: f32, of_less: f32, sign: f64| {
            let less_moved = f64::from(of_less) + sign * (less.mean - mean);
            (f64::from(of_more) + sign * (more.mean - mean)).max(less_moved) as f32
        };
        Self {
            at: more.at,
            mean,
            count: more.count.saturating_add(less.count),
            deviation: square.sqrt() as f32,
            below: reach(more.below, less.below, -1.0),
            above: reach(more.above, less.above, 1.0),
            bands: more.bands,
        }
    }

    /// By readings, then by all that is merged, so that two parts have one order.
    fn order(&self, other: &Self) -> Ordering {
        let figures = |s: &Self| [s.deviation, s.below, s.above, s.bands[0], s.bands[1], s.bands[2], s.bands[3]];
        let by_figures = || {
            let pairs = figures(self).into_iter().zip(figures(other));
            pairs.map(|(a, b)| a.total_cmp(&b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        };
        self.count.cmp(&other.count).then_with(|| self.mean.total_cmp(&other.mean)).then_with(by_figures)
    }

    /// The smallest reading.
    pub(in crate::detect) fn min(&self) -> f64 {
        self.mean - f64::from(self.below)
    }

    /// The largest reading.
    pub(in crate::detect) fn max(&self) -> f64 {
        self.mean + f64::from(self.above)
    }

    pub(super) fn deviation(&self) -> f64 {
        f64::from(self.deviation)
    }

    pub(super) fn peak_to_peak(&self) -> f64 {
        f64::from(self.below) + f64::from(self.above)
    }

    pub(super) fn power(&self) -> f64 {
        f64::from(self.deviation) * f64::from(self.deviation)
    }

    pub(super) fn band_power(&self, band: usize) -> f64 {
        f64::from(self.bands[band]) * f64::from(self.bands[band])
    }

    /// Largest distance from the mean.
    pub(super) fn peak(&self) -> f64 {
        f64::from(self.below.max(self.above))
    }
}

/// Mean squares of the Haar pyramid's details, whose octaves part the variance among them. `values` is used up.
fn bands(values: &mut [f64]) -> [f32; BANDS] {
    let mut power = [0.0; BANDS];
    let mut length = values.len();
    let mut octave = 0;
    while length >= 2 {
        let half = length / 2;
        let mut sum = 0.0;
        for i in 0..half {
            let (a, b) = (values[2 * i], values[2 * i + 1]);
            let detail = (b - a) * 0.5;
            sum += detail * detail;
            values[i] = (b + a) * 0.5;
        }
        power[(octave / OCTAVES_PER_BAND).min(BANDS - 1)] += sum / half as f64;
        octave += 1;
        length = half;
    }
    power.map(|p| p.sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings spread evenly over second 7.
    fn of(values: &[f64]) -> Vec<Sample> {
        let apart = SECOND_NS / values.len().max(1) as i64;
        let at = |i: usize| EventTime(7 * SECOND_NS + i as i64 * apart);
        values.iter().enumerate().map(|(i, value)| Sample { at: at(i), value: *value }).collect()
    }

    fn fold(values: &[f64]) -> Second {
        Second::fold(&of(values), values.len() as u32, &mut Vec::new()).unwrap()
    }

    fn wave(n: usize, period: f64, offset: f64) -> Vec<f64> {
        (0..n).map(|i| offset + libm::sin(i as f64 * std::f64::consts::TAU / period)).collect()
    }

    #[test]
    fn a_second_fits_in_48_bytes() {
        assert_eq!(size_of::<Second>(), 48);
    }

    #[test]
    fn a_second_without_readings_is_none() {
        assert_eq!(Second::fold(&[], 0, &mut Vec::new()), None);
    }

    #[test]
    fn the_bands_part_the_variance_among_them() {
        let values: Vec<f64> = (0..1024_u64).map(|i| ((i * 7_919) % 1_009) as f64).collect();
        let second = fold(&values);
        let sum: f64 = (0..BANDS).map(|b| second.band_power(b)).sum();
        assert!((sum / second.power() - 1.0).abs() < 1e-6, "{sum} of {}", second.power());
    }

    #[test]
    fn a_wave_lies_in_the_band_of_its_period() {
        for (period, band) in [(3.0, 0), (12.0, 1), (48.0, 2), (250.0, 3)] {
            let second = fold(&wave(1_000, period, 0.0));
            let largest = (0..BANDS).max_by(|a, b| second.bands[*a].total_cmp(&second.bands[*b]));
            assert_eq!(largest, Some(band), "period {period}: {second:?}");
        }
    }

    #[test]
    fn an_offset_of_a_billion_costs_no_digits() {
        let (small, large) = (fold(&wave(1_000, 12.5, 0.0)), fold(&wave(1_000, 12.5, 1e9)));
        assert!((f64::from(large.deviation) - 0.5_f64.sqrt()).abs() < 1e-6);
        assert!((large.mean - 1e9 - small.mean).abs() < 1e-6);
        assert!((large.above - small.above).abs() < 1e-6 && (large.below - small.below).abs() < 1e-6);
    }

    #[test]
    fn two_parts_in_any_order_make_the_whole_but_for_its_bands() {
        let values = wave(1_000, 31.0, 5.0);
        let (whole, first, second) = (fold(&values), fold(&values[..700]), fold(&values[700..]));
        let merged = first.merge(second);
        assert_eq!(merged, second.merge(first));
        assert_eq!((merged.count, merged.bands), (1_000, first.bands));
        assert!((merged.mean - whole.mean).abs() < 1e-12);
        for (a, b) in [(merged.deviation, whole.deviation), (merged.below, whole.below), (merged.above, whole.above)] {
            assert!((a - b).abs() < 1e-6, "{a} instead of {b}");
        }
    }

    #[test]
    fn equal_parts_merge_alike_in_either_order() {
        let (a, b) = (fold(&[1.0, 2.0, 4.0, 4.0]), fold(&[4.0, 2.0, 4.0, 1.0]));
        assert_eq!(a.merge(b), b.merge(a));
        assert_eq!((a.merge(b).peak_to_peak(), a.merge(a).count), (3.0, 8));
    }

    #[test]
    fn seconds_before_1970_begin_where_they_should() {
        assert_eq!(SecondIndex::of(EventTime(-1)), SecondIndex(-1));
        assert_eq!((SecondIndex(-1).start(), SecondIndex(-1).end()), (EventTime(-SECOND_NS), EventTime(0)));
    }

    #[test]
    fn the_largest_readings_stay_finite() {
        let second = fold(&[1e18, -1e18, 1e18, -1e18]);
        assert!(second.merge(second).deviation.is_finite() && second.bands.iter().all(|b| b.is_finite()));
        assert_eq!(second.peak_to_peak(), 2.0 * f64::from(1e18_f32));
    }
}
