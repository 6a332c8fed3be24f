//! `gateway run`: the real thing, until it is told to stop.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::cli::RunArgs;
use crate::config::{Config, Overrides};
use crate::demo::progress::Style;
use crate::demo::report::ledger_table;
use crate::pipeline::Pipeline;

const DATA_DIR_HINT: &str =
    "name a directory that the gateway's user may write to, as `gateway.data_dir` or --data-dir";

/// Runs until SIGTERM, SIGINT or a failure. A second signal ends the process at once.
///
/// # Errors
/// The gateway cannot start, or a stage failed while running.
pub async fn run(args: &RunArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config.config, &Overrides::from_args(&args.config))?;
    let data_dir = config.gateway.data_dir.clone();
    std::fs::create_dir_all(&data_dir).with_context(|| {
        let dir = data_dir.display();
        format!("data directory {dir} cannot be used\nhint: {DATA_DIR_HINT}")
    })?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    info!(name = %config.gateway.name, version = env!("CARGO_PKG_VERSION"), data_dir = %data_dir.display(), "Starting.");
    let mut pipeline = Pipeline::start(config).await?;
    info!("Ready.");

    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failure = pipeline.failed() => Some(failure),
    };
    let summary = tokio::select! {
        summary = pipeline.shutdown() => summary?,
        _ = terminate.recv() => anyhow::bail!("stopped at once by a second signal; nothing acknowledged is lost"),
        _ = interrupt.recv() => anyhow::bail!("stopped at once by a second signal; nothing acknowledged is lost"),
    };
    println!("{}", ledger_table(&summary.ledger, Style::of_stdout()));
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}
