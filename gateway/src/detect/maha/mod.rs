//! One device's channels against each other: which of them no longer goes with the rest.
//!
//! A place is one figure of one channel. Each place is foretold from all others by the covariance of the learning time
//! (the conditional mean of a normal law), and what is left, in standard units, is what a Mahalanobis distance loses
//! when that place is left out. The largest residual, each against its own tail, is the score.
//!
//! # Invariants
//! - Pure; the same rows in the same order give the same bits on every processor.
//! - A place that never moved while learning is not judged, a missing channel is marginalised: its row and column go.
//! - Channels are in the order of their names, in rows, models and memories alike.
//! - What is learned in [`DeviceModel`] changes only by fitting anew; what follows the device is in [`DeviceMemory`].
//!
//! # Flow
//! ```text
//! DeviceRow ─▶ DeviceModel::score(memory.moved) ─▶ DeviceScore ─▶ DeviceMemory::follow ─▶ alarm or not
//! ```
//!
//! # Not here
//! Which rows are trusted for learning beyond [`DeviceMemory::trusts`]; incidents and their words.

mod folds;
mod memory;
mod model;
mod relation;
mod row;
mod tail;

#[cfg(test)]
mod machine;
#[cfg(test)]
mod tests;

pub(super) use memory::{DeviceMemory, Standing};
pub(super) use model::{Contribution, DeviceModel, DeviceScore};
pub(super) use row::{DeviceRow, Figure};

/// Fewer channels have no relation; more would make the matrix dear and are rarely one machine.
pub(super) const CHANNELS_MIN: usize = 2;
pub(super) const CHANNELS_MAX: usize = 16;
