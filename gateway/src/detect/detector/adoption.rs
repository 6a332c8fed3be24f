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

/// The remembered week, moved to where the new windows lie, and the new windows.
fn shifted(rows: &[Row], new: &[Row], model: &Model, horizon: &Horizon) -> Vec<Row> {
    let calendar = &horizon.calendar;
    let mut week = newest_trusted(rows, 7 * horizon.adopt as usize);
    let shifts: Vec<f64> = new
        .iter()
        .filter(|r| r.features().has_level())
        .map(|r| model.shift(r.window, &r.features(), calendar))
        .collect();
    let shift = order::median(&shifts);
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
            features.0[feature as usize] = (features.get(feature) + shift) as f32;
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
