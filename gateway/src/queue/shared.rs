//! What the handles and the writer share: books, caches, the view of the generations, and the notes they leave each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::books::Books;
use super::cache::Cache;
use super::gate::HeldFrom;
use super::generations::View;
use super::inbox::Inbox;
use super::retention::Retention;
use super::runs::Run;
use super::store::StoreError;
use super::writer::Patience;
use super::{Config, Log, Pressure};
use crate::metrics;
use crate::metrics::LogLabel;

/// What the handles and the writer share.
pub(super) struct Shared {
    pub(super) inbox: Inbox,
    pub(super) books: Mutex<Books>,
    /// Indexed by `Log`.
    pub(super) caches: [Mutex<Cache>; 2],
    pub(super) view: View,
    pub(super) changed: watch::Sender<Changes>,
    pub(super) pressure: watch::Sender<Pressure>,
    pub(super) retention: Mutex<Retention>,
    /// Older generations that could not be read, for the writer.
    pub(super) suspects: Mutex<Vec<(u32, StoreError)>>,
    pub(super) held_from: HeldFrom,
    /// Lost since the writer last looked.
    pub(super) losses: Mutex<Vec<(Log, Run)>>,
    /// Odd while the writer opens the store anew, or brings blocks from one place to another.
    pub(super) moves: AtomicU64,
    /// A reader could not open its generation, for the disk is full.
    pub(super) is_starved: AtomicBool,
    pub(super) config: Config,
    pub(super) patience: Patience,
    pub(super) metrics: metrics::Queue,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changes {
    pub(super) commits: u64,
    pub(super) closed: bool,
}

/// Generations that wait to be set aside; more are noticed again when they are read.
const SUSPECTS_MAX: usize = 16;
/// Losses that wait to be named one by one; more are only counted.
pub(super) const LOSSES_MAX: usize = 1_024;

impl Shared {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no panic under the lock")
    }

    pub(super) fn retention(&self) -> MutexGuard<'_, Retention> {
        self.retention.lock().expect("no panic under the lock")
    }

    /// Sees to it that the books are committed within `delay`.
    pub(super) fn books_changed(&self, delay: Duration) {
        self.inbox.books_due_at(Instant::now() + delay);
    }

    /// Books records that cannot be read as lost, loudly; a second reader of the same hole finds it in the books.
    pub(super) fn lose(&self, log: Log, run: Run, reason: &dyn std::fmt::Display) {
        let records = self.books().lose(log, run);
        if records > 0 {
            report_lost(&self.metrics, log, records, run, reason);
            let mut losses = self.losses.lock().expect("no panic under the lock");
            if losses.len() < LOSSES_MAX {
                losses.push((log, run));
            }
            drop(losses);
            self.books_changed(Duration::ZERO);
        }
    }

    pub(super) fn take_losses(&self) -> Vec<(Log, Run)> {
        std::mem::take(&mut *self.losses.lock().expect("no panic under the lock"))
    }

    /// Asks the writer to set a generation aside.
    pub(super) fn suspect(&self, generation: u32, error: StoreError) {
        let mut suspects = self.suspects.lock().expect("no panic under the lock");
        if suspects.len() < SUSPECTS_MAX && suspects.iter().all(|(number, _)| *number != generation) {
            suspects.push((generation, error));
        }
        drop(suspects);
        self.books_changed(Duration::ZERO);
    }

    pub(super) fn take_suspects(&self) -> Vec<(u32, StoreError)> {
        std::mem::take(&mut *self.suspects.lock().expect("no panic under the lock"))
    }

    /// From here to `settle` blocks are moved about: what cannot be found may be there, and is not taken for lost.
    pub(super) fn unsettle(&self) {
        self.moves.fetch_or(1, Ordering::AcqRel);
    }

    pub(super) fn settle(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
        // Readers who found nothing meanwhile look again.
        self.changed.send_modify(|c| c.commits += 1);
    }

    /// `None` while blocks are moved about; else a number that changes when they are.
    pub(super) fn settled_moves(&self) -> Option<u64> {
        Some(self.moves.load(Ordering::Acquire)).filter(|moves| moves % 2 == 0)
    }

    /// A reader needs space to go on.
    pub(super) fn starve(&self) {
        self.is_starved.store(true, Ordering::Release);
        self.books_changed(self.patience.space_poll);
    }
}

pub(super) fn report_lost(metrics: &metrics::Queue, log: Log, records: u64, run: Run, reason: &dyn std::fmt::Display) {
    let (log, first, end) = (log.name(), run.first.0, run.end.0);
    metrics.lost.get_or_create(&LogLabel { log }).inc_by(records);
    tracing::error!(log, records, first, end, %reason, "Queue lost records; they are in the ledger as lost.");
}
