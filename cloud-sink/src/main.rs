//! Parse, run, error to exit code: 0 done, 1 failed, 2 wrong usage or configuration, 3 drift found by a dry run.

use std::process::ExitCode;

use clap::Parser;
use cloud_sink::cli::{Cli, Command, DeadLettersVerb};
use cloud_sink::config::Config;
use cloud_sink::metrics::Metrics;
use cloud_sink::roles::{Role, Roles};
use cloud_sink::{dead_letters, http, setup, telemetry};
use firmware_protocol::envelope::Topics;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

const WRONG_CONFIGURATION: u8 = 2;
const DRIFT: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(e) = telemetry::init(&cli.log_level) {
        eprintln!("error: --log-level {}: {e:#}", cli.log_level);
        return ExitCode::from(WRONG_CONFIGURATION);
    }
    let path = cli.command.config();
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(e) => {
            eprintln!("error: {e}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let done = match &cli.command {
        Command::Check { .. } => {
            println!("{}: ok", path.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { roles, .. } => run(config, roles).map(|()| ExitCode::SUCCESS),
        Command::Setup { options, .. } => setup::run(&config, options).map(|outcome| match outcome {
            setup::Outcome::Done => ExitCode::SUCCESS,
            setup::Outcome::Drift => ExitCode::from(DRIFT),
        }),
        Command::DeadLetters { verb } => dead_letters(&config, verb).map(|said| {
            print!("{said}");
            ExitCode::SUCCESS
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

fn dead_letters(config: &Config, verb: &DeadLettersVerb) -> anyhow::Result<String> {
    let topic = Topics::new(&config.kafka.topic_prefix).dead_letters;
    match verb {
        DeadLettersVerb::List { json, limit, .. } => dead_letters::list(&config.kafka, &topic, *limit, *json),
        DeadLettersVerb::Redrive { reason, dry_run, .. } => {
            Ok(dead_letters::redrive(&config.kafka, reason.as_deref(), *dry_run)?.to_string())
        }
    }
}

#[tokio::main]
async fn run(config: Config, roles: &[Role]) -> anyhow::Result<()> {
    let metrics = Metrics::default();
    let (bind, bootstrap) = (config.http, config.kafka.bootstrap.clone());
    let roles = Roles::new(config, roles, metrics.clone())?;
    let health = roles.health();
    let names: Vec<&str> = health.iter().map(|(role, _)| role.name()).collect();
    info!(%bootstrap, roles = names.join(","), "Running.");
    if let Some(bind) = bind {
        let address = http::serve(bind, metrics.registry(), health).await?;
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
    roles.run(stop).await
}
