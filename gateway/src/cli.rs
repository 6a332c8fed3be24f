//! The command line: clap types and their defaults.
//!
//! # Invariants
//! - Each verb has one struct of arguments; `commands` holds one function for each.
//! - Help texts name unit and default.

mod alert;
mod backtest;
mod bench_detect;
mod model;
mod quarantine;
mod queue;
mod schema;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use alert::{AlertArgs, AlertTestArgs, AlertVerb};
pub use backtest::{BacktestArgs, WindowChoice};
pub use bench_detect::BenchDetectArgs;
pub use model::{ChannelArgs, ModelArgs, ModelExportArgs, ModelImportArgs, ModelResetArgs, ModelShowArgs, ModelVerb};
pub use quarantine::{
    DataDirArgs, QuarantineArgs, QuarantineListArgs, QuarantineShowArgs, QuarantineVerb, RedriveArgs,
};
pub use queue::{
    EngineChoice, ExportArgs, InspectArgs, LogChoice, QueueArgs, QueueDirArgs, QueueVerb, RepairArgs, VerifyArgs,
};
pub use schema::{SchemaArgs, SchemaListArgs, SchemaShowArgs, SchemaTestArgs, SchemaVerb};

/// Edge gateway for sensor data: durable queue, local anomaly detection, delivery to Kafka, InfluxDB and files.
///
/// Exit codes: 0 done, 1 failure, 2 faults in the configuration or on the command line.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub log: LogArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until SIGTERM or Ctrl-C; prints the loss ledger at the end
    Run(RunArgs),
    /// Check a configuration file: prints what is in force and where it comes from, or all faults
    Check(ConfigArgs),
    /// Show what the gateway does: simulated devices over real MQTT, known faults, and what was found; needs nothing else
    Demo(DemoArgs),
    /// Publish simulated devices with known faults to any broker
    Simulate(SimulateArgs),
    /// Measure MQTT in → queue → line protocol out on this machine
    Bench(BenchArgs),
    /// Measure how good detection is: made-up devices with known faults, at the thresholds that ship
    BenchDetect(BenchDetectArgs),
    /// Run detection over archives: scores, incidents and a report with figures; needs no gateway
    Backtest(BacktestArgs),
    /// Look into the queue of a gateway that is stopped, check it, read it out, mend it
    Queue(QueueArgs),
    /// Show what detection has learned, take it to another gateway, or make it learn anew
    Model(ModelArgs),
    /// List the decoders, show one, try one on a captured payload
    Schema(SchemaArgs),
    /// Look at the records that a sink could not take, and send them once more when the reason is gone
    Quarantine(QuarantineArgs),
    /// Try out the channels that people are alerted by
    Alert(AlertArgs),
    /// Add a user to a users file, change a password, or take a user out
    Passwd(PasswdArgs),
}

impl Command {
    /// What is logged unless the user says otherwise: the demo's own lines tell of each anomaly.
    pub fn default_log_level(&self) -> &'static str {
        match self {
            Self::Run(_) | Self::Check(_) => "info",
            Self::Demo(_) => "warn,gateway::detect=error",
            Self::Simulate(_) | Self::Bench(_) | Self::BenchDetect(_) | Self::Backtest(_) => "warn",
            Self::Queue(_)
            | Self::Model(_)
            | Self::Schema(_)
            | Self::Quarantine(_)
            | Self::Alert(_)
            | Self::Passwd(_) => "warn",
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// Level, or directives such as `info,gateway::queue=debug`
    /// [default: info; for all but run and check: warn]
    #[arg(long, global = true, env = "GATEWAY_LOG", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Form of the log on stderr; auto: human on a terminal, JSON lines otherwise
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Auto,
    Human,
    Json,
}

/// A configuration file and what overrides it: flags > `GATEWAY_*` > file > default.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML); `gateway.example.toml` shows every option
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Overrides `gateway.name` and GATEWAY_NAME
    #[arg(long)]
    pub name: Option<String>,
    /// Overrides `gateway.data_dir` and GATEWAY_DATA_DIR
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Overrides `http.bind` and GATEWAY_HTTP_BIND
    #[arg(long, value_name = "ADDR:PORT")]
    pub http: Option<SocketAddr>,
}

/// `gateway run`
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `gateway demo`
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Length of the live part after the history has been played, seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Simulated devices
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub devices: u32,
    /// Messages per second of all devices together in the live part: time runs as fast as that takes
    /// [default: so that a window of 10 minutes closes every 1.25 s]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// The same seed gives the same devices, values and faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Directory for queue and files, kept afterwards; must be empty or new
    /// [default: a fresh one in the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the page is served; port 0 takes a free one [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDR:PORT")]
    pub http: Option<SocketAddr>,
}

/// `gateway simulate`
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// Broker to publish to, `mqtt://host:port`
    #[arg(long, value_name = "URL")]
    pub broker: String,
    /// Simulated devices, each with a connection of its own up to 256 connections
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub devices: u32,
    /// Messages per second of all devices together: they sample as densely as that takes
    /// [default: as such devices do, a message every 5 s or a frame every 30 s, times --speed]
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// How fast event time runs; above 1 it starts in the past and ends now, so --seconds is needed
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub speed: f64,
    /// The same seed gives the same devices, values and faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stop after this many seconds [default: run until stopped]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
    /// Write the injected faults to this file (JSON lines)
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Topic of a device's messages; `{device}` is replaced
    #[arg(long, default_value = "sensors/{device}/telemetry")]
    pub topic: String,
    /// Quality of service: 0 or 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub qos: u8,
}

/// `gateway bench`
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// Messages from MQTT in to line protocol out
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: u64,
    /// Publishing connections
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub devices: u32,
    /// Unacknowledged messages that each connection allows itself
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub inflight: u16,
    /// Directory for queue and files, removed afterwards [default: a fresh one in the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `gateway passwd`
#[derive(Clone, Debug, Args)]
pub struct PasswdArgs {
    /// The users file, as `listen.users_file` names it; made if there is none
    #[arg(long, short, value_name = "FILE")]
    pub file: PathBuf,
    /// Take the user out
    #[arg(long)]
    pub delete: bool,
    /// Name of the user; the password is asked for on a terminal, and read from standard input otherwise
    pub name: String,
}
