//! `gateway schema …`: the decoders, and what they make of a payload.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Args)]
pub struct SchemaArgs {
    #[command(subcommand)]
    pub verb: SchemaVerb,
}

/// Decoders are the [[decode]] tables of a configuration; all else in it is passed over, so a part of one will do.
///
/// Without --config: those of a gateway whose configuration has none.
#[derive(Clone, Debug, Subcommand)]
pub enum SchemaVerb {
    /// List the decoders in the order in which topics are tried
    List(SchemaListArgs),
    /// Show a decoder's whole table, defaults included, as it can be copied to cloud-sink's configuration
    Show(SchemaShowArgs),
    /// Decode a captured payload and show what comes out; exit code 1 if it cannot be decoded
    Test(SchemaTestArgs),
}

/// `gateway schema list`
#[derive(Clone, Debug, Args)]
pub struct SchemaListArgs {
    /// Configuration file with [[decode]] tables
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON array instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `gateway schema show`
#[derive(Clone, Debug, Args)]
pub struct SchemaShowArgs {
    /// Configuration file with [[decode]] tables
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Id of the decoder; its topic pattern if it has none
    pub id: String,
}

/// `gateway schema test`
#[derive(Clone, Debug, Args)]
pub struct SchemaTestArgs {
    /// Configuration file with [[decode]] tables
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Topic that the payload came by
    #[arg(long)]
    pub topic: String,
    /// Media type, if the sender names one
    #[arg(long, value_name = "TYPE", default_value = "")]
    pub content_type: String,
    /// File with the hello frame that names the channels of a frame with numbered ones
    #[arg(long, value_name = "FILE", conflicts_with = "birth")]
    pub hello: Option<PathBuf>,
    /// File with the Sparkplug B birth (NBIRTH or DBIRTH) that names the aliases
    #[arg(long, value_name = "FILE")]
    pub birth: Option<PathBuf>,
    /// When it was received, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub received_at: Option<String>,
    /// It is a broker's retained copy, so its receipt says nothing about when it was measured
    #[arg(long)]
    pub retained: bool,
    /// One JSON object instead of tables, for a failure as well
    #[arg(long)]
    pub json: bool,
    /// File with the payload; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
