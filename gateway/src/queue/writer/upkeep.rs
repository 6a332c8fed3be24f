//! What the writer does between two commits: it deletes what nobody needs any more, and begins a new generation where
//! the newest has grown old. What is given up is in `losses`, what it does for room in `room`.
//!
//! # Invariants
//! - The watermark says that a generation is released before its directory goes.

use std::time::{Duration, Instant};

use super::Writer;
use crate::queue::generations::Newest;
use crate::queue::generations::contents::Batch;
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::Run;
use crate::queue::store::StoreError;
use crate::queue::{Error, Pressure};

/// A drained newest generation is given up that has grown by at least this, and by what has to be copied for it…
const IDLE_BYTES_MIN: u64 = 4 << 20;
/// …once nothing was appended for this long.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// A generation is closed after this part of a time to live, so that records go about in time.
const AGE_PARTS: u32 = 16;

impl Writer {
    pub(super) fn keep_up(&mut self) -> Result<(), Error> {
        self.set_suspects_aside()?;
        self.report_losses()?;
        self.expire()?;
        let newest = self.store.newest()?;
        self.roll_if_due(newest)?;
        let released = self.release_drained();
        self.mended(released.map(drop))?;
        self.keep_snapshot();
        self.keep_waiting();
        self.feed_the_starved()?;
        self.keep_ballast()?;
        self.keep_within_budget()
    }

    pub(super) fn mended(&mut self, result: Result<(), StoreError>) -> Result<(), Error> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.mend(error, &Batch::default()),
        }
    }

    /// Deletes the oldest generations that nobody needs; says how many.
    pub(super) fn release_drained(&mut self) -> Result<usize, StoreError> {
        let is_tight = *self.shared.pressure.borrow() != Pressure::None;
        let Some(keep_from) = self.keep_from(is_tight) else { return Ok(0) };
        let count = self.drained(keep_from);
        if count > 0 {
            self.delete_oldest(count)?;
        }
        Ok(count)
    }

    /// Records at and after these are needed. Delivered ones, and those that a stage would read again after a restart,
    /// are kept only while there is room.
    pub(super) fn keep_from(&self, is_tight: bool) -> Option<[QueueSeq; 2]> {
        let count_absent = self.opened_at.elapsed() < self.config.absent_grace;
        let retention = *self.shared.retention();
        let books = self.shared.books();
        let unread = if is_tight { books.needed_from(count_absent) } else { books.keep_from(count_absent) };
        drop(books);
        if unread.is_none() && retention.expired == [QueueSeq(0); 2] {
            return None;
        }
        Some(Log::ALL.map(|log| {
            let log = log as usize;
            let keep = unread.map_or(QueueSeq(0), |unread| unread[log]).max(retention.expired[log]);
            if self.config.keep_delivered.is_some() && !is_tight {
                keep.min(retention.young[log].max(retention.expired[log]))
            } else {
                keep
            }
        }))
    }

    pub(super) fn delete_oldest(&mut self, count: usize) -> Result<(), StoreError> {
        let oldest = self.store.oldest_after(count);
        let mark = {
            let books = self.shared.books();
            books.mark(self.next, oldest, self.store.newest_number())
        };
        self.watermark.write(&mark)?;
        let released = self.store.delete_oldest(count)?;
        let mut books = self.shared.books();
        for (log, run) in released {
            books.released(log, run.within_bounds(oldest[log as usize]));
        }
        let is_dirty = books.is_dirty();
        drop(books);
        if is_dirty {
            self.shared.books_changed(self.config.cursor_delay);
        }
        self.usage.measured_at = None;
        Ok(())
    }

    /// Begins a new generation where the newest has grown old, or holds nothing that anybody needs.
    pub(super) fn roll_if_due(&mut self, newest: Newest) -> Result<(), Error> {
        let ages = self.config.ttl.into_iter().chain([self.config.keep_delivered]).flatten();
        let age_max = ages.min().map(|age| age / AGE_PARTS);
        let is_old = age_max.is_some_and(|max| newest.records > 0 && newest.begun_at.elapsed() >= max);
        let grown_bytes = newest.bytes.saturating_sub(newest.copied_bytes);
        let is_worth_it = grown_bytes >= IDLE_BYTES_MIN.max(newest.copied_bytes);
        let is_drained = is_worth_it && newest.records > 0 && self.keep_from(false) == Some(self.next);
        let idle_at = self.usage.appended_at + IDLE_TIME;
        if is_drained && Instant::now() < idle_at {
            self.shared.inbox.books_due_at(idle_at);
        }
        if is_old || (is_drained && Instant::now() >= idle_at) {
            self.store.roll_next();
            let result = self.make_durable(&Batch::default());
            self.mended(result)?;
            self.usage.measured_at = None;
        }
        Ok(())
    }
}

impl Run {
    /// What of it lies before `end`.
    fn within_bounds(self, end: QueueSeq) -> Self {
        Self::new(self.first, self.end.min(end).max(self.first))
    }
}
