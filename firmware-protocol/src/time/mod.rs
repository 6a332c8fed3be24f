//! Event times as payloads write them: numbers of some unit since 1970, RFC 3339 text, and text of a [`Pattern`].

mod pattern;

use crate::decode::TimeUnit;
use crate::measurement::EventTime;

pub use pattern::{Pattern, parse_offset};

const NANOS_A_SECOND: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// Why a value is no time; completes "… is no event time: ".
pub type Fault = &'static str;

const OUT_OF_RANGE: Fault = "it lies before 1677 or after 2262";
const NOT_RFC3339: Fault = "expected RFC 3339, such as 2026-03-01T12:00:00.25Z";
const NOT_FINITE: Fault = "expected a finite number";
const NO_SUCH_TIME: Fault = "the calendar has no such date, or the clock no such time of day";

/// A moment as a calendar (proleptic Gregorian) and a clock show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    /// 60 is a leap second: the second after it.
    pub second: i64,
    pub nanos: i64,
    /// How far the clock is ahead of UTC, seconds.
    pub east_s: i64,
}

impl Civil {
    /// # Errors
    /// There is no such date or time of day, or it is out of range.
    pub fn at(&self) -> Result<EventTime, Fault> {
        self.event_time(self.seconds().ok_or(NO_SUCH_TIME)?)
    }

    /// Seconds since 1970, if there is such a moment.
    fn seconds(&self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second, nanos: _, east_s } = *self;
        let in_range = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..61).contains(&second);
        if !in_range {
            return None;
        }
        let at = days_from_1970(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second - east_s;
        // A leap second is inserted at the end of a UTC day alone.
        (second < 60 || at % DAY_S == 0).then_some(at)
    }

    fn event_time(&self, seconds: i64) -> Result<EventTime, Fault> {
        let nanos = seconds.checked_mul(NANOS_A_SECOND).and_then(|s| s.checked_add(self.nanos));
        nanos.map(EventTime).ok_or(OUT_OF_RANGE)
    }
}

pub(crate) fn from_integer(value: i64, unit: TimeUnit) -> Result<EventTime, Fault> {
    let nanos = nanos_of(unit, value.unsigned_abs() as f64)?;
    value.checked_mul(nanos).map(EventTime).ok_or(OUT_OF_RANGE)
}

/// Rounded to microseconds: today's date in seconds leaves a `f64` no finer digits.
///
/// # Errors
/// Not finite, out of range, or not a number by `unit`.
pub fn from_float(value: f64, unit: TimeUnit) -> Result<EventTime, Fault> {
    if !value.is_finite() {
        return Err(NOT_FINITE);
    }
    let micros = (value * (nanos_of(unit, value.abs())? as f64 / 1_000.0)).round();
    // Casting saturates, so values out of range fail in the multiplication.
    (micros as i64).checked_mul(1_000).map(EventTime).ok_or(OUT_OF_RANGE)
}

/// RFC 3339, or a number in quotes: senders in JavaScript quote what its numbers cannot hold.
///
/// # Errors
/// Neither of what `unit` allows, or out of range.
pub fn from_text(text: &str, unit: TimeUnit) -> Result<EventTime, Fault> {
    match unit {
        TimeUnit::Rfc3339 => rfc3339(text),
        TimeUnit::Auto | TimeUnit::S | TimeUnit::Ms | TimeUnit::Us | TimeUnit::Ns => match text.parse::<i64>() {
            Ok(value) => from_integer(value, unit),
            Err(_) if unit == TimeUnit::Auto => rfc3339(text),
            Err(_) => Err("expected a whole number in the configured unit"),
        },
    }
}

fn nanos_of(unit: TimeUnit, size: f64) -> Result<i64, Fault> {
    Ok(match unit {
        TimeUnit::S => NANOS_A_SECOND,
        TimeUnit::Ms => 1_000_000,
        TimeUnit::Us => 1_000,
        TimeUnit::Ns => 1,
        // 1e11 s are the year 5138, 1e11 ms are March 1973, and so on for each factor of 1000.
        TimeUnit::Auto if size < 1e11 => NANOS_A_SECOND,
        TimeUnit::Auto if size < 1e14 => 1_000_000,
        TimeUnit::Auto if size < 1e17 => 1_000,
        TimeUnit::Auto => 1,
        TimeUnit::Rfc3339 => return Err(NOT_RFC3339),
    })
}

/// Strict RFC 3339: upper or lower case `T` and `Z`, or a space for `T`; at most nine decimals; a leap second counts
/// as the second after it.
fn rfc3339(text: &str) -> Result<EventTime, Fault> {
    let civil = parse_rfc3339(text.as_bytes()).ok_or(NOT_RFC3339)?;
    civil.event_time(civil.seconds().ok_or(NOT_RFC3339)?)
}

fn parse_rfc3339(text: &[u8]) -> Option<Civil> {
    let (date, rest) = text.split_at_checked(10)?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *date else { return None };
    let year = number(&[y0, y1, y2, y3])?;
    let (month, day) = (number(&[m0, m1])?, number(&[d0, d1])?);
    let (time, rest) = rest.split_at_checked(9)?;
    let [b'T' | b't' | b' ', h0, h1, b':', i0, i1, b':', s0, s1] = *time else { return None };
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[i0, i1])?, number(&[s0, s1])?);
    let (nanos, zone) = fraction(rest)?;
    Some(Civil { year, month, day, hour, minute, second, nanos, east_s: offset(zone)? })
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// `.25Z` → 250 000 000 and `Z`.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, zone) = rest.split_at(length);
    if !(1..=9).contains(&length) {
        return None;
    }
    Some((number(digits)? * 10_i64.pow(9 - length as u32), zone))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (number(&[h0, h1])?, number(&[m0, m1])?);
            let east = hours * 3_600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if sign == b'-' { -east } else { east })
        }
        _ => None,
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days in the proleptic Gregorian calendar; years begin in March, so that the leap day is the last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (153 * month + 2) / 5;
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        from_text(text, TimeUnit::Auto).unwrap().0
    }

    #[test]
    fn rfc3339_examples_of_the_standard_are_read() {
        // The examples of RFC 3339, section 5.8; figures by `date --utc +%s%N`.
        assert_eq!(at("1985-04-12T23:20:50.52Z"), 482_196_050_520_000_000);
        assert_eq!(at("1996-12-19T16:39:57-08:00"), 851_042_397_000_000_000);
        assert_eq!(at("1990-12-31T23:59:60Z"), 662_688_000_000_000_000);
        assert_eq!(at("1990-12-31T15:59:60-08:00"), 662_688_000_000_000_000);
        assert_eq!(at("1937-01-01T12:00:27.87+00:20"), -1_041_337_172_130_000_000);
    }

    #[test]
    fn calendar_edges_are_right() {
        assert_eq!(at("1970-01-01T00:00:00Z"), 0);
        assert_eq!(at("1969-12-31 23:59:59.999999999z"), -1);
        assert_eq!(at("2000-02-29t00:00:00Z"), 951_782_400_000_000_000);
        assert_eq!(at("2024-02-29T23:59:59+23:59") - at("2024-02-28T23:59:59Z"), 60_000_000_000);
        for year in 1970..2200 {
            let days = days_from_1970(year + 1, 1, 1) - days_from_1970(year, 1, 1);
            assert_eq!(days, 365 + days_in(year, 2) - 28, "{year}");
        }
    }

    #[test]
    fn text_that_is_not_rfc3339_is_refused() {
        for text in [
            "",
            "now",
            "2026-03-01",
            "2026-03-01T12:00Z",
            "2026-03-01T12:00:00",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00.1234567890Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T12:60:00Z",
            "2026-03-01T12:00:60Z",
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00+0100",
            "2026-03-01T12:00:00Zz",
            "+026-03-01T12:00:00Z",
            "2026-03-01T12:00:00Ä",
            "1.5",
        ] {
            assert_eq!(from_text(text, TimeUnit::Rfc3339), Err(NOT_RFC3339), "{text}");
        }
        assert_eq!(from_text("9999-01-01T00:00:00Z", TimeUnit::Auto), Err(OUT_OF_RANGE));
    }

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        let expected = EventTime(1_772_366_400_000_000_000);
        for value in [1_772_366_400, 1_772_366_400_000, 1_772_366_400_000_000, 1_772_366_400_000_000_000] {
            assert_eq!(from_integer(value, TimeUnit::Auto), Ok(expected));
            assert_eq!(from_text(&value.to_string(), TimeUnit::Auto), Ok(expected));
        }
        assert_eq!(from_float(1_772_366_400.25, TimeUnit::Auto), Ok(EventTime(1_772_366_400_250_000_000)));
        assert_eq!(from_float(1_772_366_400_250.5, TimeUnit::Auto), Ok(EventTime(1_772_366_400_250_500_000)));
    }

    #[test]
    fn a_configured_unit_is_obeyed() {
        assert_eq!(from_integer(-5, TimeUnit::Ms), Ok(EventTime(-5_000_000)));
        assert_eq!(from_integer(1_772_366_400_000, TimeUnit::S), Err(OUT_OF_RANGE));
        assert_eq!(from_integer(1_772_366_400, TimeUnit::Rfc3339), Err(NOT_RFC3339));
        assert_eq!(from_integer(i64::MIN, TimeUnit::Us), Err(OUT_OF_RANGE));
        assert_eq!(from_float(f64::INFINITY, TimeUnit::S), Err(NOT_FINITE));
        assert_eq!(from_float(1e300, TimeUnit::S), Err(OUT_OF_RANGE));
        assert!(from_text("12.5", TimeUnit::S).is_err());
    }
}
