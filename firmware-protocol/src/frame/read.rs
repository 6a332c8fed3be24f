//! Takes postcard's primitives off the front of a slice.

use core::str;

use super::FRAME_MAX_BYTES;
use super::name::check_text;
use crate::FrameError;

#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (front, rest) = self.rest.split_first_chunk::<N>().ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(*front)
    }

    #[inline]
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (front, rest) = self.rest.split_at_checked(length).ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(front)
    }

    /// At most 10 bytes, and no more than the value needs: one value has one encoding.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, FrameError> {
        let [first] = self.array()?;
        if first < 0x80 {
            return Ok(first.into());
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let fits = byte != 0 && (shift < 63 || byte == 1);
                return if fits { Ok(value) } else { Err(FrameError::Malformed) };
            }
        }
        Err(FrameError::Malformed)
    }

    pub(super) fn varint_u32(&mut self) -> Result<u32, FrameError> {
        self.varint()?.try_into().map_err(|_| FrameError::Malformed)
    }

    #[inline]
    pub(super) fn zigzag(&mut self) -> Result<i64, FrameError> {
        let v = self.varint()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    #[inline]
    pub(super) fn i32(&mut self) -> Result<i32, FrameError> {
        self.zigzag()?.try_into().map_err(|_| FrameError::Malformed)
    }

    #[inline]
    pub(super) fn bool(&mut self) -> Result<bool, FrameError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(FrameError::Malformed),
        }
    }

    pub(super) fn count(&mut self, max: usize) -> Result<usize, FrameError> {
        let count = self.varint()?;
        if count > max as u64 { Err(FrameError::TooLarge) } else { Ok(count as usize) }
    }

    pub(super) fn name(&mut self, max_bytes: usize) -> Result<&'a str, FrameError> {
        let name = self.text(max_bytes)?;
        if name.is_empty() { Err(FrameError::Malformed) } else { Ok(name) }
    }

    pub(super) fn text(&mut self, max_bytes: usize) -> Result<&'a str, FrameError> {
        let text = str::from_utf8(self.text_bytes()?).map_err(|_| FrameError::Malformed)?;
        check_text(text, max_bytes)?;
        Ok(text)
    }

    pub(super) fn text_bytes(&mut self) -> Result<&'a [u8], FrameError> {
        let length = self.count(FRAME_MAX_BYTES)?;
        self.bytes(length)
    }
}
