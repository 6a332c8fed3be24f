//! A benign change that has come to stay becomes the new normal.
//!
//! Alarmed windows that go on for a day and resemble each other are a new regime. If nearly all windows of the day are
//! alarmed, the remembered week is shifted to where the day lies, so that its daily shape is kept; if only a part of the
//! operation changed, the alarmed windows are learned as they are.

use crate::detect::calendar::WindowIndex;
use crate::detect::features::Feature;
use crate::detect::history::{History, Row, Standing};
use crate::detect::model::{LEVELS, LOGARITHMIC, Model};
use crate::detect::order;

use super::learning::newest_trusted;
use super::{Horizon, WindowDetector};

/// A regime is adopted by shifting the remembered week if at least this share of the last day was alarmed.
const SHARE_OF_WHOLE_REGIME: f64 = 0.8;
/// How near to its like an alarmed window must be, in standard units, to say that it recurs.
const RECURRENCE_DISTANCE_MAX: f64 = 2.5;
const RECURRENCE_RESIDUAL_MAX: f64 = 4.0;
/// A stretched day must leave this much less of what a shifted one leaves: two figures fit better than one anyway.
const STRETCH_GAIN: f64 = 0.8;
/// More than ten times as high, or as flat, is another signal.
const STRETCH_MAX: f64 = 10.0;

impl WindowDetector {
    /// Alarmed windows that go on for a day and resemble each other are a new regime.
    pub(super) fn adopt_if_it_recurs(&mut self, window: WindowIndex, history: &mut dyn History) -> bool {
        let hour = (self.horizon.adopt / 24).max(1);
        let (Some(first), Some(last)) = (self.memory.alarmed.first(), self.memory.alarmed.last()) else { return false };
        let lasts = last.0 - first.0 >= self.horizon.adopt && self.memory.alarmed.len() >= self.horizon.chronic;
        if !self.memory.alarm.is_on || window.0 % hour != 0 || !lasts {
            return false;
        }
        let Some(learned) = &self.learned else { return false };
        let yesterday = WindowIndex(window.0 - self.horizon.adopt);
        let in_last_day = self.memory.alarmed.iter().filter(|w| **w > yesterday).count();
        let is_whole = in_last_day as f64 / self.horizon.adopt as f64 >= SHARE_OF_WHOLE_REGIME;

        let rows = history.rows();
        let since = if is_whole { yesterday } else { WindowIndex(first.0 - 1) };
        let is_new = |r: &Row| r.standing == Standing::Alarmed && r.window > since;
        let new: Vec<Row> = rows.iter().copied().filter(is_new).collect();
        if !recurs(&new, &learned.model, &self.horizon) {
            return false;
        }
        let mut rows = if is_whole { shifted(&rows, &new, &learned.model, &self.horizon) } else { rows };
        for row in rows.iter_mut().filter(|r| r.standing == Standing::Alarmed && r.window > since) {
            row.standing = Standing::Trusted;
        }
        self.fit_anew(rows, history);
        self.memory.settle(window, &self.horizon);
        true
    }
}

/// Whether the later half of the windows has its like in the earlier half.
fn recurs(new: &[Row], model: &Model, horizon: &Horizon) -> bool {
    let positions: Vec<Vec<f64>> =
        new.iter().filter_map(|r| model.position(r.window, &r.features(), &horizon.calendar)).collect();
    if positions.len() < horizon.adopt as usize / 6 {
        return false;
    }
    let (earlier, later) = positions.split_at(positions.len() / 2);
    let (mut distances, mut residuals) = (Vec::new(), Vec::new());
    for position in later {
        let distance = |other: &Vec<f64>| {
            let squares: Vec<f64> = other.iter().zip(position).map(|(a, b)| (a - b) * (a - b)).collect();
            order::mean(&squares).sqrt()
        };
        let nearest =
            earlier.iter().map(|e| (distance(e), (e[0] - position[0]).abs())).min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((distance, residual)) = nearest {
            distances.push(distance);
            residuals.push(residual);
        }
    }
    order::median(&distances) <= RECURRENCE_DISTANCE_MAX && order::median(&residuals) <= RECURRENCE_RESIDUAL_MAX
}

/// How levels have changed: `offset + factor × level`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Move {
    offset: f64,
    factor: f64,
}

impl Move {
    /// From pairs of the level that was expected and the one that came: shifted, or stretched where that tells much more.
    fn between(levels: &[(f64, f64)]) -> Self {
        let differences: Vec<f64> = levels.iter().map(|(expected, level)| level - expected).collect();
        let shifted = Self { offset: order::median(&differences), factor: 1.0 };
        match Self::stretched(levels) {
            Some(stretched) if stretched.error(levels) < STRETCH_GAIN * shifted.error(levels) => stretched,
            Some(_) | None => shifted,
        }
    }

    /// By least squares; `None` if what was expected is the same all the time.
    fn stretched(levels: &[(f64, f64)]) -> Option<Self> {
        let n = levels.len().max(1) as f64;
        let (mut expected, mut level) = (0.0, 0.0);
        for (e, l) in levels {
            expected += e / n;
            level += l / n;
        }
        let (mut square, mut product) = (0.0, 0.0);
        for (e, l) in levels {
            square += (e - expected) * (e - expected);
            product += (e - expected) * (l - level);
        }
        let factor = product / square;
        let is_stretch = (1.0 / STRETCH_MAX..=STRETCH_MAX).contains(&factor);
        is_stretch.then_some(Self { offset: level - factor * expected, factor })
    }

    fn error(self, levels: &[(f64, f64)]) -> f64 {
        let errors: Vec<f64> = levels.iter().map(|(expected, level)| (level - self.of(*expected)).abs()).collect();
        order::mean(&errors)
    }

    fn of(self, level: f64) -> f64 {
        self.offset + self.factor * level
    }
}

/// The remembered week, moved to where the new windows lie, and the new windows.
fn shifted(rows: &[Row], new: &[Row], model: &Model, horizon: &Horizon) -> Vec<Row> {
    let calendar = &horizon.calendar;
    let mut week = newest_trusted(rows, 7 * horizon.adopt as usize);
    let levels: Vec<(f64, f64)> = new
        .iter()
        .filter(|r| r.features().has_level())
        .map(|r| (r, r.features().get(Feature::Mean)))
        .map(|(r, mean)| (mean - model.shift(r.window, &r.features(), calendar), mean))
        .collect();
    let moved = Move::between(&levels);
    let factors: Vec<(Feature, f64)> = LOGARITHMIC
        .into_iter()
        .chain([Feature::Impulse])
        .filter_map(|feature| {
            let epsilon = model.epsilon(feature)?;
            let middle = |rows: &[Row]| {
                let logs: Vec<f64> = rows
                    .iter()
                    .map(|r| r.features().get(feature))
                    .filter(|v| !v.is_nan())
                    .map(|v| libm::log(v + epsilon))
                    .collect();
                order::median(&logs)
            };
            Some((feature, libm::exp(middle(new) - middle(&week))))
        })
        .collect();
    for row in &mut week {
        let mut features = row.features();
        for feature in LEVELS.into_iter().chain([Feature::Median]) {
            features.0[feature as usize] = moved.of(features.get(feature)) as f32;
        }
        for (feature, factor) in &factors {
            features.0[*feature as usize] = (features.get(*feature) * factor) as f32;
        }
        row.set_features(features);
    }
    week.extend_from_slice(new);
    week.sort_by_key(|r| r.window);
    week
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day_of(level: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..144).map(|i| f64::from(i % 48)).map(|expected| (expected, level(expected))).collect()
    }

    #[test]
    fn a_counter_that_runs_faster_is_stretched_and_a_new_set_point_is_a_shift() {
        let faster = Move::between(&day_of(|level| 1.6 * level));
        assert!((faster.of(10.0) - 16.0).abs() < 1e-9, "{faster:?}");
        let shifted = Move::between(&day_of(|level| level + 5.0));
        assert_eq!((shifted.of(10.0), shifted.factor), (15.0, 1.0));
    }

    #[test]
    fn a_channel_that_is_expected_at_one_level_is_shifted() {
        let moved = Move::between(&[(5.0, 9.0), (5.0, 8.0), (5.0, 7.0)]);
        assert_eq!((moved.of(5.0), moved.factor), (8.0, 1.0));
    }
}
