//! The verbs of the command line: one file each, one function each.

pub mod check;

use crate::cli::Command;

/// Runs the verb until it is done.
///
/// # Errors
/// What the user has to know; `config::Faults` and `telemetry::Error` tell of faults in what the user wrote.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Check(args) => check::run(&args),
    }
}
