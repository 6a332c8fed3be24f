//! The consumer loop: fills a batch while the one before it is written, and commits offsets only behind the answer.
//!
//! # Invariants
//! - Offsets of a batch are committed only after InfluxDB confirmed each of its records or the dead-letter topic holds it.
//! - At most two batches are in memory; when both are full all partitions are paused, those too that a rebalance brings
//!   then, but Kafka is still polled, so the group keeps this member however long InfluxDB is away.
//! - Only offsets of partitions that are still ours are committed: a late word would set back who has them now.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use anyhow::Context;
use firmware_protocol::envelope::Topics;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers, Message, OwnedMessage};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::batch::{Batch, Position, halves};
use crate::config::Config;
use crate::dead_letters::DeadLetters;
use crate::encode::{LineEncoder, Undeliverable};
use crate::influx::{WriteError, Writer};
use crate::metrics::{Metrics, TopicLabel};

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A wrong token or a missing bucket is mended by a human: asking more often only fills logs.
const MISCONFIGURED_RETRY: Duration = Duration::from_secs(15);

/// What `/readyz` rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Partitions that this process reads.
    pub partitions: usize,
    /// The last write failed.
    pub influx_away: bool,
}

/// Notes what the group gives to and takes from this process.
struct Group {
    ready: watch::Sender<Readiness>,
}

impl ClientContext for Group {}

impl ConsumerContext for Group {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let partitions = consumer.assignment().map(|a| a.count()).unwrap_or_default();
        info!(partitions, change = ?rebalance, "The group shared its partitions out.");
        self.ready.send_modify(|r| r.partitions = partitions);
    }
}

type GroupConsumer = StreamConsumer<Group>;

pub struct Consume {
    consumer: GroupConsumer,
    encoder: LineEncoder,
    delivery: Delivery,
    config: Config,
    metrics: Metrics,
}

impl Consume {
    /// # Errors
    /// A client cannot be built. Unreachable servers are no errors: they are retried.
    pub fn new(config: Config, metrics: Metrics, ready: watch::Sender<Readiness>) -> anyhow::Result<Self> {
        let topics = Topics::new(&config.kafka.topic_prefix);
        let consumer: GroupConsumer = ClientConfig::new()
            .set("bootstrap.servers", &config.kafka.bootstrap)
            .set("group.id", &config.kafka.group)
            .set("enable.auto.commit", "false")
            // A process that was killed gives its partitions up after this; the default is 45 s.
            .set("session.timeout.ms", "10000")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Topics that are made later are seen within this.
            .set("topic.metadata.refresh.interval.ms", "5000")
            // Bounds what librdkafka fetches ahead; the default is 64 MiB.
            .set("queued.max.messages.kbytes", "8192")
            .create_with_context(Group { ready: ready.clone() })
            .context("Kafka consumer")?;
        consumer
            .subscribe(&[&topics.raw, &topics.windows, &topics.anomalies, &topics.gaps])
            .context("cannot subscribe")?;
        let dead_letters = DeadLetters::new(&config.kafka.bootstrap, topics.dead_letters.clone(), metrics.clone())?;
        let delivery = Delivery { writer: Writer::new(&config.influx)?, dead_letters, metrics: metrics.clone(), ready };
        let encoder = LineEncoder::new(config.decoder.clone(), config.future_max);
        Ok(Self { consumer, encoder, delivery, config, metrics })
    }

    /// Runs until `stop` resolves. What is under way then is not committed and comes again.
    ///
    /// # Errors
    /// The client refuses what it never should: to pause, to resume, to tell its partitions.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::pin!(stop);
        let mut current = Batch::new(self.config.batch);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = fill(&self.consumer, &mut self.encoder, &self.metrics, &mut current, self.config.batch.max_age_ms) => {}
            }
            let mut next = Batch::new(self.config.batch);
            let mut paused = false;
            {
                let delivered = self.delivery.deliver(&current);
                tokio::pin!(delivered);
                loop {
                    tokio::select! {
                        () = &mut stop => return Ok(()),
                        () = &mut delivered => break,
                        message = self.consumer.recv() => {
                            take(message, &mut self.encoder, &self.metrics, &mut next);
                            // Once more with each message that still comes: a rebalance brings partitions unpaused.
                            if next.is_full() {
                                pause(&self.consumer)?;
                                paused = true;
                            }
                        }
                    }
                }
            }
            self.commit(&current)?;
            if paused {
                let partitions = self.consumer.assignment().context("cannot read the assignment")?;
                self.consumer.resume(&partitions).context("cannot resume partitions")?;
            }
            current = next;
        }
        info!("Stopping; what was not committed is read again.");
        Ok(())
    }

    fn commit(&self, batch: &Batch<OwnedMessage>) -> anyhow::Result<()> {
        let ours = self.consumer.assignment().context("cannot read the assignment")?;
        let mut offsets = TopicPartitionList::new();
        for (topic, partition, offset) in batch.next_offsets() {
            if ours.find_partition(topic, partition).is_some() {
                offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
            }
        }
        if offsets.count() == 0 {
            return Ok(());
        }
        match tokio::task::block_in_place(|| self.consumer.commit(&offsets, CommitMode::Sync)) {
            Ok(()) => {
                self.metrics.commits.inc();
            }
            // The partitions went to another member, or Kafka is away: the records come again and upsert the same points.
            Err(e) => warn!(reason = %e, "Offsets not committed; these records will be written once more."),
        }
        Ok(())
    }
}

/// Reads until the batch is full or its first record is `max_age_ms` old.
async fn fill(
    consumer: &GroupConsumer,
    encoder: &mut LineEncoder,
    metrics: &Metrics,
    batch: &mut Batch<OwnedMessage>,
    max_age_ms: u64,
) {
    let mut due = (!batch.is_empty()).then(Instant::now);
    while !batch.is_full() {
        let age = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = age => return,
            message = consumer.recv() => {
                take(message, encoder, metrics, batch);
                if !batch.is_empty() && due.is_none() {
                    due = Some(Instant::now() + Duration::from_millis(max_age_ms));
                }
            }
        }
    }
}

fn take(
    message: Result<BorrowedMessage<'_>, rdkafka::error::KafkaError>,
    encoder: &mut LineEncoder,
    metrics: &Metrics,
    batch: &mut Batch<OwnedMessage>,
) {
    let message = match message {
        Ok(message) => message,
        Err(e) => return warn!(reason = %e, "Kafka does not answer as it should; still trying."),
    };
    metrics.consumed.get_or_create(&TopicLabel { topic: message.topic().to_owned() }).inc();
    let position =
        Position { topic: message.topic().to_owned(), partition: message.partition(), offset: message.offset() };
    let payload = message.payload().unwrap_or_default();
    let bytes = payload.len() + message.key().map_or(0, <[u8]>::len);
    batch.push(position, message.detach(), bytes, |out| {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        encoder.encode(payload, headers.map(|h| (h.key, h.value.unwrap_or_default())), out)
    });
}

fn pause(consumer: &GroupConsumer) -> anyhow::Result<()> {
    let partitions = consumer.assignment().context("cannot read the assignment")?;
    consumer.pause(&partitions).context("cannot pause partitions")
}

struct Delivery {
    writer: Writer,
    dead_letters: DeadLetters,
    metrics: Metrics,
    ready: watch::Sender<Readiness>,
}

impl Delivery {
    /// Resolves once each record of the batch is in InfluxDB or in the dead-letter topic, however long it takes.
    async fn deliver(&self, batch: &Batch<OwnedMessage>) {
        for (message, why) in batch.undeliverable() {
            self.bury(message, why).await;
        }
        let mut stack = vec![batch.all()];
        while let Some(range) = stack.pop() {
            let lines = batch.lines(&range);
            if lines.is_empty() {
                continue;
            }
            let Err(reason) = self.write(lines).await else {
                self.metrics.written.inc_by(range.len() as u64);
                self.metrics.lines.inc_by(lines.iter().filter(|b| **b == b'\n').count() as u64);
                continue;
            };
            match halves(&range) {
                Some([first, second]) => stack.extend([second, first]),
                None => {
                    self.bury(batch.record(range.start), &Undeliverable { reason: "refused", detail: reason }).await
                }
            }
        }
    }

    /// Writes with retries; `Err` is InfluxDB's word that something in these lines will never be taken.
    async fn write(&self, lines: &[u8]) -> Result<(), String> {
        let mut attempt = 0;
        loop {
            let started = Instant::now();
            let outcome = self.writer.write(lines).await;
            self.metrics.write_seconds.observe(started.elapsed().as_secs_f64());
            let (pause, reason) = match outcome {
                Ok(()) => {
                    self.metrics.influx_up.set(1);
                    self.ready.send_modify(|r| r.influx_away = false);
                    return Ok(());
                }
                Err(WriteError::Reject(reason)) => return Err(reason),
                Err(WriteError::Retry(reason)) => (backoff(attempt), reason),
                Err(WriteError::Misconfigured(reason)) => {
                    error!(%reason, "InfluxDB refuses everything; check token, organisation and bucket. Nothing is lost meanwhile.");
                    (MISCONFIGURED_RETRY, reason)
                }
            };
            attempt += 1;
            self.metrics.retries.inc();
            self.metrics.influx_up.set(0);
            self.ready.send_modify(|r| r.influx_away = true);
            warn!(%reason, next_try_in_ms = pause.as_millis() as u64, "Batch not written.");
            tokio::time::sleep(pause).await;
        }
    }

    async fn bury(&self, message: &OwnedMessage, why: &Undeliverable) {
        let mut attempt = 0;
        while let Err(e) = self.dead_letters.put(message, why).await {
            let pause = backoff(attempt);
            attempt += 1;
            warn!(reason = format!("{e:#}"), next_try_in_ms = pause.as_millis() as u64, "Dead letter not stored.");
            tokio::time::sleep(pause).await;
        }
    }
}

/// Full jitter: anything between zero and the doubled pause, so that many sinks do not come back at once.
fn backoff(attempt: u32) -> Duration {
    let ceiling = RETRY_FIRST.saturating_mul(1 << attempt.min(16)).min(RETRY_MAX);
    let random = RandomState::new().build_hasher().finish();
    ceiling.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_attempts_is_bounded() {
        assert!((0..100).all(|attempt| backoff(attempt) <= RETRY_MAX));
        assert!((0..100).any(|_| backoff(20) > RETRY_MAX / 4), "jitter spreads over the whole range");
    }
}
