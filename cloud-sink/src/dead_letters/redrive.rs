//! `dead-letters redrive`: sends letters to the topics that they came from, with their own bytes, key and headers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context;
use firmware_protocol::envelope::{SCHEMA, Topics};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::letter::{Entry, MARK_SCHEMA, Mark, Redriven};
use super::put::MESSAGE_MAX_BYTES;
use super::scan::scan;
use crate::config::Kafka;
use crate::kafka::client;

/// Letters of one transaction, and their bytes: what is held in memory, and what a kill makes to be sent again.
const BATCH_LETTERS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 8 << 20;
/// A redrive that was killed holds up the readers of the topics it wrote to for no longer than this.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
/// For a transaction's end, and to begin while the broker clears up behind another.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of the letters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sent, by reason.
    pub sent: BTreeMap<String, u64>,
    /// Sent by an earlier redrive.
    pub before: u64,
    /// Of other reasons than the one asked for.
    pub others: u64,
    /// Cannot be sent, by why.
    pub skipped: BTreeMap<&'static str, u64>,
    pub is_dry_run: bool,
}

/// Sends all letters of `reason`, or of any; with `is_dry_run` only says what it would send.
///
/// # Errors
/// Kafka does not answer or refuses; what was sent until then is marked, and is not sent again.
pub fn redrive(kafka: &Kafka, reason: Option<&str>, is_dry_run: bool) -> anyhow::Result<Report> {
    let topics = Topics::new(&kafka.topic_prefix);
    // Before the marks are read: what a redrive that was killed had not finished is given up by that.
    let producer = (!is_dry_run).then(|| producer(kafka)).transpose()?;
    let mut redriven = Redriven::default();
    scan(kafka, &topics.dead_letters, |entry| match entry.is_mark() {
        true => redriven.add(&entry).with_context(|| format!("mark {}/{}", entry.partition, entry.offset)),
        false => Ok(()),
    })?;
    let mut report = Report { is_dry_run, ..Report::default() };
    let mut batches: BTreeMap<i32, Batch> = BTreeMap::new();
    scan(kafka, &topics.dead_letters, |letter| {
        if letter.is_mark() {
            return Ok(());
        }
        if redriven.contains(&letter) {
            report.before += 1;
        } else if reason.is_some_and(|reason| reason != letter.reason()) {
            report.others += 1;
        } else if let Err(why) = sendable(&letter, &topics) {
            *report.skipped.entry(why).or_default() += 1;
        } else if let Some(producer) = &producer {
            let batch = batches.entry(letter.partition).or_default();
            batch.push(letter);
            if batches.values().map(|batch| batch.letters.len()).sum::<usize>() >= BATCH_LETTERS_MAX
                || batches.values().map(|batch| batch.bytes).sum::<usize>() >= BATCH_BYTES_MAX
            {
                send(producer, &topics, std::mem::take(&mut batches), &mut report)?;
            }
        } else {
            *report.sent.entry(letter.reason().to_owned()).or_default() += 1;
        }
        Ok(())
    })?;
    if let Some(producer) = &producer {
        send(producer, &topics, batches, &mut report)?;
    }
    Ok(report)
}

/// Letters of one partition for the next transaction.
#[derive(Default)]
struct Batch {
    letters: Vec<Entry>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, letter: Entry) {
        self.bytes += letter.payload.len();
        self.letters.push(letter);
    }
}

/// Only to the topics that gateways write: a letter that someone forged must not reach others.
fn sendable(letter: &Entry, topics: &Topics) -> Result<(), &'static str> {
    let Some(origin) = letter.origin() else { return Err("it does not tell where it was") };
    if ![&topics.raw, &topics.windows, &topics.anomalies, &topics.gaps].iter().any(|topic| *topic == origin.topic) {
        return Err("it was in a topic that is none of the gateways'");
    }
    match letter.payload.is_empty() {
        true => Err("it has no bytes: it was too large for the dead-letter topic, and lies where it was"),
        false => Ok(()),
    }
}

fn producer(kafka: &Kafka) -> anyhow::Result<BaseProducer> {
    let producer: BaseProducer = client::settings(kafka)
        .set("transactional.id", kafka.redrive_id())
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
        .set("message.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
        .set("message.max.bytes", MESSAGE_MAX_BYTES.to_string())
        .create()
        .context("Kafka producer")?;
    producer.init_transactions(PATIENCE).context("Kafka does not let the redrive begin")?;
    Ok(producer)
}

/// One transaction: the letters in their topics, and a mark behind them in each partition that they were in.
fn send(
    producer: &BaseProducer,
    topics: &Topics,
    batches: BTreeMap<i32, Batch>,
    report: &mut Report,
) -> anyhow::Result<()> {
    if batches.is_empty() {
        return Ok(());
    }
    producer.begin_transaction().context("transaction")?;
    let put = || -> anyhow::Result<()> {
        for (partition, batch) in &batches {
            for letter in &batch.letters {
                send_letter(producer, letter)?;
            }
            let mark = serde_json::to_vec(&Mark::of(batch.letters.iter().map(|letter| letter.offset)))?;
            let headers = OwnedHeaders::new().insert(Header { key: SCHEMA, value: Some(MARK_SCHEMA) });
            let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topics.dead_letters);
            let record = record.partition(*partition).payload(mark.as_slice()).headers(headers);
            producer.send(record).map_err(|(e, _)| e).context("mark")?;
            producer.poll(Duration::ZERO);
        }
        producer.commit_transaction(PATIENCE).context("transaction")
    };
    if let Err(e) = put() {
        // What is not aborted here Kafka gives up by itself, or the next redrive does.
        if let Err(abort) = producer.abort_transaction(PATIENCE) {
            tracing::warn!(reason = %abort, "The transaction could not be given up.");
        }
        return Err(e);
    }
    for letter in batches.values().flat_map(|batch| &batch.letters) {
        *report.sent.entry(letter.reason().to_owned()).or_default() += 1;
    }
    Ok(())
}

fn send_letter(producer: &BaseProducer, letter: &Entry) -> anyhow::Result<()> {
    let origin = letter.origin().context("a letter without origin was not sorted out")?;
    let mut headers = OwnedHeaders::new();
    for (key, value) in letter.original_headers() {
        headers = headers.insert(Header { key, value });
    }
    // The partition that it was in: whatever chose it has put the device's other records there.
    let mut record: BaseRecord<'_, [u8], [u8]> =
        BaseRecord::to(origin.topic).partition(origin.partition).payload(letter.payload.as_slice()).headers(headers);
    if let Some(key) = &letter.key {
        record = record.key(key);
    }
    let sent: Result<(), KafkaError> = producer.send(record).map_err(|(e, _)| e);
    sent.with_context(|| format!("letter {}/{}", letter.partition, letter.offset))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_dry_run { "would redrive" } else { "redrove" };
        writeln!(f, "{verb} {}", self.sent.values().sum::<u64>())?;
        for (reason, letters) in &self.sent {
            writeln!(f, "  {letters} {reason}")?;
        }
        if self.before > 0 {
            writeln!(f, "{} were redriven before", self.before)?;
        }
        if self.others > 0 {
            writeln!(f, "{} are of other reasons", self.others)?;
        }
        for (why, letters) in &self.skipped {
            writeln!(f, "{letters} cannot be: {why}")?;
        }
        Ok(())
    }
}
