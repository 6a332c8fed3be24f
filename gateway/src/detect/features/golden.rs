//! Made windows of all sorts and the check sums of their figures: the same bits on every processor.
//!
//! `gateway/tests/bits` prints [`lines`] on each processor; its `golden.txt` is what it printed.

use firmware_protocol::measurement::EventTime;

use crate::detect::features::peak::{Side, peak};
use crate::detect::features::slice::{CONTEXT_SAMPLES, extremes};
use crate::detect::features::{Feature, Nature, Sample, Scratch, Second, Series, Summary, summarise};

const SECOND_NS: i64 = 1_000_000_000;
/// 2026-03-01; a window that begins at 0 could hide what large times do.
const START_NS: i64 = 1_772_323_200 * SECOND_NS;
const WINDOW_S: usize = 600;
/// Of each kind.
const WINDOWS: u64 = 24;
const SLICE_SAMPLES: usize = 30;

/// What a made channel does, and how often.
struct Kind {
    name: &'static str,
    /// Readings in a window.
    readings: usize,
    nature: Nature,
    value: fn(usize, &mut Chance) -> f64,
}

const KINDS: [Kind; 14] = [
    Kind { name: "noise", readings: 600, nature: Nature::Level, value: |_, c| 20.0 + c.normal() },
    Kind { name: "constant", readings: 600, nature: Nature::Level, value: |_, _| 0.1 },
    Kind { name: "quantised", readings: 600, nature: Nature::Level, value: |_, c| (c.normal() * 10.0).round() / 10.0 },
    Kind {
        name: "wave",
        readings: 600,
        nature: Nature::Level,
        value: |i, c| libm::sin(i as f64 / 9.0) + 0.1 * c.normal(),
    },
    Kind { name: "two_level", readings: 600, nature: Nature::Level, value: two_level },
    Kind { name: "offset", readings: 600, nature: Nature::Level, value: |_, c| 1e9 + c.normal() },
    Kind { name: "huge", readings: 600, nature: Nature::Level, value: |_, c| 1e18 * (c.share() - 0.5) },
    Kind { name: "denormal", readings: 600, nature: Nature::Level, value: |_, c| 1e-310 * c.share() },
    Kind { name: "sparse", readings: 10, nature: Nature::Level, value: |_, c| 20.0 + c.normal() },
    Kind { name: "empty", readings: 0, nature: Nature::Level, value: |_, _| 0.0 },
    Kind {
        name: "ten_hertz",
        readings: 6_000,
        nature: Nature::Level,
        value: |i, c| libm::cos(i as f64 / 5.0) + c.normal(),
    },
    Kind { name: "counter", readings: 600, nature: Nature::Counter, value: counter },
    Kind { name: "hundred_hertz", readings: 60_000, nature: Nature::Level, value: vibration },
    Kind { name: "thousand_hertz", readings: 600_000, nature: Nature::Level, value: vibration },
];

/// Windows of more readings than this are made of seconds.
const SAMPLES_MAX: usize = 8_192;
/// Windows of a kind of seconds: each has a hundred times the readings.
const WINDOWS_OF_SECONDS: u64 = 3;

/// One line for each kind: its name and the CRC-32 of all figures of its windows.
pub(in crate::detect) fn lines() -> Vec<String> {
    KINDS.iter().map(|kind| format!("features.{} {:08x}", kind.name, check_sum(kind))).collect()
}

fn check_sum(kind: &Kind) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    let mut scratch = Scratch::default();
    let windows = if kind.readings > SAMPLES_MAX { WINDOWS_OF_SECONDS } else { WINDOWS };
    for window in 0..windows {
        let samples = samples_of(kind, window);
        let span = (EventTime(START_NS), EventTime(START_NS + WINDOW_S as i64 * SECOND_NS));
        if kind.readings > SAMPLES_MAX {
            let seconds = seconds_of(&samples);
            add_window(&mut sum, Series::Seconds(&seconds), samples.len() as u32, span, kind.nature, &mut scratch);
            let (context, own) = seconds.split_at(CONTEXT_SAMPLES);
            add_slice(&mut sum, Series::Seconds(context), Series::Seconds(own), kind.nature, &mut scratch);
            continue;
        }
        add_window(&mut sum, Series::Samples(&samples), samples.len() as u32, span, kind.nature, &mut scratch);
        for start in (0..samples.len()).step_by(SLICE_SAMPLES) {
            let context = &samples[start.saturating_sub(CONTEXT_SAMPLES)..start];
            let own = &samples[start..(start + SLICE_SAMPLES).min(samples.len())];
            add_slice(&mut sum, Series::Samples(context), Series::Samples(own), kind.nature, &mut scratch);
        }
    }
    sum.finalize()
}

fn add_window(
    sum: &mut crc32fast::Hasher,
    series: Series<'_>,
    count: u32,
    span: (EventTime, EventTime),
    nature: Nature,
    scratch: &mut Scratch,
) {
    let Summary { features, gap_s, stats, movement } = summarise(series, count, span, nature, scratch);
    for figure in features.0 {
        // The payload of a NaN is the processor's own.
        let figure = if figure.is_nan() { f32::NAN } else { figure };
        sum.update(&figure.to_bits().to_le_bytes());
    }
    add(sum, &[gap_s]);
    if let Some(s) = stats {
        add(sum, &[s.mean, s.min, s.max, s.std, s.p05, s.p50, s.p95]);
    }
    for n in [movement.rises, movement.falls, movement.resets, movement.of] {
        sum.update(&n.to_le_bytes());
    }
    for (feature, side) in Feature::ALL.into_iter().flat_map(|f| [(f, Side::Below), (f, Side::Above)]) {
        let (from, to) = peak(feature, side, series, span, nature).unwrap_or((EventTime(0), EventTime(0)));
        sum.update(&from.0.to_le_bytes());
        sum.update(&to.0.to_le_bytes());
    }
}

fn add_slice(sum: &mut crc32fast::Hasher, context: Series<'_>, own: Series<'_>, nature: Nature, scratch: &mut Scratch) {
    let slice = extremes(context, own, nature, scratch);
    add(sum, &[slice.impulse, slice.step, slice.low, slice.high, slice.median]);
    if let Some(within) = slice.within {
        add(sum, &[within.burst, within.peak_to_peak]);
    }
}

fn add(sum: &mut crc32fast::Hasher, figures: &[f64]) {
    for figure in figures {
        sum.update(&figure.to_bits().to_le_bytes());
    }
}

/// Readings at an uneven pace, with one in fifty missing and now and then one far off.
fn samples_of(kind: &Kind, window: u64) -> Vec<Sample> {
    let mut chance = Chance(window * 1_000 + kind.readings as u64);
    let pace_ns = WINDOW_S as i64 * SECOND_NS / kind.readings.max(1) as i64;
    let mut samples = Vec::with_capacity(kind.readings);
    for i in 0..kind.readings {
        let value = (kind.value)(i, &mut chance) * if chance.share() < 0.001 { 3.0 } else { 1.0 };
        let late_ns = (chance.share() * pace_ns as f64) as i64;
        if chance.share() >= 0.02 {
            samples.push(Sample { at: EventTime(START_NS + i as i64 * pace_ns + late_ns), value });
        }
    }
    samples
}

/// One second in seven comes in two parts.
fn seconds_of(samples: &[Sample]) -> Vec<Second> {
    let mut work = Vec::new();
    let mut fold = |samples: &[Sample]| Second::fold(samples, samples.len() as u32, &mut work);
    let mut seconds = Vec::new();
    for second in samples.chunk_by(|a, b| a.at.0 / SECOND_NS == b.at.0 / SECOND_NS) {
        let (first, rest) = second.split_at(if seconds.len() % 7 == 3 { second.len() / 3 } else { 0 });
        seconds.extend(match (fold(first), fold(rest)) {
            (Some(first), Some(rest)) => Some(first.merge(rest)),
            (one, other) => one.or(other),
        });
    }
    seconds
}

fn two_level(i: usize, chance: &mut Chance) -> f64 {
    let is_high = (i / 47) % 2 == 1;
    0.3 * chance.normal() + if is_high { 30.0 } else { 0.0 }
}

fn counter(i: usize, chance: &mut Chance) -> f64 {
    let since_reset = if i < 400 { 900_000 + i } else { i - 400 };
    (3 * since_reset) as f64 + (2.0 * chance.share()).floor()
}

fn vibration(i: usize, chance: &mut Chance) -> f64 {
    12.0 + libm::sin(i as f64 / 3.0) + 0.5 * libm::sin(i as f64 / 40.0) + 0.2 * chance.normal()
}

/// SplitMix64 (Steele, Lea, Flood 2014): integers alone, so that it is the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal, of mean 0 and deviation 1: twelve shares.
    fn normal(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..12 {
            sum += self.share();
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_made_windows_have_the_bits_that_they_have_on_other_processors() {
        let golden = include_str!("../../../tests/bits/golden.txt");
        let golden: Vec<&str> = golden.lines().filter(|l| l.starts_with("features.")).collect();
        assert_eq!(lines(), golden, "if the figures were meant to change: ./tests/cross --write");
    }

    #[test]
    fn a_made_window_of_each_kind_has_the_figures_that_it_is_made_for() {
        let mut scratch = Scratch::default();
        let span = (EventTime(START_NS), EventTime(START_NS + WINDOW_S as i64 * SECOND_NS));
        for kind in &KINDS {
            let samples = samples_of(kind, 0);
            let seconds = seconds_of(&samples);
            let series =
                if kind.readings > SAMPLES_MAX { Series::Seconds(&seconds) } else { Series::Samples(&samples) };
            let summary = summarise(series, samples.len() as u32, span, kind.nature, &mut scratch);
            assert_eq!(summary.features.has_shape(), kind.readings >= 600, "{}", kind.name);
            assert_eq!(summary.features.has_high_rate(), kind.readings > SAMPLES_MAX, "{}", kind.name);
            assert_eq!(summary.movement.resets > 0 && kind.nature == Nature::Counter, kind.name == "counter");
        }
    }
}
