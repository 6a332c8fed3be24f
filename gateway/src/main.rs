//! Parse, log, run, tell how it ended.

use std::process::ExitCode;

use clap::Parser;

use gateway::cli::Cli;
use gateway::{commands, config, memory, telemetry};

/// Something went wrong while running.
const FAILURE: u8 = 1;
/// What the user wrote cannot be used: configuration, flags, variables. The command-line parser exits with it too.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    memory::give_back();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", told(&error));
            let misuse = error.is::<config::Faults>() || error.is::<telemetry::Error>();
            ExitCode::from(if misuse { MISUSE } else { FAILURE })
        }
    }
}

/// Each cause once, then the hints: many messages name their source themselves, and end in what to do.
fn told(error: &anyhow::Error) -> String {
    let (mut text, mut hints) = (String::new(), String::new());
    for cause in error.chain().map(ToString::to_string) {
        // All faults of a configuration come with their own hints in between: they stay as they are.
        let (what, hint) = match cause.matches("hint: ").count() {
            1 => {
                cause.split_once("hint: ").map_or((cause.as_str(), None), |(what, hint)| (what.trim_end(), Some(hint)))
            }
            _ => (cause.as_str(), None),
        };
        if !text.contains(what) {
            text += if text.is_empty() { "" } else { ": " };
            text += what;
        }
        hints.extend(hint.map(|hint| format!("\n  hint: {hint}")));
    }
    text + &hints
}

fn run(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.log, cli.command.default_log_level())?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(commands::run(cli.command))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_cause_is_told_once_and_the_hint_comes_last() {
        let busy = || io::Error::from(io::ErrorKind::AddrInUse);
        let named = anyhow::Error::new(busy()).context(format!("cannot listen: {}\nhint: name another", busy()));
        assert_eq!(told(&named), format!("cannot listen: {}\n  hint: name another", busy()));
        let unnamed = anyhow::Error::new(busy()).context("cannot listen");
        assert_eq!(told(&unnamed), format!("cannot listen: {}", busy()));
    }
}
