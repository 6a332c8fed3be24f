//! A made fast channel through the window's content: the same bits on every processor and in any order of arrival.

use std::time::Duration;

use firmware_protocol::measurement::EventTime;

use super::super::features::{Feature, Nature, Sample, Scratch, Series, summarise};
use super::content::Content;
use super::room::{Room, SAMPLES_MAX};

const SECOND_NS: i64 = 1_000_000_000;
/// 2026-03-01.
const START_NS: i64 = 1_772_323_200 * SECOND_NS;
const WINDOW_NS: i64 = 600 * SECOND_NS;
const RATE: i64 = 1_000;

/// One line: the CRC-32 of all figures of the window, and of its seconds.
pub(in crate::detect) fn lines() -> Vec<String> {
    vec![format!("windows.thousand_hertz {:08x}", check_sum())]
}

fn check_sum() -> u32 {
    let room = Room::new(SAMPLES_MAX, WINDOW_NS, 1, Duration::from_secs(30));
    let mut content = Content::default();
    (0..600 * RATE).for_each(|i| content.push(sample(disordered(i)), &room));
    // After its second was folded.
    content.push(Sample { at: EventTime(START_NS + 100 * SECOND_NS + 1), value: 77.0 }, &room);
    let content = content.finished(&room);
    let mut work = Vec::new();
    let series = content.series(&mut work);
    let mut sum = crc32fast::Hasher::new();
    if let Series::Seconds(seconds) = series {
        for second in seconds {
            sum.update(&second.count.to_le_bytes());
            for figure in [second.mean, second.min(), second.max()] {
                sum.update(&figure.to_bits().to_le_bytes());
            }
        }
    }
    let span = (EventTime(START_NS), EventTime(START_NS + WINDOW_NS));
    let summary = summarise(series, content.count, span, Nature::Level, &mut Scratch::default());
    for feature in Feature::ALL {
        sum.update(&(summary.features.get(feature) as f32).to_bits().to_le_bytes());
    }
    sum.finalize()
}

/// Ten seconds at a time come backwards.
fn disordered(i: i64) -> i64 {
    let block = 10 * RATE;
    i - i % block + (block - 1 - i % block)
}

fn sample(i: i64) -> Sample {
    let noise = ((i * 7_919) % 10_007) as f64 / 10_007.0;
    let value = 12.0 + libm::sin(i as f64 / 3.0) + 0.5 * libm::sin(i as f64 / 40.0) + 0.2 * noise;
    Sample { at: EventTime(START_NS + i * SECOND_NS / RATE), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_channels_window_has_the_bits_that_it_has_on_other_processors() {
        let golden = include_str!("../../../tests/bits/golden.txt");
        let golden: Vec<&str> = golden.lines().filter(|l| l.starts_with("windows.")).collect();
        assert_eq!(lines(), golden, "if the figures were meant to change: ./tests/cross --write");
    }
}
