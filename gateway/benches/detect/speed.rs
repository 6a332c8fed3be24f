//! Windows of ten minutes at several rates, through features.

use std::hint::black_box;

use firmware_protocol::measurement::EventTime;
use rustix::time::{ClockId, clock_gettime};

use super::features::{Nature, Sample, Scratch, Second, Series, summarise};
use super::windows::Filled;

const SECOND_NS: i64 = 1_000_000_000;
const SPAN: (EventTime, EventTime) = (EventTime(0), EventTime(600 * SECOND_NS));
/// Each case runs for so long at least.
const CASE_SECONDS: f64 = 1.0;
/// Readings of the windows that take turns: no two in a row are the same, and all together exceed the fastest caches.
const READINGS: usize = 600_000;

pub(crate) fn run() {
    println!("{:<10} {:>12} {:>14} {:>14} {:>6}", "", "readings/s", "ns a reading", "mean and var.", "ratio");
    for (case, readings, nature) in [
        ("1 Hz", 600, Nature::Level),
        ("counter", 600, Nature::Counter),
        ("10 Hz", 6_000, Nature::Level),
        ("1 kHz", 600_000, Nature::Level),
    ] {
        let windows: Vec<Vec<Sample>> =
            (0..READINGS / readings).map(|window| samples(window, readings, nature)).collect();
        let mut scratch = Scratch::default();
        let (mut seconds, mut work) = (Vec::new(), Vec::new());
        let features = nanos_a_reading(&windows, |samples| {
            let count = samples.len() as u32;
            let series = if readings <= 8_192 {
                Series::Samples(samples)
            } else {
                seconds.clear();
                let of_seconds = samples.chunk_by(|a, b| a.at.0 / SECOND_NS == b.at.0 / SECOND_NS);
                seconds.extend(of_seconds.filter_map(|s| Second::fold(s, s.len() as u32, &mut work)));
                Series::Seconds(&seconds)
            };
            black_box(summarise(series, count, SPAN, nature, &mut scratch));
        });
        let plain = nanos_a_reading(&windows, |samples| {
            black_box(mean_and_variance(samples));
        });
        println!("{case:<10} {:>12.0} {features:>14.1} {plain:>14.1} {:>6.1}", 1e9 / features, features / plain);
    }
    through_windows();
}

/// From readings as they come to features, and what the open window takes.
fn through_windows() {
    for (case, rate) in [("100 Hz, windows", 100), ("1 kHz, windows", 1_000)] {
        let windows = [samples(0, 600 * rate, Nature::Level)];
        let (mut scratch, mut most) = (Scratch::default(), 0);
        let nanos = nanos_a_reading(&windows, |samples| {
            let mut filled = Filled::new(SPAN.1.0);
            for (i, sample) in samples.iter().enumerate() {
                filled.push(*sample);
                if i % 4_096 == 0 {
                    most = most.max(filled.bytes());
                }
            }
            black_box(filled.close(SPAN, &mut scratch));
        });
        println!("{case:<16} {:>12.0} readings/s {nanos:>8.1} ns a reading, at most {most} bytes open", 1e9 / nanos);
    }
}

/// A wave with noise, or a counter of the same.
fn samples(window: usize, readings: usize, nature: Nature) -> Vec<Sample> {
    let mut total = 0.0;
    let value = |i: usize| {
        let noise = ((i + window * 131) * 7_919 % 10_007) as f64 / 10_007.0;
        let level = 2.0 + libm::sin(i as f64 / 40.0) + 0.5 * noise;
        total += level.floor();
        match nature {
            Nature::Level => level,
            Nature::Counter => total,
        }
    };
    let at = |i: usize| EventTime(i as i64 * (600 * SECOND_NS / readings as i64));
    (0..readings).map(value).enumerate().map(|(i, value)| Sample { at: at(i), value }).collect()
}

/// In two passes, as features have it: what is close to an offset keeps its digits.
fn mean_and_variance(samples: &[Sample]) -> (f64, f64) {
    let n = samples.len() as f64;
    let (mut sum, mut squares) = (0.0, 0.0);
    for sample in samples {
        sum += sample.value;
    }
    let mean = sum / n;
    for sample in samples {
        squares += (sample.value - mean) * (sample.value - mean);
    }
    (mean, squares / n)
}

/// Processor time over all windows, again and again.
fn nanos_a_reading(windows: &[Vec<Sample>], mut of_window: impl FnMut(&[Sample])) -> f64 {
    let before = cpu_seconds();
    let mut readings = 0;
    loop {
        for window in windows {
            of_window(black_box(window));
            readings += window.len();
        }
        let took = cpu_seconds() - before;
        if took >= CASE_SECONDS {
            return took * 1e9 / readings as f64;
        }
    }
}

pub(super) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
