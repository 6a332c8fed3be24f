//! Names and places of a window's figures.

use serde::{Deserialize, Serialize};

/// Names the figures; `as usize` is the place in [`Features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub(in crate::detect) enum Feature {
    /// Readings in the window.
    Count = 0,
    /// Longest time without a reading, seconds.
    Gap = 1,
    /// Longest run of one value, as a share of the samples.
    Run = 2,
    Median = 3,
    /// 5 % quantile.
    Low = 4,
    /// 95 % quantile.
    High = 5,
    Std = 6,
    /// Mean difference of neighbours, the largest fiftieth left out.
    Roughness = 7,
    /// Largest distance of a sample from the running median of 7, the window's first and last sample left out: one to
    /// three samples stand out, steps do not.
    Impulse = 8,
    /// Largest difference of two running medians 7 apart.
    Step = 9,
    /// Mean detail of the Haar pyramid over 2, 4, … 128 samples, the largest left out.
    Haar2 = 10,
    Haar4 = 11,
    Haar8 = 12,
    Haar16 = 13,
    Haar32 = 14,
    Haar64 = 15,
    Haar128 = 16,
    /// Share of samples in the upper of two modes.
    Duty = 17,
    /// Distance of the two modes.
    Separation = 18,
    /// Spread within the modes.
    ModeStd = 19,
    /// Changes from one mode to the other.
    Switches = 20,
    Mean = 21,
    /// Smallest difference of neighbours that is not 0: the resolution of the sensor.
    Digit = 22,
    /// Largest difference of neighbours.
    Jump = 23,
    /// Movement within a second, root of the mean square, the largest fiftieth of the seconds left out.
    Rms = 24,
    /// Largest distance of a reading from its second's mean, over `Rms`.
    Crest = 25,
    /// Largest distance of two readings of one second.
    PeakToPeak = 26,
    /// Movement within the second that moved most.
    Burst = 27,
    /// Parts of `Rms` by octaves of 2 and 4 samples,
    Band4 = 28,
    /// of 8 and 16,
    Band16 = 29,
    /// of 32 and 64,
    Band64 = 30,
    /// and of 128 and more.
    Band256 = 31,
}

impl Feature {
    pub(in crate::detect) const COUNT: usize = Self::ALL.len();
    /// By place.
    pub(in crate::detect) const ALL: [Self; 32] = [
        Self::Count,
        Self::Gap,
        Self::Run,
        Self::Median,
        Self::Low,
        Self::High,
        Self::Std,
        Self::Roughness,
        Self::Impulse,
        Self::Step,
        Self::Haar2,
        Self::Haar4,
        Self::Haar8,
        Self::Haar16,
        Self::Haar32,
        Self::Haar64,
        Self::Haar128,
        Self::Duty,
        Self::Separation,
        Self::ModeStd,
        Self::Switches,
        Self::Mean,
        Self::Digit,
        Self::Jump,
        Self::Rms,
        Self::Crest,
        Self::PeakToPeak,
        Self::Burst,
        Self::Band4,
        Self::Band16,
        Self::Band64,
        Self::Band256,
    ];
    pub(in crate::detect) const HAAR: [Self; 7] =
        [Self::Haar2, Self::Haar4, Self::Haar8, Self::Haar16, Self::Haar32, Self::Haar64, Self::Haar128];
    /// The last places: NaN for a window whose readings were kept.
    pub(in crate::detect) const HIGH_RATE: [Self; 8] =
        [Self::Rms, Self::Crest, Self::PeakToPeak, Self::Burst, Self::Band4, Self::Band16, Self::Band64, Self::Band256];

    pub(in crate::detect) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Gap => "gap",
            Self::Run => "run",
            Self::Median => "median",
            Self::Low => "low",
            Self::High => "high",
            Self::Std => "std",
            Self::Roughness => "roughness",
            Self::Impulse => "impulse",
            Self::Step => "step",
            Self::Haar2 => "haar_2",
            Self::Haar4 => "haar_4",
            Self::Haar8 => "haar_8",
            Self::Haar16 => "haar_16",
            Self::Haar32 => "haar_32",
            Self::Haar64 => "haar_64",
            Self::Haar128 => "haar_128",
            Self::Duty => "duty",
            Self::Separation => "separation",
            Self::ModeStd => "mode_std",
            Self::Switches => "switches",
            Self::Mean => "mean",
            Self::Digit => "digit",
            Self::Jump => "jump",
            Self::Rms => "rms",
            Self::Crest => "crest",
            Self::PeakToPeak => "peak_to_peak",
            Self::Burst => "burst",
            Self::Band4 => "band_4",
            Self::Band16 => "band_16",
            Self::Band64 => "band_64",
            Self::Band256 => "band_256",
        }
    }
}

/// The figures of one window; f32 because rows of them are kept for weeks and judged exactly as they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub(in crate::detect) struct Features(pub(in crate::detect) [f32; Feature::COUNT]);

impl Features {
    pub(in crate::detect) fn get(&self, feature: Feature) -> f64 {
        f64::from(self.0[feature as usize])
    }

    /// Whether the window had enough samples for the figures of shape.
    pub(in crate::detect) fn has_shape(&self) -> bool {
        !self.0[Feature::Run as usize].is_nan()
    }

    /// Whether the window was one of seconds, with figures of what happened within them.
    pub(in crate::detect) fn has_high_rate(&self) -> bool {
        !self.0[Feature::Rms as usize].is_nan()
    }

    /// Logarithms of the figures in [`Feature::HIGH_RATE`] after `epsilons` are added; `None` for a window without them.
    pub(in crate::detect) fn high_rate_logarithms(
        &self,
        epsilons: &[f64; Feature::HIGH_RATE.len()],
    ) -> Option<[f64; Feature::HIGH_RATE.len()]> {
        self.has_high_rate().then(|| std::array::from_fn(|i| libm::log(self.get(Feature::HIGH_RATE[i]) + epsilons[i])))
    }

    pub(in crate::detect) fn has_level(&self) -> bool {
        !self.0[Feature::Mean as usize].is_nan()
    }
}

/// As saved: slow channels fill no store with NaN.
#[derive(Serialize, Deserialize)]
struct Saved {
    slow: [f32; Feature::COUNT - Feature::HIGH_RATE.len()],
    high_rate: Option<[f32; Feature::HIGH_RATE.len()]>,
}

impl From<Saved> for Features {
    fn from(saved: Saved) -> Self {
        let mut features = [f32::NAN; Feature::COUNT];
        let (slow, high_rate) = features.split_at_mut(saved.slow.len());
        slow.copy_from_slice(&saved.slow);
        if let Some(saved) = saved.high_rate {
            high_rate.copy_from_slice(&saved);
        }
        Self(features)
    }
}

impl From<Features> for Saved {
    fn from(features: Features) -> Self {
        let mut slow = [0.0; Feature::COUNT - Feature::HIGH_RATE.len()];
        for (place, figure) in slow.iter_mut().zip(features.0) {
            *place = figure;
        }
        let high_rate = Feature::HIGH_RATE.map(|f| features.0[f as usize]);
        Self { slow, high_rate: features.has_high_rate().then_some(high_rate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_stands_at_its_place_under_a_name_of_its_own() {
        for (place, feature) in Feature::ALL.into_iter().enumerate() {
            assert_eq!(feature as usize, place);
            assert_eq!(Feature::ALL.iter().filter(|f| f.name() == feature.name()).count(), 1);
        }
        assert_eq!(Feature::ALL[Feature::COUNT - Feature::HIGH_RATE.len()..], Feature::HIGH_RATE);
    }

    #[test]
    fn a_window_of_kept_readings_has_no_figures_of_seconds() {
        let mut features = Features([1.0; Feature::COUNT]);
        assert_eq!(features.high_rate_logarithms(&[0.0; 8]), Some([0.0; 8]));
        features.0[Feature::Rms as usize] = f32::NAN;
        assert_eq!(features.high_rate_logarithms(&[0.0; 8]), None);
    }

    #[test]
    fn features_come_back_from_the_store_with_and_without_figures_of_seconds() {
        let mut features = Features(std::array::from_fn(|i| i as f32));
        let saved = postcard::to_stdvec(&features).unwrap();
        assert_eq!(postcard::from_bytes::<Features>(&saved), Ok(features));
        for place in Feature::HIGH_RATE {
            features.0[place as usize] = f32::NAN;
        }
        let slow = postcard::to_stdvec(&features).unwrap();
        let bits = |f: &Features| f.0.map(f32::to_bits);
        assert_eq!(bits(&postcard::from_bytes(&slow).unwrap()), bits(&features));
        assert_eq!(saved.len() - slow.len(), 4 * Feature::HIGH_RATE.len());
    }
}
