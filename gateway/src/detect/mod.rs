//! Local anomaly detection: readings → event-time windows → features → scores → windows and anomalies.
//!
//! # Invariants
//! - Pure but for `task`: no tokio, no network, no clock. The same records give the same windows, live or in batch.
//! - State, detect's cursor and the derived records commit in one transaction; rows of the past are durable before it.
//! - Memory is bounded by `channels_max`: rows of the past live in the store, not here.
//!
//! # Flow
//! ```text
//! Measurement ─▶ window (operator) ─▶ features ─▶ detector ─▶ Window, Anomaly ─▶ engine's pending transaction ─▶ task
//!                  ▲ watermark                     ▲ model (baseline, mixture) + tail
//! ```
//!
//! # Not here
//! Where results go: they are appended to the derived log.

use std::time::Duration;

mod engine;
mod judge;
mod task;

mod watermark;
mod windows;

mod features;

mod baseline;
mod calendar;
mod detector;
mod explain;
mod groups;
mod history;
mod linalg;
mod maha;
mod mixture;
mod model;
mod novel;
mod order;
mod tail;
mod vibration;

mod finding;
mod incident;
mod rules;

mod appended;
mod past;
mod rows;
mod state;
mod stored;
pub(crate) mod synthetic;
mod window_id;

pub use engine::{Changes, Counts, Due, Engine, StateSource};
pub(crate) use novel::{Novel, Spacing, Threshold as NovelThreshold, View as NovelView};
pub use past::{ChunkName, ChunkRange, InMemory, Past, PastChanges};
pub use stored::{
    Kind as ChannelKind, ModelView, Rate, StateChanges, Stored, StoredChanges, StoredChannel, StoredFault, StoredHead,
    StoredRelation, check, check_relation, import, import_relation,
};
pub use task::{Error, Task, run};
pub(crate) use task::{chunk_key, derived_record};
pub use window_id::WindowId;
pub(crate) use windows::REVISE_AFTER;

/// Name of the store beside the queue's generations where rows of the past lie.
pub const PAST: &str = "detect-rows";

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
