//! What the writer does when a commit has failed: it opens the store anew, without a restart.
//!
//! # Invariants
//! - Nothing of the failed batch counts until it is committed again, into a new generation: after a failed fsync the
//!   kernel may have dropped what it could not write, and a file that reads well may not be on disk.
//! - A full disk is waited for, as long as it takes; anything else is tried [`ATTEMPTS_MAX`] times.

use std::time::{Duration, Instant};

use super::Writer;
use crate::queue::files;
use crate::queue::generations::contents::{Batch, Contents};
use crate::queue::generations::recovery;
use crate::queue::record::Log;
use crate::queue::store::StoreError;
use crate::queue::{Config, Error, Pressure};

/// Attempts in a row before the writer gives up and the gateway ends; a supervisor then starts it afresh.
const ATTEMPTS_MAX: u32 = 5;
/// Free space below which any failure is taken for a full disk: engines do not always say so.
const LOW_BYTES: u64 = 1 << 20;
/// Free space that a new generation and a commit need.
const NEEDED_BYTES: u64 = Config::BALLAST_BYTES_MIN;

/// How long to wait for the machine to do better.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Patience {
    /// Pause before the n-th attempt is n times this.
    pub(in crate::queue) attempt_pause: Duration,
    /// How often a full disk is looked at.
    pub(in crate::queue) space_poll: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempt_pause: Duration::from_millis(200), space_poll: Duration::from_secs(1) }
    }
}

impl Writer {
    /// Brings the store back and makes the batch durable.
    pub(super) fn mend(&mut self, error: StoreError, batch: &Batch) -> Result<(), Error> {
        self.shared.unsettle();
        let result = self.mend_until_done(error, batch);
        self.shared.settle();
        result
    }

    fn mend_until_done(&mut self, error: StoreError, batch: &Batch) -> Result<(), Error> {
        let nothing = Batch::default();
        let (mut error, mut batch, mut attempts, mut was_full) = (error, batch, 0, false);
        loop {
            self.metrics.failed_commits.inc();
            if self.is_disk_full(&error) {
                self.wait_for_space(&error, std::mem::replace(&mut was_full, true))?;
            } else {
                attempts += 1;
                tracing::error!(%error, attempt = attempts, of = ATTEMPTS_MAX, "Queue cannot write; it opens its store anew.");
                if attempts >= ATTEMPTS_MAX {
                    return Err(error.into());
                }
                // One that is being closed does not wait, but it tries.
                self.shared.inbox.closed_by(Instant::now() + attempts * self.shared.patience.attempt_pause);
            }
            error = match self.reopen_and_commit(batch) {
                Ok(contents) => {
                    // It is durable; what is still to do must not do it twice.
                    batch = &nothing;
                    match self.settle_missing(contents) {
                        Ok(()) => {
                            tracing::warn!("Queue writes again; nothing that was acknowledged is lost by this.");
                            return Ok(());
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            }
        }
    }

    fn is_disk_full(&self, error: &StoreError) -> bool {
        error.is_full() || files::free_bytes(&self.config.dir).is_ok_and(|free| free < LOW_BYTES)
    }

    /// The batch goes first: what it changes may be in the old file, and is only right together with its blocks.
    fn reopen_and_commit(&mut self, batch: &Batch) -> Result<Contents, StoreError> {
        let contents = self.store.reopen()?;
        self.store.go_on_at(self.next);
        let mark = self.mark(self.next);
        self.watermark.replace(&mark)?;
        self.make_durable(batch)?;
        Ok(contents)
    }

    /// What was there before and is not any more is salvaged or lost.
    fn settle_missing(&mut self, mut contents: Contents) -> Result<(), StoreError> {
        let mut missing = {
            let books = self.shared.books();
            Log::ALL.map(|log| {
                let mut missing = books.held(log).clone();
                contents.held[log as usize].iter().for_each(|run| missing.remove(run));
                missing.remove(super::Run::new(self.next[log as usize], super::QueueSeq(u64::MAX)));
                missing
            })
        };
        recovery::salvage(&mut self.store, &mut contents, &mut missing)?;
        for (log, runs) in Log::ALL.into_iter().zip(missing) {
            for run in runs.iter() {
                self.shared.lose(log, run, &"the store no longer holds it");
            }
        }
        Ok(())
    }

    /// Returns once there is room for a new generation. Doors are held up from here on, until the ballast is aboard.
    /// `is_again`: there seemed to be room, and it was refused all the same, as by a quota.
    fn wait_for_space(&mut self, error: &StoreError, is_again: bool) -> Result<(), Error> {
        self.set_pressure(Pressure::DiskFull);
        self.shared.inbox.books_due_at(Instant::now() + self.shared.patience.space_poll);
        let (mut told, mut is_refused) = (false, is_again);
        loop {
            let free_bytes = files::free_bytes(&self.config.dir)?;
            if free_bytes >= NEEDED_BYTES && !is_refused {
                return Ok(());
            }
            is_refused = false;
            if self.ballast.throw_overboard()? {
                tracing::error!(%error, free_bytes, "Disk is full: the queue uses its reserve; doors are held up.");
                continue;
            }
            if self.store.purge_half_made()? || self.release_drained()? > 0 {
                continue;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::error!(
                    %error, free_bytes, needed_bytes = NEEDED_BYTES,
                    "Disk is full: nothing is acknowledged until there is space; delete files, or mend the sinks."
                );
            }
            if self.shared.inbox.closed_by(Instant::now() + self.shared.patience.space_poll) {
                return Err(Error::Storage(format!("closed while the disk was full ({error})")));
            }
        }
    }
}
