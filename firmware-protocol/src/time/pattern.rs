//! Patterns for times, in the manner of `strftime`: `%d.%m.%Y %H:%M`.
//!
//! # Invariants
//! - A pattern that is taken names a whole date; what it does not name of the time of day is 0.
//! - There is no summer time: a clock is a fixed time ahead of UTC, or the text says how much.

use super::{Civil, Fault};
use crate::measurement::EventTime;

/// Longest pattern, bytes: far above any real one.
const PATTERN_MAX: usize = 64;
const NOT_OF_PATTERN: Fault = "it does not fit `time_format`";
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Two digits from here on are of the century before, as POSIX has it.
const LAST_CENTURY_FROM: i64 = 69;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Stands as it is.
    Literal(u8),
    Year,
    YearOfCentury,
    Month,
    MonthName,
    Day,
    Hour,
    HourOfHalfDay,
    HalfDay,
    Minute,
    Second,
    Fraction,
    Offset,
}

impl Part {
    fn of(letter: u8) -> Option<Self> {
        Some(match letter {
            b'Y' => Self::Year,
            b'y' => Self::YearOfCentury,
            b'm' => Self::Month,
            b'b' => Self::MonthName,
            b'd' | b'e' => Self::Day,
            b'H' => Self::Hour,
            b'I' => Self::HourOfHalfDay,
            b'p' => Self::HalfDay,
            b'M' => Self::Minute,
            b'S' => Self::Second,
            b'f' => Self::Fraction,
            b'z' => Self::Offset,
            b'%' => Self::Literal(b'%'),
            _ => return None,
        })
    }
}

/// A proven pattern. What of it is not a letter after `%` stands as it is; the letters: `%Y` year, `%y` of the century,
/// `%m` month, `%b` its English name, `%d` day, `%H` hour, `%I` with `%p` hour and am or pm, `%M` minute, `%S` second,
/// `%f` fraction of a second, `%z` offset from UTC, `%F` for `%Y-%m-%d`, `%T` for `%H:%M:%S`, `%%` for `%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_MAX {
            return Err(format!("is {} bytes long, the limit is {PATTERN_MAX}", text.len()));
        }
        let mut parts = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                parts.push(Part::Literal(byte));
                continue;
            }
            match bytes.next() {
                Some(b'F') => parts.extend(Self::new("%Y-%m-%d")?.parts),
                Some(b'T') => parts.extend([b'H', b'M', b'S'].into_iter().enumerate().flat_map(|(i, letter)| {
                    let colon = (i > 0).then_some(Part::Literal(b':'));
                    colon.into_iter().chain(Part::of(letter))
                })),
                Some(letter) => match Part::of(letter) {
                    Some(part) => parts.push(part),
                    None => return Err(format!("has %{}, which is not known", char::from(letter).escape_debug())),
                },
                None => return Err("ends in %".to_owned()),
            }
        }
        let has = |any: &[Part]| parts.iter().any(|part| any.contains(part));
        if !has(&[Part::Year, Part::YearOfCentury]) || !has(&[Part::Month, Part::MonthName]) || !has(&[Part::Day]) {
            return Err("does not name year, month and day".to_owned());
        }
        if has(&[Part::HourOfHalfDay]) != has(&[Part::HalfDay]) {
            return Err("has one of %I and %p without the other".to_owned());
        }
        Ok(Self { parts })
    }

    /// `east_s`: how far the clock is ahead of UTC if the text does not say, seconds.
    ///
    /// # Errors
    /// The text is not of this form, or no time.
    pub fn parse(&self, text: &str, east_s: i64) -> Result<EventTime, Fault> {
        let mut rest = text.trim().as_bytes();
        let mut civil = Civil { east_s, ..Civil::default() };
        let mut is_afternoon = None;
        for part in &self.parts {
            let read = match part {
                Part::Literal(byte) => rest.strip_prefix(&[*byte]).map(|after| rest = after),
                Part::Year => number(&mut rest, 4, 4).map(|n| civil.year = n),
                Part::YearOfCentury => number(&mut rest, 2, 2)
                    .map(|n| civil.year = if n < LAST_CENTURY_FROM { 2_000 + n } else { 1_900 + n }),
                Part::Month => number(&mut rest, 1, 2).map(|n| civil.month = n),
                Part::MonthName => month(&mut rest).map(|n| civil.month = n),
                Part::Day => number(&mut rest, 1, 2).map(|n| civil.day = n),
                Part::Hour => number(&mut rest, 1, 2).map(|n| civil.hour = n),
                Part::HourOfHalfDay => {
                    number(&mut rest, 1, 2).filter(|n| (1..=12).contains(n)).map(|n| civil.hour = n % 12)
                }
                Part::HalfDay => half_day(&mut rest).map(|pm| is_afternoon = Some(pm)),
                Part::Minute => number(&mut rest, 1, 2).map(|n| civil.minute = n),
                Part::Second => number(&mut rest, 1, 2).map(|n| civil.second = n),
                Part::Fraction => fraction(&mut rest).map(|n| civil.nanos = n),
                Part::Offset => offset(&mut rest).map(|n| civil.east_s = n),
            };
            read.ok_or(NOT_OF_PATTERN)?;
        }
        if !rest.is_empty() {
            return Err(NOT_OF_PATTERN);
        }
        if is_afternoon == Some(true) {
            civil.hour += 12;
        }
        civil.at()
    }
}

/// `+01:00`, `-0330` or `Z`, as seconds east of UTC.
pub fn parse_offset(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    offset(&mut rest).filter(|_| rest.is_empty())
}

fn number(rest: &mut &[u8], least: usize, most: usize) -> Option<i64> {
    let digits = rest.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    (digits >= least).then(|| number.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
}

/// One to nine digits as nanoseconds.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let before = rest.len();
    let digits = number(rest, 1, 9)?;
    Some(digits * 10_i64.pow(9 - (before - rest.len()) as u32))
}

fn month(rest: &mut &[u8]) -> Option<i64> {
    let (name, after) = rest.split_at_checked(3)?;
    *rest = after;
    let index = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month.as_bytes()))?;
    Some(index as i64 + 1)
}

/// Whether it is after noon.
fn half_day(rest: &mut &[u8]) -> Option<bool> {
    let (name, after) = rest.split_at_checked(2)?;
    *rest = after;
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    if is(b"am") || is(b"pm") { Some(is(b"pm")) } else { None }
}

fn offset(rest: &mut &[u8]) -> Option<i64> {
    let (sign, after) = rest.split_first()?;
    *rest = after;
    let sign = match sign {
        b'Z' | b'z' => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = number(rest, 2, 2)?;
    *rest = rest.strip_prefix(b":").unwrap_or(rest);
    let minutes = number(rest, 2, 2)?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::TimeUnit;
    use crate::time;

    const BERLIN_IN_WINTER_S: i64 = 3_600;

    #[test]
    fn times_of_loggers_and_spreadsheets_are_read() {
        for (pattern, text, east_s, rfc3339) in [
            ("%Y-%m-%d %H:%M:%S", "2026-03-01 12:00:05", 0, "2026-03-01T12:00:05Z"),
            ("%d.%m.%Y %H:%M", "01.03.2026 12:00", BERLIN_IN_WINTER_S, "2026-03-01T12:00:00+01:00"),
            ("%d.%m.%Y %H:%M", "1.3.2026 9:05", 0, "2026-03-01T09:05:00Z"),
            ("%m/%d/%Y %I:%M:%S %p", "3/1/2026 12:00:00 AM", 0, "2026-03-01T00:00:00Z"),
            ("%m/%d/%Y %I:%M %p", "03/01/2026 1:30 pm", -18_000, "2026-03-01T13:30:00-05:00"),
            ("%Y%m%d%H%M%S", "20260301120005", 0, "2026-03-01T12:00:05Z"),
            ("%d %b %Y", "01 Mar 2026", 0, "2026-03-01T00:00:00Z"),
            ("%d-%b-%y %T", "01-MAR-26 23:59:60", 0, "2026-03-02T00:00:00Z"),
            ("%F %T.%f", "2026-03-01 12:00:05.125", 0, "2026-03-01T12:00:05.125Z"),
            ("%FT%T%z", "2026-03-01T12:00:05+0530", 0, "2026-03-01T12:00:05+05:30"),
            ("%FT%T%z", "2026-03-01T12:00:05Z", 3_600, "2026-03-01T12:00:05Z"),
            ("%FT%T%z", " 2026-03-01T12:00:05-03:30 ", 0, "2026-03-01T12:00:05-03:30"),
            ("%y%%%m%%%d", "68%12%31", 0, "2068-12-31T00:00:00Z"),
            ("%Y-%m-%d", "2024-02-29", 0, "2024-02-29T00:00:00Z"),
        ] {
            let expected = time::from_text(rfc3339, TimeUnit::Rfc3339).unwrap();
            assert_eq!(Pattern::new(pattern).unwrap().parse(text, east_s), Ok(expected), "{pattern}: {text}");
        }
    }

    #[test]
    fn the_clock_is_the_same_time_ahead_of_utc_in_summer_and_winter() {
        let pattern = Pattern::new("%Y-%m-%d %H:%M").unwrap();
        let at = |text: &str| pattern.parse(text, BERLIN_IN_WINTER_S).unwrap().0;
        // The nights in which clocks in Berlin are put forward and back.
        for (evening, morning) in [("2026-03-28 20:00", "2026-03-29 08:00"), ("2026-10-24 20:00", "2026-10-25 08:00")] {
            assert_eq!(at(morning) - at(evening), 12 * 3_600 * 1_000_000_000);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (pattern, text) in [
            ("%Y-%m-%d %H:%M:%S", "2026-03-01 12:00"),
            ("%Y-%m-%d %H:%M", "2026-03-01 12:00:05"),
            ("%Y-%m-%d", "26-03-01"),
            ("%Y-%m-%d", "2026-02-29"),
            ("%Y-%m-%d", "2026-13-01"),
            ("%Y-%m-%d", ""),
            ("%Y-%m-%d", "äöü"),
            ("%Y-%m-%d %H", "2026-03-01 24"),
            ("%Y-%m-%d %I %p", "2026-03-01 13 pm"),
            ("%Y-%m-%d %I %p", "2026-03-01 0 am"),
            ("%Y-%m-%d %I %p", "2026-03-01 1 xm"),
            ("%d %b %Y", "01 März 2026"),
            ("%Y-%m-%d%z", "2026-03-01+24:00"),
            ("%F %T.%f", "2026-03-01 12:00:05."),
            ("%F %T.%f", "2026-03-01 12:00:05.1234567890"),
        ] {
            assert!(Pattern::new(pattern).unwrap().parse(text, 0).is_err(), "{pattern}: {text}");
        }
    }

    #[test]
    fn a_pattern_without_a_whole_date_or_with_unknown_letters_is_refused() {
        for (pattern, why) in [
            ("%H:%M", "does not name year, month and day"),
            ("%Y-%m", "does not name year, month and day"),
            ("%Y-%m-%d %Q", "has %Q"),
            ("%Y-%m-%d %", "ends in %"),
            ("%Y-%m-%d %I", "%I and %p"),
        ] {
            assert!(Pattern::new(pattern).unwrap_err().contains(why), "{pattern}");
        }
        assert!(Pattern::new(&"%Y".repeat(40)).is_err());
    }
}
