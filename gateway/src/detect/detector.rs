//! The verdict on each window of one channel: learn, then judge; learn only from what is trusted; adopt what has come to stay.
//!
//! # Invariants
//! - No verdict before the learning time is over; it is announced as `Learning`.
//! - Nothing is learned from windows within an alarm or near the threshold, unless they recur for a day: then they are
//!   the new normal, and the channel is watched with a higher threshold for two days.
//! - The same windows give the same verdicts, restarted or not: all that matters is in [`Memory`], [`Learned`] and rows.

mod adoption;
mod alarm;
mod early;
mod horizon;
mod learning;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use firmware_protocol::derived::Status;

use super::calendar::WindowIndex;
use super::explain::Finding;
use super::features::Features;
use super::groups::{Group, Scores};
use super::history::{History, Row, Standing};
use super::mixture::Care;
use super::model::Model;
use super::tail::Tail;

use alarm::{Alarm, Evidence};
pub(super) use horizon::Horizon;
use learning::{LASTING_WINDOWS, Recent, newest_trusted};

/// Added to the threshold while an adopted regime is young, decades.
const HOLD: f64 = 1.0;

/// Judges the windows of one channel, one by one, in order of time.
pub(super) trait Detector {
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
    /// What was unusual for a day has become normal in this step.
    pub(super) adopted: bool,
}

impl Verdict {
    /// Keeps what was found of missing readings, and leaves all else to another detector.
    pub(super) fn leave_level(&mut self) {
        self.finding = self.finding.take().filter(|finding| finding.group == Group::Dropout);
        if self.finding.is_none() {
            self.score = None;
            self.status = if self.status == Status::Learning { Status::Learning } else { Status::Normal };
        }
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

impl Memory {
    /// Windows until the first model.
    pub(super) fn to_learn(&self) -> u32 {
        self.to_learn
    }
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
    /// Channels that share the device's false alarms, as decades.
    shared_by: f64,
}

impl Detector for WindowDetector {
    fn observe(&mut self, window: WindowIndex, features: &Features, history: &mut dyn History) -> Verdict {
        let Some(learned) = &self.learned else { return self.learn(window, features, history) };
        let calendar = self.horizon.calendar;
        let mut scores = learned.model.scores(window, features, &calendar);
        scores[Group::Lasting as usize] = self.memory.recent.push(window.0, learned.tail.unease(&scores)) as f32;
        let decades = learned.tail.all_decades(&scores);
        let evidence = Evidence::of(&decades, self.threshold(window));
        let (standing, is_anomalous) = self.memory.alarm.judge(evidence);
        self.memory.alarmed.retain(|w| w.0 > window.0 - self.horizon.recent);
        if standing == Standing::Alarmed {
            self.memory.alarmed.push(window);
        }
        let group = learned.tail.plainest(&decades, self.threshold(window));
        let share = learned.tail.share(group, &scores);
        let finding = is_anomalous.then(|| Finding::new(group, &learned.model, window, features, &calendar, share));
        history.push(Row::new(window, features, scores, standing));
        let adopted = self.adopt_if_it_recurs(window, history);
        let learned = adopted || self.refit_if_due(window, history);
        let status = if is_anomalous { Status::Anomalous } else { Status::Normal };
        Verdict { status, score: Some(evidence.score(is_anomalous)), finding, learned, adopted }
    }

    fn revise(&self, window: WindowIndex, features: &Features, history: &mut dyn History) -> Verdict {
        let Some(learned) = &self.learned else {
            history.amend(Row::new(window, features, [0.0; Group::COUNT], Standing::Trusted));
            return Verdict { status: Status::Learning, score: None, finding: None, learned: false, adopted: false };
        };
        let calendar = self.horizon.calendar;
        let evidence_of = |window: WindowIndex, scores: &Scores| {
            Evidence::of(&learned.tail.all_decades(scores), self.threshold(window))
        };
        let rows = history.rows();
        let mut scores = learned.model.scores(window, features, &calendar);
        let mut recent = Recent::default();
        for row in rows.iter().filter(|r| (window.0 - LASTING_WINDOWS as i64..window.0).contains(&r.window.0)) {
            recent.push(row.window.0, learned.tail.unease(&row.scores));
        }
        scores[Group::Lasting as usize] = recent.push(window.0, learned.tail.unease(&scores)) as f32;
        let decades = learned.tail.all_decades(&scores);
        let evidence = evidence_of(window, &scores);
        let before = |r: &&Row| (window.0 - 2..window.0).contains(&r.window.0);
        let has_company = rows.iter().filter(before).any(|r| evidence_of(r.window, &r.scores).is_near());
        let is_anomalous = evidence.is_anomalous(has_company);
        let group = learned.tail.plainest(&decades, self.threshold(window));
        let share = learned.tail.share(group, &scores);
        let finding = is_anomalous.then(|| Finding::new(group, &learned.model, window, features, &calendar, share));
        let standing = match rows.iter().find(|r| r.window == window).map(|r| r.standing) {
            _ if is_anomalous => Standing::Alarmed,
            Some(Standing::Alarmed | Standing::Doubtful) => Standing::Doubtful,
            Some(Standing::Trusted) | None if evidence.is_trusted() => Standing::Trusted,
            Some(Standing::Trusted) | None => Standing::Doubtful,
        };
        history.amend(Row::new(window, features, scores, standing));
        let status = if is_anomalous { Status::Anomalous } else { Status::Normal };
        Verdict { status, score: Some(evidence.score(is_anomalous)), finding, learned: false, adopted: false }
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
        Self { horizon, memory, learned: None, shared_by: 0.0 }
    }

    /// Sets how many channels share the device's false alarms.
    pub(super) fn set_channels(&mut self, channels: usize) {
        self.shared_by = libm::log10(channels.max(1) as f64);
    }

    /// Decades above which a window alarms.
    fn threshold(&self, window: WindowIndex) -> f64 {
        let hold = if window < self.memory.hold_until { HOLD } else { 0.0 };
        self.horizon.threshold + self.shared_by + hold
    }

    /// Goes on from what was saved; without its model the channel is learned anew.
    pub(super) fn restore(horizon: Horizon, memory: Memory, learned: Option<Learned>) -> Self {
        let is_learning = memory.to_learn > 0;
        match (is_learning, learned) {
            (true, _) => Self { horizon, memory, learned: None, shared_by: 0.0 },
            (false, Some(learned)) => Self { horizon, memory, learned: Some(learned), shared_by: 0.0 },
            (false, None) => Self::new(horizon),
        }
    }

    fn learn(&mut self, window: WindowIndex, features: &Features, history: &mut dyn History) -> Verdict {
        history.push(Row::new(window, features, [0.0; Group::COUNT], Standing::Trusted));
        self.memory.to_learn = self.memory.to_learn.saturating_sub(1);
        let learned = self.memory.to_learn == 0;
        if learned {
            let mut rows = history.rows();
            learning::leave_out(&mut rows, &self.horizon);
            let since = window.0 - self.horizon.recent;
            let alarmed = rows.iter().filter(|r| r.standing == Standing::Alarmed && r.window.0 > since);
            self.memory.alarmed = alarmed.map(|r| r.window).collect();
            self.fit_anew(rows, history);
            self.memory.refit_at = WindowIndex(window.0 + 1 + self.horizon.refit);
        }
        Verdict { status: Status::Learning, score: None, finding: None, learned, adopted: false }
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
        let trusted = newest_trusted(&history.rows(), self.horizon.history);
        self.memory.refit_at = WindowIndex(window.0 + 1 + self.horizon.refit);
        if trusted.len() < self.horizon.learn / 2 {
            // Rows were lost: what was learned from all of them is better than what these few teach.
            return false;
        }
        let model = Model::fit(&trusted, &self.horizon.calendar, Care::Thorough);
        self.learned = Some(Learned { model, tail: Tail::fit(trusted.iter().map(|r| &r.scores)) });
        true
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
