//! `gateway model …`: what detection has learned, of a gateway that is stopped.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::QueueDirArgs;

#[derive(Clone, Debug, Args)]
pub struct ModelArgs {
    #[command(subcommand)]
    pub verb: ModelVerb,
}

/// The gateway has to be stopped.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelVerb {
    /// List devices and channels: learning progress, since when, nature, rate, threshold, models, bytes
    Show(ModelShowArgs),
    /// Write what was learned to a file, a line for each channel, and for each device's relation of its channels
    Export(ModelExportArgs),
    /// Put channels of such a file into this gateway, in place of what it has learned of them
    Import(ModelImportArgs),
    /// Forget what was learned: these channels learn anew when the gateway starts
    Reset(ModelResetArgs),
}

/// Which channels.
#[derive(Clone, Debug, Args)]
pub struct ChannelArgs {
    /// Only this device
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Only this channel
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
}

/// `gateway model show`
#[derive(Clone, Debug, Args)]
pub struct ModelShowArgs {
    #[command(flatten)]
    pub queue: QueueDirArgs,
    #[command(flatten)]
    pub of: ChannelArgs,
    /// One JSON array instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `gateway model export`
#[derive(Clone, Debug, Args)]
pub struct ModelExportArgs {
    #[command(flatten)]
    pub queue: QueueDirArgs,
    #[command(flatten)]
    pub of: ChannelArgs,
    /// A new file; never overwrites one
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `gateway model import`
#[derive(Clone, Debug, Args)]
pub struct ModelImportArgs {
    #[command(flatten)]
    pub queue: QueueDirArgs,
    /// What `gateway model export` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `gateway model reset`
#[derive(Clone, Debug, Args)]
pub struct ModelResetArgs {
    #[command(flatten)]
    pub queue: QueueDirArgs,
    /// All channels of this device, and how they go together
    #[arg(long, value_name = "NAME")]
    pub device: String,
    /// Only this channel of it
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
}
