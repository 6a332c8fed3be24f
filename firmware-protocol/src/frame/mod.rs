//! Frame v1: what firmware sends, a device's samples of several channels under one identity and one CRC.
//!
//! # Invariants
//! - No alloc and no panic, whatever the bytes; a [`FrameView`] exists only for bytes that are valid to the last one.
//! - One content has one encoding: what `parse` accepts, `encode` gives back byte for byte.
//!
//! # Flow
//! ```text
//! magic "SG" · version 1 · flags 0 │ body, as postcard encodes it │ CRC-32 of all before it, little endian
//! ```
//! The byte tables, the rules of change and examples are in `SPEC.md`.
//!
//! # Not here
//! What the times mean without a clock: see [`crate::decode`].

mod ack;
mod decode;
mod encode;

use crate::{BootId, DeviceSeq, FrameError};

pub use ack::{ACK_MAGIC, ACK_MAX_BYTES, encode_ack, parse_ack};
pub use decode::{ChannelView, FrameView, Header, SampleIter};
pub use encode::encode;

pub const MAGIC: [u8; 2] = *b"SG";
pub const VERSION: u8 = 1;
/// The media type of a frame.
pub const CONTENT_TYPE: &str = "application/vnd.sensor-frame";
/// Fits a page of flash and, with MQTT around it, stays far below what small brokers and modems take.
pub const FRAME_MAX_BYTES: usize = 4096;
pub const CHANNELS_MAX: usize = 32;
/// Samples of one channel.
pub const SAMPLES_MAX: usize = 1024;
pub const DEVICE_MAX_BYTES: usize = 64;
pub const CHANNEL_NAME_MAX_BYTES: usize = 32;

/// Magic, version and flags.
pub(crate) const PREFIX_BYTES: usize = 4;
pub(crate) const CRC_BYTES: usize = 4;

/// A frame to be encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// 1 to [`DEVICE_MAX_BYTES`], no control characters.
    pub device: &'a str,
    pub boot: BootId,
    pub seq: DeviceSeq,
    pub base: BaseTime,
    /// At most [`CHANNELS_MAX`], of different names.
    pub channels: &'a [Channel<'a>],
}

/// The time that all offsets of a frame count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseTime {
    /// Microseconds since 1970-01-01T00:00:00Z.
    UnixMicros(i64),
    /// The device has no clock: microseconds since its start. The receiver anchors the newest sample at its receipt.
    SinceBootMicros(u64),
}

/// One channel's samples in a frame to be encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel<'a> {
    /// 1 to [`CHANNEL_NAME_MAX_BYTES`], no control characters.
    pub name: &'a str,
    pub samples: Samples<'a>,
}

/// Pairs of offset from the base time in microseconds, and value; at most [`SAMPLES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Samples<'a> {
    F32(&'a [(i64, f32)]),
    F64(&'a [(i64, f64)]),
    I32(&'a [(i64, i32)]),
    Bool(&'a [(i64, bool)]),
}

/// What kind of value all samples of a channel are; the number is the tag on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    F32 = 0,
    F64 = 1,
    I32 = 2,
    Bool = 3,
}

/// A decoded sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    F32(f32),
    F64(f64),
    I32(i32),
    Bool(bool),
}

impl Value {
    /// Exact for every kind; `true` is 1.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::F32(v) => f64::from(v),
            Self::F64(v) => v,
            Self::I32(v) => f64::from(v),
            Self::Bool(v) => f64::from(u8::from(v)),
        }
    }
}

/// Whether the bytes claim to be a frame. No text of JSON or of a number starts like that.
pub fn is_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Names go into tags, keys and file names downstream: no control characters, none empty.
fn check_name(name: &str, max_bytes: usize) -> Result<(), FrameError> {
    if name.len() > max_bytes {
        return Err(FrameError::TooLarge);
    }
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(FrameError::Malformed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
