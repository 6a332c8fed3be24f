//! A frame channel by channel, from whatever holds its samples: arrays of times and of values, a ring buffer.
//!
//! What it writes is what [`super::encode`] writes. It needs no list of all channels, and only the code of the kinds
//! of values that it is given.

use super::encode::check_number;
use super::write::Writer;
use super::{
    BaseTime, Body, CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, ChannelInfo, Flags, Header, Label, MAGIC, RegularSample,
    Sample, TableId, VERSION,
};
use crate::FrameError;

#[cfg(feature = "mac")]
use super::Key;

/// A frame under way in the caller's buffer.
///
/// The first fault stays: what comes behind it is not written, and [`Builder::finish`] gives it again.
///
/// ```
/// use firmware_protocol::frame::{BaseTime, Builder, FRAME_MAX_BYTES, Header, Label};
/// use firmware_protocol::{BootId, DeviceSeq};
///
/// let header = Header { device: "pump-7", boot: BootId(3), seq: DeviceSeq(300) };
/// let mut buffer = [0; FRAME_MAX_BYTES];
/// let mut frame = Builder::named(&header, BaseTime::SinceBootMicros(90_000_000), &mut buffer);
/// frame.samples(Label::Name("temperature"), [(0, 21.5_f32), (1_000_000, 21.625)])?;
/// let vibration: [i16; 4] = [-3, 8, 2, -5];
/// frame.every(Label::Name("vibration"), 0, 100, vibration)?;
/// let length = frame.finish()?;
/// # assert_eq!(length, 68);
/// # Ok::<_, firmware_protocol::FrameError>(())
/// ```
pub struct Builder<'o> {
    w: Writer<'o>,
    flags: Flags,
    /// Where the count of channels stands; it is one byte, because there are at most [`CHANNELS_MAX`].
    count_at: usize,
    count: u8,
    /// Where each channel begins.
    begins: [u16; CHANNELS_MAX],
    number_before: Option<u8>,
    fault: Result<(), FrameError>,
}

impl<'o> Builder<'o> {
    /// Channels are called by [`Label::Name`].
    pub fn named(header: &Header<'_>, base: BaseTime, out: &'o mut [u8]) -> Self {
        Self::begin(Flags(0), header, base, None, out)
    }

    /// Channels are called by [`Label::Number`], in ascending order.
    pub fn numbered(header: &Header<'_>, base: BaseTime, table: TableId, out: &'o mut [u8]) -> Self {
        Self::begin(Flags(Flags::TABLE), header, base, Some(table), out)
    }

    /// A hello, which is whole with this: it takes no samples. See [`super::Hello`].
    pub fn hello<'c>(
        header: &Header<'_>,
        base: BaseTime,
        channels: impl ExactSizeIterator<Item = ChannelInfo<'c>> + Clone,
        out: &'o mut [u8],
    ) -> Self {
        let table = TableId::of(channels.clone());
        let mut builder = Self::begin(Flags(Flags::HELLO), header, base, table.ok(), out);
        if builder.fault.is_ok() {
            builder.fault = table.and_then(|_| builder.tell(channels));
        }
        builder
    }

    fn tell<'c>(&mut self, mut channels: impl ExactSizeIterator<Item = ChannelInfo<'c>>) -> Result<(), FrameError> {
        // A table has no more than `CHANNELS_MAX`.
        self.count = channels.len() as u8;
        channels.try_for_each(|channel| self.w.channel_info(&channel))
    }

    fn begin(flags: Flags, header: &Header<'_>, base: BaseTime, table: Option<TableId>, out: &'o mut [u8]) -> Self {
        let mut builder = Self {
            w: Writer::new(out),
            flags,
            count_at: 0,
            count: 0,
            begins: [0; CHANNELS_MAX],
            number_before: None,
            fault: Ok(()),
        };
        builder.fault = builder.front(header, base, table);
        builder
    }

    fn front(&mut self, header: &Header<'_>, base: BaseTime, table: Option<TableId>) -> Result<(), FrameError> {
        self.w.bytes(&MAGIC)?;
        self.w.bytes(&[VERSION, self.flags.0])?;
        self.w.header(header)?;
        self.w.base(base)?;
        if let Some(table) = table {
            self.w.varint(table.0.into())?;
        }
        self.count_at = self.w.written().len();
        self.w.bytes(&[0])
    }

    /// A channel whose samples have a time each: offset from the base time in microseconds, and value.
    ///
    /// # Errors
    /// As [`super::encode`]; `OtherBody` for a name in a numbered frame, or the other way round.
    pub fn samples<T: Sample>(
        &mut self,
        label: Label<'_>,
        samples: impl IntoIterator<Item = (i64, T), IntoIter: ExactSizeIterator>,
    ) -> Result<(), FrameError> {
        self.channel(label, |w| w.own(samples.into_iter()))
    }

    /// A channel whose samples have one distance in time; see [`super::Every`].
    ///
    /// # Errors
    /// As [`Builder::samples`].
    pub fn every<T: RegularSample>(
        &mut self,
        label: Label<'_>,
        first: i64,
        interval_micros: u32,
        values: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> Result<(), FrameError> {
        self.channel(label, |w| w.every(first, interval_micros, values.into_iter()))
    }

    /// The frame's length in the buffer.
    ///
    /// # Errors
    /// The first fault of all that was asked for.
    pub fn finish(mut self) -> Result<usize, FrameError> {
        self.close()?;
        self.w.finish()
    }

    /// [`Builder::finish`], signed.
    ///
    /// # Errors
    /// As [`Builder::finish`].
    #[cfg(feature = "mac")]
    pub fn finish_signed(mut self, key: &Key<'_>) -> Result<usize, FrameError> {
        self.flags.0 |= Flags::SIGNED;
        self.close()?;
        self.w.sign(key)?;
        self.w.finish()
    }

    /// Puts right what was not known at the begin.
    fn close(&mut self) -> Result<(), FrameError> {
        self.fault?;
        self.w.set(MAGIC.len() + 1, self.flags.0);
        self.w.set(self.count_at, self.count);
        Ok(())
    }

    fn channel(
        &mut self,
        label: Label<'_>,
        samples: impl FnOnce(&mut Writer<'o>) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        self.fault?;
        self.fault = self.label(label).and_then(|()| samples(&mut self.w));
        self.fault
    }

    fn label(&mut self, label: Label<'_>) -> Result<(), FrameError> {
        let at = self.w.written().len();
        *self.begins.get_mut(usize::from(self.count)).ok_or(FrameError::TooLarge)? = at as u16;
        match (label, self.flags.body()) {
            (Label::Name(name), Body::Named) => {
                if self.has(name) {
                    return Err(FrameError::DuplicateChannel);
                }
                self.w.name(name, CHANNEL_NAME_MAX_BYTES)?;
            }
            (Label::Number(number), Body::Numbered) => {
                check_number(number, self.number_before)?;
                self.number_before = Some(number);
                self.w.bytes(&[number])?;
            }
            (Label::Name(_), Body::Numbered | Body::Hello) | (Label::Number(_), Body::Named | Body::Hello) => {
                return Err(FrameError::OtherBody);
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Whether a channel of this name is written: its name with one byte of length before it is what it begins with.
    fn has(&self, name: &str) -> bool {
        self.begins.iter().take(self.count.into()).any(|begin| {
            let written = self.w.written().get(usize::from(*begin)..).unwrap_or_default();
            let Some((length, behind)) = written.split_first() else { return false };
            usize::from(*length) == name.len() && behind.starts_with(name.as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Channel, ChannelTable, Every, FRAME_MAX_BYTES, Frame, Hello, Kind, Numbered, NumberedFrame, SAMPLES_MAX,
        Samples, encode, encode_signed,
    };
    use super::*;
    use crate::{BootId, DeviceSeq};

    const HEADER: Header<'static> = Header { device: "pump-7", boot: BootId(3), seq: DeviceSeq(300) };
    const BASE: BaseTime = BaseTime::UnixMicros(1_772_366_400_000_000);
    const FLOW: [(i64, f32); 2] = [(-5, 1.5), (70, 2.5)];
    const STATE: [(i64, &str); 1] = [(0, "on")];
    const COUNTS: [u16; 3] = [0, 4095, 65535];

    fn built(build: impl FnOnce(&mut [u8]) -> Result<usize, FrameError>) -> Result<Vec<u8>, FrameError> {
        let mut out = [0xaa; FRAME_MAX_BYTES];
        build(&mut out).map(|length| out[..length].to_vec())
    }

    #[test]
    fn names_give_the_bytes_of_the_frame_encoded_at_once() {
        let channels = [
            Channel { name: "flow", samples: Samples::F32(&FLOW) },
            Channel { name: "state", samples: Samples::Text(&STATE) },
            Channel {
                name: "adc",
                samples: Samples::U16Every(Every { first: -9, interval_micros: 100, values: &COUNTS }),
            },
        ];
        let Header { device, boot, seq } = HEADER;
        let frame = Frame { device, boot, seq, base: BASE, channels: &channels };
        let channel_by_channel = |out: &mut [u8]| {
            let mut frame = Builder::named(&HEADER, BASE, out);
            frame.samples(Label::Name("flow"), FLOW)?;
            frame.samples(Label::Name("state"), STATE)?;
            frame.every(Label::Name("adc"), -9, 100, COUNTS)?;
            frame.finish()
        };
        assert_eq!(built(channel_by_channel), built(|out| encode(&frame, out)));
    }

    #[test]
    fn numbers_give_the_bytes_of_the_signed_frame_encoded_at_once() {
        let key = Key::new(9, &[7; 32]).unwrap();
        let channels = [
            Numbered { number: 1, samples: Samples::F32(&FLOW) },
            Numbered { number: 30, samples: Samples::Bool(&[(4, true)]) },
        ];
        let Header { device, boot, seq } = HEADER;
        let table = TableId(u32::MAX);
        let frame = NumberedFrame { device, boot, seq, base: BASE, table, channels: &channels };
        let channel_by_channel = |out: &mut [u8]| {
            let mut frame = Builder::numbered(&HEADER, BASE, table, out);
            frame.samples(Label::Number(1), FLOW)?;
            frame.samples(Label::Number(30), [(4, true)])?;
            frame.finish_signed(&key)
        };
        assert_eq!(built(channel_by_channel), built(|out| encode_signed(&frame, &key, out)));
    }

    #[test]
    fn channels_give_the_bytes_of_the_hello_encoded_at_once() {
        let infos = [
            ChannelInfo {
                name: "flow",
                unit: "l/min",
                kind: Kind::F32,
                range: Some((0.0, 80.0)),
                interval_micros: 100,
            },
            ChannelInfo { name: "door", unit: "", kind: Kind::Bool, range: None, interval_micros: 0 },
        ];
        let Header { device, boot, seq } = HEADER;
        let table = ChannelTable::new(&infos).unwrap();
        assert_eq!(TableId::of(infos.iter().copied()), Ok(table.id()));
        let hello = Hello { device, boot, seq, base: BASE, table };
        let of_channels = |out: &mut [u8]| Builder::hello(&HEADER, BASE, infos.iter().copied(), out).finish();
        assert_eq!(built(of_channels), built(|out| encode(&hello, out)));
        let twice = [infos[1], infos[0], infos[1]];
        assert_eq!(TableId::of(twice.into_iter()), ChannelTable::new(&twice).map(|table| table.id()));
        let mut out = [0; FRAME_MAX_BYTES];
        let refused = Builder::hello(&HEADER, BASE, twice.into_iter(), &mut out).finish();
        assert_eq!(refused, Err(FrameError::DuplicateChannel));
        let mut hello = Builder::hello(&HEADER, BASE, infos.into_iter(), &mut out);
        assert_eq!(hello.samples(Label::Name("flow"), FLOW), Err(FrameError::OtherBody));
    }

    #[test]
    fn the_first_fault_is_given_to_the_end() {
        let mut out = [0; FRAME_MAX_BYTES];
        let mut frame = Builder::named(&HEADER, BASE, &mut out);
        assert_eq!(frame.samples(Label::Name("flow"), FLOW), Ok(()));
        assert_eq!(frame.samples(Label::Name("flow"), FLOW), Err(FrameError::DuplicateChannel));
        assert_eq!(frame.samples(Label::Name(""), FLOW), Err(FrameError::DuplicateChannel));
        assert_eq!(frame.finish(), Err(FrameError::DuplicateChannel));
    }

    #[test]
    fn a_name_that_begins_another_is_another() {
        let mut out = [0; FRAME_MAX_BYTES];
        let mut frame = Builder::named(&HEADER, BASE, &mut out);
        for name in ["flow", "flo", "flow-2", "f"] {
            assert_eq!(frame.samples(Label::Name(name), FLOW), Ok(()), "{name}");
        }
        assert!(frame.finish().is_ok());
    }

    #[test]
    fn what_the_format_does_not_allow_is_refused() {
        fn fault(build: impl FnOnce(&mut Builder<'_>) -> Result<(), FrameError>) -> FrameError {
            let mut out = [0; FRAME_MAX_BYTES];
            let mut frame = Builder::numbered(&HEADER, BASE, TableId(1), &mut out);
            let fault = build(&mut frame).unwrap_err();
            assert_eq!(frame.finish(), Err(fault));
            fault
        }
        assert_eq!(fault(|f| f.samples(Label::Name("flow"), FLOW)), FrameError::OtherBody);
        assert_eq!(fault(|f| f.samples(Label::Number(CHANNELS_MAX as u8), FLOW)), FrameError::TooLarge);
        assert_eq!(fault(|f| f.every(Label::Number(0), 0, 0, COUNTS)), FrameError::Malformed);
        assert_eq!(fault(|f| f.every(Label::Number(0), 0, 1, [true; SAMPLES_MAX + 1])), FrameError::TooLarge);
        let descending = fault(|f| {
            f.samples(Label::Number(3), FLOW)?;
            f.samples(Label::Number(2), FLOW)
        });
        assert_eq!(descending, FrameError::Malformed);
        let one_too_many = |f: &mut Builder<'_>| {
            let no_samples: [(i64, bool); 0] = [];
            (0..=CHANNELS_MAX as u8).try_for_each(|number| f.samples(Label::Number(number), no_samples))
        };
        assert_eq!(fault(one_too_many), FrameError::TooLarge);
    }

    #[test]
    fn a_buffer_that_is_too_small_is_said_to_be() {
        let build = |out: &mut [u8]| {
            let mut frame = Builder::named(&HEADER, BASE, out);
            frame.samples(Label::Name("flow"), FLOW)?;
            frame.finish()
        };
        let length = built(build).unwrap().len();
        for room in 0..length {
            assert_eq!(build(&mut vec![0; room]), Err(FrameError::BufferTooSmall), "{room} bytes");
        }
        assert_eq!(build(&mut vec![0; length]), Ok(length));
    }
}
