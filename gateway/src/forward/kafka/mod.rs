//! Kafka as a sink: raw payloads as they came and derived records as JSON, keyed by device, through librdkafka.
//!
//! # Invariants
//! - A batch is confirmed once all replicas in sync have each of its messages (`acks=all`).
//! - The producer is idempotent and never gives up on a message by itself, so within a partition messages arrive in
//!   order. A batch that failed is purged before the next attempt: nothing of it can overtake.
//! - A producer that librdkafka calls broken for good is replaced.
//!
//! # Not here
//! Decoding: only the key and the headers are read from a payload.

mod message;
mod reports;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firmware_protocol::envelope::Topics;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};

use super::{KafkaConfig, Sink, SinkError};
pub(super) use message::KafkaEncoder;
use message::{Batch, MESSAGE_MAX_BYTES};
use reports::{Context, Reports};

/// A batch is handed over at once, so this only lets its messages gather by partition.
const LINGER_MS: u32 = 5;
/// At most this much waits in librdkafka, kilobytes: the largest batch that can be set (64 MiB and its last record), and
/// what a purge left. A batch that does not fit would be tried for ever.
const BUFFER_MAX_KB: u32 = 96 * 1024;
/// The same in messages: twice the largest batch that can be set.
const BUFFER_MAX_MESSAGES: u32 = 200_000;

pub(super) struct KafkaSink {
    settings: ClientConfig,
    name: String,
    topics: Topics,
    timeout: Duration,
    producer: Mutex<Arc<ThreadedProducer<Context>>>,
}

impl KafkaSink {
    /// Does not connect yet.
    pub(super) fn new(config: &KafkaConfig, client_id: &str) -> Result<Self, KafkaError> {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", &config.bootstrap)
            .set("client.id", client_id)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // librdkafka brings its own lz4; zstd would need a library that this build does without.
            .set("compression.type", "lz4")
            // The partition of a key is the one that Java's clients would choose.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", LINGER_MS.to_string())
            .set("message.max.bytes", MESSAGE_MAX_BYTES.to_string())
            .set("queue.buffering.max.kbytes", BUFFER_MAX_KB.to_string())
            .set("queue.buffering.max.messages", BUFFER_MAX_MESSAGES.to_string())
            // Never: a message that librdkafka gives up would be overtaken by the next. `send` has its own time-out.
            .set("message.timeout.ms", "0")
            .set_log_level(RDKafkaLogLevel::Warning);
        let producer = Mutex::new(Arc::new(produce(&settings, &config.name)?));
        let topics = Topics::new(&config.topic_prefix);
        Ok(Self { settings, name: config.name.clone(), topics, timeout: config.delivery.timeout, producer })
    }

    fn producer(&self) -> Arc<ThreadedProducer<Context>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// librdkafka refuses everything after a fatal error: only a new producer helps.
    fn replace_if_broken(&self, producer: &ThreadedProducer<Context>) -> Result<(), SinkError> {
        let Some((code, text)) = producer.client().fatal_error() else { return Ok(()) };
        tracing::warn!(sink = self.name, %code, text, "Kafka producer broke and is replaced.");
        let fresh = produce(&self.settings, &self.name).map_err(|e| retry(e.to_string()))?;
        *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// Hands all messages to librdkafka; those that it does not take count as reported.
    fn produce(&self, producer: &ThreadedProducer<Context>, batch: &Batch, reports: &Arc<Reports>) {
        for (produced, message) in batch.messages().enumerate() {
            let mut headers = OwnedHeaders::new_with_capacity(message.header_count());
            for (key, value) in message.headers() {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let record = BaseRecord::with_opaque_to(self.topics.of(message.schema()), reports.clone())
                .key(message.key())
                .payload(message.payload())
                .headers(headers);
            if let Err((error, _)) = producer.send(record) {
                reports.on_not_taken(error, batch.len() - produced);
                return;
            }
        }
    }
}

impl Sink for KafkaSink {
    type Batch = Batch;

    fn wire_bytes(batch: &Batch) -> u64 {
        batch.bytes() as u64
    }

    async fn send(&self, batch: &Batch) -> Result<(), SinkError> {
        let producer = self.producer();
        let reports = Arc::new(Reports::new(batch.len()));
        // Purges what is left when this future is dropped, or fails.
        let mut purge = PurgeOnDrop(Some(&producer));
        self.produce(&producer, batch, &reports);
        let outcome = match tokio::time::timeout(self.timeout, reports.all()).await {
            Ok(Ok(())) => {
                purge.0 = None;
                return Ok(());
            }
            Ok(Err(error)) => verdict(&error),
            Err(_) => retry(match producer.context().last_error() {
                Some(error) => format!("no confirmation within {:?}, last error: {error}", self.timeout),
                None => format!("no confirmation within {:?}", self.timeout),
            }),
        };
        drop(purge);
        self.replace_if_broken(&producer)?;
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

fn produce(settings: &ClientConfig, name: &str) -> Result<ThreadedProducer<Context>, KafkaError> {
    settings.create_with_context(Context::new(name))
}

fn retry(reason: String) -> SinkError {
    SinkError::Retry { reason, after: None }
}

/// What a message's failure means for its batch.
fn verdict(error: &KafkaError) -> SinkError {
    use RDKafkaErrorCode as Code;
    let reason = error.to_string();
    // The library has some 160 codes, nearly all of them passing.
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidRecord | Code::InvalidTimestamp) => SinkError::Reject { reason },
        Some(
            Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::InvalidTopic
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::PolicyViolation
            | Code::UnsupportedCompressionType,
        ) => SinkError::Misconfigured { reason },
        _ => retry(reason),
    }
}

#[cfg(test)]
mod tests;
