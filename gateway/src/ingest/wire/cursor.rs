//! Reads lengths and numbers out of a packet's body without ever reading past its end.

use std::ops::Range;

use super::Error;

/// A place in a packet's body.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// For the error.
    packet: &'static str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], packet: &'static str) -> Self {
        Self { bytes, at: 0, packet }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        let range = self.take(1)?;
        Ok(self.bytes[range.start])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        let range = self.take(2)?;
        Ok(u16::from_be_bytes([self.bytes[range.start], self.bytes[range.start + 1]]))
    }

    /// A variable byte integer: at most four bytes.
    pub(super) fn variable(&mut self) -> Result<usize, Error> {
        let mut value = 0;
        for i in 0..4 {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Malformed(self.packet))
    }

    /// Bytes behind a 16-bit length: where they lie.
    pub(super) fn bytes_16(&mut self) -> Result<Range<usize>, Error> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Steps over `count` bytes: where they lie.
    pub(super) fn take(&mut self, count: usize) -> Result<Range<usize>, Error> {
        let start = self.at;
        let end = start.checked_add(count).filter(|end| *end <= self.bytes.len());
        self.at = end.ok_or(Error::Malformed(self.packet))?;
        Ok(start..self.at)
    }
}
