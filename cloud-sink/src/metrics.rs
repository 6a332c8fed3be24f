//! Every metric by name, unit and label.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TopicLabel {
    pub topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    pub reason: &'static str,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    pub consumed: Family<TopicLabel, Counter>,
    /// Records whose points InfluxDB confirmed.
    pub written: Counter,
    pub lines: Counter,
    pub dead_letters: Family<ReasonLabel, Counter>,
    pub retries: Counter,
    pub commits: Counter,
    pub write_seconds: Histogram,
    /// 1 while the last write succeeded.
    pub influx_up: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            consumed: Family::default(),
            written: Counter::default(),
            lines: Counter::default(),
            dead_letters: Family::default(),
            retries: Counter::default(),
            commits: Counter::default(),
            write_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            influx_up: Gauge::default(),
        }
    }
}

impl Metrics {
    /// A registry with all metrics under `cloud_sink_`.
    pub fn registry(&self) -> Registry {
        let mut r = Registry::with_prefix("cloud_sink");
        r.register("consumed", "Records read from Kafka", self.consumed.clone());
        r.register("written", "Records whose points InfluxDB confirmed", self.written.clone());
        r.register("lines", "Points that InfluxDB confirmed", self.lines.clone());
        r.register("dead_letters", "Records moved to the dead-letter topic, by reason", self.dead_letters.clone());
        r.register("retries", "Writes that failed and were repeated", self.retries.clone());
        r.register("commits", "Offset commits", self.commits.clone());
        r.register_with_unit("write", "One write to InfluxDB", Unit::Seconds, self.write_seconds.clone());
        r.register("influx_up", "1 while the last write succeeded", self.influx_up.clone());
        r
    }
}
