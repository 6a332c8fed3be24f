//! Holds raw records back from their readers for a while; doors go on.
//!
//! # Invariants
//! - A reader finds the end of the raw log where the hold begins. Records before that flow, and so does the derived log.
//! - Held records count as queued in the ledger: they are kept, budgeted and expire like others.
//!
//! # Not here
//! Why, and until when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::QueueSeq;
use super::shared::Shared;

/// Where the readers' raw log ends, if not at its end.
#[derive(Debug)]
pub(super) struct HeldFrom(AtomicU64);

impl HeldFrom {
    const NOTHING: u64 = u64::MAX;

    pub(super) fn nothing() -> Self {
        Self(AtomicU64::new(Self::NOTHING))
    }

    pub(super) fn get(&self) -> Option<QueueSeq> {
        Some(self.0.load(Ordering::Acquire)).filter(|seq| *seq != Self::NOTHING).map(QueueSeq)
    }
}

/// Opens and shuts the way to raw records. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

impl Gate {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// From now on no reader gets `from` or what comes after it. It must be where a block begins: the end of the log,
    /// or what was that when this queue, or an earlier run of it, was opened.
    pub fn hold(&self, from: QueueSeq) {
        self.shared.held_from.0.store(from.0, Ordering::Release);
    }

    /// Readers get everything again, and hear of it.
    pub fn open(&self) {
        self.shared.held_from.0.store(HeldFrom::NOTHING, Ordering::Release);
        self.shared.changed.send_modify(|changes| changes.commits += 1);
    }
}
