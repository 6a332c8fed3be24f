//! Where within a window a figure shows most: what a person should look at first.

use firmware_protocol::measurement::EventTime;

use super::counter::Nature;
use super::edges::{SPAN, median_of_7};
use super::{Feature, Second, Series, sums};

/// On which side of its band a figure lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect) enum Side {
    Below,
    Above,
}

/// Figures of a whole window, such as noise, are looked for in a tenth of it, by quarters of that tenth.
const PARTS: usize = 10;
const PART_POINTS_MIN: usize = 8;
const STEPS_PER_PART: usize = 4;

/// One place in the series: when it began and ended, and what it was.
#[derive(Clone, Copy, Debug)]
struct Point {
    from: EventTime,
    to: EventTime,
    value: f64,
}

/// How a figure is looked for.
#[derive(Clone, Copy, Debug)]
enum Look {
    Gap,
    Run,
    Impulse,
    Step,
    /// Two neighbours: the largest difference, or the smallest that is not 0.
    Pair(Side),
    /// The part of the window for which this is most, or least.
    Part(fn(&[f64]) -> f64),
    /// The second for which this is most, or least.
    Second(fn(&Second) -> f64),
}

impl Look {
    fn of(feature: Feature) -> Self {
        match feature {
            Feature::Count | Feature::Gap => Self::Gap,
            Feature::Run => Self::Run,
            Feature::Impulse => Self::Impulse,
            Feature::Step => Self::Step,
            Feature::Jump => Self::Pair(Side::Above),
            Feature::Digit => Self::Pair(Side::Below),
            Feature::Median | Feature::Low | Feature::High | Feature::Mean | Feature::Duty => Self::Part(sums::mean),
            Feature::Std | Feature::ModeStd | Feature::Separation => Self::Part(spread),
            Feature::Roughness | Feature::Switches | Feature::Haar2 => Self::Part(movement::<1>),
            Feature::Haar4 => Self::Part(movement::<2>),
            Feature::Haar8 => Self::Part(movement::<4>),
            Feature::Haar16 => Self::Part(movement::<8>),
            Feature::Haar32 => Self::Part(movement::<16>),
            Feature::Haar64 => Self::Part(movement::<32>),
            Feature::Haar128 => Self::Part(movement::<64>),
            Feature::Rms | Feature::Burst => Self::Second(Second::power),
            Feature::Crest => Self::Second(Second::peak),
            Feature::PeakToPeak => Self::Second(Second::peak_to_peak),
            Feature::Band4 => Self::Second(|s| s.band_power(0)),
            Feature::Band16 => Self::Second(|s| s.band_power(1)),
            Feature::Band64 => Self::Second(|s| s.band_power(2)),
            Feature::Band256 => Self::Second(|s| s.band_power(3)),
        }
    }
}

/// First and last moment of where `feature` shows most in the window `[start_at, end_at)`; `None` if it shows nowhere.
pub(in crate::detect) fn peak(
    feature: Feature,
    side: Side,
    series: Series<'_>,
    (start_at, end_at): (EventTime, EventTime),
    nature: Nature,
) -> Option<(EventTime, EventTime)> {
    let readings = readings(series);
    let points = match nature {
        Nature::Level => readings.clone(),
        Nature::Counter => increments(&readings),
    };
    let values: Vec<f64> = points.iter().map(|p| p.value).collect();
    let (first, last) = match Look::of(feature) {
        Look::Gap => return Some(longest_gap(&readings, start_at, end_at)),
        Look::Second(figure) => {
            let Series::Seconds(seconds) = series else { return None };
            let at = extreme(seconds.iter().map(figure), side)?;
            return Some((seconds[at].at.start(), seconds[at].at.end()));
        }
        Look::Run => longest_run(&values),
        Look::Impulse => impulse(&values),
        Look::Step => step(&values),
        Look::Pair(Side::Above) => pair(&values, |d| d),
        Look::Pair(Side::Below) => pair(&values, |d| if d > 0.0 { -d } else { f64::NEG_INFINITY }),
        Look::Part(figure) => part(&values, side, figure),
    }?;
    Some((points[first].from, points[last].to))
}

fn readings(series: Series<'_>) -> Vec<Point> {
    match series {
        Series::Samples(samples) => samples.iter().map(|s| Point { from: s.at, to: s.at, value: s.value }).collect(),
        Series::Seconds(seconds) => {
            seconds.iter().map(|s| Point { from: s.at.start(), to: s.at.end(), value: s.mean }).collect()
        }
    }
}

fn increments(readings: &[Point]) -> Vec<Point> {
    let pairs = readings.windows(2).filter(|pair| pair[1].value >= pair[0].value);
    pairs.map(|pair| Point { from: pair[0].from, to: pair[1].to, value: pair[1].value - pair[0].value }).collect()
}

fn longest_gap(readings: &[Point], start_at: EventTime, end_at: EventTime) -> (EventTime, EventTime) {
    let (mut longest, mut since) = ((start_at, start_at), start_at);
    for (from, to) in readings.iter().map(|p| (p.from, p.to)).chain([(end_at, end_at)]) {
        if from.0 - since.0 > longest.1.0 - longest.0.0 {
            longest = (since, from);
        }
        since = to;
    }
    longest
}

fn longest_run(values: &[f64]) -> Option<(usize, usize)> {
    let (mut longest, mut first) = ((0, 0), 0);
    for i in 0..values.len() {
        if values[i] != values[first] {
            first = i;
        }
        if i - first > longest.1 - longest.0 {
            longest = (first, i);
        }
    }
    (!values.is_empty()).then_some(longest)
}

/// The sample furthest from the median of the 7 around it, or nearest to it at the window's ends.
fn impulse(values: &[f64]) -> Option<(usize, usize)> {
    let last_start = values.len().checked_sub(SPAN)?;
    let off = (0..values.len()).map(|i| {
        let start = i.saturating_sub(SPAN / 2).min(last_start);
        let around = values[start..].first_chunk::<SPAN>().map_or(values[i], |v| median_of_7(*v));
        (values[i] - around).abs()
    });
    extreme(off, Side::Above).map(|at| (at, at))
}

/// The middles of the two running medians, 7 apart, that differ most.
fn step(values: &[f64]) -> Option<(usize, usize)> {
    let medians: Vec<f64> =
        values.windows(SPAN).filter_map(<[f64]>::first_chunk::<SPAN>).map(|v| median_of_7(*v)).collect();
    let differences = (SPAN..medians.len()).map(|i| (medians[i] - medians[i - SPAN]).abs());
    extreme(differences, Side::Above).map(|at| (at + SPAN / 2, at + SPAN / 2 + SPAN))
}

fn pair(values: &[f64], rank: fn(f64) -> f64) -> Option<(usize, usize)> {
    let ranks = values.windows(2).map(|pair| rank((pair[1] - pair[0]).abs()));
    extreme(ranks, Side::Above).map(|at| (at, at + 1))
}

fn part(values: &[f64], side: Side, figure: fn(&[f64]) -> f64) -> Option<(usize, usize)> {
    let points = (values.len() / PARTS).max(PART_POINTS_MIN).min(values.len());
    let stride = (points / STEPS_PER_PART).max(1);
    let starts = || (0..=values.len() - points).step_by(stride);
    let at = extreme(starts().map(|start| figure(&values[start..start + points])), side)?;
    let start = starts().nth(at)?;
    Some((start, (start + points).checked_sub(1)?))
}

fn spread(values: &[f64]) -> f64 {
    sums::mean_square(values, sums::mean(values))
}

/// Mean difference of neighbouring means of `SPAN` values; of fewer than two such, of the halves.
fn movement<const SPAN: usize>(values: &[f64]) -> f64 {
    let span = SPAN.min(values.len() / 2).max(1);
    let means: Vec<f64> = values.chunks_exact(span).map(sums::mean).collect();
    let differences: Vec<f64> = means.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    sums::mean(&differences)
}

/// Place of the first largest, or smallest, of finite figures.
fn extreme(figures: impl Iterator<Item = f64>, side: Side) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (i, figure) in figures.enumerate() {
        let is_better = best.is_none_or(|(_, b)| match side {
            Side::Above => figure > b,
            Side::Below => figure < b,
        });
        if is_better {
            best = Some((i, figure));
        }
    }
    best.map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::super::{Sample, SecondIndex};
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    fn found(feature: Feature, side: Side, value: impl Fn(usize) -> f64) -> (i64, i64) {
        found_of(feature, side, Nature::Level, value)
    }

    fn found_of(feature: Feature, side: Side, nature: Nature, value: impl Fn(usize) -> f64) -> (i64, i64) {
        let samples: Vec<Sample> =
            (0..600).map(|i| Sample { at: EventTime(i as i64 * SECOND_NS), value: value(i) }).collect();
        let span = (EventTime(0), EventTime(600 * SECOND_NS));
        let (from, to) = peak(feature, side, Series::Samples(&samples), span, nature).unwrap();
        (from.0 / SECOND_NS, to.0 / SECOND_NS)
    }

    fn noise(i: usize) -> f64 {
        ((i * 7_919) % 1_009) as f64 / 1_009.0
    }

    #[test]
    fn an_impulse_is_found_to_the_second() {
        for at in [1, 250, 598] {
            let value = |i| noise(i) + if i == at { 30.0 } else { 0.0 };
            assert_eq!(found(Feature::Impulse, Side::Above, value), (at as i64, at as i64));
        }
    }

    #[test]
    fn a_step_lies_between_the_medians_that_it_parts() {
        let (from, to) = found(Feature::Step, Side::Above, |i| if i >= 400 { 5.0 } else { 0.0 });
        assert!(from < 400 && to >= 400 && to - from == 7, "{from} to {to}");
    }

    #[test]
    fn a_stuck_value_is_found_from_its_first_to_its_last_reading() {
        let value = |i| if (100..180).contains(&i) { 0.5 } else { noise(i) };
        assert_eq!(found(Feature::Run, Side::Above, value), (100, 179));
    }

    #[test]
    fn noise_is_found_where_it_is_and_silence_where_it_is() {
        let value = |i| noise(i) * if (200..260).contains(&i) { 9.0 } else { 1.0 };
        let (from, to) = found(Feature::Roughness, Side::Above, value);
        assert!(from >= 185 && to <= 275, "{from} to {to}");
        let value = |i| noise(i) * if (200..260).contains(&i) { 0.1 } else { 1.0 };
        let (from, to) = found(Feature::Haar4, Side::Below, value);
        assert!(from >= 185 && to <= 275, "{from} to {to}");
    }

    #[test]
    fn a_level_is_found_where_it_leaves_its_band() {
        let value = |i| noise(i) - if i >= 500 { 10.0 } else { 0.0 };
        let (from, _) = found(Feature::Low, Side::Below, value);
        assert!(from >= 495, "{from}");
    }

    #[test]
    fn a_jump_is_found_between_its_neighbours() {
        assert_eq!(found(Feature::Jump, Side::Above, |i| if i >= 77 { 1.0 } else { 0.0 }), (76, 77));
        assert_eq!(found(Feature::Digit, Side::Above, |i| if i >= 77 { 1.0 } else { 0.0 }), (76, 77));
    }

    #[test]
    fn a_counters_burst_is_found_in_its_increments() {
        let mut total = 0;
        let readings: Vec<f64> = (0..600)
            .map(|i| {
                total += if i == 300 { 50 } else { 2 };
                f64::from(total)
            })
            .collect();
        assert_eq!(found_of(Feature::Impulse, Side::Above, Nature::Counter, |i| readings[i]), (299, 300));
    }

    #[test]
    fn a_gap_reaches_from_the_last_reading_before_it_to_the_first_after() {
        let samples = [10, 20, 90, 100].map(|s| Sample { at: EventTime(s * SECOND_NS), value: 1.0 });
        let of = |end: i64| {
            let span = (EventTime(0), EventTime(end * SECOND_NS));
            peak(Feature::Gap, Side::Above, Series::Samples(&samples), span, Nature::Level).unwrap()
        };
        assert_eq!(of(120), (EventTime(20 * SECOND_NS), EventTime(90 * SECOND_NS)));
        assert_eq!(of(300), (EventTime(100 * SECOND_NS), EventTime(300 * SECOND_NS)));
    }

    #[test]
    fn a_knock_is_found_in_its_second() {
        let mut work = Vec::new();
        let seconds: Vec<Second> = (0..60)
            .map(|s| {
                let at = |i: i64| EventTime(s * SECOND_NS + i * SECOND_NS / 100);
                let value = |i: i64| noise((s * 100 + i) as usize) + if s == 33 && i == 50 { 9.0 } else { 0.0 };
                let samples: Vec<Sample> = (0..100).map(|i| Sample { at: at(i), value: value(i) }).collect();
                Second::fold(&samples, 100, &mut work).unwrap()
            })
            .collect();
        let span = (EventTime(0), EventTime(60 * SECOND_NS));
        for feature in [Feature::Crest, Feature::PeakToPeak, Feature::Burst] {
            let found = peak(feature, Side::Above, Series::Seconds(&seconds), span, Nature::Level);
            assert_eq!(found, Some((SecondIndex(33).start(), SecondIndex(33).end())), "{}", feature.name());
        }
    }

    #[test]
    fn no_figure_is_too_much_for_no_samples_or_a_few() {
        let span = (EventTime(0), EventTime(60 * SECOND_NS));
        for n in 0..20 {
            let samples: Vec<Sample> =
                (0..n).map(|i| Sample { at: EventTime(i * SECOND_NS), value: noise(i as usize) }).collect();
            for (feature, side) in Feature::ALL.into_iter().flat_map(|f| [(f, Side::Above), (f, Side::Below)]) {
                for nature in [Nature::Level, Nature::Counter] {
                    let found = peak(feature, side, Series::Samples(&samples), span, nature);
                    assert!(found.is_none_or(|(from, to)| span.0 <= from && from <= to && to <= span.1), "{found:?}");
                }
            }
        }
    }
}
