//! The shell around [`Delivery`]: reads the queue, runs the sink's encoder, sends, and keeps the quarantine.
//!
//! # Invariants
//! - A cursor moves only when `delivery` says so, and after the quarantine is on disk.
//! - The next batch is encoded while the one before is under way.
//!
//! # Not here
//! Decisions: what to do next, and what an outcome means, is all in `delivery`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::delivery::{Action, Aside, Books, Delivery, PerLog, Span, Verdict};
use super::quarantine::Quarantine;
use super::{DeliveryConfig, Encoder, Sink, SinkError, Times, Undeliverable};
use crate::metrics::{self, SinkLabel, SinkLog, SinkReason};
use crate::queue::{self, Block, Cursor, Log, QueueSeq, Reader, Record};
use crate::shutdown::Stop;

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
    encoder: E,
    sink: Arc<S>,
    config: DeliveryConfig,
    reader: Reader,
    quarantine: Quarantine,
    metrics: metrics::Forward,
    stop: Stop,
    stopping: bool,
    grace: Duration,
    delivery: Delivery,
    /// The bytes of the batch that is ready, and of the one under way.
    ready: Option<Arc<E::Batch>>,
    under_way: Option<Arc<E::Batch>>,
    /// The one attempt under way.
    attempt: JoinSet<Attempt>,
    /// The block read last in each log: a batch may end inside it.
    blocks: PerLog<Option<Block>>,
    untold: Untold,
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
        let cursors = PerLog::from_fn(|log| parts.reader.cursor(log));
        Self {
            delivery: Delivery::new(&parts.config, cursors, parts.seed),
            name: parts.name,
            encoder: parts.encoder,
            sink: Arc::new(parts.sink),
            config: parts.config,
            reader: parts.reader,
            quarantine: parts.quarantine,
            metrics: parts.metrics,
            stop: parts.stop,
            stopping: false,
            grace: parts.grace,
            ready: None,
            under_way: None,
            attempt: JoinSet::new(),
            blocks: PerLog::default(),
            untold: Untold::default(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let ends = PerLog::from_fn(|log| self.reader.end(log));
            match self.delivery.poll(now(), ends) {
                Action::Encode(span) => self.encode(span).await,
                Action::Send => {
                    self.under_way = self.ready.take();
                    self.send();
                }
                Action::Resend => self.send(),
                Action::Quarantine { log, seq, detail } => self.quarantine_refused(log, seq, detail),
                Action::Settle { log, cursor } => self.settle(log, cursor).await,
                Action::Wait { until, for_records } => {
                    if self.wait(until.map(Instant::from_std), for_records).await == Flow::End {
                        return;
                    }
                }
                Action::Finish => return,
            }
        }
    }

    async fn wait(&mut self, until: Option<Instant>, for_records: bool) -> Flow {
        tokio::select! {
            () = self.stop.requested(), if !self.stopping => {
                self.stopping = true;
                self.delivery.on_stop(now(), self.grace);
            }
            Some(attempt) = self.attempt.join_next() => {
                // A panic in a sink is a failed attempt like any other.
                let attempt = attempt.unwrap_or_else(|e| Attempt {
                    outcome: Err(SinkError::Retry { reason: format!("attempt broke off: {e}") }),
                    took: Duration::ZERO,
                });
                self.on_attempt(attempt);
            }
            changed = self.reader.changed(), if for_records => {
                if changed.is_err() {
                    return Flow::End;
                }
            }
            () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
        }
        Flow::Continue
    }

    /// Encodes up to the end of the span or the limit of bytes, into `ready`.
    async fn encode(&mut self, span: Span) {
        let mut books = Books::empty(span.log, span.from);
        while books.to < span.to && !(books.to > span.from && self.is_full()) {
            let block = match self.block(span.log, books.to) {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(error) => {
                    error!(sink = self.name, log = span.log.name(), %error, "Queue cannot be read.");
                    if books.to > span.from {
                        break;
                    }
                    self.delivery.on_read_failed(span.log, now());
                    return;
                }
            };
            self.skip_hole(&block, &span, &mut books);
            for (seq, record) in block.records_from(books.to).take_while(|(seq, _)| *seq < span.to) {
                self.push(seq, record, &span, &mut books);
                if self.is_full() {
                    break;
                }
            }
            // A batch takes milliseconds to encode: the doors on this thread have their turn in between.
            yield_now().await;
        }
        self.ready = self.encoder.take().map(Arc::new);
        self.delivery.on_encoded(books);
    }

    fn is_full(&self) -> bool {
        self.encoder.pending_bytes() >= self.config.batch_max_bytes || self.quarantine.is_full()
    }

    /// Records that are missing before the block were lost or dropped by policy; the queue has them in its books.
    fn skip_hole(&self, block: &Block, span: &Span, books: &mut Books) {
        let to = block.first().min(span.to);
        let missing = books.to.count_to(to);
        if missing > 0 {
            warn!(sink = self.name, log = span.log.name(), missing, "Records were gone before they could be sent.");
            books.missing += missing;
            books.to = to;
        }
    }

    fn push(&mut self, seq: QueueSeq, record: &Record, span: &Span, books: &mut Books) {
        match self.encoder.push(span.log, seq, record) {
            Ok(times) => {
                books.deliver += 1;
                if seq >= span.fresh_from {
                    self.count(times);
                }
            }
            Err(why) => {
                books.quarantined += 1;
                if seq >= span.fresh_from {
                    self.keep(span.log, seq, record, &why);
                }
            }
        }
        books.to = seq.plus(1);
    }

    fn count(&self, Times { future, is_marked }: Times) {
        let label = || SinkLabel { sink: self.name.clone() };
        if future > 0 {
            self.metrics.future.get_or_create(&label()).inc_by(future as u64);
        }
        if is_marked {
            self.metrics.unsynchronised.get_or_create(&label()).inc();
        }
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

    /// The block with `from`, or the first after it.
    fn block(&mut self, log: Log, from: QueueSeq) -> Result<Option<Block>, queue::Error> {
        let last = self.blocks.of_mut(log);
        if last.as_ref().is_none_or(|block| from < block.first() || from >= block.end()) {
            *last = self.reader.read(log, from)?;
        }
        Ok(last.clone())
    }

    fn send(&mut self) {
        let Some(batch) = self.under_way.clone() else {
            // Records that leave nothing to send, such as hellos, are delivered as they are.
            self.attempt.spawn(async { Attempt { outcome: Ok(()), took: Duration::ZERO } });
            return;
        };
        let (sink, timeout) = (self.sink.clone(), self.config.timeout + TIMEOUT_MARGIN);
        self.attempt.spawn(async move {
            let started_at = Instant::now();
            let outcome = tokio::time::timeout(timeout, sink.send(&batch))
                .await
                .unwrap_or_else(|_| Err(SinkError::Retry { reason: format!("no answer within {timeout:?}") }));
            Attempt { outcome, took: started_at.elapsed() }
        });
    }

    fn on_attempt(&mut self, Attempt { outcome, took }: Attempt) {
        let label = SinkLabel { sink: self.name.clone() };
        self.metrics.send_seconds.get_or_create(&label).observe(took.as_secs_f64());
        let reason = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let verdict = self.delivery.on_outcome(outcome, now());
        let was_up = self.metrics.up.get_or_create(&label).get() == 1;
        match verdict {
            Verdict::Confirmed => {
                let Some(batch) = self.under_way.take() else { return };
                self.metrics.sent_bytes.get_or_create(&label).inc_by(S::wire_bytes(&batch));
                self.metrics.batches.get_or_create(&label).inc();
                self.metrics.up.get_or_create(&label).set(1);
                if !was_up {
                    info!(sink = self.name, "Sink takes batches.");
                }
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
            Verdict::Split => {
                self.under_way = None;
                debug!(sink = self.name, reason, "Batch rejected, sent again in halves.");
            }
            Verdict::Refused => self.under_way = None,
        }
    }

    /// Puts a single record that the sink refuses where a person can look at it.
    fn quarantine_refused(&mut self, log: Log, seq: QueueSeq, detail: String) {
        let block = match self.block(log, seq) {
            Ok(block) => block,
            Err(error) => {
                error!(sink = self.name, log = log.name(), %error, "Queue cannot be read.");
                self.delivery.on_disk_failed(now());
                return;
            }
        };
        let found = block.as_ref().and_then(|block| block.records_from(seq).next().filter(|(at, _)| *at == seq));
        let aside = match found {
            Some((_, record)) => {
                self.keep(log, seq, record, &Undeliverable { reason: "rejected", detail });
                Aside::Kept
            }
            None => Aside::Gone,
        };
        self.delivery.on_quarantined(aside);
    }

    async fn settle(&mut self, log: Log, cursor: Cursor) {
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
        let delivered = cursor.delivered.saturating_sub(self.reader.cursor(log).delivered);
        let label = SinkLog { sink: self.name.clone(), log: log.name() };
        self.metrics.delivered.get_or_create(&label).inc_by(delivered);
        self.reader.advance(log, cursor);
        self.delivery.on_settled();
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[cfg(test)]
mod tests;
