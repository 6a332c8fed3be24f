//! Delivery: each sink has its own cursors, batches, retries; derived records go before raw ones.
//!
//! # Invariants
//! - A cursor moves only after the sink confirmed, or after the record was quarantined and counted.
//! - Per device, in each log, records leave in the order of the queue.
//!
//! # Flow
//! ```text
//! queue::Reader ─▶ filter ─▶ task: Encoder ─batch─▶ Sink ─▶ InfluxDB, Kafka, files, webhooks, MQTT
//!                              ▲  └─ what cannot be encoded, what the sink refuses ─▶ quarantine ─▶ redrive ─▶ Sink
//!                              └─ delivery (pure): what next, and what an outcome means
//! ```
//!
//! # Not here
//! What the records mean, beyond encoding them for the sink.

mod delivery;
mod file;
mod filter;
mod gzip;
mod http;
mod influx;
mod kafka;
mod lines;
mod lock;
mod made;
mod mqtt;
mod quarantine;
mod redrive;
pub(crate) mod rotating;
mod start;
mod task;
#[cfg(test)]
mod testing;
mod tls;
mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use firmware_protocol::envelope::Topics;

use crate::queue::{Log, QueueSeq, Record};
use crate::secret::SecretSource;

pub use filter::{Filter, Kind, Matches, Name, Patterns, Topic};
pub use http::{HttpConfig, Via};
pub use kafka::{Compression, HAS_TLS, KafkaFault, KafkaLogin, KafkaSecurity, SaslMechanism};
pub use made::Encoding;
pub use mqtt::{MqttSinkConfig, TemplateFault, TopicTemplate};
pub use quarantine::{Kept, Line, LineFault, Shelf, look};
pub use redrive::{Outcome, RedriveError, redrive};
pub use start::{Context, Error, Labels, Running, start};
pub use tls::{CertificateFiles, TlsFiles};
pub use webhook::{HeaderFault, Headers, TokenHeader, WebhookConfig, WebhookError};

/// What a sink gets, and how batches are cut and repeated: the same for all sinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    pub filter: Filter,
    /// Most records in one batch.
    pub batch_records_max: usize,
    /// A batch ends with the record that brings it to this many encoded bytes, before compression.
    pub batch_max_bytes: usize,
    /// One attempt may take this long.
    pub timeout: Duration,
    /// Longest pause between two attempts (full jitter).
    pub retry_max: Duration,
    pub order: Order,
    /// Of the time that the link is busy, while live records wait too: 10 to 90 %.
    pub backlog_share_percent: u8,
    /// Batches that may be with the sink at the same time, each of devices of its own.
    pub inflight: usize,
    /// Bytes a second on the wire; 0: any amount.
    pub rate_max: u64,
}

/// In which order raw records go out after an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// What comes in goes out at once, beside the backlog, which has its share of the link. Per device the order holds in
    /// each of the two.
    LiveFirst,
    /// In the order in which they came in.
    Strict,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            batch_records_max: 5_000,
            batch_max_bytes: 1 << 20,
            timeout: Duration::from_secs(10),
            retry_max: Duration::from_secs(30),
            order: Order::Strict,
            backlog_share_percent: 50,
            inflight: 1,
            rate_max: 0,
        }
    }
}

/// One `[[influx]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfluxConfig {
    /// Name of the sink: of its cursor, in logs and metrics.
    pub name: String,
    /// A path in it is that of a reverse proxy.
    pub url: String,
    pub org: String,
    pub bucket: String,
    pub token: SecretSource,
    pub http: HttpConfig,
    /// Most series that one run of the gateway makes; 0: any number.
    pub series_max: usize,
    pub delivery: DeliveryConfig,
}

/// One `[[kafka]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    pub name: String,
    /// host:port, comma separated as librdkafka wants it.
    pub bootstrap: String,
    pub topics: Topics,
    pub compression: Compression,
    pub security: KafkaSecurity,
    pub delivery: DeliveryConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    LineProtocol,
    Ndjson,
}

/// One `[[file]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    pub name: String,
    pub dir: PathBuf,
    pub format: FileFormat,
    /// A file is closed and the next begun at this size.
    pub rotate_bytes: u64,
    /// Oldest files are deleted above this number.
    pub files_max: usize,
    pub delivery: DeliveryConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkConfig {
    Influx(InfluxConfig),
    Kafka(KafkaConfig),
    File(FileConfig),
    Webhook(WebhookConfig),
    Mqtt(MqttSinkConfig),
}

impl SinkConfig {
    pub fn name(&self) -> &str {
        match self {
            Self::Influx(c) => &c.name,
            Self::Kafka(c) => &c.name,
            Self::File(c) => &c.name,
            Self::Webhook(c) => &c.name,
            Self::Mqtt(c) => &c.name,
        }
    }
}

/// What a sink says to a batch that it did not take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// Try the same batch again later: the sink is away or busy.
    #[error("{reason}")]
    Retry {
        reason: String,
        /// The pause that the sink asks for.
        after: Option<Duration>,
    },
    /// The sink will never take these records as they are: quarantine them and go on.
    #[error("{reason}")]
    Reject { reason: String },
    /// Nothing can be sent until a human mends it (wrong token, missing bucket): loud, retried slowly, nothing lost.
    #[error("{reason}")]
    Misconfigured { reason: String },
}

/// Encodes records as a sink wants them. Apart from [`Sink`], because a batch is encoded while the one before it is
/// still under way.
pub trait Encoder: Send + 'static {
    /// An encoded batch, ready to send, perhaps more than once.
    type Batch: Send + Sync + 'static;

    /// Whether the sink is to get such a record at all; others are counted as filtered.
    fn takes(&self, _log: Log, _record: &Record) -> bool {
        true
    }

    /// Adds a record to the batch under construction; tells what had to be done about its times.
    ///
    /// # Errors
    /// `Undeliverable`, with a reason for the books: the record is quarantined for this sink.
    fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable>;

    /// Encoded bytes so far; the forwarder ends the batch at its limit.
    fn pending_bytes(&self) -> usize;

    /// Takes what was pushed since the last call as one batch; `None` if that is nothing.
    fn take(&mut self) -> Option<Self::Batch>;
}

/// A destination.
pub trait Sink: Send + Sync + 'static {
    type Batch: Send + Sync + 'static;

    /// Bytes that the batch takes on the wire, or nearly so.
    fn wire_bytes(batch: &Self::Batch) -> u64;

    /// Sends one batch and waits for the sink's confirmation. A send that is dropped half-way must leave nothing
    /// behind that could overtake a later one.
    fn send(&self, batch: &Self::Batch) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// What became of a record besides being encoded: mostly of its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Readings from a device whose clock is ahead; they got the received time.
    pub future: usize,
    /// It went out marked: the gateway's clock had not been set when it was received, and is not known well enough now.
    pub is_marked: bool,
    /// Nothing of it is for this sink: it is counted as filtered.
    pub is_left_out: bool,
}

/// Why a record cannot be encoded for a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeliverable {
    /// A label of few values: goes into metrics.
    pub reason: &'static str,
    /// For the quarantine file.
    pub detail: String,
}
