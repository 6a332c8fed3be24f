//! Made-up devices and faults with a known truth, for tests and for measuring how good detection is.
//!
//! # Invariants
//! - Pure: the same kind, seed and plan give the same readings, on every processor.
//! - A stream is made window by window, so that a device of 100 readings a second for weeks needs no memory; a clone of it
//!   goes on from there, so that every fault is spliced into a copy of one clean stream.
//!
//! # Flow
//! ```text
//! Kind, seed ─▶ Source (clean values) ─▶ Stream (regime change, then faults) ─▶ readings of the next ten minutes
//! ```
//!
//! # Not here
//! Messages and what a network does to them; what detection says.

mod chance;
mod fault;
mod kind;
mod machines;
mod nature;
mod regime;
mod source;
mod stream;

#[cfg(test)]
mod tests;

pub(crate) use chance::Chance;
pub(crate) use fault::Fault;
pub(crate) use kind::Kind;
pub(crate) use regime::Regime;
pub(crate) use stream::{Stream, Tick};

/// Readings of one moment that a device has at most.
pub(crate) const CHANNELS_MAX: usize = 4;
pub(crate) const WINDOW_S: usize = 600;
pub(crate) const DAY_S: usize = 86_400;
pub(crate) const WINDOWS_PER_DAY: usize = DAY_S / WINDOW_S;
