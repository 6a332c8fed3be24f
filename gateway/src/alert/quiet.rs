//! Quiet hours: spans of the day in which only the worst is told at once.

use std::fmt;
use std::str::FromStr;

use firmware_protocol::derived::Severity;
use firmware_protocol::measurement::EventTime;

const DAY_S: i64 = 86_400;

/// Spans of each day, by a clock that is ahead of UTC by a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    pub spans: Vec<Span>,
    /// What is at least as bad is told all the same.
    pub loud: Severity,
    /// How far the clock is ahead of UTC, seconds.
    pub east_s: i64,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { spans: Vec::new(), loud: Severity::Critical, east_s: 0 }
    }
}

impl Quiet {
    pub(super) fn is_at(&self, at: EventTime) -> bool {
        let second = (at.0.div_euclid(1_000_000_000) + self.east_s).rem_euclid(DAY_S);
        let minute = (second / 60) as u16;
        self.spans.iter().any(|span| span.has(minute))
    }
}

/// `22:00-06:00`: from the first minute on, up to and without the last; over midnight if that comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: u16,
    to: u16,
}

impl Span {
    fn has(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("holds {text:?}, which is no span of the day");
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
        if from == to {
            return Err(format!("holds {text:?}, which is either never or always"));
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// Of the day, by `HH:MM`; `24:00` is its end.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && (hour < 24 || (hour, minute) == (24, 0))).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(quiet: &Quiet, hour: i64, minute: i64) -> bool {
        quiet.is_at(EventTime((20_000 * DAY_S + hour * 3_600 + minute * 60) * 1_000_000_000))
    }

    #[test]
    fn a_span_over_midnight_is_quiet_on_both_sides_of_it() {
        let quiet = Quiet { spans: vec!["22:00-06:00".parse().unwrap()], ..Quiet::default() };
        let told = [(21, 59), (22, 0), (0, 0), (5, 59), (6, 0), (12, 0)].map(|(h, m)| at(&quiet, h, m));
        assert_eq!(told, [false, true, true, true, false, false]);
    }

    #[test]
    fn the_clock_on_the_wall_counts() {
        let quiet = Quiet { spans: vec!["12:00-13:30".parse().unwrap()], east_s: 2 * 3_600, ..Quiet::default() };
        assert_eq!([(9, 59), (10, 0), (11, 29), (11, 30)].map(|(h, m)| at(&quiet, h, m)), [false, true, true, false]);
        assert!(!at(&Quiet::default(), 3, 0), "without spans nothing is quiet");
    }

    #[test]
    fn spans_are_hours_and_minutes() {
        for text in ["", "22-06", "22:00", "22:00-25:00", "22:60-23:00", "1:00-2:00", "22:00-22:00", "+1:00-02:00"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!("18:30-24:00".parse::<Span>().unwrap().to_string(), "18:30-24:00");
    }
}
