//! What the received time decides about the times of readings, the same for every reader of a raw record.

use std::time::Duration;

use crate::measurement::{ClockTrust, EventTime, Measurement, Received};

/// A reading later than this has its time from a device whose clock is ahead. While the gateway's own clock is not set,
/// nothing is known to be in the future.
pub fn latest_believable(received: Received, future_max: Duration) -> EventTime {
    match received.clock {
        ClockTrust::Set => {
            let future_max = i64::try_from(future_max.as_nanos()).unwrap_or(i64::MAX);
            EventTime(received.at.0.saturating_add(future_max))
        }
        ClockTrust::Unsynchronised | ClockTrust::Estimated => EventTime(i64::MAX),
    }
}

/// Settles the times of a measurement that was just decoded, for forwarding: readings later than
/// [`latest_believable`] are moved back together, so that the newest of them has the received time and distances stay;
/// and the measurement is marked if it has the received time of a clock that was not set. Returns how many were moved.
pub fn settle_times(measurement: &mut Measurement, received: Received, future_max: Duration) -> usize {
    if measurement.uses_received_time {
        measurement.clock = received.clock;
    }
    let latest = latest_believable(received, future_max);
    let Some(newest) = measurement.readings.iter().map(|r| r.at).filter(|at| *at > latest).max() else { return 0 };
    let ahead = newest.0.saturating_sub(received.at.0);
    let mut moved = 0;
    for reading in measurement.readings.iter_mut().filter(|r| r.at > latest) {
        reading.at = EventTime(reading.at.0.saturating_sub(ahead));
        moved += 1;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::Reading;

    const HOUR: Duration = Duration::from_secs(3_600);
    const HOUR_NS: i64 = 3_600_000_000_000;
    const NOW: EventTime = EventTime(490_000 * HOUR_NS);

    fn at_hours(hours: &[i64]) -> Measurement {
        let mut m = Measurement::default();
        let channel = m.push_channel("x");
        m.readings =
            hours.iter().map(|h| Reading { channel, at: EventTime(NOW.0 + h * HOUR_NS), value: 0.0 }).collect();
        m
    }

    fn hours(m: &Measurement) -> Vec<i64> {
        m.readings.iter().map(|r| (r.at.0 - NOW.0) / HOUR_NS).collect()
    }

    #[test]
    fn readings_from_the_future_end_at_the_received_time_and_keep_their_distances() {
        let mut m = at_hours(&[5, 3, 7, 1, -2]);
        assert_eq!(settle_times(&mut m, Received::known(NOW), HOUR), 3);
        assert_eq!(hours(&m), [-2, -4, 0, 1, -2]);
    }

    #[test]
    fn nothing_is_future_to_a_gateway_whose_clock_is_not_set() {
        for clock in [ClockTrust::Unsynchronised, ClockTrust::Estimated] {
            let mut m = at_hours(&[5, 0]);
            assert_eq!(settle_times(&mut m, Received { at: NOW, clock }, HOUR), 0);
            assert_eq!(hours(&m), [5, 0]);
        }
    }

    #[test]
    fn only_what_has_the_received_time_is_marked_with_its_clock() {
        let received = Received { at: NOW, clock: ClockTrust::Unsynchronised };
        let mut m = at_hours(&[0]);
        settle_times(&mut m, received, HOUR);
        assert_eq!(m.clock, ClockTrust::Set, "the device gave the time");
        m.uses_received_time = true;
        settle_times(&mut m, received, HOUR);
        assert_eq!(m.clock, ClockTrust::Unsynchronised);
    }

    #[test]
    fn times_at_the_end_of_the_range_are_moved_without_overflow() {
        let mut m = at_hours(&[0]);
        m.readings[0].at = EventTime(i64::MAX);
        assert_eq!(settle_times(&mut m, Received::known(EventTime(i64::MIN)), HOUR), 1);
        assert_eq!(latest_believable(Received::known(EventTime(i64::MAX)), HOUR), EventTime(i64::MAX));
    }
}
