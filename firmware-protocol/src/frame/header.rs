//! The front of all bodies: whom a frame is from, and which one it is.

use super::read::Reader;
use super::whole::{Whole, check_prefix};
use super::{DEVICE_MAX_BYTES, Flags};
use crate::{BootId, DeviceSeq, FrameError};

/// The time that all offsets of a frame count from; of a hello, when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseTime {
    /// Microseconds since 1970-01-01T00:00:00Z.
    UnixMicros(i64),
    /// The device has no clock: microseconds since its start. The receiver anchors the newest sample at its receipt.
    SinceBootMicros(u64),
}

impl BaseTime {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, FrameError> {
        match r.varint_u32()? {
            0 => Ok(Self::UnixMicros(r.zigzag()?)),
            1 => Ok(Self::SinceBootMicros(r.varint()?)),
            _ => Err(FrameError::Malformed),
        }
    }
}

/// What the body of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Samples of channels that are named in it.
    Named,
    /// Samples of channels that a hello has named.
    Numbered,
    Hello,
}

impl Body {
    /// Looks at the first bytes of a frame alone.
    ///
    /// # Errors
    /// They are not those of a frame of this version.
    pub fn of(bytes: &[u8]) -> Result<Self, FrameError> {
        check_prefix(bytes).map(|(flags, _)| flags.body())
    }
}

/// Whom a frame is from and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub device: &'a str,
    pub boot: BootId,
    pub seq: DeviceSeq,
}

impl<'a> Header<'a> {
    /// Reads the front of a frame alone, *without* checking its CRC: for routing, not for believing.
    ///
    /// # Errors
    /// The front is not that of a frame of this version.
    pub fn peek(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (_, behind) = check_prefix(bytes)?;
        Self::read(&mut Reader::new(behind))
    }

    /// Reads the front of a frame whose CRC is right; gives the CRC, too, which tells frames of one identity apart.
    /// What comes after the front may still be malformed. A signature is not looked at: see [`super::Signature`].
    ///
    /// # Errors
    /// As [`super::parse`], as far as it looks.
    pub fn verify(bytes: &'a [u8]) -> Result<(Self, u32), FrameError> {
        let Whole { body, crc, .. } = Whole::of(bytes)?;
        Ok((Self::read(&mut Reader::new(body))?, crc))
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, FrameError> {
        let device = r.name(DEVICE_MAX_BYTES)?;
        let boot = BootId(r.varint_u32()?);
        let seq = DeviceSeq(r.varint_u32()?);
        Ok(Self { device, boot, seq })
    }
}

impl Flags {
    pub(super) fn body(self) -> Body {
        match (self.has(Self::HELLO), self.has(Self::TABLE)) {
            (true, _) => Body::Hello,
            (false, true) => Body::Numbered,
            (false, false) => Body::Named,
        }
    }
}
