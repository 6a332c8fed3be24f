//! `cloud-sink setup`: makes topics, buckets, rollup tasks and dashboards as the configuration wants them.
//!
//! # Invariants
//! - What is there is read first, then compared ([`plan`], pure), then changed; a second run finds nothing to do.
//! - Nothing is deleted, nothing made smaller; see [`plan`].
//! - Steps are independent of each other but for their order, so a run that breaks off is simply run again.
//!
//! # Flow
//! ```text
//! configuration ─▶ wanted ─┐
//!                          ├─▶ plan ─▶ printed ─▶ applied, step by step
//! Kafka, InfluxDB ─▶ found ┘
//! ```

pub mod grafana;
mod http;
mod influx;
mod kafka;
pub mod plan;
pub mod rollup;
pub mod state;
mod wanted;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::config::Config;
use grafana::Grafana;
use influx::Influx;
use kafka::Kafka;
use plan::{Plan, Step};
use state::State;

/// Flags of `cloud-sink setup`.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
    /// Say what would be done, and do nothing; ends with 3 if there is anything
    #[arg(long)]
    pub dry_run: bool,
    /// Make retentions shorter, too, where they are longer than wanted: deletes what is older
    #[arg(long)]
    pub shorten: bool,
    /// Write Grafana's dashboards and provisioning to this directory
    #[arg(long, value_name = "DIR")]
    pub grafana_dir: Option<PathBuf>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as wanted, but for what setup leaves and has told.
    Done,
    /// A dry run that found something to do.
    Drift,
}

/// Reads, prints the plan, and applies it.
///
/// # Errors
/// A server does not answer, or refuses a step: what was printed as done is done.
#[tokio::main]
pub async fn run(config: &Config, options: &Options) -> anyhow::Result<Outcome> {
    let servers = Servers::connect(config, options).await?;
    let (wanted, found) = servers.read(config).await?;
    let plan = Plan::new(&wanted, &found, options.shorten);
    for left in &plan.left {
        println!("{left}");
    }
    if plan.steps.is_empty() {
        println!("nothing to do");
        return Ok(Outcome::Done);
    }
    for step in &plan.steps {
        if options.dry_run {
            println!("{step}");
        } else {
            servers.apply(step).await.with_context(|| step.to_string())?;
            println!("{step}: done");
        }
    }
    Ok(if options.dry_run { Outcome::Drift } else { Outcome::Done })
}

struct Servers {
    kafka: Kafka,
    /// `None`: the configuration has none, so no bucket and no task is wanted.
    influx: Option<Influx>,
    grafana: Option<Grafana>,
    grafana_dir: Option<PathBuf>,
}

impl Servers {
    async fn connect(config: &Config, options: &Options) -> anyhow::Result<Self> {
        let influx = match &config.influx {
            Some(influx) => Some(Influx::connect(influx).await?),
            None => None,
        };
        Ok(Self {
            kafka: Kafka::new(&config.kafka)?,
            influx,
            grafana: config.grafana.as_ref().map(Grafana::new).transpose()?,
            grafana_dir: options.grafana_dir.clone(),
        })
    }

    fn influx(&self) -> anyhow::Result<&Influx> {
        self.influx.as_ref().context("a step at InfluxDB without an InfluxDB")
    }

    /// What is wanted, and what of it is there.
    async fn read(&self, config: &Config) -> anyhow::Result<(State, State)> {
        let mut wanted = wanted::wanted(config);
        let mut found = State {
            topics: self.kafka.read(&wanted.topics.keys().map(String::as_str).collect()).await?,
            ..State::default()
        };
        if let Some(influx) = &self.influx {
            found.buckets = influx.buckets(wanted.buckets.keys().map(String::as_str)).await?;
            found.tasks = influx.tasks(wanted.tasks.keys().map(String::as_str)).await?;
        }
        if let Some(dir) = &self.grafana_dir {
            wanted.files = grafana::files();
            found.files = grafana::read_files(dir)?;
        }
        if let Some(grafana) = &self.grafana {
            wanted.dashboards = grafana::dashboards()?;
            found.dashboards = grafana.read(wanted.dashboards.keys().map(String::as_str)).await?;
        }
        Ok((wanted, found))
    }

    async fn apply(&self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::CreateTopic { name, topic } => self.kafka.create(name, topic).await,
            Step::AddPartitions { topic, to, .. } => self.kafka.add_partitions(topic, *to).await,
            Step::SetTopic { topic, key, to, .. } => self.kafka.set(topic, key, to).await,
            Step::CreateBucket { name, kept } => self.influx()?.create_bucket(name, *kept).await,
            Step::SetRetention { id, to, .. } => self.influx()?.set_retention(id, *to).await,
            Step::CreateTask { flux, .. } => self.influx()?.create_task(flux).await,
            Step::SetScript { id, flux, .. } => self.influx()?.change_task(id, &json!({ "flux": flux })).await,
            Step::Activate { id, .. } => self.influx()?.change_task(id, &json!({ "status": "active" })).await,
            Step::WriteFile { path, text, .. } => {
                let dir = self.grafana_dir.as_ref().context("a file without a directory")?;
                grafana::write_file(dir, path, text)
            }
            Step::PutDashboard { dashboard, .. } => {
                self.grafana.as_ref().context("a dashboard without a Grafana")?.put(dashboard).await
            }
        }
    }
}
