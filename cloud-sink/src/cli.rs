//! The command line, as types.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cloud-sink",
    version,
    about = "Reads the gateways' Kafka topics as a consumer group and writes InfluxDB."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// What to log, e.g. `info` or `cloud_sink=debug`
    #[arg(long, global = true, env = "CLOUD_SINK_LOG", default_value = "info")]
    pub log_level: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until SIGTERM or Ctrl-C
    Run {
        /// Configuration file (TOML)
        #[arg(long)]
        config: PathBuf,
    },
    /// Read the configuration and say whether it is right
    Check {
        /// Configuration file (TOML)
        #[arg(long)]
        config: PathBuf,
    },
}
