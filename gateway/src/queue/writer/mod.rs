//! The writer: one thread that turns all that waits into one commit, again and again (group commit).
//!
//! Commits follow each other without a pause: while one is being synced the next group gathers in the inbox, so that
//! groups grow with the load by themselves. Encoding stays on this thread: 4096 records take about two milliseconds of
//! it, less than a flash device's sync, and on a small machine the other core belongs to the doors and to detect.
//!
//! # Invariants
//! - Order of one commit: store, its fsync, watermark, its fsync, books and cache, receipts. Nothing is seen before it
//!   is durable.
//! - After a failed commit nothing is known about the file: the store is opened anew and the same batch goes into a new
//!   generation (`mend`). Receipts wait meanwhile; if it cannot be mended each gets the error, and nothing is taken any
//!   more.

mod gate;
mod losses;
mod mend;
mod room;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::ballast::Ballast;
use super::block;
use super::generations::Generations;
use super::inbox::{Pending, Work};
use super::record::{Log, QueueSeq, Record};
use super::runs::Run;
use super::shared::Shared;
use super::store::StoreError;
use super::watermark::{Mark, Watermark};
use super::{Committed, Config, Cursor, Error, Gaps, Transaction};
use crate::metrics::{self, LogLabel};
use crate::queue::generations::contents::Batch;

pub(super) use gate::Gate;
pub(super) use mend::Patience;
pub(super) use room::Usage;

pub(super) struct Writer {
    pub(super) store: Generations,
    pub(super) watermark: Watermark,
    pub(super) ballast: Ballast,
    pub(super) gaps: Box<dyn Gaps>,
    pub(super) gate: Gate,
    pub(super) shared: Arc<Shared>,
    pub(super) config: Config,
    pub(super) metrics: metrics::Queue,
    /// Where the next records go, indexed by `Log`: all before them is durable.
    pub(super) next: [QueueSeq; 2],
    pub(super) opened_at: Instant,
    pub(super) usage: Usage,
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

type Answer = tokio::sync::oneshot::Sender<Result<Committed, Arc<Error>>>;

/// A group as one batch.
struct Gathered {
    batch: Batch,
    /// May be shown once the batch is durable.
    cursors: Vec<(String, Log, Cursor)>,
    settled: Vec<(Answer, Committed)>,
}

impl Writer {
    /// Works until the inbox is closed and empty, or the store cannot be mended.
    pub(super) fn run(mut self) -> Result<(), Arc<Error>> {
        let _close_on_exit = CloseOnExit(self.shared.clone());
        self.gate.learn(&self.shared, self.next[Log::Raw as usize], self.store.newest_number());
        loop {
            let work = self.shared.inbox.take(self.config.commit_records_max, self.config.commit_interval);
            let (group, is_last) = match work {
                Work::Group(group) => (group, false),
                Work::Books => (Vec::new(), false),
                Work::Closed => (Vec::new(), true),
            };
            self.commit(group, is_last)?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn commit(&mut self, group: Vec<Pending>, is_last: bool) -> Result<(), Arc<Error>> {
        let first_at = group.iter().map(|p| p.arrived_at).min();
        let costs: Vec<_> = group.iter().map(Pending::cost).collect();
        let Gathered { mut batch, cursors, settled } = self.gather(group);
        self.add_snapshot_if_due(&mut batch, is_last);
        if let Err(error) = self.persist(&batch) {
            return Err(self.give_up(settled, error));
        }
        self.publish(batch, cursors);
        self.shared.inbox.settled(costs);
        for (receipt, committed) in settled {
            // Whoever does not wait for it any more does not mind.
            receipt.send(Ok(committed)).ok();
        }
        if let Some(first_at) = first_at {
            self.metrics.commit_seconds.observe(first_at.elapsed().as_secs_f64());
        }
        self.keep_up().map_err(|error| self.give_up(Vec::new(), error))
    }

    /// Leaves out what is there already or has to wait, gives sequences, cuts and encodes blocks, collects the rest.
    fn gather(&mut self, group: Vec<Pending>) -> Gathered {
        let count = |of: fn(&Transaction) -> &Vec<Record>| group.iter().map(|p| of(&p.transaction).len()).sum();
        let mut records = [Vec::with_capacity(count(|t| &t.raw)), Vec::with_capacity(count(|t| &t.derived))];
        let mut settled = Vec::with_capacity(group.len());
        // Of several states under one name the last one counts: a store replaces what it holds, not what it is about to.
        let (mut cursors, mut state) = (Vec::new(), BTreeMap::new());
        self.gate.release(&mut records[Log::Raw as usize]);
        for p in group {
            let at = |log: Log| self.next[log as usize].plus(records[log as usize].len() as u64);
            settled.push((p.receipt, Committed { raw_first: at(Log::Raw), derived_first: at(Log::Derived) }));
            let raw = &mut records[Log::Raw as usize];
            let before = raw.len();
            p.transaction.raw.into_iter().for_each(|record| self.gate.admit(record, raw));
            let bytes: usize = raw[before..].iter().map(|r| r.payload.len()).sum();
            self.metrics.payload_bytes.inc_by(bytes as u64);
            records[Log::Derived as usize].extend(p.transaction.derived);
            cursors.extend(p.transaction.cursors);
            state.extend(p.transaction.state);
        }
        let (derived, waiting) = self.gate.take();
        records[Log::Derived as usize].extend(derived);
        state.extend(waiting);
        let mut batch = Batch { state: state.into_iter().collect(), ..Batch::default() };
        for log in Log::ALL {
            block::encode_all(log, self.next[log as usize], &records[log as usize], &mut batch.blocks);
        }
        let mut books = self.shared.books();
        books.take_dirty(&mut batch);
        for (name, log, cursor) in &cursors {
            batch.accounts.push((name.clone(), *log, books.account_with(name, *log, *cursor)));
        }
        drop(books);
        Gathered { batch, cursors, settled }
    }

    /// Makes the batch durable, whatever it takes.
    fn persist(&mut self, batch: &Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        match self.make_durable(batch) {
            Ok(()) => {}
            Err(error) => self.mend(error, batch)?,
        }
        self.gate.persisted(self.store.newest_number());
        Ok(())
    }

    fn make_durable(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.store.commit(batch)?;
        let mut next = self.next;
        for block in &batch.blocks {
            next[block.body.log as usize] = block.body.end();
        }
        let mark = self.mark(next);
        self.watermark.write(&mark)?;
        self.next = next;
        self.metrics.commits.inc();
        Ok(())
    }

    /// What the watermark is to say once `ends` are durable.
    fn mark(&self, ends: [QueueSeq; 2]) -> Mark {
        let books = self.shared.books();
        books.mark(ends, Log::ALL.map(|log| books.oldest(log)), self.store.newest_number())
    }

    fn publish(&mut self, batch: Batch, cursors: Vec<(String, Log, Cursor)>) {
        let mut books = self.shared.books();
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
        self.usage.appended_at = Instant::now();
        for block in batch.blocks {
            let (log, records) = (block.body.log, block.body.records);
            self.metrics.records.get_or_create(&LogLabel { log: log.name() }).inc_by(records.into());
            self.metrics.written_bytes.inc_by(block.stored.len() as u64);
            self.shared.caches[log as usize].lock().expect("no panic under the lock").push(block.body);
        }
        self.shared.changed.send_modify(|c| c.commits += 1);
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
