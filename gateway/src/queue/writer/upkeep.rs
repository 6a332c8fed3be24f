//! What the writer does between two commits: it deletes what nobody needs, gives up what policy says, keeps the
//! directory within its budget, and sets aside what cannot be read.
//!
//! # Invariants
//! - Size is measured on disk, all files of the directory, at least each [`MEASURE_INTERVAL`]; between two measurements
//!   the newest generation alone is looked at, for it is what grows.
//! - The watermark says that a generation is released before its directory goes.
//! - What a policy takes is booked, and named by gap records, in one commit; its generation goes after that.
//! - Derived records that somebody has yet to read outlive their generation: they are carried to the newest one. They
//!   are given up only once they alone take more than half of the budget.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Writer;
use crate::queue::block;
use crate::queue::cursor::Fate;
use crate::queue::files;
use crate::queue::generations::contents::{Batch, Carried, Contents, Stored};
use crate::queue::generations::quarantine;
use crate::queue::generations::recovery;
use crate::queue::generations::{Newest, Sealed};
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::{Run, Runs};
use crate::queue::store::StoreError;
use crate::queue::{Error, Gaps, Pressure, WhenFull};

const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
/// A drained newest generation of at least this is given up…
const IDLE_BYTES_MIN: u64 = 4 << 20;
/// …once nothing was appended for this long.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// A generation is closed after this part of a time to live, so that records go about in time.
const AGE_PARTS: u32 = 16;

/// What the directory takes on disk.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Usage {
    pub(super) appended_at: Instant,
    measured_at: Option<Instant>,
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
    pub(super) fn keep_up(&mut self) -> Result<(), Error> {
        self.set_suspects_aside()?;
        self.report_losses()?;
        self.expire()?;
        let newest = self.store.newest()?;
        self.roll_if_due(newest)?;
        let released = self.release_drained();
        self.mended(released.map(drop))?;
        self.feed_the_starved()?;
        self.keep_ballast()?;
        self.keep_within_budget()
    }

    fn mended(&mut self, result: Result<(), StoreError>) -> Result<(), Error> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.mend(error, &Batch::default()),
        }
    }

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

    /// Deletes the oldest generations that nobody needs; says how many.
    pub(super) fn release_drained(&mut self) -> Result<usize, StoreError> {
        let is_tight = *self.shared.pressure.borrow() != Pressure::None;
        let Some(keep_from) = self.keep_from(is_tight) else { return Ok(0) };
        let count = self.store.drained(keep_from);
        if count > 0 {
            self.delete_oldest(count)?;
        }
        Ok(count)
    }

    /// Records at and after these are needed. Delivered ones, and those that a stage would read again after a restart,
    /// are kept only while there is room.
    fn keep_from(&self, is_tight: bool) -> Option<[QueueSeq; 2]> {
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

    fn delete_oldest(&mut self, count: usize) -> Result<(), StoreError> {
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

    /// Records that outlived their time to live.
    fn expire(&mut self) -> Result<(), Error> {
        if self.config.ttl == [None; 2] {
            return Ok(());
        }
        let expired = self.shared.retention().expired;
        let is_over = |sealed: &Sealed| {
            sealed.held[Log::Raw as usize].runs.end().is_none_or(|end| end <= expired[Log::Raw as usize])
        };
        let sealed = self.shared.view.sealed();
        let count = sealed.iter().take_while(|s| is_over(s)).count();
        let has_raw = sealed.iter().take(count).any(|s| s.held[Log::Raw as usize].runs.end().is_some());
        let derived_end = expired[Log::Derived as usize];
        let unread = self.shared.books().keep_from(true);
        let derived_due = unread.is_some_and(|unread| unread[Log::Derived as usize] < derived_end);
        if !has_raw && !derived_due {
            return Ok(());
        }
        self.give_up_oldest(count, Fate::Expired, derived_end)
    }

    /// Gives up the raw records of the oldest generations, and the derived ones before `derived_end`.
    fn give_up_oldest(&mut self, count: usize, fate: Fate, derived_end: QueueSeq) -> Result<(), Error> {
        let sealed: Vec<_> = self.shared.view.sealed().into_iter().take(count).collect();
        let unread = self.shared.books().needed_from(true).unwrap_or_default();
        let raw_end = sealed.iter().filter_map(|s| s.held[Log::Raw as usize].runs.end()).max().unwrap_or_default();
        let derived_from = unread[Log::Derived as usize].max(derived_end);
        let mut batch = Batch::default();
        for generation in &sealed {
            let (number, raw) = (generation.number, &generation.held[Log::Raw as usize].runs);
            if raw.end().is_some_and(|end| end > unread[Log::Raw as usize]) {
                self.each_block(number, Log::Raw, unread[Log::Raw as usize], &mut |gaps, stored| match block::decode(
                    &stored.bytes,
                ) {
                    Ok(block) => {
                        let mut records = block.records_from(unread[Log::Raw as usize]).map(|(_, record)| record);
                        gaps.note(fate, &mut records);
                    }
                    Err(_damage) => {
                        let first = stored.run.first.max(unread[Log::Raw as usize]);
                        gaps.note_unread(fate, Log::Raw, first.count_to(stored.run.end));
                    }
                })?;
            }
            self.each_block(number, Log::Derived, derived_from, &mut |_, block| {
                batch.carried.push(Carried { log: Log::Derived, block });
            })?;
        }
        self.shared.books().give_up_before(Log::Raw, raw_end, fate);
        self.shared.books().give_up_before(Log::Derived, derived_end, fate);
        self.commit_with_gaps(batch)?;
        for generation in sealed {
            self.store.disown(generation.number, Log::Derived);
        }
        Ok(())
    }

    /// Of a generation that cannot be read nothing can be named or carried: it is set aside, and its loss counted.
    fn each_block(
        &mut self,
        number: u32,
        log: Log,
        from: QueueSeq,
        f: &mut dyn FnMut(&mut dyn Gaps, Stored),
    ) -> Result<(), Error> {
        let mut at = from;
        loop {
            match self.store.read_sealed(number, log, at) {
                Ok(Some(stored)) => {
                    at = stored.run.end;
                    f(self.gaps.as_mut(), stored);
                }
                Ok(None) => return Ok(()),
                Err(error) if error.is_damage() => {
                    self.shared.suspect(number, error);
                    return Ok(());
                }
                // What is read already is noted already: the rest of it is only counted.
                Err(error) => return self.mend(error, &Batch::default()),
            }
        }
    }

    /// Commits the batch together with gap records about what is lost by it.
    fn commit_with_gaps(&mut self, mut batch: Batch) -> Result<(), Error> {
        let gaps = self.gaps.take();
        block::encode_all(Log::Derived, self.next[Log::Derived as usize], &gaps, &mut batch.blocks);
        self.shared.books().take_dirty(&mut batch);
        self.persist(&batch)?;
        self.publish(batch, Vec::new());
        Ok(())
    }

    /// Names what damage took.
    fn report_losses(&mut self) -> Result<(), Error> {
        let losses = self.shared.take_losses();
        if losses.is_empty() {
            return Ok(());
        }
        for (log, run) in losses {
            self.gaps.note_unread(Fate::Lost, log, run.count());
        }
        self.commit_with_gaps(Batch::default())
    }

    /// Generations that a reader could not read.
    fn set_suspects_aside(&mut self) -> Result<(), Error> {
        for (number, error) in self.shared.take_suspects() {
            if self.store.is_newest(number) {
                // The fresh look decides whether it can be read, and the next commit goes into a new one.
                self.mend(error, &Batch::default())?;
                continue;
            }
            self.shared.unsettle();
            let result = self.set_aside(number, &error);
            self.shared.settle();
            self.mended(result)?;
        }
        Ok(())
    }

    fn set_aside(&mut self, number: u32, error: &StoreError) -> Result<(), StoreError> {
        let Some(quarantined) = self.store.quarantine(number)? else { return Ok(()) };
        tracing::error!(%error, kept_in = %quarantined.dir.display(), "Queue set a generation aside that cannot be read.");
        let mut missing = <[Runs; 2]>::default();
        for (log, run) in quarantined.gone {
            self.shared.books().held_within(log, run).iter().for_each(|run| missing[log as usize].add(run));
        }
        let mut contents = Contents::default();
        recovery::salvage(&mut self.store, &mut contents, &mut missing)?;
        for (log, runs) in Log::ALL.into_iter().zip(missing) {
            runs.iter().for_each(|run| self.shared.lose(log, run, &"its generation cannot be read"));
        }
        self.usage.measured_at = None;
        quarantine::trim(&self.config.dir, self.config.quarantine_max_bytes)
    }

    /// Begins a new generation where the newest has grown old, or holds nothing that anybody needs.
    fn roll_if_due(&mut self, newest: Newest) -> Result<(), Error> {
        let ages = self.config.ttl.into_iter().chain([self.config.keep_delivered]).flatten();
        let age_max = ages.min().map(|age| age / AGE_PARTS);
        let is_old = age_max.is_some_and(|max| newest.records > 0 && newest.begun_at.elapsed() >= max);
        let is_drained =
            newest.bytes >= IDLE_BYTES_MIN && newest.records > 0 && self.keep_from(false) == Some(self.next);
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

    /// Makes space for a reader that cannot open its generation.
    fn feed_the_starved(&mut self) -> Result<(), Error> {
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
    fn keep_ballast(&mut self) -> Result<(), Error> {
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

    fn keep_within_budget(&mut self) -> Result<(), Error> {
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
                let drained = self.keep_from(true).map_or(0, |keep_from| self.store.drained(keep_from));
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

    /// Gives up the oldest generation.
    fn drop_one(&mut self) -> Result<(), Error> {
        if self.shared.view.sealed().is_empty() {
            self.store.roll_next();
            let result = self.make_durable(&Batch::default());
            self.mended(result)?;
        }
        let sealed = self.shared.view.sealed();
        let derived_bytes: u64 = sealed.iter().map(|s| s.held[Log::Derived as usize].bytes).sum();
        let derived_end = if derived_bytes > self.config.max_bytes / 2 {
            sealed.first().and_then(|s| s.held[Log::Derived as usize].runs.end()).unwrap_or_default()
        } else {
            QueueSeq(0)
        };
        self.give_up_oldest(1, Fate::Dropped, derived_end)?;
        let deleted = self.delete_oldest(1);
        self.mended(deleted)
    }

    fn used_bytes(&mut self) -> Result<u64, Error> {
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

impl Run {
    /// What of it lies before `end`.
    fn within_bounds(self, end: QueueSeq) -> Self {
        Self::new(self.first, self.end.min(end).max(self.first))
    }
}
