//! The level that is expected at a time: the same always, by time of day, or by time of day and day type.
//!
//! Which of the three is decided by the error on days left out; the finer ones must be clearly better.

use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, WindowIndex};
use super::order;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Mode {
    /// One level for all times.
    Flat,
    TimeOfDay,
    /// Time of day, weekends apart from workdays.
    DayType,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Flat, Self::TimeOfDay, Self::DayType];

    /// A finer baseline must beat a coarser one by this much.
    fn handicap(self) -> f64 {
        match self {
            Self::Flat => 1.0,
            Self::TimeOfDay => 1.1,
            Self::DayType => 1.15,
        }
    }
}

/// Share of windows that must have another day to compare with, for a mode to be considered.
const COVERED_MIN: f64 = 0.5;
/// Workdays and weekends are told apart only if it tells this share of all days better.
const BETTER_DAYS_MIN: f64 = 0.8;
/// The spread of all slots counts as this many windows in each.
const PRIOR_WINDOWS: f64 = 12.0;
/// Shift edges wander: a slot is at least this much as wide as its neighbours.
const NEIGHBOUR_SHARE: f64 = 0.6;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    pub(super) mode: Mode,
    /// Expected level by slot, workdays then weekends; NaN where nothing was seen.
    levels: Vec<f32>,
    /// What a residual is measured in, by slot.
    scales: Vec<f32>,
    /// For slots without a level.
    fallback: f64,
}

/// One mode's levels and the residuals that it leaves on days left out (NaN: no other day).
struct Candidate {
    mode: Mode,
    levels: Vec<f64>,
    residuals: Vec<f64>,
    error: f64,
}

impl Baseline {
    /// Learns from levels at windows in order of time; gives the residuals on days left out, in units of the scale.
    pub(super) fn fit(
        windows: &[WindowIndex],
        levels: &[f64],
        resolution: f64,
        calendar: &Calendar,
    ) -> (Self, Vec<f64>) {
        let mut best: Option<Candidate> = None;
        for mode in Mode::ALL {
            let candidate = Candidate::of(mode, windows, levels, calendar);
            let is_better =
                |b: &Candidate| candidate.error < b.error && candidate.is_better_by_day(b, windows, calendar);
            if best.as_ref().is_none_or(is_better) {
                best = Some(candidate);
            }
        }
        let Candidate { mode, levels, residuals, .. } = best.expect("there is at least the flat mode");
        let residuals: Vec<f64> = residuals.iter().map(|r| if r.is_nan() { 0.0 } else { *r }).collect();
        let scales = scales(mode, windows, &residuals, resolution, calendar);
        let known: Vec<f64> = levels.iter().copied().filter(|l| !l.is_nan()).collect();
        let baseline = Self {
            mode,
            levels: levels.iter().map(|l| *l as f32).collect(),
            scales: scales.iter().map(|s| *s as f32).collect(),
            fallback: order::mean(&known),
        };
        let scaled = residuals
            .iter()
            .zip(windows)
            .map(|(r, w)| r / f64::from(baseline.scales[slot(mode, *w, calendar)]))
            .collect();
        (baseline, scaled)
    }

    /// Distance of `level` from what is expected in this window, in units of the scale there.
    pub(super) fn residual(&self, window: WindowIndex, level: f64, calendar: &Calendar) -> f64 {
        let (expected, scale) = self.expected(window, calendar);
        (level - expected) / scale
    }

    /// Expected level and scale.
    pub(super) fn expected(&self, window: WindowIndex, calendar: &Calendar) -> (f64, f64) {
        let slot = slot(self.mode, window, calendar);
        let level = f64::from(self.levels[slot]);
        (if level.is_nan() { self.fallback } else { level }, f64::from(self.scales[slot]))
    }
}

impl Candidate {
    fn of(mode: Mode, windows: &[WindowIndex], levels: &[f64], calendar: &Calendar) -> Self {
        let slots = 2 * calendar.slots as usize;
        // Per slot the means of its days, in order: (day, sum, windows).
        let mut days: Vec<Vec<(i64, f64, f64)>> = vec![Vec::new(); slots];
        for (window, level) in windows.iter().zip(levels) {
            let (slot, day) = (&mut days[slot(mode, *window, calendar)], calendar.day_of(*window));
            match slot.last_mut() {
                Some(last) if last.0 == day => {
                    last.1 += level;
                    last.2 += 1.0;
                }
                Some(_) | None => slot.push((day, *level, 1.0)),
            }
        }
        let sums: Vec<f64> = days.iter().map(|d| d.iter().map(|(_, sum, n)| sum / n).sum()).collect();
        let expected =
            days.iter().zip(&sums).map(|(d, sum)| if d.is_empty() { f64::NAN } else { sum / d.len() as f64 });
        let expected: Vec<f64> = expected.collect();

        let mut residuals = Vec::with_capacity(levels.len());
        for (window, level) in windows.iter().zip(levels) {
            let key = slot(mode, *window, calendar);
            let others = days[key].len() - 1;
            let day = calendar.day_of(*window);
            let own = days[key].binary_search_by_key(&day, |d| d.0).map_or(0.0, |i| days[key][i].1 / days[key][i].2);
            residuals.push(match (others, mode) {
                // A single day has no other to compare with: the flat mode is then measured on itself.
                (0, Mode::Flat) => level - expected[key],
                (0, Mode::TimeOfDay | Mode::DayType) => f64::NAN,
                (_, _) => level - (sums[key] - own) / others as f64,
            });
        }
        let days = errors_by_day(windows, &residuals, calendar);
        let covered = residuals.iter().filter(|r| !r.is_nan()).count();
        let enough = covered as f64 >= COVERED_MIN * residuals.len() as f64;
        let errors: Vec<f64> = days.iter().map(|(_, error)| *error).collect();
        let error = if enough { order::mean(&errors) * mode.handicap() } else { f64::INFINITY };
        Self { mode, levels: expected, residuals, error }
    }

    /// Whether nearly every day is told better than by `other`: two days that happen to be alike make no weekend.
    fn is_better_by_day(&self, other: &Self, windows: &[WindowIndex], calendar: &Calendar) -> bool {
        if self.mode != Mode::DayType {
            return true;
        }
        let others = errors_by_day(windows, &other.residuals, calendar);
        let (mut days, mut better) = (0.0, 0.0);
        for (day, own) in errors_by_day(windows, &self.residuals, calendar) {
            if let Ok(i) = others.binary_search_by_key(&day, |(day, _)| *day) {
                days += 1.0;
                better += if own < others[i].1 { 1.0 } else { 0.0 };
            }
        }
        better >= BETTER_DAYS_MIN * days
    }
}

/// Root of the mean square of each day's known residuals: means are best by that measure, also where most windows are at
/// rest, and a day of storms counts once.
fn errors_by_day(windows: &[WindowIndex], residuals: &[f64], calendar: &Calendar) -> Vec<(i64, f64)> {
    let mut days: Vec<(i64, f64, f64)> = Vec::new();
    for (window, residual) in windows.iter().zip(residuals).filter(|(_, r)| !r.is_nan()) {
        let day = calendar.day_of(*window);
        match days.last_mut() {
            Some(last) if last.0 == day => {
                last.1 += residual * residual;
                last.2 += 1.0;
            }
            Some(_) | None => days.push((day, residual * residual, 1.0)),
        }
    }
    days.into_iter().map(|(day, squares, windows)| (day, (squares / windows).sqrt())).collect()
}

fn slot(mode: Mode, window: WindowIndex, calendar: &Calendar) -> usize {
    match mode {
        Mode::Flat => 0,
        Mode::TimeOfDay => calendar.slot_of(window),
        Mode::DayType => calendar.slot_of(window) + calendar.slots as usize * usize::from(calendar.is_weekend(window)),
    }
}

fn scales(mode: Mode, windows: &[WindowIndex], residuals: &[f64], resolution: f64, calendar: &Calendar) -> Vec<f64> {
    let slots = calendar.slots as usize;
    let sizes: Vec<f64> = residuals.iter().map(|r| r.abs()).collect();
    let typical = 0.5 * order::median(&sizes) + 0.5 * order::mean(&sizes);
    let mut squares = vec![(0.0, 0.0); 2 * slots];
    for (window, residual) in windows.iter().zip(residuals) {
        let of_slot = &mut squares[slot(mode, *window, calendar)];
        of_slot.0 += residual * residual;
        of_slot.1 += 1.0;
    }
    let own: Vec<f64> = squares
        .iter()
        .map(|(sum, n)| {
            if *n == 0.0 {
                return typical + resolution;
            }
            ((sum + PRIOR_WINDOWS * typical * typical) / (n + PRIOR_WINDOWS)).sqrt() + resolution
        })
        .collect();
    (0..2 * slots)
        .map(|i| {
            let (day_type, at) = (i / slots * slots, i % slots);
            let before = own[day_type + (at + slots - 1) % slots];
            let after = own[day_type + (at + 1) % slots];
            own[i].max(NEIGHBOUR_SHARE * before.max(after))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn calendar() -> Calendar {
        Calendar::new(Duration::from_secs(600))
    }

    fn learn(days: i64, level: impl Fn(i64, i64) -> f64) -> Baseline {
        // From Monday 1970-01-05 on.
        let windows: Vec<_> = (4 * 144..(4 + days) * 144).map(WindowIndex).collect();
        let levels: Vec<_> = windows.iter().map(|w| level(w.0 / 144, w.0 % 144)).collect();
        Baseline::fit(&windows, &levels, 0.01, &calendar()).0
    }

    fn jitter(day: i64, at: i64) -> f64 {
        ((day * 7919 + at * 104_729) % 101) as f64 / 1000.0
    }

    #[test]
    fn a_flat_signal_needs_no_time_of_day() {
        assert_eq!(learn(7, |d, at| 5.0 + jitter(d, at)).mode, Mode::Flat);
    }

    #[test]
    fn a_daily_signal_is_expected_by_time_of_day() {
        let baseline = learn(7, |d, at| if (50..100).contains(&at) { 9.0 } else { 1.0 } + jitter(d, at));
        assert_eq!(baseline.mode, Mode::TimeOfDay);
        let noon = WindowIndex(12 * 144 + 72);
        assert!(baseline.residual(noon, 9.05, &calendar()).abs() < 1.0);
        assert!(baseline.residual(noon, 1.0, &calendar()) < -20.0);
    }

    #[test]
    fn a_quiet_weekend_is_expected_by_day_type() {
        let working = |d: i64| (d + 3) % 7 < 5;
        let baseline = learn(14, |d, at| if working(d) && (50..100).contains(&at) { 9.0 } else { 1.0 } + jitter(d, at));
        assert_eq!(baseline.mode, Mode::DayType);
    }

    #[test]
    fn two_days_that_happen_to_be_alike_make_no_weekend() {
        // Clouds: each day has its own height, and the weekend's two are near each other.
        let heights = [9.0, 4.0, 8.0, 3.0, 7.0, 5.0, 5.2];
        let height = |d: i64| heights[(d + 3).rem_euclid(7) as usize];
        let baseline = learn(7, |d, at| if (50..100).contains(&at) { height(d) } else { 1.0 } + jitter(d, at));
        assert_ne!(baseline.mode, Mode::DayType);
    }

    #[test]
    fn a_few_bursts_at_any_time_are_no_time_of_day() {
        let bursts = |d: i64, at: i64| if (d * 7919 + at * 104_729) % 13 == 0 { 8.0 } else { 1.0 };
        assert_eq!(learn(7, |d, at| bursts(d, at) + jitter(d, at)).mode, Mode::Flat);
    }

    #[test]
    fn one_day_alone_is_flat() {
        assert_eq!(learn(1, |_, at| at as f64).mode, Mode::Flat);
    }
}
