//! One role's consumer group: who reads what, where it stands, and whether Kafka is there.
//!
//! # Invariants
//! - Offsets are committed by [`Group::commit`] alone, and only those of partitions that are still ours: a late word
//!   would set back who has them now.
//! - What is taken away is told ([`Group::taken_away`]) with the first record that comes after it, or earlier.
//! - A paused group is still polled, so that it keeps its place however long its sink is away.

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::task::{JoinHandle, block_in_place};
use tracing::{info, warn};

use super::{client, lag};
use crate::config::Kafka;
use crate::metrics::{Metrics, RoleLabel, RoleTopicLabel};
use crate::roles::{Health, Role};

/// One partition is set to another offset within this.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// Bounds what librdkafka fetches ahead for a role; its own default is 64 MiB.
const FETCHED_MAX_KIB: &str = "8192";

/// A partition of a topic.
pub type Partition = (String, i32);

/// Membership of one consumer group. Dropping it leaves the group, unless the membership is static.
pub struct Group {
    consumer: Arc<StreamConsumer<Member>>,
    role: Role,
    metrics: Metrics,
    looks: JoinHandle<()>,
}

/// Hears what the group gives to and takes from this process.
pub(super) struct Member {
    role: Role,
    health: watch::Sender<Health>,
    metrics: Metrics,
    taken_away: Mutex<Vec<Partition>>,
}

impl ClientContext for Member {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.kafka_is_away(true);
        }
        warn!(role = self.role.name(), %error, reason, "Kafka client.");
    }
}

impl Member {
    pub(super) fn kafka_is_away(&self, away: bool) {
        self.health.send_if_modified(|health| std::mem::replace(&mut health.kafka_away, away) != away);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = rebalance else { return };
        let names: Vec<Partition> =
            partitions.elements().iter().map(|p| (p.topic().to_owned(), p.partition())).collect();
        lag::forget(&self.metrics, self.role, &names);
        self.taken_away.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let partitions = consumer.assignment().map(|a| a.count()).unwrap_or_default();
        info!(role = self.role.name(), partitions, change = ?rebalance, "The group shared its partitions out.");
        self.metrics.partitions.get_or_create(&RoleLabel { role: self.role.name() }).set(partitions as i64);
        self.health.send_modify(|health| {
            health.joined |= matches!(rebalance, Rebalance::Assign(_));
            health.partitions = partitions;
        });
    }
}

impl Group {
    /// # Errors
    /// The client cannot be built. Unreachable servers are no errors: they are retried.
    pub fn join(
        kafka: &Kafka,
        role: Role,
        topics: &[&str],
        metrics: &Metrics,
        health: watch::Sender<Health>,
    ) -> anyhow::Result<Self> {
        let mut settings = client::settings(kafka);
        settings
            .set("group.id", kafka.group_of(role))
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", kafka.session_timeout().as_millis().to_string())
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Topics that are made later are seen within this.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("queued.max.messages.kbytes", FETCHED_MAX_KIB);
        if let Some(instance) = &kafka.instance {
            settings.set("group.instance.id", instance);
        }
        let member = Member { role, health, metrics: metrics.clone(), taken_away: Mutex::default() };
        let consumer: StreamConsumer<Member> = settings.create_with_context(member).context("Kafka consumer")?;
        consumer.subscribe(topics).context("cannot subscribe")?;
        let consumer = Arc::new(consumer);
        let looks = tokio::spawn(lag::watch(Arc::downgrade(&consumer), role, metrics.clone()));
        Ok(Self { consumer, role, metrics: metrics.clone(), looks })
    }

    /// The next record. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// Kafka says that this member can never go on, for instance because another process has its `instance`.
    pub async fn recv(&self) -> anyhow::Result<BorrowedMessage<'_>> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => {
                    let topic = message.topic().to_owned();
                    self.metrics.consumed.get_or_create(&RoleTopicLabel { role: self.role.name(), topic }).inc();
                    return Ok(message);
                }
                Err(KafkaError::MessageConsumptionFatal(code)) => {
                    return Err(KafkaError::MessageConsumptionFatal(code)).context(
                        "Kafka has shut this member out; is there another process with the same `kafka.instance`?",
                    );
                }
                Err(e) => {
                    warn!(role = self.role.name(), reason = %e, "Kafka does not answer as it should; still trying.");
                }
            }
        }
    }

    /// Partitions that were taken from this process since this was asked last.
    pub fn taken_away(&self) -> Vec<Partition> {
        take(&mut *self.consumer.context().taken_away.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing more comes, but what was on its way and what a rebalance brings: pause once more then.
    ///
    /// # Errors
    /// The client refuses what it never should.
    pub fn pause(&self) -> anyhow::Result<()> {
        let partitions = self.consumer.assignment().context("cannot read the assignment")?;
        self.consumer.pause(&partitions).context("cannot pause partitions")
    }

    /// # Errors
    /// The client refuses what it never should.
    pub fn resume(&self) -> anyhow::Result<()> {
        let partitions = self.consumer.assignment().context("cannot read the assignment")?;
        self.consumer.resume(&partitions).context("cannot resume partitions")
    }

    /// Reads a partition from this offset on, if it is still ours.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn seek(&self, topic: &str, partition: i32, offset: i64) -> anyhow::Result<()> {
        let ours = self.consumer.assignment().context("cannot read the assignment")?;
        if ours.find_partition(topic, partition).is_none() {
            return Ok(());
        }
        block_in_place(|| self.consumer.seek(topic, partition, Offset::Offset(offset), SEEK_TIMEOUT))
            .with_context(|| format!("cannot read {topic}/{partition} from {offset} on"))
    }

    /// Commits for each partition the offset that comes next, waiting for the answer. That Kafka does not take them is
    /// no error: the records come again, and are written over themselves.
    ///
    /// # Errors
    /// The client refuses what it never should.
    pub fn commit<'a>(&self, next: impl Iterator<Item = (&'a str, i32, i64)>) -> anyhow::Result<()> {
        let ours = self.consumer.assignment().context("cannot read the assignment")?;
        let mut offsets = TopicPartitionList::new();
        for (topic, partition, offset) in next {
            if ours.find_partition(topic, partition).is_some() {
                offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
            }
        }
        if offsets.count() == 0 {
            return Ok(());
        }
        let role = self.role.name();
        match block_in_place(|| self.consumer.commit(&offsets, CommitMode::Sync)) {
            Ok(()) => {
                self.metrics.commits.get_or_create(&RoleLabel { role }).inc();
            }
            Err(e) => warn!(role, reason = %e, "Offsets not committed; these records will be written once more."),
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.looks.abort();
    }
}
