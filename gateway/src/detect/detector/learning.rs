//! What the trusted rows of a channel teach: a model, the tail of its scores, and which of the rows are no example.
//!
//! # Invariants
//! - Every row is scored by a model that has not seen its day or the hours about it: scores while learning are as good, or
//!   as bad, as those of days to come.
//! - A row of the first learning is left out if, by the rule that holds later, it would have been alarmed by what all other
//!   days taught; but never more than a share of all rows: what happens that often is the channel's nature.

use crate::detect::calendar::{Calendar, WindowIndex};
use crate::detect::groups::Group;
use crate::detect::history::{Row, Standing};
use crate::detect::mixture::Care;
use crate::detect::model::Model;
use crate::detect::tail::Tail;

use super::Horizon;
use super::alarm::{Alarm, Evidence};

/// Days that are left out in turn; of a longer history every seventh goes out together.
const FOLDS: i64 = 7;
/// Share of a day on each side of it that goes out with it: what began before midnight is no witness for what ends after.
const MARGIN: f64 = 0.25;
/// More than this share of the learning time is no fault.
const LEFT_OUT_MAX: f64 = 0.15;

/// Rarer than an alarm by this, decades: six days are not much of a witness.
const DOUBT: f64 = 1.0;
/// A deviation that shows on this many days is the channel's nature, whether days are counted from midnight or from noon:
/// a fault at midnight is one.
const FAULTY_DAYS_MAX: usize = 2;
const DAYS_FROM: usize = 2;
/// and only what is this much rarer is not, decades.
const NATURE_MARGIN: f64 = 1.0;

/// Deviations within this many windows count together.
pub(super) const LASTING_WINDOWS: usize = 6;

/// Model and tail of trusted rows in order of time; their scores are made anew.
pub(super) fn fit(rows: &mut [Row], most: usize, calendar: &Calendar) -> (Model, Tail) {
    let trusted = newest_trusted(rows, most);
    let model = Model::fit(&trusted, calendar, Care::Thorough);
    score_out_of_sample(rows, &trusted, calendar);
    let tail = tail_of(rows, most);
    (model, tail)
}

pub(super) fn tail_of(rows: &mut [Row], most: usize) -> Tail {
    let trusted = newest_trusted(rows, most);
    let mut tail = Tail::fit(trusted.iter().map(|r| &r.scores));
    lasting(rows, &tail);
    let trusted = newest_trusted(rows, most);
    tail.fit_group(Group::Lasting, trusted.iter().map(|r| &r.scores));
    tail
}

/// Marks the rows that no other day vouches for.
pub(super) fn leave_out(rows: &mut [Row], horizon: &Horizon) {
    let Horizon { calendar, threshold, .. } = horizon;
    let (threshold, most) = (*threshold, horizon.history);
    let before: Vec<Standing> = rows.iter().map(|r| r.standing).collect();
    for _ in 0..2 {
        let trusted = newest_trusted(rows, most);
        score_out_of_sample(rows, &trusted, calendar);
        let trusted = newest_trusted(rows, most);
        let tails: Vec<Tail> = (0..FOLDS)
            .map(|fold| {
                let mut others: Vec<Row> = trusted.iter().filter(|r| fold_of(r, calendar) != fold).copied().collect();
                tail_of(&mut others, most)
            })
            .collect();
        // Decades of each row by what the other days taught, and each group's highest on each day, from midnight and noon.
        let mut recent = Recent::default();
        let mut decades = Vec::with_capacity(rows.len());
        let mut peaks = [[[0.0_f64; FOLDS as usize]; DAYS_FROM]; Group::COUNT];
        for row in rows.iter_mut() {
            let fold = fold_of(row, calendar) as usize;
            let tail = &tails[fold];
            row.scores[Group::Lasting as usize] = recent.push(row.window.0, tail.unease(&row.scores)) as f32;
            let of_row = tail.all_decades(&row.scores);
            let half_a_day_on = WindowIndex(row.window.0 + calendar.day / 2);
            let days = [fold, calendar.day_of(half_a_day_on).rem_euclid(FOLDS) as usize];
            for (peaks, d) in peaks.iter_mut().zip(of_row) {
                for (peaks, day) in peaks.iter_mut().zip(days) {
                    peaks[day] = peaks[day].max(d);
                }
            }
            decades.push(of_row);
        }
        let usual = peaks.map(|mut peaks| {
            peaks.iter_mut().for_each(|days| days.sort_unstable_by(f64::total_cmp));
            let shown = peaks.iter().map(|days| days[FOLDS as usize - FAULTY_DAYS_MAX]).fold(f64::INFINITY, f64::min);
            (shown + NATURE_MARGIN - threshold).max(0.0)
        });
        let mut alarm = Alarm::new(horizon.clear);
        let mut new = Vec::with_capacity(rows.len());
        for of_row in &decades {
            let unusual = std::array::from_fn(|group| of_row[group] - usual[group]);
            new.push(match alarm.judge(Evidence::of(&unusual, threshold + DOUBT)).0 {
                Standing::Alarmed => Standing::Alarmed,
                Standing::Trusted | Standing::Doubtful => Standing::Trusted,
            });
        }
        for i in 1..new.len() {
            // What begins within a window may show in it a little.
            if new[i] == Standing::Alarmed {
                new[i - 1] = Standing::Alarmed;
            }
        }
        let out = new.iter().filter(|s| **s == Standing::Alarmed).count();
        if out as f64 > LEFT_OUT_MAX * rows.len() as f64 {
            for (row, standing) in rows.iter_mut().zip(&before) {
                row.standing = *standing;
            }
            return;
        }
        let was: Vec<Standing> = rows.iter().map(|r| r.standing).collect();
        for (row, standing) in rows.iter_mut().zip(&new) {
            row.standing = *standing;
        }
        if was == new {
            return;
        }
    }
}

/// The newest `most` rows that models may learn from.
pub(super) fn newest_trusted(rows: &[Row], most: usize) -> Vec<Row> {
    let mut trusted: Vec<Row> = rows.iter().copied().filter(|r| r.standing == Standing::Trusted).collect();
    let surplus = trusted.len().saturating_sub(most);
    trusted.drain(..surplus);
    trusted
}

fn fold_of(row: &Row, calendar: &Calendar) -> i64 {
    calendar.day_of(row.window).rem_euclid(FOLDS)
}

fn score_out_of_sample(rows: &mut [Row], trusted: &[Row], calendar: &Calendar) {
    let margin = (MARGIN * calendar.day as f64) as i64;
    for fold in 0..FOLDS {
        if !rows.iter().any(|r| fold_of(r, calendar) == fold) {
            continue;
        }
        let is_other = |r: &&Row| {
            [-margin, 0, margin]
                .iter()
                .all(|by| calendar.day_of(WindowIndex(r.window.0 + by)).rem_euclid(FOLDS) != fold)
        };
        let others: Vec<Row> = trusted.iter().filter(is_other).copied().collect();
        let model = Model::fit(&others, calendar, Care::Quick);
        for row in rows.iter_mut().filter(|r| fold_of(r, calendar) == fold) {
            row.scores = model.scores(row.window, &row.features(), calendar);
        }
    }
}

/// Fills in the scores of what lasts.
fn lasting(rows: &mut [Row], tail: &Tail) {
    let mut recent = Recent::default();
    for row in rows {
        row.scores[Group::Lasting as usize] = recent.push(row.window.0, tail.unease(&row.scores)) as f32;
    }
}

/// Unease of the last windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Recent {
    last: [f32; LASTING_WINDOWS],
    seen: u32,
    at: i64,
}

impl Recent {
    /// Takes a window in; what has lasted, 0 if the windows before are not known.
    pub(super) fn push(&mut self, window: i64, unease: f64) -> f64 {
        if window != self.at + 1 {
            self.seen = 0;
        }
        self.at = window;
        self.last[self.seen as usize % LASTING_WINDOWS] = unease as f32;
        self.seen += 1;
        if (self.seen as usize) < LASTING_WINDOWS {
            return 0.0;
        }
        let mut sorted = self.last;
        sorted.sort_unstable_by(f32::total_cmp);
        // All but one: a single quiet window is no end of it.
        f64::from(sorted[1])
    }
}
