//! How regularly readings came, and how long one value stayed.

use firmware_protocol::measurement::EventTime;

/// Longest time without a reading, from the window's start to its end, seconds. `readings` are first and last moment of
/// each, in order.
pub(super) fn gap_s(
    readings: impl Iterator<Item = (EventTime, EventTime)>,
    start_at: EventTime,
    end_at: EventTime,
) -> f64 {
    let mut last_at = start_at;
    let mut longest_ns = 0;
    for (from, to) in readings {
        longest_ns = longest_ns.max(from.0 - last_at.0);
        last_at = to;
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
