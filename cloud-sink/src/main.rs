//! Parse, run, error to exit code: 0 done, 1 failed, 2 wrong usage or configuration, 3 drift found by a dry run.

use std::process::ExitCode;

use clap::Parser;
use cloud_sink::cli::{Cli, Command};
use cloud_sink::config::Config;
use cloud_sink::consume::{Consume, Readiness};
use cloud_sink::metrics::Metrics;
use cloud_sink::{http, setup, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

const WRONG_CONFIGURATION: u8 = 2;
const DRIFT: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(e) = telemetry::init(&cli.log_level) {
        eprintln!("error: --log-level {}: {e:#}", cli.log_level);
        return ExitCode::from(WRONG_CONFIGURATION);
    }
    let (Command::Run { config: path } | Command::Check { config: path } | Command::Setup { config: path, .. }) =
        &cli.command;
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(e) => {
            eprintln!("error: {e}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let done = match cli.command {
        Command::Check { .. } => {
            println!("{}: ok", path.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { .. } => run(config).map(|()| ExitCode::SUCCESS),
        Command::Setup { options, .. } => setup::run(&config, &options).map(|outcome| match outcome {
            setup::Outcome::Done => ExitCode::SUCCESS,
            setup::Outcome::Drift => ExitCode::from(DRIFT),
        }),
    };
    match done {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = Metrics::default();
    let (ready, is_ready) = watch::channel(Readiness::default());
    if let Some(bind) = config.http {
        let address = http::serve(bind, metrics.registry(), is_ready).await?;
        info!(%address, "HTTP is open.");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    info!(bootstrap = %config.kafka.bootstrap, group = %config.kafka.group, influx = %config.influx.url, "Running.");
    Consume::new(config, metrics, ready)?.run(stop).await
}
