//! Which frames of which devices have come, in bounded memory. Pure; time is what the stamps of the records say.
//!
//! # Invariants
//! - All follows from the frames that are stored, in their order, so that a replay gives the same; a repeat changes
//!   nothing.
//! - At most [`Config::devices_max`] devices and [`HOLES_PER_DEVICE`] times as many holes are remembered; those heard
//!   longest ago are forgotten for new ones, and what was missing of them is told.
//! - Each missing frame is told at most once.

use std::collections::HashMap;

use firmware_protocol::frame::Header;
use serde::{Deserialize, Serialize};

use super::window::{Look, Missed, Told, Window};
use super::{Config, stamp};
use crate::clock::Stamp;

/// Boots remembered of a device: the one under way, and those before whose last frames may still be on their way.
const BOOTS_MAX: usize = 3;
/// A boot that lies so little before a known one is an earlier start, not the next: what it sent before is forgotten,
/// or was sent before this gateway knew the device.
const EARLIER_BOOTS: u32 = 1_024;
/// Devices are forgotten by this part of all at a time, so that looking for them costs little.
const FORGET_PART: usize = 16;
/// Holes remembered, on average over [`Config::devices_max`]: 128 bytes a device.
const HOLES_PER_DEVICE: usize = 16;
/// Missing frames wait for [`Config::gap_after`] and at most this part of it longer, to be told together.
const WAIT_PARTS: u64 = 8;

/// A frame at the door.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) header: Header<'a>,
    pub(super) crc: u32,
    pub(super) received: Stamp,
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is stored already: the only one that is not to be stored.
    Repeat,
    New,
    /// New, after a gap record had told that it is missing.
    AfterAll,
    /// It may be a repeat, but comes too late to tell.
    Unknown,
    /// Another frame had its identity before: the device has begun anew under a boot id that it had.
    Reused,
}

/// What a frame is about to turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreseen {
    Repeat,
    New,
    /// Too far back to tell, or of a boot before all that are remembered: it may have come before.
    Untellable,
}

/// Frames of a device that have not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) device: String,
    pub(super) count: u64,
    pub(super) from: Stamp,
    pub(super) to: Stamp,
}

#[derive(Debug)]
pub(super) struct Devices {
    devices_max: usize,
    gap_after_ns: u64,
    known: HashMap<String, Device>,
    time: Time,
    /// Counts the frames stored: who was heard last.
    frames: u64,
    /// Of all devices.
    holes: usize,
    /// No missing frames are to be told before.
    next_due_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Device {
    /// The one heard last at the end.
    boots: Vec<Window>,
    heard_at_frame: u64,
    #[serde(with = "stamp")]
    heard_at: Stamp,
}

/// How much time has passed, as far as the stamps tell: between two starts of the machine none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Time {
    #[serde(with = "stamp")]
    latest: Stamp,
    passed_ns: u64,
}

impl Time {
    fn at(self, received: Stamp) -> Self {
        if received.boot != self.latest.boot {
            return Self { latest: received, ..self };
        }
        let passed_ns = self.passed_ns + received.since_boot_ns.saturating_sub(self.latest.since_boot_ns);
        Self { latest: self.latest.max(received), passed_ns }
    }
}

/// What [`Devices::snapshot`] writes, after a byte for its version.
#[derive(Serialize, Deserialize)]
struct Saved<D> {
    time: Time,
    frames: u64,
    /// Sorted by name.
    devices: D,
}

const SNAPSHOT_VERSION: u8 = 1;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error("version {0:?}, this gateway knows {SNAPSHOT_VERSION}")]
    UnknownVersion(Option<u8>),
    #[error("body does not match its version: {0}")]
    Malformed(#[from] postcard::Error),
}

impl Devices {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            devices_max: config.devices_max,
            gap_after_ns: u64::try_from(config.gap_after.as_nanos()).unwrap_or(u64::MAX),
            known: HashMap::new(),
            time: Time::default(),
            frames: 0,
            holes: 0,
            next_due_ns: u64::MAX,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// What the frame would turn out to be; changes nothing.
    pub(super) fn foresee(&self, header: &Header<'_>, crc: u32) -> Foreseen {
        let Some(device) = self.known.get(header.device) else { return Foreseen::New };
        let boot = header.boot.0;
        match device.boots.iter().find(|window| window.boot == boot) {
            Some(window) => match window.look(header.seq.0, crc) {
                Look::Repeat => Foreseen::Repeat,
                Look::Unknown => Foreseen::Untellable,
                Look::Ahead | Look::Missing | Look::Told | Look::Reused => Foreseen::New,
            },
            None if device.boots.iter().all(|window| boot < window.boot) => Foreseen::Untellable,
            None => Foreseen::New,
        }
    }

    /// Takes a frame, and adds what is now known to be missing.
    pub(super) fn take(&mut self, frame: &Arrival<'_>, missing: &mut Vec<Missing>) -> Seen {
        let time = self.time.at(frame.received);
        let due_at_ns = self.due_at_ns(time);
        let seen = match self.known.get_mut(frame.header.device) {
            Some(device) => {
                let holes = device.holes();
                let seen = device.take(frame, due_at_ns, missing);
                if seen == Seen::Repeat {
                    return seen;
                }
                device.heard_at_frame = self.frames;
                self.holes = self.holes + device.holes() - holes;
                self.next_due_ns = device.next_due_ns().min(self.next_due_ns);
                seen
            }
            None => {
                let device = Device::first_heard(frame, self.frames);
                self.holes += device.holes();
                self.known.insert(frame.header.device.to_owned(), device);
                Seen::New
            }
        };
        (self.time, self.frames) = (time, self.frames + 1);
        self.make_room(missing);
        self.tell_due(missing);
        seen
    }

    /// Time passes by a record that is no frame.
    pub(super) fn pass(&mut self, received: Stamp, missing: &mut Vec<Missing>) {
        self.time = self.time.at(received);
        self.tell_due(missing);
    }

    /// In steps, so that not each hole is looked for at a time of its own.
    fn due_at_ns(&self, time: Time) -> u64 {
        let step = (self.gap_after_ns / WAIT_PARTS).max(1);
        let due = time.passed_ns.saturating_add(self.gap_after_ns);
        due.checked_next_multiple_of(step).unwrap_or(due)
    }

    fn tell_due(&mut self, missing: &mut Vec<Missing>) {
        let now_ns = self.time.passed_ns;
        if now_ns < self.next_due_ns {
            return;
        }
        let first = missing.len();
        self.next_due_ns = u64::MAX;
        for (name, device) in &mut self.known {
            let told = device.boots.iter_mut().flat_map(|window| window.tell(now_ns));
            missing.extend(told.map(|told| told.of(name)));
            self.next_due_ns = device.next_due_ns().min(self.next_due_ns);
        }
        missing[first..].sort_by(|a, b| a.device.cmp(&b.device));
    }

    /// Forgets the devices heard longest ago, if there are too many or they take too much.
    fn make_room(&mut self, missing: &mut Vec<Missing>) {
        let is_full = self.known.len() > self.devices_max || self.holes > HOLES_PER_DEVICE * self.devices_max;
        if !is_full || self.known.len() < 2 {
            return;
        }
        let mut heard: Vec<_> = self.known.values().map(|device| device.heard_at_frame).collect();
        // Never the one that was heard just now.
        let count = (heard.len() / FORGET_PART).clamp(1, heard.len() - 1);
        let (_, &mut stays_from, _) = heard.select_nth_unstable(count);
        let first = missing.len();
        self.known.retain(|name, device| {
            let stays = device.heard_at_frame >= stays_from;
            if !stays {
                self.holes -= device.holes();
                let told = device.boots.iter_mut().flat_map(Window::tell_all);
                missing.extend(told.map(|told| told.of(name)));
            }
            stays
        });
        missing[first..].sort_by(|a, b| a.device.cmp(&b.device));
    }

    pub(super) fn snapshot(&self) -> Vec<u8> {
        let mut devices: Vec<_> = self.known.iter().collect();
        devices.sort_unstable_by_key(|(name, _)| *name);
        let saved = Saved { time: self.time, frames: self.frames, devices };
        postcard::to_extend(&saved, vec![SNAPSHOT_VERSION]).expect("plain data, into memory")
    }

    /// Takes the place of all that is known.
    ///
    /// # Errors
    /// What is wrong with the bytes; nothing is changed then.
    pub(super) fn restore(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let (version, body) = snapshot.split_first().ok_or(SnapshotError::UnknownVersion(None))?;
        if *version != SNAPSHOT_VERSION {
            return Err(SnapshotError::UnknownVersion(Some(*version)));
        }
        let saved: Saved<Vec<(String, Device)>> = postcard::from_bytes(body)?;
        (self.time, self.frames) = (saved.time, saved.frames);
        self.known = saved.devices.into_iter().collect();
        self.holes = self.known.values().map(Device::holes).sum();
        self.next_due_ns = self.known.values().map(Device::next_due_ns).min().unwrap_or(u64::MAX);
        Ok(())
    }
}

impl Device {
    /// What it sent before nobody knows: the gateway may be the newer one.
    fn first_heard(frame: &Arrival<'_>, heard_at_frame: u64) -> Self {
        let Arrival { header, crc, received } = *frame;
        let window = Window::begin(header.boot.0, header.seq.0, crc, None);
        Self { boots: vec![window], heard_at_frame, heard_at: received }
    }

    fn take(&mut self, frame: &Arrival<'_>, due_at_ns: u64, missing: &mut Vec<Missing>) -> Seen {
        let Arrival { header, crc, received } = *frame;
        let (boot, seq) = (header.boot.0, header.seq.0);
        let missed = Missed { due_at_ns, from: self.heard_at, to: received };
        let told = |told: Told| told.of(header.device);
        let Some(at) = self.boots.iter().position(|window| window.boot == boot) else {
            let is_earlier = self.boots.iter().any(|w| (1..=EARLIER_BOOTS).contains(&w.boot.wrapping_sub(boot)));
            if self.boots.len() == BOOTS_MAX {
                missing.extend(self.boots.remove(0).tell_all().into_iter().map(told));
            }
            self.boots.push(Window::begin(boot, seq, crc, (!is_earlier).then_some(missed)));
            self.heard_at = received;
            return Seen::New;
        };
        let window = &mut self.boots[at];
        let seen = match window.look(seq, crc) {
            Look::Repeat => return Seen::Repeat,
            Look::Ahead => {
                missing.extend(window.go_on(seq, crc, missed).map(told));
                Seen::New
            }
            Look::Missing => {
                missing.extend(window.fill(seq, crc).map(told));
                Seen::New
            }
            Look::Told => {
                missing.extend(window.fill(seq, crc).map(told));
                Seen::AfterAll
            }
            Look::Unknown => Seen::Unknown,
            Look::Reused => {
                missing.extend(window.tell_all().into_iter().map(told));
                *window = Window::begin(boot, seq, crc, None);
                Seen::Reused
            }
        };
        self.boots[at..].rotate_left(1);
        self.heard_at = received;
        seen
    }

    fn holes(&self) -> usize {
        self.boots.iter().map(Window::holes).sum()
    }

    /// `u64::MAX` if nothing waits.
    fn next_due_ns(&self) -> u64 {
        self.boots.iter().filter_map(Window::next_due_ns).min().unwrap_or(u64::MAX)
    }
}

impl Told {
    fn of(self, device: &str) -> Missing {
        let Self { count, from, to } = self;
        Missing { device: device.to_owned(), count, from, to }
    }
}
