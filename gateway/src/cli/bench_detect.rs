//! `gateway bench-detect`.

use clap::Args;

/// `gateway bench-detect`
///
/// Made-up devices of 17 kinds are watched for weeks, each with faults spliced in one by one; the engine is the one that
/// runs live, at the thresholds that ship.
#[derive(Clone, Debug, Args)]
pub struct BenchDetectArgs {
    /// The same seed gives the same devices and faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Devices of each kind
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub devices: u32,
    /// Devices with 100 readings a second, for four days of which two are learned
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub fast_devices: u32,
    /// Length of each device's clean stream, the learning week included, days
    #[arg(long, value_name = "DAYS", default_value_t = 21, value_parser = clap::value_parser!(u32).range(14..=365))]
    pub days: u32,
    /// Sizes of the faults; 1 is plain to see
    #[arg(long, value_name = "S", value_delimiter = ',', default_value = "1,0.6,0.35", value_parser = positive)]
    pub severity: Vec<f64>,
    /// `false_alarms_per_month`: clean streams are judged at each, faults at the first
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,0.3,3", value_parser = positive)]
    pub knob: Vec<f64>,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: u32,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1_000.0 => Ok(value),
        Ok(_) | Err(_) => Err(format!("`{text}` is no number above 0 and up to 1000")),
    }
}
