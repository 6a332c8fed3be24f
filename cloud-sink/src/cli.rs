//! The command line, as types.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::setup;

#[derive(Debug, Parser)]
#[command(
    name = "cloud-sink",
    version,
    about = "Reads the gateways' Kafka topics as a consumer group and writes InfluxDB.",
    long_about = "Reads the gateways' Kafka topics as a consumer group and writes InfluxDB.\n\nExit codes: 0 done, 1 failure, 2 faults in the configuration or on the command line, 3 drift found by setup --dry-run."
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
    },
    /// Read the configuration and say whether it is right
    Check {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
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
