//! Kafka from the outside, as far as the tests need it: is it there, what are its topics, and all that is in one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use firmware_protocol::envelope::Envelope;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

/// For one question to the broker.
const TIMEOUT: Duration = Duration::from_secs(10);
/// From the open port to the first answer; most of it is a small machine under load.
const BROKER_DEADLINE: Duration = Duration::from_secs(60);

/// One record of a topic, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// Those that are text, in their order.
    pub headers: Vec<(String, String)>,
}

impl Entry {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Returns once the metadata lists a broker: the port opens before.
pub(crate) fn wait_for_broker(bootstrap: &str) -> Result<()> {
    let consumer = consumer(bootstrap)?;
    let end = Instant::now() + BROKER_DEADLINE;
    loop {
        match consumer.fetch_metadata(None, Duration::from_secs(2)) {
            Ok(metadata) if !metadata.brokers().is_empty() => return Ok(()),
            Ok(_) if Instant::now() < end => {}
            Err(_) if Instant::now() < end => {}
            Ok(_) => bail!("{bootstrap} lists no broker"),
            Err(e) => return Err(e).with_context(|| format!("ask {bootstrap} for brokers")),
        }
    }
}

/// All entries of all partitions up to their ends of now; per partition in order. Empty if there is no such topic.
///
/// # Errors
/// The broker does not answer.
pub fn read_topic(bootstrap: &str, topic: &str) -> Result<Vec<Entry>> {
    read_all(&consumer(bootstrap)?, topic)
}

/// As [`read_topic`], without what transactions have not committed.
///
/// # Errors
/// The broker does not answer.
pub fn read_committed(bootstrap: &str, topic: &str) -> Result<Vec<Entry>> {
    let mut config = client(bootstrap);
    config.set("isolation.level", "read_committed");
    read_all(&config.create()?, topic)
}

fn read_all(consumer: &BaseConsumer, topic: &str) -> Result<Vec<Entry>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(|t| t.partitions()).map(|p| p.id());
    let mut assignment = TopicPartitionList::new();
    let mut ends = Vec::new();
    for partition in partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
        if end > first {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
            ends.push((partition, end));
        }
    }
    consumer.assign(&assignment)?;
    let mut entries = Vec::new();
    while !ends.is_empty() {
        let polled = consumer.poll(TIMEOUT).with_context(|| format!("{topic} ends before its watermark: {ends:?}"))?;
        let message = match polled {
            // Behind the last record there may be the end of a transaction, which is no record.
            Err(KafkaError::PartitionEOF(partition)) => {
                ends.retain(|(open, _)| *open != partition);
                continue;
            }
            polled => polled?,
        };
        entries.push(Entry {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: message.headers().into_iter().flat_map(Headers::iter).filter_map(text).collect(),
        });
        ends.retain(|(partition, end)| *partition != message.partition() || message.offset() + 1 < *end);
    }
    Ok(entries)
}

fn text(header: Header<'_, &[u8]>) -> Option<(String, String)> {
    Some((header.key.to_owned(), std::str::from_utf8(header.value?).ok()?.to_owned()))
}

/// Number of entries of a topic: cheaper to ask again and again.
///
/// # Errors
/// The broker does not answer.
pub fn count(bootstrap: &str, topic: &str) -> Result<u64> {
    let consumer = consumer(bootstrap)?;
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let mut entries = 0;
    for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
        let (first, end) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
        ensure!(end >= first, "{topic}: watermarks {first}..{end}");
        entries += (end - first) as u64;
    }
    Ok(entries)
}

/// Number of partitions; 0 if there is no such topic.
///
/// # Errors
/// The broker does not answer.
pub fn partitions(bootstrap: &str, topic: &str) -> Result<usize> {
    let metadata = consumer(bootstrap)?.fetch_metadata(None, TIMEOUT)?;
    Ok(metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len()))
}

/// What a topic was given itself.
///
/// # Errors
/// The broker does not answer, or has no such topic.
pub async fn settings(bootstrap: &str, topic: &str) -> Result<BTreeMap<String, String>> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let found = admin.describe_configs([&ResourceSpecifier::Topic(topic)], &AdminOptions::new()).await?;
    let found = found.into_iter().next().context("no answer")?.map_err(|e| anyhow!("{topic}: {e}"))?;
    let own = found.entries.into_iter().filter(|e| e.source == ConfigSource::DynamicTopic);
    Ok(own.filter_map(|e| Some((e.name, e.value?))).collect())
}

/// Gives a topic these settings, and no others.
///
/// # Errors
/// The broker refuses.
pub async fn set(bootstrap: &str, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let all = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let all = settings.iter().fold(all, |all, (key, value)| all.set(key, value));
    let done = admin.alter_configs([&all], &AdminOptions::new()).await?;
    done.into_iter().next().context("no answer")?.map_err(|(_, e)| anyhow!("{topic}: {e}"))?;
    Ok(())
}

/// Puts a record as a gateway would.
///
/// # Errors
/// The broker does not take it.
pub async fn put(bootstrap: &str, topic: &str, envelope: &Envelope<'_>, key: &str, value: &[u8]) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let mut headers = OwnedHeaders::new();
    envelope.write_headers(|key, value| {
        let before = std::mem::replace(&mut headers, OwnedHeaders::new_with_capacity(0));
        headers = before.insert(Header { key, value: Some(value) });
    });
    let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
    producer.send(record, TIMEOUT).await.map_err(|(e, _)| e)?;
    Ok(())
}

fn consumer(bootstrap: &str) -> Result<BaseConsumer> {
    Ok(client(bootstrap).create()?)
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "tests").set("enable.auto.commit", "false");
    // A test must not make the topic that it asks for, and must not miss what an unfinished transaction hides.
    config.set("allow.auto.create.topics", "false").set("isolation.level", "read_uncommitted");
    config.set("enable.partition.eof", "true");
    config
}
