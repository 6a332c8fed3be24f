//! Role `influx`: fills a batch while the one before it is written, and commits offsets only behind the answer.
//!
//! # Invariants
//! - Offsets of a batch are committed only after InfluxDB confirmed each of its records or the dead-letter topic holds it.
//! - At most two batches are in memory; when both are full all partitions are paused, those too that a rebalance brings
//!   then, but Kafka is still polled, so the group keeps this member however long InfluxDB is away.

use std::time::Duration;

use anyhow::Context;
use firmware_protocol::envelope::Topics;
use rdkafka::message::{BorrowedMessage, Headers, Message, OwnedMessage};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Health, Role};
use crate::config::Config;
use crate::dead_letters::DeadLetters;
use crate::kafka::group::Group;
use crate::metrics::Metrics;

pub mod batch;
mod deliver;
pub mod encode;
pub mod writer;

use batch::{Batch, Position};
use deliver::Delivery;
use encode::LineEncoder;
use writer::Writer;

/// Runs until `stop` resolves. What is under way then is not committed and comes again.
///
/// # Errors
/// A client cannot be built or refuses what it never should. Unreachable servers are no errors: they are retried.
pub async fn run(
    config: &Config,
    metrics: Metrics,
    health: watch::Sender<Health>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let influx = config.influx.as_ref().context("the configuration has no table [influx]")?;
    let topics = Topics::new(&config.kafka.topic_prefix);
    let dead_letters = DeadLetters::new(&config.kafka, topics.dead_letters.clone(), metrics.clone())?;
    let delivery =
        Delivery { writer: Writer::new(influx)?, dead_letters, metrics: metrics.clone(), health: health.clone() };
    let read = [&*topics.raw, &*topics.windows, &*topics.anomalies, &*topics.gaps];
    let group = Group::join(&config.kafka, Role::Influx, &read, &metrics, health)?;
    let mut encoder = LineEncoder::new(config.decoder.clone(), config.future_max);
    tokio::pin!(stop);
    let mut current = Batch::new(config.batch);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            filled = fill(&group, &mut encoder, &mut current, config.batch.max_age_ms) => filled?,
        }
        let mut next = Batch::new(config.batch);
        let mut paused = false;
        {
            let delivered = delivery.deliver(&current);
            tokio::pin!(delivered);
            loop {
                tokio::select! {
                    () = &mut stop => return Ok(()),
                    () = &mut delivered => break,
                    message = group.recv() => {
                        take(&message?, &mut encoder, &mut next);
                        // Once more with each message that still comes: a rebalance brings partitions unpaused.
                        if next.is_full() {
                            group.pause()?;
                            paused = true;
                        }
                    }
                }
            }
        }
        group.commit(current.next_offsets())?;
        if paused {
            group.resume()?;
        }
        current = next;
    }
}

/// Reads until the batch is full or its first record is `max_age_ms` old.
async fn fill(
    group: &Group,
    encoder: &mut LineEncoder,
    batch: &mut Batch<OwnedMessage>,
    max_age_ms: u64,
) -> anyhow::Result<()> {
    let mut due = (!batch.is_empty()).then(Instant::now);
    while !batch.is_full() {
        let age = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = age => return Ok(()),
            message = group.recv() => {
                take(&message?, encoder, batch);
                due = due.or_else(|| Some(Instant::now() + Duration::from_millis(max_age_ms)));
            }
        }
    }
    Ok(())
}

fn take(message: &BorrowedMessage<'_>, encoder: &mut LineEncoder, batch: &mut Batch<OwnedMessage>) {
    let position =
        Position { topic: message.topic().to_owned(), partition: message.partition(), offset: message.offset() };
    let payload = message.payload().unwrap_or_default();
    let bytes = payload.len() + message.key().map_or(0, <[u8]>::len);
    batch.push(position, message.detach(), bytes, |out| {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        encoder.encode(payload, headers.map(|h| (h.key, h.value.unwrap_or_default())), out)
    });
}
