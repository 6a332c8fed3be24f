use std::collections::BTreeMap;
use std::time::Duration;

use firmware_protocol::measurement::{ClockTrust, EventTime, FrameIdentity, Measurement, Reading, Received};
use firmware_protocol::{BootId, DeviceSeq};
use proptest::prelude::*;

use super::super::Config;
use super::channel::EMPTY_WINDOWS_MAX;
use super::*;
use crate::queue::{Cursor, QueueSeq};

const NOW: EventTime = EventTime::from_millis(1_700_000_000_000);

fn operator(config: Config) -> Operator {
    Operator::new(&config)
}

/// (second since `NOW`'s window start, channel, value) each as one message.
fn message(device: &str, second: f64, channel: &str, value: f64) -> Measurement {
    let mut m = Measurement::default();
    m.set_device(device);
    let index = m.push_channel(channel);
    m.readings.push(Reading { channel: index, at: at(second), value });
    m
}

/// Window starts fall on multiples of 600 s from here.
fn at(second: f64) -> EventTime {
    let aligned = NOW.0.div_euclid(600_000_000_000) * 600_000_000_000;
    EventTime(aligned + (second * 1e9) as i64)
}

/// An archive in memory.
#[derive(Default)]
struct Kept(BTreeMap<Place, Archived>);

impl Archive for Kept {
    fn load(&self, place: Place) -> Option<Archived> {
        self.0.get(&place).cloned()
    }

    fn store(&mut self, place: Place, archived: &Archived) {
        self.0.insert(place, archived.clone());
    }

    fn remove(&mut self, place: Place) {
        self.0.remove(&place);
    }
}

struct Run {
    operator: Operator,
    archive: Kept,
    out: Output,
    seq: u64,
}

impl Run {
    fn new(config: Config) -> Self {
        Self { operator: operator(config), archive: Kept::default(), out: Output::default(), seq: 0 }
    }

    fn take(&mut self, m: &Measurement) {
        let received_at = m.readings.iter().map(|r| r.at).max().unwrap_or(NOW);
        self.take_at(m, received_at);
    }

    fn take_at(&mut self, m: &Measurement, received_at: EventTime) {
        self.take_received(m, Received::known(received_at));
    }

    fn take_received(&mut self, m: &Measurement, received: Received) {
        let mark = Cursor { next: QueueSeq(self.seq), ..Cursor::default() };
        self.seq += 1;
        self.operator.accept(m, received, mark, Pass::First, &mut self.archive, &mut self.out);
    }

    fn look(&mut self, now: EventTime) {
        for device in self.operator.devices() {
            self.operator.advance(device, now, &mut self.archive, &mut self.out);
        }
    }

    fn closed(&self) -> Vec<&Closed> {
        closed_of(&self.out.events)
    }

    fn slices(&self) -> Vec<&Slice> {
        self.out.events.iter().filter_map(|e| if let Event::Slice(slice) = e { Some(slice) } else { None }).collect()
    }

    fn counts_of_windows(&self) -> Vec<u32> {
        self.closed().iter().map(|c| c.count()).collect()
    }
}

fn closed_of(events: &[Event]) -> Vec<&Closed> {
    events.iter().filter_map(|e| if let Event::Closed(closed) = e { Some(closed) } else { None }).flatten().collect()
}

/// Those of a window of samples.
fn samples_of(closed: &Closed) -> Vec<Sample> {
    let mut samples = Vec::new();
    match closed.series(&mut samples) {
        Series::Samples(_) => samples,
        Series::Seconds(seconds) => panic!("{} seconds", seconds.len()),
    }
}

#[test]
fn a_window_closes_when_the_watermark_passes_its_end() {
    let mut run = Run::new(Config::default());
    run.take(&message("d", 10.0, "c", 1.0));
    run.take(&message("d", 629.9, "c", 2.0));
    assert!(run.closed().is_empty(), "half a minute may still come");
    run.take(&message("d", 630.0, "c", 3.0));
    assert_eq!(run.counts_of_windows(), [1]);
    assert_eq!(samples_of(run.closed()[0]), [Sample { at: at(10.0), value: 1.0 }]);
}

#[test]
fn a_reading_within_the_allowed_disorder_is_on_time() {
    let mut run = Run::new(Config::default());
    run.take(&message("d", 625.0, "c", 1.0));
    run.take(&message("d", 599.0, "c", 2.0));
    run.take(&message("d", 1300.0, "c", 3.0));
    assert_eq!(run.counts_of_windows(), [1, 1]);
    assert_eq!(run.out.counts.late, 0);
}

#[test]
fn a_reading_behind_the_allowed_lateness_is_counted_and_changes_nothing() {
    let mut run = Run::new(Config { allowed_lateness: Duration::ZERO, ..Config::default() });
    run.take(&message("d", 10.0, "c", 1.0));
    run.take(&message("d", 700.0, "c", 2.0));
    run.take(&message("d", 20.0, "c", 9.0));
    assert_eq!((run.out.counts.late, run.out.counts.used), (1, 2));
    assert_eq!(run.counts_of_windows(), [1]);
}

#[test]
fn a_device_with_a_clock_ahead_closes_nothing() {
    let mut run = Run::new(Config::default());
    run.take(&message("d", 10.0, "c", 1.0));
    run.take_at(&message("d", 10_000.0, "c", 2.0), at(11.0));
    assert_eq!(run.out.counts.future, 1);
    assert!(run.closed().is_empty());
    run.take(&message("d", 20.0, "c", 3.0));
    assert_eq!(run.out.counts.used, 2);
}

#[test]
fn nothing_is_future_to_a_gateway_whose_clock_is_not_set() {
    let mut run = Run::new(Config::default());
    let received = Received { at: EventTime::from_millis(5_000), clock: ClockTrust::Unsynchronised };
    run.take_received(&message("d", 10.0, "c", 1.0), received);
    assert_eq!((run.out.counts.future, run.out.counts.used), (0, 1));
}

#[test]
fn a_silent_channel_of_a_live_device_yields_empty_windows() {
    let mut run = Run::new(Config::default());
    run.take(&message("d", 10.0, "mute", 1.0));
    for window in 0..4 {
        run.take(&message("d", 600.0 * f64::from(window) + 100.0, "loud", 1.0));
    }
    let mute: Vec<u32> = run.closed().iter().filter(|c| c.channel == ChannelPlace(0)).map(|c| c.count()).collect();
    assert_eq!(mute, [1, 0, 0]);
}

#[test]
fn a_channel_sleeps_after_many_empty_windows_until_its_next_reading() {
    let mut run = Run::new(Config::default());
    run.take(&message("d", 10.0, "c", 1.0));
    run.take(&message("d", 600.0 * 1_000.0, "c", 1.0));
    assert_eq!(run.closed().len(), 1 + EMPTY_WINDOWS_MAX as usize);
    run.take(&message("d", 600.0 * 1_001.0 + 31.0, "c", 1.0));
    assert_eq!(run.closed().len(), 2 + EMPTY_WINDOWS_MAX as usize);
    assert_eq!(run.closed().last().map(|c| c.count()), Some(1));
}

#[test]
fn a_silent_devices_window_closes_after_the_idle_timeout() {
    let mut run = Run::new(Config::default());
    run.take(&message("d", 10.0, "c", 1.0));
    run.look(at(909.0));
    assert!(run.closed().is_empty());
    run.look(at(910.0));
    assert_eq!(run.counts_of_windows(), [1]);
    run.look(at(3_000.0));
    assert_eq!(run.counts_of_windows(), [1, 0, 0, 0], "its silence is to be seen");
}

#[test]
fn a_return_from_silence_gives_the_same_windows_whether_or_not_anybody_looked() {
    let (mut watched, mut unwatched) = (Run::new(Config::default()), Run::new(Config::default()));
    for run in [&mut watched, &mut unwatched] {
        run.take(&message("d", 10.0, "c", 1.0));
    }
    for second in (600..4_000).step_by(7) {
        watched.look(at(f64::from(second)));
    }
    for run in [&mut watched, &mut unwatched] {
        run.take_at(&message("d", 1_000.0, "c", 2.0), at(4_000.0));
        run.take_at(&message("d", 9_000.0, "c", 2.0), at(9_000.0));
    }
    assert_eq!(watched.out.events, unwatched.out.events);
    assert_eq!(watched.out.counts, unwatched.out.counts);
}

#[test]
fn a_repeated_frame_is_counted_once() {
    let mut run = Run::new(Config::default());
    let mut frame = message("d", 10.0, "c", 1.0);
    frame.identity = Some(FrameIdentity { boot: BootId(1), seq: DeviceSeq(7) });
    run.take(&frame);
    run.take(&frame);
    assert_eq!((run.out.counts.used, run.out.counts.duplicate), (1, 1));
}

#[test]
fn channels_beyond_the_bound_are_counted_and_not_watched() {
    let mut run = Run::new(Config { channels_max: 2, ..Config::default() });
    for name in ["a", "b", "c"] {
        run.take(&message("d", 10.0, name, 1.0));
    }
    run.take(&message("another", 10.0, "a", 1.0));
    run.take(&message("d", 11.0, "a", 1.0));
    assert_eq!((run.out.counts.used, run.out.counts.channels_max), (3, 2));
    assert_eq!(run.operator.channels(), 2);
}

#[test]
fn values_that_are_no_numbers_and_names_without_end_are_refused() {
    let mut run = Run::new(Config::default());
    for value in [f64::NAN, f64::INFINITY, 1e300] {
        run.take(&message("d", 10.0, "c", value));
    }
    run.take(&message("d", 10.0, &"x".repeat(NAME_BYTES_MAX + 1), 1.0));
    run.take(&message(&"x".repeat(NAME_BYTES_MAX + 1), 10.0, "c", 1.0));
    assert_eq!((run.out.counts.not_finite, run.out.counts.name_too_long, run.out.counts.used), (3, 2, 0));
}

#[test]
fn the_mark_stays_at_the_record_that_opened_the_oldest_window() {
    let mut run = Run::new(Config::default());
    assert!(run.operator.oldest_mark().is_none());
    for second in [10.0, 400.0, 610.0, 620.0] {
        run.take(&message("d", second, "c", 1.0));
    }
    assert_eq!(run.operator.oldest_mark().map(|m| m.next), Some(QueueSeq(0)));
    run.take(&message("d", 640.0, "c", 1.0));
    assert_eq!(run.operator.oldest_mark().map(|m| m.next), Some(QueueSeq(2)));
}

#[test]
fn a_flooded_window_of_hours_keeps_a_bounded_sample_that_no_order_changes() {
    let window = Duration::from_secs(7_200);
    let start = at(0.0).0.rem_euclid(window.as_nanos() as i64) as f64 / 1e9;
    let times: Vec<f64> = (0..40_000).map(|i| f64::from(i) * 0.14 - start).collect();
    let run_in = |order: &mut dyn Iterator<Item = &f64>| {
        let mut run = Run::new(Config { window, out_of_order: window, ..Config::default() });
        order.for_each(|t| run.take_at(&message("d", *t, "c", t.sin()), at(7_200.0)));
        run.take(&message("d", 15_000.0, "c", 0.0));
        run.closed().iter().map(|c| (c.count(), samples_of(c))).collect::<Vec<_>>()
    };
    let forwards = run_in(&mut times.iter());
    assert_eq!((forwards[0].0, forwards[0].1.len()), (40_000, SAMPLES_MAX));
    assert_eq!(forwards, run_in(&mut times.iter().rev()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_of_arrival_within_the_allowed_disorder_gives_the_same_windows(
        delays in proptest::collection::vec(0.0..29.0_f64, 400),
        channels in proptest::collection::vec(0..3_usize, 400),
    ) {
        let sent: Vec<(f64, &str, f64)> = channels
            .iter()
            .enumerate()
            .map(|(i, c)| (i as f64 * 8.0, ["x", "y", "z"][*c], (i as f64 * 0.7).sin()))
            .collect();
        let mut arrivals: Vec<(f64, usize)> = delays.iter().enumerate().map(|(i, d)| (sent[i].0 + d, i)).collect();
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));

        let run_in = |order: &mut dyn Iterator<Item = usize>| {
            let mut run = Run::new(Config::default());
            order.for_each(|i| run.take_at(&message("d", sent[i].0, sent[i].1, sent[i].2), at(sent[i].0 + 29.0)));
            run.take(&message("d", 5_000.0, "x", 0.0));
            assert_eq!(run.out.counts.late, 0);
            let name = |c: &Closed| run.operator.device(c.device).channels[c.channel.0 as usize].name.clone();
            run.closed().iter().map(|c| (name(c), c.window, c.count(), samples_of(c))).collect::<Vec<_>>()
        };
        prop_assert_eq!(run_in(&mut (0..sent.len())), run_in(&mut arrivals.iter().map(|a| a.1)));
    }
}

mod hopping;
mod revisions;
mod seconds;
mod slices;
