//! Puts postcard's primitives into the caller's buffer.

use super::name::{check_name, check_text};
use super::{BaseTime, CRC_BYTES, DEVICE_MAX_BYTES, FRAME_MAX_BYTES, Header};
use crate::FrameError;
use crate::crc::crc32;

/// Nameable outside only as far as a sealed trait speaks of it.
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    /// What running out of `out` means.
    full: FrameError,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        let room = out.len();
        let full = if room < FRAME_MAX_BYTES { FrameError::BufferTooSmall } else { FrameError::TooLarge };
        let out = out.get_mut(..room.min(FRAME_MAX_BYTES)).unwrap_or_default();
        Self { out, len: 0, full }
    }

    /// What has been written.
    pub(super) fn written(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or_default()
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let room = self.out.get_mut(self.len..).unwrap_or_default();
        room.get_mut(..bytes.len()).ok_or(self.full)?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Changes a byte that has been written.
    pub(super) fn set(&mut self, at: usize, byte: u8) {
        if let Some(written) = self.out.get_mut(..self.len).and_then(|written| written.get_mut(at)) {
            *written = byte;
        }
    }

    pub(super) fn varint(&mut self, mut value: u64) -> Result<(), FrameError> {
        while value >= 0x80 {
            self.bytes(&[value as u8 | 0x80])?;
            value >>= 7;
        }
        self.bytes(&[value as u8])
    }

    pub(super) fn zigzag(&mut self, value: i64) -> Result<(), FrameError> {
        self.varint((value << 1) as u64 ^ (value >> 63) as u64)
    }

    pub(super) fn name(&mut self, name: &str, max_bytes: usize) -> Result<(), FrameError> {
        check_name(name, max_bytes)?;
        self.text(name, max_bytes)
    }

    pub(super) fn text(&mut self, text: &str, max_bytes: usize) -> Result<(), FrameError> {
        check_text(text, max_bytes)?;
        self.varint(text.len() as u64)?;
        self.bytes(text.as_bytes())
    }

    pub(super) fn header(&mut self, header: &Header<'_>) -> Result<(), FrameError> {
        self.name(header.device, DEVICE_MAX_BYTES)?;
        self.varint(header.boot.0.into())?;
        self.varint(header.seq.0.into())
    }

    pub(super) fn base(&mut self, base: BaseTime) -> Result<(), FrameError> {
        match base {
            BaseTime::UnixMicros(at) => {
                self.varint(0)?;
                self.zigzag(at)
            }
            BaseTime::SinceBootMicros(at) => {
                self.varint(1)?;
                self.varint(at)
            }
        }
    }

    /// Closes the packet with its CRC; gives its length.
    pub(super) fn finish(mut self) -> Result<usize, FrameError> {
        let crc = crc32(self.written());
        self.bytes(&crc.to_le_bytes())?;
        debug_assert!(self.len > CRC_BYTES);
        Ok(self.len)
    }
}
