//! Frames → bytes, into a buffer that the caller owns.

use super::write::Writer;
use super::{
    CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, Every, Flags, Frame, Header, MAGIC, NumberedFrame, RegularSample,
    SAMPLES_MAX, Sample, Samples, VERSION,
};
use crate::FrameError;

/// Added to the tag of a kind whose samples have one distance in time: the tags 5 to 8.
pub(super) const EVERY_TAG: u32 = 5;

/// What can be encoded as a frame: [`Frame`], [`NumberedFrame`] and [`super::Hello`].
pub trait Encode: sealed::Body {}

pub(super) mod sealed {
    use super::{FrameError, Writer};

    pub trait Body {
        /// All flags but the signature's.
        const FLAGS: u8;

        fn write(&self, w: &mut Writer<'_>) -> Result<(), FrameError>;
    }
}

/// Writes the frame to the front of `out` and returns its length; [`super::FRAME_MAX_BYTES`] are always enough.
///
/// # Errors
/// `BufferTooSmall`; `TooLarge` beyond a limit of the format; `DuplicateChannel`; `Malformed` for an empty name, control
/// characters, numbers that do not ascend, an interval of 0, or offsets that lie further apart than an `i64` counts.
pub fn encode<F: Encode>(frame: &F, out: &mut [u8]) -> Result<usize, FrameError> {
    write(frame, 0, out)?.finish()
}

/// All but signature and CRC.
pub(super) fn write<'o, F: Encode>(frame: &F, flags: u8, out: &'o mut [u8]) -> Result<Writer<'o>, FrameError> {
    let mut w = Writer::new(out);
    w.bytes(&MAGIC)?;
    w.bytes(&[VERSION, F::FLAGS | flags])?;
    frame.write(&mut w)?;
    Ok(w)
}

impl Encode for Frame<'_> {}

impl sealed::Body for Frame<'_> {
    const FLAGS: u8 = 0;

    fn write(&self, w: &mut Writer<'_>) -> Result<(), FrameError> {
        w.header(&Header { device: self.device, boot: self.boot, seq: self.seq })?;
        w.base(self.base)?;
        w.channel_count(self.channels.len())?;
        let mut rest = self.channels;
        while let [channel, behind @ ..] = rest {
            if behind.iter().any(|later| later.name == channel.name) {
                return Err(FrameError::DuplicateChannel);
            }
            w.name(channel.name, CHANNEL_NAME_MAX_BYTES)?;
            w.samples(&channel.samples)?;
            rest = behind;
        }
        Ok(())
    }
}

impl Encode for NumberedFrame<'_> {}

impl sealed::Body for NumberedFrame<'_> {
    const FLAGS: u8 = Flags::TABLE;

    fn write(&self, w: &mut Writer<'_>) -> Result<(), FrameError> {
        w.header(&Header { device: self.device, boot: self.boot, seq: self.seq })?;
        w.base(self.base)?;
        w.varint(self.table.0.into())?;
        w.channel_count(self.channels.len())?;
        let mut before = None;
        for channel in self.channels {
            check_number(channel.number, before)?;
            w.bytes(&[channel.number])?;
            w.samples(&channel.samples)?;
            before = Some(channel.number);
        }
        Ok(())
    }
}

/// Numbers ascend, and there is no table of more channels.
pub(super) fn check_number(number: u8, before: Option<u8>) -> Result<(), FrameError> {
    if usize::from(number) >= CHANNELS_MAX {
        return Err(FrameError::TooLarge);
    }
    match before {
        Some(before) if before == number => Err(FrameError::DuplicateChannel),
        Some(before) if before > number => Err(FrameError::Malformed),
        Some(_) | None => Ok(()),
    }
}

impl Writer<'_> {
    pub(super) fn channel_count(&mut self, count: usize) -> Result<(), FrameError> {
        if count > CHANNELS_MAX { Err(FrameError::TooLarge) } else { self.varint(count as u64) }
    }

    fn samples(&mut self, samples: &Samples<'_>) -> Result<(), FrameError> {
        match samples {
            Samples::F32(s) => self.own(s.iter().copied()),
            Samples::F64(s) => self.own(s.iter().copied()),
            Samples::I32(s) => self.own(s.iter().copied()),
            Samples::Bool(s) => self.own(s.iter().copied()),
            Samples::Text(s) => self.own(s.iter().copied()),
            Samples::F32Every(s) => self.equidistant(s),
            Samples::F64Every(s) => self.equidistant(s),
            Samples::I32Every(s) => self.equidistant(s),
            Samples::BoolEvery(s) => self.equidistant(s),
            Samples::U16Every(s) => self.equidistant(s),
            Samples::I16Every(s) => self.equidistant(s),
        }
    }

    fn equidistant<T: RegularSample>(&mut self, every: &Every<'_, T>) -> Result<(), FrameError> {
        self.every(every.first, every.interval_micros, every.values.iter().copied())
    }

    /// Samples with a time each.
    pub(super) fn own<T: Sample>(
        &mut self,
        samples: impl ExactSizeIterator<Item = (i64, T)>,
    ) -> Result<(), FrameError> {
        self.varint(T::KIND as u64)?;
        self.sample_count(samples.len())?;
        let mut before = 0_i64;
        for (offset, v) in samples {
            self.zigzag(offset.checked_sub(before).ok_or(FrameError::Malformed)?)?;
            v.write(self)?;
            before = offset;
        }
        Ok(())
    }

    /// Samples of one distance in time.
    pub(super) fn every<T: RegularSample>(
        &mut self,
        first: i64,
        interval_micros: u32,
        values: impl ExactSizeIterator<Item = T>,
    ) -> Result<(), FrameError> {
        self.varint((T::KIND as u32 + EVERY_TAG).into())?;
        self.zigzag(first)?;
        self.varint(interval_micros.into())?;
        self.sample_count(values.len())?;
        last_offset(first, interval_micros, values.len())?;
        for v in values {
            v.write(self)?;
        }
        Ok(())
    }

    fn sample_count(&mut self, count: usize) -> Result<(), FrameError> {
        if count > SAMPLES_MAX { Err(FrameError::TooLarge) } else { self.varint(count as u64) }
    }
}

/// The offset of the last of `count` values, or the first where there is none.
pub(super) fn last_offset(first: i64, interval_micros: u32, count: usize) -> Result<i64, FrameError> {
    if interval_micros == 0 {
        return Err(FrameError::Malformed);
    }
    // At most `SAMPLES_MAX` times 32 bits.
    let span = i64::from(interval_micros).saturating_mul(count.saturating_sub(1) as i64);
    first.checked_add(span).ok_or(FrameError::Malformed)
}
