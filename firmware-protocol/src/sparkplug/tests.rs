use super::protobuf::{put_bytes, put_varint};
use super::*;
use crate::measurement::EventTime;
use crate::table::Entry;

/// Metrics for a payload: name, alias, kind and unit, each left out where empty or 0.
fn birth(metrics: &[(&str, u64, u64, &str)]) -> Vec<u8> {
    let mut payload = Vec::new();
    put_varint(&mut payload, 1, 1_772_366_400_000);
    for &(name, alias, kind, unit) in metrics {
        let mut metric = Vec::new();
        if !name.is_empty() {
            put_bytes(&mut metric, 1, name.as_bytes());
        }
        if alias != 0 {
            put_varint(&mut metric, 2, alias);
        }
        put_varint(&mut metric, 4, kind);
        if !unit.is_empty() {
            put_bytes(&mut metric, 9, &properties(&[("Quality", None), ("engUnit", Some(unit))]));
        }
        put_varint(&mut metric, 10, 7);
        put_bytes(&mut payload, 2, &metric);
    }
    put_varint(&mut payload, 3, 0);
    payload
}

fn properties(all: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut set = Vec::new();
    for (key, value) in all {
        let mut property = Vec::new();
        match value {
            Some(text) => put_bytes(&mut property, 8, text.as_bytes()),
            None => put_varint(&mut property, 3, 192),
        }
        // The values may well come before the keys.
        put_bytes(&mut set, 2, &property);
        put_bytes(&mut set, 1, key.as_bytes());
    }
    set
}

#[test]
fn a_birth_tells_names_types_and_units_by_number() {
    let payload = birth(&[("bdSeq", 0, 8, ""), ("flow", 9, 9, "l/min"), ("level", 3, 1, "")]);
    let birth = Birth::parse(&payload).unwrap();
    assert_eq!((birth.bd_seq, birth.seq), (Some(7), Some(Seq(0))));
    let named = Label::Name("bdSeq").number();
    let expected = [
        Entry { number: 3, name: "level", unit: "", kind: 1 },
        Entry { number: 9, name: "flow", unit: "l/min", kind: 9 },
        Entry { number: named, name: "bdSeq", unit: "", kind: 8 },
    ];
    assert_eq!(birth.entries(), expected);
}

#[test]
fn a_birth_that_names_a_metric_twice_or_not_at_all_is_refused() {
    for metrics in
        [[("a", 1, 1, ""), ("a", 2, 1, "")], [("a", 1, 1, ""), ("b", 1, 1, "")], [("a", 0, 1, ""), ("a", 0, 1, "")]]
    {
        assert!(matches!(Birth::parse(&birth(&metrics)), Err(Fault::Duplicate(_))), "{metrics:?}");
    }
    assert_eq!(Birth::parse(&birth(&[("a", 1, 1, ""), ("", 2, 1, "")])), Err(Fault::NoName));
    assert!(Birth::parse(&[]).unwrap().entries().is_empty());
}

#[test]
fn a_birth_has_a_limit() {
    let mut payload = Vec::new();
    for number in 0..=BIRTH_METRICS_MAX {
        let mut metric = Vec::new();
        put_bytes(&mut metric, 1, number.to_string().as_bytes());
        put_bytes(&mut payload, 2, &metric);
    }
    assert_eq!(Birth::parse(&payload).unwrap_err(), Fault::TooManyMetrics);
}

#[test]
fn a_data_message_says_which_numbers_it_needs() {
    let mut payload = Vec::new();
    let mut put = |alias: u64, fields: &[(u32, u64)]| {
        let mut metric = Vec::new();
        put_varint(&mut metric, 2, alias);
        fields.iter().for_each(|(field, value)| put_varint(&mut metric, *field, *value));
        put_bytes(&mut payload, 2, &metric);
    };
    put(7, &[(10, 1)]);
    put(8, &[(7, 1)]);
    put(9, &[(6, 1), (10, 1)]);
    put(0, &[(14, 0)]);
    put(7, &[(11, 2)]);
    put(5, &[]);
    for name in ["flow", "Node Control/Rebirth"] {
        let mut metric = Vec::new();
        put_bytes(&mut metric, 1, name.as_bytes());
        put_varint(&mut metric, 10, 1);
        put_bytes(&mut payload, 2, &metric);
    }
    let numbers: Vec<_> = Payload::parse(&payload).unwrap().numbers().collect();
    assert_eq!(numbers, [7, 0, 7, Label::Name("flow").number()], "null, transient and empty metrics need none");
}

#[test]
fn the_request_for_a_birth_is_what_the_specification_shows() {
    // Section 6.4.23: payload and metric have the time, the metric is a boolean and true, there is no seq.
    let bytes = rebirth(EventTime::from_millis(1_486_144_502_122));
    assert!(bytes.len() <= REBIRTH_MAX_BYTES);
    let payload = Payload::parse(&bytes).unwrap();
    assert_eq!((payload.timestamp, payload.seq), (Some(1_486_144_502_122), None));
    let metrics: Vec<_> = payload.metrics().collect();
    let [Ok(metric)] = metrics[..] else { panic!("one metric: {metrics:?}") };
    assert_eq!(metric.name, Some("Node Control/Rebirth"));
    assert_eq!((metric.kind, metric.value), (11, Some(Value::Bool(true))));
    assert_eq!(metric.timestamp, Some(1_486_144_502_122));
    assert!(rebirth(EventTime(i64::MAX)).len() <= REBIRTH_MAX_BYTES && !rebirth(EventTime(i64::MIN)).is_empty());
}

#[test]
fn integers_are_of_their_data_type_however_far_the_sign_is_extended() {
    for (kind, value, expected) in [
        (1, 0xff, Some(-1.0)),
        (1, 0xffff, Some(-1.0)),
        (1, 0xffff_ffff, Some(-1.0)),
        (1, u64::MAX, Some(-1.0)),
        (1, 127, Some(127.0)),
        (1, 300, None),
        (2, 0x8000, Some(-32_768.0)),
        (2, 0x80, Some(128.0)),
        (2, 0xffff_8000, Some(-32_768.0)),
        (2, 0x1_0000, None),
        (3, 0xffff_fffe, Some(-2.0)),
        (3, 0x1_0000_0000, None),
        (4, u64::MAX, Some(-1.0)),
        (4, 0xffff_ffff, Some(4_294_967_295.0)),
        (7, 0xffff_ffff, Some(4_294_967_295.0)),
        (8, u64::MAX, Some(18_446_744_073_709_551_615.0)),
        (13, 1_486_144_502_122, Some(1_486_144_502_122.0)),
        (0, 0xff, Some(255.0)),
    ] {
        let number = Value::Long(value).number(kind);
        let expected = expected.map(Some).ok_or(Fault::OutOfType { value, kind });
        assert_eq!(number, expected, "{value:#x} as {kind}");
    }
    assert_eq!(Value::Float(1.5).number(1), Ok(Some(1.5)), "the value's own type counts");
    assert_eq!(Value::Text("1").number(1), Ok(None));
}

#[test]
fn a_field_of_another_type_than_sparkplugs_is_refused() {
    for (field, wire_type) in [(1, 2), (3, 2), (2, 0)] {
        let mut payload = Vec::new();
        match wire_type {
            2 => put_bytes(&mut payload, field, b"x"),
            _ => put_varint(&mut payload, field, 1),
        }
        assert_eq!(Payload::parse(&payload).unwrap_err(), Fault::WireType { field, wire_type });
    }
    let mut payload = Vec::new();
    put_varint(&mut payload, 3, 256);
    assert_eq!(Payload::parse(&payload).unwrap_err(), Fault::Seq(256));
    assert_eq!(Seq(255).next(), Seq(0));
}
