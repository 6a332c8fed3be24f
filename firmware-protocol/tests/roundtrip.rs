//! Properties over random input: what is encoded comes back, and no bytes bring a decoder down.

mod line_parser;

use std::collections::{BTreeMap, BTreeSet};

use firmware_protocol::decode::{Decoder, Format, Incoming, Route};
use firmware_protocol::derived::Derived;
use firmware_protocol::envelope::{Envelope, Schema};
use firmware_protocol::frame::{self, BaseTime, Channel, FRAME_MAX_BYTES, Frame, FrameView, Header, Samples, Value};
use firmware_protocol::line::{Encoder, Line, next_line, point_time};
use firmware_protocol::measurement::{ClockTrust, EventTime, FrameIdentity, Measurement, Reading, Received};
use firmware_protocol::topic::Pattern;
use firmware_protocol::{BootId, DeviceSeq, FrameError};
use proptest::prelude::*;
use serde::Serialize;

/// The plain type whose postcard encoding is the body of a frame; see `SPEC.md`.
#[derive(Clone, Debug, Serialize)]
struct Body {
    device: String,
    boot: u32,
    seq: u32,
    base: Base,
    channels: Vec<OwnedChannel>,
}

#[derive(Clone, Debug, Serialize)]
enum Base {
    UnixMicros(i64),
    SinceBootMicros(u64),
}

/// Samples hold offsets; `deltas` gives what is on the wire.
#[derive(Clone, Debug, Serialize)]
struct OwnedChannel {
    name: String,
    samples: OwnedSamples,
}

#[derive(Clone, Debug, Serialize)]
enum OwnedSamples {
    F32(Vec<(i64, f32)>),
    F64(Vec<(i64, f64)>),
    I32(Vec<(i64, i32)>),
    Bool(Vec<(i64, bool)>),
}

impl Body {
    fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let channels: Vec<_> = self
            .channels
            .iter()
            .map(|c| Channel {
                name: &c.name,
                samples: match &c.samples {
                    OwnedSamples::F32(s) => Samples::F32(s),
                    OwnedSamples::F64(s) => Samples::F64(s),
                    OwnedSamples::I32(s) => Samples::I32(s),
                    OwnedSamples::Bool(s) => Samples::Bool(s),
                },
            })
            .collect();
        let base = match self.base {
            Base::UnixMicros(at) => BaseTime::UnixMicros(at),
            Base::SinceBootMicros(at) => BaseTime::SinceBootMicros(at),
        };
        let (boot, seq) = (BootId(self.boot), DeviceSeq(self.seq));
        let mut out = [0; FRAME_MAX_BYTES];
        let length = frame::encode(&Frame { device: &self.device, boot, seq, base, channels: &channels }, &mut out)?;
        Ok(out[..length].to_vec())
    }

    fn of(view: &FrameView<'_>) -> Self {
        let channels = view.channels().map(|c| {
            let mut samples = match c.kind {
                frame::Kind::F32 => OwnedSamples::F32(Vec::new()),
                frame::Kind::F64 => OwnedSamples::F64(Vec::new()),
                frame::Kind::I32 => OwnedSamples::I32(Vec::new()),
                frame::Kind::Bool => OwnedSamples::Bool(Vec::new()),
            };
            for (offset, value) in c.samples() {
                match (&mut samples, value) {
                    (OwnedSamples::F32(s), Value::F32(v)) => s.push((offset, v)),
                    (OwnedSamples::F64(s), Value::F64(v)) => s.push((offset, v)),
                    (OwnedSamples::I32(s), Value::I32(v)) => s.push((offset, v)),
                    (OwnedSamples::Bool(s), Value::Bool(v)) => s.push((offset, v)),
                    (samples, value) => panic!("{value:?} in {samples:?}"),
                }
            }
            OwnedChannel { name: c.name.to_owned(), samples }
        });
        let base = match view.base {
            BaseTime::UnixMicros(at) => Base::UnixMicros(at),
            BaseTime::SinceBootMicros(at) => Base::SinceBootMicros(at),
        };
        let Header { device, boot, seq } = view.header;
        Self { device: device.to_owned(), boot: boot.0, seq: seq.0, base, channels: channels.collect() }
    }

    fn with_deltas(mut self) -> Self {
        for channel in &mut self.channels {
            match &mut channel.samples {
                OwnedSamples::F32(s) => deltas(s),
                OwnedSamples::F64(s) => deltas(s),
                OwnedSamples::I32(s) => deltas(s),
                OwnedSamples::Bool(s) => deltas(s),
            }
        }
        self
    }
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

fn samples() -> impl Strategy<Value = OwnedSamples> {
    // Half the range, so that differences fit.
    let offset = prop_oneof![-10_000_000_i64..10_000_000, i64::MIN / 2..i64::MAX / 2];
    let many = 0..24_usize;
    prop_oneof![
        proptest::collection::vec((offset.clone(), any::<u32>().prop_map(f32::from_bits)), many.clone())
            .prop_map(OwnedSamples::F32),
        proptest::collection::vec((offset.clone(), any::<u64>().prop_map(f64::from_bits)), many.clone())
            .prop_map(OwnedSamples::F64),
        proptest::collection::vec((offset.clone(), any::<i32>()), many.clone()).prop_map(OwnedSamples::I32),
        proptest::collection::vec((offset, any::<bool>()), many).prop_map(OwnedSamples::Bool),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let base = prop_oneof![any::<i64>().prop_map(Base::UnixMicros), any::<u64>().prop_map(Base::SinceBootMicros)];
    let channels = proptest::collection::btree_map(name(16), samples(), 0..6);
    (name(32), any::<u32>(), any::<u32>(), base, channels).prop_map(|(device, boot, seq, base, channels)| Body {
        device,
        boot,
        seq,
        base,
        channels: channels.into_iter().map(|(name, samples)| OwnedChannel { name, samples }).collect(),
    })
}

fn routes() -> Decoder {
    let route = |topic: &str, format| Route {
        topic: topic.into(),
        format,
        device_field: Some("id".into()),
        ..Route::default()
    };
    let routes = vec![
        route("f/#", Format::Frame),
        route("j/{device}/{channel}", Format::Json),
        route("j/#", Format::Json),
        route("s/{device}", Format::Scalar),
        Route::default(),
    ];
    Decoder::new(routes).expect("these routes are right")
}

/// Every decoder sees the bytes; what comes out is within its bounds.
fn decode_all_ways(payload: &[u8]) {
    let decoder = routes();
    let mut out = Measurement::default();
    let named =
        ["application/json", "application/vnd.sensor-frame", "application/vnd.influx.line-protocol;precision=s"];
    let topics = ["f/a", "j/a/b", "j/a", "s/a", "else", ""].map(|topic| (topic, ""));
    for (topic, content_type) in topics.into_iter().chain(named.map(|named| ("j/a", named))) {
        let message =
            Incoming { topic, payload, content_type, received_at: EventTime(i64::MAX), is_replay: false, table: "" };
        if let Ok(route) = decoder.decode(message, &mut out) {
            assert!(!out.device().is_empty());
            assert!(out.readings.iter().all(|r| r.value.is_finite() && !out.channel(r.channel).is_empty()));
            let mut lines = Vec::new();
            let count = Encoder::new(&[]).measurement(&mut lines, &route.measurement, &out, 1);
            assert_eq!(line_parser::parse(&lines).expect("lines parse").len(), count);
            assert_eq!(decoder.device_of(topic, payload, content_type), out.device());
        } else {
            assert!(!decoder.device_of(topic, payload, content_type).is_empty() || topic.is_empty());
        }
    }
    assert!(Header::peek(payload).is_ok() || FrameView::parse(payload).is_err());
    if let Ok(record) = Derived::from_json(payload) {
        let mut line = Vec::new();
        Encoder::new(&[]).derived(&mut line, &record);
        assert_eq!(line_parser::parse(&line).expect("a line parses").len(), 1);
    }
}

/// JSON-like text: mostly valid, with the names that have a meaning.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<f64>().prop_filter("json has no others", |v| v.is_finite()).prop_map(|v| format!("{v:?}")),
        any::<i64>().prop_map(|v| v.to_string()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("\"2026-03-01T12:00:00Z\"".to_owned()),
        "\"[a-z]{0,8}\"",
        "[ -~]{0,3}",
    ];
    leaf.prop_recursive(6, 32, 6, |inner| {
        let field = ("(ts|id|value|a|b|[a-z ,=]{0,4}|\\\\u00e4)", inner.clone());
        let object = proptest::collection::vec(field.prop_map(|(k, v)| format!("\"{k}\":{v}")), 0..6);
        prop_oneof![
            object.prop_map(|fields| format!("{{{}}}", fields.join(","))),
            proptest::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(","))),
        ]
    })
}

/// MQTT's matching by recursion over lists of levels, to judge the real one.
fn model_matches(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        (["#"], _) | ([], []) => true,
        ([], _) | (_, []) => false,
        ([p, pattern @ ..], [t, topic @ ..]) => {
            let fits = match *p {
                "+" => true,
                "{device}" | "{channel}" => !t.is_empty(),
                literal => literal == *t,
            };
            fits && model_matches(pattern, topic)
        }
    }
}

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_was_encoded(body in body()) {
        let bytes = body.encode().unwrap();
        let view = FrameView::parse(&bytes).unwrap();
        let back = Body::of(&view);
        // By Debug and bytes, since NaN differs from itself.
        prop_assert_eq!(back.encode().unwrap(), bytes);
        prop_assert_eq!(format!("{back:?}"), format!("{body:?}"));
    }

    #[test]
    fn the_body_of_a_frame_is_postcards(body in body()) {
        let bytes = body.encode().unwrap();
        let postcard = postcard::to_stdvec(&body.with_deltas()).unwrap();
        prop_assert_eq!(&bytes[4..bytes.len() - 4], &postcard[..]);
    }

    #[test]
    fn what_parses_encodes_to_the_same_bytes(body in body(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = body.encode().unwrap();
        let end = bytes.len() - 4;
        bytes[4 + at.index(end - 4)] = byte;
        let crc = firmware_protocol::crc::crc32(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        if let Ok(view) = FrameView::parse(&bytes) {
            prop_assert_eq!(Body::of(&view).encode().unwrap(), bytes);
        }
    }

    #[test]
    fn no_bytes_bring_a_decoder_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_all_ways(&bytes);
    }

    #[test]
    fn no_damaged_frame_with_a_right_crc_brings_a_decoder_down(
        body in body(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = body.encode().unwrap();
        bytes.truncate(8 + length.index(bytes.len()));
        let end = bytes.len().saturating_sub(4);
        for (at, byte) in damage {
            bytes[at.index(end)] = byte;
        }
        let crc = firmware_protocol::crc::crc32(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        decode_all_ways(&bytes);
    }

    #[test]
    fn no_json_brings_a_decoder_down(text in json()) {
        decode_all_ways(text.as_bytes());
    }

    #[test]
    fn no_line_brings_a_decoder_down(parts in proptest::collection::vec("(m|k|x|device|[,= \"\\\\]|1|t|\n|ä|[ -~]{0,2})", 0..24)) {
        let text = parts.concat();
        decode_all_ways(text.as_bytes());
        let mut rest = text.as_bytes();
        let mut bytes = 0;
        while let Some((line, after)) = next_line(rest) {
            prop_assert!(!line.is_empty());
            (bytes, rest) = (bytes + line.len(), after);
        }
        prop_assert_eq!(bytes, text.len());
    }

    #[test]
    fn topics_match_as_a_naive_model_says(
        pattern in proptest::collection::vec("(a|b|\\+|\\{device\\}||ab)", 1..5),
        open in any::<bool>(),
        topic in proptest::collection::vec("(a|b||ab)", 1..6),
    ) {
        let mut levels: Vec<_> = pattern.iter().map(String::as_str).collect();
        if open {
            levels.push("#");
        }
        if let Ok(pattern) = Pattern::new(&levels.join("/")) {
            let expected = model_matches(&levels, &topic.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(pattern.matches(&topic.join("/")).is_some(), expected);
        }
    }

    #[test]
    fn no_pattern_and_no_topic_bring_matching_down(pattern in "[ab/+#{}$]{0,12}|.{0,12}", topic in "[ab/$]{0,12}|.{0,12}") {
        if let Ok(pattern) = Pattern::new(&pattern) {
            pattern.matches(&topic);
        }
    }

    #[test]
    fn lines_say_what_the_measurement_says(
        device in name(12),
        site in name(8),
        channels in proptest::collection::btree_map(name(8), proptest::collection::vec((0..5_i64, any::<f64>()), 0..8), 1..5),
        frame in any::<bool>(),
        queue_seq in any::<u64>(),
    ) {
        let identity = frame.then_some(FrameIdentity { boot: BootId(1), seq: DeviceSeq(2) });
        // Names that differ only in what the format cannot carry would meet in one field.
        let mut carried = BTreeSet::new();
        let channels: Vec<_> = channels.into_iter().filter(|(n, _)| carried.insert(line_parser::carried(n))).collect();
        let mut m = Measurement::default();
        m.identity = identity;
        m.set_device(&device);
        let mut expected: BTreeMap<i64, BTreeMap<String, f64>> = BTreeMap::new();
        for (name, samples) in &channels {
            let channel = m.push_channel(name);
            for (at, value) in samples {
                let at = EventTime(at * 500_000);
                m.readings.push(Reading { channel, at, value: *value });
                if value.is_finite() {
                    let point = expected.entry(point_time(at, identity, queue_seq).0).or_default();
                    point.insert(line_parser::carried(name), *value);
                }
            }
        }
        let mut out = Vec::new();
        let count = Encoder::new(&[("site".into(), site.clone())]).measurement(&mut out, "sensor", &m, queue_seq);
        let lines = line_parser::parse(&out).unwrap();
        prop_assert_eq!(lines.len(), count);
        let tags = BTreeMap::from([
            ("device".to_owned(), line_parser::carried(&device)),
            ("site".to_owned(), line_parser::carried(&site)),
        ]);
        for (line, text) in lines.iter().zip(std::str::from_utf8(&out).unwrap().split_inclusive('\n')) {
            prop_assert_eq!(next_line(text.as_bytes()), Some((text.as_bytes(), &b""[..])));
            let read = Line::parse(text).unwrap();
            let read_tags: BTreeMap<_, _> = read.tags().map(|(k, v)| (k.text().into(), v.text().into())).collect();
            let read_fields: BTreeMap<_, _> = read.fields().map(|(k, v)| (k.text().into(), v.number().unwrap())).collect();
            prop_assert_eq!(&read_tags, &line.tags);
            prop_assert_eq!(&read_fields, &line.floats());
            prop_assert_eq!((read.measurement().text(), read.timestamp()), ("sensor".into(), Some(line.at_nanos)));
        }
        for line in &lines {
            prop_assert_eq!(&line.measurement, "sensor");
            prop_assert_eq!(&line.tags, &tags);
        }
        if !times_meet(&m, queue_seq) {
            let written: BTreeMap<_, _> = lines.into_iter().map(|l| (l.at_nanos, l.floats())).collect();
            prop_assert_eq!(written, expected);
        }
    }

    #[test]
    fn an_envelope_comes_back_from_its_headers(
        gateway in ".{1,8}",
        topic in ".{0,12}",
        content_type in ".{0,8}",
        table in ".{0,8}",
        (queue_seq, at, retained) in any::<(u64, i64, bool)>(),
        identity in any::<Option<(u32, u32)>>(),
    ) {
        let envelope = Envelope {
            schema: Schema::Raw,
            gateway: &gateway,
            queue_seq,
            received: Received { at: EventTime(at), clock: ClockTrust::ALL[(at.unsigned_abs() % 3) as usize] },
            topic: &topic,
            door: "mqtt",
            retained,
            identity: identity.map(|(boot, seq)| FrameIdentity { boot: BootId(boot), seq: DeviceSeq(seq) }),
            content_type: &content_type,
            table: &table,
        };
        let mut headers = Vec::new();
        envelope.write_headers(|name, value| headers.push((name, value.to_vec())));
        let read = Envelope::from_headers(headers.iter().map(|(name, value)| (*name, value.as_slice())));
        prop_assert_eq!(read, Ok(envelope));
    }

    #[test]
    fn no_headers_bring_the_envelope_down(headers in proptest::collection::vec(("(schema|gateway|queue_seq|received_at_ns|door|retained|frame_boot|.{0,4})", proptest::collection::vec(any::<u8>(), 0..6)), 0..12)) {
        let read = Envelope::from_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        prop_assert!(read.is_err(), "random bytes name no schema");
    }
}

/// Whether the sub-stamp moves one event time onto another.
fn times_meet(m: &Measurement, queue_seq: u64) -> bool {
    let times: BTreeSet<_> = m.readings.iter().map(|r| r.at).collect();
    let points: BTreeSet<_> = times.iter().map(|at| point_time(*at, m.identity, queue_seq)).collect();
    points.len() < times.len()
}
