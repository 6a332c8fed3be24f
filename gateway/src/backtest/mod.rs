//! Detection over archives: files in, the windows, anomalies and scores out that a live gateway would have given.
//!
//! # Invariants
//! - The same `detect::Engine` as live: nothing is judged here, and nothing of a file is known before its time.
//! - Each file is a run of its own: no order of files, and no other file, changes what one gives.
//! - A bad line is counted and told, and costs itself alone.
//! - Memory of a run: the engine's, one line, and what its closed windows are (40 bytes each).
//!
//! # Flow
//! ```text
//! file ─▶ input (csv, lines, export) ─▶ survey: first rows ─▶ learning time
//!                  └──────────────────▶ run: Engine ─▶ Outcome ─▶ scores: CSV; incidents; report
//! ```
//! All but `input`, which reads files, is pure.
//!
//! # Not here
//! Arguments, directories, progress, what is printed: `commands::backtest`.

mod input;
mod outcome;
mod paths;
mod run;
mod scores;
mod survey;

pub use input::{Error, Formats, Kind, Source};
pub use outcome::{BadLines, Finding, Outcome, Score};
pub use paths::{PathFault, Place, output_path};
pub use run::{Learn, Settings, run};
pub use scores::{anomaly_score, write_scores};
