//! Sealed rows on the disk: in a store beside the queue.
//!
//! # Invariants
//! - Its failure is not detection's: what it does not take stays in the queue's transactions, what it does not give is
//!   missed by whoever learns. Each is said once, chunks that are missed are counted.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use crate::detect::past::{ChunkName, ChunkRange, Past};
use crate::detect::state::sound;
use crate::detect::{Changes, StateSource};
use crate::metrics;
use crate::queue::{Annex, AnnexChange, Reader};

/// Chunks that are known to be missing: a month of 300 channels. More are counted each time somebody wants them.
const MISSED_MAX: usize = 1 << 15;

/// State as of the last commit, and the past beside it.
pub(super) struct Source<'a> {
    pub(super) reader: &'a Reader,
    pub(super) past: &'a DurablePast,
}

impl StateSource for Source<'_> {
    fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.reader.state(key).unwrap_or_else(|reason| {
            tracing::error!(key, %reason, "A detector's state cannot be read; what it had learned is learned again.");
            None
        })
    }
}

impl Past for Source<'_> {
    fn chunk(&self, name: ChunkName) -> Option<Vec<u8>> {
        self.past.chunk(name)
    }
}

pub(super) struct DurablePast {
    annex: Annex,
    metrics: metrics::Detect,
    missed: RefCell<BTreeSet<ChunkName>>,
    is_missing_told: Cell<bool>,
    is_refusal_told: bool,
    /// What could not be dropped, by channel; dropped with what comes next.
    owed: BTreeMap<(u32, u32), ChunkRange>,
    is_clearing_owed: bool,
}

/// A chunk's key in the annex: numbers of device, channel and chunk, big endian.
pub fn key(name: ChunkName) -> Vec<u8> {
    [name.device, name.channel, name.chunk].map(u32::to_be_bytes).concat()
}

impl DurablePast {
    pub(super) fn new(annex: Annex, metrics: metrics::Detect) -> Self {
        let past = Self {
            annex,
            metrics,
            missed: RefCell::default(),
            is_missing_told: Cell::new(false),
            is_refusal_told: false,
            owed: BTreeMap::new(),
            is_clearing_owed: false,
        };
        past.measure();
        past
    }

    fn chunk(&self, name: ChunkName) -> Option<Vec<u8>> {
        let reason = match self.annex.get(&key(name)) {
            Ok(Some(bytes)) => match sound(&bytes) {
                Ok(()) => return Some(bytes),
                Err(damage) => damage.to_string(),
            },
            Ok(None) => "it is not there".to_owned(),
            Err(error) => error.to_string(),
        };
        let mut missed = self.missed.borrow_mut();
        let is_new = !missed.contains(&name);
        if is_new && missed.len() < MISSED_MAX {
            missed.insert(name);
        }
        self.metrics.past_missed.inc_by(u64::from(is_new));
        if !self.is_missing_told.replace(true) {
            let ChunkName { device, channel, chunk } = name;
            warn!(
                device,
                channel,
                chunk,
                reason,
                "Rows of the past cannot be read: until it has new ones, detection learns from fewer days."
            );
        }
        None
    }

    /// Makes durable what comes before the transaction; what cannot be is put into the transaction.
    pub(super) fn keep(&mut self, changes: &mut Changes) {
        if changes.past.is_empty() {
            return;
        }
        self.is_clearing_owed |= changes.past.is_cleared;
        for range in changes.past.dropped.drain(..) {
            self.owed.entry((range.device, range.channel)).or_insert(range).until = range.until;
        }
        match self.write(changes) {
            Ok(()) => {
                if std::mem::take(&mut self.is_refusal_told) {
                    info!("Rows of the past can be written again.");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_refusal_told, true) {
                    warn!(%error, "Rows of the past cannot be written: they stay in the queue's transactions.");
                }
                changes.unseal();
            }
        }
    }

    fn write(&mut self, changes: &Changes) -> Result<(), crate::queue::Error> {
        if self.is_clearing_owed {
            self.annex.clear()?;
            self.is_clearing_owed = false;
            self.owed.clear();
        }
        let sealed = &changes.past.sealed;
        let gone = self.owed.values().copied().flat_map(ChunkRange::names).filter(|name| !sealed.contains_key(name));
        let mut all: Vec<AnnexChange> = gone.map(|name| (key(name), None)).collect();
        all.extend(sealed.iter().map(|(name, bytes)| (key(*name), Some(bytes.clone()))));
        self.annex.commit(all)?;
        self.owed.clear();
        self.measure();
        Ok(())
    }

    fn measure(&self) {
        match self.annex.disk_bytes() {
            Ok(bytes) => drop(self.metrics.past_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX))),
            Err(error) => warn!(%error, "Rows of the past cannot be measured."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::state::encode;
    use crate::queue::{Config, Queue};

    fn queue(dir: &std::path::Path) -> Queue {
        Queue::open(&Config::new(dir), metrics::Queue::default()).unwrap()
    }

    fn past(queue: &Queue) -> DurablePast {
        DurablePast::new(queue.annex(crate::detect::PAST), metrics::Detect::default())
    }

    fn name(chunk: u32) -> ChunkName {
        ChunkName { device: 7, channel: 1, chunk }
    }

    fn sealing(chunks: std::ops::Range<u32>) -> Changes {
        let mut changes = Changes::default();
        changes.past.sealed = chunks.map(|chunk| (name(chunk), encode(&vec![chunk; 700]))).collect();
        changes
    }

    fn dropping(from: u32, until: u32) -> Changes {
        let mut changes = Changes::default();
        changes.past.dropped.push(ChunkRange { device: 7, channel: 1, from, until });
        changes
    }

    #[test]
    fn what_was_sealed_is_there_after_a_restart_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        {
            let queue = queue(dir.path());
            let mut past = past(&queue);
            past.keep(&mut sealing(0..50));
            past.keep(&mut dropping(0, 20));
            assert!(past.metrics.past_bytes.get() > 10_000);
        }
        let queue = queue(dir.path());
        let past = past(&queue);
        assert_eq!(past.chunk(name(20)), Some(encode(&vec![20_u32; 700])));
        assert_eq!(past.metrics.past_missed.get(), 0);
        assert_eq!((past.chunk(name(19)), past.chunk(name(19)), past.chunk(name(50))), (None, None, None));
        assert_eq!(past.metrics.past_missed.get(), 2, "each is counted once");
    }

    #[test]
    fn what_is_cleared_is_gone_and_what_comes_with_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(dir.path());
        let mut past = past(&queue);
        past.keep(&mut sealing(0..3));
        let mut changes = sealing(7..8);
        changes.past.is_cleared = true;
        past.keep(&mut changes);
        assert_eq!((past.chunk(name(0)), past.chunk(name(7)).is_some()), (None, true));
    }

    #[test]
    fn a_store_that_cannot_be_opened_is_set_aside_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        {
            let queue = queue(dir.path());
            past(&queue).keep(&mut sealing(0..50));
        }
        let files = dir.path().join(format!("annex-{}", crate::detect::PAST));
        std::fs::write(files.join("data.redb"), [0x5a; 70_000]).unwrap();
        let queue = queue(dir.path());
        let mut past = past(&queue);
        assert_eq!(past.chunk(name(3)), None);
        past.keep(&mut sealing(50..51));
        assert!(past.chunk(name(50)).is_some());
        assert!(dir.path().join("quarantine").join(files.file_name().unwrap()).exists());
    }

    #[test]
    fn what_cannot_be_written_goes_into_the_transaction_and_what_was_to_be_dropped_is_dropped_later() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(dir.path());
        let mut past = past(&queue);
        past.keep(&mut sealing(0..3));
        // No store takes a value as long as that.
        let mut changes = dropping(0, 2);
        changes.past.sealed.insert(name(3), vec![0; 20_000]);
        past.keep(&mut changes);
        assert_eq!(changes.state, [("detect/7/1/rows/3".to_owned(), Some(vec![0; 20_000]))]);
        assert!(past.chunk(name(1)).is_some());
        past.keep(&mut sealing(4..5));
        assert_eq!((past.chunk(name(1)), past.chunk(name(4)).is_some()), (None, true));
    }
}
