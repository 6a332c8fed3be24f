//! What a window of samples looks like, in 24 figures.
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
mod haar;
mod levels;
mod rhythm;
mod split;

#[cfg(test)]
mod tests;

use firmware_protocol::derived::Stats;
use firmware_protocol::measurement::EventTime;

use super::order::trimmed_mean;

pub(super) use counter::{Movement, Nature};

/// Fewer samples than this say nothing about shape: only count, gap and level are judged.
pub(super) const SHAPE_SAMPLES_MIN: usize = 16;

/// One reading within its window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) at: EventTime,
    pub(super) value: f64,
}

/// Names the figures; `as usize` is the place in [`Features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub(super) enum Feature {
    /// Readings in the window.
    Count = 0,
    /// Longest time without a reading, seconds.
    Gap = 1,
    /// Longest run of one value, as a share of the samples.
    Run = 2,
    Median = 3,
    /// 5 % quantile.
    Low = 4,
    /// 95 % quantile.
    High = 5,
    Std = 6,
    /// Mean difference of neighbours, the largest fiftieth left out.
    Roughness = 7,
    /// Largest distance of a sample from the running median of 7, the window's first and last sample left out: one to
    /// three samples stand out, steps do not.
    Impulse = 8,
    /// Largest difference of two running medians 7 apart.
    Step = 9,
    /// Mean detail of the Haar pyramid over 2, 4, … 128 samples, the largest left out.
    Haar2 = 10,
    Haar4 = 11,
    Haar8 = 12,
    Haar16 = 13,
    Haar32 = 14,
    Haar64 = 15,
    Haar128 = 16,
    /// Share of samples in the upper of two modes.
    Duty = 17,
    /// Distance of the two modes.
    Separation = 18,
    /// Spread within the modes.
    ModeStd = 19,
    /// Changes from one mode to the other.
    Switches = 20,
    Mean = 21,
    /// Smallest difference of neighbours that is not 0: the resolution of the sensor.
    Digit = 22,
    /// Largest difference of neighbours.
    Jump = 23,
}

impl Feature {
    pub(super) const COUNT: usize = 24;
    pub(super) const HAAR: [Self; 7] =
        [Self::Haar2, Self::Haar4, Self::Haar8, Self::Haar16, Self::Haar32, Self::Haar64, Self::Haar128];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Gap => "gap",
            Self::Run => "run",
            Self::Median => "median",
            Self::Low => "low",
            Self::High => "high",
            Self::Std => "std",
            Self::Roughness => "roughness",
            Self::Impulse => "impulse",
            Self::Step => "step",
            Self::Haar2 => "haar_2",
            Self::Haar4 => "haar_4",
            Self::Haar8 => "haar_8",
            Self::Haar16 => "haar_16",
            Self::Haar32 => "haar_32",
            Self::Haar64 => "haar_64",
            Self::Haar128 => "haar_128",
            Self::Duty => "duty",
            Self::Separation => "separation",
            Self::ModeStd => "mode_std",
            Self::Switches => "switches",
            Self::Mean => "mean",
            Self::Digit => "digit",
            Self::Jump => "jump",
        }
    }
}

/// The figures of one window; f32 because rows of them are kept for weeks and judged exactly as they are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Features(pub(super) [f32; Feature::COUNT]);

impl Features {
    pub(super) fn get(&self, feature: Feature) -> f64 {
        f64::from(self.0[feature as usize])
    }

    /// Whether the window had enough samples for the figures of shape.
    pub(super) fn has_shape(&self) -> bool {
        !self.0[Feature::Run as usize].is_nan()
    }

    pub(super) fn has_level(&self) -> bool {
        !self.0[Feature::Mean as usize].is_nan()
    }
}

/// What a window is made of, in order of time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Series<'a> {
    /// The readings themselves; of a window with too many of them a share.
    Samples(&'a [Sample]),
}

/// What is computed from one closed window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// Of the readings, or of a counter's increments.
    pub(super) features: Features,
    pub(super) gap_s: f64,
    /// Of the readings.
    pub(super) stats: Option<Stats>,
    /// Of the readings.
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
    let Series::Samples(samples) = series;
    let Scratch { values, sorted, differences, work } = scratch;
    values.clear();
    values.extend(samples.iter().map(|s| s.value));
    let gap_s = rhythm::gap_s(samples, start_at, end_at);
    let stats = levels::stats(values, sorted);
    let movement = Movement::of(values);
    let levels = match nature {
        Nature::Level => stats,
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
    Summary { features: Features(out.map(|v| v as f32)), gap_s, stats, movement }
}
