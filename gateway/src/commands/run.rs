//! `gateway run`: the real thing, until it is told to stop.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::cli::RunArgs;
use crate::config::{Config, Overrides};
use crate::decoders::Memory;
use crate::pipeline::Pipeline;
use crate::text::{Style, in_one_line, ledger_table};

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
    for warning in config.warnings() {
        warn!("Configuration: {warning}.");
    }
    remember_decoders(&config);
    let mut pipeline = Pipeline::start(config).await?;
    info!("Ready.");

    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failure = pipeline.failed() => Some(failure),
    };
    let stopped = tokio::select! {
        stopped = pipeline.shutdown() => stopped,
        _ = terminate.recv() => anyhow::bail!("stopped at once by a second signal; nothing acknowledged is lost"),
        _ = interrupt.recv() => anyhow::bail!("stopped at once by a second signal; nothing acknowledged is lost"),
    };
    if let Ok(summary) = &stopped {
        println!("{}", ledger_table(&summary.ledger, Style::of_stdout()));
    }
    // What failed first is the cause.
    match failure {
        Some(failure) => Err(failure.into()),
        None => stopped.map(drop).map_err(Into::into),
    }
}

/// Warns of decoders that changed without a new version. The memory is for that alone: without it the gateway runs on.
fn remember_decoders(config: &Config) {
    let data_dir = &config.gateway.data_dir;
    let remembered = Memory::read(data_dir).and_then(|mut memory| {
        for changed in memory.changed(&config.decode) {
            warn!("Configuration: {changed}.");
        }
        memory.learn(&config.decode);
        memory.write(data_dir)
    });
    if let Err(error) = remembered {
        warn!(error = in_one_line(&error), "Whether decoders have changed cannot be told.");
    }
}
