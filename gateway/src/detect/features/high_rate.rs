//! What happens within the seconds of a channel of many readings a second: vibration, sound, current.
//!
//! Power and bands leave out the seconds with the most, as the slow figures do, so that one knock does not count as noise;
//! crest, peak to peak and burst are about those seconds.

use firmware_protocol::derived::Stats;

use crate::detect::order::trimmed_mean;

use super::second::{BANDS, Second};
use super::{Feature, trimmed_of};

/// The figures in the order of [`Feature::HIGH_RATE`]; in the channel's unit, but for crest, a ratio.
pub(super) fn figures(
    seconds: &[Second],
    powers: &mut Vec<f64>,
    work: &mut Vec<f64>,
) -> [f64; Feature::HIGH_RATE.len()] {
    let trimmed = if seconds.len() > 1 { trimmed_of(seconds.len()) } else { 0 };
    let mut usual = |power: &dyn Fn(&Second) -> f64| {
        powers.clear();
        powers.extend(seconds.iter().map(power));
        trimmed_mean(powers, trimmed, work).sqrt()
    };
    let rms = usual(&Second::power);
    let bands: [f64; BANDS] = std::array::from_fn(|band| usual(&|s| s.band_power(band)));
    let (mut peak, mut peak_to_peak, mut burst) = (0.0_f64, 0.0_f64, 0.0_f64);
    for second in seconds {
        peak = peak.max(second.peak());
        peak_to_peak = peak_to_peak.max(second.peak_to_peak());
        burst = burst.max(second.deviation());
    }
    let crest = if rms > 0.0 { peak / rms } else { 0.0 };
    [rms, crest, peak_to_peak, burst, bands[0], bands[1], bands[2], bands[3]]
}

/// Figures of all readings in place of those of the seconds' means; the quantiles stay those of the means.
pub(super) fn stats(of_means: Stats, seconds: &[Second]) -> Stats {
    let (mut count, mut off, mut min, mut max) = (0.0, 0.0, of_means.min, of_means.max);
    for second in seconds {
        let n = f64::from(second.count);
        count += n;
        off += n * (second.mean - of_means.mean);
        min = min.min(second.min());
        max = max.max(second.max());
    }
    if count == 0.0 {
        return of_means;
    }
    let mean = of_means.mean + off / count;
    let mut square = 0.0;
    for second in seconds {
        let apart = second.mean - mean;
        square += f64::from(second.count) * (second.power() + apart * apart);
    }
    Stats { mean, min, max, std: (square / count).sqrt(), ..of_means }
}

#[cfg(test)]
mod tests {
    use firmware_protocol::measurement::EventTime;

    use super::super::{Nature, Sample, Scratch, Series, Summary, summarise};
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;
    const RATE: i64 = 200;

    /// Ten minutes at 200 Hz.
    fn summary_of(value: impl Fn(i64) -> f64) -> (Summary, Vec<f64>) {
        let values: Vec<f64> = (0..600 * RATE).map(value).collect();
        let samples: Vec<Sample> = (0..600 * RATE)
            .zip(&values)
            .map(|(i, value)| Sample { at: EventTime(i * SECOND_NS / RATE), value: *value })
            .collect();
        let mut work = Vec::new();
        let seconds: Vec<Second> = samples
            .chunks(RATE as usize)
            .map(|s| Second::fold(s, RATE as u32, &mut work).expect("not empty"))
            .collect();
        let span = (EventTime(0), EventTime(600 * SECOND_NS));
        let count = values.len() as u32;
        (summarise(Series::Seconds(&seconds), count, span, Nature::Level, &mut Scratch::default()), values)
    }

    fn vibration(i: i64) -> f64 {
        let phase = |period: f64| libm::sin(i as f64 * std::f64::consts::TAU / period);
        20.0 + phase(25.0) + 0.3 * phase(3.0) + 0.1 * ((i * 7_919) % 1_009) as f64 / 1_009.0
    }

    fn figures_of(value: impl Fn(i64) -> f64) -> Vec<f64> {
        let (summary, _) = summary_of(value);
        Feature::HIGH_RATE.map(|f| summary.features.get(f)).to_vec()
    }

    #[test]
    fn the_record_tells_mean_deviation_and_extremes_of_all_readings() {
        let (summary, values) = summary_of(|i| vibration(i) + if i > 60_000 { 3.0 } else { 0.0 });
        let stats = summary.stats.unwrap();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
        assert!((stats.mean - mean).abs() < 1e-9 && (stats.std - std).abs() < 1e-6, "{stats:?}");
        assert!((stats.min - values.iter().copied().fold(f64::MAX, f64::min)).abs() < 1e-6);
        assert!((stats.max - values.iter().copied().fold(f64::MIN, f64::max)).abs() < 1e-6);
        assert_eq!(summary.features.get(Feature::Count), n);
        assert_eq!(summary.gap_s, 0.0);
    }

    #[test]
    fn twice_the_vibration_is_twice_every_figure_but_the_crest() {
        let (one, two) = (figures_of(vibration), figures_of(|i| 2.0 * vibration(i)));
        for (place, feature) in Feature::HIGH_RATE.into_iter().enumerate() {
            let factor = if feature == Feature::Crest { 1.0 } else { 2.0 };
            assert!((two[place] / one[place] / factor - 1.0).abs() < 1e-5, "{}", feature.name());
        }
    }

    #[test]
    fn a_knock_raises_crest_and_peak_and_is_no_noise() {
        let (calm, knocked) =
            (figures_of(vibration), figures_of(|i| vibration(i) + if i == 50_000 { 20.0 } else { 0.0 }));
        let of = |figures: &[f64], feature: Feature| figures[feature as usize - Feature::Rms as usize];
        assert!(of(&knocked, Feature::Crest) > 5.0 * of(&calm, Feature::Crest));
        assert!(of(&knocked, Feature::PeakToPeak) > 5.0 * of(&calm, Feature::PeakToPeak));
        for quiet in [Feature::Rms, Feature::Band4, Feature::Band16, Feature::Band64] {
            assert!((of(&knocked, quiet) / of(&calm, quiet) - 1.0).abs() < 0.02, "{}", quiet.name());
        }
    }

    #[test]
    fn another_tone_of_the_same_strength_moves_from_band_to_band() {
        let tone = |period: f64| figures_of(move |i| libm::sin(i as f64 * std::f64::consts::TAU / period));
        let (slow, fast) = (tone(25.0), tone(5.0));
        assert!((slow[0] / fast[0] - 1.0).abs() < 0.01, "of one strength");
        assert!(slow[5] > 1.5 * slow[4] && fast[4] > 1.5 * fast[5], "{slow:?} {fast:?}");
    }

    #[test]
    fn a_dead_sensor_has_no_movement_and_no_figure_that_is_not_a_number() {
        assert_eq!(figures_of(|_| 0.1), [0.0; 8]);
    }

    #[test]
    fn a_window_without_seconds_has_count_and_gap_alone() {
        let span = (EventTime(0), EventTime(600 * SECOND_NS));
        let summary = summarise(Series::Seconds(&[]), 0, span, Nature::Level, &mut Scratch::default());
        assert_eq!((summary.gap_s, summary.stats), (600.0, None));
        assert!(!summary.features.has_high_rate() && !summary.features.has_level());
    }

    #[test]
    fn one_second_has_figures_of_itself() {
        let sample = |i: i64| Sample { at: EventTime(i * SECOND_NS / RATE), value: vibration(i) };
        let samples: Vec<Sample> = (0..RATE).map(sample).collect();
        let second = Second::fold(&samples, RATE as u32, &mut Vec::new()).unwrap();
        let span = (EventTime(0), EventTime(600 * SECOND_NS));
        let summary = summarise(Series::Seconds(&[second]), RATE as u32, span, Nature::Level, &mut Scratch::default());
        assert!(summary.features.get(Feature::Rms) > 0.5 && !summary.features.has_shape());
        assert_eq!(summary.gap_s, 599.0);
    }
}
