//! How regularly readings came, and how long one value stayed.

use firmware_protocol::measurement::EventTime;

use super::Sample;

/// Longest time without a reading, from the window's start to its end, seconds.
pub(super) fn gap_s(samples: &[Sample], start_at: EventTime, end_at: EventTime) -> f64 {
    let mut last_at = start_at;
    let mut longest_ns = 0;
    for sample in samples {
        longest_ns = longest_ns.max(sample.at.0 - last_at.0);
        last_at = sample.at;
    }
    longest_ns = longest_ns.max(end_at.0 - last_at.0);
    longest_ns as f64 / 1e9
}

/// Longest run of one value, as a share of all.
pub(super) fn longest_run(values: &[f64]) -> f64 {
    let (mut run, mut longest) = (1_usize, 1_usize);
    for pair in values.windows(2) {
        run = if pair[0] == pair[1] { run + 1 } else { 1 };
        longest = longest.max(run);
    }
    longest as f64 / values.len() as f64
}
