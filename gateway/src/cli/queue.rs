//! `gateway queue …`: the tools for a queue that no gateway works on.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::queue::{EngineKind, Log};

#[derive(Clone, Debug, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    pub verb: QueueVerb,
}

/// The gateway has to be stopped; the queue is only read.
///
/// Generations are copied to the system's temporary directory (TMPDIR) one by one and read there.
#[derive(Clone, Debug, Subcommand)]
pub enum QueueVerb {
    /// Show what is in it: generations, sizes, cursors, the loss ledger, quarantine, state
    Inspect(InspectArgs),
    /// Read every block and tell what is damaged and which records are missing; exit code 1 if any
    Verify(VerifyArgs),
    /// Write records as JSON lines to standard output or a file; exit code 1 if some cannot be read
    Export(ExportArgs),
    /// Write a new queue with every record that can be read or salvaged
    Repair(RepairArgs),
}

/// Which queue.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub struct QueueDirArgs {
    /// Configuration file of the gateway
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory of the gateway; overrides `gateway.data_dir`
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The queue's directory itself, such as a copy of it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "data_dir"])]
    pub dir: Option<PathBuf>,
}

/// `gateway queue inspect`
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    pub queue: QueueDirArgs,
    /// One JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}

/// `gateway queue verify`
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub queue: QueueDirArgs,
}

/// `gateway queue export`
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub queue: QueueDirArgs,
    /// Only this log [default: both, raw first]
    #[arg(long, value_enum, value_name = "LOG")]
    pub log: Option<LogChoice>,
    /// First sequence, in each log
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub from: u64,
    /// Last sequence, in each log [default: the newest]
    #[arg(long, value_name = "SEQ")]
    pub to: Option<u64>,
    /// Only what this consumer has not passed yet; `gateway queue inspect` lists them
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// A new file instead of standard output; never overwrites one
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `gateway queue repair`
#[derive(Clone, Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    pub queue: QueueDirArgs,
    /// Directory for the new queue: new, or empty
    #[arg(value_name = "OUT_DIR")]
    pub out: PathBuf,
    /// Storage engine of the new queue [default: that of the configuration, else sled]
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub engine: Option<EngineChoice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogChoice {
    Raw,
    Derived,
}

impl From<LogChoice> for Log {
    fn from(choice: LogChoice) -> Self {
        match choice {
            LogChoice::Raw => Self::Raw,
            LogChoice::Derived => Self::Derived,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    Sled,
    Redb,
}

impl From<EngineChoice> for EngineKind {
    fn from(choice: EngineChoice) -> Self {
        match choice {
            EngineChoice::Sled => Self::Sled,
            EngineChoice::Redb => Self::Redb,
        }
    }
}
