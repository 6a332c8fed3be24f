//! The command line, as types.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::roles::Role;
use crate::setup;

#[derive(Debug, Parser)]
#[command(
    name = "cloud-sink",
    version,
    about = "Reads the gateways' Kafka topics as consumer groups and writes InfluxDB and an archive.",
    long_about = "Reads the gateways' Kafka topics as consumer groups and writes InfluxDB and an archive.\n\nExit codes: 0 done, 1 failure, 2 faults in the configuration or on the command line, 3 drift found by setup --dry-run."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// What to log, e.g. `info` or `cloud_sink=debug`
    #[arg(long, global = true, env = "CLOUD_SINK_LOG", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until SIGTERM or Ctrl-C
    Run {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What to do, separated by commas; default: all that is configured
        #[arg(long, value_name = "ROLES", value_delimiter = ',')]
        roles: Vec<Role>,
    },
    /// Read the configuration and say whether it is right
    Check {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Records that could not be used: see them, send them once more
    DeadLetters {
        #[command(subcommand)]
        verb: DeadLettersVerb,
    },
    /// Make topics, InfluxDB buckets, rollup tasks and dashboards as the configuration wants them
    Setup {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        options: setup::Options,
    },
}

#[derive(Debug, Subcommand)]
pub enum DeadLettersVerb {
    /// Show the newest
    List {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Send them to the topics that they came from, each once however often this is repeated
    Redrive {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Only those of this reason
        #[arg(long, value_name = "REASON")]
        reason: Option<String>,
        /// Only say what would be sent
        #[arg(long)]
        dry_run: bool,
    },
}

impl Command {
    /// The configuration file that it needs.
    pub fn config(&self) -> &Path {
        match self {
            Self::Run { config, .. } | Self::Check { config } | Self::Setup { config, .. } => config,
            Self::DeadLetters {
                verb: DeadLettersVerb::List { config, .. } | DeadLettersVerb::Redrive { config, .. },
            } => config,
        }
    }
}
