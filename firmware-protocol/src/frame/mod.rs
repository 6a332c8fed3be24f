//! Frame v1: what firmware sends, a device's samples of several channels under one identity and one CRC.
//!
//! # What
//! - [`Frame`]: samples of channels that it names itself.
//! - [`NumberedFrame`]: samples of channels by number; a [`Hello`] with their names, units, ranges and rates goes before.
//! - [`Builder`]: both of them channel by channel, from arrays or iterators.
//! - Each of them signed with a [`Key`], if the device has one.
//! - The gateway's words to a device on a line: [`encode_ack`], [`encode_hello_request`].
//!
//! # Invariants
//! - No alloc and no panic, whatever the bytes; a view exists only for bytes that are valid to the last one.
//! - One content has one encoding: what `parse` accepts, `encode` gives back byte for byte.
//!
//! # Flow
//! ```text
//! magic "SG" · version 1 · flags │ body, as postcard encodes it │ signed: key id · MAC │ CRC-32 of all before it
//! ```
//! The byte tables, the rules of change and examples are in `SPEC.md`.
//!
//! # Not here
//! What the times mean without a clock, and the names of numbered channels: see [`crate::decode`]. Which device has
//! which key, and which frames are repeats: that is the gateway's.

mod ack;
mod builder;
mod encode;
mod header;
mod hello;
mod name;
mod read;
mod request;
mod samples;
mod signature;
mod table;
mod view;
mod whole;
mod write;

use crate::{BootId, DeviceSeq, FrameError};

pub use ack::{ACK_MAGIC, ACK_MAX_BYTES, encode_ack, parse_ack};
pub use builder::Builder;
pub use encode::{Encode, encode};
pub use header::{BaseTime, Body, Header};
pub use hello::{Hello, HelloView};
pub use request::{HELLO_REQUEST_MAGIC, HELLO_REQUEST_MAX_BYTES, encode_hello_request, parse_hello_request};
pub use samples::{Every, Kind, RegularSample, Sample, Samples, Timing, Value};
#[cfg(feature = "mac")]
pub use signature::encode_signed;
pub use signature::{Key, Signature};
pub use table::{ChannelInfo, ChannelTable, TableId};
pub use view::{ChannelView, FrameView, Label, SampleIter};

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
pub const UNIT_MAX_BYTES: usize = 16;
/// One sample that is text: a state's name, a firmware's version, a card's number.
pub const TEXT_MAX_BYTES: usize = 128;
/// Shorter keys can be guessed.
pub const KEY_MIN_BYTES: usize = 16;
/// Longer ones would be hashed first, and be no better.
pub const KEY_MAX_BYTES: usize = 64;

/// Magic, version and flags.
pub(crate) const PREFIX_BYTES: usize = 4;
pub(crate) const CRC_BYTES: usize = 4;
/// 64 bits of HMAC-SHA-256 (RFC 9053, section 3.1): a forger has one chance in 1.8e19 a try.
const MAC_BYTES: usize = 8;
/// The key's id and the MAC.
const SIGNATURE_BYTES: usize = 1 + MAC_BYTES;

/// Samples of channels that are named in the frame, to be encoded.
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

/// One channel's samples in a [`Frame`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel<'a> {
    /// 1 to [`CHANNEL_NAME_MAX_BYTES`], no control characters.
    pub name: &'a str,
    pub samples: Samples<'a>,
}

/// Samples of channels that a [`Hello`] has named, to be encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberedFrame<'a> {
    /// 1 to [`DEVICE_MAX_BYTES`], no control characters.
    pub device: &'a str,
    pub boot: BootId,
    pub seq: DeviceSeq,
    pub base: BaseTime,
    /// [`ChannelTable::id`] of the table that the numbers are from.
    pub table: TableId,
    /// Numbers in ascending order.
    pub channels: &'a [Numbered<'a>],
}

/// One channel's samples in a [`NumberedFrame`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbered<'a> {
    /// The channel's index in its table; below [`CHANNELS_MAX`].
    pub number: u8,
    pub samples: Samples<'a>,
}

/// A valid frame, read in place.
#[derive(Clone, Debug)]
pub enum Parsed<'a> {
    Samples(FrameView<'a>),
    Hello(HelloView<'a>),
}

impl<'a> Parsed<'a> {
    pub fn header(&self) -> Header<'a> {
        match self {
            Self::Samples(view) => view.header,
            Self::Hello(view) => view.header,
        }
    }
}

/// # Errors
/// Anything but one whole valid frame. Magic, version, flags and size are looked at first, then the CRC, then the rest.
/// A signature is not looked at: see [`Signature`].
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, FrameError> {
    match Body::of(bytes)? {
        Body::Named | Body::Numbered => FrameView::parse(bytes).map(Parsed::Samples),
        Body::Hello => HelloView::parse(bytes).map(Parsed::Hello),
    }
}

/// Whether the bytes claim to be a frame. No text of JSON or of a number starts like that.
pub fn is_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The fourth byte of a frame, if this version knows all its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flags(u8);

impl Flags {
    const TABLE: u8 = 1;
    const HELLO: u8 = 2;
    const SIGNED: u8 = 4;

    fn known(bits: u8) -> Result<Self, FrameError> {
        let is_known = bits & !(Self::TABLE | Self::HELLO | Self::SIGNED) == 0;
        let has_one_body = bits & (Self::TABLE | Self::HELLO) != Self::TABLE | Self::HELLO;
        if is_known && has_one_body { Ok(Self(bits)) } else { Err(FrameError::UnknownFlags) }
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

#[cfg(test)]
mod tests;
