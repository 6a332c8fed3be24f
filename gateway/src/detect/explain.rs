//! Why a window alarmed, in words: the kind, the feature that deviates most, its value and the band that was expected.

use firmware_protocol::measurement::EventTime;

use super::calendar::{Calendar, WindowIndex};
use super::features::slice::Extremes;
use super::features::{Feature, Features};
use super::groups::Group;
use super::model::Model;

/// What was found in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) group: Group,
    pub(super) feature: Feature,
    pub(super) value: f64,
    pub(super) expected_low: f64,
    pub(super) expected_high: f64,
    /// Of the score, by this kind of deviation, 0 to 1.
    pub(super) share: f64,
}

impl Finding {
    pub(super) fn new(
        group: Group,
        model: &Model,
        window: WindowIndex,
        features: &Features,
        calendar: &Calendar,
        share: f64,
    ) -> Self {
        let excess = |feature: &Feature| {
            let (low, high) = model.band(*feature, window, calendar);
            let value = features.get(*feature);
            let width = (high - low).max(1e-3 * high.abs()).max(f64::MIN_POSITIVE);
            (low - value).max(value - high) / width
        };
        let furthest = matches!(group, Group::Joint | Group::Lasting)
            .then(|| model.furthest(window, features, calendar))
            .flatten();
        let suspects = furthest.map_or_else(|| suspects(group).to_vec(), |f| vec![f]);
        let feature = suspects
            .into_iter()
            .filter(|f| !features.get(*f).is_nan())
            .max_by(|a, b| excess(a).total_cmp(&excess(b)))
            .unwrap_or(Feature::Count);
        let (expected_low, expected_high) = model.band(feature, window, calendar);
        Self { group, feature, value: features.get(feature), expected_low, expected_high, share }
    }

    /// Of part of a window.
    pub(super) fn early(
        group: Group,
        model: &Model,
        window: WindowIndex,
        extremes: &Extremes,
        calendar: &Calendar,
    ) -> Self {
        let Extremes { impulse, step, median, .. } = *extremes;
        let above = |feature: Feature| median > model.band(feature, window, calendar).1;
        let (feature, value) = match group {
            Group::Spike => (Feature::Impulse, impulse),
            Group::Step => (Feature::Step, step),
            Group::Vibration => (Feature::Burst, extremes.within.unwrap_or_default().burst),
            Group::Dropout
            | Group::Stuck
            | Group::Noise
            | Group::Level
            | Group::Range
            | Group::Spectrum
            | Group::Joint
            | Group::Novel
            | Group::Lasting => (if above(Feature::High) { Feature::High } else { Feature::Low }, median),
        };
        let (expected_low, expected_high) = model.band(feature, window, calendar);
        Self { group, feature, value, expected_low, expected_high, share: 1.0 }
    }

    /// One sentence for a person.
    pub(super) fn sentence(&self, channel: &str, (start_at, end_at): (EventTime, EventTime)) -> String {
        let what = match self.group {
            Group::Dropout => "readings are missing",
            Group::Stuck => "one value repeats for too long",
            Group::Spike => "a few readings stand out from their neighbours",
            Group::Step => "the level jumps",
            Group::Noise if self.value < self.expected_low => "neighbouring readings differ too little",
            Group::Noise => "neighbouring readings differ too much",
            Group::Level => "the mean is off what this time of day had",
            Group::Range => "readings leave the range seen so far",
            Group::Spectrum => "fast and slow movement are not in their usual proportion",
            Group::Joint => "the figures of the window do not go together as they used to",
            Group::Novel => "it rests at a level where it never did before",
            Group::Lasting => "small deviations last",
            Group::Vibration => "what happens within seconds is unusual",
        };
        let (value, low, high) = (self.value, self.expected_low, self.expected_high);
        let (figure, expected) = if self.feature == Feature::Gap {
            (seconds(value), band(&seconds(low), &seconds(high)))
        } else if self.feature == Feature::Run {
            let percent = |share: f64| number(100.0 * share);
            (format!("{} % of the readings", percent(value)), format!("{} %", band(&percent(low), &percent(high))))
        } else {
            (number(value), band(&number(low), &number(high)))
        };
        let figure = format!("{} {figure}", described(self.feature));
        let length = seconds((end_at.0 - start_at.0) as f64 / 1e9);
        format!("{channel}: {what} in the {length} from {}: {figure}, expected {expected}", time_of_day(start_at))
    }
}

/// The features that a group looks at.
fn suspects(group: Group) -> &'static [Feature] {
    match group {
        Group::Dropout => &[Feature::Count, Feature::Gap],
        Group::Stuck => &[Feature::Run],
        Group::Spike => &[Feature::Impulse],
        Group::Step => &[Feature::Step],
        Group::Noise => &[Feature::Roughness],
        Group::Level | Group::Joint | Group::Novel | Group::Lasting => &[Feature::Mean],
        Group::Range => &[Feature::Low, Feature::High],
        Group::Vibration => &Feature::HIGH_RATE,
        Group::Spectrum => &[
            Feature::Roughness,
            Feature::Haar2,
            Feature::Haar4,
            Feature::Haar8,
            Feature::Haar16,
            Feature::Haar32,
            Feature::Haar64,
            Feature::Haar128,
        ],
    }
}

fn described(feature: Feature) -> &'static str {
    match feature {
        Feature::Count => "number of readings",
        Feature::Gap => "longest time without a reading",
        Feature::Run => "longest run of one value",
        Feature::Median => "median",
        Feature::Low => "5 % quantile",
        Feature::High => "95 % quantile",
        Feature::Std => "standard deviation",
        Feature::Roughness => "mean difference of neighbours",
        Feature::Impulse => "largest impulse",
        Feature::Step => "largest step",
        Feature::Haar2 => "movement over 2 readings",
        Feature::Haar4 => "movement over 4 readings",
        Feature::Haar8 => "movement over 8 readings",
        Feature::Haar16 => "movement over 16 readings",
        Feature::Haar32 => "movement over 32 readings",
        Feature::Haar64 => "movement over 64 readings",
        Feature::Haar128 => "movement over 128 readings",
        Feature::Duty => "share of the upper mode",
        Feature::Separation => "distance of the two modes",
        Feature::ModeStd => "spread within the modes",
        Feature::Switches => "changes between the modes",
        Feature::Mean => "mean",
        Feature::Digit => "smallest difference",
        Feature::Jump => "largest difference of neighbours",
        Feature::Rms => "vibration",
        Feature::Crest => "largest peak as a multiple of the vibration",
        Feature::PeakToPeak => "largest range within a second",
        Feature::Burst => "vibration of the strongest second",
        Feature::Band4 => "vibration over 2 to 4 readings",
        Feature::Band16 => "vibration over 8 to 16 readings",
        Feature::Band64 => "vibration over 32 to 64 readings",
        Feature::Band256 => "vibration over 128 readings and more",
    }
}

/// Four significant digits, without an exponent for everyday sizes.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits_before = if size >= 1.0 { libm::log10(size).floor() as usize + 1 } else { 1 };
    let text = format!("{value:.*}", if size >= 1.0 { 4_usize.saturating_sub(digits_before) } else { 4 });
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// From here to there, or the one value that both are.
fn band(low: &str, high: &str) -> String {
    if low == high { low.to_owned() } else { format!("{low} to {high}") }
}

fn seconds(value: f64) -> String {
    let whole = value.round();
    if value >= 120.0 && whole % 60.0 == 0.0 {
        return format!("{} minutes", number(whole / 60.0));
    }
    let text = number(value);
    let unit = if text == "1" { "second" } else { "seconds" };
    format!("{text} {unit}")
}

fn time_of_day(at: EventTime) -> String {
    let second = at.0.div_euclid(1_000_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_channel_kind_figure_and_band_with_units_of_time() {
        let finding = Finding {
            group: Group::Dropout,
            feature: Feature::Gap,
            value: 432.0,
            expected_low: 1.0,
            expected_high: 3.5,
            share: 1.0,
        };
        let start_at = EventTime::from_millis(13 * 3_600_000 + 20 * 60_000);
        let text = finding.sentence("current", (start_at, EventTime(start_at.0 + 600_000_000_000)));
        assert_eq!(
            text,
            "current: readings are missing in the 10 minutes from 13:20:00 UTC: \
             longest time without a reading 432 seconds, expected 1 second to 3.5 seconds"
        );
    }

    #[test]
    fn a_band_of_one_value_is_that_value() {
        assert_eq!(band(&seconds(5.0), &seconds(5.0)), "5 seconds");
        assert_eq!(band(&seconds(1.0), &seconds(120.0)), "1 second to 2 minutes");
    }

    #[test]
    fn numbers_have_four_digits_and_no_trailing_zeros() {
        assert_eq!(
            ["0", "0.05", "2.719", "1234", "-20.5"],
            [0.0, 0.05, 2.718_9, 1234.4, -20.5].map(number).each_ref().map(String::as_str)
        );
        assert_eq!(number(1.5e9), "1.500e9");
    }
}
