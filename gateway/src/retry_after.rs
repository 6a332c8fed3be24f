//! `Retry-After` of an HTTP answer (RFC 9110 section 10.2.3).

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The pause that an answer asks for.
pub(crate) fn of(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    parse(text(RETRY_AFTER)?, text(DATE), now)
}

/// The pause that `value` asks for: seconds, or a date. A date is held against the answer's own `Date`, so that it does not
/// matter whether this machine's clock is set; without one against `now`. A date that is past asks for no pause.
fn parse(value: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let until = at(value)?;
    let now = date.and_then(at).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn seconds_are_seconds() {
        assert_eq!(parse("60", None, NOW), Some(MINUTE));
        assert_eq!(parse(" 0 ", None, NOW), Some(Duration::ZERO));
    }

    #[test]
    fn a_date_of_any_of_the_three_forms_is_held_against_the_servers_clock() {
        let date = Some("Sun, 06 Nov 1994 08:48:37 GMT");
        for form in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(form, date, NOW), Some(MINUTE), "{form}");
        }
    }

    #[test]
    fn without_the_servers_clock_ours_counts() {
        assert_eq!(parse("Thu, 01 Jan 1970 00:01:00 GMT", None, NOW), Some(MINUTE));
        assert_eq!(parse("Thu, 01 Jan 1970 00:01:00 GMT", None, NOW + 2 * MINUTE), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_neither_asks_for_nothing() {
        for text in ["", "soon", "-1", "1.5", "Sun, 06 Nov 1994"] {
            assert_eq!(parse(text, None, NOW), None, "{text:?}");
        }
    }
}
