//! Which frames of one boot of a device have come. Pure.
//!
//! What is missing is kept, not what has come: a device that loses nothing costs the same however far it counts, and a
//! frame that comes an hour late is still told from a repeat.
//!
//! # Invariants
//! - `missing` is ascending, disjoint, not adjacent, below `next`, and at most [`HOLES_MAX`] long.
//! - A frame is taken for a repeat only if it came before: below `floor` nothing is known, and what has other bytes than
//!   the frame that had its identity is no repeat.

use serde::{Deserialize, Serialize};

use super::stamp;
use crate::clock::Stamp;

/// Runs of missing frames remembered of one boot, 8 bytes each. A device half of whose frames go elsewhere, as in a
/// shared subscription, has one in four frames: 1024 frames are remembered even then.
pub(super) const HOLES_MAX: usize = 256;
/// Frames whose CRCs are remembered, of the first ones and of the last ones of a boot: enough to notice that a device
/// has started again under a boot id that it had before, for then it begins to count anew.
const PROOFS: usize = 4;

/// The frames of one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) boot: u32,
    /// The first frame seen: what is missing below was perhaps never sent to this gateway.
    begun: u32,
    /// Nothing is known of frames below.
    floor: u32,
    /// After the highest frame seen.
    next: u64,
    missing: Vec<Hole>,
    /// What is missing below is told already, or need not be.
    told_below: u32,
    /// In the order of their times.
    waiting: Vec<Waiting>,
    /// Sequence and CRC of the first frames seen, and of the last ones.
    first: Proofs,
    last: Proofs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hole {
    first: u32,
    /// After its last frame.
    end: u32,
}

impl Hole {
    fn count(self) -> u64 {
        u64::from(self.end - self.first)
    }
}

/// Missing frames that are told, unless they come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    due_at_ns: u64,
    /// They are those below this, as far as they are not told.
    below: u32,
    #[serde(with = "stamp")]
    from: Stamp,
    #[serde(with = "stamp")]
    to: Stamp,
}

/// Missing frames to be told: how many, and when the frames around them were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) count: u64,
    pub(super) from: Stamp,
    pub(super) to: Stamp,
}

/// What a frame is to the window, before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It came before.
    Repeat,
    /// The next one, or one further on.
    Ahead,
    /// It was missing.
    Missing,
    /// It was told to be missing.
    Told,
    /// Too far back to know.
    Unknown,
    /// Another frame had its identity.
    Reused,
}

/// When frames are missed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missed {
    pub(super) due_at_ns: u64,
    /// When the device's frame before was received, and when the one that shows the hole.
    pub(super) from: Stamp,
    pub(super) to: Stamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Proofs {
    frames: [Option<(u32, u32)>; PROOFS],
}

impl Proofs {
    fn contradict(&self, seq: u32, crc: u32) -> bool {
        self.frames.iter().flatten().any(|(s, c)| *s == seq && *c != crc)
    }
}

impl Window {
    /// A boot whose first frame seen is `seq`. With `missed` those before it are missing, else nobody knows.
    pub(super) fn begin(boot: u32, seq: u32, crc: u32, missed: Option<Missed>) -> Self {
        let begun = if missed.is_some() { 0 } else { seq };
        let mut window = Self {
            boot,
            begun,
            floor: 0,
            next: 0,
            missing: Vec::new(),
            told_below: begun,
            waiting: Vec::new(),
            first: Proofs::default(),
            last: Proofs::default(),
        };
        window.reach(seq, missed);
        window.note(seq, crc);
        window
    }

    pub(super) fn look(&self, seq: u32, crc: u32) -> Look {
        if u64::from(seq) >= self.next {
            return Look::Ahead;
        }
        if seq < self.floor {
            return Look::Unknown;
        }
        match self.hole_of(seq) {
            Ok(_) if (self.begun..self.told_below).contains(&seq) => Look::Told,
            Ok(_) => Look::Missing,
            Err(_) if self.first.contradict(seq, crc) || self.last.contradict(seq, crc) => Look::Reused,
            Err(_) => Look::Repeat,
        }
    }

    /// Takes a frame that is [`Look::Ahead`]. What has to be forgotten for it is told.
    pub(super) fn go_on(&mut self, seq: u32, crc: u32, missed: Missed) -> Option<Told> {
        self.reach(seq, Some(missed));
        self.note(seq, crc);
        if self.missing.len() > HOLES_MAX { self.forget_lowest() } else { None }
    }

    /// Takes a frame that was missing; one that splits a hole may make it one too many.
    pub(super) fn fill(&mut self, seq: u32, crc: u32) -> Option<Told> {
        self.note(seq, crc);
        let Ok(at) = self.hole_of(seq) else { return None };
        let Hole { first, end } = self.missing[at];
        let rest = [Hole { first, end: seq }, Hole { first: seq + 1, end }];
        self.missing.splice(at..=at, rest.into_iter().filter(|hole| hole.first < hole.end));
        if self.missing.len() > HOLES_MAX { self.forget_lowest() } else { None }
    }

    /// What has waited long enough, and when the next is due.
    pub(super) fn tell(&mut self, now_ns: u64) -> Vec<Told> {
        let due = self.waiting.iter().take_while(|w| w.due_at_ns <= now_ns).count();
        (0..due).filter_map(|_| self.tell_oldest()).collect()
    }

    /// Everything that waits, because the window is forgotten.
    pub(super) fn tell_all(&mut self) -> Vec<Told> {
        self.tell(u64::MAX)
    }

    pub(super) fn next_due_ns(&self) -> Option<u64> {
        self.waiting.first().map(|w| w.due_at_ns)
    }

    pub(super) fn holes(&self) -> usize {
        self.missing.len()
    }

    fn hole_of(&self, seq: u32) -> Result<usize, usize> {
        // Most frames that are not ahead are repeats of late ones, or fill the last hole.
        let after = self.missing.partition_point(|hole| hole.first <= seq);
        match after.checked_sub(1) {
            Some(at) if seq < self.missing[at].end => Ok(at),
            Some(_) | None => Err(after),
        }
    }

    /// Moves `next` behind `seq`; what is skipped is missing.
    fn reach(&mut self, seq: u32, missed: Option<Missed>) {
        if self.next < u64::from(seq) {
            self.missing.push(Hole { first: self.next as u32, end: seq });
            if let Some(Missed { due_at_ns, from, to }) = missed {
                match self.waiting.last_mut() {
                    Some(last) if last.due_at_ns >= due_at_ns => (last.below, last.to) = (seq, to),
                    Some(_) | None => self.waiting.push(Waiting { due_at_ns, below: seq, from, to }),
                }
            }
        }
        self.next = u64::from(seq) + 1;
    }

    fn note(&mut self, seq: u32, crc: u32) {
        if let Some(free) = self.first.frames.iter_mut().find(|proof| proof.is_none()) {
            *free = Some((seq, crc));
        }
        self.last.frames.rotate_right(1);
        self.last.frames[0] = Some((seq, crc));
    }

    fn forget_lowest(&mut self) -> Option<Told> {
        let mut told = None;
        while self.missing[0].first >= self.told_below && !self.waiting.is_empty() {
            told = self.tell_oldest();
        }
        self.floor = self.missing.remove(0).end;
        told
    }

    /// `None` if all of it has come.
    fn tell_oldest(&mut self) -> Option<Told> {
        if self.waiting.is_empty() {
            return None;
        }
        let Waiting { below, from, to, .. } = self.waiting.remove(0);
        let of_it = |hole: &&Hole| (self.told_below..below).contains(&hole.first);
        let count = self.missing.iter().filter(of_it).map(|hole| hole.count()).sum();
        self.told_below = below;
        (count > 0).then_some(Told { count, from, to })
    }
}
