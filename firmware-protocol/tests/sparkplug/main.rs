//! Sparkplug B against other implementations of protobuf: prost as an encoder of anything, and payloads that Google's
//! library for Python wrote (see `make_captures.py`).

mod schema;

use firmware_protocol::decode::{DecodeError, Decoder, Incoming, READINGS_MAX, Route};
use firmware_protocol::measurement::{EventTime, Measurement};
use firmware_protocol::sparkplug::{Birth, EdgeNode, Label, Payload, Seq, Topic, rebirth};
use firmware_protocol::table;
use proptest::prelude::*;
use prost::Message;
use schema::{Metric, Payload as Written, PropertySet, PropertyValue, Value, property_value};

const AT_MS: u64 = 1_772_366_400_000;
const RECEIVED_AT: EventTime = EventTime(1_772_366_500_000_000_000);
const NDATA: &str = "spBv1.0/plant/NDATA/press";
const NBIRTH: &str = "spBv1.0/plant/NBIRTH/press";

fn decode_at(topic: &str, payload: &[u8], table: &str, is_replay: bool) -> Result<Measurement, DecodeError> {
    let decoder = Decoder::new(Route::defaults()).expect("the routes are valid");
    let mut out = Measurement::default();
    let message = Incoming { topic, payload, content_type: "", received_at: RECEIVED_AT, is_replay, table };
    decoder.decode(message, &mut out)?;
    assert_eq!(decoder.device_of(topic, payload, ""), out.device(), "the key is the device");
    Ok(out)
}

fn decode(topic: &str, payload: &[u8], table: &str) -> Result<Measurement, DecodeError> {
    decode_at(topic, payload, table, false)
}

/// What a receiver of the birth puts beside a record of data: just the entries that it needs.
fn table(birth: &[u8], data: &[u8]) -> String {
    let birth = Birth::parse(birth).expect("a valid birth");
    let mut text = String::new();
    for number in Payload::parse(data).expect("valid data").numbers() {
        if let Some(entry) = birth.entries().iter().find(|entry| entry.number == number) {
            table::push(&mut text, entry);
        }
    }
    text
}

/// Channel, unit, milliseconds since the payload's time, value.
fn readings(m: &Measurement) -> Vec<(&str, &str, i64, f64)> {
    let millis = |at: EventTime| at.as_millis() - AT_MS as i64;
    m.readings.iter().map(|r| (m.channel(r.channel), m.unit(r.channel), millis(r.at), r.value)).collect()
}

fn metric(name: &str, alias: u64, datatype: u32, value: Value) -> Metric {
    Metric {
        name: (!name.is_empty()).then(|| name.to_owned()),
        alias: (alias > 0).then_some(alias),
        timestamp: Some(AT_MS),
        datatype: (datatype > 0).then_some(datatype),
        value: Some(value),
        ..Metric::default()
    }
}

fn written(metrics: &[Metric]) -> Vec<u8> {
    Written { timestamp: Some(AT_MS), metrics: metrics.to_vec(), seq: Some(0), ..Written::default() }.encode_to_vec()
}

mod captured {
    use super::*;

    const NBIRTH_BYTES: &[u8] = include_bytes!("nbirth.bin");
    const DBIRTH_BYTES: &[u8] = include_bytes!("dbirth.bin");
    const DDATA_BYTES: &[u8] = include_bytes!("ddata.bin");
    const NDEATH_BYTES: &[u8] = include_bytes!("ndeath.bin");
    const DBIRTH: &str = "spBv1.0/plant/DBIRTH/press/pump-7";
    const DDATA: &str = "spBv1.0/plant/DDATA/press/pump-7";

    #[test]
    fn a_nodes_birth_gives_its_values_and_passes_over_what_is_about_the_session() {
        let m = decode(NBIRTH, NBIRTH_BYTES, "").unwrap();
        assert_eq!(m.device(), "plant/press");
        assert_eq!(readings(&m), [("cpu load", "%", 0, 12.5)]);
        let texts: Vec<_> = m.texts().map(|(channel, _, text)| (m.channel(channel), text)).collect();
        assert_eq!(texts, [("Properties/OS", "Linux")]);
        let birth = Birth::parse(NBIRTH_BYTES).unwrap();
        assert_eq!((birth.bd_seq, birth.seq), (Some(4), Some(Seq(0))));
        assert_eq!(Payload::parse(NDEATH_BYTES).unwrap().bd_seq(), Some(4), "the death is of this birth");
    }

    #[test]
    fn a_devices_birth_gives_numbers_of_every_type_and_passes_over_what_is_none() {
        let m = decode(DBIRTH, DBIRTH_BYTES, "").unwrap();
        assert_eq!(m.device(), "plant/press/pump-7");
        assert_eq!(
            readings(&m),
            [
                ("Inputs/temperature", "degC", 0, 21.5),
                ("Inputs/offset", "", 0, -10.0),
                ("Inputs/short", "", 0, -32_768.0),
                ("Inputs/long", "", 0, -7.0),
                ("Inputs/count", "", 0, 1_099_511_627_776.0),
                ("Inputs/open", "", 0, 1.0),
                ("Inputs/since", "", 0, AT_MS as f64),
            ]
        );
        assert!(!m.uses_received_time && !m.is_announcement);
    }

    #[test]
    fn data_by_alias_means_what_the_birth_said() {
        let table = table(DBIRTH_BYTES, DDATA_BYTES);
        let m = decode(DDATA, DDATA_BYTES, &table).unwrap();
        assert_eq!(
            readings(&m),
            [
                ("Inputs/temperature", "degC", 900, 21.75),
                ("Inputs/temperature", "degC", 950, 22.0),
                ("Inputs/offset", "", 900, -11.0),
                ("Inputs/short", "", 900, -32_767.0),
                ("Inputs/long", "", 900, -8.0),
                ("Inputs/open", "", 900, 0.0),
                ("Inputs/since", "", 1_000, (AT_MS + 900) as f64),
            ],
            "the metric's time, else the payload's"
        );
        let texts: Vec<_> = m.texts().map(|(channel, _, text)| (m.channel(channel), text)).collect();
        assert_eq!(texts, [("Inputs/mode", "manual")]);
        assert_eq!(m.dropped.not_finite, 1);
        let numbers: Vec<_> = Payload::parse(DDATA_BYTES).unwrap().numbers().collect();
        assert_eq!(numbers, [10, 10, 11, 12, 13, 18, 15, 17, 16]);
    }

    #[test]
    fn data_without_its_birth_is_refused_by_the_number_that_is_missing() {
        let refused = decode(DDATA, DDATA_BYTES, "").unwrap_err();
        assert_eq!((refused.reason(), refused), ("no_table", DecodeError::NoTable { number: 10 }));
    }

    #[test]
    fn each_part_of_a_payload_is_refused_or_has_less_in_it() {
        let whole_table = table(DBIRTH_BYTES, DDATA_BYTES);
        for (topic, bytes, table) in [(DBIRTH, DBIRTH_BYTES, ""), (DDATA, DDATA_BYTES, &*whole_table)] {
            let whole = decode(topic, bytes, table).unwrap();
            for end in 0..bytes.len() {
                match decode(topic, &bytes[..end], table) {
                    // A cut between two fields leaves a valid message: what is there is right.
                    Ok(m) => assert!(m.readings.len() <= whole.readings.len()),
                    Err(refused) => assert_eq!(refused.reason(), "sparkplug", "{refused}"),
                }
            }
        }
    }
}

#[test]
fn deaths_commands_and_hosts_are_announcements() {
    for topic in [
        "spBv1.0/plant/NDEATH/press",
        "spBv1.0/plant/DDEATH/press/pump-7",
        "spBv1.0/plant/NCMD/press",
        "spBv1.0/plant/DCMD/press/pump-7",
        "spBv1.0/STATE/scada",
    ] {
        let m = decode(topic, b"{\"online\":true}", "").unwrap();
        assert!(m.is_announcement && m.is_empty() && !m.device().is_empty(), "{topic}");
    }
    let of_controls =
        written(&[metric("bdSeq", 0, 8, Value::Long(1)), metric("Node Control/Rebirth", 0, 11, Value::Boolean(false))]);
    assert!(decode(NBIRTH, &of_controls, "").unwrap().is_announcement, "a node without metrics of its own");
    assert!(decode(NDATA, &[], "").unwrap().is_announcement, "nothing is said, and nothing is amiss");
}

#[test]
fn metrics_with_names_have_type_and_unit_from_the_birth_too() {
    let mut told = metric("level", 0, 1, Value::Int(0));
    let unit =
        PropertyValue { r#type: Some(12), value: Some(property_value::Value::String("m".into())), is_null: None };
    told.properties = Some(PropertySet { keys: vec!["engUnit".into()], values: vec![unit] });
    let birth = written(&[told]);
    let data = written(&[metric("level", 0, 0, Value::Int(0xffff_fffe))]);
    let m = decode(NDATA, &data, &table(&birth, &data)).unwrap();
    assert_eq!(readings(&m), [("level", "m", 0, -2.0)]);
    let number = Label::Name("level").number();
    assert_eq!(decode(NDATA, &data, "").unwrap_err(), DecodeError::NoTable { number }, "its sign is not known");
    let float = written(&[metric("level", 0, 0, Value::Float(2.5))]);
    assert_eq!(readings(&decode(NDATA, &float, "").unwrap()), [("level", "", 0, 2.5)], "it needs no type");
    let typed = written(&[metric("level", 0, 1, Value::Int(0xfe))]);
    assert_eq!(readings(&decode(NDATA, &typed, "").unwrap()), [("level", "", 0, -2.0)]);
}

#[test]
fn a_metric_twice_is_refused_where_it_may_be_there_once() {
    let twice = |name: &str, alias| {
        written(&[metric(name, alias, 9, Value::Float(1.0)), metric(name, alias, 9, Value::Float(2.0))])
    };
    assert_eq!(decode(NBIRTH, &twice("flow", 0), "").unwrap_err().reason(), "duplicate_channel");
    // Section 5.16: several values of a metric, as long as they have different times.
    assert_eq!(decode(NDATA, &twice("", 7), "7\tflow\n").unwrap_err(), DecodeError::DuplicateChannel("flow".into()));
}

#[test]
fn a_million_metrics_are_refused_with_the_limit() {
    let one = metric("", 7, 0, Value::Float(1.0));
    let metrics: Vec<_> = (0..1_000_000).map(|i| Metric { timestamp: Some(AT_MS + i), ..one.clone() }).collect();
    let refused = decode(NDATA, &written(&metrics), "7\tflow\n").unwrap_err();
    assert_eq!(refused, DecodeError::TooLarge { what: "number of readings", limit: READINGS_MAX });
    let names: Vec<_> = (0..5_000).map(|i| metric(&i.to_string(), 0, 9, Value::Float(1.0))).collect();
    assert_eq!(decode(NBIRTH, &written(&names), "").unwrap_err().reason(), "too_large");
    assert_eq!(decode(NBIRTH, &written(&names[..4_096]), "").unwrap().channel_count(), 4_096);
}

#[test]
fn values_that_are_not_finite_are_dropped_and_counted() {
    let all = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|v| metric("x", 0, 10, Value::Double(v)));
    assert_eq!(decode(NDATA, &written(&all), "").unwrap_err(), DecodeError::NotFinite);
    let one = [metric("x", 0, 10, Value::Double(f64::NAN)), metric("y", 0, 10, Value::Double(1.0))];
    let m = decode(NDATA, &written(&one), "").unwrap();
    assert_eq!((m.dropped.not_finite, readings(&m)), (1, vec![("y", "", 0, 1.0)]));
}

#[test]
fn times_are_the_metrics_else_the_payloads_else_that_of_the_receipt() {
    let one = |of_metric, of_payload| {
        let metric = Metric { timestamp: of_metric, ..metric("x", 0, 9, Value::Float(1.0)) };
        Written { timestamp: of_payload, metrics: vec![metric], ..Written::default() }.encode_to_vec()
    };
    let at = |m: Measurement| (m.readings[0].at, m.uses_received_time);
    let millis = |ms: u64| EventTime::from_millis(ms as i64);
    assert_eq!(decode(NDATA, &one(Some(5), Some(6)), "").map(at), Ok((millis(5), false)));
    assert_eq!(decode(NDATA, &one(None, Some(6)), "").map(at), Ok((millis(6), false)));
    assert_eq!(decode(NDATA, &one(None, None), "").map(at), Ok((RECEIVED_AT, true)));
    assert_eq!(decode_at(NDATA, &one(None, None), "", true).unwrap_err(), DecodeError::Retained);
    assert_eq!(decode_at(NDATA, &one(None, Some(6)), "", true).map(at), Ok((millis(6), false)));
    assert_eq!(decode(NDATA, &one(Some(u64::MAX), None), "").unwrap_err().reason(), "bad_time");
}

#[test]
fn broken_payloads_are_refused_with_the_reason() {
    for (payload, why) in [
        (&b"{\"temperature\":21.5}"[..], "sparkplug: "),
        (&[0x12, 0x01][..], "ends inside a field"),
        (&written(&[metric("", 0, 9, Value::Float(1.0))]), "neither name nor alias"),
        (&written(&[metric("a\tb", 0, 9, Value::Float(1.0))]), "control characters"),
        (&written(&[metric("a", 0, 1, Value::Int(300))]), "integer 300 does not fit its data type 1"),
        (&[0x12, 0x03, 0x0a, 0x01, 0xff], "a metric's name is not utf-8"),
        (&[0x18, 0x80, 0x02], "seq is 256"),
    ] {
        let refused = decode(NDATA, payload, "").unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(refused.reason(), "sparkplug");
    }
    let long = written(&[metric(&"x".repeat(129), 0, 9, Value::Float(1.0))]);
    assert_eq!(decode(NDATA, &long, "").unwrap_err().reason(), "too_large");
}

#[test]
fn the_request_for_a_birth_is_read_by_another_implementation() {
    let read = Written::decode(&*rebirth(EventTime::from_millis(AT_MS as i64))).unwrap();
    let expected = metric("Node Control/Rebirth", 0, 11, Value::Boolean(true));
    assert_eq!(read, Written { timestamp: Some(AT_MS), metrics: vec![expected], ..Written::default() });
    let Some(Topic::Edge { node, .. }) = Topic::parse(NDATA) else { panic!("a topic of the namespace") };
    assert_eq!(node, EdgeNode { group: "plant", node: "press" });
    assert_eq!(node.command_topic(), "spBv1.0/plant/NCMD/press");
}

prop_compose! {
    /// A metric of a birth, with a value of its type and the number that it stands for.
    fn any_metric()(kind in 1_u32..=13, raw in any::<u64>(), float in any::<f64>(), offset in 0_u64..100_000)
        -> (Metric, Option<f64>) {
        let finite = |v: f64| Some(v).filter(|v| v.is_finite());
        let (value, number) = match kind {
            1 => (Value::Int(i32::from(raw as i8) as u32), Some(f64::from(raw as i8))),
            2 => (Value::Int(i32::from(raw as i16) as u32), Some(f64::from(raw as i16))),
            3 => (Value::Int(raw as u32), Some(f64::from(raw as i32))),
            4 => (Value::Long(raw), Some(raw as i64 as f64)),
            5 => (Value::Int(u32::from(raw as u8)), Some(f64::from(raw as u8))),
            6 => (Value::Int(u32::from(raw as u16)), Some(f64::from(raw as u16))),
            7 => (Value::Int(raw as u32), Some(f64::from(raw as u32))),
            8 | 13 => (Value::Long(raw), Some(raw as f64)),
            9 => (Value::Float(float as f32), finite(f64::from(float as f32))),
            10 => (Value::Double(float), finite(float)),
            11 => (Value::Boolean(raw & 1 == 1), Some(f64::from(raw as u8 & 1))),
            _ => (Value::String(raw.to_string()), None),
        };
        (Metric { timestamp: Some(AT_MS + offset), ..metric("", 0, kind, value) }, number)
    }
}

proptest! {
    /// What an independent encoder writes is read as it was meant: births with names, and the same values by alias.
    #[test]
    fn whatever_is_encoded_is_decoded(metrics in prop::collection::vec(any_metric(), 0..40)) {
        let mut born = Vec::new();
        let mut changed = Vec::new();
        for (i, (metric, _)) in metrics.iter().enumerate() {
            let alias = Some(i as u64 * 7_919 + 1);
            born.push(Metric { name: Some(format!("folder/metric {i}")), alias, ..metric.clone() });
            changed.push(Metric { alias, datatype: None, ..metric.clone() });
        }
        let (birth, data) = (written(&born), written(&changed));
        let table = table(&birth, &data);
        let expected: Vec<_> = metrics.iter().enumerate().filter_map(|(i, (metric, number))| {
            let at = EventTime::from_millis(metric.timestamp? as i64);
            Some((format!("folder/metric {i}"), at, (*number)?))
        }).collect();
        let texts = metrics.iter().filter(|(metric, _)| matches!(metric.value, Some(Value::String(_)))).count();
        let dropped = metrics.len() - expected.len() - texts;
        for decoded in [decode(NBIRTH, &birth, ""), decode(NDATA, &data, &table)] {
            match decoded {
                Ok(m) => {
                    let seen: Vec<_> = m.readings.iter().map(|r| (m.channel(r.channel).to_owned(), r.at, r.value)).collect();
                    prop_assert_eq!(&seen, &expected);
                    prop_assert_eq!((m.texts().count(), m.dropped.not_finite as usize), (texts, dropped));
                }
                Err(refused) => {
                    prop_assert_eq!(refused, DecodeError::NotFinite);
                    prop_assert!(expected.is_empty() && texts == 0 && dropped > 0);
                }
            }
        }
    }

    /// Of arbitrary bytes the reader takes what another implementation takes, with the same names, numbers and times.
    #[test]
    fn arbitrary_bytes_are_read_as_another_implementation_reads_them(
        metrics in prop::collection::vec(any_metric(), 0..4),
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let metrics: Vec<_> = metrics.into_iter().map(|(metric, _)| metric).collect();
        let mut bytes = written(&metrics);
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let ours = Payload::parse(&bytes).and_then(|payload| {
            payload.metrics().collect::<Result<Vec<_>, _>>().map(|metrics| (payload, metrics))
        });
        let theirs = Written::decode(&*bytes);
        if let (Ok((payload, ours)), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(payload.timestamp, theirs.timestamp);
            prop_assert_eq!(payload.seq.map(|seq| u64::from(seq.0)), theirs.seq);
            prop_assert_eq!(ours.len(), theirs.metrics.len());
            for (ours, theirs) in ours.iter().zip(&theirs.metrics) {
                prop_assert_eq!(ours.name.unwrap_or_default(), theirs.name.as_deref().unwrap_or_default());
                prop_assert_eq!((ours.alias, ours.timestamp), (theirs.alias, theirs.timestamp));
                prop_assert_eq!(ours.kind, theirs.datatype.unwrap_or_default());
            }
        }
    }
}
