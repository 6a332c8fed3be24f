//! Looks every few seconds how far a role is behind, and by the way whether Kafka answers at all.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::group::{Member, Partition};
use crate::metrics::{Metrics, PartitionLabel};
use crate::roles::Role;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// For one answer; the first that does not come ends a look.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Partitions whose lag is shown: each is a time series and, at each look, a question to Kafka.
const PARTITIONS_MAX: usize = 1_000;

/// Runs until the consumer is gone.
pub(super) async fn watch(consumer: Weak<StreamConsumer<Member>>, role: Role, metrics: Metrics) {
    loop {
        sleep(PAUSE).await;
        let Some(consumer) = consumer.upgrade() else { return };
        let metrics = metrics.clone();
        let looked = spawn_blocking(move || {
            let answer = look(&consumer, role, &metrics);
            consumer.context().kafka_is_away(answer.is_err());
            answer
        });
        match looked.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(role = role.name(), reason = %e, "Kafka does not tell how far it is."),
            Err(e) => tracing::error!(role = role.name(), reason = %e, "A look at the lag was cut off."),
        }
    }
}

/// Takes the series of partitions away that are not ours any more.
pub(super) fn forget(metrics: &Metrics, role: Role, partitions: &[Partition]) {
    for (topic, partition) in partitions {
        metrics.lag.remove(&label(role, topic, *partition));
    }
}

fn look(consumer: &Arc<StreamConsumer<Member>>, role: Role, metrics: &Metrics) -> Result<(), KafkaError> {
    let ours = consumer.assignment()?;
    if ours.count() == 0 {
        return consumer.fetch_metadata(None, TIMEOUT).map(drop);
    }
    let asked = consumer.committed_offsets(ours, TIMEOUT)?;
    for entry in asked.elements().iter().take(PARTITIONS_MAX) {
        let (topic, partition) = (entry.topic(), entry.partition());
        let (first, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
        let read_to = match entry.offset() {
            Offset::Offset(committed) => committed.max(first),
            Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => first,
        };
        metrics.lag.get_or_create(&label(role, topic, partition)).set((end - read_to).max(0));
    }
    // What was taken away meanwhile must not stay.
    let still_ours = consumer.assignment()?;
    let gone: Vec<Partition> = asked
        .elements()
        .iter()
        .map(|entry| (entry.topic().to_owned(), entry.partition()))
        .filter(|(topic, partition)| still_ours.find_partition(topic, *partition).is_none())
        .collect();
    forget(metrics, role, &gone);
    Ok(())
}

fn label(role: Role, topic: &str, partition: i32) -> PartitionLabel {
    PartitionLabel { role: role.name(), topic: topic.to_owned(), partition }
}
