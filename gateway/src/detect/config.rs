//! Settings of detection.

use std::time::Duration;

use super::windows;

/// The `[detect]` table, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Length of the windows; divides a day.
    pub window: Duration,
    /// From the start of one window to that of the next; divides `window`. Zero: they lie side by side.
    pub hop: Duration,
    /// How far behind a device's newest reading a reading may come and still be on time.
    pub out_of_order: Duration,
    /// How long after its end a closed window still takes readings; they make a revision of it.
    pub allowed_lateness: Duration,
    /// Open windows are looked at this often; zero: only closed ones are.
    pub early_every: Duration,
    /// A device's open windows close when nothing came from it for this long (gateway clock).
    pub idle_timeout: Duration,
    /// Windows of learning before the first verdict, as time.
    pub learn: Duration,
    /// NOVEL, which needs no learning time but its warm-up, tells nothing for so long. No setting: backtests that are told
    /// when verdicts begin set it.
    pub novel_after: Duration,
    /// Wanted false alarms per device and month: the one knob of the thresholds.
    pub false_alarms_per_month: f64,
    /// Devices × channels watched; more are counted and not watched.
    pub channels_max: usize,
    /// Readings kept of a window; of a channel with more its seconds are looked at. Not in the file: what is learned at
    /// one value means nothing at another.
    pub samples_max: usize,
    /// A reading further ahead of the received time than this is refused as `future`: that of `clock::Config`.
    pub future_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(600),
            hop: Duration::ZERO,
            out_of_order: Duration::from_secs(30),
            allowed_lateness: Duration::from_secs(3_600),
            early_every: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(900),
            learn: Duration::from_secs(7 * 86_400),
            novel_after: Duration::ZERO,
            false_alarms_per_month: 1.0,
            channels_max: 4_000,
            samples_max: windows::SAMPLES_MAX,
            future_max: Duration::from_secs(3_600),
        }
    }
}
