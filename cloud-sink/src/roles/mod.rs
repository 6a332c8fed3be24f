//! What this program does with the records: each role is a consumer group of its own, in a task of its own.
//!
//! # Invariants
//! - Roles share nothing but the process: stopping one, or its sink being away, does not move another's lag.
//! - A role that cannot go on ends the process, with its reason: half of what was asked for is not running.

use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use crate::config::Config;
use crate::metrics::{Metrics, RoleLabel};

pub mod archive;
pub mod backoff;
pub mod influx;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Role {
    /// Points in InfluxDB.
    Influx,
    /// Parquet files in an object store.
    Archive,
}

impl Role {
    pub const ALL: [Self; 2] = [Self::Influx, Self::Archive];

    /// As it is written in options, labels and group names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Influx => "influx",
            Self::Archive => "archive",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `/readyz` rests on, for one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The group has shared its partitions out: there may be none for this process.
    pub joined: bool,
    /// Partitions that this process reads.
    pub partitions: usize,
    pub kafka_away: bool,
    /// The last write failed.
    pub sink_away: bool,
}

impl Health {
    /// Why it is not ready, if it is not.
    pub fn fault(self) -> Option<&'static str> {
        match self {
            Self { kafka_away: true, .. } => Some("Kafka does not answer"),
            Self { joined: false, .. } => Some("the group has not shared its partitions out yet"),
            Self { sink_away: true, .. } => Some("the sink does not take data"),
            Self { .. } => None,
        }
    }
}

/// A role's health, to look at.
pub type Healths = Vec<(Role, watch::Receiver<Health>)>;

/// Roles about to run.
pub struct Roles {
    config: Arc<Config>,
    metrics: Metrics,
    running: Vec<(Role, watch::Sender<Health>)>,
}

impl Roles {
    /// `asked`: these; if empty, all that are configured.
    ///
    /// # Errors
    /// A role is asked for whose table is not in the configuration, or there is none at all.
    pub fn new(config: Config, asked: &[Role], metrics: Metrics) -> anyhow::Result<Self> {
        let configured = |role: &Role| match role {
            Role::Influx => config.influx.is_some(),
            Role::Archive => config.archive.is_some(),
        };
        if let Some(role) = asked.iter().find(|role| !configured(role)) {
            anyhow::bail!("role {role} is asked for, but the configuration has no table [{role}]");
        }
        let chosen = |role: &Role| if asked.is_empty() { configured(role) } else { asked.contains(role) };
        let running: Vec<_> = Role::ALL.into_iter().filter(chosen).map(|r| (r, watch::Sender::default())).collect();
        anyhow::ensure!(!running.is_empty(), "nothing to do: the configuration has neither [influx] nor [archive]");
        Ok(Self { config: Arc::new(config), metrics, running })
    }

    pub fn health(&self) -> Healths {
        self.running.iter().map(|(role, health)| (*role, health.subscribe())).collect()
    }

    /// Runs until `stop` resolves. What is under way then is not committed and comes again.
    ///
    /// # Errors
    /// A role cannot go on.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (told, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (role, health) in self.running {
            let (config, metrics, stopped) = (self.config.clone(), self.metrics.clone(), stopped.clone());
            tasks.spawn(async move {
                let up = metrics.role_up.get_or_create(&RoleLabel { role: role.name() }).clone();
                // There from the start: a rate over a series that begins with its first count misses that count.
                drop(metrics.retries.get_or_create(&RoleLabel { role: role.name() }));
                up.set(1);
                let ended = match role {
                    Role::Influx => influx::run(&config, metrics, health, until(stopped)).await,
                    Role::Archive => archive::run(&config, metrics, health, until(stopped)).await,
                };
                up.set(0);
                ended.with_context(|| format!("role {role}"))
            });
        }
        drop(stopped);
        let mut outcome = Ok(());
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop, if !*told.borrow() => {
                    info!("Stopping; what was not committed is read again.");
                    told.send_replace(true);
                }
                ended = tasks.join_next() => match ended {
                    None => return outcome,
                    Some(ended) => {
                        let ended = ended.context("a role was cut off").and_then(|ended| ended);
                        outcome = outcome.and(ended);
                        told.send_replace(true);
                    }
                },
            }
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop, too.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Health = Health { joined: true, partitions: 3, kafka_away: false, sink_away: false };

    #[test]
    fn a_role_is_ready_once_it_has_joined_though_others_may_have_all_partitions() {
        assert!(Health::default().fault().is_some());
        assert_eq!(WELL.fault(), None);
        assert_eq!(Health { partitions: 0, ..WELL }.fault(), None);
    }

    #[test]
    fn a_role_is_not_ready_while_kafka_or_its_sink_is_away() {
        assert_eq!(Health { kafka_away: true, ..WELL }.fault(), Some("Kafka does not answer"));
        assert_eq!(Health { sink_away: true, ..WELL }.fault(), Some("the sink does not take data"));
    }
}
