//! Readings in few bytes: a short plain tail, and the rest packed.
//!
//! # Invariants
//! - Nothing is lost: what was pushed is read, to the bit.
//! - The same pushes give the same bytes.

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::EventTime;

use super::super::features::Sample;
use super::chunk::{self, Chunk};

/// Samples in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Packed {
    chunks: Vec<u8>,
    in_chunks: u32,
    /// Empty in what is stored.
    #[serde(skip)]
    tail: Vec<Sample>,
}

impl Packed {
    pub(super) fn of(samples: &[Sample]) -> Self {
        let mut packed = Self::default();
        samples.chunks(chunk::SAMPLES_MAX).for_each(|chunk| packed.add_chunk(chunk));
        packed
    }

    pub(super) fn len(&self) -> usize {
        self.in_chunks as usize + self.tail.len()
    }

    pub(super) fn push(&mut self, sample: Sample) {
        self.tail.push(sample);
        if self.tail.len() == chunk::SAMPLES_MAX {
            self.pack_tail();
        }
    }

    /// Makes it as small as it can be stored: without a plain tail.
    pub(super) fn pack(&mut self) {
        if self.tail.capacity() > 0 {
            self.pack_tail();
            self.tail = Vec::new();
            self.chunks.shrink_to_fit();
        }
    }

    /// Adds all samples of `other`.
    pub(super) fn append(&mut self, other: &Self) {
        self.chunks.extend_from_slice(&other.chunks);
        self.in_chunks += other.in_chunks;
        other.tail.iter().for_each(|s| self.push(*s));
    }

    /// Adds all samples to `into`, as they came.
    pub(super) fn read(&self, into: &mut Vec<Sample>) {
        self.read_since(EventTime(i64::MIN), into);
    }

    /// Adds the samples from `since` on, and perhaps some older ones.
    pub(super) fn read_since(&self, since: EventTime, into: &mut Vec<Sample>) {
        let mut rest = self.chunks.as_slice();
        while let Some((chunk, after)) = Chunk::parse(rest) {
            if chunk.newest >= since {
                chunk.read(into);
            }
            rest = after;
        }
        into.extend_from_slice(&self.tail);
    }

    fn pack_tail(&mut self) {
        let mut tail = std::mem::take(&mut self.tail);
        if !tail.is_empty() {
            self.add_chunk(&tail);
        }
        tail.clear();
        self.tail = tail;
    }

    fn add_chunk(&mut self, samples: &[Sample]) {
        // Twice what it holds, as vectors grow by themselves, would be half empty most of the time.
        let (len, spare) = (self.chunks.len(), self.chunks.capacity() - self.chunks.len());
        let likely = samples.len() * if self.in_chunks == 0 { 2 } else { len.div_ceil(self.in_chunks as usize) + 1 };
        if spare < likely {
            self.chunks.reserve_exact(likely.max(len / 4));
        }
        chunk::encode(samples, &mut self.chunks);
        self.in_chunks += samples.len() as u32;
    }
}

#[cfg(test)]
impl Packed {
    pub(super) fn bytes(&self) -> usize {
        self.chunks.capacity() + self.tail.capacity() * size_of::<Sample>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(i: i64) -> Sample {
        Sample { at: EventTime(i * 1_000_000_000), value: i as f64 / 8.0 }
    }

    #[test]
    fn what_was_pushed_and_appended_is_read_in_that_order() {
        let (mut packed, mut more) = (Packed::default(), Packed::default());
        (0..200).for_each(|i| packed.push(sample(i)));
        (200..300).for_each(|i| more.push(sample(i)));
        packed.append(&more);
        let mut samples = Vec::new();
        packed.pack();
        packed.read(&mut samples);
        assert_eq!((samples.len(), packed.len()), (300, 300));
        samples.sort_by_key(|s| s.at);
        assert_eq!(samples, (0..300).map(sample).collect::<Vec<_>>());
    }

    #[test]
    fn the_newest_samples_are_found_without_reading_the_old_ones() {
        let mut packed = Packed::default();
        (0..600).for_each(|i| packed.push(sample(i)));
        let mut samples = Vec::new();
        packed.read_since(sample(550).at, &mut samples);
        assert!((50..=50 + chunk::SAMPLES_MAX).contains(&samples.len()), "{}", samples.len());
        assert_eq!(samples.last(), Some(&sample(599)));
    }
}
