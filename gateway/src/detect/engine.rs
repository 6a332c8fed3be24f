//! The pure whole: measurements in, transactions out. Live it is driven by `task`, in batch by whoever reads an archive.
//!
//! # Invariants
//! - A transaction holds the derived records, the cursor and all state that belongs to the same set of records.
//! - The cursor waits at the oldest record that still feeds an open window. After a restart the records from there to
//!   [`Engine::processed`] only fill open windows again: nothing of them is counted, judged or written twice.
//! - The caller makes a transaction durable before it asks for the next, and before it what goes into the past.
//!
//! # Flow
//! ```text
//! restore ─▶ (on_measurement | on_undecodable | on_idle)* ─▶ changes ─▶ commit ─▶ …
//! ```

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use tracing::warn;

use firmware_protocol::derived::{Derived, Incident};
use firmware_protocol::measurement::{EventTime, Measurement, Received};

use super::Config;
use super::calendar::Calendar;
use super::judge::Judge;
use super::past::{ChunkName, PastChanges};
use super::rules::Absence;
use super::state::{
    Named, Pending, ROOT_KEY, Root, channel_key, channel_name_key, device_key, device_name_key, encode, load, rows_key,
};
use super::windows::{
    Archive, ChannelPlace, DeviceIndex, Event, Operator, Output, Pass, Place, SavedChannel, Taken, Unsaved,
};
use crate::queue::{Cursor, QueueSeq};

pub use super::state::StateSource;
pub use super::windows::Counts;

/// A transaction is worth making at this many derived records, some 100 KB.
pub(super) const DERIVED_MAX: usize = 256;

/// What becomes durable together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub derived: Vec<Derived>,
    pub cursor: Cursor,
    /// `None` deletes.
    pub state: Vec<(String, Option<Vec<u8>>)>,
    /// To be durable before all else here.
    pub past: PastChanges,
}

impl Changes {
    /// For a caller who cannot write the past: what was to be sealed stays in named state, until the channel gives it up.
    pub fn unseal(&mut self) {
        for (name, bytes) in std::mem::take(&mut self.past.sealed) {
            let ChunkName { device, channel, chunk } = name;
            self.state.push((rows_key(DeviceIndex(device), ChannelPlace(channel), chunk), Some(bytes)));
        }
    }
}

/// Whether all that is due has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Done,
    /// The transaction is full: there is more to do after it.
    More,
}

/// Operator, detectors and the transaction under construction.
#[derive(Debug)]
pub struct Engine {
    calendar: Calendar,
    operator: Operator,
    judge: Judge,
    /// After the newest record taken, with the books of all before it.
    reached: Cursor,
    /// Records before this were contained in the state that was restored.
    restored_until: QueueSeq,
    committed: Cursor,
    counts: Counts,
    derived: Vec<Derived>,
    pending: Pending,
    heard: BTreeSet<DeviceIndex>,
    out: Output,
    /// Nothing received before is waited for: the gateway itself may not have been there.
    absence: Absence,
}

impl Engine {
    /// Continues where the stored state ends; `cursor` is the reader's durable position.
    /// State that cannot be used is reported, and what it held is learned anew.
    pub fn restore(config: &Config, source: &dyn StateSource, cursor: Cursor) -> Self {
        let mut engine = Self {
            calendar: Calendar::hopping(config.window, config.hop),
            operator: Operator::new(config),
            judge: Judge::new(config),
            reached: cursor,
            restored_until: cursor.next,
            committed: cursor,
            counts: Counts::default(),
            derived: Vec::new(),
            pending: Pending::default(),
            heard: BTreeSet::new(),
            out: Output::default(),
            absence: Absence::NONE,
        };
        let (window_ns, hop_ns) = (engine.calendar.window_ns(), engine.calendar.hop_ns());
        match load::<Root>(source, ROOT_KEY) {
            Some(root) if (root.window_ns, root.hop_ns) == (window_ns, hop_ns) => {
                engine.restored_until = QueueSeq(root.processed).max(cursor.next);
                engine.restore_devices(source);
            }
            Some(root) => {
                warn!(
                    was_ns = root.window_ns,
                    is_ns = window_ns,
                    hop_was_ns = root.hop_ns,
                    hop_is_ns = hop_ns,
                    "Length or distance of windows has changed: all channels are learned anew."
                );
                engine.forget_all(source);
            }
            None => engine.forget_all(source),
        }
        engine
    }

    /// Tells when nobody listened: since the newest message of an earlier run, until this one began. What is silent then may
    /// not have been.
    pub fn set_absence(&mut self, from: EventTime, until: EventTime) {
        self.absence = Absence { from, until };
    }

    /// The record to read next.
    pub fn next(&self) -> QueueSeq {
        self.reached.next
    }

    /// All records before this one are contained in results and state.
    pub fn processed(&self) -> QueueSeq {
        self.reached.next.max(self.restored_until)
    }

    pub fn channels(&self) -> usize {
        self.operator.channels()
    }

    /// Incidents that were told of and that later windows may still join or amend: the open ones, and the newest of those
    /// that are over.
    pub fn incidents(&self) -> impl Iterator<Item = Incident> {
        self.operator.devices().flat_map(|device| self.judge.incidents(self.operator.device(device)))
    }

    /// Derived records that wait for the next transaction.
    pub fn derived_waiting(&self) -> usize {
        self.derived.len()
    }

    /// Takes what the record `seq` said.
    pub fn on_measurement(
        &mut self,
        seq: QueueSeq,
        measurement: &Measurement,
        received: Received,
        source: &dyn StateSource,
    ) {
        self.skip_to(seq);
        let pass = self.pass(seq);
        if let Some(device) = self.operator.find(measurement.device()).filter(|_| pass == Pass::First) {
            self.advance(device, received.at, source);
        }
        let archive = &mut Named { pending: &mut self.pending, source };
        let taken = self.operator.accept(measurement, received, self.reached, pass, archive, &mut self.out);
        match taken {
            Taken::Repeat(_) => self.reached.duplicate += 1,
            Taken::New(_) | Taken::Unknown => self.reached.delivered += 1,
        }
        self.reached.next = seq.plus(1);
        match (pass, taken) {
            (Pass::First, Taken::Repeat(device) | Taken::New(device)) => {
                let of = self.operator.device(device);
                self.derived.extend(self.judge.on_message(of, measurement, received.at, self.absence));
                self.heard.insert(device);
                self.judge(source);
            }
            (Pass::First, Taken::Unknown) => self.judge(source),
            (Pass::Rebuild, _) => self.out = Output::default(),
        }
    }

    /// Passes over a record that no decoder could read.
    pub fn on_undecodable(&mut self, seq: QueueSeq) {
        self.skip_to(seq);
        self.reached.quarantined += 1;
        self.reached.next = seq.plus(1);
    }

    /// Does what is due by the gateway's time: closes the windows of silent devices, makes revisions. Call it once all
    /// records received before are taken, and again after a transaction if there is more.
    pub fn on_idle(&mut self, now: EventTime, source: &dyn StateSource) -> Due {
        if self.pass(self.reached.next) == Pass::Rebuild {
            return Due::Done;
        }
        for device in self.operator.devices() {
            if self.derived.len() >= DERIVED_MAX {
                return Due::More;
            }
            self.advance(device, now, source);
        }
        Due::Done
    }

    /// Does for a device what is due by `now`, in the order in which it was due: results are the same whenever, and however
    /// often, anybody looks.
    fn advance(&mut self, device: DeviceIndex, now: EventTime, source: &dyn StateSource) {
        let silent_at = self.judge.silence_due_at(device, self.absence);
        if let Some(silent_at) = silent_at.filter(|at| *at <= now) {
            self.advance_windows(device, silent_at, source);
            let of = self.operator.device(device);
            self.derived.extend(self.judge.on_idle(of, silent_at, self.absence));
            self.heard.insert(device);
        }
        self.advance_windows(device, now, source);
    }

    fn advance_windows(&mut self, device: DeviceIndex, now: EventTime, source: &dyn StateSource) {
        let archive = &mut Named { pending: &mut self.pending, source };
        if self.operator.advance(device, now, archive, &mut self.out) {
            self.heard.insert(device);
            self.judge(source);
        }
    }

    /// What happened to readings since the last call, and how many models were learned.
    pub fn take_counts(&mut self) -> (Counts, u64) {
        (std::mem::take(&mut self.counts), self.judge.take_models_fitted())
    }

    /// The transaction since the last call; `None` if it would change nothing that lasts.
    pub fn changes(&mut self) -> Option<Changes> {
        let cursor = self.operator.oldest_mark().unwrap_or(self.reached);
        let is_rebuilding = self.pass(self.reached.next) == Pass::Rebuild;
        if is_rebuilding || (self.derived.is_empty() && self.pending.is_empty() && cursor == self.committed) {
            return None;
        }
        for device in std::mem::take(&mut self.heard) {
            self.save_device(device);
        }
        self.judge.save(&mut self.pending);
        let root = Root {
            processed: self.reached.next.0,
            window_ns: self.calendar.window_ns(),
            hop_ns: self.calendar.hop_ns(),
        };
        self.pending.insert(ROOT_KEY.to_owned(), Some(encode(&root)));
        self.committed = cursor;
        let Pending { state, past } = std::mem::take(&mut self.pending);
        let derived = std::mem::take(&mut self.derived);
        Some(Changes { derived, cursor, state: state.into_iter().collect(), past })
    }

    /// Records between the last one and `seq` are gone from the store, by damage or policy; the queue books them.
    fn skip_to(&mut self, seq: QueueSeq) {
        self.reached.next = self.reached.next.max(seq);
    }

    fn pass(&self, seq: QueueSeq) -> Pass {
        if seq < self.restored_until { Pass::Rebuild } else { Pass::First }
    }

    /// Passes on what the operator has told.
    fn judge(&mut self, source: &dyn StateSource) {
        self.counts.add(std::mem::take(&mut self.out.counts));
        let named = &mut Named { pending: &mut self.pending, source };
        for event in self.out.events.drain(..) {
            match event {
                Event::Closed(closed) => {
                    let device = self.operator.device(closed[0].device);
                    self.derived.extend(self.judge.on_closed(device, &closed, named));
                }
                Event::Slice(slice) => {
                    let device = self.operator.device(slice.device);
                    self.derived.extend(self.judge.on_slice(device, &slice));
                }
            }
        }
    }

    fn save_device(&mut self, device: DeviceIndex) {
        let pending = &mut self.pending;
        self.operator.save(device, |unsaved| {
            let (key, value) = match unsaved {
                Unsaved::DeviceName(name) => (device_name_key(device), encode(&name)),
                Unsaved::Device(saved) => (device_key(device), encode(&saved)),
                Unsaved::ChannelName(channel, name) => (channel_name_key(device, channel), encode(&name)),
                Unsaved::Channel(channel, saved) => (channel_key(device, channel), encode(saved)),
            };
            pending.insert(key, Some(value));
        });
    }

    fn restore_devices(&mut self, source: &dyn StateSource) {
        for device in devices(source) {
            let name: Option<String> = load(source, &device_name_key(device));
            let device = self.operator.restore_device(name.as_deref(), load(source, &device_key(device)));
            for channel in channels_of(device, source) {
                let name: Option<String> = load(source, &channel_name_key(device, channel));
                let saved = load(source, &channel_key(device, channel)).unwrap_or(SavedChannel::NEW);
                self.operator.restore_channel(device, name.as_deref(), saved);
            }
            let channels: Vec<ChannelPlace> = channels_of(device, source).collect();
            self.judge.restore(device, &channels, source);
        }
    }

    /// Deletes what earlier settings or versions left behind.
    fn forget_all(&mut self, source: &dyn StateSource) {
        self.pending.past.is_cleared = true;
        let named = &mut Named { pending: &mut self.pending, source };
        for device in devices(source) {
            for channel in channels_of(device, source) {
                let saved = load(source, &channel_key(device, channel)).unwrap_or(SavedChannel::NEW);
                for window in saved.archived() {
                    Archive::remove(named, Place { device, channel, window });
                }
                named.remove(channel_name_key(device, channel));
                named.remove(channel_key(device, channel));
            }
            let channels: Vec<ChannelPlace> = channels_of(device, source).collect();
            Judge::forget(device, &channels, named);
            named.remove(device_name_key(device));
            named.remove(device_key(device));
        }
    }
}

fn devices(source: &dyn StateSource) -> impl Iterator<Item = DeviceIndex> {
    (0..).map(DeviceIndex).take_while(|d| source.state(&device_name_key(*d)).is_some())
}

fn channels_of(device: DeviceIndex, source: &dyn StateSource) -> impl Iterator<Item = ChannelPlace> {
    let is_stored = move |c: &ChannelPlace| source.state(&channel_name_key(device, *c)).is_some();
    (0..).map(ChannelPlace).take_while(is_stored)
}
