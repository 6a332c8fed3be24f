//! The plain types whose postcard encoding is the body of a frame, as `SPEC.md` has them; random ones; and both ways
//! between them and what the crate encodes and parses.

use firmware_protocol::crc::crc32;
use firmware_protocol::frame::{
    self, BaseTime, Channel, ChannelInfo, ChannelTable, ChannelView, Every, FRAME_MAX_BYTES, Frame, Header, Hello, Key,
    Kind, Label, Numbered, NumberedFrame, Parsed, Samples, TableId, Timing, Value,
};
use firmware_protocol::{BootId, DeviceSeq, FrameError};
use proptest::prelude::*;
use serde::Serialize;

#[derive(Clone, Debug)]
pub(crate) enum Message {
    Named(NamedBody),
    Numbered(NumberedBody),
    Hello(HelloBody),
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct NamedBody {
    device: String,
    boot: u32,
    seq: u32,
    base: Base,
    channels: Vec<NamedChannel>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct NumberedBody {
    device: String,
    boot: u32,
    seq: u32,
    base: Base,
    table: u32,
    channels: Vec<NumberedChannel>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct HelloBody {
    device: String,
    boot: u32,
    seq: u32,
    base: Base,
    table: u32,
    channels: Vec<Info>,
}

#[derive(Clone, Debug, Serialize)]
enum Base {
    UnixMicros(i64),
    SinceBootMicros(u64),
}

#[derive(Clone, Debug, Serialize)]
struct NamedChannel {
    name: String,
    samples: Body,
}

#[derive(Clone, Debug, Serialize)]
struct NumberedChannel {
    number: u8,
    samples: Body,
}

#[derive(Clone, Debug, Serialize)]
struct Info {
    name: String,
    unit: String,
    kind: InfoKind,
    range: Option<(f32, f32)>,
    interval_us: u32,
}

#[derive(Clone, Copy, Debug, Serialize)]
enum InfoKind {
    F32,
    F64,
    I32,
    Bool,
    Text,
}

/// Samples hold offsets; `with_deltas` gives what is on the wire.
#[derive(Clone, Debug, Serialize)]
enum Body {
    F32(Vec<(i64, f32)>),
    F64(Vec<(i64, f64)>),
    I32(Vec<(i64, i32)>),
    Bool(Vec<(i64, bool)>),
    Text(Vec<(i64, String)>),
    F32Every { first: i64, every: u32, values: Vec<f32> },
    F64Every { first: i64, every: u32, values: Vec<f64> },
    I32Every { first: i64, every: u32, values: Vec<i32> },
    BoolEvery { first: i64, every: u32, values: Vec<bool> },
}

impl Message {
    pub(crate) fn encode(&self, key: Option<&Key<'_>>) -> Result<Vec<u8>, FrameError> {
        let mut out = [0; FRAME_MAX_BYTES];
        let length = self.encode_into(key, &mut out)?;
        Ok(out[..length].to_vec())
    }

    pub(crate) fn encode_into(&self, key: Option<&Key<'_>>, out: &mut [u8]) -> Result<usize, FrameError> {
        match self {
            Self::Named(body) => {
                let texts: Vec<_> = body.channels.iter().map(|c| c.samples.texts()).collect();
                let channels: Vec<_> = body
                    .channels
                    .iter()
                    .zip(&texts)
                    .map(|(c, texts)| Channel { name: &c.name, samples: c.samples.borrowed(texts) })
                    .collect();
                let (device, boot, seq, base) =
                    (&body.device, BootId(body.boot), DeviceSeq(body.seq), body.base.time());
                encode(&Frame { device, boot, seq, base, channels: &channels }, key, out)
            }
            Self::Numbered(body) => {
                let texts: Vec<_> = body.channels.iter().map(|c| c.samples.texts()).collect();
                let channels: Vec<_> = body
                    .channels
                    .iter()
                    .zip(&texts)
                    .map(|(c, texts)| Numbered { number: c.number, samples: c.samples.borrowed(texts) })
                    .collect();
                let (device, boot, seq, base) =
                    (&body.device, BootId(body.boot), DeviceSeq(body.seq), body.base.time());
                let table = TableId(body.table);
                encode(&NumberedFrame { device, boot, seq, base, table, channels: &channels }, key, out)
            }
            Self::Hello(body) => {
                let channels: Vec<_> = body.channels.iter().map(Info::borrowed).collect();
                let (device, boot, seq, base) =
                    (&body.device, BootId(body.boot), DeviceSeq(body.seq), body.base.time());
                let table = ChannelTable::new(&channels)?;
                assert_eq!(table.id(), TableId(body.table));
                encode(&Hello { device, boot, seq, base, table }, key, out)
            }
        }
    }

    /// What valid bytes say.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let parsed = frame::parse(bytes).expect("the bytes are valid");
        let Header { device, boot: BootId(boot), seq: DeviceSeq(seq) } = parsed.header();
        let device = device.to_owned();
        match parsed {
            Parsed::Samples(view) => {
                let base = Base::of(view.base);
                match view.table {
                    None => {
                        let channel = |c: ChannelView<'_>| match c.label {
                            Label::Name(name) => NamedChannel { name: name.into(), samples: Body::of(&c) },
                            Label::Number(_) => panic!("a number in a frame without a table"),
                        };
                        let channels = view.channels().map(channel).collect();
                        Self::Named(NamedBody { device, boot, seq, base, channels })
                    }
                    Some(TableId(table)) => {
                        let channel = |c: ChannelView<'_>| match c.label {
                            Label::Number(number) => NumberedChannel { number, samples: Body::of(&c) },
                            Label::Name(_) => panic!("a name in a frame with a table"),
                        };
                        let channels = view.channels().map(channel).collect();
                        Self::Numbered(NumberedBody { device, boot, seq, base, table, channels })
                    }
                }
            }
            Parsed::Hello(view) => {
                let channels = view.channels().map(Info::of).collect();
                let base = Base::of(view.base);
                Self::Hello(HelloBody { device, boot, seq, base, table: view.table.0, channels })
            }
        }
    }

    pub(crate) fn postcard(&self) -> Vec<u8> {
        let encoded = match self.clone() {
            Self::Named(mut body) => {
                body.channels.iter_mut().for_each(|c| c.samples.turn_into_deltas());
                postcard::to_stdvec(&body)
            }
            Self::Numbered(mut body) => {
                body.channels.iter_mut().for_each(|c| c.samples.turn_into_deltas());
                postcard::to_stdvec(&body)
            }
            Self::Hello(body) => postcard::to_stdvec(&body),
        };
        encoded.expect("plain types")
    }
}

fn encode<F: frame::Encode>(frame: &F, key: Option<&Key<'_>>, out: &mut [u8]) -> Result<usize, FrameError> {
    match key {
        None => frame::encode(frame, out),
        Some(key) => frame::encode_signed(frame, key, out),
    }
}

impl Base {
    fn time(&self) -> BaseTime {
        match *self {
            Self::UnixMicros(at) => BaseTime::UnixMicros(at),
            Self::SinceBootMicros(at) => BaseTime::SinceBootMicros(at),
        }
    }

    fn of(base: BaseTime) -> Self {
        match base {
            BaseTime::UnixMicros(at) => Self::UnixMicros(at),
            BaseTime::SinceBootMicros(at) => Self::SinceBootMicros(at),
        }
    }
}

impl Info {
    fn borrowed(&self) -> ChannelInfo<'_> {
        let kind = match self.kind {
            InfoKind::F32 => Kind::F32,
            InfoKind::F64 => Kind::F64,
            InfoKind::I32 => Kind::I32,
            InfoKind::Bool => Kind::Bool,
            InfoKind::Text => Kind::Text,
        };
        ChannelInfo { name: &self.name, unit: &self.unit, kind, range: self.range, interval_micros: self.interval_us }
    }

    fn of(info: ChannelInfo<'_>) -> Self {
        let kind = match info.kind {
            Kind::F32 => InfoKind::F32,
            Kind::F64 => InfoKind::F64,
            Kind::I32 => InfoKind::I32,
            Kind::Bool => InfoKind::Bool,
            Kind::Text => InfoKind::Text,
        };
        let (name, unit) = (info.name.to_owned(), info.unit.to_owned());
        Self { name, unit, kind, range: info.range, interval_us: info.interval_micros }
    }
}

impl Body {
    /// The texts as `borrowed` needs them; empty for other kinds.
    fn texts(&self) -> Vec<(i64, &str)> {
        match self {
            Self::Text(s) => s.iter().map(|(at, text)| (*at, text.as_str())).collect(),
            Self::F32(_) | Self::F64(_) | Self::I32(_) | Self::Bool(_) => Vec::new(),
            Self::F32Every { .. } | Self::F64Every { .. } | Self::I32Every { .. } | Self::BoolEvery { .. } => {
                Vec::new()
            }
        }
    }

    fn borrowed<'a>(&'a self, texts: &'a [(i64, &'a str)]) -> Samples<'a> {
        match self {
            Self::F32(s) => Samples::F32(s),
            Self::F64(s) => Samples::F64(s),
            Self::I32(s) => Samples::I32(s),
            Self::Bool(s) => Samples::Bool(s),
            Self::Text(_) => Samples::Text(texts),
            Self::F32Every { first, every, values } => Samples::F32Every(spaced(*first, *every, values)),
            Self::F64Every { first, every, values } => Samples::F64Every(spaced(*first, *every, values)),
            Self::I32Every { first, every, values } => Samples::I32Every(spaced(*first, *every, values)),
            Self::BoolEvery { first, every, values } => Samples::BoolEvery(spaced(*first, *every, values)),
        }
    }

    fn of(channel: &ChannelView<'_>) -> Self {
        let f32s = |(at, value)| if let Value::F32(v) = value { (at, v) } else { panic!("{value:?}") };
        let f64s = |(at, value)| if let Value::F64(v) = value { (at, v) } else { panic!("{value:?}") };
        let i32s = |(at, value)| if let Value::I32(v) = value { (at, v) } else { panic!("{value:?}") };
        let bools = |(at, value)| if let Value::Bool(v) = value { (at, v) } else { panic!("{value:?}") };
        let texts = |(at, value)| if let Value::Text(v) = value { (at, v.to_owned()) } else { panic!("{value:?}") };
        let samples = channel.samples();
        match channel.timing {
            Timing::Own => match channel.kind {
                Kind::F32 => Self::F32(samples.map(f32s).collect()),
                Kind::F64 => Self::F64(samples.map(f64s).collect()),
                Kind::I32 => Self::I32(samples.map(i32s).collect()),
                Kind::Bool => Self::Bool(samples.map(bools).collect()),
                Kind::Text => Self::Text(samples.map(texts).collect()),
            },
            Timing::Every { first, interval_micros: every } => {
                for (i, (at, _)) in channel.samples().enumerate() {
                    assert_eq!(at, first + i as i64 * i64::from(every));
                }
                match channel.kind {
                    Kind::F32 => Self::F32Every { first, every, values: samples.map(|s| f32s(s).1).collect() },
                    Kind::F64 => Self::F64Every { first, every, values: samples.map(|s| f64s(s).1).collect() },
                    Kind::I32 => Self::I32Every { first, every, values: samples.map(|s| i32s(s).1).collect() },
                    Kind::Bool => Self::BoolEvery { first, every, values: samples.map(|s| bools(s).1).collect() },
                    Kind::Text => panic!("texts have times of their own"),
                }
            }
        }
    }

    fn turn_into_deltas(&mut self) {
        match self {
            Self::F32(s) => deltas(s),
            Self::F64(s) => deltas(s),
            Self::I32(s) => deltas(s),
            Self::Bool(s) => deltas(s),
            Self::Text(s) => deltas(s),
            Self::F32Every { .. } | Self::F64Every { .. } | Self::I32Every { .. } | Self::BoolEvery { .. } => {}
        }
    }
}

fn spaced<T>(first: i64, interval_micros: u32, values: &[T]) -> Every<'_, T> {
    Every { first, interval_micros, values }
}

fn deltas<T>(samples: &mut [(i64, T)]) {
    let mut before = 0;
    for (offset, _) in samples {
        (before, *offset) = (*offset, *offset - before);
    }
}

fn name(max_chars: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-zA-Z0-9 ,=_.äß\\\\-]", 1..=max_chars).prop_map(|v| v.concat())
}

fn samples() -> impl Strategy<Value = Body> {
    // Half the range, so that differences fit.
    let offset = || prop_oneof![-10_000_000_i64..10_000_000, i64::MIN / 2..i64::MAX / 2];
    let every = || prop_oneof![1..2_000_000_u32, 1..=u32::MAX];
    let f32s = || any::<u32>().prop_map(f32::from_bits);
    let f64s = || any::<u64>().prop_map(f64::from_bits);
    let many = || 0..24_usize;
    let own = prop_oneof![
        proptest::collection::vec((offset(), f32s()), many()).prop_map(Body::F32),
        proptest::collection::vec((offset(), f64s()), many()).prop_map(Body::F64),
        proptest::collection::vec((offset(), any::<i32>()), many()).prop_map(Body::I32),
        proptest::collection::vec((offset(), any::<bool>()), many()).prop_map(Body::Bool),
        proptest::collection::vec((offset(), "[ -~äß]{0,12}"), 0..8).prop_map(Body::Text),
    ];
    let values = prop_oneof![
        proptest::collection::vec(f32s(), many()).prop_map(|values| Body::F32Every { first: 0, every: 1, values }),
        proptest::collection::vec(f64s(), many()).prop_map(|values| Body::F64Every { first: 0, every: 1, values }),
        proptest::collection::vec(any::<i32>(), many()).prop_map(|values| Body::I32Every {
            first: 0,
            every: 1,
            values
        }),
        proptest::collection::vec(any::<bool>(), many()).prop_map(|values| Body::BoolEvery {
            first: 0,
            every: 1,
            values
        }),
    ];
    let spaced = (values, offset(), every()).prop_map(|(mut body, at, interval)| {
        match &mut body {
            Body::F32Every { first, every, .. }
            | Body::F64Every { first, every, .. }
            | Body::I32Every { first, every, .. }
            | Body::BoolEvery { first, every, .. } => (*first, *every) = (at, interval),
            Body::F32(_) | Body::F64(_) | Body::I32(_) | Body::Bool(_) | Body::Text(_) => {}
        }
        body
    });
    prop_oneof![own, spaced]
}

fn base() -> impl Strategy<Value = Base> {
    prop_oneof![any::<i64>().prop_map(Base::UnixMicros), any::<u64>().prop_map(Base::SinceBootMicros)]
}

fn named() -> impl Strategy<Value = Message> {
    let channels = proptest::collection::btree_map(name(16), samples(), 0..6);
    (name(32), any::<u32>(), any::<u32>(), base(), channels).prop_map(|(device, boot, seq, base, channels)| {
        let channels = channels.into_iter().map(|(name, samples)| NamedChannel { name, samples }).collect();
        Message::Named(NamedBody { device, boot, seq, base, channels })
    })
}

fn numbered() -> impl Strategy<Value = Message> {
    let channels = proptest::collection::btree_map(0..32_u8, samples(), 0..6);
    let identity = (name(32), any::<u32>(), any::<u32>());
    (identity, base(), any::<u32>(), channels).prop_map(|((device, boot, seq), base, table, channels)| {
        let channels = channels.into_iter().map(|(number, samples)| NumberedChannel { number, samples }).collect();
        Message::Numbered(NumberedBody { device, boot, seq, base, table, channels })
    })
}

fn hello() -> impl Strategy<Value = Message> {
    let kind = prop_oneof![
        Just(InfoKind::F32),
        Just(InfoKind::F64),
        Just(InfoKind::I32),
        Just(InfoKind::Bool),
        Just(InfoKind::Text)
    ];
    let bounds = (-1e30_f32..1e30, -1e30_f32..1e30);
    let range = proptest::option::of(bounds.prop_map(|(a, b)| (a.min(b), a.max(b))));
    let info = ("[a-zA-Z0-9/%µ]{0,8}", kind, range, any::<u32>());
    let channels = proptest::collection::btree_map(name(16), info, 0..12);
    (name(32), any::<u32>(), any::<u32>(), base(), channels).prop_map(|(device, boot, seq, base, channels)| {
        let channels = channels.into_iter();
        let channels: Vec<_> = channels
            .map(|(name, (unit, kind, range, interval_us))| Info { name, unit, kind, range, interval_us })
            .collect();
        let table = crc32(&postcard::to_stdvec(&channels).expect("plain types"));
        Message::Hello(HelloBody { device, boot, seq, base, table, channels })
    })
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![2 => named(), 2 => numbered(), 1 => hello()]
}
