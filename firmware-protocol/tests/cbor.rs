//! CBOR maps mean what the same JSON means, and what CBOR has beyond JSON has a meaning, too.

use firmware_protocol::decode::{Channel, DecodeError, Decoder, Fields, Format, Incoming, READINGS_MAX, Route};
use firmware_protocol::measurement::{EventTime, Measurement};
use proptest::prelude::*;

const NOW: EventTime = EventTime(1_772_366_400_000_000_000);
const TOPIC: &str = "in/field";

fn decode_on(route: Route, content_type: &str, payload: &[u8]) -> Result<Measurement, DecodeError> {
    let decoder = Decoder::new(vec![route]).expect("the route is valid");
    let mut out = Measurement::default();
    let message = Incoming { topic: TOPIC, payload, content_type, received_at: NOW, is_replay: false, table: "" };
    decoder.decode(message, &mut out)?;
    assert_eq!(decoder.device_of(TOPIC, payload, content_type), out.device(), "the key is the device");
    Ok(out)
}

fn decode(payload: &[u8]) -> Result<Measurement, DecodeError> {
    decode_on(Route { format: Format::Cbor, ..Route::default() }, "", payload)
}

fn readings(m: &Measurement) -> Vec<(&str, i64, f64)> {
    m.readings.iter().map(|r| (m.channel(r.channel), r.at.as_millis(), r.value)).collect()
}

/// A head of RFC 8949, section 3, in its shortest form.
fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    match value {
        0..=23 => out.push(major << 5 | value as u8),
        24..=0xff => out.extend_from_slice(&[major << 5 | 24, value as u8]),
        0x100..=0xffff => {
            out.push(major << 5 | 25);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        _ => {
            out.push(major << 5 | 27);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

#[derive(Clone, Debug)]
enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    /// In CBOR with or without its length.
    Map(Vec<(String, Value)>, bool),
}

impl Value {
    fn cbor(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0xf6),
            Self::Bool(v) => out.push(0xf4 + u8::from(*v)),
            Self::Int(v) if *v < 0 => head(out, 1, (-1 - v) as u64),
            Self::Int(v) => head(out, 0, *v as u64),
            Self::Float(v) => {
                out.push(0xfb);
                out.extend_from_slice(&v.to_be_bytes());
            }
            Self::Text(v) => {
                head(out, 3, v.len() as u64);
                out.extend_from_slice(v.as_bytes());
            }
            Self::List(all) => {
                head(out, 4, all.len() as u64);
                all.iter().for_each(|value| value.cbor(out));
            }
            Self::Map(all, with_length) => {
                if *with_length {
                    head(out, 5, all.len() as u64);
                } else {
                    out.push(0xbf);
                }
                for (key, value) in all {
                    Self::Text(key.clone()).cbor(out);
                    value.cbor(out);
                }
                if !with_length {
                    out.push(0xff);
                }
            }
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(v) => v.to_string(),
            Self::Int(v) => v.to_string(),
            Self::Float(v) => format!("{v:?}"),
            Self::Text(v) => format!("\"{v}\""),
            Self::List(all) => format!("[{}]", all.iter().map(Self::json).collect::<Vec<_>>().join(",")),
            Self::Map(all, _) => {
                let field = |(key, value): &(String, Value)| format!("\"{key}\":{}", value.json());
                format!("{{{}}}", all.iter().map(field).collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        prop::num::f64::NORMAL.prop_map(Value::Float),
        "[a-z]{0,5}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let map = prop::collection::btree_map("[a-e]|ts|id", inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::List),
            (map, any::<bool>()).prop_map(|(map, form)| Value::Map(map.into_iter().collect(), form)),
        ]
    })
}

fn routes() -> Vec<Route> {
    let channel = |path: &str, name: &str| Channel { path: path.into(), name: name.into(), ..Channel::default() };
    let listed = vec![
        channel("a.b", "x"),
        Channel { scale: 2.0, ..channel("c", "") },
        channel("d[*].a", ""),
        channel("e[1]", ""),
    ];
    vec![
        Route::default(),
        Route { device_field: Some("id".into()), ..Route::default() },
        Route { fields: Fields::Listed, channels: listed, time_field: Some("d[*].ts".into()), ..Route::default() },
        Route { each: "a".into(), ..Route::default() },
    ]
}

proptest! {
    /// Whatever the rules, and however wrong the payload, both forms come to the same readings or the same refusal.
    #[test]
    fn a_map_means_what_the_same_json_means(value in any_value(), route in 0_usize..4) {
        let is_nested = matches!(value, Value::List(_) | Value::Map(..));
        prop_assume!(is_nested);
        let mut cbor = Vec::new();
        value.cbor(&mut cbor);
        let route = &routes()[route];
        let from_cbor = decode_on(route.clone(), "application/cbor", &cbor);
        let from_json = decode_on(Route { format: Format::Json, ..route.clone() }, "", value.json().as_bytes());
        match (from_cbor, from_json) {
            (Err(DecodeError::Broken { .. }), Err(DecodeError::Json(_))) => {}
            (from_cbor, from_json) => prop_assert_eq!(from_cbor, from_json),
        }
    }
}

#[test]
fn a_map_of_all_that_cbor_has() {
    let payload = [
        // Without a length, keys of numbers, a half float, a decimal fraction, bytes, a time by tag 1.
        &[0xbf, 0x01, 0xf9, 0x4d, 0x60, 0x20, 0xc4, 0x82, 0x21, 0x19, 0x6a, 0xb3][..],
        b"\x63raw\x42\x00\x01",
        b"\x62ts\xc1\xfb\x41\xd4\x52\xd9\xec\x20\x00\x00",
        b"\x7f\x62in\x63ner\xff\xa1\x64\x64eep\xf5",
        &[0xff],
    ]
    .concat();
    let m = decode(&payload).unwrap();
    let at = 1_363_896_240_500;
    assert_eq!(readings(&m), [("1", at, 21.5), ("-1", at, 273.15), ("inner.deep", at, 1.0)]);
    let text_time = b"\xa2\x62ts\xc0\x74\x32\x30\x31\x33-03-21T20:04:00Z\x61x\x01";
    assert_eq!(readings(&decode(text_time).unwrap()), [("x", 1_363_896_240_000, 1.0)]);
}

#[test]
fn values_that_are_not_finite_are_dropped_and_counted() {
    let m = decode(b"\xa2\x61a\xf9\x7e\x00\x61b\x01").unwrap();
    assert_eq!((m.dropped.not_finite, readings(&m)), (1, vec![("b", NOW.as_millis(), 1.0)]));
    assert_eq!(decode(b"\xa2\x61a\xf9\x7c\x00\x61b\xfa\xff\x80\x00\x00").unwrap_err(), DecodeError::NotFinite);
    let ruled = vec![Channel { path: "a".into(), ..Channel::default() }];
    let route = Route { format: Format::Cbor, channels: ruled, ..Route::default() };
    assert_eq!(decode_on(route, "", b"\xa1\x61a\xf9\x7e\x00").unwrap_err(), DecodeError::NotFinite);
}

#[test]
fn what_a_map_may_not_be_is_refused_under_its_reason() {
    for (payload, reason) in [
        (&b"\xa2\x61a\x01\x61a\x02"[..], "duplicate_channel"),
        (b"\xa1\x61a\xa1\x61a\xa1\x61a\xa1\x61a\xa1\x61a\x01", "too_deep"),
        (b"\xa1\x81\x01\x01", "cbor"),
        (b"\xa1\x61a\x01\x01", "cbor"),
        (b"\xa1\x61a", "cbor"),
        (b"\x01", "cbor"),
        (b"", "cbor"),
        (b"{\"a\":1}", "cbor"),
        (b"\xa1\x62ts\x61x", "bad_time"),
        (b"\xa1\x61a\x61x", "no_readings"),
        (b"\xa0", "no_readings"),
    ] {
        let refused = decode(payload).unwrap_err();
        assert_eq!(refused.reason(), reason, "{payload:02x?}: {refused}");
    }
}

#[test]
fn a_million_elements_are_passed_over_where_nobody_reads_them_and_refused_where_they_are() {
    let array = [&[0x9f][..], &[0x01].repeat(1_000_000), &[0xff]].concat();
    let unread = [b"\xa2\x61c", &*array, b"\x61x\x01"].concat();
    assert_eq!(readings(&decode(&unread).unwrap()), [("x", NOW.as_millis(), 1.0)]);
    let samples = Channel { path: "c[*]".into(), every: "1ms".into(), ..Channel::default() };
    let route = Route { format: Format::Cbor, channels: vec![samples], ..Route::default() };
    let refused = decode_on(route, "", &unread).unwrap_err();
    assert_eq!(refused, DecodeError::TooLarge { what: "number of readings", limit: READINGS_MAX });
    let deep = [b"\xa2\x61x\x01\x61c", &*[0x81].repeat(100_000), b"\x01"].concat();
    assert!(decode(&deep).is_ok(), "and so is depth");
    let huge = b"\xa2\x61x\x01\x61c\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x00";
    assert_eq!(decode(huge).unwrap_err().reason(), "cbor", "a length alone takes no memory");
}
