//! The shell around [`Delivery`]: reads the queue, runs the sink's encoder, sends, and keeps the quarantine.
//!
//! # Invariants
//! - The books are told only what `delivery` says, and after the quarantine is on disk.
//! - The next batch is encoded while others are under way. What reads the disk or compresses much does so on a thread that
//!   may block.
//!
//! # Not here
//! Decisions: what to do next, and what an outcome means, is all in `delivery`.

mod blocking;
mod encoding;
mod progress;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{self, JoinError, JoinSet, yield_now};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::delivery::{Action, BatchId, Delivery, Encoded, Item, PerLog, Place, Verdict};
use super::quarantine::Quarantine;
use super::{DeliveryConfig, Encoder, Sink, SinkError, Times, Undeliverable};
use crate::metrics::{self, SinkLabel, SinkLog, SinkReason};
use crate::queue::{Block, Log, QueueSeq, Reader, Record};
use crate::shutdown::Stop;
use blocking::elsewhere;
use encoding::Work;
use progress::Teller;

/// Sinks have a time-out of their own and say better what is wrong; this one is behind it.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(1);
/// Quarantined records are told of in the log once in this time at most: poison comes in floods.
const QUARANTINE_LOG_EVERY: Duration = Duration::from_secs(10);

/// What a task is made of.
pub(super) struct Parts<E, S> {
    pub(super) name: String,
    pub(super) encoder: E,
    pub(super) sink: S,
    pub(super) config: DeliveryConfig,
    pub(super) reader: Reader,
    pub(super) quarantine: Quarantine,
    pub(super) metrics: metrics::Forward,
    pub(super) stop: Stop,
    pub(super) grace: Duration,
    /// Of the pauses' jitter.
    pub(super) seed: u64,
}

/// Delivers both logs to one sink.
pub(super) struct Task<E: Encoder, S> {
    name: String,
    /// At home but while it encodes.
    encoder: Option<E>,
    sink: Arc<S>,
    config: DeliveryConfig,
    reader: Reader,
    quarantine: Quarantine,
    metrics: metrics::Forward,
    stop: Stop,
    stopping: bool,
    grace: Duration,
    delivery: Delivery,
    /// What was encoded for each batch last.
    ready: Vec<Ready<E::Batch>>,
    /// Attempts under way, and whose they are.
    attempts: JoinSet<Attempt>,
    attempts_of: HashMap<task::Id, BatchId>,
    untold: Untold,
    teller: Teller,
}

struct Ready<B> {
    /// Nothing, if its records leave nothing to send.
    bytes: Option<Arc<B>>,
    /// Readings whose device's clock is ahead, and records that go out marked.
    future: u64,
    marked: u64,
}

struct Attempt {
    outcome: Result<(), SinkError>,
    took: Duration,
}

/// Quarantined records that the log has not told of.
#[derive(Default)]
struct Untold {
    records: u64,
    told_at: Option<Instant>,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    /// The queue is closed.
    End,
}

impl<E: Encoder, S: Sink<Batch = E::Batch>> Task<E, S> {
    pub(super) fn new(parts: Parts<E, S>) -> Self {
        let place = |log| Place { cursor: parts.reader.cursor(log), ahead: parts.reader.ahead(log) };
        Self {
            delivery: Delivery::new(&parts.config, PerLog::from_fn(place), parts.seed),
            teller: Teller::new(&parts.name, &parts.metrics),
            name: parts.name,
            encoder: Some(parts.encoder),
            sink: Arc::new(parts.sink),
            config: parts.config,
            reader: parts.reader,
            quarantine: parts.quarantine,
            metrics: parts.metrics,
            stop: parts.stop,
            stopping: false,
            grace: parts.grace,
            ready: Vec::new(),
            attempts: JoinSet::new(),
            attempts_of: HashMap::new(),
            untold: Untold::default(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let ends = PerLog::from_fn(|log| self.reader.end(log));
            match self.delivery.poll(now(), ends) {
                Action::Read { log, from } => self.read(log, from).await,
                Action::Encode { batch, log, items, bytes_max } => self.encode(batch, log, items, bytes_max).await,
                Action::Send { batch } => self.send(batch),
                Action::Quarantine { batch, log, item, detail } => {
                    self.keep(log, item.seq, item.record(), &Undeliverable { reason: "rejected", detail });
                    self.delivery.on_quarantined(batch);
                }
                Action::Tell { log, place } => self.tell(log, place).await,
                Action::Wait { until } => {
                    self.teller.tell(now(), &mut self.delivery);
                    if self.wait(until.map(Instant::from_std)).await == Flow::End {
                        return;
                    }
                }
                Action::Finish => return,
            }
        }
    }

    async fn wait(&mut self, until: Option<Instant>) -> Flow {
        tokio::select! {
            () = self.stop.requested(), if !self.stopping => {
                self.stopping = true;
                self.delivery.on_stop(now(), self.grace);
            }
            Some(attempt) = self.attempts.join_next_with_id() => self.on_joined(attempt),
            changed = self.reader.changed() => {
                if changed.is_err() {
                    return Flow::End;
                }
                self.delivery.on_changed();
            }
            () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
        }
        Flow::Continue
    }

    async fn read(&mut self, log: Log, from: QueueSeq) {
        let found = if self.reader.is_cached(log, from) {
            // The doors on this thread have their turn in between.
            yield_now().await;
            self.reader.read(log, from)
        } else {
            let reader = self.reader.clone();
            elsewhere(move || reader.read(log, from)).await
        };
        match found {
            Ok(found) => {
                self.tell_of_a_hole(log, from, found.as_ref());
                let encoder = self.encoder.as_ref().expect("nothing is encoded at the moment");
                self.delivery.on_read(log, from, found.as_ref(), &|record| encoder.takes(log, record));
            }
            Err(error) => {
                error!(sink = self.name, log = log.name(), %error, "Queue cannot be read.");
                self.delivery.on_read_failed(log, now());
            }
        }
    }

    /// Records that are missing before the block were lost or dropped by policy; the queue has them in its books.
    fn tell_of_a_hole(&self, log: Log, from: QueueSeq, found: Option<&Block>) {
        let missing = found.map_or(0, |block| from.count_to(block.first()));
        if missing > 0 {
            warn!(sink = self.name, log = log.name(), missing, "Records were gone before they could be sent.");
        }
    }

    async fn encode(&mut self, batch: BatchId, log: Log, items: Arc<[Item]>, bytes_max: usize) {
        let encoder = self.encoder.take().expect("one piece is encoded at a time");
        let (encoder, Work { pushed, batch: bytes }) = encoding::encode(encoder, log, items.clone(), bytes_max).await;
        self.encoder = Some(encoder);
        let mut ready = Ready { bytes: bytes.map(Arc::new), future: 0, marked: 0 };
        let mut encoded = Vec::with_capacity(pushed.len());
        for (item, outcome) in items.iter().zip(pushed) {
            match outcome {
                Ok(Times { is_left_out: true, .. }) => encoded.push(Encoded::LeftOut),
                Ok(Times { future, is_marked, is_left_out: false }) => {
                    ready.future += future as u64;
                    ready.marked += u64::from(is_marked);
                    encoded.push(Encoded::In);
                }
                Err(why) => {
                    self.keep(log, item.seq, item.record(), &why);
                    encoded.push(Encoded::Aside);
                }
            }
        }
        let wire_bytes = ready.bytes.as_deref().map_or(0, S::wire_bytes);
        if self.ready.len() <= batch {
            self.ready.resize_with(batch + 1, || Ready { bytes: None, future: 0, marked: 0 });
        }
        self.ready[batch] = ready;
        self.delivery.on_encoded(batch, &encoded, wire_bytes, now());
    }

    fn keep(&mut self, log: Log, seq: QueueSeq, record: &Record, why: &Undeliverable) {
        self.quarantine.keep(log, seq, record, why);
        self.metrics.quarantined.get_or_create(&SinkReason { sink: self.name.clone(), reason: why.reason }).inc();
        self.untold.records += 1;
        let now = Instant::now();
        if self.untold.told_at.is_none_or(|told_at| now >= told_at + QUARANTINE_LOG_EVERY) {
            let (records, Undeliverable { reason, detail }) = (self.untold.records, why);
            warn!(sink = self.name, log = log.name(), records, reason, detail, "Records put into quarantine.");
            self.untold = Untold { records: 0, told_at: Some(now) };
        }
    }

    fn send(&mut self, batch: BatchId) {
        let (sink, timeout, bytes) =
            (self.sink.clone(), self.config.timeout + TIMEOUT_MARGIN, self.ready[batch].bytes.clone());
        let attempt = self.attempts.spawn(async move {
            // Records that leave nothing to send, such as hellos, are delivered as they are.
            let Some(bytes) = bytes else { return Attempt { outcome: Ok(()), took: Duration::ZERO } };
            let started_at = Instant::now();
            let outcome = tokio::time::timeout(timeout, sink.send(&bytes)).await.unwrap_or_else(|_| {
                Err(SinkError::Retry { reason: format!("no answer within {timeout:?}"), after: None })
            });
            Attempt { outcome, took: started_at.elapsed() }
        });
        self.attempts_of.insert(attempt.id(), batch);
    }

    fn on_joined(&mut self, joined: Result<(task::Id, Attempt), JoinError>) {
        let (id, attempt) = match joined {
            Ok(joined) => joined,
            // A panic in a sink is a failed attempt like any other.
            Err(error) => {
                let reason = format!("attempt broke off: {error}");
                let outcome = Err(SinkError::Retry { reason, after: None });
                (error.id(), Attempt { outcome, took: Duration::ZERO })
            }
        };
        let batch = self.attempts_of.remove(&id).expect("each attempt was noted when it began");
        self.on_attempt(batch, attempt);
    }

    fn on_attempt(&mut self, batch: BatchId, Attempt { outcome, took }: Attempt) {
        let label = SinkLabel { sink: self.name.clone() };
        self.metrics.send_seconds.get_or_create(&label).observe(took.as_secs_f64());
        let reason = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let verdict = self.delivery.on_outcome(batch, outcome, now());
        let was_up = self.metrics.up.get_or_create(&label).get() == 1;
        match verdict {
            Verdict::Confirmed => {
                let Ready { bytes, future, marked } = &self.ready[batch];
                if let Some(bytes) = bytes {
                    self.metrics.sent_bytes.get_or_create(&label).inc_by(S::wire_bytes(bytes));
                    self.metrics.batches.get_or_create(&label).inc();
                    self.metrics.up.get_or_create(&label).set(1);
                    if !was_up {
                        info!(sink = self.name, "Sink takes batches.");
                    }
                }
                if *future > 0 {
                    self.metrics.future.get_or_create(&label).inc_by(*future);
                }
                if *marked > 0 {
                    self.metrics.unsynchronised.get_or_create(&label).inc_by(*marked);
                }
                self.ready[batch].bytes = None;
            }
            Verdict::Again { pause, failures } => {
                self.metrics.retries.get_or_create(&label).inc();
                self.metrics.up.get_or_create(&label).set(0);
                let retry_in_ms = pause.as_millis() as u64;
                warn!(sink = self.name, failures, retry_in_ms, reason, "Batch not taken, sent again.");
            }
            Verdict::Misconfigured { pause } => {
                self.metrics.retries.get_or_create(&label).inc();
                self.metrics.up.get_or_create(&label).set(0);
                let retry_in_s = pause.as_secs();
                error!(
                    sink = self.name,
                    retry_in_s, reason, "Sink needs its settings mended; nothing is lost meanwhile."
                );
            }
            Verdict::Split => debug!(sink = self.name, reason, "Batch rejected, sent again in halves."),
            Verdict::Refused => {}
        }
    }

    async fn tell(&mut self, log: Log, place: Place) {
        match self.quarantine.flush().await {
            Ok(0) => {}
            Ok(evicted) => {
                let label = SinkLabel { sink: self.name.clone() };
                self.metrics.quarantine_evicted.get_or_create(&label).inc_by(evicted);
                warn!(sink = self.name, evicted, "Quarantine is full: its oldest records are deleted.");
            }
            Err(error) => {
                error!(sink = self.name, %error, "Quarantine cannot be written: delivery waits for it.");
                self.delivery.on_disk_failed(now());
                return;
            }
        }
        let delivered = place.cursor.delivered.saturating_sub(self.reader.cursor(log).delivered);
        let label = SinkLog { sink: self.name.clone(), log: log.name() };
        self.metrics.delivered.get_or_create(&label).inc_by(delivered);
        self.reader.settle(log, place.cursor, &place.ahead);
        self.delivery.on_told(log, place);
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[cfg(test)]
mod tests;
