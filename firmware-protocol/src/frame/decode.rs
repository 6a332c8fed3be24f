//! Bytes → [`FrameView`]: everything is checked once, then read in place without failing.

use core::str;

use super::{
    BaseTime, CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, CRC_BYTES, DEVICE_MAX_BYTES, FRAME_MAX_BYTES, Kind, MAGIC,
    PREFIX_BYTES, SAMPLES_MAX, VERSION, Value, check_name, is_frame,
};
use crate::crc::crc32;
use crate::{BootId, DeviceSeq, FrameError};

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
        let body = check_prefix(bytes)?;
        Self::read(&mut Reader { rest: body })
    }

    /// Reads the front of a frame whose CRC is right; gives the CRC, too, which tells frames of one identity apart.
    /// What comes after the front may still be malformed.
    ///
    /// # Errors
    /// As [`FrameView::parse`], as far as it looks.
    pub fn verify(bytes: &'a [u8]) -> Result<(Self, u32), FrameError> {
        let (body, crc) = check_whole(bytes)?;
        Ok((Self::read(&mut Reader { rest: body })?, crc))
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, FrameError> {
        let device = r.name(DEVICE_MAX_BYTES)?;
        let boot = BootId(r.varint_u32()?);
        let seq = DeviceSeq(r.varint_u32()?);
        Ok(Self { device, boot, seq })
    }
}

/// A valid frame, read in place.
#[derive(Clone, Debug)]
pub struct FrameView<'a> {
    pub header: Header<'a>,
    pub base: BaseTime,
    /// The channels' bytes, and where each begins in them; the entry after the last is the end.
    channels: &'a [u8],
    begins: [u16; CHANNELS_MAX + 1],
    count: usize,
}

impl<'a> FrameView<'a> {
    /// # Errors
    /// Anything but one whole valid frame. Magic, version and size are looked at first, then the CRC, then the rest.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (body, _) = check_whole(bytes)?;
        let mut r = Reader { rest: body };
        let header = Header::read(&mut r)?;
        let base = match r.varint_u32()? {
            0 => BaseTime::UnixMicros(r.zigzag()?),
            1 => BaseTime::SinceBootMicros(r.varint()?),
            _ => return Err(FrameError::Malformed),
        };
        let count = r.count(CHANNELS_MAX)?;
        let mut view = Self { header, base, channels: r.rest, begins: [0; CHANNELS_MAX + 1], count };
        view.check_channels()?;
        Ok(view)
    }

    pub fn channel_count(&self) -> usize {
        self.count
    }

    pub fn channels(&self) -> impl Iterator<Item = ChannelView<'a>> {
        (0..self.count).filter_map(|i| ChannelView::read(&mut Reader { rest: self.channel_bytes(i) }).ok())
    }

    /// The largest offset of all samples, microseconds; `None` if there are none.
    pub fn newest_offset_micros(&self) -> Option<i64> {
        self.channels().flat_map(|c| c.samples()).map(|(offset, _)| offset).max()
    }

    /// Notes where each channel begins, and proves that all of them can be read.
    fn check_channels(&mut self) -> Result<(), FrameError> {
        let mut r = Reader { rest: self.channels };
        for i in 0..self.count {
            let channel = ChannelView::read(&mut r)?;
            r.rest = channel.samples.check()?;
            if (0..i)
                .any(|earlier| Reader { rest: self.channel_bytes(earlier) }.name_bytes() == Ok(channel.name.as_bytes()))
            {
                return Err(FrameError::Malformed);
            }
            if let Some(end) = self.begins.get_mut(i + 1) {
                *end = (self.channels.len() - r.rest.len()) as u16;
            }
        }
        if r.rest.is_empty() { Ok(()) } else { Err(FrameError::TrailingBytes) }
    }

    fn channel_bytes(&self, i: usize) -> &'a [u8] {
        let begin = self.begins.get(i).copied().unwrap_or_default();
        let end = self.begins.get(i + 1).copied().unwrap_or_default();
        self.channels.get(usize::from(begin)..usize::from(end)).unwrap_or_default()
    }
}

/// One channel of a valid frame.
#[derive(Clone, Debug)]
pub struct ChannelView<'a> {
    pub name: &'a str,
    pub kind: Kind,
    samples: SampleIter<'a>,
}

impl<'a> ChannelView<'a> {
    pub fn sample_count(&self) -> usize {
        self.samples.left
    }

    pub fn samples(&self) -> SampleIter<'a> {
        self.samples.clone()
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, FrameError> {
        let name = r.name(CHANNEL_NAME_MAX_BYTES)?;
        let kind = match r.varint_u32()? {
            0 => Kind::F32,
            1 => Kind::F64,
            2 => Kind::I32,
            3 => Kind::Bool,
            _ => return Err(FrameError::Malformed),
        };
        let left = r.count(SAMPLES_MAX)?;
        Ok(Self { name, kind, samples: SampleIter { kind, left, offset: 0, r: r.clone() } })
    }
}

/// The samples of one channel: offset from the base time in microseconds, and value.
#[derive(Clone, Debug)]
pub struct SampleIter<'a> {
    kind: Kind,
    left: usize,
    offset: i64,
    r: Reader<'a>,
}

impl<'a> SampleIter<'a> {
    /// Reads all; gives the bytes after the last.
    fn check(mut self) -> Result<&'a [u8], FrameError> {
        while self.left > 0 {
            self.read()?;
        }
        Ok(self.r.rest)
    }

    #[inline]
    fn read(&mut self) -> Result<(i64, Value), FrameError> {
        self.offset = self.offset.checked_add(self.r.zigzag()?).ok_or(FrameError::Malformed)?;
        let value = match self.kind {
            Kind::F32 => Value::F32(f32::from_le_bytes(self.r.array()?)),
            Kind::F64 => Value::F64(f64::from_le_bytes(self.r.array()?)),
            Kind::I32 => Value::I32(self.r.zigzag()?.try_into().map_err(|_| FrameError::Malformed)?),
            Kind::Bool => match self.r.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [_] => return Err(FrameError::Malformed),
            },
        };
        self.left -= 1;
        Ok((self.offset, value))
    }
}

impl Iterator for SampleIter<'_> {
    type Item = (i64, Value);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 { None } else { self.read().ok() }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for SampleIter<'_> {}

fn check_prefix(bytes: &[u8]) -> Result<&[u8], FrameError> {
    if !is_frame(bytes) {
        return Err(if MAGIC.starts_with(bytes) { FrameError::Truncated } else { FrameError::NotAFrame });
    }
    let (prefix, body) = bytes.split_first_chunk::<PREFIX_BYTES>().ok_or(FrameError::Truncated)?;
    let [_, _, version, _] = *prefix;
    if version == VERSION { Ok(body) } else { Err(FrameError::UnknownVersion) }
}

/// Everything but the body, which is returned with the CRC.
fn check_whole(bytes: &[u8]) -> Result<(&[u8], u32), FrameError> {
    check_prefix(bytes)?;
    if bytes.len() > FRAME_MAX_BYTES {
        return Err(FrameError::TooLarge);
    }
    let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(FrameError::Truncated)?;
    let crc = u32::from_le_bytes(*crc);
    if crc32(covered) != crc {
        return Err(FrameError::WrongCrc);
    }
    let (prefix, body) = covered.split_first_chunk::<PREFIX_BYTES>().ok_or(FrameError::Truncated)?;
    let [.., flags] = *prefix;
    if flags == 0 { Ok((body, crc)) } else { Err(FrameError::Malformed) }
}

/// Takes postcard's primitives off the front of a slice.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (front, rest) = self.rest.split_first_chunk::<N>().ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(*front)
    }

    /// At most 10 bytes, and no more than the value needs: one value has one encoding.
    #[inline]
    fn varint(&mut self) -> Result<u64, FrameError> {
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

    fn varint_u32(&mut self) -> Result<u32, FrameError> {
        self.varint()?.try_into().map_err(|_| FrameError::Malformed)
    }

    #[inline]
    fn zigzag(&mut self) -> Result<i64, FrameError> {
        let v = self.varint()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    fn count(&mut self, max: usize) -> Result<usize, FrameError> {
        let count = self.varint()?;
        if count > max as u64 { Err(FrameError::TooLarge) } else { Ok(count as usize) }
    }

    fn name(&mut self, max_bytes: usize) -> Result<&'a str, FrameError> {
        let name = str::from_utf8(self.name_bytes()?).map_err(|_| FrameError::Malformed)?;
        check_name(name, max_bytes)?;
        Ok(name)
    }

    fn name_bytes(&mut self) -> Result<&'a [u8], FrameError> {
        let length = self.count(FRAME_MAX_BYTES)?;
        let (name, rest) = self.rest.split_at_checked(length).ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(name)
    }
}
