//! How the time of a row is written.

use std::fmt;

use firmware_protocol::decode::TimeUnit;
use firmware_protocol::measurement::EventTime;
use firmware_protocol::time::{self, Fault, Pattern, parse_offset};

/// Decoders take a number of microseconds for one from here on: 3 March 1973.
const MICROS_MIN: i64 = 100_000_000_000_000;
const NANOS_A_MICRO: i64 = 1_000;
const TOO_OLD: Fault = "it lies before March 1973: the clock of the logger was not set";
const NO_ZONE: Fault = "name its form with `time_format`, such as %Y-%m-%d %H:%M:%S, and its clock with `utc_offset`";

const UNITS: [(&str, TimeUnit); 6] = [
    ("auto", TimeUnit::Auto),
    ("s", TimeUnit::S),
    ("ms", TimeUnit::Ms),
    ("us", TimeUnit::Us),
    ("ns", TimeUnit::Ns),
    ("rfc3339", TimeUnit::Rfc3339),
];

/// `auto`, a unit of numbers, `rfc3339`, or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat {
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Unit(TimeUnit),
    Pattern(Pattern),
}

impl Default for TimeFormat {
    fn default() -> Self {
        Self { text: "auto".to_owned(), kind: Kind::Unit(TimeUnit::Auto) }
    }
}

impl TimeFormat {
    pub(super) fn is_pattern(&self) -> bool {
        matches!(self.kind, Kind::Pattern(_))
    }

    /// Microseconds since 1970.
    ///
    /// # Errors
    /// Why the text is no time.
    pub(super) fn micros(&self, text: &str, offset: UtcOffset) -> Result<i64, Fault> {
        let at = self.event_time(text.trim(), offset)?;
        let micros = at.0.div_euclid(NANOS_A_MICRO);
        if micros < MICROS_MIN { Err(TOO_OLD) } else { Ok(micros) }
    }

    fn event_time(&self, text: &str, offset: UtcOffset) -> Result<EventTime, Fault> {
        let unit = match &self.kind {
            Kind::Pattern(pattern) => return pattern.parse(text, offset.east_s()),
            Kind::Unit(unit) => *unit,
        };
        let has_fraction = text.contains('.') && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
        if has_fraction && unit != TimeUnit::Rfc3339 {
            return time::from_float(text.parse().unwrap_or(f64::NAN), unit);
        }
        let at = time::from_text(text, unit);
        let is_date = text.len() >= 8 && text.bytes().any(|b| matches!(b, b'-' | b'/' | b'.' | b':'));
        if at.is_err() && unit == TimeUnit::Auto && is_date { Err(NO_ZONE) } else { at }
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = match UNITS.iter().find(|(name, _)| *name == text) {
            Some((_, unit)) => Kind::Unit(*unit),
            None if text.contains('%') => Kind::Pattern(Pattern::new(text)?),
            None => {
                return Err("is none of auto, s, ms, us, ns, rfc3339, and no pattern such as %Y-%m-%d %H:%M:%S".into());
            }
        };
        Ok(Self { text: text.to_owned(), kind })
    }
}

/// How far the clock that wrote the times is ahead of UTC, all year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset(i64);

impl UtcOffset {
    /// Seconds.
    pub fn east_s(self) -> i64 {
        self.0
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, minutes) = (if self.0 < 0 { '-' } else { '+' }, self.0.abs() / 60);
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl std::str::FromStr for UtcOffset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // In a query a plus sign is a space.
        let text = text.strip_prefix(' ').map_or_else(|| text.to_owned(), |rest| format!("+{rest}"));
        parse_offset(&text).map(Self).ok_or_else(|| "is no offset from UTC such as +01:00".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(format: &str, text: &str) -> Result<i64, Fault> {
        format.parse::<TimeFormat>().unwrap().micros(text, UtcOffset::default())
    }

    #[test]
    fn numbers_of_each_unit_and_rfc3339_are_told_apart_by_themselves() {
        for text in [
            "1772366400",
            "1772366400000",
            "1772366400000000",
            "1772366400000000000",
            "1772366400.000",
            "2026-03-01T12:00:00Z",
            "2026-03-01 13:00:00+01:00",
        ] {
            assert_eq!(micros("auto", text), Ok(1_772_366_400_000_000), "{text}");
        }
        assert_eq!(micros("ms", "1772366400250"), Ok(1_772_366_400_250_000));
        assert_eq!(micros("s", "1772366400.25"), Ok(1_772_366_400_250_000));
        assert_eq!(micros("ns", "1772366400000000999"), Ok(1_772_366_400_000_000));
    }

    #[test]
    fn a_time_without_a_zone_is_not_guessed_but_asked_for() {
        assert_eq!(micros("auto", "2026-03-01 12:00:00"), Err(NO_ZONE));
        assert_eq!(micros("auto", "01.03.2026 12:00"), Err(NO_ZONE));
        assert_eq!(micros("%Y-%m-%d %H:%M:%S", "2026-03-01 12:00:00"), Ok(1_772_366_400_000_000));
    }

    #[test]
    fn what_was_written_before_the_clock_was_set_is_refused() {
        for text in ["0", "300", "1970-01-01T00:05:00Z", "-5"] {
            assert_eq!(micros("auto", text), Err(TOO_OLD), "{text}");
        }
        assert!(micros("auto", "").is_err() && micros("s", "1.2.3").is_err() && micros("auto", "now").is_err());
    }

    #[test]
    fn offsets_are_shown_as_they_are_written() {
        for text in ["+00:00", "+01:00", "-03:30"] {
            assert_eq!(text.parse::<UtcOffset>().unwrap().to_string(), text);
        }
        assert_eq!(" 01:00".parse::<UtcOffset>().unwrap().to_string(), "+01:00");
        assert!("Berlin".parse::<UtcOffset>().is_err() && "+25:00".parse::<UtcOffset>().is_err());
    }
}
