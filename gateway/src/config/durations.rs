//! Durations as text: one whole number and one unit, such as `"30s"`.

use std::time::Duration;

/// Largest first, so that showing picks the largest unit that fits; in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// For messages.
pub(super) const FORM: &str = "a whole number and one of ms, s, m, h, d, such as \"30s\"";

pub(super) fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_millis)
}

pub(super) fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    let fits = |factor: u64| ms.is_multiple_of(u128::from(factor));
    match UNITS.iter().find(|(_, factor)| ms > 0 && fits(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", ms / u128::from(*factor)),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_each_unit_and_shown_in_the_largest_that_fits() {
        for (text, ms, shown) in [
            ("500ms", 500, "500ms"),
            ("30s", 30_000, "30s"),
            ("600s", 600_000, "10m"),
            ("24h", 86_400_000, "1d"),
            ("7d", 604_800_000, "7d"),
            ("0s", 0, "0s"),
        ] {
            let duration = parse(text);
            assert_eq!(duration, Some(Duration::from_millis(ms)), "{text}");
            assert_eq!(duration.map(show).as_deref(), Some(shown));
        }
    }

    #[test]
    fn what_is_not_one_whole_number_and_one_unit_is_no_duration() {
        for text in
            ["", "30", "s", "30 s", "-5s", "1.5h", "1h30m", "30sec", "30S", "99999999999999999999s", "213503982335d"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
