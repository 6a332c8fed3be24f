//! A cell as a JSON value: a number with the digits that the file has, true or false.

/// What separates the whole part from the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decimal {
    #[default]
    Point,
    Comma,
}

/// What a cell was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// A number, true or false: written.
    Value,
    /// Nothing, or one of the words for it.
    Missing,
    Text,
}

/// Longer texts are read as a number first: what is copied must not overflow one.
const COPIED_MAX_BYTES: usize = 40;

/// Words of loggers and spreadsheets for "no value".
const MISSING: [&str; 8] = ["nan", "na", "n/a", "null", "none", "nil", "-", "--"];

/// Appends the cell to `out`, if it is a value.
pub(super) fn write(cell: &str, decimal: Decimal, out: &mut Vec<u8>) -> Cell {
    let cell = cell.trim();
    if cell.is_empty() {
        return Cell::Missing;
    }
    if is_plain(cell.as_bytes(), decimal) {
        out.extend(cell.bytes().map(|b| if b == b',' { b'.' } else { b }));
        return Cell::Value;
    }
    let is = |word: &str| cell.eq_ignore_ascii_case(word);
    if let Some(word) = ["true", "false"].into_iter().find(|word| is(word)) {
        out.extend_from_slice(word.as_bytes());
        return Cell::Value;
    }
    match parse(cell, decimal) {
        Some(number) => {
            out.extend_from_slice(serde_json::Value::from(number).to_string().as_bytes());
            Cell::Value
        }
        None if MISSING.into_iter().any(is) => Cell::Missing,
        None => Cell::Text,
    }
}

/// The cell as a number: true is 1, false 0. `Err` says what it is instead.
pub(super) fn value(cell: &str, decimal: Decimal) -> Result<f64, Cell> {
    let cell = cell.trim();
    let is = |word: &str| cell.eq_ignore_ascii_case(word);
    match parse(cell, decimal) {
        Some(number) => Ok(number),
        None if is("true") => Ok(1.0),
        None if is("false") => Ok(0.0),
        None if cell.is_empty() || MISSING.into_iter().any(is) => Err(Cell::Missing),
        None => Err(Cell::Text),
    }
}

/// A short number without exponent that JSON writes the same way: nearly all are.
fn is_plain(text: &[u8], decimal: Decimal) -> bool {
    let separator = match decimal {
        Decimal::Point => b'.',
        Decimal::Comma => b',',
    };
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let mut parts = digits.splitn(2, |b| *b == separator);
    let whole = parts.next().unwrap_or_default();
    let are_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    text.len() <= COPIED_MAX_BYTES
        && are_digits(whole)
        && (whole.len() == 1 || whole[0] != b'0')
        && parts.next().is_none_or(are_digits)
}

/// A finite number in decimal digits, with a sign and an exponent if need be.
fn parse(text: &str, decimal: Decimal) -> Option<f64> {
    let allowed = |b: u8| match b {
        b'0'..=b'9' | b'+' | b'-' | b'e' | b'E' => true,
        b'.' => decimal == Decimal::Point,
        b',' => decimal == Decimal::Comma,
        _ => false,
    };
    if !text.bytes().all(allowed) {
        return None;
    }
    let number = match decimal {
        Decimal::Point => text.parse::<f64>(),
        Decimal::Comma => text.replace(',', ".").parse(),
    };
    number.ok().filter(|n| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cell: &str, decimal: Decimal) -> (Cell, String) {
        let mut out = Vec::new();
        let what = write(cell, decimal, &mut out);
        (what, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_number_keeps_the_digits_of_the_file_where_json_allows_them() {
        for (cell, json) in [
            ("0", "0"),
            ("-0.50", "-0.50"),
            (" 21.5\t", "21.5"),
            ("12345678901234567890.25", "12345678901234567890.25"),
            ("007", "7.0"),
            ("+5", "5.0"),
            (".5", "0.5"),
            ("5.", "5.0"),
            ("1e3", "1000.0"),
            ("-2.5E-3", "-0.0025"),
            ("TRUE", "true"),
            ("false", "false"),
        ] {
            assert_eq!(written(cell, Decimal::Point), (Cell::Value, json.to_owned()), "{cell}");
        }
    }

    #[test]
    fn with_a_decimal_comma_a_point_is_no_number() {
        assert_eq!(written("21,50", Decimal::Comma), (Cell::Value, "21.50".to_owned()));
        assert_eq!(written("-1,5e2", Decimal::Comma), (Cell::Value, "-150.0".to_owned()));
        for (cell, decimal) in [("21.5", Decimal::Comma), ("1.234,5", Decimal::Comma), ("21,5", Decimal::Point)] {
            assert_eq!(written(cell, decimal), (Cell::Text, String::new()), "{cell}");
        }
    }

    #[test]
    fn words_for_nothing_are_missing_and_all_else_is_text() {
        for cell in ["", "  ", "NaN", "n/a", "NULL", "-"] {
            assert_eq!(written(cell, Decimal::Point), (Cell::Missing, String::new()), "{cell}");
        }
        for cell in ["ok", "inf", "-Infinity", "1e999", "1.2.3", "0x10", "12 °C", "1_000", "e5", "+"] {
            assert_eq!(written(cell, Decimal::Point), (Cell::Text, String::new()), "{cell}");
        }
    }

    #[test]
    fn all_that_is_written_is_json() {
        for cell in ["-0", "00", "1e-400", "99999999999999999999999999999999999999999999999", "-.5", "0,5"] {
            for decimal in [Decimal::Point, Decimal::Comma] {
                let (what, json) = written(cell, decimal);
                let parsed = serde_json::from_str::<f64>(&json);
                assert_eq!(parsed.is_ok(), what == Cell::Value, "{cell}: {json}");
            }
        }
    }
}
