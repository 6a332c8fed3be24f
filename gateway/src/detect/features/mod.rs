//! What a window looks like: 24 figures of its samples, or of the means of its seconds, and 8 of what happened within these.
//!
//! # Invariants
//! - Pure: the same samples in the same order give the same bits on every processor (no fused or reordered sums).
//! - A window's own samples alone decide: it can be computed before or after its neighbours, and again.
//! - Undefined is NaN: levels need one sample, shape needs [`SHAPE_SAMPLES_MIN`].
//! - What is trimmed or averaged is a share of the samples, so that any rate from one a minute to tens a second works.
//!
//! # Not here
//! What is normal.

mod counter;
mod edges;
mod feature;
#[cfg(test)]
mod golden;
mod haar;
mod high_rate;
mod levels;
pub(super) mod peak;
mod rhythm;
mod second;
pub(super) mod slice;
mod split;
mod sums;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use firmware_protocol::derived::Stats;
use firmware_protocol::measurement::EventTime;

use super::order::trimmed_mean;

pub(super) use counter::{Movement, Nature};
pub(super) use feature::{Feature, Features};
pub(super) use second::{Second, SecondIndex};

/// Fewer samples than this say nothing about shape: only count, gap and level are judged.
pub(super) const SHAPE_SAMPLES_MIN: usize = 16;

/// One reading within its window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) at: EventTime,
    pub(super) value: f64,
}

/// What a window is made of, in order of time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Series<'a> {
    /// The readings themselves; of a window with too many of them a share.
    Samples(&'a [Sample]),
    /// Seconds of a channel that gives too many readings to keep: their means are what is looked at, and what happened
    /// within them gives further figures.
    Seconds(&'a [Second]),
}

/// Which of the two a series is; figures of one mean nothing beside those of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Form {
    #[default]
    Samples,
    Seconds,
}

impl Series<'_> {
    pub(super) fn form(self) -> Form {
        match self {
            Self::Samples(_) => Form::Samples,
            Self::Seconds(_) => Form::Seconds,
        }
    }

    fn add_values(self, values: &mut Vec<f64>) {
        match self {
            Self::Samples(samples) => values.extend(samples.iter().map(|s| s.value)),
            Self::Seconds(seconds) => values.extend(seconds.iter().map(|s| s.mean)),
        }
    }
}

/// What is computed from one closed window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// Of the readings or means, or of a counter's increments.
    pub(super) features: Features,
    pub(super) gap_s: f64,
    /// Of the readings; with seconds the quantiles are those of their means.
    pub(super) stats: Option<Stats>,
    /// Of the readings, or of the means of seconds.
    pub(super) movement: Movement,
}

/// Buffers that are reused from window to window.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    values: Vec<f64>,
    sorted: Vec<f64>,
    differences: Vec<f64>,
    work: Vec<f64>,
}

/// Samples left out of a trimmed mean among `n`: a fiftieth, rounded, at least one.
fn trimmed_of(n: usize) -> usize {
    ((n + 25) / 50).max(1)
}

/// Computes all figures of the window `[start_at, end_at)`; `count` may exceed the samples if the window was thinned out.
pub(super) fn summarise(
    series: Series<'_>,
    count: u32,
    (start_at, end_at): (EventTime, EventTime),
    nature: Nature,
    scratch: &mut Scratch,
) -> Summary {
    let Scratch { values, sorted, differences, work } = scratch;
    values.clear();
    series.add_values(values);
    let gap_s = match series {
        Series::Samples(samples) => rhythm::gap_s(samples.iter().map(|s| (s.at, s.at)), start_at, end_at),
        Series::Seconds(seconds) => rhythm::gap_s(seconds.iter().map(|s| (s.at.start(), s.at.end())), start_at, end_at),
    };
    let readings = levels::stats(values, sorted);
    let stats = match series {
        Series::Samples(_) => readings,
        Series::Seconds(seconds) => readings.map(|of_means| high_rate::stats(of_means, seconds)),
    };
    let movement = Movement::of(values);
    let levels = match nature {
        Nature::Level => readings,
        Nature::Counter => {
            counter::increments(values);
            levels::stats(values, sorted)
        }
    };

    let mut out = [f64::NAN; Feature::COUNT];
    let mut set = |feature: Feature, value: f64| out[feature as usize] = value;
    set(Feature::Count, f64::from(count));
    set(Feature::Gap, gap_s);
    if let Some(levels) = &levels {
        set(Feature::Median, levels.p50);
        set(Feature::Low, levels.p05);
        set(Feature::High, levels.p95);
        set(Feature::Mean, levels.mean);
        set(Feature::Std, levels.std);
        differences.clear();
        differences.extend(values.windows(2).map(|w| (w[1] - w[0]).abs()));
        set(Feature::Digit, levels::smallest_step(differences));
    }
    if values.len() >= SHAPE_SAMPLES_MIN {
        set(Feature::Run, rhythm::longest_run(values));
        set(Feature::Roughness, trimmed_mean(differences, trimmed_of(values.len()), work));
        set(Feature::Jump, differences.iter().copied().fold(0.0, f64::max));
        let edges = edges::edges(values);
        set(Feature::Impulse, edges.impulse);
        set(Feature::Step, edges.step);
        let split = split::split(values, sorted[0], sorted[sorted.len() - 1]);
        set(Feature::Duty, split.duty);
        set(Feature::Separation, split.separation);
        set(Feature::ModeStd, split.mode_std);
        set(Feature::Switches, split.switches);
        for (feature, detail) in Feature::HAAR.into_iter().zip(haar::details(values, differences, work)) {
            set(feature, detail);
        }
    }
    if let Series::Seconds(seconds) = series
        && !seconds.is_empty()
    {
        let figures = high_rate::figures(seconds, differences, work);
        for (feature, figure) in Feature::HIGH_RATE.into_iter().zip(figures) {
            set(feature, figure);
        }
    }
    Summary { features: Features(out.map(|v| v as f32)), gap_s, stats, movement }
}
