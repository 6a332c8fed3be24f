//! Topics, by Kafka's admin protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;

use super::state::Topic;
use crate::config;
use crate::kafka::client;

/// For one question, and for the cluster to do what it was asked.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at what the brokers list.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Asks the broker for its default.
const DEFAULT_REPLICATION: i32 = -1;

pub(super) struct Kafka {
    admin: AdminClient<DefaultClientContext>,
    options: AdminOptions,
}

impl Kafka {
    /// # Errors
    /// The client cannot be made. An unreachable broker is found out by [`Self::read`].
    pub(super) fn new(config: &config::Kafka) -> anyhow::Result<Self> {
        let admin = client::settings(config).create().context("Kafka client")?;
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
        Ok(Self { admin, options })
    }

    /// Those of the named topics that exist.
    ///
    /// # Errors
    /// Kafka does not answer, or does not show a topic's settings.
    pub(super) async fn read(&self, names: &BTreeSet<&str>) -> anyhow::Result<BTreeMap<String, Topic>> {
        let mut topics = BTreeMap::new();
        for (name, (partitions, replication)) in self.topics()? {
            if names.contains(name.as_str()) {
                let settings = self.settings(&name).await?;
                topics.insert(name, Topic { partitions, replication, settings });
            }
        }
        Ok(topics)
    }

    /// Partitions and copies of each, of all topics: to ask for one by its name may create it.
    fn topics(&self) -> anyhow::Result<BTreeMap<String, (u32, Option<u32>)>> {
        let metadata = tokio::task::block_in_place(|| self.admin.inner().fetch_metadata(None, TIMEOUT))
            .context("Kafka does not list its topics")?;
        let mut topics = BTreeMap::new();
        for topic in metadata.topics() {
            let partitions = u32::try_from(topic.partitions().len()).context("number of partitions")?;
            let copies = topic.partitions().iter().map(|p| p.replicas().len()).min();
            let replication = copies.map(u32::try_from).transpose().context("number of replicas")?;
            topics.insert(topic.name().to_owned(), (partitions, replication));
        }
        Ok(topics)
    }

    /// What was set at the topic itself, not at its broker.
    async fn settings(&self, topic: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let answers = self.admin.describe_configs([&ResourceSpecifier::Topic(topic)], &self.options).await?;
        let resource = answers.into_iter().next().with_context(|| format!("no settings of topic {topic}"))?;
        let resource = resource.map_err(|e| anyhow!("settings of topic {topic}: {e}"))?;
        let own = resource.entries.into_iter().filter(|e| e.source == ConfigSource::DynamicTopic);
        Ok(own.filter_map(|e| Some((e.name, e.value?))).collect())
    }

    /// # Errors
    /// Kafka refuses.
    pub(super) async fn create(&self, name: &str, topic: &Topic) -> anyhow::Result<()> {
        let partitions = i32::try_from(topic.partitions).context("number of partitions")?;
        let replication = topic.replication.map(i32::try_from).transpose().context("replication")?;
        let replication = TopicReplication::Fixed(replication.unwrap_or(DEFAULT_REPLICATION));
        let new = topic
            .settings
            .iter()
            .fold(NewTopic::new(name, partitions, replication), |new, (key, value)| new.set(key, value));
        one(self.admin.create_topics([&new], &self.options).await?)?;
        self.visible(name, topic.partitions).await
    }

    /// # Errors
    /// Kafka refuses.
    pub(super) async fn add_partitions(&self, topic: &str, to: u32) -> anyhow::Result<()> {
        let new = NewPartitions::new(topic, usize::try_from(to).context("number of partitions")?);
        one(self.admin.create_partitions([&new], &self.options).await?)?;
        self.visible(topic, to).await
    }

    /// The controller answers before every broker knows: who asks too early would make the topic again.
    async fn visible(&self, topic: &str, partitions: u32) -> anyhow::Result<()> {
        let end = Instant::now() + TIMEOUT;
        while self.topics()?.get(topic).is_none_or(|(found, _)| *found < partitions) {
            ensure!(
                Instant::now() < end,
                "the brokers do not list its {partitions} partitions after {} s",
                TIMEOUT.as_secs()
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Kafka resets what is not named, so all that the topic was given goes along.
    ///
    /// # Errors
    /// Kafka refuses.
    pub(super) async fn set(&self, topic: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let mut settings = self.settings(topic).await?;
        settings.insert(key.to_owned(), value.to_owned());
        let all = settings
            .iter()
            .fold(AlterConfig::new(ResourceSpecifier::Topic(topic)), |all, (key, value)| all.set(key, value));
        let answers = self.admin.alter_configs([&all], &self.options).await?;
        let answer = answers.into_iter().next().context("Kafka does not say what became of it")?;
        answer.map(|_| ()).map_err(|(_, e)| anyhow!("Kafka says {e}"))
    }
}

fn one(answers: Vec<rdkafka::admin::TopicResult>) -> anyhow::Result<()> {
    let answer = answers.into_iter().next().context("Kafka does not say what became of it")?;
    answer.map(|_| ()).map_err(|(_, e)| anyhow!("Kafka says {e}"))
}
