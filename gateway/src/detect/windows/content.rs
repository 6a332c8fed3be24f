//! What a pane or a window holds.

use serde::{Deserialize, Serialize};

use super::super::features::Sample;
use super::samples::Packed;

/// Samples kept of one pane or window (13 Hz for ten minutes); of more, this many are drawn by hash.
pub(in crate::detect) const SAMPLES_MAX: usize = 8_192;

/// Readings of one channel, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Content {
    /// Readings; more than are kept if they were thinned out.
    pub(super) count: u32,
    /// Sum of the readings' hashes: the same for the same readings in any order.
    pub(super) digest: u64,
    samples: Packed,
}

impl Content {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, sample: Sample) {
        self.count = self.count.saturating_add(1);
        self.digest = self.digest.wrapping_add(hash(&sample));
        self.samples.push(sample);
        if self.samples.len() == 2 * SAMPLES_MAX {
            let mut samples = Vec::with_capacity(2 * SAMPLES_MAX);
            self.samples.read(&mut samples);
            thin_out(&mut samples);
            self.samples = Packed::of(&samples);
        }
    }

    /// Adds what a neighbouring pane holds.
    pub(super) fn append(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.digest = self.digest.wrapping_add(other.digest);
        self.samples.append(&other.samples);
    }

    /// Adds the samples that it does not hold yet; says how many were added, and how many were there.
    pub(super) fn merge(&mut self, late: &Self) -> (u32, u32) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        self.read_sorted(&mut ours);
        late.read_sorted(&mut theirs);
        let mut held = ours.iter().map(key).peekable();
        let mut added = 0_u32;
        for sample in &theirs {
            while held.peek().is_some_and(|k| *k < key(sample)) {
                held.next();
            }
            // One of several that are equal stands for one only.
            if held.next_if_eq(&key(sample)).is_none() {
                self.push(*sample);
                added += 1;
            }
        }
        // What was thinned out of the late ones cannot be compared: it is taken to be new.
        let unseen = late.count.saturating_sub(theirs.len() as u32);
        self.count = self.count.saturating_add(unseen);
        (added + unseen, late.count.saturating_sub(added + unseen))
    }

    /// Puts at most [`SAMPLES_MAX`] samples into `into`, by time and bits: the same in whatever order they came.
    pub(in crate::detect) fn read_sorted(&self, into: &mut Vec<Sample>) {
        into.clear();
        into.reserve(self.samples.len());
        self.samples.read(into);
        if into.len() > SAMPLES_MAX {
            thin_out(into);
        }
        into.sort_unstable_by_key(key);
    }

    pub(super) fn samples(&self) -> &Packed {
        &self.samples
    }

    pub(super) fn packed(mut self) -> Self {
        self.samples = self.samples.packed();
        self
    }
}

fn key(sample: &Sample) -> (i64, u64) {
    (sample.at.0, sample.value.to_bits())
}

/// The finaliser of splitmix64: every bit of time and value moves every bit of the hash.
fn hash(sample: &Sample) -> u64 {
    let mut x = (sample.at.0 as u64) ^ sample.value.to_bits().rotate_left(32);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Keeps the samples with the least hashes: the same ones in whatever order they came.
fn thin_out(samples: &mut Vec<Sample>) {
    samples.select_nth_unstable_by_key(SAMPLES_MAX - 1, |s| (hash(s), s.at, s.value.to_bits()));
    samples.truncate(SAMPLES_MAX);
}
