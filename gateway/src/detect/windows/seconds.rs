//! A pane of more readings than are kept: its seconds, and the readings of those seconds that may still get some.
//!
//! # Invariants
//! - A second is folded from its readings by time and bits. When it is folded shows in nothing, as long as no reading comes
//!   more than the allowed disorder behind the pane's newest, and no more than [`Room::waiting`] readings wait.
//! - What comes for a second that was folded is folded by itself and merged with it, see [`Second::merge`].
//! - What happens depends on the readings and their order alone, so that a pane filled again is the same.

use std::collections::BTreeMap;

use firmware_protocol::measurement::EventTime;

use super::super::features::{Sample, Second, SecondIndex};
use super::content::{key, thin_out};
use super::room::Room;
use super::samples::Packed;

/// Room is made for a minute of seconds at a time, 3 KB.
const GROWTH_SECONDS: usize = 60;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seconds {
    /// In order of time, each once.
    folded: Vec<Second>,
    waiting: BTreeMap<SecondIndex, Waiting>,
    /// Samples in `waiting`.
    samples: usize,
    newest: Option<EventTime>,
}

/// Readings of one second, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
struct Waiting {
    /// Readings; more than are kept if they were thinned out.
    count: u32,
    samples: Packed,
}

impl Seconds {
    /// Of readings in order of time.
    pub(super) fn of(samples: &[Sample], room: &Room) -> Self {
        let mut seconds = Self::default();
        samples.iter().for_each(|s| seconds.push(*s, room));
        seconds
    }

    /// Of seconds as they were stored.
    pub(super) fn from_folded(folded: Vec<Second>) -> Self {
        Self { folded, ..Self::default() }
    }

    pub(super) fn push(&mut self, sample: Sample, room: &Room) {
        let second = SecondIndex::of(sample.at);
        if self.newest.is_none_or(|newest| SecondIndex::of(newest) < second) {
            self.begin(sample.at, room);
        }
        self.newest = self.newest.max(Some(sample.at));
        let waiting = self.waiting.entry(second).or_default();
        let before = waiting.samples.len();
        waiting.push(sample, room.of_second);
        self.samples = self.samples + waiting.samples.len() - before;
        while self.samples > room.waiting {
            // Not the one that is being filled: of it, more is about to come.
            let Some(oldest) = self.waiting.keys().copied().find(|s| *s != second) else { break };
            self.fold(oldest, room.of_second);
        }
    }

    /// Folds all that waits.
    pub(super) fn fold_all(&mut self, room: &Room) {
        while let Some(oldest) = self.waiting.keys().next().copied() {
            self.fold(oldest, room.of_second);
        }
        self.newest = None;
        self.folded.shrink_to_fit();
    }

    /// All seconds, if none waits.
    pub(super) fn folded(&self) -> &[Second] {
        &self.folded
    }

    /// All seconds, none of which may wait.
    pub(super) fn into_folded(self) -> Vec<Second> {
        debug_assert!(self.waiting.is_empty(), "what waits is folded before it is stored");
        self.folded
    }

    /// Adds what is known of a second that these may have, too.
    pub(super) fn add(&mut self, second: Second) {
        match self.folded.binary_search_by_key(&second.at, |s| s.at) {
            Ok(place) => self.folded[place] = self.folded[place].merge(second),
            Err(place) => {
                if self.folded.len() == self.folded.capacity() {
                    // Twice as many, as vectors grow by themselves, would be 20 KB of nothing.
                    self.folded.reserve_exact(GROWTH_SECONDS);
                }
                self.folded.insert(place, second);
            }
        }
    }

    /// Those from `from` on that end by `to`, as if all were folded.
    pub(super) fn between(&self, from: EventTime, to: EventTime, room: &Room) -> Vec<Second> {
        let is_within = |s: &SecondIndex| s.start() >= from && s.end() <= to;
        let first = self.folded.partition_point(|s| s.at.start() < from);
        let folded = self.folded[first..].iter().take_while(|s| is_within(&s.at)).copied();
        let mut within = Self::from_folded(folded.collect());
        for (_, waiting) in self.waiting.range(SecondIndex::of(from)..).filter(|(s, _)| is_within(s)) {
            waiting.clone().fold(room.of_second).into_iter().for_each(|second| within.add(second));
        }
        within.folded
    }

    /// Takes notice of the first reading of the newest second: what ended long before it is folded.
    fn begin(&mut self, at: EventTime, room: &Room) {
        let complete_at = EventTime(at.0.saturating_sub(room.out_of_order_ns));
        while let Some(oldest) = self.waiting.keys().next().copied().filter(|s| s.end() <= complete_at) {
            self.fold(oldest, room.of_second);
        }
        // Most of what comes from now on is of the newest one.
        self.waiting.values_mut().for_each(|w| w.samples.pack());
    }

    fn fold(&mut self, second: SecondIndex, of_second: usize) {
        let Some(waiting) = self.waiting.remove(&second) else { return };
        self.samples -= waiting.samples.len();
        waiting.fold(of_second).into_iter().for_each(|second| self.add(second));
    }
}

impl Waiting {
    fn push(&mut self, sample: Sample, of_second: usize) {
        self.count = self.count.saturating_add(1);
        self.samples.push(sample);
        if self.samples.len() >= 2 * of_second {
            self.samples = Packed::of(&self.drawn(of_second));
        }
    }

    fn drawn(&self, of_second: usize) -> Vec<Sample> {
        let mut samples = Vec::with_capacity(self.samples.len());
        self.samples.read(&mut samples);
        thin_out(&mut samples, of_second);
        samples
    }

    fn fold(self, of_second: usize) -> Option<Second> {
        let mut samples = self.drawn(of_second);
        samples.sort_unstable_by_key(key);
        Second::fold(&samples, self.count, &mut Vec::new())
    }
}

#[cfg(test)]
impl Seconds {
    pub(super) fn bytes(&self) -> usize {
        let waiting = self.waiting.values().map(|w| size_of::<(SecondIndex, Waiting)>() + w.samples.bytes());
        self.folded.capacity() * size_of::<Second>() + waiting.sum::<usize>()
    }
}
