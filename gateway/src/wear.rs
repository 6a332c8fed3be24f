//! What the gateway does to its disk, and how long it can go on without its sinks.
//!
//! # What
//! SD cards die of writing, so what is physically written is told, by day and for each byte taken in. And the one figure
//! that an operator wants when a sink is away: how long the room that is left lasts.
//!
//! # Invariants
//! - Rates are pure: times and totals come in, so a year can be tested in a millisecond.
//! - What the kernel does not tell is not shown as 0 written: it is said once, and the gauges stay as they began.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::metrics::Metrics;
use crate::shutdown::Stop;

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How soon an estimate of the intake forgets: long enough for a burst, short enough for a day that begins.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// How much more than its blocks a queue takes on disk, before that is known…
const OVERHEAD: f64 = 2.0;
/// …which it is once several times this has been written: files grow in steps.
const OVERHEAD_KNOWN_BYTES: f64 = (8 << 20) as f64;
/// What is written in a day is told from the last hour of it…
const HOUR: Duration = Duration::from_secs(3_600);
/// …in steps of this.
const STEP: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// Ten years stand for "for ever": alerts and charts want a number.
pub(crate) const OUTAGE_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// Looks at the counters now and then, until the stop.
pub(crate) async fn watch(metrics: Metrics, mut stop: Stop) -> Result<(), Infallible> {
    let began = Instant::now();
    let mut gauges = Gauges::default();
    let mut is_told = false;
    loop {
        match written_bytes() {
            Ok(bytes) => gauges.note_written(began.elapsed(), bytes, &metrics),
            Err(error) if !is_told => {
                is_told = true;
                warn!(%error, "What is physically written cannot be told: /proc/self/io cannot be read.");
            }
            Err(_told) => {}
        }
        gauges.note_intake(began.elapsed(), &metrics);
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = stop.requested() => return Ok(()),
        }
    }
}

/// Bytes that this process has sent to the storage layer since it started.
fn written_bytes() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    write_bytes_in(&text).ok_or_else(|| std::io::Error::other("it has no line write_bytes"))
}

fn write_bytes_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

#[derive(Debug)]
struct Gauges {
    written: LastHour,
    intake: RecentRate,
}

impl Default for Gauges {
    fn default() -> Self {
        Self { written: LastHour::default(), intake: RecentRate::new(HALF_LIFE) }
    }
}

impl Gauges {
    fn note_written(&mut self, at: Duration, bytes: u64, metrics: &Metrics) {
        let disk = &metrics.disk;
        self.written.observe(at, bytes);
        disk.written_bytes.inc_by(bytes.saturating_sub(disk.written_bytes.get()));
        disk.written_per_day_bytes.set(self.written.per_day() as i64);
        let taken_in = metrics.queue.payload_bytes.get();
        disk.write_amplification.set(if taken_in > 0 { bytes as f64 / taken_in as f64 } else { 0.0 });
    }

    fn note_intake(&mut self, at: Duration, metrics: &Metrics) {
        let queue = &metrics.queue;
        self.intake.observe(at, queue.written_bytes.get());
        let fills = self.intake.per_second() * overhead(queue.grown_bytes.get(), queue.written_bytes.get());
        let room_bytes = u64::try_from(queue.room_bytes.get()).unwrap_or_default();
        queue.survivable_outage_seconds.set(outage(room_bytes, fills).as_secs_f64());
    }
}

/// Bytes that the queue's files have grown by for each byte of blocks.
fn overhead(grown_bytes: u64, written_bytes: u64) -> f64 {
    (grown_bytes as f64 + OVERHEAD * OVERHEAD_KNOWN_BYTES) / (written_bytes as f64 + OVERHEAD_KNOWN_BYTES)
}

/// How long the room lasts at this rate.
fn outage(room_bytes: u64, bytes_per_second: f64) -> Duration {
    let seconds = room_bytes as f64 / bytes_per_second;
    if seconds < OUTAGE_MAX.as_secs_f64() { Duration::from_secs_f64(seconds) } else { OUTAGE_MAX }
}

/// How fast a total has grown of late; what happened a half-life ago counts half.
#[derive(Debug)]
struct RecentRate {
    half_life: Duration,
    seen: Option<(Duration, u64)>,
    rate: f64,
    /// 1 once the past is long enough; before, the little that is known counts in full.
    weight: f64,
}

impl RecentRate {
    fn new(half_life: Duration) -> Self {
        Self { half_life, seen: None, rate: 0.0, weight: 0.0 }
    }

    fn observe(&mut self, at: Duration, total: u64) {
        let Some((seen_at, seen_total)) = self.seen.replace((at, total)) else { return };
        let passed = at.saturating_sub(seen_at).as_secs_f64();
        if passed > 0.0 {
            let keep = 0.5f64.powf(passed / self.half_life.as_secs_f64());
            let rate = total.saturating_sub(seen_total) as f64 / passed;
            self.rate = self.rate * keep + rate * (1.0 - keep);
            self.weight = self.weight * keep + (1.0 - keep);
        }
    }

    fn per_second(&self) -> f64 {
        if self.weight > 0.0 { self.rate / self.weight } else { 0.0 }
    }
}

/// A total's growth over the last hour, or since the first look if that is less.
#[derive(Debug, Default)]
struct LastHour {
    /// Steps apart, oldest first; the newest observation comes on top.
    steps: VecDeque<(Duration, u64)>,
    newest: (Duration, u64),
}

impl LastHour {
    fn observe(&mut self, at: Duration, total: u64) {
        self.newest = (at, total);
        if self.steps.back().is_none_or(|(last, _)| at.saturating_sub(*last) >= STEP) {
            self.steps.push_back((at, total));
        }
        while self.steps.get(1).is_some_and(|(second, _)| at.saturating_sub(*second) >= HOUR) {
            self.steps.pop_front();
        }
    }

    /// As much as a day of it would be.
    fn per_day(&self) -> f64 {
        let Some((since, from)) = self.steps.front() else { return 0.0 };
        let (at, total) = self.newest;
        let passed = at.saturating_sub(*since).as_secs_f64();
        if passed > 0.0 { total.saturating_sub(*from) as f64 / passed * DAY.as_secs_f64() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Observes a total that grows by so much a second, every ten seconds for so long.
    fn run(rate: &mut RecentRate, at: &mut Duration, total: &mut u64, per_second: u64, time: Duration) {
        let end = *at + time;
        while *at < end {
            *at += LOOK_EVERY;
            *total += per_second * LOOK_EVERY.as_secs();
            rate.observe(*at, *total);
        }
    }

    fn is_near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= expected * 0.01 + 1e-9
    }

    #[test]
    fn a_steady_rate_is_known_from_the_second_look_on() {
        let mut rate = RecentRate::new(HALF_LIFE);
        let (mut at, mut total) = (Duration::ZERO, 0);
        rate.observe(at, total);
        assert_eq!(rate.per_second(), 0.0);
        for _ in 0..100 {
            run(&mut rate, &mut at, &mut total, 1_000, LOOK_EVERY);
            assert!(is_near(rate.per_second(), 1_000.0), "{}", rate.per_second());
        }
    }

    #[test]
    fn half_of_an_intake_that_ended_is_forgotten_in_each_half_life() {
        let mut rate = RecentRate::new(HALF_LIFE);
        let (mut at, mut total) = (Duration::ZERO, 0);
        run(&mut rate, &mut at, &mut total, 1_000, 100 * HALF_LIFE);
        run(&mut rate, &mut at, &mut total, 0, HALF_LIFE);
        assert!(is_near(rate.per_second(), 500.0), "{}", rate.per_second());
        run(&mut rate, &mut at, &mut total, 0, HALF_LIFE);
        assert!(is_near(rate.per_second(), 250.0), "{}", rate.per_second());
    }

    #[test]
    fn looks_at_uneven_times_give_the_same_rate() {
        let mut rate = RecentRate::new(HALF_LIFE);
        for at in [0, 1, 7, 7, 300, 301, 4_000] {
            rate.observe(Duration::from_secs(at), 50 * at);
        }
        assert!(is_near(rate.per_second(), 50.0), "{}", rate.per_second());
    }

    #[test]
    fn an_outage_lasts_as_long_as_the_room_and_for_ever_where_nothing_comes_in() {
        assert_eq!(outage(3_600_000, 1_000.0), HOUR);
        assert_eq!(outage(0, 1_000.0), Duration::ZERO);
        assert_eq!(outage(1, 0.0), OUTAGE_MAX);
        assert_eq!(outage(0, 0.0), OUTAGE_MAX, "no intake and no room: nothing is held up by it");
        assert_eq!(outage(u64::MAX, 1e-9), OUTAGE_MAX);
    }

    #[test]
    fn how_much_more_the_files_take_is_assumed_first_and_measured_later() {
        assert_eq!(overhead(0, 0), OVERHEAD);
        assert!(is_near(overhead(13_000_000_000, 10_000_000_000), 1.3));
        let after_one_step = overhead(2 << 20, 1_000);
        assert!((1.9..2.4).contains(&after_one_step), "{after_one_step}");
    }

    #[test]
    fn a_day_is_told_from_the_last_hour_and_what_was_before_is_forgotten() {
        let mut hour = LastHour::default();
        assert_eq!(hour.per_day(), 0.0);
        let mut total = 5_000;
        hour.observe(Duration::ZERO, total);
        assert_eq!(hour.per_day(), 0.0);
        for minute in 1..=60 {
            total += 1_000;
            hour.observe(minute * MINUTE, total);
            assert_eq!(hour.per_day(), 1_440_000.0, "minute {minute}");
        }
        for minute in 61..=120 {
            hour.observe(minute * MINUTE, total);
        }
        assert_eq!(hour.per_day(), 0.0);
        assert!(hour.steps.len() <= 62, "{}", hour.steps.len());
    }

    #[test]
    fn the_kernels_table_is_read() {
        let text =
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 86016\ncancelled_write_bytes: 7\n";
        assert_eq!(write_bytes_in(text), Some(86_016));
        assert_eq!(write_bytes_in("rchar: 1\n"), None);
    }

    #[test]
    fn gauges_follow_the_counters() {
        let (metrics, mut gauges) = (Metrics::default(), Gauges::default());
        assert_eq!(metrics.queue.survivable_outage_seconds.get(), OUTAGE_MAX.as_secs_f64(), "before the first look");
        metrics.queue.room_bytes.set(1_000_000);
        for minute in 0..3 {
            gauges.note_written(minute * MINUTE, 1_000 + 120_000 * u64::from(minute), &metrics);
            gauges.note_intake(minute * MINUTE, &metrics);
            metrics.queue.written_bytes.inc_by(60_000);
            metrics.queue.payload_bytes.inc_by(100_000);
        }
        // 1 000 bytes a second, twice that on disk.
        let seconds = metrics.queue.survivable_outage_seconds.get();
        assert!((490.0..520.0).contains(&seconds), "{seconds}");
        assert_eq!(metrics.disk.written_bytes.get(), 241_000);
        assert_eq!(metrics.disk.written_per_day_bytes.get(), 172_800_000);
        assert_eq!(metrics.disk.write_amplification.get(), 1.205);
    }
}
