//! The learned relation of a device's channels, and how far a window is from it.

use serde::{Deserialize, Serialize};

use super::super::calendar::Calendar;
use super::super::order;
use super::folds::Folds;
use super::memory::DeviceMemory;
use super::relation::{Relation, Sums, foretell};
use super::row::DeviceRow;
use super::tail::{Tail, threshold};
use super::{CHANNELS_MAX, CHANNELS_MIN};

/// Fewer windows teach no relation: 400 readings of one a second in windows of 30 s make 13.
const ROWS_MIN: usize = 12;
/// A channel that is missing in more rows than this share is not part of the relation.
const MISSING_MAX: f64 = 0.2;
/// While learning, levels are clipped to this many units, so that one storm is not the norm.
const LEARNED_UNITS_MAX: f64 = 8.0;
/// A unit is at least this share of the plain standard deviation: most values may be equal, as with a switch.
const UNIT_OF_STD_MIN: f64 = 0.2;
/// Median absolute deviation to standard deviation.
const MAD_TO_STD: f64 = 1.4826;
/// Beyond this, units and centres no longer fit f32.
const MAGNITUDE_MAX: f64 = 1e37;
/// Smaller movement, as a share of the level, is what f32 does to a constant.
const RELATIVE_MIN: f64 = 1e-6;
/// A row of the learning time is left out if a place is this many times further off than on all days but its own and
/// the two beside it, and at least this many spreads: no other day resembles it.
const OUTLIER_RATIO: f64 = 1.5;
const OUTLIER_SPREADS_MIN: f64 = 4.0;
/// If more than this share would be left out, it is the norm.
const OUTLIERS_MAX: f64 = 0.34;

/// A learned device: 12 bytes a place and 4 a pair of places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct DeviceModel {
    channels: u8,
    /// Windows it was learned from.
    rows: u32,
    places: Vec<Place>,
    correlation: Vec<f32>,
}

/// What is normal for one channel that moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    channel: u8,
    centre: f32,
    unit: f32,
    tail: Tail,
}

/// How a window looks against the relation.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::detect) struct DeviceScore {
    /// Decades above the threshold; below 0 is normal.
    pub(in crate::detect) decades: f64,
    /// The largest residual as a share of its limit.
    pub(in crate::detect) ratio: f64,
    /// Of each channel that was there, the furthest off first: one that is off pulls at what is foretold of the others,
    /// but never as far as it is off itself.
    pub(in crate::detect) contributions: Vec<Contribution>,
}

/// What one channel adds to a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::detect) struct Contribution {
    /// In the order of names.
    pub(in crate::detect) channel: usize,
    /// What the squared Mahalanobis distance loses without it, as a share of all such losses, 0 to 1.
    pub(in crate::detect) share: f64,
    /// In the unit of the channel, as the band that the other channels foretell.
    pub(in crate::detect) value: f64,
    pub(in crate::detect) expected_low: f64,
    pub(in crate::detect) expected_high: f64,
    /// Of the channel alone, above the threshold.
    pub(in crate::detect) decades: f64,
    /// Residual as a share of its limit.
    pub(super) ratio: f64,
    /// Index of the place in the model, and its distance from the learned centre in units.
    pub(super) place: usize,
    pub(super) units: f64,
}

impl DeviceModel {
    /// Learns from trusted rows in order of time. `None` if there are too few rows or fewer than two places that move.
    pub(in crate::detect) fn fit(rows: &[DeviceRow], calendar: &Calendar) -> Option<Self> {
        let channels = rows.first()?.channels();
        if !(CHANNELS_MIN..=CHANNELS_MAX).contains(&channels) || rows.len() < ROWS_MIN {
            return None;
        }
        let scales = scales(rows, channels);
        if scales.len() < CHANNELS_MIN {
            return None;
        }
        let complete: Vec<&DeviceRow> =
            rows.iter().filter(|r| scales.iter().all(|s| r.level(s.channel).is_some())).collect();
        if complete.len() < ROWS_MIN {
            return None;
        }
        let units: Vec<Vec<f64>> = complete.iter().map(|r| scales.iter().map(|s| s.units(r)).collect()).collect();
        let folds = Folds::new(&complete, calendar);
        let mut keep = vec![true; units.len()];
        let mut residuals = left_out_residuals(&units, &keep, &folds);
        if folds.are_days {
            let outliers = outliers(&residuals, &folds);
            let count = outliers.iter().filter(|o| **o).count();
            if count > 0 && count as f64 <= OUTLIERS_MAX * units.len() as f64 {
                keep = outliers.iter().map(|o| !o).collect();
                residuals = left_out_residuals(&units, &keep, &folds);
            }
        }
        let mut sums = Sums::new(scales.len());
        for (row, _) in units.iter().zip(&keep).filter(|(_, keep)| **keep) {
            sums.add(&clipped(row));
        }
        let Relation { mean, unit, correlation } = sums.relation();
        let places = scales.iter().enumerate().map(|(i, scale)| {
            let off: Vec<f64> = residuals.iter().zip(&keep).filter(|(_, k)| **k).map(|(r, _)| r[i]).collect();
            Place {
                channel: scale.channel as u8,
                centre: (scale.centre + scale.unit * mean[i]) as f32,
                unit: (scale.unit * unit[i]) as f32,
                tail: Tail::fit(&off, scales.len()),
            }
        });
        Some(Self {
            channels: channels as u8,
            rows: keep.iter().filter(|k| **k).count() as u32,
            places: places.collect(),
            correlation,
        })
    }

    /// Judges a window. `None` if it has another number of channels, or fewer than two known places.
    pub(in crate::detect) fn score(
        &self,
        row: &DeviceRow,
        memory: &DeviceMemory,
        (per_month, calendar): (f64, &Calendar),
    ) -> Option<DeviceScore> {
        if row.channels() != usize::from(self.channels) {
            return None;
        }
        let (mut present, mut units) = (Vec::new(), Vec::new());
        for (i, place) in self.places.iter().enumerate() {
            if let Some(level) = row.level(usize::from(place.channel)) {
                present.push(i);
                units.push((level - f64::from(place.centre)) / f64::from(place.unit) - memory.moved(i));
            }
        }
        if present.len() < CHANNELS_MIN {
            return None;
        }
        let threshold = threshold(per_month, calendar.day, self.places.len());
        let foretold = foretell(&self.correlation, &present, &units);
        let mut contributions = Vec::with_capacity(present.len());
        let (mut sum, mut most, mut score) = (0.0, 0.0_f64, f64::NEG_INFINITY);
        for (j, &i) in present.iter().enumerate() {
            let (place, its) = (&self.places[i], foretold[j]);
            let limit = place.tail.limit(threshold);
            let ratio = its.off.abs() / limit;
            sum += its.off * its.off;
            most = most.max(ratio);
            let decades = place.tail.decades(ratio);
            score = score.max(decades);
            let raw = |units: f64| f64::from(place.centre) + f64::from(place.unit) * (units + memory.moved(i));
            contributions.push(Contribution {
                channel: usize::from(place.channel),
                share: its.off * its.off,
                value: raw(units[j]),
                expected_low: raw(its.value - limit * its.spread),
                expected_high: raw(its.value + limit * its.spread),
                decades,
                ratio,
                place: i,
                units: units[j],
            });
        }
        for contribution in &mut contributions {
            contribution.share /= sum.max(f64::MIN_POSITIVE);
        }
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        Some(DeviceScore { decades: score, ratio: most, contributions })
    }

    /// Windows that the model was learned from.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    pub(super) fn places(&self) -> usize {
        self.places.len()
    }
}

/// Robust middle and unit of a channel, before the relation is known.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    channel: usize,
    centre: f64,
    unit: f64,
}

impl Scale {
    fn units(&self, row: &DeviceRow) -> f64 {
        row.level(self.channel).map_or(0.0, |level| (level - self.centre) / self.unit)
    }
}

/// Of all channels that are mostly there and move.
fn scales(rows: &[DeviceRow], channels: usize) -> Vec<Scale> {
    let of_channel =
        |channel: usize| {
            let values: Vec<f64> = rows.iter().filter_map(|r| r.level(channel)).collect();
            if (rows.len() - values.len()) as f64 > MISSING_MAX * rows.len() as f64 {
                return None;
            }
            let centre = order::median(&values);
            let distances: Vec<f64> = values.iter().map(|v| (v - centre).abs()).collect();
            let unit = (MAD_TO_STD * order::median(&distances)).max(UNIT_OF_STD_MIN * order::std(&values));
            let is_storable = centre.abs() < MAGNITUDE_MAX && unit < MAGNITUDE_MAX;
            (is_storable && unit > RELATIVE_MIN * centre.abs() && unit > f64::from(f32::MIN_POSITIVE))
                .then_some(Scale { channel, centre, unit })
        };
    (0..channels).filter_map(of_channel).collect()
}

fn clipped(row: &[f64]) -> Vec<f64> {
    row.iter().map(|u| u.clamp(-LEARNED_UNITS_MAX, LEARNED_UNITS_MAX)).collect()
}

/// Residuals of all rows and places, each by the relation of the kept rows of the other parts.
fn left_out_residuals(units: &[Vec<f64>], keep: &[bool], folds: &Folds) -> Vec<Vec<f64>> {
    let dims = units[0].len();
    let mut parts = vec![Sums::new(dims); folds.count];
    let mut all = Sums::new(dims);
    for (i, row) in units.iter().enumerate().filter(|(i, _)| keep[*i]) {
        let row = clipped(row);
        parts[folds.of[i]].add(&row);
        all.add(&row);
    }
    let relations: Vec<Relation> = parts.iter().map(|part| all.without(part).relation()).collect();
    let present: Vec<usize> = (0..dims).collect();
    let of_row = |(i, row): (usize, &Vec<f64>)| {
        let Relation { mean, unit, correlation } = &relations[folds.of[i]];
        let own: Vec<f64> = (0..dims).map(|j| (row[j] - mean[j]) / unit[j]).collect();
        foretell(correlation, &present, &own).iter().map(|f| f.off).collect()
    };
    units.iter().enumerate().map(of_row).collect()
}

/// Rows that no other day resembles.
fn outliers(residuals: &[Vec<f64>], folds: &Folds) -> Vec<bool> {
    let dims = residuals[0].len();
    let mut furthest = vec![vec![0.0_f64; dims]; folds.count];
    for (i, row) in residuals.iter().enumerate() {
        for (most, size) in furthest[folds.of[i]].iter_mut().zip(row) {
            *most = most.max(size.abs());
        }
    }
    let elsewhere = |part: usize, place: usize| {
        let others = furthest.iter().enumerate().filter(|(p, _)| p.abs_diff(part) > 1);
        others.fold(0.0_f64, |most, (_, day)| most.max(day[place]))
    };
    let limits: Vec<Vec<f64>> = (0..folds.count)
        .map(|part| (0..dims).map(|d| (OUTLIER_RATIO * elsewhere(part, d)).max(OUTLIER_SPREADS_MIN)).collect())
        .collect();
    residuals
        .iter()
        .enumerate()
        .map(|(i, row)| row.iter().zip(&limits[folds.of[i]]).any(|(r, l)| r.abs() > *l))
        .collect()
}
