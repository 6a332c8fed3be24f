//! `[setup]`: what `cloud-sink setup` is to make.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::Fault;

const DAY: Duration = Duration::from_secs(86_400);
/// Of one topic, so that a slip of the finger does not make a broker open a million files.
const PARTITIONS_MAX: u32 = 1_000;
/// The shortest shard that InfluxDB makes; buckets with less retention are refused by it.
const RETENTION_MIN: Duration = Duration::from_secs(3_600);

/// `[setup]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// Of the topics that gateways write; the dead letters have one.
    pub partitions: NonZeroU32,
    /// Copies of each partition; the brokers' default if there is none.
    pub replication: Option<NonZeroU32>,
    /// How long after its end a minute, ten minutes or an hour takes readings that come late.
    pub rollup_late_s: u64,
    pub topic_days: TopicDays,
    pub bucket_days: BucketDays,
}

/// Days that records stay in each topic.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicDays {
    pub raw: f64,
    pub windows: f64,
    pub anomalies: f64,
    pub gaps: f64,
    pub dead_letters: f64,
}

/// Days that points stay in each bucket; 0 is for ever.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BucketDays {
    pub raw: f64,
    pub rollup_1m: f64,
    pub rollup_10m: f64,
    pub rollup_1h: f64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            partitions: NonZeroU32::MIN.saturating_add(11),
            replication: None,
            rollup_late_s: 3_600,
            topic_days: TopicDays::default(),
            bucket_days: BucketDays::default(),
        }
    }
}

impl Default for TopicDays {
    fn default() -> Self {
        Self { raw: 7.0, windows: 30.0, anomalies: 90.0, gaps: 90.0, dead_letters: 30.0 }
    }
}

impl Default for BucketDays {
    fn default() -> Self {
        Self { raw: 30.0, rollup_1m: 90.0, rollup_10m: 365.0, rollup_1h: 0.0 }
    }
}

impl Setup {
    /// # Errors
    /// A value that cannot be used.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.partitions.get() > PARTITIONS_MAX {
            return Err(Fault::new(
                "setup.partitions",
                format!("{} is more than {PARTITIONS_MAX}, the most that is made", self.partitions),
            ));
        }
        if self.rollup_late_s == 0 {
            return Err(Fault::new("setup.rollup_late_s", "must be above 0: readings always come a little late"));
        }
        let t = &self.topic_days;
        for (key, days) in [
            ("setup.topic_days.raw", t.raw),
            ("setup.topic_days.windows", t.windows),
            ("setup.topic_days.anomalies", t.anomalies),
            ("setup.topic_days.gaps", t.gaps),
            ("setup.topic_days.dead_letters", t.dead_letters),
        ] {
            if retention(days).is_none_or(|kept| kept < RETENTION_MIN) {
                return Err(Fault::new(key, format!("{days}: wanted days, an hour (0.042) or more")));
            }
        }
        let b = &self.bucket_days;
        for (key, days) in [
            ("setup.bucket_days.raw", b.raw),
            ("setup.bucket_days.rollup_1m", b.rollup_1m),
            ("setup.bucket_days.rollup_10m", b.rollup_10m),
            ("setup.bucket_days.rollup_1h", b.rollup_1h),
        ] {
            if retention(days).is_none_or(|kept| !kept.is_zero() && kept < RETENTION_MIN) {
                return Err(Fault::new(key, format!("{days}: wanted days, an hour (0.042) or more, or 0 for ever")));
            }
        }
        Ok(())
    }
}

/// Whole seconds, which is what InfluxDB counts in; `None` for what is no length of time.
pub fn retention(days: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(DAY.as_secs_f64() * days).ok().map(|kept| Duration::from_secs(kept.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(setup: &str) -> String {
        toml::from_str::<Setup>(setup)
            .map_err(|e| e.to_string())
            .and_then(|s| s.check().map_err(|e| e.to_string()))
            .unwrap_err()
    }

    #[test]
    fn values_that_kafka_or_influxdb_would_refuse_are_named_with_their_limits() {
        assert!(fault("partitions = 0").contains("nonzero"));
        assert!(fault("partitions = 1001").starts_with("setup.partitions: 1001 is more than 1000"));
        assert!(fault("[topic_days]\nraw = 0").starts_with("setup.topic_days.raw: 0"));
        assert!(fault("[bucket_days]\nrollup_1m = 0.01").starts_with("setup.bucket_days.rollup_1m: 0.01"));
        assert!(fault("[bucket_days]\nraw = nan").starts_with("setup.bucket_days.raw: NaN"));
        assert!(fault("[bucket_days]\nraw = -1").starts_with("setup.bucket_days.raw: -1"));
        assert!(fault("retention = 3").contains("unknown field `retention`"));
    }

    #[test]
    fn the_example_file_shows_the_defaults() {
        #[derive(Deserialize)]
        struct Example {
            setup: Setup,
        }
        let example: Example = toml::from_str(include_str!("../../cloud-sink.example.toml")).unwrap();
        assert_eq!(example.setup, Setup::default());
        assert!(example.setup.check().is_ok());
    }
}
