//! The dead-letter topic: original bytes and headers, with where they came from and why they are here.

use std::time::Duration;

use anyhow::Context;
use firmware_protocol::envelope::{ERROR_DETAIL, ERROR_ORIGIN, ERROR_REASON};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::{Undeliverable, head};
use crate::config::Kafka;
use crate::kafka::client;
use crate::metrics::{Metrics, ReasonLabel};

/// How long Kafka may take to confirm one dead letter before the batch is tried again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest dead letter, bytes: what brokers take by default (1 048 588) less their framing. Gateways send records of up to
/// 1 000 000, so the reason has room beside each of them.
pub(super) const MESSAGE_MAX_BYTES: usize = 1_040_000;
/// Longest detail in a header, bytes.
const DETAIL_MAX_BYTES: usize = 1_000;

pub struct DeadLetters {
    producer: FutureProducer,
    topic: String,
    metrics: Metrics,
}

impl DeadLetters {
    /// # Errors
    /// The producer cannot be made.
    pub fn new(kafka: &Kafka, topic: String, metrics: Metrics) -> anyhow::Result<Self> {
        let producer = client::settings(kafka)
            .set("enable.idempotence", "true")
            .set("message.max.bytes", MESSAGE_MAX_BYTES.to_string())
            .set("message.timeout.ms", CONFIRM_TIMEOUT.as_millis().to_string())
            .create()
            .context("dead-letter producer")?;
        Ok(Self { producer, topic, metrics })
    }

    /// Resolves once Kafka holds the record. One that no topic takes any more with its headers is put without its
    /// payload: its origin tells where that lies, and the records behind it must not wait for ever.
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
            .insert(Header { key: ERROR_DETAIL, value: Some(head(&why.detail, DETAIL_MAX_BYTES)) })
            .insert(Header { key: ERROR_ORIGIN, value: Some(origin.as_str()) });
        let payload = message.payload().unwrap_or_default();
        let sent = match self.send(message.key(), payload, headers.clone()).await {
            Err(e) if e.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                tracing::error!(%origin, bytes = payload.len(), "Record is too large for the dead-letter topic: only its headers are kept there.");
                self.send(message.key(), &[], headers).await
            }
            sent => sent,
        };
        sent.context("dead letter not confirmed")?;
        self.metrics.dead_letters.get_or_create(&ReasonLabel { reason: why.reason }).inc();
        tracing::warn!(reason = why.reason, detail = %why.detail, %origin, topic = %self.topic, "Record moved to the dead-letter topic.");
        Ok(())
    }

    async fn send(&self, key: Option<&[u8]>, payload: &[u8], headers: OwnedHeaders) -> Result<(), KafkaError> {
        let mut record = FutureRecord::to(&self.topic).payload(payload).headers(headers);
        if let Some(key) = key {
            record = record.key(key);
        }
        self.producer.send(record, CONFIRM_TIMEOUT).await.map(drop).map_err(|(e, _)| e)
    }
}
