//! Every metric by name, unit and label.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RoleLabel {
    pub role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RoleTopicLabel {
    pub role: &'static str,
    pub topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabel {
    pub role: &'static str,
    pub topic: String,
    pub partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    pub reason: &'static str,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    pub consumed: Family<RoleTopicLabel, Counter>,
    /// Records that Kafka has beyond the committed offset, of the partitions that this process reads.
    pub lag: Family<PartitionLabel, Gauge>,
    pub partitions: Family<RoleLabel, Gauge>,
    /// 1 while the role runs.
    pub role_up: Family<RoleLabel, Gauge>,
    pub commits: Family<RoleLabel, Counter>,
    /// Records whose points InfluxDB confirmed.
    pub written: Counter,
    pub lines: Counter,
    pub dead_letters: Family<ReasonLabel, Counter>,
    pub retries: Family<RoleLabel, Counter>,
    pub write_seconds: Histogram,
    /// 1 while the last write succeeded.
    pub influx_up: Gauge,
    pub archive_up: Gauge,
    /// Of rolls whose manifest is stored.
    pub archived: Counter,
    pub archive_rolls: Counter,
    pub archive_files: Counter,
    pub archive_bytes: Counter,
    /// What is read and not yet stored.
    pub archive_open_bytes: Gauge,
    pub archive_roll_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            consumed: Family::default(),
            lag: Family::default(),
            partitions: Family::default(),
            role_up: Family::default(),
            commits: Family::default(),
            written: Counter::default(),
            lines: Counter::default(),
            dead_letters: Family::default(),
            retries: Family::default(),
            write_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            influx_up: Gauge::default(),
            archive_up: Gauge::default(),
            archived: Counter::default(),
            archive_rolls: Counter::default(),
            archive_files: Counter::default(),
            archive_bytes: Counter::default(),
            archive_open_bytes: Gauge::default(),
            archive_roll_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 14)),
        }
    }
}

impl Metrics {
    /// A registry with all metrics under `cloud_sink_`.
    pub fn registry(&self) -> Registry {
        let mut r = Registry::with_prefix("cloud_sink");
        r.register("consumed", "Records read from Kafka, by role and topic", self.consumed.clone());
        r.register(
            "lag",
            "Records beyond the committed offset, of partitions that this process reads",
            self.lag.clone(),
        );
        r.register("partitions", "Partitions that this process reads, by role", self.partitions.clone());
        r.register("role_up", "1 while the role runs", self.role_up.clone());
        r.register("commits", "Offset commits, by role", self.commits.clone());
        r.register("written", "Records whose points InfluxDB confirmed", self.written.clone());
        r.register("lines", "Points that InfluxDB confirmed", self.lines.clone());
        r.register("dead_letters", "Records moved to the dead-letter topic, by reason", self.dead_letters.clone());
        r.register("retries", "Writes that failed and were repeated, by role", self.retries.clone());
        r.register_with_unit("write", "One write to InfluxDB", Unit::Seconds, self.write_seconds.clone());
        r.register("influx_up", "1 while the last write to InfluxDB succeeded", self.influx_up.clone());
        r.register("archive_up", "1 while the last roll could be stored", self.archive_up.clone());
        r.register("archived", "Records in files that a manifest names", self.archived.clone());
        r.register("archive_rolls", "Rolls stored", self.archive_rolls.clone());
        r.register("archive_files", "Parquet files stored", self.archive_files.clone());
        r.register("archive_written_bytes", "Bytes of Parquet files stored", self.archive_bytes.clone());
        r.register("archive_open_bytes", "Memory of what is read and not yet stored", self.archive_open_bytes.clone());
        r.register_with_unit(
            "archive_roll",
            "One roll, from its end to its manifest",
            Unit::Seconds,
            self.archive_roll_seconds.clone(),
        );
        r
    }
}
