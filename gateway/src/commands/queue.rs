//! `gateway queue …`: looks into the queue of a gateway that is stopped, checks it, reads it out, mends it.

mod export;
mod inspect;
mod progress;
mod repair;
mod verify;

use std::path::Path;

use firmware_protocol::decode::Decoder;

use super::unless_closed;
use crate::cli::{QueueDirArgs, QueueVerb};
use crate::clock::ClockMap;
use crate::config::{Config, Environment, Overrides};
use crate::pipeline::CLOCK_STATE;
use crate::queue::offline::{self, Offline};
use crate::queue::{self, Run};
use crate::text::counted;

/// Parts of the paths of the engines' source files.
const ENGINE_SOURCES: [&str; 2] = ["/sled-", "/redb-"];

/// # Errors
/// No queue, one that is in use, damage that was found, or files that cannot be read or written.
pub fn run(verb: QueueVerb) -> anyhow::Result<()> {
    hush_engines();
    match verb {
        QueueVerb::Inspect(args) => inspect::run(&args),
        QueueVerb::Verify(args) => verify::run(&args),
        QueueVerb::Export(args) => export::run(&args),
        QueueVerb::Repair(args) => repair::run(&args),
    }
}

/// Engines panic on damaged files, which is caught and told as a finding: their own message would only alarm.
pub(super) fn hush_engines() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let is_engine = |file: &str| ENGINE_SOURCES.iter().any(|engine| file.contains(engine));
        if info.location().is_some_and(|at| is_engine(at.file())) {
            tracing::debug!(%info, "A storage engine panicked.");
        } else {
            usual(info);
        }
    }));
}

/// Where the queue is, and how it is set up.
pub(super) struct Place {
    pub(super) settings: queue::Config,
    /// The decoders of the configuration; without one, the settings are defaults.
    decoder: Option<Decoder>,
}

impl Place {
    pub(super) fn of(args: &QueueDirArgs) -> anyhow::Result<Self> {
        if let Some(file) = &args.config {
            let overrides = Overrides {
                data_dir: args.data_dir.clone(),
                environment: Environment::of_process(),
                ..Overrides::default()
            };
            let config = Config::load(file, &overrides)?;
            let decoder = Decoder::new(config.decode).map_err(anyhow::Error::msg)?;
            return Ok(Self { settings: config.queue, decoder: Some(decoder) });
        }
        let in_data_dir = |dir: &Path| queue::Config::in_data_dir(dir);
        let settings = match (&args.dir, &args.data_dir) {
            (Some(dir), _) => queue::Config::new(dir),
            (None, Some(data_dir)) => in_data_dir(data_dir),
            (None, None) => anyhow::bail!("no queue named\nhint: give --config, --data-dir or --dir"),
        };
        Ok(Self { settings, decoder: None })
    }

    pub(super) fn open(&self) -> Result<Offline, offline::Error> {
        Offline::open(&self.settings.dir)
    }
}

/// Wall times of this queue's boots, as far as they are known.
fn clock_map(queue: &Offline) -> ClockMap {
    match queue.state(CLOCK_STATE) {
        Ok(stored) => ClockMap::from_bytes(&stored.unwrap_or_default()),
        Err(error) => {
            tracing::warn!(%error, "The clock map cannot be read: times stay unknown.");
            ClockMap::default()
        }
    }
}

/// Sequences as a person writes them, the last one included.
fn span(run: Run) -> String {
    let last = run.end.0.saturating_sub(1);
    if run.first.0 == last { last.to_string() } else { format!("{}–{last}", run.first.0) }
}

/// `200–299 (100 records)`.
fn span_counted(run: Run) -> String {
    format!("{} ({})", span(run), counted(run.count(), "record"))
}
