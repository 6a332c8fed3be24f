//! What Kafka, InfluxDB and Grafana have, or are to have: values to be compared.

use std::collections::BTreeMap;
use std::time::Duration;

/// All of it, by name. What setup does not look after is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub topics: BTreeMap<String, Topic>,
    pub buckets: BTreeMap<String, Bucket>,
    pub tasks: BTreeMap<String, Task>,
    /// By the path below the directory of Grafana's files.
    pub files: BTreeMap<String, String>,
    /// By uid.
    pub dashboards: BTreeMap<String, Dashboard>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub partitions: u32,
    /// Copies of each partition; `None` is the brokers' default.
    pub replication: Option<u32>,
    /// Settings by Kafka's names: wanted ones, or all that the topic was given itself.
    pub settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// InfluxDB's; empty for a wanted one.
    pub id: String,
    pub kept: Kept,
}

/// How long points stay. A longer time is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    For(Duration),
    Always,
}

impl Kept {
    /// InfluxDB's count of seconds, in which 0 is for ever.
    pub fn of_secs(secs: u64) -> Self {
        if secs == 0 { Self::Always } else { Self::For(Duration::from_secs(secs)) }
    }

    pub fn secs(self) -> u64 {
        match self {
            Self::For(time) => time.as_secs(),
            Self::Always => 0,
        }
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::For(time) if time.as_secs().is_multiple_of(86_400) => write!(f, "{} d", time.as_secs() / 86_400),
            Self::For(time) => write!(f, "{} s", time.as_secs()),
            Self::Always => write!(f, "for ever"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// InfluxDB's; empty for a wanted one.
    pub id: String,
    pub flux: String,
    pub active: bool,
}

/// A dashboard as Grafana's HTTP API gives it, without what Grafana adds itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dashboard {
    pub title: String,
    pub json: serde_json::Value,
}
