//! `gateway quarantine …`: records that a sink could not take.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ConfigArgs;

#[derive(Clone, Debug, Args)]
pub struct QuarantineArgs {
    #[command(subcommand)]
    pub verb: QuarantineVerb,
}

/// The gateway may run meanwhile.
#[derive(Clone, Debug, Subcommand)]
pub enum QuarantineVerb {
    /// Count the records by sink, reason and decoder
    List(QuarantineListArgs),
    /// Show records, oldest first: where they are from, why they are here, their payload
    Show(QuarantineShowArgs),
    /// Decode records once more, by the configuration of today, and send them to their sink;
    /// exit code 1 if some stay
    Redrive(RedriveArgs),
}

/// Which gateway.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub struct DataDirArgs {
    /// Configuration file of the gateway
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory of the gateway; overrides `gateway.data_dir`
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `gateway quarantine list`
#[derive(Clone, Debug, Args)]
pub struct QuarantineListArgs {
    #[command(flatten)]
    pub place: DataDirArgs,
    /// One JSON array instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `gateway quarantine show`
#[derive(Clone, Debug, Args)]
pub struct QuarantineShowArgs {
    #[command(flatten)]
    pub place: DataDirArgs,
    /// Name of the sink
    pub sink: String,
    /// Only records with this reason
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only this record, such as raw/41
    #[arg(long, value_name = "LOG/SEQ")]
    pub record: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u64,
    /// The stored lines of JSON instead of text
    #[arg(long, conflicts_with = "payload")]
    pub json: bool,
    /// The payload alone, byte for byte, of the one record: for `gateway schema test`
    #[arg(long, requires = "record")]
    pub payload: bool,
}

/// `gateway quarantine redrive`
#[derive(Clone, Debug, Args)]
pub struct RedriveArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Name of the sink [default: all sinks of the configuration]
    pub sink: Option<String>,
    /// Only records with this reason
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
}
