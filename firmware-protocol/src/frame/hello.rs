//! The hello: a device tells what its channels are, at its start and when it is asked.

use super::encode::sealed;
use super::read::Reader;
use super::table::is_range;
use super::whole::Whole;
use super::write::Writer;
use super::{
    BaseTime, Body, CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, ChannelInfo, ChannelTable, Encode, Flags, Header, Kind,
    TableId, UNIT_MAX_BYTES,
};
use crate::crc::crc32;
use crate::{BootId, DeviceSeq, FrameError};

/// A hello to be encoded. It counts in the same sequence as all frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hello<'a> {
    /// 1 to [`super::DEVICE_MAX_BYTES`], no control characters.
    pub device: &'a str,
    pub boot: BootId,
    pub seq: DeviceSeq,
    pub base: BaseTime,
    pub table: ChannelTable<'a>,
}

impl Encode for Hello<'_> {}

impl sealed::Body for Hello<'_> {
    const FLAGS: u8 = Flags::HELLO;

    fn write(&self, w: &mut Writer<'_>) -> Result<(), FrameError> {
        w.header(&Header { device: self.device, boot: self.boot, seq: self.seq })?;
        w.base(self.base)?;
        w.varint(self.table.id().0.into())?;
        w.channel_count(self.table.channels().len())?;
        self.table.channels().iter().try_for_each(|channel| w.channel_info(channel))
    }
}

impl Writer<'_> {
    /// The table's id is the CRC of what this writes: [`ChannelTable::new`] goes through the same.
    pub(super) fn channel_info(&mut self, channel: &ChannelInfo<'_>) -> Result<(), FrameError> {
        self.name(channel.name, CHANNEL_NAME_MAX_BYTES)?;
        self.text(channel.unit, UNIT_MAX_BYTES)?;
        self.bytes(&[channel.kind as u8])?;
        match channel.range {
            None => self.bytes(&[0])?,
            Some((min, max)) => {
                self.bytes(&[1])?;
                self.bytes(&min.to_le_bytes())?;
                self.bytes(&max.to_le_bytes())?;
            }
        }
        self.varint(channel.interval_micros.into())
    }
}

/// A valid hello, read in place.
#[derive(Clone, Debug)]
pub struct HelloView<'a> {
    pub header: Header<'a>,
    pub base: BaseTime,
    pub table: TableId,
    channels: Reader<'a>,
    count: usize,
}

impl<'a> HelloView<'a> {
    /// # Errors
    /// As [`super::parse`]; `OtherBody` for a frame of samples.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let whole = Whole::of(bytes)?;
        match whole.flags.body() {
            Body::Hello => {}
            Body::Named | Body::Numbered => return Err(FrameError::OtherBody),
        }
        let mut r = Reader::new(whole.body);
        let header = Header::read(&mut r)?;
        let base = BaseTime::read(&mut r)?;
        let table = TableId(r.varint_u32()?);
        let encoded = r.rest;
        let count = r.count(CHANNELS_MAX)?;
        let view = Self { header, base, table, channels: r.clone(), count };
        for i in 0..count {
            let channel = ChannelInfo::read(&mut r)?;
            if view.channels().take(i).any(|earlier| earlier.name == channel.name) {
                return Err(FrameError::DuplicateChannel);
            }
        }
        if !r.is_empty() {
            return Err(FrameError::TrailingBytes);
        }
        if crc32(encoded) == table.0 { Ok(view) } else { Err(FrameError::WrongTable) }
    }

    pub fn channel_count(&self) -> usize {
        self.count
    }

    /// In the order of their numbers, from 0.
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo<'a>> + use<'a> {
        let mut r = self.channels.clone();
        (0..self.count).map_while(move |_| ChannelInfo::read(&mut r).ok())
    }
}

impl<'a> ChannelInfo<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, FrameError> {
        let name = r.name(CHANNEL_NAME_MAX_BYTES)?;
        let unit = r.text(UNIT_MAX_BYTES)?;
        let kind = Kind::of_tag(r.varint_u32()?).ok_or(FrameError::Malformed)?;
        let range = match r.bool()? {
            false => None,
            true => Some((f32::from_le_bytes(r.array()?), f32::from_le_bytes(r.array()?))),
        };
        if range.is_some_and(|range| !is_range(range)) {
            return Err(FrameError::Malformed);
        }
        Ok(Self { name, unit, kind, range, interval_micros: r.varint_u32()? })
    }
}
