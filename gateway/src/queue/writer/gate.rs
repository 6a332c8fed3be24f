//! The queue's [`Admission`] at work, and how what it knows outlives a crash.
//!
//! # Invariants
//! - What is admitted is asked for once: a commit that is mended does not ask again.
//! - The store holds a snapshot, and every raw record stored after it: a generation is not deleted before a later
//!   snapshot covers it.
//! - A snapshot is written once in each generation, by the commit after the one that began it, and at a clean end: so a
//!   restart reads at most what one generation holds, and a clean one nothing.
//! - A record that waits is a named state of its own: it is written once, and deleted by the commit that stores it.

use std::fmt::Display;
use std::time::Duration;

use super::Writer;
use crate::queue::admission::{Admission, Aside};
use crate::queue::block;
use crate::queue::generations::contents::Batch;
use crate::queue::generations::{Seen, View};
use crate::queue::record::{Log, QueueSeq, Record};
use crate::queue::shared::Shared;
use crate::queue::store::StoreError;

/// Named state: the sequence that the snapshot ends at, 8 bytes, little endian; then the snapshot.
const STATE: &str = "admission";
const SEQ_BYTES: usize = 8;
/// Named states, with a number behind it: a block of the raw log with the one record that waits.
const WAITING: &str = "admission/waiting/";
/// What waits is looked at no more often.
const RELEASE_STEP: Duration = Duration::from_secs(1);
/// What cannot be read is tried as often.
const READS_MAX: u32 = 3;

/// A named state, and what it is from now on; `None`: nothing.
type StateChange = (String, Option<Vec<u8>>);

pub(in crate::queue) struct Gate {
    /// `None`: all is stored.
    admission: Option<Box<dyn Admission>>,
    /// Raw records before this are in the snapshot that the store holds…
    covered: QueueSeq,
    /// …since this generation was the newest.
    generation: u32,
    /// End of the snapshot that the batch at hand holds.
    under_way: Option<QueueSeq>,
    /// What waited when the last run ended, until it is recalled.
    waiting: Vec<(u64, Record)>,
}

impl Gate {
    /// Lets `admission` know what it knew. A damaged snapshot is made up for by the records still held.
    ///
    /// # Errors
    /// The snapshot cannot be read, and another try may do better.
    pub(in crate::queue) fn open(mut admission: Option<Box<dyn Admission>>, view: &View) -> Result<Self, StoreError> {
        let (mut covered, mut waiting) = (QueueSeq(0), Vec::new());
        if let Some(admission) = &mut admission {
            match patiently(|| view.state(STATE), Result::is_err) {
                Ok(state) => {
                    if let Some((seq, snapshot)) = state.as_deref().and_then(<[u8]>::split_first_chunk::<SEQ_BYTES>) {
                        match admission.restore(snapshot) {
                            Ok(()) => covered = QueueSeq(u64::from_le_bytes(*seq)),
                            Err(reason) => warn_of_repeats(&reason),
                        }
                    }
                }
                Err(error) if error.is_damage() => warn_of_repeats(&error),
                Err(error) => return Err(error),
            }
            match patiently(|| view.states(WAITING), Result::is_err) {
                Ok(states) => waiting = states.iter().filter_map(|(name, bytes)| waited(name, bytes)).collect(),
                Err(error) if error.is_damage() => warn_of_lost(&error),
                Err(error) => return Err(error),
            }
        }
        Ok(Self { admission, covered, generation: 0, under_way: None, waiting })
    }

    /// Reads what was stored after the snapshot, up to `next`; `newest` is the newest generation.
    pub(super) fn learn(&mut self, shared: &Shared, next: QueueSeq, newest: u32) {
        if self.covered >= next {
            self.generation = newest;
        } else {
            self.learn_from(shared, next);
        }
        if let Some(admission) = &mut self.admission {
            for (number, record) in std::mem::take(&mut self.waiting) {
                admission.recall(number, record);
            }
        }
    }

    fn learn_from(&mut self, shared: &Shared, next: QueueSeq) {
        let Some(admission) = &mut self.admission else { return };
        let (mut at, mut records) = (self.covered, 0u64);
        while at < next {
            let has_failed = |seen: &_| matches!(seen, Ok(Seen::Unreadable { .. }) | Err(_));
            let stored = match patiently(|| shared.view.read(Log::Raw, at), has_failed) {
                Ok(Seen::Block(stored)) => stored,
                Ok(Seen::Nothing) => break,
                // The writer sets it aside, and what it held is lost: delivered again, it is new.
                Ok(Seen::Unreadable { generation, error }) => {
                    let sealed = shared.view.sealed().into_iter().find(|sealed| sealed.number == generation);
                    shared.suspect(generation, error);
                    match sealed.and_then(|sealed| sealed.held[Log::Raw as usize].runs.end()).filter(|end| *end > at) {
                        Some(end) => at = end,
                        None => break,
                    }
                    continue;
                }
                Err(error) => {
                    warn_of_repeats(&error);
                    break;
                }
            };
            // A damaged block is counted as lost by whoever reads it.
            if let Ok(block) = block::decode(&stored.bytes) {
                for (_, record) in block.records_from(at) {
                    admission.learn(record);
                    records += 1;
                }
            }
            at = stored.run.end;
        }
        tracing::info!(records, from = self.covered.0, "Queue knows again what was received before.");
    }

    pub(super) fn admit(&mut self, record: Record, log: &mut Vec<Record>) {
        match &mut self.admission {
            Some(admission) => admission.admit(record, log),
            None => log.push(record),
        }
    }

    pub(super) fn release(&mut self, log: &mut Vec<Record>) {
        if let Some(admission) = &mut self.admission {
            admission.release(log);
        }
    }

    /// Records for the derived log, and states: what waits from now on, and what does not any more.
    pub(super) fn take(&mut self) -> (Vec<Record>, Vec<StateChange>) {
        let Some(admission) = &mut self.admission else { return Default::default() };
        let Aside { derived, waiting } = admission.take();
        let state = |(number, record): (u64, Option<Record>)| {
            let block = |record| block::encode_one(Log::Raw, QueueSeq(number), record);
            (format!("{WAITING}{number:020}"), record.as_ref().map(block))
        };
        (derived, waiting.into_iter().map(state).collect())
    }

    fn release_in(&self) -> Option<Duration> {
        self.admission.as_ref().and_then(|admission| admission.release_in())
    }

    /// Whether `newest` has begun since the last snapshot.
    pub(super) fn is_due(&self, newest: u32) -> bool {
        self.admission.is_some() && self.generation != newest
    }

    /// Puts all that is known into a batch after which the raw log ends at `end`.
    pub(super) fn add_snapshot(&mut self, batch: &mut Batch, end: QueueSeq) {
        let Some(admission) = &self.admission else { return };
        let state = [&end.0.to_le_bytes(), admission.snapshot().as_slice()].concat();
        batch.state.push((STATE.to_owned(), Some(state)));
        self.under_way = Some(end);
    }

    /// The batch is durable, in `newest`.
    pub(super) fn persisted(&mut self, newest: u32) {
        if let Some(end) = self.under_way.take() {
            (self.covered, self.generation) = (end, newest);
        }
    }

    /// Raw records from here on are needed after a crash.
    pub(super) fn keeps_from(&self) -> QueueSeq {
        if self.admission.is_some() { self.covered } else { QueueSeq(u64::MAX) }
    }
}

/// A state as the record that waits.
fn waited(name: &str, bytes: &[u8]) -> Option<(u64, Record)> {
    match block::decode(bytes) {
        Ok(block) => block.records_from(block.first()).next().map(|(number, record)| (number.0, record.clone())),
        Err(damage) => {
            warn_of_lost(&format_args!("`{name}`: {damage}"));
            None
        }
    }
}

fn warn_of_lost(reason: &dyn Display) {
    tracing::error!(%reason, "A record that waited to be understood cannot be read: it is lost.");
}

fn warn_of_repeats(reason: &dyn Display) {
    tracing::error!(%reason, "Not all that was received before can be read; what of it comes again may be stored again.");
}

/// Reads again what cannot be read: some disks fail now and then.
fn patiently<T>(read: impl Fn() -> T, has_failed: impl Fn(&T) -> bool) -> T {
    for _ in 1..READS_MAX {
        let seen = read();
        if !has_failed(&seen) {
            return seen;
        }
    }
    read()
}

impl Writer {
    /// How many of the oldest generations nobody needs any more, given where consumers read on.
    pub(super) fn drained(&self, keep_from: [QueueSeq; 2]) -> usize {
        let [raw, derived] = keep_from;
        self.store.drained([raw.min(self.gate.keeps_from()), derived])
    }

    /// Adds what the gate has to write down, if it is due. `is_last`: nothing comes after this batch.
    pub(super) fn add_snapshot_if_due(&mut self, batch: &mut Batch, is_last: bool) {
        let of_log = |block: &&block::Encoded| block.body.log == Log::Raw;
        let end = batch.blocks.iter().filter(of_log).map(|block| block.body.end()).max();
        let end = end.unwrap_or(self.next[Log::Raw as usize]);
        if self.gate.is_due(self.store.newest_number()) || (is_last && self.gate.keeps_from() < end) {
            self.gate.add_snapshot(batch, end);
        }
    }

    /// What waits is let go in time, though nothing else is to be committed.
    pub(super) fn keep_waiting(&self) {
        if let Some(delay) = self.gate.release_in() {
            self.shared.books_changed(delay.max(RELEASE_STEP));
        }
    }

    /// A generation that was begun is not left without a snapshot, though nothing else is to be committed.
    pub(super) fn keep_snapshot(&self) {
        if self.gate.is_due(self.store.newest_number()) {
            self.shared.books_changed(self.config.cursor_delay);
        }
    }
}
