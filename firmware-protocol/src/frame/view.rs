//! Bytes → [`FrameView`]: everything is checked once, then read in place without failing.

use super::encode::{EVERY_TAG, check_number, last_offset};
use super::read::Reader;
use super::whole::Whole;
use super::{
    BaseTime, Body, CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, Header, Kind, SAMPLES_MAX, TEXT_MAX_BYTES, TableId, Timing,
    Value,
};
use crate::FrameError;

/// A valid frame of samples, read in place.
#[derive(Clone, Debug)]
pub struct FrameView<'a> {
    pub header: Header<'a>,
    pub base: BaseTime,
    /// The table that the channels' numbers are from; `None` if they have names.
    pub table: Option<TableId>,
    /// The channels' bytes, and where each begins in them; the entry after the last is the end.
    channels: &'a [u8],
    begins: [u16; CHANNELS_MAX + 1],
    count: usize,
}

impl<'a> FrameView<'a> {
    /// # Errors
    /// As [`super::parse`]; `OtherBody` for a hello.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let whole = Whole::of(bytes)?;
        let mut r = Reader::new(whole.body);
        let header = Header::read(&mut r)?;
        let base = BaseTime::read(&mut r)?;
        let table = match whole.flags.body() {
            Body::Named => None,
            Body::Numbered => Some(TableId(r.varint_u32()?)),
            Body::Hello => return Err(FrameError::OtherBody),
        };
        let count = r.count(CHANNELS_MAX)?;
        let mut view = Self { header, base, table, channels: r.rest, begins: [0; CHANNELS_MAX + 1], count };
        view.check_channels()?;
        Ok(view)
    }

    pub fn channel_count(&self) -> usize {
        self.count
    }

    pub fn channels(&self) -> impl Iterator<Item = ChannelView<'a>> {
        (0..self.count).filter_map(|i| self.read_channel(&mut Reader::new(self.channel_bytes(i))).ok())
    }

    /// The largest offset of all samples, microseconds; `None` if there are none.
    pub fn newest_offset_micros(&self) -> Option<i64> {
        self.channels().filter_map(|channel| channel.newest_offset_micros()).max()
    }

    /// Notes where each channel begins, and proves that all of them can be read.
    fn check_channels(&mut self) -> Result<(), FrameError> {
        let mut r = Reader::new(self.channels);
        let mut before = None;
        let mut seen = 0;
        for i in 0..self.count {
            let channel = self.read_channel(&mut r)?;
            r.rest = channel.check()?;
            match channel.label {
                Label::Name(name) => {
                    let bit = 1_u64 << mark(name);
                    if seen & bit != 0 && (0..i).any(|earlier| self.is_named(earlier, name)) {
                        return Err(FrameError::DuplicateChannel);
                    }
                    seen |= bit;
                }
                Label::Number(number) => {
                    check_number(number, before)?;
                    before = Some(number);
                }
            }
            if let Some(end) = self.begins.get_mut(i + 1) {
                *end = (self.channels.len() - r.rest.len()) as u16;
            }
        }
        if r.is_empty() { Ok(()) } else { Err(FrameError::TrailingBytes) }
    }

    fn is_named(&self, i: usize, name: &str) -> bool {
        Reader::new(self.channel_bytes(i)).text_bytes() == Ok(name.as_bytes())
    }

    fn channel_bytes(&self, i: usize) -> &'a [u8] {
        let begin = self.begins.get(i).copied().unwrap_or_default();
        let end = self.begins.get(i + 1).copied().unwrap_or_default();
        self.channels.get(usize::from(begin)..usize::from(end)).unwrap_or_default()
    }

    fn read_channel(&self, r: &mut Reader<'a>) -> Result<ChannelView<'a>, FrameError> {
        let label = match self.table {
            None => Label::Name(r.name(CHANNEL_NAME_MAX_BYTES)?),
            Some(_) => {
                let [number] = r.array()?;
                Label::Number(number)
            }
        };
        let tag = r.varint_u32()?;
        let (kind, timing) = match (Kind::of_tag(tag), tag.checked_sub(EVERY_TAG)) {
            (Some(kind), _) => (kind, Timing::Own),
            (None, Some(tag)) if tag < Kind::Text as u32 => {
                let kind = Kind::of_tag(tag).ok_or(FrameError::Malformed)?;
                (kind, Timing::Every { first: r.zigzag()?, interval_micros: r.varint_u32()? })
            }
            (None, _) => return Err(FrameError::Malformed),
        };
        let left = r.count(SAMPLES_MAX)?;
        Ok(ChannelView { label, kind, timing, samples: SampleIter::new(kind, timing, left, r.clone()) })
    }
}

/// 0 to 63, and different for most different names: of their length and their last 8 bytes.
fn mark(name: &str) -> u32 {
    let tail = name.bytes().rev().take(8).fold(name.len() as u64, |tail, byte| tail << 8 ^ u64::from(byte));
    (tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as u32
}

/// How a frame calls a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    Name(&'a str),
    /// Its index in the table of the frame.
    Number(u8),
}

/// One channel of a valid frame.
#[derive(Clone, Debug)]
pub struct ChannelView<'a> {
    pub label: Label<'a>,
    pub kind: Kind,
    pub timing: Timing,
    samples: SampleIter<'a>,
}

impl<'a> ChannelView<'a> {
    pub fn sample_count(&self) -> usize {
        self.samples.left
    }

    pub fn samples(&self) -> SampleIter<'a> {
        self.samples.clone()
    }

    /// All samples that are numbers, as [`Value::number`] gives them; faster than [`ChannelView::samples`], because the
    /// kind is looked at once.
    #[inline]
    pub fn for_each_number(&self, mut each: impl FnMut(i64, f64)) {
        let samples = self.samples();
        match self.kind {
            Kind::F32 => samples.each(|r| read_f32(r).map(f64::from), &mut each),
            Kind::F64 => samples.each(read_f64, &mut each),
            Kind::I32 => samples.each(|r| r.i32().map(f64::from), &mut each),
            Kind::Bool => samples.each(|r| r.bool().map(|v| f64::from(u8::from(v))), &mut each),
            Kind::Text => {}
        }
    }

    /// Proves that all samples can be read; gives the bytes behind the last.
    fn check(&self) -> Result<&'a [u8], FrameError> {
        if let Timing::Every { first, interval_micros } = self.timing {
            last_offset(first, interval_micros, self.samples.left)?;
        }
        let samples = self.samples();
        match self.kind {
            Kind::F32 => samples.check(read_f32),
            Kind::F64 => samples.check(read_f64),
            Kind::I32 => samples.check(Reader::i32),
            Kind::Bool => samples.check(Reader::bool),
            Kind::Text => samples.check(read_text),
        }
    }

    /// The largest offset of its samples, microseconds; `None` if there are none.
    pub fn newest_offset_micros(&self) -> Option<i64> {
        match self.timing {
            Timing::Own => self.samples().map(|(offset, _)| offset).max(),
            Timing::Every { .. } if self.samples.left == 0 => None,
            Timing::Every { first, interval_micros } => last_offset(first, interval_micros, self.samples.left).ok(),
        }
    }
}

/// The samples of one channel: offset from the base time in microseconds, and value.
#[derive(Clone, Debug)]
pub struct SampleIter<'a> {
    kind: Kind,
    left: usize,
    /// Own times: of the sample before. Else of the next one.
    offset: i64,
    /// 0: each sample has its own time.
    interval_micros: u32,
    r: Reader<'a>,
}

impl<'a> SampleIter<'a> {
    fn new(kind: Kind, timing: Timing, left: usize, r: Reader<'a>) -> Self {
        match timing {
            Timing::Own => Self { kind, left, offset: 0, interval_micros: 0, r },
            Timing::Every { first, interval_micros } => Self { kind, left, offset: first, interval_micros, r },
        }
    }
}

impl<'a> SampleIter<'a> {
    #[inline]
    fn read<T>(&mut self, value: impl Fn(&mut Reader<'a>) -> Result<T, FrameError>) -> Result<(i64, T), FrameError> {
        let offset = if self.interval_micros == 0 {
            self.offset = self.offset.checked_add(self.r.zigzag()?).ok_or(FrameError::Malformed)?;
            self.offset
        } else {
            // Only what would come behind the last sample may lie out of range.
            let next = self.offset.wrapping_add(self.interval_micros.into());
            core::mem::replace(&mut self.offset, next)
        };
        let value = value(&mut self.r)?;
        self.left -= 1;
        Ok((offset, value))
    }

    #[inline]
    fn each(mut self, value: impl Fn(&mut Reader<'a>) -> Result<f64, FrameError>, each: &mut impl FnMut(i64, f64)) {
        while self.left > 0 {
            // A view exists for valid bytes alone: all can be read.
            let Ok((offset, value)) = self.read(&value) else { return };
            each(offset, value);
        }
    }

    /// Reads all that are left; gives the bytes behind them.
    fn check<T>(mut self, value: impl Fn(&mut Reader<'a>) -> Result<T, FrameError>) -> Result<&'a [u8], FrameError> {
        while self.left > 0 {
            self.read(&value)?;
        }
        Ok(self.r.rest)
    }
}

#[inline]
fn read_f32(r: &mut Reader<'_>) -> Result<f32, FrameError> {
    r.array().map(f32::from_le_bytes)
}

#[inline]
fn read_f64(r: &mut Reader<'_>) -> Result<f64, FrameError> {
    r.array().map(f64::from_le_bytes)
}

fn read_text<'a>(r: &mut Reader<'a>) -> Result<&'a str, FrameError> {
    r.text(TEXT_MAX_BYTES)
}

impl<'a> Iterator for SampleIter<'a> {
    type Item = (i64, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let sample = match self.kind {
            Kind::F32 => self.read(read_f32).map(|(at, v)| (at, Value::F32(v))),
            Kind::F64 => self.read(read_f64).map(|(at, v)| (at, Value::F64(v))),
            Kind::I32 => self.read(Reader::i32).map(|(at, v)| (at, Value::I32(v))),
            Kind::Bool => self.read(Reader::bool).map(|(at, v)| (at, Value::Bool(v))),
            Kind::Text => self.read(read_text).map(|(at, v)| (at, Value::Text(v))),
        };
        sample.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for SampleIter<'_> {}
