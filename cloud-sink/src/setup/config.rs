//! `[setup]` and `[grafana]`: what `cloud-sink setup` is to make.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::config::Fault;

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
    pub fn check(&self) -> Result<(), Fault> {
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
pub(super) fn retention(days: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(DAY.as_secs_f64() * days).ok().map(|kept| Duration::from_secs(kept.as_secs()))
}

/// `[grafana]` as it is in the file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrafanaFile {
    url: String,
    #[serde(default = "default_folder")]
    folder: String,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
}

fn default_folder() -> String {
    "Sensors".into()
}

/// A Grafana whose dashboards are kept as this version of cloud-sink has them.
#[derive(Clone)]
pub struct Grafana {
    /// Without a slash at its end.
    pub url: String,
    /// Title of the folder that the dashboards go to.
    pub folder: String,
    token: String,
}

impl Grafana {
    pub(super) fn token(&self) -> &str {
        &self.token
    }
}

impl std::fmt::Debug for Grafana {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, folder, token: _ } = self;
        f.debug_struct("Grafana").field("url", url).field("folder", folder).field("token", &"***").finish()
    }
}

impl GrafanaFile {
    /// # Errors
    /// A value that cannot be used.
    pub fn resolve(self) -> Result<Grafana, Fault> {
        let Self { url, folder, token_file, token_env } = self;
        let parsed = reqwest::Url::parse(&url).map_err(|e| Fault::new("grafana.url", format!("{url}: {e}")))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err(Fault::new("grafana.url", format!("{url}: wanted http://host:port or https://host:port")));
        }
        if folder.is_empty() {
            return Err(Fault::new("grafana.folder", "must not be empty"));
        }
        let token = match (token_file, token_env) {
            (Some(path), None) => std::fs::read_to_string(&path)
                .map_err(|e| Fault::new("grafana.token_file", format!("{}: {e}", path.display())))?
                .trim()
                .to_owned(),
            (None, Some(name)) => std::env::var(&name)
                .map_err(|_| Fault::new("grafana.token_env", format!("the environment has no {name}")))?,
            (None, None) | (Some(_), Some(_)) => {
                return Err(Fault::new("grafana", "wanted one of token_file and token_env"));
            }
        };
        Ok(Grafana { url: url.trim_end_matches('/').to_owned(), folder, token })
    }
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

    #[test]
    fn the_token_of_grafana_never_shows_in_debug_output() {
        let file: GrafanaFile = toml::from_str("url = \"http://h:3000/\"\ntoken_env = \"PATH\"").unwrap();
        let grafana = file.resolve().unwrap();
        let shown = format!("{grafana:?}");
        assert!(shown.contains("***") && !shown.contains(grafana.token()), "{shown}");
        assert_eq!(grafana.url, "http://h:3000");
    }
}
