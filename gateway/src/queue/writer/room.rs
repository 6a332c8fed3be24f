//! Room on the disk: the budget, the ballast, and when doors are held up.
//!
//! # Invariants
//! - Size is measured on disk, all files of the directory, at least each [`MEASURE_INTERVAL`]; between two measurements
//!   the newest generation alone is looked at, for it is what grows.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Writer;
use crate::queue::cursor::Fate;
use crate::queue::files;
use crate::queue::generations::Sealed;
use crate::queue::generations::contents::Batch;
use crate::queue::record::Log;
use crate::queue::{Error, Pressure, WhenFull};

const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

pub(in crate::queue) struct Usage {
    pub(super) appended_at: Instant,
    pub(super) measured_at: Option<Instant>,
    /// At that time: all of it, and the newest generation's part.
    all_bytes: u64,
    newest_bytes: u64,
    newest_number: u32,
    ballast_tried_at: Option<Instant>,
}

impl Usage {
    pub(in crate::queue) fn new(now: Instant) -> Self {
        Self {
            appended_at: now,
            measured_at: None,
            all_bytes: 0,
            newest_bytes: 0,
            newest_number: 0,
            ballast_tried_at: None,
        }
    }
}

impl Writer {
    pub(super) fn set_pressure(&mut self, pressure: Pressure) {
        let before = *self.shared.pressure.borrow();
        if before == pressure {
            return;
        }
        self.shared.inbox.hold_up_doors(pressure != Pressure::None);
        self.shared.pressure.send_replace(pressure);
        self.metrics.held_up.set(i64::from(pressure != Pressure::None));
        match (before, pressure) {
            (Pressure::None, Pressure::OverBudget) => tracing::warn!(
                max_bytes = self.config.max_bytes,
                "Queue has used up its disk budget: doors are held up. Raise queue.max_size, or mend the slowest sink."
            ),
            (Pressure::OverBudget | Pressure::DiskFull, Pressure::None) => {
                tracing::info!("Queue has room again: doors are open.");
            }
            (Pressure::None | Pressure::OverBudget | Pressure::DiskFull, _) => {}
        }
    }

    /// Makes space for a reader that cannot open its generation.
    pub(super) fn feed_the_starved(&mut self) -> Result<(), Error> {
        if self.shared.is_starved.swap(false, Ordering::AcqRel) {
            if self.ballast.throw_overboard()? {
                tracing::error!("Disk is full: the queue uses its reserve to read; doors are held up.");
                self.set_pressure(Pressure::DiskFull);
            }
            self.shared.changed.send_modify(|c| c.commits += 1);
        }
        Ok(())
    }

    /// Takes the ballast aboard again, and opens the doors with it.
    pub(super) fn keep_ballast(&mut self) -> Result<(), Error> {
        if self.ballast.is_aboard() {
            if *self.shared.pressure.borrow() == Pressure::DiskFull {
                self.set_pressure(Pressure::None);
            }
            return Ok(());
        }
        let now = Instant::now();
        if self.usage.ballast_tried_at.is_some_and(|at| now < at + MEASURE_INTERVAL) {
            self.shared.inbox.books_due_at(now + MEASURE_INTERVAL);
            return Ok(());
        }
        self.usage.ballast_tried_at = Some(now);
        if self.ballast.take_aboard()? {
            self.set_pressure(Pressure::None);
            return Ok(());
        }
        if *self.shared.pressure.borrow() != Pressure::DiskFull {
            let free_bytes = files::free_bytes(&self.config.dir)?;
            tracing::error!(
                free_bytes,
                "Disk is nearly full: there is no room for the queue's reserve, doors are held up."
            );
            self.set_pressure(Pressure::DiskFull);
        }
        self.shared.inbox.books_due_at(now + MEASURE_INTERVAL);
        match self.config.when_full {
            WhenFull::Block => Ok(()),
            WhenFull::DropOldest => self.drop_one(),
        }
    }

    pub(super) fn keep_within_budget(&mut self) -> Result<(), Error> {
        let limit = self.config.full_bytes();
        let mut used = self.used_bytes()?;
        if *self.shared.pressure.borrow() == Pressure::DiskFull {
            return Ok(());
        }
        if used < limit {
            self.set_pressure(Pressure::None);
            return Ok(());
        }
        match self.config.when_full {
            WhenFull::Block => {
                self.set_pressure(Pressure::OverBudget);
                let released = self.release_drained();
                self.mended(released.map(drop))?;
                self.shared.inbox.books_due_at(Instant::now() + MEASURE_INTERVAL);
            }
            WhenFull::DropOldest => {
                // Delivered records that are kept for a while go first.
                let drained = self.keep_from(true).map_or(0, |keep_from| self.drained(keep_from));
                if drained > 0 {
                    let deleted = self.delete_oldest(drained);
                    self.mended(deleted)?;
                    used = self.used_bytes()?;
                }
                if used >= limit {
                    self.drop_one()?;
                    self.used_bytes()?;
                }
            }
        }
        Ok(())
    }

    /// Gives up the oldest generation. Where there is nothing to give up it is not the queue that fills the disk.
    pub(super) fn drop_one(&mut self) -> Result<(), Error> {
        let sealed = self.shared.view.sealed();
        let derived_bytes: u64 = sealed.iter().map(|s| s.held[Log::Derived as usize].bytes).sum();
        let with_derived = derived_bytes > self.config.max_bytes / 2;
        let has_raw = |sealed: &Sealed| sealed.held[Log::Raw as usize].runs.end().is_some();
        if !with_derived && !self.store.newest()?.has_raw && !sealed.iter().any(has_raw) {
            return Ok(());
        }
        if sealed.is_empty() {
            self.store.roll_next();
            let result = self.make_durable(&Batch::default());
            self.mended(result)?;
        }
        let oldest = self.shared.view.sealed().into_iter().next().filter(|_| with_derived);
        let derived_end = oldest.and_then(|s| s.held[Log::Derived as usize].runs.end()).unwrap_or_default();
        self.give_up_oldest(1, Fate::Dropped, derived_end)?;
        let deleted = self.delete_oldest(1);
        self.mended(deleted)
    }

    pub(super) fn used_bytes(&mut self) -> Result<u64, Error> {
        let (newest_bytes, newest_number) = (self.store.newest_bytes(), self.store.newest_number());
        let is_due = |at: Instant| at.elapsed() >= MEASURE_INTERVAL || newest_number != self.usage.newest_number;
        if self.usage.measured_at.is_none_or(is_due) {
            if self.usage.all_bytes > 0 {
                // Not at the first look: what lies there from earlier runs is no growth.
                let is_same = newest_number == self.usage.newest_number;
                let before = if is_same { self.usage.newest_bytes } else { 0 };
                self.metrics.grown_bytes.inc_by(newest_bytes.saturating_sub(before));
            }
            self.usage.newest_number = newest_number;
            self.usage.measured_at = Some(Instant::now());
            self.usage.all_bytes = files::disk_bytes(&self.config.dir)?;
            self.usage.newest_bytes = newest_bytes;
            let free_bytes = files::free_bytes(&self.config.dir)?;
            self.metrics.disk_bytes.set(self.usage.all_bytes as i64);
            let room = self.config.full_bytes().saturating_sub(self.usage.all_bytes).min(free_bytes);
            self.metrics.room_bytes.set(room as i64);
        }
        Ok((self.usage.all_bytes + newest_bytes).saturating_sub(self.usage.newest_bytes))
    }
}
