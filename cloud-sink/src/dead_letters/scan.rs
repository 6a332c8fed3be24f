//! Reads the dead-letter topic from its beginning to where it ends when the scan begins.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::letter::Entry;
use crate::config::Kafka;
use crate::kafka::client;

/// For one answer of Kafka.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// Gives each entry to `each`, per partition in order. None if there is no such topic.
///
/// # Errors
/// Kafka does not answer, or what `each` says.
pub(super) fn scan(
    kafka: &Kafka,
    topic: &str,
    mut each: impl FnMut(Entry) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let consumer: BaseConsumer = client::settings(kafka)
        // Nothing is committed; librdkafka wants a name to assign by hand.
        .set("group.id", kafka.redrive_id())
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .context("Kafka consumer")?;
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).context("Kafka does not tell its topics")?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
    let mut ends = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        let (first, end) =
            consumer.fetch_watermarks(topic, partition, TIMEOUT).context("Kafka does not tell offsets")?;
        if end > first {
            ends.insert(partition, end);
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&assignment)?;
    while !ends.is_empty() {
        let message = match consumer.poll(TIMEOUT) {
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
                continue;
            }
            Some(Err(e)) => return Err(e).with_context(|| format!("cannot read {topic}")),
            None => anyhow::bail!("{topic}: nothing came within {} s; is Kafka there?", TIMEOUT.as_secs()),
        };
        let partition = message.partition();
        match ends.get(&partition) {
            Some(end) if message.offset() < *end => each(entry(&message))?,
            Some(_) => {
                ends.remove(&partition);
            }
            None => {}
        }
    }
    Ok(())
}

fn entry(message: &BorrowedMessage<'_>) -> Entry {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Entry {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().unwrap_or_default().to_vec(),
        headers: headers.map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect(),
    }
}
