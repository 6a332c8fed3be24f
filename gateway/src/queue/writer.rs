//! The writer: one thread that turns all that waits into one commit, again and again (group commit).
//!
//! Commits follow each other without a pause: while one is being synced the next group gathers in the inbox, so that
//! groups grow with the load by themselves. Encoding stays on this thread: 4096 records take about two milliseconds of
//! it, less than a flash device's sync, and on a small machine the other core belongs to the doors and to detect.
//!
//! # Invariants
//! - Order of one commit: store, its fsync, watermark, its fsync, books and cache, receipts. Nothing is seen before it
//!   is durable.
//! - After a failed flush nothing is known about the disk: every receipt gets the error, and nothing is taken any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::block;
use super::inbox::{Cost, Pending, Work};
use super::record::{Log, QueueSeq, Record};
use super::runs::Run;
use super::store::{Batch, Store};
use super::watermark::Watermark;
use super::{Committed, Config, Error, Shared, Transaction};
use crate::metrics::{self, LogLabel};

/// The size on disk is measured at most this often: it asks for every file.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) store: Box<dyn Store>,
    pub(super) watermark: Watermark,
    pub(super) shared: Arc<Shared>,
    pub(super) config: Config,
    pub(super) metrics: metrics::Queue,
    /// Where the next records go, indexed by `Log`.
    pub(super) next: [QueueSeq; 2],
    pub(super) opened_at: Instant,
    pub(super) measured_at: Option<Instant>,
}

/// Closes the inbox and wakes everybody, even if the thread panics.
struct CloseOnExit(Arc<Shared>);

impl Drop for CloseOnExit {
    fn drop(&mut self) {
        self.0.inbox.close();
        self.0.inbox.drain();
        self.0.changed.send_modify(|c| c.closed = true);
    }
}

impl Writer {
    /// Works until the inbox is closed and empty, or a flush fails.
    pub(super) fn run(mut self) -> Result<(), Arc<Error>> {
        let _close_on_exit = CloseOnExit(self.shared.clone());
        loop {
            let work = self.shared.inbox.take(self.config.commit_records_max);
            let (group, is_last) = match work {
                Work::Group(group) => (group, false),
                Work::Books => (Vec::new(), false),
                Work::Closed => (Vec::new(), true),
            };
            self.commit(group)?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn commit(&mut self, group: Vec<Pending>) -> Result<(), Arc<Error>> {
        let first_at = group.first().map(|p| p.arrived_at);
        let cost: Cost = group.iter().map(Pending::cost).sum();
        let (batch, settled) = self.gather(group);
        let done = if batch.batch.is_empty() { Ok(()) } else { self.make_durable(&batch) };
        if let Err(error) = done {
            return Err(self.give_up(settled, error));
        }
        self.publish(batch);
        self.shared.inbox.settled(cost);
        for (receipt, committed) in settled {
            // Whoever does not wait for it any more does not mind.
            receipt.send(Ok(committed)).ok();
        }
        if let Some(first_at) = first_at {
            self.metrics.commit_seconds.observe(first_at.elapsed().as_secs_f64());
        }
        self.housekeep().map_err(|error| self.give_up(Vec::new(), error))
    }

    /// Gives sequences, cuts and encodes blocks, collects the rest.
    fn gather(&self, group: Vec<Pending>) -> (Gathered, Vec<(Answer, Committed)>) {
        let count = |of: fn(&Transaction) -> &Vec<Record>| group.iter().map(|p| of(&p.transaction).len()).sum();
        let mut records = [Vec::with_capacity(count(|t| &t.raw)), Vec::with_capacity(count(|t| &t.derived))];
        let mut settled = Vec::with_capacity(group.len());
        let (mut cursors, mut state) = (Vec::new(), Vec::new());
        for p in group {
            let at = |log: Log| self.next[log as usize].plus(records[log as usize].len() as u64);
            settled.push((p.receipt, Committed { raw_first: at(Log::Raw), derived_first: at(Log::Derived) }));
            records[Log::Raw as usize].extend(p.transaction.raw);
            records[Log::Derived as usize].extend(p.transaction.derived);
            cursors.extend(p.transaction.cursors);
            state.extend(p.transaction.state);
        }
        let mut batch = Batch { state, ..Batch::default() };
        for log in Log::ALL {
            block::encode_all(log, self.next[log as usize], &records[log as usize], &mut batch.blocks);
        }
        let mut books = self.shared.books.lock().expect("no panic under the lock");
        books.take_dirty(&mut batch);
        for (name, log, cursor) in &cursors {
            batch.accounts.push((name.clone(), *log, books.account_with(name, *log, *cursor)));
        }
        (Gathered { batch, cursors }, settled)
    }

    fn make_durable(&mut self, gathered: &Gathered) -> Result<(), Error> {
        self.store.commit(&gathered.batch)?;
        for block in &gathered.batch.blocks {
            self.next[block.body.log as usize] = block.body.end();
        }
        if !gathered.batch.blocks.is_empty() {
            self.watermark.write(self.next)?;
        }
        self.metrics.commits.inc();
        Ok(())
    }

    fn publish(&mut self, gathered: Gathered) {
        let Gathered { batch, cursors } = gathered;
        let mut books = self.shared.books.lock().expect("no panic under the lock");
        for (name, log, cursor) in cursors {
            books.committed(&name, log, cursor);
        }
        for block in &batch.blocks {
            books.appended(block.body.log, Run::new(block.body.first, block.body.end()));
        }
        drop(books);
        if batch.blocks.is_empty() {
            return;
        }
        for block in batch.blocks {
            let (log, records) = (block.body.log, block.body.records);
            self.metrics.records.get_or_create(&LogLabel { log: log.name() }).inc_by(records.into());
            self.metrics.written_bytes.inc_by(block.stored.len() as u64);
            self.shared.caches[log as usize].lock().expect("no panic under the lock").push(block.body);
        }
        self.shared.changed.send_modify(|c| c.commits += 1);
    }

    /// Deletes what nobody needs any more; measures.
    fn housekeep(&mut self) -> Result<(), Error> {
        let absent_count = self.opened_at.elapsed() < self.config.absent_grace;
        let keep_from = self.shared.books.lock().expect("no panic under the lock").keep_from(absent_count);
        if let Some(keep_from) = keep_from {
            let released = self.store.release(keep_from)?;
            let mut books = self.shared.books.lock().expect("no panic under the lock");
            for (log, run) in released {
                books.released(log, run);
            }
            if books.is_dirty() {
                drop(books);
                self.shared.books_changed(self.config.cursor_delay);
            }
        }
        if self.measured_at.is_none_or(|at| at.elapsed() >= MEASURE_INTERVAL) {
            self.measured_at = Some(Instant::now());
            self.metrics.disk_bytes.set(self.shared.view.disk_bytes()? as i64);
        }
        Ok(())
    }

    /// Tells everybody who waits that their records are not known to be durable.
    fn give_up(&self, settled: Vec<(Answer, Committed)>, error: Error) -> Arc<Error> {
        tracing::error!(%error, "Queue cannot write any more; nothing is acknowledged from here on.");
        let error = Arc::new(error);
        self.shared.inbox.close();
        let waiting = self.shared.inbox.drain().into_iter().map(|p| p.receipt);
        for receipt in settled.into_iter().map(|(receipt, _)| receipt).chain(waiting) {
            receipt.send(Err(error.clone())).ok();
        }
        error
    }
}

type Answer = tokio::sync::oneshot::Sender<Result<Committed, Arc<Error>>>;

/// A batch, and the cursors that may be shown once it is durable.
struct Gathered {
    batch: Batch,
    cursors: Vec<(String, Log, super::Cursor)>,
}
