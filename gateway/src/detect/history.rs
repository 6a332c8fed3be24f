//! The rows that a detector remembers: one per window, for relearning and for the adoption of a new regime.

use serde::{Deserialize, Serialize};

use super::calendar::WindowIndex;
use super::features::Features;
use super::groups::{Group, Scores};

/// One closed window as it was judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) window: WindowIndex,
    features: Features,
    pub(super) scores: [f32; Group::COUNT],
    pub(super) standing: Standing,
}

/// What a row may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// Normal: models learn from it.
    Trusted,
    /// Near the threshold, or just after an alarm: used for nothing.
    Doubtful,
    /// Within an alarm: perhaps the beginning of a new regime.
    Alarmed,
}

impl Row {
    pub(super) fn new(window: WindowIndex, features: &Features, scores: Scores, standing: Standing) -> Self {
        Self { window, features: *features, scores, standing }
    }

    pub(super) fn features(&self) -> Features {
        self.features
    }

    pub(super) fn set_features(&mut self, features: Features) {
        self.features = features;
    }
}

/// Where rows are kept. Detectors see no keys, chunks or disks.
pub(super) trait History {
    /// Adds the newest row; the oldest may go for it.
    fn push(&mut self, row: Row);

    /// Puts the row in the place of the one of the same window, if there is one.
    fn amend(&mut self, row: Row);

    /// All rows, oldest first.
    fn rows(&self) -> Vec<Row>;

    /// Puts these in the place of all rows.
    fn replace(&mut self, rows: Vec<Row>);
}

/// For tests and measurements.
#[cfg(test)]
impl History for Vec<Row> {
    fn push(&mut self, row: Row) {
        Vec::push(self, row);
    }

    fn amend(&mut self, row: Row) {
        self.iter_mut().filter(|r| r.window == row.window).for_each(|r| *r = row);
    }

    fn rows(&self) -> Vec<Row> {
        self.clone()
    }

    fn replace(&mut self, rows: Vec<Row>) {
        *self = rows;
    }
}
