//! Parse, log, run, tell how it ended.

use std::process::ExitCode;

use clap::Parser;

use gateway::cli::Cli;
use gateway::{commands, config, telemetry};

/// Something went wrong while running.
const FAILURE: u8 = 1;
/// What the user wrote cannot be used: configuration, flags, variables. The command-line parser exits with it too.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let misuse = error.is::<config::Faults>() || error.is::<telemetry::Error>();
            ExitCode::from(if misuse { MISUSE } else { FAILURE })
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.log, cli.command.default_log_level())?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(commands::run(cli.command))
}
