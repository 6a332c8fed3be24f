//! One device's channels against each other: which of them no longer goes with the rest.
//!
//! Each channel's level is foretold from all others by the covariance of the learning time (the conditional mean of a
//! normal law). The square of what is left, in standard units, is what the squared Mahalanobis distance loses when that
//! channel is left out. The largest residual, each against its own tail, is the score.
//!
//! # Invariants
//! - Pure; the same rows in the same order give the same bits on every processor.
//! - A channel that never moved while learning has no place in the model and is not judged; a missing one is
//!   marginalised: its row and column of the matrix go.
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

pub(super) use memory::{DeviceMemory, told_decades};
pub(super) use model::{DeviceModel, DeviceScore};
pub(super) use row::{DeviceRow, LEVEL};

/// Fewer channels have no relation; more would make the matrix dear and are rarely one machine.
pub(super) const CHANNELS_MIN: usize = 2;
pub(super) const CHANNELS_MAX: usize = 16;
