//! All that is learned from a channel's trusted windows, and the ten scores of a window against it.
//!
//! # Invariants
//! - Scores are 0 or more; a window without the samples that a group needs scores 0 in it.
//! - Scoring allocates nothing and depends on the model and the features alone.

use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, Mode};
use super::calendar::{Calendar, WindowIndex};
use super::features::slice::Extremes;
use super::features::{Feature, Features, SHAPE_SAMPLES_MIN};
use super::groups::{Group, Scores};
use super::history::Row;
use super::mixture::{Care, Mixture};
use super::order;
use super::vibration::Vibration;

/// Features that move with the level.
pub(super) const LEVELS: [Feature; 3] = [Feature::Mean, Feature::Low, Feature::High];
/// Features that are judged by their logarithm.
pub(super) const LOGARITHMIC: [Feature; 12] = [
    Feature::Std,
    Feature::Roughness,
    Feature::Step,
    Feature::Haar2,
    Feature::Haar4,
    Feature::Haar8,
    Feature::Haar16,
    Feature::Haar32,
    Feature::Haar64,
    Feature::Haar128,
    Feature::ModeStd,
    Feature::Separation,
];
/// Of a feature vector: the levels, the residual of the mean, the logarithmic ones, duty, switches.
pub(super) const DIMS: usize = LEVELS.len() + 1 + LOGARITHMIC.len() + 2;
const RESIDUAL: usize = LEVELS.len();
const FIRST_LOGARITHMIC: usize = RESIDUAL + 1;
const DUTY: usize = FIRST_LOGARITHMIC + LOGARITHMIC.len();
const SWITCHES: usize = DUTY + 1;
/// Places of roughness and the Haar bands in the feature vector: the spectrum.
const SPECTRUM: [usize; 8] = [5, 7, 8, 9, 10, 11, 12, 13];

/// Fewer rows than this teach nothing about a channel.
const ROWS_MIN: usize = 48;
/// Vectors are clipped to this many standard units while learning, so that one storm is not the norm,
const LEARNED_UNITS_MAX: f64 = 8.0;
/// and to this many while judging, so that one channel cannot overflow.
const JUDGED_UNITS_MAX: f64 = 60.0;
/// A window this calm, in shares of the range, stays at one level.
const CALM: f64 = 0.15;
/// and its mean and median are this near to each other, in shares of the range.
const LEVEL_AGREEMENT: f64 = 0.03;
/// So many readings may be lost at any time, whatever the learning time was like.
const LOST_ALWAYS: f64 = 2.0;
/// Bands in explanations reach from the first to the last hundredth.
const BAND: (f64, f64) = (0.01, 0.99);

/// A learned channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Model {
    /// Usual readings in a window and longest time between them.
    count: f64,
    gap_s: f64,
    window_s: f64,
    /// Usual range of each feature.
    bands: [[f32; 2]; Feature::COUNT],
    level: Option<LevelModel>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LevelModel {
    /// Smallest change that matters.
    resolution: f64,
    baseline: Baseline,
    /// Range of the readings, without the rarest, and its width.
    low: f64,
    high: f64,
    span: f64,
    occupied: Occupied,
    shape: Option<Shape>,
    vibration: Option<Vibration>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shape {
    /// Added before the logarithm is taken, by place in `LOGARITHMIC`: below it nothing matters.
    epsilons: [f64; LOGARITHMIC.len()],
    impulse_epsilon: f64,
    /// Usual logarithms.
    roughness: f64,
    impulse: f64,
    step: f64,
    run: f64,
    /// Middle and unit of the feature vector.
    centre: [f64; DIMS],
    unit: [f64; DIMS],
    joint: Mixture,
    spectrum: Mixture,
}

impl Model {
    /// Learns from rows in order of time.
    pub(super) fn fit(rows: &[Row], calendar: &Calendar, care: Care) -> Self {
        let of = |feature: Feature| -> Vec<f64> { rows.iter().map(|r| r.features().get(feature)).collect() };
        let count = order::median(&of(Feature::Count));
        let gap_s = order::median(&of(Feature::Gap));
        let is_sparse = count < SHAPE_SAMPLES_MIN as f64;
        let usable: Vec<(WindowIndex, Features)> = rows
            .iter()
            .map(|r| (r.window, r.features()))
            .filter(|(_, f)| if is_sparse { f.has_level() } else { f.has_shape() })
            .collect();
        let mut bands = [[0.0; 2]; Feature::COUNT];
        for (i, band) in bands.iter_mut().enumerate() {
            let mut values: Vec<f64> =
                rows.iter().map(|r| f64::from(r.features().0[i])).filter(|v| !v.is_nan()).collect();
            values.sort_unstable_by(f64::total_cmp);
            *band = [BAND.0, BAND.1].map(|share| order::quantile_of_sorted(&values, share) as f32);
        }
        let level = (usable.len() >= ROWS_MIN).then(|| LevelModel::fit(&usable, is_sparse, calendar, care));
        Self { count, gap_s, window_s: calendar.window_s(), bands, level }
    }

    pub(super) fn scores(&self, window: WindowIndex, features: &Features, calendar: &Calendar) -> Scores {
        let mut scores = [0.0; Group::COUNT];
        let mut set = |group: Group, score: f64| scores[group as usize] = score.max(0.0) as f32;
        let lost = libm::log((self.count + 1.0) / (features.get(Feature::Count) + 1.0 + LOST_ALWAYS));
        // Ten usual intervals: a gap of a few readings is no news.
        let patience_s = 10.0 * self.window_s / self.count.max(1.0);
        let gap = libm::log((features.get(Feature::Gap) + patience_s) / (self.gap_s + patience_s));
        set(Group::Dropout, lost.max(0.25 * gap));

        let Some(level) = self.level.as_ref().filter(|l| l.can_judge(features)) else { return scores };
        let residual = level.residual(window, features, calendar);
        if level.baseline.mode != Mode::Flat {
            set(Group::Level, residual.abs());
        }
        let outside = (level.low - features.get(Feature::Low)).max(features.get(Feature::High) - level.high);
        set(Group::Range, outside / level.span);
        if level.is_calm(features) {
            set(Group::Novel, level.occupied.distance(level.bin(features.get(Feature::Mean))));
        }

        if let Some(distance) = level.vibration.as_ref().and_then(|v| v.distance(features)) {
            set(Group::Vibration, distance);
        }
        let Some(shape) = &level.shape else { return scores };
        set(Group::Stuck, libm::log(features.get(Feature::Run) + 0.02) - shape.run);
        set(Group::Spike, libm::log(features.get(Feature::Impulse) + shape.impulse_epsilon) - shape.impulse);
        set(Group::Step, shape.logarithm(Feature::Step, features) - shape.step);
        set(Group::Noise, (shape.logarithm(Feature::Roughness, features) - shape.roughness).abs());
        let z = shape.standard(&shape.vector(residual, features), JUDGED_UNITS_MAX);
        set(Group::Joint, shape.joint.distance(&z));
        set(Group::Spectrum, shape.spectrum.distance(&SPECTRUM.map(|i| z[i])));
        scores
    }

    /// Scores of the groups that part of a window can tell of. Those of impulse and step are never more than the window's.
    pub(super) fn early_scores(&self, extremes: &Extremes) -> [(Group, f64); 4] {
        let level = self.level.as_ref();
        let outside = level.map_or(0.0, |l| (l.low - extremes.median).max(extremes.median - l.high) / l.span);
        let shape = level.and_then(|l| l.shape.as_ref());
        let spike =
            shape.map_or(0.0, |s| libm::log(f64::from(extremes.impulse as f32) + s.impulse_epsilon) - s.impulse);
        let step = shape.map_or(0.0, |s| s.logarithm_of(Feature::Step, f64::from(extremes.step as f32)) - s.step);
        let vibration = level.and_then(|l| l.vibration.as_ref()).zip(extremes.within.as_ref());
        [
            (Group::Range, outside.max(0.0)),
            (Group::Spike, spike.max(0.0)),
            (Group::Step, step.max(0.0)),
            (Group::Vibration, vibration.map_or(0.0, |(vibration, within)| vibration.early(within))),
        ]
    }

    /// Usual range of a feature in this window.
    pub(super) fn band(&self, feature: Feature, window: WindowIndex, calendar: &Calendar) -> (f64, f64) {
        let [low, high] = self.bands[feature as usize].map(f64::from);
        let by_time = self.level.as_ref().filter(|l| l.baseline.mode != Mode::Flat && feature == Feature::Mean);
        by_time.map_or((low, high), |l| {
            let (expected, scale) = l.baseline.expected(window, calendar);
            (expected - 3.0 * scale, expected + 3.0 * scale)
        })
    }

    /// The feature, of those judged together, that is furthest from its middle.
    pub(super) fn furthest(&self, window: WindowIndex, features: &Features, calendar: &Calendar) -> Option<Feature> {
        let level = self.level.as_ref().filter(|l| l.can_judge(features))?;
        let shape = level.shape.as_ref()?;
        let residual = level.residual(window, features, calendar);
        let z = shape.standard(&shape.vector(residual, features), JUDGED_UNITS_MAX);
        let mut furthest = 0;
        for i in 1..DIMS {
            if z[i].abs() > z[furthest].abs() {
                furthest = i;
            }
        }
        Some(match furthest {
            0..RESIDUAL => LEVELS[furthest],
            RESIDUAL => Feature::Mean,
            FIRST_LOGARITHMIC..DUTY => LOGARITHMIC[furthest - FIRST_LOGARITHMIC],
            DUTY => Feature::Duty,
            SWITCHES.. => Feature::Switches,
        })
    }

    /// Where a window lies apart from its absolute level, in standard units, the residual first; `None` if it has too
    /// few samples.
    pub(super) fn position(&self, window: WindowIndex, features: &Features, calendar: &Calendar) -> Option<Vec<f64>> {
        let level = self.level.as_ref().filter(|l| l.can_judge(features))?;
        let residual = level.residual(window, features, calendar);
        let Some(shape) = &level.shape else { return Some(vec![residual]) };
        let z = shape.standard(&shape.vector(residual, features), f64::INFINITY);
        Some(z[RESIDUAL..].to_vec())
    }

    /// Distance of the mean from what is expected, in the channel's unit.
    pub(super) fn shift(&self, window: WindowIndex, features: &Features, calendar: &Calendar) -> f64 {
        let expected = self.level.as_ref().map(|l| l.baseline.expected(window, calendar).0);
        expected.map_or(0.0, |e| features.get(Feature::Mean) - e)
    }

    /// What is added to a feature before its logarithm is taken; `None` if it is not judged so.
    pub(super) fn epsilon(&self, feature: Feature) -> Option<f64> {
        let shape = self.level.as_ref()?.shape.as_ref()?;
        if feature == Feature::Impulse {
            return Some(shape.impulse_epsilon);
        }
        LOGARITHMIC.iter().position(|f| *f == feature).map(|i| shape.epsilons[i])
    }
}

impl LevelModel {
    fn fit(usable: &[(WindowIndex, Features)], is_sparse: bool, calendar: &Calendar, care: Care) -> Self {
        let of = |feature: Feature| -> Vec<f64> { usable.iter().map(|(_, f)| f.get(feature)).collect() };
        let windows: Vec<WindowIndex> = usable.iter().map(|(w, _)| *w).collect();
        let means = of(Feature::Mean);
        let digits: Vec<f64> = of(Feature::Digit).into_iter().filter(|d| *d > 0.0).collect();
        let roughness = if is_sparse { 0.0 } else { order::median(&of(Feature::Roughness)) };
        let resolution = roughness
            + 0.5 * order::median(&digits)
            + 0.02 * order::std(&means)
            + 2e-5 * order::median(&means).abs()
            + 1e-9;
        let (baseline, residuals) = Baseline::fit(&windows, &means, resolution, calendar);
        let low = order::quantile(&of(Feature::Low), 0.003);
        let high = order::quantile(&of(Feature::High), 0.997);
        let span = (high - low).max(6.0 * resolution);
        let mut level =
            Self { resolution, baseline, low, high, span, occupied: Occupied::default(), shape: None, vibration: None };
        let calm = usable.iter().filter(|(_, f)| level.is_calm(f));
        let bins: Vec<i64> = calm.map(|(_, f)| level.bin(f.get(Feature::Mean))).collect();
        level.occupied = Occupied::of(&bins);
        if !is_sparse {
            level.shape = Some(Shape::fit(usable, &residuals, resolution, care));
            level.vibration = Vibration::fit(usable.iter().map(|(_, f)| f), ROWS_MIN, care);
        }
        level
    }

    fn can_judge(&self, features: &Features) -> bool {
        if self.shape.is_some() { features.has_shape() } else { features.has_level() }
    }

    /// The window stays at one level within the range.
    fn is_calm(&self, features: &Features) -> bool {
        let middle = features.get(Feature::Median);
        features.get(Feature::Std) < CALM * self.span
            && (features.get(Feature::Mean) - middle).abs() < LEVEL_AGREEMENT * self.span
            && (self.low..=self.high).contains(&features.get(Feature::Mean))
    }

    fn residual(&self, window: WindowIndex, features: &Features, calendar: &Calendar) -> f64 {
        self.baseline.residual(window, features.get(Feature::Mean), calendar)
    }

    fn bin(&self, mean: f64) -> i64 {
        ((mean - self.low) / self.span * 64.0).clamp(Occupied::FIRST as f64, Occupied::LAST as f64) as i64
    }
}

impl Shape {
    fn fit(usable: &[(WindowIndex, Features)], residuals: &[f64], resolution: f64, care: Care) -> Self {
        let median_of =
            |f: &dyn Fn(&Features) -> f64| order::median(&usable.iter().map(|(_, x)| f(x)).collect::<Vec<_>>());
        let epsilon = |feature: Feature| 0.1 * median_of(&|x| x.get(feature)) + 0.1 * resolution;
        let nothing = Mixture::fit(&[], DIMS, Care::Quick);
        let mut shape = Self {
            epsilons: LOGARITHMIC.map(epsilon),
            impulse_epsilon: epsilon(Feature::Impulse),
            roughness: 0.0,
            impulse: 0.0,
            step: 0.0,
            run: libm::log(median_of(&|x| x.get(Feature::Run)) + 0.02),
            centre: [0.0; DIMS],
            unit: [1.0; DIMS],
            joint: nothing.clone(),
            spectrum: nothing,
        };
        shape.roughness = median_of(&|x| shape.logarithm(Feature::Roughness, x));
        shape.impulse = median_of(&|x| libm::log(x.get(Feature::Impulse) + shape.impulse_epsilon));
        shape.step = median_of(&|x| shape.logarithm(Feature::Step, x));

        let vectors: Vec<[f64; DIMS]> = usable
            .iter()
            .zip(residuals)
            .map(|((_, f), r)| shape.vector(r.clamp(-LEARNED_UNITS_MAX, LEARNED_UNITS_MAX), f))
            .collect();
        for i in 0..DIMS {
            let column: Vec<f64> = vectors.iter().map(|v| v[i]).collect();
            let centre = order::median(&column);
            let off: Vec<f64> = column.iter().map(|v| (v - centre).abs()).collect();
            shape.centre[i] = centre;
            shape.unit[i] = (1.4826 * order::median(&off)).max(0.3 * order::std(&column)).max(unit_min(i, resolution));
        }
        let z: Vec<[f64; DIMS]> = vectors.iter().map(|v| shape.standard(v, LEARNED_UNITS_MAX)).collect();
        let spectra: Vec<f64> = z.iter().flat_map(|z| SPECTRUM.map(|i| z[i])).collect();
        shape.joint = Mixture::fit(&z.concat(), DIMS, care);
        shape.spectrum = Mixture::fit(&spectra, SPECTRUM.len(), care);
        shape
    }

    fn logarithm(&self, feature: Feature, features: &Features) -> f64 {
        self.logarithm_of(feature, features.get(feature))
    }

    fn logarithm_of(&self, feature: Feature, value: f64) -> f64 {
        let place = LOGARITHMIC.iter().position(|f| *f == feature).expect("called with features of that list");
        libm::log(value + self.epsilons[place])
    }

    fn vector(&self, residual: f64, features: &Features) -> [f64; DIMS] {
        let mut vector = [0.0; DIMS];
        for (place, feature) in vector.iter_mut().zip(LEVELS) {
            *place = features.get(feature);
        }
        vector[RESIDUAL] = residual;
        for (i, feature) in LOGARITHMIC.into_iter().enumerate() {
            vector[FIRST_LOGARITHMIC + i] = libm::log(features.get(feature) + self.epsilons[i]);
        }
        vector[DUTY] = features.get(Feature::Duty);
        vector[SWITCHES] = libm::log1p(features.get(Feature::Switches));
        vector
    }

    fn standard(&self, vector: &[f64; DIMS], units_max: f64) -> [f64; DIMS] {
        let mut z = [0.0; DIMS];
        for i in 0..DIMS {
            z[i] = ((vector[i] - self.centre[i]) / self.unit[i]).clamp(-units_max, units_max);
        }
        z
    }
}

/// The least that counts as one unit, however calm the learning time was.
fn unit_min(place: usize, resolution: f64) -> f64 {
    match place {
        0..RESIDUAL => 2.0 * resolution,
        RESIDUAL => 0.5,
        FIRST_LOGARITHMIC..DUTY => 0.05,
        DUTY => 0.02,
        SWITCHES.. => 0.15,
    }
}

/// Levels at which calm windows were seen: 64 bins over the range, as many below it and above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Occupied {
    bins: [u64; 3],
    /// Whether the lowest and the highest are levels where the channel often rests, and not the ends of a wandering.
    is_level: [bool; 2],
}

impl Occupied {
    const FIRST: i64 = -64;
    const LAST: i64 = 127;
    /// An end with this share of the calm windows within three bins is a level.
    const LEVEL_SHARE: f64 = 0.05;

    /// Of the bins of all calm windows.
    fn of(bins: &[i64]) -> Self {
        let mut occupied = Self::default();
        let (Some(lowest), Some(highest)) = (bins.iter().min(), bins.iter().max()) else { return occupied };
        for bin in bins {
            let place = (bin - Self::FIRST) as usize;
            occupied.bins[place / 64] |= 1 << (place % 64);
        }
        occupied.is_level = [*lowest, *highest].map(|end| {
            let near = bins.iter().filter(|b| (**b - end).abs() < 3).count();
            near as f64 >= Self::LEVEL_SHARE * bins.len() as f64
        });
        occupied
    }

    fn contains(&self, bin: i64) -> bool {
        let place = (bin - Self::FIRST) as usize;
        self.bins[place / 64] >> (place % 64) & 1 == 1
    }

    /// Of a bin to the nearest occupied one, in shares of the range; 0 beyond an end that is no level.
    fn distance(&self, bin: i64) -> f64 {
        let below = (Self::FIRST..=bin).rev().find(|b| self.contains(*b)).map(|b| bin - b);
        let above = (bin..=Self::LAST).find(|b| self.contains(*b)).map(|b| b - bin);
        let bins = match (below, above) {
            (Some(below), Some(above)) => below.min(above),
            (None, Some(beyond)) if self.is_level[0] => beyond,
            (Some(beyond), None) if self.is_level[1] => beyond,
            (Some(_), None) | (None, Some(_)) | (None, None) => 0,
        };
        bins as f64 / 64.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spectrum_is_roughness_and_the_haar_bands() {
        let named: Vec<Feature> = SPECTRUM.iter().map(|i| LOGARITHMIC[i - FIRST_LOGARITHMIC]).collect();
        assert_eq!(named[0], Feature::Roughness);
        assert_eq!(named[1..], Feature::HAAR);
    }

    #[test]
    fn an_empty_map_of_levels_finds_nothing_novel() {
        assert_eq!(Occupied::default().distance(5), 0.0);
    }

    #[test]
    fn a_gap_between_levels_and_what_lies_beyond_a_level_are_novel_and_the_end_of_a_wandering_is_not() {
        let levels = Occupied::of(&[vec![0; 50], vec![40; 50]].concat());
        assert_eq!([0, 20, 40, 56].map(|bin| levels.distance(bin)), [0.0, 0.3125, 0.0, 0.25]);
        let wandering: Vec<i64> = (0..64).collect();
        assert_eq!([-10, 30, 80].map(|bin| Occupied::of(&wandering).distance(bin)), [0.0; 3]);
    }
}
