//! The verbs of the command line: one file each, one function each.

pub mod alert;
pub mod backtest;
pub mod bench;
pub mod bench_detect;
pub mod check;
pub mod demo;
mod interrupt;
pub mod model;
pub mod passwd;
pub mod quarantine;
pub mod queue;
pub mod run;
pub mod schema;
pub mod simulate;

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::Command;

/// Runs the verb until it is done.
///
/// # Errors
/// What the user has to know; `config::Faults` and `telemetry::Error` tell of faults in what the user wrote.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run::run(&args).await,
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args).await,
        Command::Simulate(args) => simulate::run(&args).await,
        Command::Bench(args) => bench::run(&args).await,
        Command::BenchDetect(args) => bench_detect::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Queue(args) => queue::run(args.verb),
        Command::Model(args) => model::run(args.verb).await,
        Command::Schema(args) => schema::run(args.verb),
        Command::Quarantine(args) => quarantine::run(args.verb).await,
        Command::Alert(args) => alert::run(args.verb).await,
        Command::Passwd(args) => passwd::run(&args).await,
    }
}

/// Milliseconds since 1970 by the wall clock.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Whoever read the output has seen enough: no failure.
fn unless_closed(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
