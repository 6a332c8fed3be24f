//! Any bytes as a frame, an acknowledgement, and a payload under routes of each kind: bounded, and what is valid is
//! encoded to the same bytes.
#![no_main]

use std::sync::LazyLock;

use firmware_protocol::crc::crc32;
use firmware_protocol::decode::{CHANNELS_MAX, DEVICE_MAX_BYTES, Decoder, Format, Incoming, READINGS_MAX, Route, TimeUnit};
use firmware_protocol::frame::{self, ACK_MAX_BYTES, Channel, FRAME_MAX_BYTES, Frame, FrameView, Header, Kind, Samples, Value};
use firmware_protocol::measurement::{EventTime, Measurement};
use libfuzzer_sys::fuzz_target;

/// One route for each way to find device, channel and time.
static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let route = |topic: &str| Route { topic: topic.to_owned(), ..Route::default() };
    Decoder::new(vec![
        route("a/{device}/{channel}"),
        Route { device_field: Some("id".into()), time_unit: TimeUnit::Rfc3339, ..route("b/{channel}") },
        Route { device_field: Some("a.b".into()), time_field: None, ..route("b/#") },
        Route { format: Format::Json, time_field: Some("t.s".into()), time_unit: TimeUnit::S, ..route("c") },
        Route { format: Format::Frame, ..route("d") },
        Route { format: Format::Scalar, time_unit: TimeUnit::Ns, ..route("e/{device}") },
        route("#"),
    ])
    .expect("the routes are valid")
});
/// As senders name what a payload is: nothing, or what the decoders know.
const CONTENT_TYPES: [&str; 4] =
    ["", "application/json", "application/vnd.sensor-frame", "application/vnd.influx.line-protocol; precision=ms"];
const RECEIVED_AT: EventTime = EventTime(1_772_366_400_000_000_000);
const TOPICS: [&str; 8] = ["a/pump-7/temperature", "b/flow", "b/x/y", "c", "d", "e/1", "", "sensors/x"];

fuzz_target!(|input: &[u8]| {
    let Some((&selector, bytes)) = input.split_first() else { return };
    frame_as_it_is(bytes);
    // Sealed with the right CRC, so that what lies behind that check is reached too.
    let sealed = [bytes, &crc32(bytes).to_le_bytes()].concat();
    frame_as_it_is(&sealed);
    ack(&sealed);
    // Three bits for the topic, two for the content type, one for a broker's retained copy.
    let topic = TOPICS[usize::from(selector & 7)];
    let content_type = CONTENT_TYPES[usize::from(selector >> 3 & 3)];
    let is_replay = selector & 0x20 != 0;
    for payload in [bytes, &sealed] {
        decode(Incoming { topic, payload, content_type, received_at: RECEIVED_AT, is_replay, table: "" });
    }
});

fn frame_as_it_is(bytes: &[u8]) {
    let Ok(view) = FrameView::parse(bytes) else { return };
    assert_eq!(Header::peek(bytes), Ok(view.header));
    let channels: Vec<_> = view.channels().map(|c| (c.name, c.kind, c.samples().collect::<Vec<_>>())).collect();
    assert_eq!(channels.len(), view.channel_count());
    let mut kept = Kept::default();
    channels.iter().for_each(|(_, kind, samples)| kept.keep(*kind, samples));
    let (mut f32s, mut f64s) = (kept.f32s.iter(), kept.f64s.iter());
    let (mut i32s, mut bools) = (kept.i32s.iter(), kept.bools.iter());
    let channels: Vec<_> = channels
        .iter()
        .map(|(name, kind, _)| {
            let samples = match kind {
                Kind::F32 => Samples::F32(f32s.next().expect("kept")),
                Kind::F64 => Samples::F64(f64s.next().expect("kept")),
                Kind::I32 => Samples::I32(i32s.next().expect("kept")),
                Kind::Bool => Samples::Bool(bools.next().expect("kept")),
            };
            Channel { name, samples }
        })
        .collect();
    let Header { device, boot, seq } = view.header;
    let mut out = [0; FRAME_MAX_BYTES];
    let length = frame::encode(&Frame { device, boot, seq, base: view.base, channels: &channels }, &mut out);
    let length = length.expect("what could be decoded can be encoded");
    // Not the signalling bit of a float that is not a number: moving it through a register may set it.
    if !channels.iter().any(|c| has_nan(c.samples)) {
        assert_eq!(&out[..length], bytes, "one content has one encoding");
    }
}

/// The samples of a frame's channels, by kind, in their order.
#[derive(Default)]
struct Kept {
    f32s: Vec<Vec<(i64, f32)>>,
    f64s: Vec<Vec<(i64, f64)>>,
    i32s: Vec<Vec<(i64, i32)>>,
    bools: Vec<Vec<(i64, bool)>>,
}

impl Kept {
    fn keep(&mut self, kind: Kind, samples: &[(i64, Value)]) {
        fn all<T>(samples: &[(i64, Value)], value: impl Fn(Value) -> Option<T>) -> Vec<(i64, T)> {
            samples.iter().map(|(at, v)| (*at, value(*v).expect("of the channel's kind"))).collect()
        }
        match kind {
            Kind::F32 => self.f32s.push(all(samples, |v| if let Value::F32(v) = v { Some(v) } else { None })),
            Kind::F64 => self.f64s.push(all(samples, |v| if let Value::F64(v) = v { Some(v) } else { None })),
            Kind::I32 => self.i32s.push(all(samples, |v| if let Value::I32(v) = v { Some(v) } else { None })),
            Kind::Bool => self.bools.push(all(samples, |v| if let Value::Bool(v) = v { Some(v) } else { None })),
        }
    }
}

fn has_nan(samples: Samples<'_>) -> bool {
    match samples {
        Samples::F32(s) => s.iter().any(|(_, v)| v.is_nan()),
        Samples::F64(s) => s.iter().any(|(_, v)| v.is_nan()),
        Samples::I32(_) | Samples::Bool(_) => false,
    }
}

fn ack(bytes: &[u8]) {
    if let Ok(header) = frame::parse_ack(bytes) {
        let mut out = [0; ACK_MAX_BYTES];
        let length = frame::encode_ack(&header, &mut out).expect("what could be decoded can be encoded");
        assert_eq!(&out[..length], bytes);
    }
}

fn decode(message: Incoming<'_>) {
    let mut out = Measurement::default();
    let decoded = DECODER.decode(message, &mut out);
    let device = DECODER.device_of(message.topic, message.payload, message.content_type);
    assert!(device.len() <= DEVICE_MAX_BYTES || device == message.topic);
    if decoded.is_ok() {
        assert_eq!(device, out.device(), "the key is the device");
        assert!(!out.readings.is_empty() && out.readings.len() <= READINGS_MAX);
        assert!(out.channel_count() <= CHANNELS_MAX);
        assert!(out.readings.iter().all(|r| r.value.is_finite() && usize::from(r.channel.0) < out.channel_count()));
    }
}
