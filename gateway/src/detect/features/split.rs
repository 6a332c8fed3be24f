//! The best split of the values into two modes (Otsu's, on a histogram): duty, distance, spread, switches.

const BINS: usize = 32;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Split {
    pub(super) duty: f64,
    pub(super) separation: f64,
    pub(super) mode_std: f64,
    pub(super) switches: f64,
}

/// Of values between `min` and `max`; nothing of a constant. Works on distances from `min`, so that no offset costs digits.
pub(super) fn split(values: &[f64], min: f64, max: f64) -> Split {
    let n = values.len() as f64;
    let width = (max - min) / BINS as f64;
    if values.is_empty() || width <= 0.0 {
        return Split::default();
    }
    let mut counts = [0.0; BINS];
    let mut sums = [0.0; BINS];
    for v in values {
        let bin = (((v - min) / width) as usize).min(BINS - 1);
        counts[bin] += 1.0;
        sums[bin] += v - min;
    }

    let total: f64 = sums.iter().sum();
    let (mut below, mut below_sum) = (0.0, 0.0);
    let (mut best, mut best_bin, mut low, mut high, mut low_count) = (-1.0, 0, 0.0, 0.0, n);
    for bin in 0..BINS - 1 {
        below += counts[bin];
        below_sum += sums[bin];
        if below > 0.0 && below < n {
            let (a, b) = (below_sum / below, (total - below_sum) / (n - below));
            let between = below * (n - below) * (a - b) * (a - b);
            if between > best {
                (best, best_bin, low, high, low_count) = (between, bin, a, b, below);
            }
        }
    }

    let threshold = (best_bin + 1) as f64 * width;
    // A quarter of the distance either way: noise about the threshold is no switch.
    let margin = 0.25 * (high - low);
    let (mut within, mut switches) = (0.0, 0.0);
    let mut is_high = values[0] - min >= threshold;
    for v in values {
        let v = v - min;
        let d = v - if v >= threshold { high } else { low };
        within += d * d;
        if (is_high && v < threshold - margin) || (!is_high && v > threshold + margin) {
            is_high = !is_high;
            switches += 1.0;
        }
    }
    Split { duty: 1.0 - low_count / n, separation: high - low, mode_std: (within / n).sqrt(), switches }
}
