//! `gateway backtest`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::backtest::Learn;
use crate::config;

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowChoice {
    Windows(Duration),
    /// Each sample by itself.
    Samples,
}

impl FromStr for WindowChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::Samples) } else { config::window(text).map(Self::Windows) }
    }
}

/// `gateway backtest`
///
/// Reads CSV with a header, JSON lines, line protocol of InfluxDB, and what `gateway queue export` writes. Each file is a
/// run of its own through the detection that a gateway runs live.
///
/// Writes OUT/PATH.csv for each file, with the columns timestamp, anomaly_score and alarm: a row for each closed window
/// at its end, the highest of all channels and detectors. The score is from 0 to 1, 0.5 at the alarm threshold, and what
/// was known when the window first closed. OUT/incidents.ndjson has all anomalies with their explanations.
#[derive(Clone, Debug, Args)]
pub struct BacktestArgs {
    /// Files, and directories that are searched for .csv, .tsv, .ndjson, .jsonl, .lp, .line and .influx
    #[arg(required = true, value_name = "FILE|DIR")]
    pub inputs: Vec<PathBuf>,
    /// Directory for the results, made if need be; what is there of an earlier run is overwritten
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Paths below OUT are relative to this [default: as given; those that begin with / or .. relative to the directory
    /// that is given]
    #[arg(long, value_name = "DIR")]
    pub relative_to: Option<PathBuf>,
    /// Length of windows, a part of a day from 1s to 1d; none: each sample by itself [default: 10m]
    #[arg(long, value_name = "SPAN|none")]
    pub window: Option<WindowChoice>,
    /// Distance of windows that overlap, a part of their length; 0s: side by side [default: 0s]
    #[arg(long, value_name = "SPAN", value_parser = config::duration)]
    pub hop: Option<Duration>,
    /// Learning before the first verdict of any detector: a span, or a number of rows of each file such as 400rows
    /// [default: 7d, but after 250 windows or samples where these are judged by all seen before, as live]
    #[arg(long, value_name = "SPAN|N rows")]
    pub learn: Option<Learn>,
    /// Wanted false alarms per device and month, 0.001 to 1000; archives full of incidents are best judged with 3
    /// [default: 1]
    #[arg(long, value_name = "N", value_parser = false_alarms)]
    pub false_alarms_per_month: Option<f64>,
    /// When something was really wrong: {"file": {"windows": [["from", "to"], …]}} in JSON, or CSV with file,from,to; a
    /// file is named by its path, or the end of it
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Write a report with plots and figures to this HTML file; it needs nothing else
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Configuration file, of which `[detect]` and `[[decode]]` are used; flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Columns of CSV files that are no channels, such as labels; may be repeated, or a list with commas
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub ignore: Vec<String>,
}

fn false_alarms(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.001..=1_000.0).contains(number));
    number.ok_or_else(|| "is outside 0.001 to 1000".to_owned())
}
