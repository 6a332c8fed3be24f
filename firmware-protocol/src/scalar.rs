//! A bare value as text: a number, `true` or `false`.

use crate::decode::DecodeError;

/// More than the longest shortest form of any `f64`, with room for white space.
const MAX_BYTES: usize = 64;

/// # Errors
/// `NotANumber` for anything else, and for what is too large for an `f64`.
pub(crate) fn parse(payload: &[u8]) -> Result<f64, DecodeError> {
    let text = payload.trim_ascii();
    match text {
        b"true" => return Ok(1.0),
        b"false" => return Ok(0.0),
        _ => {}
    }
    // Rust's parser also takes words such as `inf` and `NaN`.
    let number_like = text.iter().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if !number_like || text.len() > MAX_BYTES {
        return Err(DecodeError::NotANumber);
    }
    let value = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
    value.filter(|v: &f64| v.is_finite()).ok_or(DecodeError::NotANumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_truth_values_are_read() {
        for (text, value) in
            [("21.5", 21.5), (" -3 \n", -3.0), ("+1e3", 1_000.0), ("true", 1.0), ("false\r\n", 0.0), ("0.1", 0.1)]
        {
            assert_eq!(parse(text.as_bytes()), Ok(value), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "on", "NaN", "inf", "1e999", "1,5", "0x10", "1 2", "1.5 °C", "--1"] {
            assert_eq!(parse(text.as_bytes()), Err(DecodeError::NotANumber), "{text}");
        }
        assert_eq!(parse(&[b'1'; 65]), Err(DecodeError::NotANumber));
        assert_eq!(parse(b"\xff1"), Err(DecodeError::NotANumber));
    }
}
