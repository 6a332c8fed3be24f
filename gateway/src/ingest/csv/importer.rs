//! Brings one file into the queue: two passes over it, batches of rows with the progress in the same transaction.
//!
//! # Invariants
//! - A row is stored once, whenever the process dies: how far the file is becomes durable with its rows.
//! - Memory per import: the batches that are being filled, handed over and made durable; not the file.
//! - At most [`READERS_MAX`] files are read at a time, each in a thread where waiting for the disk is allowed.
//!
//! # Flow
//! ```text
//! file ─▶ first pass: identity ─▶ register: known? ─▶ second pass: Converter ─Batch─▶ Appender ─▶ receipt of the last
//! ```

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore, mpsc};
use tokio::task::JoinError;
use tracing::{info, warn};

use super::board::{Board, ImportId};
use super::convert::{Batch, Progress, RowRecord};
use super::mapping::Mapping;
use super::register::{Identity, Register};
use super::report::{Failure, Report};
use super::survey::Survey;
use crate::clock::Clock;
use crate::metrics::{self, DoorLabel, DoorReason, OutcomeLabel};
use crate::queue::{self, Appender, Door, Flags, Monitor, Receipt, Record, Transaction};
use crate::shutdown::Stop;

/// A long import holds up no more than one other.
const READERS_MAX: usize = 2;
/// Batches handed to the queue and not yet durable: one is being written while the next waits.
const IN_FLIGHT_MAX: usize = 2;
const CONTENT_TYPE: Bytes = Bytes::from_static(b"application/json");

/// A file to be imported.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: ImportId,
    pub(super) path: PathBuf,
    /// As it is told; its stem is the device if nothing else is.
    pub(super) file: String,
    pub(super) mapping: Arc<Mapping>,
}

/// Imports files, for all doors that bring some. Cheap to clone.
#[derive(Clone)]
pub struct Importer(Arc<Shared>);

struct Shared {
    appender: Appender,
    clock: Clock,
    /// Held while a transaction is handed over: changes of the register enter the queue in their order.
    register: AsyncMutex<Register>,
    /// Of files that are being imported: the same one waits.
    claimed: Mutex<HashSet<Identity>>,
    freed: Notify,
    readers: Semaphore,
    board: Board,
    ingest: metrics::Ingest,
    imports: metrics::Imports,
}

impl Importer {
    /// Reads what is known of earlier imports.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn open(
        appender: Appender,
        monitor: &Monitor,
        clock: Clock,
        ingest: metrics::Ingest,
        imports: metrics::Imports,
    ) -> Result<Self, queue::Error> {
        let (register, damaged) = Register::load(|name| monitor.state(name))?;
        for name in damaged {
            warn!(
                name,
                "What is known of earlier imports cannot be read in part; those files would be imported again."
            );
        }
        Ok(Self(Arc::new(Shared {
            appender,
            clock,
            register: AsyncMutex::new(register),
            claimed: Mutex::default(),
            freed: Notify::new(),
            readers: Semaphore::new(READERS_MAX),
            board: Board::default(),
            ingest,
            imports,
        })))
    }

    pub(super) fn board(&self) -> &Board {
        &self.0.board
    }

    pub(super) fn imports_metrics(&self) -> &metrics::Imports {
        &self.0.imports
    }

    /// Imports the file, or goes on with it. The board must know the job.
    pub(super) async fn import(&self, job: &Job, stop: &Stop) -> Result<Report, Failure> {
        let mut stopped = stop.clone();
        let outcome = tokio::select! {
            outcome = self.run(job, stop) => outcome,
            () = stopped.requested() => Err(Failure::Stopped),
        };
        self.0.board.ended(job.id, &outcome);
        let label = match &outcome {
            Ok(report) if report.already_imported => "already_imported",
            Ok(_) => "imported",
            Err(failure) => failure.label(),
        };
        self.0.imports.files.get_or_create(&OutcomeLabel { outcome: label }).inc();
        match &outcome {
            Ok(report) => {
                self.0.ingest.acks.get_or_create(&DoorLabel { door: Door::Csv.name() }).inc();
                let Report { rows, stored, rejected, already_imported, .. } = report;
                info!(file = %job.file, rows, stored, rejected, already_imported, "File imported.");
            }
            Err(Failure::Stopped) => {}
            Err(failure) => warn!(file = %job.file, reason = %failure, "File was not imported."),
        }
        outcome
    }

    async fn run(&self, job: &Job, stop: &Stop) -> Result<Report, Failure> {
        let shared = &self.0;
        let _reader = shared.readers.acquire().await.map_err(|_| Failure::Stopped)?;
        let survey = {
            let (job, board, stop) = (job.clone(), shared.board.clone(), stop.clone());
            joined(tokio::task::spawn_blocking(move || Survey::of(&job, &board, &stop)).await)?
        };
        let claim = self.claim(survey.identity).await;
        let begin = {
            let register = shared.register.lock().await;
            if register.is_done(&claim.identity) {
                return Ok(Report::repeated(&job.file, survey.bytes));
            }
            register.progress(&claim.identity).cloned().unwrap_or_else(|| Progress::at(survey.head.rows))
        };
        shared.board.importing(job.id, begin.offset, begin.counts.clone(), Instant::now());
        self.store(job, survey, begin, claim.identity, stop).await
    }

    /// Second pass.
    async fn store(
        &self,
        job: &Job,
        survey: Survey,
        begin: Progress,
        identity: Identity,
        stop: &Stop,
    ) -> Result<Report, Failure> {
        let bytes = survey.bytes;
        let (tx, mut batches) = mpsc::channel(1);
        let (stop, mut offset) = (stop.clone(), begin.offset);
        let reading = tokio::task::spawn_blocking(move || survey.read_rows(begin, &tx, &stop));
        let mut in_flight: VecDeque<(Receipt, Sent)> = VecDeque::new();
        let mut last = None;
        while let Some(batch) = batches.recv().await {
            let read = batch.progress.offset - offset;
            offset = batch.progress.offset;
            let (receipt, sent) = self.hand_over(identity, batch, read).await?;
            if sent.is_last {
                last = Some(sent.progress.counts.clone());
            }
            in_flight.push_back((receipt, sent));
            if in_flight.len() >= IN_FLIGHT_MAX
                && let Some((receipt, sent)) = in_flight.pop_front()
            {
                self.settle(job, receipt, &sent).await?;
            }
        }
        for (receipt, sent) in in_flight {
            self.settle(job, receipt, &sent).await?;
        }
        joined(reading.await)?;
        let counts = last.ok_or(Failure::Stopped)?;
        Ok(Report::imported(&job.file, bytes, counts))
    }

    async fn hand_over(&self, identity: Identity, batch: Batch, read: u64) -> Result<(Receipt, Sent), Failure> {
        let mut register = self.0.register.lock().await;
        let state = if batch.is_last {
            register.finish(identity)
        } else {
            vec![register.advance(identity, batch.progress.clone())]
        };
        let received = self.0.clock.stamp();
        let sent = Sent {
            read,
            records: batch.rows.len() as u64,
            payload_bytes: batch.rows.iter().map(|row| row.payload.len() as u64).sum(),
            rejected: batch.rejected,
            progress: batch.progress,
            is_last: batch.is_last,
        };
        let record = |row: RowRecord| Record {
            door: Door::Csv,
            flags: Flags::default(),
            received,
            topic: row.topic,
            payload: row.payload,
            content_type: CONTENT_TYPE,
            table: Bytes::new(),
        };
        let raw = batch.rows.into_iter().map(record).collect();
        let receipt = self.0.appender.commit(Transaction { raw, state, ..Transaction::default() }).await?;
        Ok((receipt, sent))
    }

    /// Waits until a batch is durable.
    async fn settle(&self, job: &Job, receipt: Receipt, sent: &Sent) -> Result<(), Failure> {
        let committed = receipt.await.map_err(|_| queue::Error::Closed)?;
        committed.map_err(|error| Failure::Queue(error.to_string()))?;
        let (ingest, imports) = (&self.0.ingest, &self.0.imports);
        let door = DoorLabel { door: Door::Csv.name() };
        ingest.messages.get_or_create(&door).inc_by(sent.records);
        ingest.payload_bytes.get_or_create(&door).inc_by(sent.payload_bytes);
        imports.bytes.inc_by(sent.read);
        imports.rows.get_or_create(&OutcomeLabel { outcome: "stored" }).inc_by(sent.records);
        imports.rows.get_or_create(&OutcomeLabel { outcome: "rejected" }).inc_by(sent.rejected.len() as u64);
        for reason in &sent.rejected {
            ingest.refused.get_or_create(&DoorReason { door: door.door, reason }).inc();
        }
        let Progress { offset, counts, .. } = &sent.progress;
        self.0.board.importing(job.id, *offset, counts.clone(), Instant::now());
        Ok(())
    }

    async fn claim(&self, identity: Identity) -> Claim<'_> {
        loop {
            let freed = self.0.freed.notified();
            if self.0.claimed().insert(identity) {
                return Claim { shared: &self.0, identity };
            }
            freed.await;
        }
    }
}

impl Shared {
    fn claimed(&self) -> MutexGuard<'_, HashSet<Identity>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to import a file; given back when dropped.
struct Claim<'i> {
    shared: &'i Shared,
    identity: Identity,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.shared.claimed().remove(&self.identity);
        self.shared.freed.notify_waiters();
    }
}

/// A batch that the queue has taken.
struct Sent {
    /// Bytes of the file.
    read: u64,
    records: u64,
    payload_bytes: u64,
    rejected: Vec<&'static str>,
    progress: Progress,
    is_last: bool,
}

fn joined<T>(ended: Result<Result<T, Failure>, JoinError>) -> Result<T, Failure> {
    ended.unwrap_or_else(|panic| Err(Failure::Unreadable(io::Error::other(panic.to_string()))))
}

#[cfg(test)]
mod tests;
