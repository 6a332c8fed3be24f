//! The verdict on each window of one channel: learn, then judge; learn only from what is trusted; adopt what has come to stay.
//!
//! # Invariants
//! - No verdict before the learning time is over; it is announced as `Learning`.
//! - Nothing is learned from windows within an alarm or near the threshold, unless they recur for a day: then they are
//!   the new normal, and the channel is watched with a higher threshold for two days.
//! - The same windows give the same verdicts, restarted or not: all that matters is in [`Memory`], [`Learned`] and rows.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use firmware_protocol::derived::Status;

use super::Config;
use super::calendar::{Calendar, WindowIndex};
use super::explain::Finding;
use super::features::{Feature, Features};
use super::groups::{Group, Scores};
use super::history::{History, Row, Standing};
use super::learning::{self, Recent, newest_trusted};
use super::model::{LEVELS, LOGARITHMIC, Model};
use super::order;
use super::tail::{Tail, threshold};

/// Judges the windows of one channel, one by one, in order of time.
pub(super) trait Detector {
    /// For the `detector` field of anomalies.
    fn name(&self) -> &'static str;

    fn observe(&mut self, window: WindowIndex, features: &Features, history: &mut dyn History) -> Verdict;

    /// Judges a window that was judged before, and has changed. Its row is replaced; nothing else is learned, and no
    /// alarm begins or ends with it.
    fn revise(&self, window: WindowIndex, features: &Features, history: &mut dyn History) -> Verdict;
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) status: Status,
    /// Decades above the threshold.
    pub(super) score: Option<f64>,
    /// Of an anomalous window.
    pub(super) finding: Option<Finding>,
    /// A model was learned in this step.
    pub(super) learned: bool,
}

/// Spans in windows, all from the configured length of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Horizon {
    calendar: Calendar,
    threshold: f64,
    learn: usize,
    /// Trusted rows that a model is learned from.
    history: usize,
    refit: i64,
    /// Alarmed windows that far back may become a new regime,
    recent: i64,
    /// if they span this long
    adopt: i64,
    /// and are this many.
    chronic: usize,
    /// An alarm is over after this many quiet windows.
    clear: u32,
}

/// Most trusted rows: two weeks of ten minutes; shorter windows reach less far back, so that memory stays the same.
const HISTORY_ROWS_MAX: usize = 2016;
/// Two folds must be able to learn a model each.
const LEARN_ROWS_MIN: usize = 96;
/// A window this far below the threshold is trusted, and two in a row above it alarm, decades.
const GUARD: f64 = 1.0;
/// Added to the threshold while an adopted regime is young, decades.
const HOLD: f64 = 1.0;
/// A regime is adopted by shifting the remembered week if at least this share of the last day was alarmed.
const SHARE_OF_WHOLE_REGIME: f64 = 0.8;
/// How near to its like an alarmed window must be, in standard units, to say that it recurs.
const RECURRENCE_DISTANCE_MAX: f64 = 2.5;
const RECURRENCE_RESIDUAL_MAX: f64 = 4.0;
const LONG_AGO: f64 = -9.0;

impl Horizon {
    pub(super) fn new(config: &Config) -> Self {
        let calendar = Calendar::hopping(config.window, config.hop);
        let history = (14 * calendar.day as usize).clamp(2 * LEARN_ROWS_MIN, HISTORY_ROWS_MAX);
        let learn = (config.learn.as_secs_f64() / calendar.hop_s()) as usize;
        let day = calendar.day.min(HISTORY_ROWS_MAX as i64 / 7).max(24);
        Self {
            calendar,
            threshold: threshold(config.false_alarms_per_month, calendar.day),
            learn: learn.clamp(LEARN_ROWS_MIN, history),
            history,
            refit: 2 * day,
            recent: 3 * day,
            adopt: day,
            chronic: day as usize / 3,
            clear: (day / 12) as u32,
        }
    }

    pub(super) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Rows that a history must keep.
    pub(super) fn rows(&self) -> usize {
        self.history + self.recent as usize
    }
}

/// What a detector remembers between windows besides its model; small, saved with every window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Rows until the first model; then 0.
    to_learn: u32,
    alarm: Alarm,
    recent: Recent,
    refit_at: WindowIndex,
    hold_until: WindowIndex,
    /// Alarmed windows of the last days that no regime was made of.
    alarmed: Vec<WindowIndex>,
}

/// What was learned; saved when it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    model: Model,
    tail: Tail,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct WindowDetector {
    horizon: Horizon,
    pub(super) memory: Memory,
    pub(super) learned: Option<Learned>,
}

impl Detector for WindowDetector {
    fn name(&self) -> &'static str {
        "window"
    }

    fn observe(&mut self, window: WindowIndex, features: &Features, history: &mut dyn History) -> Verdict {
        let Some(learned) = &self.learned else { return self.learn(window, features, history) };
        let calendar = self.horizon.calendar;
        let mut scores = learned.model.scores(window, features, &calendar);
        scores[Group::Lasting as usize] = self.memory.recent.push(window.0, learned.tail.unease(&scores)) as f32;
        let (group, decades) = learned.tail.rarest(&scores);
        let hold = if window < self.memory.hold_until { HOLD } else { 0.0 };
        let score = decades - self.horizon.threshold - hold;
        let (standing, is_anomalous) = self.memory.alarm.judge(score);
        self.memory.alarmed.retain(|w| w.0 > window.0 - self.horizon.recent);
        if standing == Standing::Alarmed {
            self.memory.alarmed.push(window);
        }
        let finding = is_anomalous.then(|| Finding::new(group, &learned.model, window, features, &calendar));
        history.push(Row::new(window, features, scores, standing));
        let learned = self.adopt_if_it_recurs(window, history) || self.refit_if_due(window, history);
        let status = if is_anomalous { Status::Anomalous } else { Status::Normal };
        Verdict { status, score: Some(score), finding, learned }
    }

    fn revise(&self, window: WindowIndex, features: &Features, history: &mut dyn History) -> Verdict {
        let Some(learned) = &self.learned else {
            history.amend(Row::new(window, features, [0.0; Group::COUNT], Standing::Trusted));
            return Verdict { status: Status::Learning, score: None, finding: None, learned: false };
        };
        let calendar = self.horizon.calendar;
        let score_of = |window: WindowIndex, scores: &Scores| {
            let (group, decades) = learned.tail.rarest(scores);
            let hold = if window < self.memory.hold_until { HOLD } else { 0.0 };
            (group, decades - self.horizon.threshold - hold)
        };
        let scores = learned.model.scores(window, features, &calendar);
        let (group, score) = score_of(window, &scores);
        let before = |r: &&Row| (window.0 - 2..window.0).contains(&r.window.0);
        let rows = history.rows();
        let is_second = rows.iter().filter(before).any(|r| score_of(r.window, &r.scores).1 >= -GUARD);
        let is_anomalous = score >= 0.0 || (score >= -GUARD && is_second);
        let finding = is_anomalous.then(|| Finding::new(group, &learned.model, window, features, &calendar));
        let standing = match rows.iter().find(|r| r.window == window).map(|r| r.standing) {
            _ if is_anomalous => Standing::Alarmed,
            Some(Standing::Alarmed | Standing::Doubtful) => Standing::Doubtful,
            Some(Standing::Trusted) | None if score < -GUARD => Standing::Trusted,
            Some(Standing::Trusted) | None => Standing::Doubtful,
        };
        history.amend(Row::new(window, features, scores, standing));
        let status = if is_anomalous { Status::Anomalous } else { Status::Normal };
        Verdict { status, score: Some(score), finding, learned: false }
    }
}

impl WindowDetector {
    pub(super) fn new(horizon: Horizon) -> Self {
        let memory = Memory {
            to_learn: horizon.learn as u32,
            alarm: Alarm::new(horizon.clear),
            recent: Recent::default(),
            refit_at: WindowIndex(i64::MAX),
            hold_until: WindowIndex(i64::MIN),
            alarmed: Vec::new(),
        };
        Self { horizon, memory, learned: None }
    }

    /// Goes on from what was saved; without its model the channel is learned anew.
    pub(super) fn restore(horizon: Horizon, memory: Memory, learned: Option<Learned>) -> Self {
        let is_learning = memory.to_learn > 0;
        match (is_learning, learned) {
            (true, _) => Self { horizon, memory, learned: None },
            (false, Some(learned)) => Self { horizon, memory, learned: Some(learned) },
            (false, None) => Self::new(horizon),
        }
    }

    fn learn(&mut self, window: WindowIndex, features: &Features, history: &mut dyn History) -> Verdict {
        history.push(Row::new(window, features, [0.0; Group::COUNT], Standing::Trusted));
        self.memory.to_learn = self.memory.to_learn.saturating_sub(1);
        let learned = self.memory.to_learn == 0;
        if learned {
            let mut rows = history.rows();
            let Horizon { history, calendar, threshold, clear, .. } = &self.horizon;
            learning::leave_out(&mut rows, *history, calendar, *threshold, *clear);
            self.fit_anew(rows, history);
            self.memory.refit_at = WindowIndex(window.0 + 1 + self.horizon.refit);
        }
        Verdict { status: Status::Learning, score: None, finding: None, learned }
    }

    /// Learns all from the newest trusted rows, which get scores from models of the days that they are not of.
    fn fit_anew(&mut self, mut rows: Vec<Row>, history: &mut dyn History) {
        let (model, tail) = learning::fit(&mut rows, self.horizon.history, &self.horizon.calendar);
        self.learned = Some(Learned { model, tail });
        history.replace(rows);
    }

    fn refit_if_due(&mut self, window: WindowIndex, history: &dyn History) -> bool {
        if window < WindowIndex(self.memory.refit_at.0.saturating_sub(1)) {
            return false;
        }
        let modes = self.learned.as_ref().and_then(|l| l.model.modes());
        let trusted = newest_trusted(&history.rows(), self.horizon.history);
        let model = Model::fit(&trusted, &self.horizon.calendar, modes);
        self.learned = Some(Learned { model, tail: Tail::fit(trusted.iter().map(|r| &r.scores)) });
        self.memory.refit_at = WindowIndex(window.0 + 1 + self.horizon.refit);
        true
    }

    /// Alarmed windows that go on for a day and resemble each other are a new regime.
    fn adopt_if_it_recurs(&mut self, window: WindowIndex, history: &mut dyn History) -> bool {
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

/// Whether the channel is in alarm, from one score to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarm {
    previous: [f64; 2],
    is_on: bool,
    quiet: u32,
    clear: u32,
}

impl Alarm {
    pub(super) fn new(clear: u32) -> Self {
        Self { previous: [LONG_AGO; 2], is_on: false, quiet: clear + 1, clear }
    }

    /// Takes in a score, decades above the threshold; says whether the window is anomalous.
    pub(super) fn judge(&mut self, score: f64) -> (Standing, bool) {
        let is_anomalous = score >= 0.0 || (score >= -GUARD && self.previous.iter().any(|p| *p >= -GUARD));
        self.previous = [self.previous[1], score];
        if is_anomalous {
            self.is_on = true;
            self.quiet = 0;
        } else {
            self.quiet = self.quiet.saturating_add(1);
            if self.quiet > self.clear {
                self.is_on = false;
            }
        }
        let standing = match (self.is_on, score < -GUARD) {
            (true, _) => Standing::Alarmed,
            (false, true) => Standing::Trusted,
            (false, false) => Standing::Doubtful,
        };
        (standing, is_anomalous)
    }
}

impl Memory {
    /// After the adoption of a regime: quiet, watchful, and soon relearned.
    fn settle(&mut self, window: WindowIndex, horizon: &Horizon) {
        *self = Self {
            to_learn: 0,
            alarm: Alarm::new(horizon.clear),
            recent: Recent::default(),
            refit_at: WindowIndex(window.0 + 1 + horizon.adopt),
            hold_until: WindowIndex(window.0 + 2 * horizon.adopt),
            alarmed: Vec::new(),
        };
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
