//! What a pane or a window holds: its readings, or the seconds of a channel that gives too many.
//!
//! # Invariants
//! - Readings in any order within the allowed disorder make the same content.
//! - Late ones that were there are told by time and value, as long as the readings themselves are kept. A second knows no
//!   single reading: of it a repeat is told by its frame's identity alone, before it comes here.

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::EventTime;

use super::super::features::{Sample, Second, Series};
use super::room::{Beyond, Room};
use super::samples::Packed;
use super::seconds::Seconds;

/// Readings of one channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub(in crate::detect) struct Content {
    /// Readings; more than are kept if they were thinned out.
    pub(super) count: u32,
    /// Sum of the readings' hashes: the same for the same readings in any order.
    pub(super) digest: u64,
    body: Body,
}

#[derive(Clone, Debug, PartialEq)]
enum Body {
    /// In order of arrival.
    Samples(Packed),
    Seconds(Seconds),
}

impl Content {
    /// For readings of a channel that is known to give too many.
    pub(super) fn of_seconds() -> Self {
        Self { body: Body::Seconds(Seconds::default()), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn has_seconds(&self) -> bool {
        match &self.body {
            Body::Samples(_) => false,
            Body::Seconds(_) => true,
        }
    }

    pub(super) fn push(&mut self, sample: Sample, room: &Room) {
        self.count = self.count.saturating_add(1);
        self.digest = self.digest.wrapping_add(hash(&sample));
        match &mut self.body {
            Body::Samples(samples) => {
                samples.push(sample);
                self.keep_to(room);
            }
            Body::Seconds(seconds) => seconds.push(sample, room),
        }
    }

    fn keep_to(&mut self, room: &Room) {
        let Body::Samples(samples) = &self.body else { return };
        match room.beyond {
            Beyond::Seconds if samples.len() > room.samples => self.become_seconds(room),
            Beyond::Drawn if samples.len() >= 2 * room.samples => self.draw(room),
            Beyond::Seconds | Beyond::Drawn => {}
        }
    }

    /// From here on it is one of seconds.
    pub(super) fn become_seconds(&mut self, room: &Room) {
        if let Body::Samples(samples) = &self.body {
            self.body = Body::Seconds(Seconds::of(&sorted(samples, room), room));
        }
    }

    /// Adds what a neighbouring pane holds.
    pub(super) fn append(&mut self, other: &Self, room: &Room) {
        self.count = self.count.saturating_add(other.count);
        self.digest = self.digest.wrapping_add(other.digest);
        match (&mut self.body, &other.body) {
            (Body::Samples(ours), Body::Samples(theirs)) => ours.append(theirs),
            (Body::Samples(_) | Body::Seconds(_), _) => self.add_seconds_of(other, room),
        }
    }

    /// Adds the readings that it does not hold yet; says how many were added, and how many were there.
    pub(super) fn merge(&mut self, late: &Self, room: &Room) -> (u32, u32) {
        let (Body::Samples(samples), Body::Samples(theirs)) = (&mut self.body, &late.body) else {
            self.count = self.count.saturating_add(late.count);
            self.digest = self.digest.wrapping_add(late.digest);
            self.add_seconds_of(late, room);
            return (late.count, 0);
        };
        let (ours, theirs) = (sorted(samples, room), sorted(theirs, room));
        let mut held = ours.iter().map(key).peekable();
        let mut added = 0_u32;
        for sample in &theirs {
            while held.peek().is_some_and(|k| *k < key(sample)) {
                held.next();
            }
            // One of several that are equal stands for one only.
            if held.next_if_eq(&key(sample)).is_none() {
                samples.push(*sample);
                self.digest = self.digest.wrapping_add(hash(sample));
                added += 1;
            }
        }
        self.keep_to(room);
        // What was thinned out of the late ones cannot be compared: it is taken to be new.
        let unseen = late.count.saturating_sub(theirs.len() as u32);
        self.count = self.count.saturating_add(added + unseen);
        (added + unseen, late.count.saturating_sub(added + unseen))
    }

    /// As it is judged and stored: no more than there is room for, and nothing that waits.
    pub(super) fn finished(mut self, room: &Room) -> Self {
        match &mut self.body {
            Body::Samples(samples) if room.beyond == Beyond::Drawn && samples.len() > room.samples => self.draw(room),
            Body::Samples(samples) => samples.pack(),
            Body::Seconds(seconds) => seconds.fold_all(room),
        }
        self
    }

    /// What a finished content holds, in order of time; samples are put into `work`.
    pub(in crate::detect) fn series<'a>(&'a self, work: &'a mut Vec<Sample>) -> Series<'a> {
        match &self.body {
            Body::Samples(samples) => {
                work.clear();
                work.reserve(samples.len());
                samples.read(work);
                // By time and bits: the same in whatever order they came.
                work.sort_unstable_by_key(key);
                Series::Samples(work)
            }
            Body::Seconds(seconds) => Series::Seconds(seconds.folded()),
        }
    }

    /// What lies in `[since, to)`; of seconds, whole ones.
    pub(super) fn part(&self, since: EventTime, to: EventTime, room: &Room) -> Part {
        match &self.body {
            Body::Samples(samples) => {
                let mut read = Vec::new();
                samples.read_since(since, &mut read);
                read.retain(|s| (since..to).contains(&s.at));
                read.sort_unstable_by_key(key);
                Part::Samples(read)
            }
            Body::Seconds(seconds) => Part::Seconds(seconds.between(since, to, room)),
        }
    }

    fn add_seconds_of(&mut self, other: &Self, room: &Room) {
        self.become_seconds(room);
        let mut other = other.clone();
        other.become_seconds(room);
        if let (Body::Seconds(ours), Body::Seconds(theirs)) = (&mut self.body, &mut other.body) {
            ours.fold_all(room);
            theirs.fold_all(room);
            theirs.folded().iter().for_each(|second| ours.add(*second));
        }
    }

    fn draw(&mut self, room: &Room) {
        if let Body::Samples(samples) = &mut self.body {
            *samples = Packed::of(&sorted(samples, room));
        }
    }
}

#[cfg(test)]
impl Content {
    pub(super) fn bytes(&self) -> usize {
        match &self.body {
            Body::Samples(samples) => samples.bytes(),
            Body::Seconds(seconds) => seconds.bytes(),
        }
    }
}

/// Part of a content, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::detect) enum Part {
    Samples(Vec<Sample>),
    Seconds(Vec<Second>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Samples(Packed::default())
    }
}

/// As stored. What older gateways stored ends behind the samples.
#[derive(Serialize, Deserialize)]
struct Saved {
    count: u32,
    digest: u64,
    samples: Packed,
    #[serde(deserialize_with = "crate::detect::appended::or_default")]
    seconds: Option<Vec<Second>>,
}

impl From<Saved> for Content {
    fn from(saved: Saved) -> Self {
        let Saved { count, digest, samples, seconds } = saved;
        let body = match seconds {
            Some(seconds) => Body::Seconds(Seconds::from_folded(seconds)),
            None => Body::Samples(samples),
        };
        Self { count, digest, body }
    }
}

impl From<Content> for Saved {
    /// Of a finished content.
    fn from(content: Content) -> Self {
        let Content { count, digest, body } = content;
        match body {
            Body::Samples(samples) => Self { count, digest, samples, seconds: None },
            Body::Seconds(seconds) => {
                Self { count, digest, samples: Packed::default(), seconds: Some(seconds.into_folded()) }
            }
        }
    }
}

pub(super) fn key(sample: &Sample) -> (i64, u64) {
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
pub(in crate::detect) fn thin_out(samples: &mut Vec<Sample>, most: usize) {
    if samples.len() > most {
        samples.select_nth_unstable_by_key(most - 1, |s| (hash(s), s.at, s.value.to_bits()));
        samples.truncate(most);
    }
}

/// Samples by time and bits; no more than there is room for.
fn sorted(samples: &Packed, room: &Room) -> Vec<Sample> {
    let mut plain = Vec::with_capacity(samples.len());
    samples.read(&mut plain);
    if room.beyond == Beyond::Drawn {
        thin_out(&mut plain, room.samples);
    }
    plain.sort_unstable_by_key(key);
    plain
}
