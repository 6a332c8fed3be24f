//! How good detection is on made-up devices with known faults, at the thresholds that ship.
//!
//! # Invariants
//! - The same `detect::Engine` as live judges, fed with measurements; nothing is scored here.
//! - Counterfactual: a device has one clean stream, and every fault is a copy of it with that one fault, judged by a copy
//!   of the engine from the fault's first window on. Alarms in the clean stream are false.
//! - A trial depends on kind, number, seed and settings alone: with more jobs the table is the same.
//!
//! # Flow
//! ```text
//! Settings ─▶ trials (one per device) ─▶ device: Stream ─▶ Engine ─▶ alarms ─▶ tally ─▶ table
//! ```
//!
//! # Not here
//! Signals and faults: `detect::synthetic`. Arguments and progress: `commands::bench_detect`.

mod device;
#[cfg(test)]
mod quiet;
mod tally;
mod trial;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::detect::synthetic::Kind;

pub use tally::Tally;
use trial::Trial;

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub seed: u64,
    /// Of each kind.
    pub devices: usize,
    /// Of the kind with 100 readings a second, which takes a hundred times as long.
    pub fast_devices: usize,
    /// Length of a clean stream, the learning week included.
    pub days: usize,
    /// Of faults; 1 is plain to see.
    pub severities: Vec<f64>,
    /// False alarms wanted per device and month: the clean stream is judged at each, faults at the first.
    pub knobs: Vec<f64>,
}

/// Runs all trials on `jobs` threads; `progress` hears how many of how many are done.
pub fn run(settings: &Settings, jobs: usize, progress: impl Fn(usize, usize) + Sync) -> Tally {
    let kinds = Kind::CLASSIC.into_iter().chain(Kind::MORE);
    let of_kind = |kind: Kind| if kind == Kind::FastVibration { settings.fast_devices } else { settings.devices };
    let trials: Vec<(Kind, usize)> = kinds.flat_map(|k| (0..of_kind(k)).map(move |number| (k, number))).collect();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Trial)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some((kind, number)) = trials.get(i) else { break };
                    let trial = Trial::run(settings, *kind, *number);
                    let mut done = done.lock().expect("no job panics while it holds the results");
                    done.push((i, trial));
                    progress(done.len(), trials.len());
                }
            });
        }
    });
    let mut done = done.into_inner().expect("all jobs have ended");
    done.sort_by_key(|(i, _)| *i);
    Tally::of(settings, done.into_iter().map(|(_, trial)| trial))
}
