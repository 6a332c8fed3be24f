//! Records that cannot be read before another one has come, in bounded memory. Pure; time is an argument.
//!
//! # Invariants
//! - They leave in the order in which they came: all of one sender and table together, or the oldest for want of room or
//!   because it has waited long enough.
//! - Of one sender at most [`SENDER_BYTES_MAX`] wait, of all [`BYTES_MAX`].
//! - What changed is told once, so that it can be made durable.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::clock::Stamp;
use crate::queue::Record;

/// Of one sender: an eloquent one must not crowd out the others.
pub(super) const SENDER_BYTES_MAX: usize = 64 << 10;
/// Of all: what is in memory and on disk beside the log.
pub(super) const BYTES_MAX: usize = 256 << 10;
/// What a record takes beside its texts.
const RECORD_BYTES: usize = size_of::<Held>() + 64;

/// Who can tell what a record's numbers mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    /// A device that sends frames, by its name.
    Device(String),
    /// A Sparkplug edge node, or a device behind it: `GROUP/NODE` or `GROUP/NODE/DEVICE`.
    Edge(String),
}

impl Sender {
    fn bytes(&self) -> usize {
        match self {
            Self::Device(name) | Self::Edge(name) => name.len(),
        }
    }
}

/// What a record waits for: a table of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) sender: Sender,
    /// The table's id; 0 for Sparkplug, which has none.
    pub(super) table: u32,
}

/// Which frame a record is, if it is one: boot, sequence, CRC.
pub(super) type Identity = (u32, u32, u32);

/// A record that waits.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) record: Record,
    pub(super) wanted: Wanted,
    pub(super) identity: Option<Identity>,
    /// When its waiting began.
    pub(super) since: Stamp,
}

impl Held {
    fn bytes(&self) -> usize {
        let Record { payload, topic, content_type, .. } = &self.record;
        payload.len() + topic.len() + content_type.len() + self.wanted.sender.bytes() + RECORD_BYTES
    }
}

#[derive(Debug)]
pub(super) struct Waiting {
    wait_ns: u64,
    held: BTreeMap<u64, Held>,
    /// Numbers by sender, with the bytes of its records.
    senders: HashMap<Sender, (VecDeque<u64>, usize)>,
    bytes: usize,
    next: u64,
    changes: Vec<(u64, Option<Record>)>,
}

impl Waiting {
    pub(super) fn new(wait: Duration) -> Self {
        Self {
            wait_ns: u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX),
            held: BTreeMap::new(),
            senders: HashMap::new(),
            bytes: 0,
            next: 0,
            changes: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn has(&self, sender: &Sender, identity: Identity) -> bool {
        let numbers = self.senders.get(sender).map(|(numbers, _)| numbers);
        numbers.into_iter().flatten().any(|number| self.held.get(number).is_some_and(|h| h.identity == Some(identity)))
    }

    /// Takes a record in; gives those that have no room any more, perhaps this one.
    pub(super) fn put(&mut self, held: Held) -> Vec<Held> {
        let number = self.next;
        self.next += 1;
        self.changes.push((number, Some(held.record.clone())));
        self.insert(number, held)
    }

    /// Takes in a record of an earlier run.
    pub(super) fn recall(&mut self, number: u64, held: Held) -> Vec<Held> {
        self.next = self.next.max(number + 1);
        self.insert(number, held)
    }

    fn insert(&mut self, number: u64, held: Held) -> Vec<Held> {
        let (sender, bytes) = (held.wanted.sender.clone(), held.bytes());
        let (numbers, of_sender) = self.senders.entry(sender.clone()).or_default();
        numbers.push_back(number);
        *of_sender += bytes;
        self.bytes += bytes;
        self.held.insert(number, held);
        let mut left = Vec::new();
        while let Some(oldest) = self.crowded(&sender) {
            left.extend(self.remove(oldest));
        }
        left
    }

    /// The record that has to go, if there is no room.
    fn crowded(&self, sender: &Sender) -> Option<u64> {
        match self.senders.get(sender) {
            Some((numbers, bytes)) if *bytes > SENDER_BYTES_MAX => numbers.front().copied(),
            Some(_) | None if self.bytes > BYTES_MAX => self.held.keys().next().copied(),
            Some(_) | None => None,
        }
    }

    /// A number that does not wait any more, or never did.
    pub(super) fn forget(&mut self, number: u64) {
        self.changes.push((number, None));
    }

    fn remove(&mut self, number: u64) -> Option<Held> {
        let held = self.held.remove(&number)?;
        self.forget(number);
        self.bytes -= held.bytes();
        if let Some((numbers, bytes)) = self.senders.get_mut(&held.wanted.sender) {
            *bytes -= held.bytes();
            numbers.retain(|n| *n != number);
            if numbers.is_empty() {
                self.senders.remove(&held.wanted.sender);
            }
        }
        Some(held)
    }

    /// What waited for this table.
    pub(super) fn release(&mut self, sender: &Sender, table: u32) -> Vec<Held> {
        let Some((numbers, _)) = self.senders.get(sender) else { return Vec::new() };
        let is_it = |number: &&u64| self.held.get(number).is_some_and(|held| held.wanted.table == table);
        let numbers: Vec<u64> = numbers.iter().filter(is_it).copied().collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// What has waited long enough.
    pub(super) fn due(&mut self, now: Stamp) -> Vec<Held> {
        let mut due = Vec::new();
        while let Some((number, held)) = self.held.first_key_value().filter(|(_, held)| self.left_ns(held, now) == 0) {
            let number = *number;
            debug_assert_eq!(held.since.boot, now.boot, "recalled ones begin anew");
            due.extend(self.remove(number));
        }
        due
    }

    /// How long until the next one has waited long enough.
    pub(super) fn due_in(&self, now: Stamp) -> Option<Duration> {
        let (_, oldest) = self.held.first_key_value()?;
        Some(Duration::from_nanos(self.left_ns(oldest, now)))
    }

    fn left_ns(&self, held: &Held, now: Stamp) -> u64 {
        let waited_ns = now.since_boot_ns.saturating_sub(held.since.since_boot_ns);
        self.wait_ns.saturating_sub(waited_ns)
    }

    pub(super) fn take_changes(&mut self) -> Vec<(u64, Option<Record>)> {
        std::mem::take(&mut self.changes)
    }
}
