//! cloud-sink's archive from the outside: records produced straight into Kafka, and all that lies in the archive's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use bytes::Bytes;
use firmware_protocol::decode::DecoderName;
use firmware_protocol::envelope::{Envelope, Schema};
use firmware_protocol::measurement::{EventTime, Received};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// For Kafka to take a record.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Records under way at a time.
const WINDOW: usize = 1_000;
/// 2025-11-21, ten minutes before midnight (UTC): the records of a test lie on both sides.
const BEGIN_NS: i64 = 1_763_769_000_000_000_000;

/// (partition, offset) → payload, of one topic.
pub type Records = BTreeMap<(i32, i64), Vec<u8>>;

/// What a record is to be.
#[derive(Clone, Debug)]
pub struct Message {
    pub device: String,
    pub topic: String,
    pub payload: Vec<u8>,
    pub decoder: Option<&'static str>,
}

/// # Errors
/// It exists, or Kafka does not answer.
pub async fn create_topic(bootstrap: &str, topic: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for made in admin.create_topics([&wanted], &AdminOptions::new().operation_timeout(Some(TIMEOUT))).await? {
        made.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    Ok(())
}

/// Writes messages as a gateway does, one a tenth of a second by their received times; tells where each went.
///
/// # Errors
/// Kafka does not take them.
pub async fn produce(bootstrap: &str, topic: &str, messages: &[Message]) -> Result<Records> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()?;
    let mut records = Records::new();
    for (window, messages) in messages.chunks(WINDOW).enumerate() {
        let mut under_way = Vec::with_capacity(WINDOW);
        for (i, message) in messages.iter().enumerate() {
            let headers = headers(message, (window * WINDOW + i) as u64);
            let record = FutureRecord::to(topic).key(&message.device).payload(&message.payload).headers(headers);
            under_way.push((producer.send_result(record).map_err(|(e, _)| e)?, &message.payload));
        }
        for (delivery, payload) in under_way {
            let delivered = delivery.await?.map_err(|(e, _)| e)?;
            records.insert((delivered.partition, delivered.offset), payload.clone());
        }
    }
    rdkafka::producer::Producer::flush(&producer, Timeout::After(TIMEOUT))?;
    Ok(records)
}

fn headers(message: &Message, number: u64) -> OwnedHeaders {
    let envelope = Envelope {
        schema: Schema::Raw,
        gateway: "gw",
        queue_seq: number,
        received: Received::known(EventTime(BEGIN_NS + number as i64 * 100_000_000)),
        topic: &message.topic,
        door: "mqtt",
        retained: false,
        identity: None,
        content_type: "",
        table: "",
        decoder: message.decoder.and_then(DecoderName::parse),
    };
    let mut headers = OwnedHeaders::new();
    envelope.write_headers(|key, value| {
        headers = std::mem::take(&mut headers).insert(Header { key, value: Some(value) });
    });
    headers
}

/// cloud-sink's configuration with the role archive alone. `archive` are the keys of its table.
pub fn config(bootstrap: &str, topic_prefix: &str, instance: &str, archive: &str) -> String {
    let kafka = format!("bootstrap = \"{bootstrap}\"\ntopic_prefix = \"{topic_prefix}\"\ngroup = \"{topic_prefix}\"");
    format!("[kafka]\n{kafka}\nsession_timeout_s = 6\ninstance = \"{instance}\"\n\n[archive]\n{archive}\n")
}

/// Number of manifests, and of rows that they tell.
///
/// # Errors
/// One of them cannot be read.
pub fn progress(root: &Path) -> Result<(usize, u64)> {
    let manifests = manifests(root)?;
    Ok((manifests.len(), manifests.iter().filter_map(|manifest| manifest["rows"].as_u64()).sum()))
}

/// All records that the manifests have of `topic`, after a look at everything: each file is named by one manifest, has
/// the rows, bytes and sum told there, and lies where its rows belong; each record is there once.
///
/// # Errors
/// What is not so.
pub fn read(root: &Path, topic: &str) -> Result<Records> {
    let mut named = BTreeSet::new();
    let mut records = Records::new();
    for manifest in manifests(root)? {
        let number = |key: &str| manifest[key].as_i64().with_context(|| format!("{key} of {manifest}"));
        let (first, last) = (number("first_offset")?, number("last_offset")?);
        let mut rows = 0;
        for file in manifest["files"].as_array().context("files")? {
            let path = file["path"].as_str().context("path")?;
            ensure!(named.insert(path.to_owned()), "{path} is named by two manifests");
            let bytes = std::fs::read(root.join(path)).with_context(|| path.to_owned())?;
            let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            ensure!(file["sha256"] == sum && file["bytes"] == bytes.len(), "{path} is not as {manifest} says");
            let mut in_file = 0;
            for batch in ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))?.build()? {
                let batch = batch?;
                let topics = batch["kafka_topic"].as_string::<i32>();
                let partitions = batch["kafka_partition"].as_primitive::<Int32Type>();
                let offsets = batch["kafka_offset"].as_primitive::<Int64Type>();
                let devices = batch["device"].as_string::<i32>();
                let payloads = batch["payload"].as_binary::<i32>();
                for row in 0..batch.num_rows() {
                    let offset = offsets.value(row);
                    ensure!((first..=last).contains(&offset), "{path} has {offset}, the manifest {first} to {last}");
                    let bucket = crc32fast::hash(devices.value(row).as_bytes()) % 16;
                    ensure!(path.contains(&format!("/device_bucket={bucket:02}/")), "{path}: {}", devices.value(row));
                    in_file += 1;
                    if topics.value(row) == topic {
                        let known = records.insert((partitions.value(row), offset), payloads.value(row).to_vec());
                        ensure!(known.is_none(), "{topic}/{}/{offset} is there twice", partitions.value(row));
                    }
                }
            }
            ensure!(file["rows"] == in_file, "{path} has {in_file} rows: {file}");
            rows += in_file;
        }
        ensure!(manifest["rows"] == rows, "{manifest} has {rows} rows");
    }
    let there: BTreeSet<String> = files(root)?.into_iter().filter(|path| path.ends_with(".parquet")).collect();
    let strays: Vec<&String> = there.difference(&named).collect();
    ensure!(strays.is_empty(), "files that no manifest names: {strays:?}");
    // A folder may have `NAME#1` of a write that was killed: no reader takes that for an object.
    let is_intent = |path: &String| path.starts_with("intents/") && path.ends_with(".json");
    let intents: Vec<String> = files(root)?.into_iter().filter(is_intent).collect();
    ensure!(intents.is_empty(), "intents are left: {intents:?}");
    Ok(records)
}

fn manifests(root: &Path) -> Result<Vec<Value>> {
    let paths = files(root)?.into_iter().filter(|path| path.starts_with("manifests/") && path.ends_with(".json"));
    paths.map(|path| Ok(serde_json::from_slice(&std::fs::read(root.join(path))?)?)).collect()
}

/// Paths from `root`.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(root)?.to_string_lossy().into_owned()),
            }
        }
    }
    Ok(found)
}
