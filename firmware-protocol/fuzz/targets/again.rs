//! A parsed frame, encoded again.

use firmware_protocol::frame::{
    self, Channel, ChannelTable, ChannelView, Encode, Every, FRAME_MAX_BYTES, Frame, FrameView, Header, Hello,
    HelloView, Kind, Label, Numbered, NumberedFrame, Parsed, Samples, Timing, Value,
};

/// The samples of a channel, for [`Samples`] to borrow.
enum Owned<'a> {
    F32(Vec<(i64, f32)>),
    F64(Vec<(i64, f64)>),
    I32(Vec<(i64, i32)>),
    Bool(Vec<(i64, bool)>),
    Text(Vec<(i64, &'a str)>),
    F32Every(i64, u32, Vec<f32>),
    F64Every(i64, u32, Vec<f64>),
    I32Every(i64, u32, Vec<i32>),
    BoolEvery(i64, u32, Vec<bool>),
}

/// Without its signature. `None`: it holds a float that is not a number, whose signalling bit a register may set.
pub(crate) fn encoded(parsed: &Parsed<'_>) -> Option<Vec<u8>> {
    match parsed {
        Parsed::Samples(view) => samples(view),
        Parsed::Hello(view) => Some(hello(view)),
    }
}

fn samples(view: &FrameView<'_>) -> Option<Vec<u8>> {
    let owned: Vec<_> = view.channels().map(|channel| Owned::of(&channel)).collect();
    assert_eq!(owned.len(), view.channel_count());
    if owned.iter().any(Owned::has_nan) {
        return None;
    }
    let channels = view.channels().zip(&owned).map(|(channel, owned)| (channel.label, owned.borrowed()));
    let (FrameView { base, .. }, Header { device, boot, seq }) = (view, view.header);
    let base = *base;
    Some(match view.table {
        None => {
            let named = |(label, samples)| match label {
                Label::Name(name) => Channel { name, samples },
                Label::Number(_) => panic!("a number without a table"),
            };
            let channels: Vec<_> = channels.map(named).collect();
            bytes(&Frame { device, boot, seq, base, channels: &channels })
        }
        Some(table) => {
            let numbered = |(label, samples)| match label {
                Label::Number(number) => Numbered { number, samples },
                Label::Name(_) => panic!("a name beside a table"),
            };
            let channels: Vec<_> = channels.map(numbered).collect();
            bytes(&NumberedFrame { device, boot, seq, base, table, channels: &channels })
        }
    })
}

fn hello(view: &HelloView<'_>) -> Vec<u8> {
    let channels: Vec<_> = view.channels().collect();
    assert_eq!(channels.len(), view.channel_count());
    let table = ChannelTable::new(&channels).expect("what could be decoded is valid");
    assert_eq!(table.id(), view.table);
    let Header { device, boot, seq } = view.header;
    bytes(&Hello { device, boot, seq, base: view.base, table })
}

fn bytes(frame: &impl Encode) -> Vec<u8> {
    let mut out = [0; FRAME_MAX_BYTES];
    let length = frame::encode(frame, &mut out).expect("what could be decoded can be encoded");
    out[..length].to_vec()
}

impl<'a> Owned<'a> {
    fn of(channel: &ChannelView<'a>) -> Self {
        fn all<T>(channel: &ChannelView<'_>, value: impl Fn(Value<'_>) -> Option<T>) -> Vec<(i64, T)> {
            channel.samples().map(|(at, v)| (at, value(v).expect("of the channel's kind"))).collect()
        }
        fn values<T>(samples: Vec<(i64, T)>) -> Vec<T> {
            samples.into_iter().map(|(_, value)| value).collect()
        }
        let f32s = || all(channel, |v| if let Value::F32(v) = v { Some(v) } else { None });
        let f64s = || all(channel, |v| if let Value::F64(v) = v { Some(v) } else { None });
        let i32s = || all(channel, |v| if let Value::I32(v) = v { Some(v) } else { None });
        let bools = || all(channel, |v| if let Value::Bool(v) = v { Some(v) } else { None });
        match (channel.timing, channel.kind) {
            (Timing::Own, Kind::F32) => Self::F32(f32s()),
            (Timing::Own, Kind::F64) => Self::F64(f64s()),
            (Timing::Own, Kind::I32) => Self::I32(i32s()),
            (Timing::Own, Kind::Bool) => Self::Bool(bools()),
            (Timing::Own, Kind::Text) => Self::Text(
                channel
                    .samples()
                    .filter_map(|(at, v)| if let Value::Text(v) = v { Some((at, v)) } else { None })
                    .collect(),
            ),
            (Timing::Every { first, interval_micros }, Kind::F32) => {
                Self::F32Every(first, interval_micros, values(f32s()))
            }
            (Timing::Every { first, interval_micros }, Kind::F64) => {
                Self::F64Every(first, interval_micros, values(f64s()))
            }
            (Timing::Every { first, interval_micros }, Kind::I32) => {
                Self::I32Every(first, interval_micros, values(i32s()))
            }
            (Timing::Every { first, interval_micros }, Kind::Bool) => {
                Self::BoolEvery(first, interval_micros, values(bools()))
            }
            (Timing::Every { .. }, Kind::Text) => panic!("texts have times of their own"),
        }
    }

    fn borrowed(&self) -> Samples<'_> {
        fn every<T>(first: i64, interval_micros: u32, values: &[T]) -> Every<'_, T> {
            Every { first, interval_micros, values }
        }
        match self {
            Self::F32(s) => Samples::F32(s),
            Self::F64(s) => Samples::F64(s),
            Self::I32(s) => Samples::I32(s),
            Self::Bool(s) => Samples::Bool(s),
            Self::Text(s) => Samples::Text(s),
            Self::F32Every(first, interval, values) => Samples::F32Every(every(*first, *interval, values)),
            Self::F64Every(first, interval, values) => Samples::F64Every(every(*first, *interval, values)),
            Self::I32Every(first, interval, values) => Samples::I32Every(every(*first, *interval, values)),
            Self::BoolEvery(first, interval, values) => Samples::BoolEvery(every(*first, *interval, values)),
        }
    }

    fn has_nan(&self) -> bool {
        match self {
            Self::F32(s) => s.iter().any(|(_, v)| v.is_nan()),
            Self::F64(s) => s.iter().any(|(_, v)| v.is_nan()),
            Self::F32Every(_, _, s) => s.iter().any(|v| v.is_nan()),
            Self::F64Every(_, _, s) => s.iter().any(|v| v.is_nan()),
            Self::I32(_) | Self::Bool(_) | Self::Text(_) | Self::I32Every(..) | Self::BoolEvery(..) => false,
        }
    }
}
