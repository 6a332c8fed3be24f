//! Which records repeated a frame: after a restart some are read again without the frame that they repeat.

use std::collections::VecDeque;

use firmware_protocol::measurement::FrameIdentity;

use super::super::watermark::SeenFrames;
use crate::queue::QueueSeq;

/// Repeats of one device that are remembered while they may be read again: more than come within the ten minutes of a
/// window from a device of 4 Hz that sends all twice.
const REPEATS_MAX: usize = 4_096;

/// In ascending order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Repeats {
    records: VecDeque<QueueSeq>,
    /// Frames met again while windows are rebuilt: for repeats that are too many to be remembered.
    rebuilt: SeenFrames,
}

impl Repeats {
    pub(super) fn add(&mut self, record: QueueSeq) {
        if self.records.len() == REPEATS_MAX {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// Whether a record that is read again is a repeat.
    pub(super) fn contains(&mut self, record: QueueSeq, identity: Option<FrameIdentity>) -> bool {
        let is_met_again = identity.is_some_and(|identity| self.rebuilt.is_repeat(identity));
        is_met_again || self.records.binary_search(&record).is_ok()
    }

    /// Records before this one will not be read again; `None`: none will.
    pub(super) fn forget_before(&mut self, oldest: Option<QueueSeq>) {
        while self.records.front().is_some_and(|record| oldest.is_none_or(|oldest| *record < oldest)) {
            self.records.pop_front();
        }
    }

    /// As differences, which are small.
    pub(super) fn to_saved(&self) -> Vec<u64> {
        let before = [0].into_iter().chain(self.records.iter().map(|r| r.0));
        self.records.iter().zip(before).map(|(record, before)| record.0 - before).collect()
    }

    pub(super) fn from_saved(differences: &[u64]) -> Self {
        let mut seq = 0_u64;
        let records = differences.iter().map(|d| {
            seq = seq.saturating_add(*d);
            QueueSeq(seq)
        });
        Self { records: records.collect(), rebuilt: SeenFrames::default() }
    }
}
