//! Role `archive`: fills rolls, one for each partition, and has one at a time stored while reading goes on.
//!
//! # Invariants
//! - An offset is committed only after the manifest of the roll before it is stored.
//! - Memory is bounded by `archive.max_bytes`, what is being stored included; at the bound all partitions are paused.
//! - What is open of a partition that is taken away, or at a stop, is dropped: it is read again from the committed offset.

use std::future::pending;
use std::sync::Arc;

use anyhow::Context;
use firmware_protocol::envelope::Topics;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::{Health, Role, backoff};
use crate::archive::Reader;
use crate::archive::roll::{Limits, Record, Roll, Rolls};
use crate::archive::settle::{SettleError, Settled, settle};
use crate::archive::store::{Store, StoreError};
use crate::config::Config;
use crate::kafka::group::{Group, Partition};
use crate::metrics::{Metrics, RoleLabel};

/// Runs until `stop` resolves. What is open then is not committed and comes again.
///
/// # Errors
/// A client cannot be built or refuses what it never should. Unreachable servers are no errors: they are retried.
pub async fn run(
    config: &Config,
    metrics: Metrics,
    health: watch::Sender<Health>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let archive = config.archive.as_ref().context("the configuration has no table [archive]")?;
    let reader = Reader { decoder: config.decoder.clone(), future_max: config.future_max };
    let keeper = Keeper {
        store: Store::open(archive)?,
        reader: Arc::new(reader),
        metrics: metrics.clone(),
        health: health.clone(),
    };
    let topics = Topics::new(&config.kafka.topic_prefix);
    let read = [&*topics.raw, &*topics.windows, &*topics.anomalies, &*topics.gaps];
    let group = Group::join(&config.kafka, Role::Archive, &read, &metrics, health)?;
    let limits = Limits { max_bytes: archive.max_bytes, max_age: archive.max_age };
    let mut reading = Reading { group, rolls: Rolls::new(limits), keeping: None, keeper, paused: false };
    tokio::pin!(stop);
    loop {
        forget_taken_away(&reading.group, &mut reading.rolls, &mut reading.keeping);
        reading.keep_what_is_due();
        reading.pace()?;
        let due = reading.rolls.next_due().filter(|_| reading.keeping.is_none());
        tokio::select! {
            () = &mut stop => return Ok(()),
            kept = kept(&mut reading.keeping) => reading.finish(kept?)?,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            message = reading.group.recv() => {
                let message = message?;
                // A partition may have gone and come back before this record: it then begins a new roll.
                forget_taken_away(&reading.group, &mut reading.rolls, &mut reading.keeping);
                take(&message, &mut reading.rolls);
            }
        }
    }
}

/// What is read and not stored yet.
struct Reading {
    group: Group,
    rolls: Rolls,
    keeping: Option<Keeping>,
    keeper: Keeper,
    paused: bool,
}

/// A roll that is being stored.
struct Keeping {
    roll: Arc<Roll>,
    task: JoinHandle<Result<Settled, SettleError>>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reading {
    fn keep_what_is_due(&mut self) {
        if self.keeping.is_none()
            && let Some(roll) = self.rolls.due(Instant::now(), 0)
        {
            let roll = Arc::new(roll);
            let task = tokio::spawn(self.keeper.clone().keep(roll.clone()));
            self.keeping = Some(Keeping { roll, task });
        }
    }

    /// Pauses when memory is full, again with each record that still comes: a rebalance brings partitions unpaused.
    fn pace(&mut self) -> anyhow::Result<()> {
        let held = self.keeping.as_ref().map_or(0, |keeping| keeping.roll.bytes());
        self.keeper.metrics.archive_open_bytes.set((self.rolls.bytes() + held) as i64);
        match (self.rolls.is_full(held), self.paused) {
            (true, _) => self.group.pause()?,
            (false, true) => self.group.resume()?,
            (false, false) => {}
        }
        self.paused = self.rolls.is_full(held);
        Ok(())
    }

    fn finish(&mut self, settled: Settled) -> anyhow::Result<()> {
        let Some(keeping) = self.keeping.take() else { return Ok(()) };
        let partition = keeping.partition();
        let (topic, number) = (partition.0.as_str(), partition.1);
        let next = match settled {
            Settled::Written(manifest) => manifest.last_offset + 1,
            Settled::Before { next_offset } => {
                info!(
                    topic,
                    partition = number,
                    next_offset,
                    "These records were archived before; reading on behind them."
                );
                next_offset
            }
            Settled::EndsLater { last_offset } => {
                info!(
                    topic,
                    partition = number,
                    last_offset,
                    "The end of this roll was decided before; reading it again."
                );
                self.rolls.forget(&partition);
                self.rolls.ends_with(partition.clone(), last_offset);
                return self.group.seek(topic, number, keeping.roll.name().first);
            }
        };
        self.group.commit([(topic, number, next)].into_iter())?;
        if next != keeping.roll.last_offset() + 1 {
            self.rolls.forget(&partition);
            self.group.seek(topic, number, next)?;
        }
        Ok(())
    }
}

impl Keeping {
    fn partition(&self) -> Partition {
        let name = self.roll.name();
        (name.topic.clone(), name.partition)
    }
}

fn forget_taken_away(group: &Group, rolls: &mut Rolls, keeping: &mut Option<Keeping>) {
    for partition in group.taken_away() {
        rolls.forget(&partition);
        if keeping.as_ref().is_some_and(|keeping| keeping.partition() == partition) {
            *keeping = None;
        }
    }
}

async fn kept(keeping: &mut Option<Keeping>) -> anyhow::Result<Settled> {
    match keeping {
        Some(keeping) => Ok((&mut keeping.task).await.context("a roll was cut off")??),
        None => pending().await,
    }
}

fn take(message: &BorrowedMessage<'_>, rolls: &mut Rolls) {
    let record = Record {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().unwrap_or_default(),
        payload: message.payload().unwrap_or_default(),
    };
    let headers = message.headers().into_iter().flat_map(Headers::iter).map(|h| (h.key, h.value.unwrap_or_default()));
    rolls.push(message.topic(), message.partition(), record, headers, Instant::now());
}

/// Stores rolls, however long it takes.
#[derive(Clone)]
struct Keeper {
    store: Store,
    reader: Arc<Reader>,
    metrics: Metrics,
    health: watch::Sender<Health>,
}

impl Keeper {
    async fn keep(self, roll: Arc<Roll>) -> Result<Settled, SettleError> {
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            let (pause, reason) = match settle(&self.store, &roll, &self.reader).await {
                Ok(settled) => {
                    self.metrics.archive_up.set(1);
                    self.health.send_modify(|health| health.sink_away = false);
                    self.count(&settled, began);
                    return Ok(settled);
                }
                Err(SettleError::Store(StoreError::Retry(reason))) => (backoff::pause(attempt), reason),
                Err(SettleError::Store(StoreError::Misconfigured(reason))) => {
                    error!(%reason, "The archive refuses everything; check url, keys and rights. Nothing is lost meanwhile.");
                    (backoff::MISCONFIGURED, reason)
                }
                Err(e @ (SettleError::File(_) | SettleError::Cut(_))) => return Err(e),
            };
            attempt += 1;
            self.metrics.retries.get_or_create(&RoleLabel { role: Role::Archive.name() }).inc();
            self.metrics.archive_up.set(0);
            self.health.send_modify(|health| health.sink_away = true);
            warn!(%reason, next_try_in_ms = pause.as_millis() as u64, "Roll not stored.");
            sleep(pause).await;
        }
    }

    fn count(&self, settled: &Settled, began: Instant) {
        let Settled::Written(manifest) = settled else { return };
        self.metrics.archived.inc_by(manifest.rows);
        self.metrics.archive_rolls.inc();
        self.metrics.archive_files.inc_by(manifest.files.len() as u64);
        self.metrics.archive_bytes.inc_by(manifest.files.iter().map(|file| file.bytes).sum());
        self.metrics.archive_roll_seconds.observe(began.elapsed().as_secs_f64());
        let (topic, partition, rows) = (&manifest.topic, manifest.partition, manifest.rows);
        debug!(topic, partition, first_offset = manifest.first_offset, rows, "Roll stored.");
    }
}
