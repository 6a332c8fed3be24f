//! Sets of sequences as few runs: what is held, what was lost.

use std::collections::VecDeque;

use super::record::QueueSeq;

/// Sequences in a row, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first: QueueSeq,
    pub end: QueueSeq,
}

impl Run {
    pub fn new(first: QueueSeq, end: QueueSeq) -> Self {
        Self { first, end }
    }

    pub fn count(self) -> u64 {
        self.first.count_to(self.end)
    }
}

/// A set of sequences. Sorted, disjoint, neighbours joined: one run per hole, so a sound log is one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs(VecDeque<Run>);

impl Runs {
    pub(super) fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn first(&self) -> Option<QueueSeq> {
        self.0.front().map(|r| r.first)
    }

    pub(super) fn end(&self) -> Option<QueueSeq> {
        self.0.back().map(|r| r.end)
    }

    pub(super) fn add(&mut self, run: Run) {
        if run.count() == 0 {
            return;
        }
        // Runs that touch the new one, found from the back: additions are nearly always at the end.
        let after = self.0.iter().rposition(|r| r.first <= run.end).map_or(0, |i| i + 1);
        let before = self.0.iter().take(after).rposition(|r| r.end < run.first).map_or(0, |i| i + 1);
        let mut joined = run;
        for r in self.0.drain(before..after) {
            joined.first = joined.first.min(r.first);
            joined.end = joined.end.max(r.end);
        }
        self.0.insert(before, joined);
    }

    pub(super) fn remove(&mut self, run: Run) {
        if run.count() == 0 {
            return;
        }
        let cut = |r: Run| [Run::new(r.first, r.end.min(run.first)), Run::new(r.first.max(run.end), r.end)];
        self.0 = self.0.iter().flat_map(|r| cut(*r)).filter(|r| r.count() > 0).collect();
    }

    pub(super) fn count_within(&self, run: Run) -> u64 {
        self.0.iter().map(|r| Run::new(r.first.max(run.first), r.end.min(run.end)).count()).sum()
    }

    /// What of the run is in the set.
    pub(super) fn within(&self, run: Run) -> Self {
        let cut = self.0.iter().map(|r| Run::new(r.first.max(run.first), r.end.min(run.end)));
        Self(cut.filter(|r| r.count() > 0).collect())
    }

    pub(super) fn count_from(&self, from: QueueSeq) -> u64 {
        self.count_within(Run::new(from, QueueSeq(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_a_set_of_sequences(steps in prop::collection::vec((any::<bool>(), 0..40u64, 0..12u64), 0..40)) {
            let (mut runs, mut model) = (Runs::default(), BTreeSet::new());
            for (add, first, len) in steps {
                let run = Run::new(QueueSeq(first), QueueSeq(first + len));
                if add {
                    runs.add(run);
                    model.extend(first..first + len);
                } else {
                    runs.remove(run);
                    model.retain(|s| !(first..first + len).contains(s));
                }
                let found: Vec<u64> = runs.iter().flat_map(|r| r.first.0..r.end.0).collect();
                prop_assert_eq!(&found, &model.iter().copied().collect::<Vec<_>>());
                prop_assert!(runs.iter().zip(runs.iter().skip(1)).all(|(a, b)| a.end < b.first), "neighbours are joined");
                let within = runs.within(Run::new(QueueSeq(5), QueueSeq(20)));
                let within: Vec<u64> = within.iter().flat_map(|r| r.first.0..r.end.0).collect();
                prop_assert_eq!(within, model.range(5..20).copied().collect::<Vec<_>>());
                prop_assert_eq!(runs.count_from(QueueSeq(17)), model.range(17..).count() as u64);
            }
        }
    }
}
