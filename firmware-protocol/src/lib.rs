//! Every byte format that crosses a process boundary.
//!
//! # What
//! - The core is `no_std` without alloc: the firmware [`frame`] and its [`crc`], and both directions of a serial line
//!   ([`cobs`], [`accumulator`]). Firmware links only this.
//! - Feature `std` adds what gateway and cloud-sink share, so that both decode with the same code:
//!   the [`measurement`] model, the payload decoders ([`decode`]: frames, JSON, lines, scalars), the topic
//!   patterns ([`topic`]), InfluxDB's [`line`] protocol, the [`derived`] records and the Kafka [`envelope`].
//!
//! # Invariants
//! - No decoder panics or allocates without a bound, whatever the bytes.
//! - Bytes of a published version decode for ever; see `SPEC.md`.
//!
//! # Not here
//! Clocks, files, sockets, and anything of the gateway.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod accumulator;
pub mod cobs;
pub mod crc;
pub mod error;
pub mod frame;
pub mod ids;

#[cfg(feature = "std")]
mod cbor;
#[cfg(feature = "std")]
pub mod content_type;
#[cfg(feature = "std")]
pub mod decode;
#[cfg(feature = "std")]
pub mod derived;
#[cfg(feature = "std")]
mod digits;
#[cfg(feature = "std")]
pub mod envelope;
#[cfg(feature = "std")]
mod json;
#[cfg(feature = "std")]
pub mod line;
#[cfg(feature = "std")]
pub mod measurement;
#[cfg(feature = "std")]
mod scalar;
#[cfg(feature = "std")]
mod senml;
#[cfg(feature = "std")]
pub mod sparkplug;
#[cfg(feature = "std")]
pub mod table;
#[cfg(feature = "std")]
pub mod time;
#[cfg(feature = "std")]
pub mod topic;
#[cfg(feature = "std")]
pub mod units;

pub use error::FrameError;
pub use ids::{BootId, DeviceSeq};
