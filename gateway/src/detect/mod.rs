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

mod config;
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

pub use config::Config;
pub use engine::{Changes, Counts, Due, Engine, StateSource};
pub(crate) use novel::{Novel, Spacing, Threshold as NovelThreshold, View as NovelView};
pub use past::{ChunkName, ChunkRange, InMemory, Past, PastChanges};
pub use stored::{
    Kind as ChannelKind, ModelView, Rate, StateChanges, Stored, StoredChanges, StoredChannel, StoredFault, StoredHead,
    StoredRelation, check, check_relation, import, import_relation,
};
pub(crate) use task::derived_record;
pub use task::{Error, Task, chunk_key, run};
pub use window_id::WindowId;
pub(crate) use windows::REVISE_AFTER;

/// Name of the store beside the queue's generations where rows of the past lie.
pub const PAST: &str = "detect-rows";
