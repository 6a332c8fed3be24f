//! A part of a window that is still open, for faults too gross to wait for its end.
//!
//! # Invariants
//! - A slice's impulse, step, burst and peak to peak are never larger than those of its window: what alarms in a slice is
//!   confirmed by the window, unless readings come late between the ones that were there.
//! - With [`CONTEXT_SAMPLES`] before each slice, no impulse or step falls between two slices.

use super::counter::{self, Nature};
use super::edges;
use super::{Second, Series, levels};

/// Samples, or seconds, of the same window before a slice: a running median of the slice before, which is compared with one of this,
/// needs as many; one more for a counter, whose increments are one fewer.
pub(in crate::detect) const CONTEXT_SAMPLES: usize = 2 * edges::SPAN;

/// What shows before a window is over; 0 without samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::detect) struct Extremes {
    pub(in crate::detect) impulse: f64,
    pub(in crate::detect) step: f64,
    /// 5 % and 95 % quantile, and median, of the slice's own samples.
    pub(in crate::detect) low: f64,
    pub(in crate::detect) high: f64,
    pub(in crate::detect) median: f64,
    /// Of a slice of seconds.
    pub(in crate::detect) within: Option<Within>,
}

/// What shows within the slice's own seconds: as [`Feature::Burst`](super::Feature::Burst) and
/// [`Feature::PeakToPeak`](super::Feature::PeakToPeak).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::detect) struct Within {
    pub(in crate::detect) burst: f64,
    pub(in crate::detect) peak_to_peak: f64,
}

/// Of `own` samples or seconds in order; `context` are the ones just before them in the same window, fewer where it begins.
pub(in crate::detect) fn extremes(
    context: Series<'_>,
    own: Series<'_>,
    nature: Nature,
    scratch: &mut super::Scratch,
) -> Extremes {
    let super::Scratch { values, sorted, .. } = scratch;
    values.clear();
    context.add_values(values);
    let before = values.len();
    let falls = values.windows(2).filter(|pair| pair[1] < pair[0]).count();
    own.add_values(values);
    let own_from = match nature {
        Nature::Level => before,
        Nature::Counter => {
            counter::increments(values);
            before.saturating_sub(1) - falls
        }
    };
    let Some(levels) = levels::stats(&values[own_from.min(values.len())..], sorted) else { return Extremes::default() };
    let edges = edges::within(values);
    let within = match own {
        Series::Samples(_) => None,
        Series::Seconds(seconds) => Some(Within::of(seconds)),
    };
    Extremes { impulse: edges.impulse, step: edges.step, low: levels.p05, high: levels.p95, median: levels.p50, within }
}

impl Within {
    fn of(seconds: &[Second]) -> Self {
        let mut within = Self::default();
        for second in seconds {
            within.burst = within.burst.max(second.deviation());
            within.peak_to_peak = within.peak_to_peak.max(second.peak_to_peak());
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use firmware_protocol::measurement::EventTime;

    use super::super::{Feature, Sample, Scratch, summarise};
    use super::*;

    fn samples_of(values: &[f64]) -> Vec<Sample> {
        let at = |i: usize| EventTime(i as i64 * 1_000_000_000);
        values.iter().enumerate().map(|(i, value)| Sample { at: at(i), value: *value }).collect()
    }

    fn window_of(samples: &[Sample], nature: Nature) -> (f64, f64) {
        let span = (EventTime(0), EventTime(600_000_000_000));
        let summary = summarise(Series::Samples(samples), samples.len() as u32, span, nature, &mut Scratch::default());
        (summary.features.get(Feature::Impulse), summary.features.get(Feature::Step))
    }

    /// All slices of `length` samples, each with its context.
    fn slices_of(samples: &[Sample], length: usize, nature: Nature) -> Vec<Extremes> {
        let mut scratch = Scratch::default();
        let starts = (0..samples.len()).step_by(length);
        starts
            .map(|start| {
                let context = &samples[start.saturating_sub(CONTEXT_SAMPLES)..start];
                let end = (start + length).min(samples.len());
                extremes(Series::Samples(context), Series::Samples(&samples[start..end]), nature, &mut scratch)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn no_slice_shows_more_than_its_window(
            values in proptest::collection::vec(-1e3..1e3_f64, 16..200), length in 1..60_usize, is_counter: bool,
        ) {
            let nature = if is_counter { Nature::Counter } else { Nature::Level };
            let samples = samples_of(&values);
            let (impulse, step) = window_of(&samples, nature);
            prop_assume!(!impulse.is_nan());
            for slice in slices_of(&samples, length, nature) {
                // Figures are kept as f32.
                prop_assert!(slice.impulse as f32 <= impulse as f32 && slice.step as f32 <= step as f32);
            }
        }

        #[test]
        fn the_slices_together_show_all_that_happens_inside_the_window(
            values in proptest::collection::vec(-1e3..1e3_f64, 16..200), length in 1..60_usize,
        ) {
            let samples = samples_of(&values);
            let slices = slices_of(&samples, length, Nature::Level);
            let (_, step) = window_of(&samples, Nature::Level);
            let largest = |of: fn(&Extremes) -> f64| slices.iter().map(of).fold(0.0, f64::max);
            prop_assert_eq!(largest(|s| s.step) as f32, step as f32);
            prop_assert_eq!(largest(|s| s.impulse), edges::within(&values).impulse);
        }
    }

    #[test]
    fn levels_are_those_of_the_slice_and_not_of_its_context() {
        let samples = samples_of(&[vec![5.0; CONTEXT_SAMPLES], vec![9.0; 30]].concat());
        let (context, own) = samples.split_at(CONTEXT_SAMPLES);
        let slice = extremes(Series::Samples(context), Series::Samples(own), Nature::Level, &mut Scratch::default());
        assert_eq!((slice.low, slice.median, slice.high, slice.step), (9.0, 9.0, 9.0, 4.0));
    }

    #[test]
    fn a_counters_slice_tells_how_fast_it_rises() {
        let readings: Vec<f64> = (0..44).map(|i| if i < 10 { 900 + i } else { 2 * (i - 10) } as f64).collect();
        let samples = samples_of(&readings);
        let (context, own) = samples.split_at(CONTEXT_SAMPLES);
        let slice = extremes(Series::Samples(context), Series::Samples(own), Nature::Counter, &mut Scratch::default());
        assert_eq!((slice.low, slice.median, slice.high), (2.0, 2.0, 2.0));
        assert_eq!((slice.step, slice.impulse), (1.0, 0.0));
    }

    #[test]
    fn a_slice_of_seconds_shows_its_strongest_second_as_the_window_does() {
        let mut work = Vec::new();
        let seconds: Vec<Second> = (0..60_i64)
            .map(|s| {
                let strength = if s == 40 { 9.0 } else { 1.0 };
                let sample = |i: i64| Sample {
                    at: EventTime(s * 1_000_000_000 + i * 10_000_000),
                    value: strength * libm::sin((s * 100 + i) as f64),
                };
                let samples: Vec<Sample> = (0..100).map(sample).collect();
                Second::fold(&samples, 100, &mut work).unwrap()
            })
            .collect();
        let span = (EventTime(0), EventTime(60_000_000_000));
        let window = summarise(Series::Seconds(&seconds), 6_000, span, Nature::Level, &mut Scratch::default());
        let of = |range: std::ops::Range<usize>| {
            let context = Series::Seconds(&seconds[range.start.saturating_sub(CONTEXT_SAMPLES)..range.start]);
            extremes(context, Series::Seconds(&seconds[range]), Nature::Level, &mut Scratch::default()).within.unwrap()
        };
        assert!(of(0..30).burst < 1.0);
        assert_eq!(of(30..60).burst as f32, window.features.get(Feature::Burst) as f32);
        assert_eq!(of(30..60).peak_to_peak as f32, window.features.get(Feature::PeakToPeak) as f32);
    }

    #[test]
    fn an_empty_slice_shows_nothing() {
        let of = |context: &[Sample], nature: Nature| {
            extremes(Series::Samples(context), Series::Samples(&[]), nature, &mut Scratch::default())
        };
        assert_eq!(of(&[], Nature::Level), Extremes::default());
        assert_eq!(of(&samples_of(&[1.0]), Nature::Counter), Extremes::default());
    }
}
