//! From checked records to the queue, in commits of bounded size, and their receipts.
//!
//! # Invariants
//! - The records of a request enter the queue in the order of its body.
//! - At most one batch is in memory beside what the queue has taken; the queue's inbox is bounded itself.
//! - After the deadline nothing more is handed over.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::answer::Refusal;
use super::split::{Fault, Item, Items};
use crate::clock::Stamp;
use crate::frames::Wish;
use crate::queue::{self, Door, Flags, Receipt, Record, Transaction};

/// Records in one commit: some 130 KB in memory beside the body.
const BATCH_RECORDS: usize = 1_024;
/// Payload in one commit, or one record: an eighth of what the queue takes in at a time.
const BATCH_BYTES: usize = 1 << 20;
/// Faults told one by one; more are only counted.
pub(super) const FAULTS_MAX: usize = 100;

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) stored: u64,
    pub(super) rejected: u64,
    /// The first of what was rejected.
    pub(super) faults: Vec<Fault>,
    /// Devices whose records wait for their hello.
    pub(super) hello_wanted: Vec<String>,
}

/// A body on its way into the queue.
pub(super) struct Batches {
    pub(super) shared: Arc<Shared>,
    pub(super) topic: Bytes,
    pub(super) items: Items,
    /// For the next record.
    pub(super) received: Stamp,
    pub(super) deadline: Instant,
}

/// A batch that the queue has taken.
struct Taken {
    records: u64,
    payload_bytes: u64,
    receipt: Receipt,
}

/// What was found in the body so far.
#[derive(Default)]
struct Found {
    records: Vec<Record>,
    bytes: usize,
    rejected: u64,
    faults: Vec<Fault>,
    rejected_by: HashMap<&'static str, u64>,
}

impl Batches {
    /// Stores what can be stored. Returns once the queue has let go of all records.
    pub(super) async fn store(mut self) -> Result<Stored, Refusal> {
        let mut asking = self.shared.wishes.listen();
        let mut taken = VecDeque::new();
        let mut found = Found::default();
        let mut handed_over = Ok(());
        while handed_over.is_ok() && self.find(&mut found) {
            let records = std::mem::take(&mut found.records);
            let payload_bytes = std::mem::take(&mut found.bytes) as u64;
            handed_over = self.hand_over(records, payload_bytes, &mut taken).await;
        }
        for (label, count) in &found.rejected_by {
            self.shared.meters.refused(label, *count);
        }
        let mut stored = 0;
        for Taken { records, payload_bytes, receipt } in taken {
            match receipt.await {
                Ok(Ok(_committed)) => {
                    self.shared.meters.stored(records, payload_bytes);
                    stored += records;
                }
                Ok(Err(error)) => return Err(self.failed(error)),
                Err(_dropped) => return Err(self.failed(Arc::new(queue::Error::Closed))),
            }
        }
        handed_over?;
        if stored == 0 && found.rejected == 0 {
            let reason = "the body holds no record".to_owned();
            found.faults.push(Fault { line: None, item: None, reason, label: "empty" });
            found.rejected = 1;
            self.shared.meters.refused("empty", 1);
        }
        let wishes = std::iter::from_fn(|| asking.take());
        let of_ours = wishes.filter(|request| request.door == Door::Http && request.topic == self.topic);
        let hello_wanted = of_ours.filter_map(|request| match request.wish {
            Wish::Hello { device } => Some(device),
            Wish::Rebirth { .. } => None,
        });
        let hello_wanted = hello_wanted.collect();
        Ok(Stored { stored, rejected: found.rejected, faults: found.faults, hello_wanted })
    }

    /// Fills the next batch; whether there is one.
    fn find(&mut self, found: &mut Found) -> bool {
        while found.records.len() < BATCH_RECORDS && found.bytes < BATCH_BYTES {
            match self.items.next() {
                Some(Ok(item)) => {
                    found.bytes += item.payload.len();
                    found.records.push(self.record(item));
                }
                Some(Err(fault)) => {
                    found.rejected += 1;
                    *found.rejected_by.entry(fault.label).or_default() += 1;
                    if found.faults.len() < FAULTS_MAX {
                        found.faults.push(fault);
                    }
                }
                None => break,
            }
        }
        !found.records.is_empty()
    }

    fn record(&mut self, Item { payload, content_type }: Item) -> Record {
        let received = self.received;
        // Each a nanosecond later: databases keep one point per time, and lines without a time of their own get this.
        self.received.since_boot_ns += 1;
        Record {
            door: Door::Http,
            flags: Flags::default(),
            received,
            topic: self.topic.clone(),
            payload,
            content_type: Bytes::from_static(content_type.as_bytes()),
            table: Bytes::new(),
        }
    }

    async fn hand_over(
        &self,
        records: Vec<Record>,
        payload_bytes: u64,
        taken: &mut VecDeque<Taken>,
    ) -> Result<(), Refusal> {
        let count = records.len() as u64;
        let transaction = Transaction { raw: records, ..Transaction::default() };
        match timeout_at(self.deadline, self.shared.appender.commit(transaction)).await {
            Ok(Ok(receipt)) => {
                taken.push_back(Taken { records: count, payload_bytes, receipt });
                Ok(())
            }
            Ok(Err(error)) => Err(self.failed(Arc::new(error))),
            Err(_late) => Err(Refusal::Late(self.shared.config.commit_timeout)),
        }
    }

    /// The door ends with the queue.
    fn failed(&self, error: Arc<queue::Error>) -> Refusal {
        self.shared.failure.send_replace(Some(error));
        Refusal::Failed
    }
}
