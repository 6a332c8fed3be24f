//! Kafka as a sink: raw payloads as they came and derived records as JSON, keyed by device, through librdkafka.
//!
//! # Invariants
//! - A batch is confirmed once all replicas in sync have each of its messages (`acks=all`).
//! - The producer is idempotent and never gives up on a message by itself, so within a partition messages arrive in
//!   order. A batch that failed is purged before the next attempt: nothing of it can overtake.
//! - A producer that librdkafka calls broken for good is replaced, and one that the brokers do not let in: the files with
//!   the password and with certificates are read again, so what a person mends needs no restart.
//!
//! # Not here
//! Decoding: only the key and the headers are read from a payload.

mod message;
mod reports;
mod security;
mod verdict;

use std::sync::{Arc, Mutex, PoisonError};

use firmware_protocol::envelope::Topics;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};

use super::{KafkaConfig, Sink, SinkError};
use crate::secret::SecretFault;
pub(super) use message::KafkaEncoder;
use message::{Batch, MESSAGE_MAX_BYTES};
use reports::{Context, Reports};
pub use security::{HAS_TLS, KafkaLogin, KafkaSecurity, SaslMechanism};
use verdict::{retry, unanswered, verdict};

/// A batch is handed over at once, so this only lets its messages gather by partition.
const LINGER_MS: u32 = 5;
/// At most this much waits in librdkafka, kilobytes: the largest batch that can be set (64 MiB and its last record), and
/// what a purge left. A batch that does not fit would be tried for ever.
const BUFFER_MAX_KB: u32 = 96 * 1024;
/// The same in messages: twice the largest batch that can be set.
const BUFFER_MAX_MESSAGES: u32 = 200_000;

/// How messages are packed; brokers store them as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
    Zstd,
    Snappy,
    Gzip,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
        }
    }
}

/// Why no producer can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaFault {
    #[error("password_file {0}")]
    Password(#[from] SecretFault),
    #[error("kafka producer cannot be made: {0}")]
    Producer(#[from] KafkaError),
}

pub(super) struct KafkaSink {
    config: KafkaConfig,
    client_id: String,
    producer: Mutex<Arc<ThreadedProducer<Context>>>,
}

impl KafkaSink {
    /// Does not connect yet.
    pub(super) fn new(config: &KafkaConfig, client_id: &str) -> Result<Self, KafkaFault> {
        let producer = Mutex::new(Arc::new(make(config, client_id)?));
        Ok(Self { config: config.clone(), client_id: client_id.to_owned(), producer })
    }

    fn producer(&self) -> Arc<ThreadedProducer<Context>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After a fatal error librdkafka refuses everything: only a new producer helps.
    fn is_broken(&self, producer: &ThreadedProducer<Context>) -> bool {
        let Some((code, text)) = producer.client().fatal_error() else { return false };
        tracing::warn!(sink = self.config.name, %code, text, "Kafka producer broke and is replaced.");
        true
    }

    /// Makes a producer by what the files hold now, unless another attempt has done so.
    async fn replace(&self, failed: Arc<ThreadedProducer<Context>>) -> Result<(), SinkError> {
        let (config, client_id) = (self.config.clone(), self.client_id.clone());
        let made = tokio::task::spawn_blocking(move || make(&config, &client_id)).await;
        let fresh = made.map_err(|e| retry(e.to_string()))?;
        let fresh = fresh.map_err(|fault| SinkError::Misconfigured { reason: fault.to_string() })?;
        let mut slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let old =
            if Arc::ptr_eq(&slot, &failed) { std::mem::replace(&mut *slot, Arc::new(fresh)) } else { Arc::new(fresh) };
        drop(slot);
        // librdkafka waits for its threads then.
        tokio::task::spawn_blocking(move || drop((old, failed)));
        Ok(())
    }
}

/// Hands all messages to librdkafka; those that it does not take count as reported.
fn produce(topics: &Topics, producer: &ThreadedProducer<Context>, batch: &Batch, reports: &Arc<Reports>) {
    for (produced, message) in batch.messages().enumerate() {
        let mut headers = OwnedHeaders::new_with_capacity(message.header_count());
        for (key, value) in message.headers() {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let record = BaseRecord::with_opaque_to(topics.of(message.schema()), reports.clone())
            .key(message.key())
            .payload(message.payload())
            .headers(headers);
        if let Err((error, _)) = producer.send(record) {
            reports.on_not_taken(error, batch.len() - produced);
            return;
        }
    }
}

impl Sink for KafkaSink {
    type Batch = Batch;

    fn wire_bytes(batch: &Batch) -> u64 {
        batch.bytes() as u64
    }

    async fn send(&self, batch: &Batch) -> Result<(), SinkError> {
        let timeout = self.config.delivery.timeout;
        let producer = self.producer();
        let reports = Arc::new(Reports::new(batch.len()));
        // Purges what is left when this future is dropped, or fails.
        let mut purge = PurgeOnDrop(Some(&producer));
        produce(&self.config.topics, &producer, batch, &reports);
        let outcome = match tokio::time::timeout(timeout, reports.all()).await {
            Ok(Ok(())) => {
                purge.0 = None;
                producer.context().forget_error();
                return Ok(());
            }
            Ok(Err(error)) => verdict(&error, &self.config.topics),
            Err(_) => unanswered(timeout, producer.context().last_error()),
        };
        drop(purge);
        let is_misconfigured = matches!(outcome, SinkError::Misconfigured { .. });
        if self.is_broken(&producer) || (is_misconfigured && self.config.security.can_change()) {
            self.replace(producer).await?;
        }
        Err(outcome)
    }
}

struct PurgeOnDrop<'a>(Option<&'a ThreadedProducer<Context>>);

impl Drop for PurgeOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(producer) = self.0 {
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

fn make(config: &KafkaConfig, client_id: &str) -> Result<ThreadedProducer<Context>, KafkaFault> {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &config.bootstrap)
        .set("client.id", client_id)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", config.compression.name())
        // The partition of a key is the one that Java's clients would choose.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", LINGER_MS.to_string())
        .set("message.max.bytes", MESSAGE_MAX_BYTES.to_string())
        .set("queue.buffering.max.kbytes", BUFFER_MAX_KB.to_string())
        .set("queue.buffering.max.messages", BUFFER_MAX_MESSAGES.to_string())
        // Never: a message that librdkafka gives up would be overtaken by the next. `send` has its own time-out.
        .set("message.timeout.ms", "0")
        .set_log_level(RDKafkaLogLevel::Warning);
    config.security.apply(&mut settings)?;
    Ok(settings.create_with_context(Context::new(&config.name))?)
}

#[cfg(test)]
mod tests;
