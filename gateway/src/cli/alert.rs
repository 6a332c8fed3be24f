//! `gateway alert …`: the channels that people are alerted by.

use clap::{Args, Subcommand};

use super::ConfigArgs;

#[derive(Clone, Debug, Args)]
pub struct AlertArgs {
    #[command(subcommand)]
    pub verb: AlertVerb,
}

/// The gateway may run meanwhile.
#[derive(Clone, Debug, Subcommand)]
pub enum AlertVerb {
    /// Send a test message, and tell what the other side says; exit code 1 if it does not take it
    Test(AlertTestArgs),
}

/// `gateway alert test`
#[derive(Clone, Debug, Args)]
pub struct AlertTestArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Name of the channel, as in [[alert]]
    #[arg(value_name = "NAME")]
    pub channel: String,
}
