//! `[kafka]`: where the records come from, and as whom they are read.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Fault;
use super::security::{Security, SecurityKeys};
use crate::roles::Role;

/// What the default group ends with: the groups of all roles have the same beginning.
const INFLUX_SUFFIX: &str = "-influx";
/// What brokers allow by default, seconds.
const SESSION_TIMEOUT_S: std::ops::RangeInclusive<u64> = 6..=1_800;

#[derive(Clone, Debug)]
pub struct Kafka {
    /// host:port, several separated by commas.
    pub bootstrap: String,
    /// Topics are `{prefix}.raw`, `.windows`, `.anomalies`, `.gaps`, `.dead-letters`.
    pub topic_prefix: String,
    /// Group of the role influx; see [`Kafka::group_of`] for the others. Processes of one group share the work.
    pub group: String,
    /// Name of this process in its groups: one that comes back under the same name within the session timeout has its
    /// partitions still. `None`: a new member with each start.
    pub instance: Option<String>,
    /// A process that was killed gives its partitions up after this.
    session_timeout: Duration,
    pub security: Security,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaFile {
    bootstrap: String,
    #[serde(default = "default_prefix")]
    topic_prefix: String,
    #[serde(default = "default_group")]
    group: String,
    instance: Option<String>,
    #[serde(default = "default_session_timeout_s")]
    session_timeout_s: u64,
    #[serde(default)]
    tls: bool,
    tls_ca_file: Option<PathBuf>,
    tls_cert_file: Option<PathBuf>,
    tls_key_file: Option<PathBuf>,
    #[serde(default = "default_sasl")]
    sasl: String,
    username: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
}

pub(super) fn default_prefix() -> String {
    "sensors".into()
}

pub(super) fn default_group() -> String {
    "cloud-sink-influx".into()
}

fn default_session_timeout_s() -> u64 {
    10
}

fn default_sasl() -> String {
    "none".into()
}

impl KafkaFile {
    pub(super) fn resolve(self) -> Result<Kafka, Fault> {
        self.check()?;
        let keys = SecurityKeys {
            tls: self.tls,
            ca_file: self.tls_ca_file,
            cert_file: self.tls_cert_file,
            key_file: self.tls_key_file,
            sasl: self.sasl,
            username: self.username,
            password_file: self.password_file,
            password_env: self.password_env,
        };
        Ok(Kafka {
            bootstrap: self.bootstrap,
            topic_prefix: self.topic_prefix,
            group: self.group,
            instance: self.instance,
            session_timeout: Duration::from_secs(self.session_timeout_s),
            security: keys.resolve()?,
        })
    }

    fn check(&self) -> Result<(), Fault> {
        if !SESSION_TIMEOUT_S.contains(&self.session_timeout_s) {
            let (least, most) = SESSION_TIMEOUT_S.into_inner();
            let fault = format!("{} is not from {least} to {most}, which brokers allow", self.session_timeout_s);
            return Err(Fault::new("kafka.session_timeout_s", fault));
        }
        for (key, value) in [("kafka.bootstrap", &self.bootstrap), ("kafka.group", &self.group)] {
            if value.is_empty() {
                return Err(Fault::new(key, "must not be empty"));
            }
        }
        match &self.instance {
            Some(instance) if instance.is_empty() => {
                Err(Fault::new("kafka.instance", "must not be empty; leave it out for a new member with each start"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Kafka {
    /// The role influx has `group` itself, so that offsets of before there were roles hold; the others have
    /// `{group}-{role}`, without the suffix `-influx` that the default has.
    pub fn group_of(&self, role: Role) -> String {
        match role {
            Role::Influx => self.group.clone(),
            Role::Archive => format!("{}-{role}", self.base()),
        }
    }

    /// Of the redrive's transactions: one at a time for this group.
    pub fn redrive_id(&self) -> String {
        format!("{}-redrive", self.base())
    }

    pub fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    fn base(&self) -> &str {
        self.group.strip_suffix(INFLUX_SUFFIX).unwrap_or(&self.group)
    }
}
