//! The dead-letter topic: original bytes and headers, with where they came from and why they are here.

use std::time::Duration;

use anyhow::Context;
use firmware_protocol::envelope::{ERROR_DETAIL, ERROR_ORIGIN, ERROR_REASON};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::encode::Undeliverable;
use crate::metrics::{Metrics, ReasonLabel};

/// How long Kafka may take to confirm one dead letter before the batch is tried again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

pub struct DeadLetters {
    producer: FutureProducer,
    topic: String,
    metrics: Metrics,
}

impl DeadLetters {
    /// # Errors
    /// The producer cannot be made.
    pub fn new(bootstrap: &str, topic: String, metrics: Metrics) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", CONFIRM_TIMEOUT.as_millis().to_string())
            .create()
            .context("dead-letter producer")?;
        Ok(Self { producer, topic, metrics })
    }

    /// Resolves once Kafka holds the record.
    ///
    /// # Errors
    /// Kafka did not confirm it in time.
    pub async fn put(&self, message: &OwnedMessage, why: &Undeliverable) -> anyhow::Result<()> {
        let origin = format!("{}/{}/{}", message.topic(), message.partition(), message.offset());
        let mut headers = OwnedHeaders::new();
        if let Some(original) = message.headers() {
            for header in original.iter() {
                headers = headers.insert(header);
            }
        }
        let headers = headers
            .insert(Header { key: ERROR_REASON, value: Some(why.reason) })
            .insert(Header { key: ERROR_DETAIL, value: Some(why.detail.as_str()) })
            .insert(Header { key: ERROR_ORIGIN, value: Some(origin.as_str()) });
        let mut record = FutureRecord::to(&self.topic).payload(message.payload().unwrap_or_default()).headers(headers);
        if let Some(key) = message.key() {
            record = record.key(key);
        }
        self.producer.send(record, CONFIRM_TIMEOUT).await.map_err(|(e, _)| e).context("dead letter not confirmed")?;
        self.metrics.dead_letters.get_or_create(&ReasonLabel { reason: why.reason }).inc();
        tracing::warn!(reason = why.reason, detail = %why.detail, %origin, topic = %self.topic, "Record moved to the dead-letter topic.");
        Ok(())
    }
}
