//! Properties over random input: what is encoded comes back, and no bytes bring a decoder down.

mod line_parser;

use std::collections::{BTreeMap, BTreeSet};

use firmware_protocol::decode::{Decoder, DecoderName, Format, Incoming, Route};
use firmware_protocol::derived::Derived;
use firmware_protocol::envelope::{Envelope, Schema};
use firmware_protocol::frame::{self, Header};
use firmware_protocol::line::{Encoder, Line, next_line, point_time};
use firmware_protocol::measurement::{ClockTrust, EventTime, FrameIdentity, Measurement, Reading, Received};
use firmware_protocol::topic::Pattern;
use firmware_protocol::{BootId, DeviceSeq};
use proptest::prelude::*;

fn name(max_chars: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-zA-Z0-9 ,=_.äß\\\\-]", 1..=max_chars).prop_map(|v| v.concat())
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
    assert!(Header::peek(payload).is_ok() || frame::parse(payload).is_err());
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
    fn no_bytes_bring_a_decoder_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
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
        decoder in prop::option::of("[a-z/#+]{1,8}/[1-9][0-9]{0,3}"),
        (queue_seq, at, retained) in any::<(u64, i64, bool)>(),
        identity in any::<Option<(u32, u32)>>(),
        decoder in proptest::option::of(("[a-z{}#/+]{1,20}", 1u32..)),
    ) {
        let decoder = decoder.map(|(id, version)| format!("{id}/{version}"));
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
            decoder: decoder.as_deref().and_then(DecoderName::parse),
        };
        prop_assert_eq!(envelope.decoder.is_some(), decoder.is_some());
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
