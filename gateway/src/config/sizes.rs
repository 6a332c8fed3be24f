//! Sizes as text: one whole number and one unit, such as `"256KiB"` or `"1MB"`.

use super::values::Size;

/// Largest first, so that showing picks the largest unit that fits.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// For messages.
pub(super) const FORM: &str = "a whole number and one of B, KB, MB, GB, KiB, MiB, GiB, such as \"256KiB\"";

pub(super) fn parse(text: &str) -> Option<Size> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor).map(Size)
}

pub(super) fn show(Size(bytes): Size) -> String {
    match UNITS.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => "0B".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_each_unit_and_shown_in_the_largest_that_fits() {
        for (text, bytes, shown) in [
            ("100B", 100, "100B"),
            ("256KiB", 262_144, "256KiB"),
            ("1024KiB", 1_048_576, "1MiB"),
            ("64MiB", 67_108_864, "64MiB"),
            ("1MB", 1_000_000, "1MB"),
            ("2GiB", 2_147_483_648, "2GiB"),
            ("0B", 0, "0B"),
        ] {
            let size = parse(text);
            assert_eq!(size, Some(Size(bytes)), "{text}");
            assert_eq!(size.map(show).as_deref(), Some(shown));
        }
    }

    #[test]
    fn what_is_not_one_whole_number_and_one_unit_is_no_size() {
        for text in
            ["", "1", "MiB", "1 MiB", "-1B", "1.5MiB", "1mib", "1Mb", "1K", "18446744073709551616B", "17179869185GiB"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
