//! Detection over archives: files in, the windows, anomalies and scores out that a live gateway would have given.
//!
//! # Invariants
//! - The same `detect::Engine` as live, or its detector NOVEL for single samples: nothing of a file is known before its
//!   time.
//! - Each file is a run of its own: no order of files, and no other file, changes what one gives.
//! - A bad line is counted and told, and costs itself alone.
//! - Memory of a run: the engine's, one line, and what its closed windows are (some 300 bytes each).
//!
//! # Flow
//! ```text
//! file ─▶ input (csv, lines, export) ─▶ survey: first rows ─▶ learning time
//!                  └──────────────────▶ run: Engine ─▶ Outcome ─▶ scores: CSV; incidents
//!                                                              └▶ figures (labels) ─▶ report: HTML
//! ```
//! All but `input`, which reads files, is pure.
//!
//! # Not here
//! Arguments, directories, progress, what is printed: `commands::backtest`.

mod figures;
mod input;
mod labels;
mod outcome;
mod paths;
mod report;
mod run;
mod samples;
mod scores;
mod survey;
mod trace;

pub use figures::{Figures, figures};
pub use input::{Error, Formats, Kind, Source};
pub use labels::{Labels, Span};
pub use outcome::{BadLines, Finding, Outcome, Score};
pub use paths::{PathFault, Place, output_path};
pub use report::{Judged, Report};
pub use run::{By, Learn, Settings, Spans, run};
pub use scores::{anomaly_score, write_scores};
