use std::iter;

use super::*;

const MINUTE_NS: i64 = 60_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const LIMIT_NS: i64 = 15 * MINUTE_NS;

fn limits(range: Option<(f64, f64)>, interval_micros: u32) -> Limits {
    Limits::from(ChannelLimits { range, interval_micros })
}

fn seen(count: u32) -> Seen<'static> {
    Seen { channel: "flow", from: EventTime(0), to: EventTime(10 * MINUTE_NS), count }
}

/// One reading a second.
fn readings(values: &[f64]) -> Vec<Part> {
    let part = |(value, second): (&f64, i64)| {
        let at = EventTime(second * 1_000_000_000);
        Part { from: at, to: at, min: *value, max: *value, count: 1 }
    };
    values.iter().zip(0..).map(part).collect()
}

fn check(limits: Limits, values: &[f64]) -> Option<Finding> {
    let parts = readings(values);
    let extremes = parts.iter().map(|p| (p.min, p.max)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    limits.check(seen(values.len() as u32), extremes, parts.into_iter())
}

#[test]
fn readings_outside_the_range_are_counted_and_the_furthest_is_shown() {
    let found = check(limits(Some((0.0, 80.0)), 0), &[5.0, 81.0, -4.0, 80.0]).unwrap();
    assert_eq!((found.kind, found.value, found.expected_low, found.expected_high), ("out_of_range", -4.0, 0.0, 80.0));
    assert_eq!(found.peak, Some((EventTime(2_000_000_000), EventTime(2_000_000_000))));
    assert_eq!(found.summary, "flow: 2 of 4 readings are outside what the sensor can measure: -4, expected 0 to 80");
}

#[test]
fn a_single_reading_outside_is_medium_and_all_are_critical() {
    let mut values = vec![1.0; 600];
    values[7] = 99.0;
    let limits = limits(Some((0.0, 80.0)), 0);
    let score = |values: &[f64]| check(limits, values).unwrap().score;
    assert!((1.0..3.0).contains(&score(&values)), "{}", score(&values));
    assert_eq!(score(&[99.0; 600]), 10.0);
}

#[test]
fn readings_at_the_bounds_are_within_though_the_bounds_were_told_in_single_precision() {
    let told = |value: f32| f64::from(value);
    let limits = limits(Some((told(0.1), told(0.3))), 0);
    assert_eq!(check(limits, &[0.1, 0.3]), None);
    assert!(check(limits, &[0.099]).is_some());
}

#[test]
fn of_readings_known_by_their_extremes_as_many_are_outside_as_is_certain() {
    let second = |min, max| Part { from: EventTime(0), to: EventTime(1_000_000_000), min, max, count: 100 };
    let parts = [second(1.0, 90.0), second(85.0, 90.0), second(-1.0, 90.0), second(1.0, 2.0)];
    let found = limits(Some((0.0, 80.0)), 0).check(seen(400), Some((-1.0, 90.0)), parts.into_iter()).unwrap();
    assert!(found.summary.contains(": 102 of 400 readings"), "{}", found.summary);
}

#[test]
fn fewer_than_half_of_the_promised_readings_are_too_few() {
    let limits = limits(None, 1_000_000);
    let rate = |count| limits.check(seen(count), None, iter::empty());
    assert_eq!(rate(300), None);
    let found = rate(299).unwrap();
    assert_eq!((found.kind, found.value, found.expected_low, found.expected_high), ("rate", 299.0, 300.0, 600.0));
    assert!(found.score < 1.1 && rate(0).unwrap().score == 5.0);
}

#[test]
fn who_promises_nothing_or_little_breaks_no_promise() {
    assert_eq!(limits(None, 0).check(seen(0), None, iter::empty()), None);
    let slow = limits(None, 151_000_000);
    assert_eq!(slow.check(seen(0), None, iter::empty()), None, "four readings a window at most");
    assert_eq!(check(limits(None, 0), &[1e300]), None);
}

#[test]
fn of_two_broken_rules_the_worse_one_is_told() {
    let found = check(limits(Some((0.0, 1.0)), 1_000_000), &[0.5; 10]).unwrap();
    assert_eq!(found.kind, "rate");
    assert_eq!(check(limits(Some((0.0, 1.0)), 1_000_000), &[5.0; 10]).unwrap().kind, "out_of_range");
}

/// Heard each `gap_ns`, so many times; returns when last.
fn heard(rhythm: &mut Rhythm, from_ns: i64, gap_ns: i64, times: i64) -> i64 {
    for i in 0..times {
        rhythm.on_message(EventTime(from_ns + i * gap_ns));
    }
    from_ns + (times - 1) * gap_ns
}

fn is_found(rhythm: &mut Rhythm, now_ns: i64) -> Option<i64> {
    rhythm.check(EventTime(now_ns), Absence::NONE, LIMIT_NS, 0).map(|(_, at)| at.0)
}

#[test]
fn a_silence_is_found_once_at_its_limit_whenever_it_is_asked_and_ends_with_the_next_message() {
    let mut rhythm = Rhythm::default();
    let last = heard(&mut rhythm, 0, MINUTE_NS, 20);
    assert_eq!(is_found(&mut rhythm, last + LIMIT_NS - 1), None);
    assert_eq!(is_found(&mut rhythm, last + 5 * HOUR_NS), Some(last + LIMIT_NS));
    assert_eq!(is_found(&mut rhythm, last + 6 * HOUR_NS), None);
    assert!(rhythm.on_message(EventTime(last + 7 * HOUR_NS)));
    assert!(!rhythm.on_message(EventTime(last + 7 * HOUR_NS + MINUTE_NS)));
}

#[test]
fn a_device_that_reports_each_hour_is_not_silent_in_between() {
    let mut rhythm = Rhythm::default();
    for hour in 0..1_000 {
        assert_eq!(is_found(&mut rhythm, hour * HOUR_NS), None);
        rhythm.on_message(EventTime(hour * HOUR_NS));
    }
    assert_eq!(is_found(&mut rhythm, 999 * HOUR_NS + 8 * HOUR_NS), Some(1_007 * HOUR_NS));
}

#[test]
fn nights_without_messages_are_found_twice_and_then_usual_over_weekends_too() {
    let mut rhythm = Rhythm::default();
    let mut nights = Vec::new();
    for day in 0..42 {
        let morning = (day * 24 + 7) * HOUR_NS;
        if is_found(&mut rhythm, morning).is_some() {
            nights.push(day);
        }
        if day % 7 < 5 {
            heard(&mut rhythm, morning, 10 * MINUTE_NS, 66);
        }
    }
    assert_eq!(nights, [1, 2, 6, 13], "two nights, two weekends");
}

#[test]
fn one_long_outage_does_not_blind_the_rule() {
    let mut rhythm = Rhythm::default();
    let last = heard(&mut rhythm, 0, 1_000_000_000, 1_000);
    assert!(is_found(&mut rhythm, last + 24 * HOUR_NS).is_some());
    let last = heard(&mut rhythm, last + 24 * HOUR_NS, 1_000_000_000, 1_000);
    assert_eq!(is_found(&mut rhythm, last + HOUR_NS), Some(last + LIMIT_NS));
}

#[test]
fn who_promises_an_interval_is_held_to_it_after_any_number_of_outages() {
    let mut rhythm = Rhythm::default();
    let mut last = heard(&mut rhythm, 0, 1_000_000_000, 1_000);
    for _ in 0..5 {
        let found = rhythm.check(EventTime(last + 9 * HOUR_NS), Absence::NONE, LIMIT_NS, 1_000_000_000);
        assert_eq!(found, Some((EventTime(last), EventTime(last + LIMIT_NS))));
        last = heard(&mut rhythm, last + 9 * HOUR_NS, 1_000_000_000, 1_000);
    }
}

#[test]
fn a_gateway_that_was_off_waits_before_it_calls_devices_silent() {
    let mut rhythm = Rhythm::default();
    let last = heard(&mut rhythm, 0, MINUTE_NS, 20);
    let started = EventTime(last + 48 * HOUR_NS);
    // The newest message of all devices came a minute after the device's own.
    let absence = Absence { from: EventTime(last + MINUTE_NS), until: started };
    assert_eq!(rhythm.check(EventTime(started.0 + LIMIT_NS - 1), absence, LIMIT_NS, 0), None);
    let found = rhythm.check(EventTime(started.0 + LIMIT_NS), absence, LIMIT_NS, 0);
    assert_eq!(found, Some((EventTime(last), EventTime(started.0 + LIMIT_NS))));
}

#[test]
fn a_silence_is_told_with_its_beginning_and_length() {
    let found = silence_finding(EventTime(0), EventTime(LIMIT_NS));
    assert_eq!(found.summary, "nothing has come since 1970-01-01 00:00 UTC, for 15 minutes");
    assert_eq!((found.kind, found.value, found.score), ("silent", 900.0, 3.0));
}
