//! What usually happens within the seconds of a fast channel, and how far a window is from it.

use serde::{Deserialize, Serialize};

use super::features::slice::Within;
use super::features::{Feature, Features};
use super::mixture::{Care, Mixture};
use super::order;

const DIMS: usize = Feature::HIGH_RATE.len();
/// A twentieth more or less is no news, however calm the learning time was.
const UNIT_MIN: f64 = 0.05;
/// Clipped while learning and while judging, in standard units, as all other figures are.
const LEARNED_UNITS_MAX: f64 = 8.0;
const JUDGED_UNITS_MAX: f64 = 60.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Vibration {
    /// Added before logarithms are taken: a tenth of what is usual.
    epsilons: [f64; DIMS],
    centre: [f64; DIMS],
    unit: [f64; DIMS],
    mixture: Mixture,
}

impl Vibration {
    /// Learns from windows in order of time; `None` if fewer than `rows_min` were of seconds.
    pub(super) fn fit<'a>(windows: impl Iterator<Item = &'a Features>, rows_min: usize, care: Care) -> Option<Self> {
        let windows: Vec<&Features> = windows.filter(|f| f.has_high_rate()).collect();
        if windows.len() < rows_min {
            return None;
        }
        let of = |feature: Feature| -> Vec<f64> { windows.iter().map(|f| f.get(feature)).collect() };
        let epsilons = Feature::HIGH_RATE.map(|feature| 0.1 * order::median(&of(feature)) + f64::MIN_POSITIVE);
        let vectors: Vec<[f64; DIMS]> = windows.iter().filter_map(|f| f.high_rate_logarithms(&epsilons)).collect();
        let (mut centre, mut unit) = ([0.0; DIMS], [UNIT_MIN; DIMS]);
        for i in 0..DIMS {
            let column: Vec<f64> = vectors.iter().map(|v| v[i]).collect();
            centre[i] = order::median(&column);
            let off: Vec<f64> = column.iter().map(|v| (v - centre[i]).abs()).collect();
            unit[i] = (1.4826 * order::median(&off)).max(0.3 * order::std(&column)).max(UNIT_MIN);
        }
        let mut vibration = Self { epsilons, centre, unit, mixture: Mixture::fit(&[], DIMS, Care::Quick) };
        let z: Vec<f64> = vectors.iter().flat_map(|v| vibration.standard(v, LEARNED_UNITS_MAX)).collect();
        vibration.mixture = Mixture::fit(&z, DIMS, care);
        Some(vibration)
    }

    /// Distance per figure from what is usual; `None` for a window that is not of seconds.
    pub(super) fn distance(&self, features: &Features) -> Option<f64> {
        let vector = features.high_rate_logarithms(&self.epsilons)?;
        Some(self.mixture.distance(&self.standard(&vector, JUDGED_UNITS_MAX)))
    }

    /// Of part of a window: how far its strongest second lies above what is usual. Never below 0.
    pub(super) fn early(&self, within: &Within) -> f64 {
        let above = |feature: Feature, value: f64| {
            let i = feature as usize - Feature::Rms as usize;
            let units = (libm::log(value + self.epsilons[i]) - self.centre[i]) / self.unit[i];
            units.clamp(0.0, JUDGED_UNITS_MAX)
        };
        let (burst, range) = (above(Feature::Burst, within.burst), above(Feature::PeakToPeak, within.peak_to_peak));
        ((burst * burst + range * range) / DIMS as f64).sqrt()
    }

    fn standard(&self, vector: &[f64; DIMS], units_max: f64) -> [f64; DIMS] {
        std::array::from_fn(|i| ((vector[i] - self.centre[i]) / self.unit[i]).clamp(-units_max, units_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(i: usize, rms: f64) -> Features {
        let mut features = Features([f32::NAN; Feature::COUNT]);
        for (place, feature) in Feature::HIGH_RATE.into_iter().enumerate() {
            let wobble = ((i * 7_919 + place * 104_729) % 101) as f64 / 1_000.0;
            features.0[feature as usize] = (rms * (1.0 + wobble)) as f32;
        }
        features
    }

    #[test]
    fn twice_the_vibration_is_far_from_what_was_learned() {
        let windows: Vec<Features> = (0..200).map(|i| window(i, 0.5)).collect();
        let vibration = Vibration::fit(windows.iter(), 48, Care::Thorough).expect("enough windows");
        assert!(vibration.distance(&window(500, 0.5)).expect("of seconds") < 2.0);
        assert!(vibration.distance(&window(500, 1.0)).expect("of seconds") > 5.0);
        assert_eq!(vibration.distance(&Features([f32::NAN; Feature::COUNT])), None);
    }

    #[test]
    fn a_slow_channel_has_no_vibration() {
        let windows = [Features([f32::NAN; Feature::COUNT]); 100];
        assert_eq!(Vibration::fit(windows.iter(), 48, Care::Thorough), None);
    }
}
