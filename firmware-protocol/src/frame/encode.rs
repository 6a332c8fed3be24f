//! [`Frame`] → bytes, into a buffer that the caller owns.

use super::{
    BaseTime, CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, CRC_BYTES, DEVICE_MAX_BYTES, FRAME_MAX_BYTES, Frame, Kind, MAGIC,
    SAMPLES_MAX, Samples, VERSION, check_name,
};
use crate::FrameError;
use crate::crc::crc32;

/// Writes the frame to the front of `out` and returns its length; [`FRAME_MAX_BYTES`] are always enough.
///
/// # Errors
/// `BufferTooSmall`; `TooLarge` beyond a limit of the format; `Malformed` for an empty or repeated name, a name with
/// control characters, or offsets that lie further apart than an `i64` counts.
pub fn encode(frame: &Frame<'_>, out: &mut [u8]) -> Result<usize, FrameError> {
    if frame.channels.len() > CHANNELS_MAX {
        return Err(FrameError::TooLarge);
    }
    let mut w = Writer::new(out);
    w.bytes(&MAGIC)?;
    w.bytes(&[VERSION, 0])?;
    w.name(frame.device, DEVICE_MAX_BYTES)?;
    w.varint(frame.boot.0.into())?;
    w.varint(frame.seq.0.into())?;
    match frame.base {
        BaseTime::UnixMicros(at) => {
            w.varint(0)?;
            w.zigzag(at)?;
        }
        BaseTime::SinceBootMicros(at) => {
            w.varint(1)?;
            w.varint(at)?;
        }
    }
    w.varint(frame.channels.len() as u64)?;
    for (i, channel) in frame.channels.iter().enumerate() {
        if frame.channels.iter().take(i).any(|earlier| earlier.name == channel.name) {
            return Err(FrameError::Malformed);
        }
        w.name(channel.name, CHANNEL_NAME_MAX_BYTES)?;
        match channel.samples {
            Samples::F32(s) => w.samples(Kind::F32, s, |w, v| w.bytes(&v.to_le_bytes()))?,
            Samples::F64(s) => w.samples(Kind::F64, s, |w, v| w.bytes(&v.to_le_bytes()))?,
            Samples::I32(s) => w.samples(Kind::I32, s, |w, v| w.zigzag(v.into()))?,
            Samples::Bool(s) => w.samples(Kind::Bool, s, |w, v| w.bytes(&[v.into()]))?,
        }
    }
    w.finish()
}

pub(super) struct Writer<'a> {
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

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end).ok_or(self.full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    pub(super) fn varint(&mut self, mut value: u64) -> Result<(), FrameError> {
        while value >= 0x80 {
            self.bytes(&[value as u8 | 0x80])?;
            value >>= 7;
        }
        self.bytes(&[value as u8])
    }

    fn zigzag(&mut self, value: i64) -> Result<(), FrameError> {
        self.varint((value << 1) as u64 ^ (value >> 63) as u64)
    }

    pub(super) fn name(&mut self, name: &str, max_bytes: usize) -> Result<(), FrameError> {
        check_name(name, max_bytes)?;
        self.varint(name.len() as u64)?;
        self.bytes(name.as_bytes())
    }

    fn samples<T: Copy>(
        &mut self,
        kind: Kind,
        samples: &[(i64, T)],
        value: impl Fn(&mut Self, T) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        if samples.len() > SAMPLES_MAX {
            return Err(FrameError::TooLarge);
        }
        self.varint(kind as u64)?;
        self.varint(samples.len() as u64)?;
        let mut before = 0_i64;
        for (offset, v) in samples {
            self.zigzag(offset.checked_sub(before).ok_or(FrameError::Malformed)?)?;
            value(self, *v)?;
            before = *offset;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<usize, FrameError> {
        let crc = crc32(self.out.get(..self.len).unwrap_or_default());
        self.bytes(&crc.to_le_bytes())?;
        debug_assert!(self.len > CRC_BYTES);
        Ok(self.len)
    }
}
