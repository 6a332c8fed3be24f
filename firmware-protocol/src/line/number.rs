//! Field values. A reading is always a float in InfluxDB, so that a channel never changes its type.

use crate::digits::Digits;

/// Whole numbers up to here are exact in an `f64`, and written as such: many sensors count.
const WHOLE_MAX: f64 = 1e15;

/// The shortest digits that read back as the same value; `value` is finite.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    debug_assert!(value.is_finite());
    let whole = value as i64;
    if value.abs() < WHOLE_MAX && whole as f64 == value {
        out.extend_from_slice(Digits::signed(whole).as_bytes());
        return;
    }
    // JSON writes floats as line protocol reads them, exponents included, and serde_json does it quickly.
    serde_json::to_writer(out, &value).expect("writing to memory does not fail");
}

pub(super) fn integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(Digits::signed(value).as_bytes());
    out.push(b'i');
}
