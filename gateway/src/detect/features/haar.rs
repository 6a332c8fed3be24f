//! How much the values move on each time scale: a Haar pyramid without filters of its own.

use crate::detect::order::trimmed_mean;

use super::trimmed_of;

pub(super) const OCTAVES: usize = 7;

/// Mean |detail| over 2, 4, … 128 samples; at most a quarter of an octave is left out, so that the two
/// edges of a pulse do not count.
/// `values` is used up; `details` and `work` are scratch.
pub(super) fn details(values: &mut [f64], details: &mut Vec<f64>, work: &mut Vec<f64>) -> [f64; OCTAVES] {
    let trimmed = trimmed_of(values.len());
    let mut length = values.len();
    let mut out = [0.0; OCTAVES];
    for octave in &mut out {
        let half = length / 2;
        if half < 2 {
            break;
        }
        details.clear();
        for i in 0..half {
            let (a, b) = (values[2 * i], values[2 * i + 1]);
            details.push((b - a).abs() * 0.5);
            values[i] = (b + a) * 0.5;
        }
        *octave = trimmed_mean(details, trimmed.min(half / 4), work);
        length = half;
    }
    out
}
