//! SenML: the examples of RFC 8428 as readings, and what may go wrong with a pack.

use firmware_protocol::decode::{DecodeError, Decoder, Format, Incoming, READINGS_MAX, Route};
use firmware_protocol::measurement::{EventTime, Measurement};
use proptest::prelude::*;

const NOW: EventTime = EventTime(1_772_366_400_000_000_000);
const TOPIC: &str = "in/field";

fn decode_on(route: Route, payload: &[u8], is_replay: bool) -> Result<Measurement, DecodeError> {
    let decoder = Decoder::new(vec![Route { format: Format::Senml, ..route }]).expect("the route is valid");
    let mut out = Measurement::default();
    let message = Incoming { topic: TOPIC, payload, content_type: "", received_at: NOW, is_replay, table: "" };
    decoder.decode(message, &mut out)?;
    assert_eq!(decoder.device_of(TOPIC, payload, ""), out.device(), "the key is the device");
    Ok(out)
}

fn decode(payload: &[u8]) -> Result<Measurement, DecodeError> {
    decode_on(Route::default(), payload, false)
}

/// Channel, unit, event time in milliseconds, value.
fn readings(m: &Measurement) -> Vec<(&str, &str, i64, f64)> {
    m.readings.iter().map(|r| (m.channel(r.channel), m.unit(r.channel), r.at.as_millis(), r.value)).collect()
}

fn check(json: &str, device: &str, expected: &[(&str, &str, i64, f64)]) {
    let m = decode(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}"));
    assert_eq!((m.device(), &*readings(&m)), (device, expected), "{json}");
}

mod examples_of_the_rfc {
    use super::*;

    const NOW_MS: i64 = NOW.0 / 1_000_000;

    #[test]
    fn a_single_datapoint() {
        let name = "urn:dev:ow:10e2073a01080063";
        let json = r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#;
        check(json, TOPIC, &[(name, "Cel", NOW_MS, 23.1)]);
    }

    #[test]
    fn multiple_datapoints() {
        check(
            r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]"#,
            "urn:dev:ow:10e2073a01080063",
            &[("voltage", "V", NOW_MS, 120.1), ("current", "A", NOW_MS, 1.2)],
        );
    }

    const SERIES: &str = r#"[
        {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
        {"n":"current","t":-5,"v":1.2}, {"n":"current","t":-4,"v":1.3}, {"n":"current","t":-3,"v":1.4},
        {"n":"current","t":-2,"v":1.5}, {"n":"current","t":-1,"v":1.6}, {"n":"current","v":1.7}]"#;

    /// The same in section 6.
    const SERIES_IN_CBOR: &str = "
        87 a7 21 78 1b 75 72 6e 3a 64 65 76 3a 6f 77 3a 31 30 65 32 30 37 33 61 30 31 30 38 30 30 36 3a
        22 fb 41 d3 03 a1 5b 00 10 62 23 61 41 20 05 00 67 76 6f 6c 74 61 67 65 01 61 56 02 fb 40 5e 06
        66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 24 02 fb 3f f3 33 33 33 33 33 33 a3 00 67 63 75
        72 72 65 6e 74 06 23 02 fb 3f f4 cc cc cc cc cc cd a3 00 67 63 75 72 72 65 6e 74 06 22 02 fb 3f
        f6 66 66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 21 02 f9 3e 00 a3 00 67 63 75 72 72 65 6e
        74 06 20 02 fb 3f f9 99 99 99 99 99 9a a3 00 67 63 75 72 72 65 6e 74 06 00 02 fb 3f fb 33 33 33
        33 33 33";

    pub(super) fn series_in_cbor() -> Vec<u8> {
        SERIES_IN_CBOR.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex digits")).collect()
    }

    #[test]
    fn a_series_before_a_base_time_in_json_and_cbor() {
        let current = |back: i64, value| ("current", "A", 1_276_020_076_001 - back * 1_000, value);
        let expected = [
            ("voltage", "V", 1_276_020_076_001, 120.1),
            current(5, 1.2),
            current(4, 1.3),
            current(3, 1.4),
            current(2, 1.5),
            current(1, 1.6),
            current(0, 1.7),
        ];
        check(SERIES, "urn:dev:ow:10e2073a0108006", &expected);
        assert_eq!(decode(&series_in_cbor()), decode(SERIES.as_bytes()));
    }

    #[test]
    fn one_sensor_without_names() {
        let at = |s: i64| 1_320_067_464_000 + s * 1_000;
        let values = [
            (0, 21.2),
            (10, 21.3),
            (20, 21.4),
            (30, 21.4),
            (40, 21.5),
            (50, 21.5),
            (60, 21.5),
            (70, 21.6),
            (80, 21.7),
            (90, 21.5),
            (91, 21.5),
            (92, 21.5),
        ];
        check(
            r#"[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":21.2},
                {"t":10,"v":21.3},{"t":20,"v":21.4},{"t":30,"v":21.4},{"t":40,"v":21.5},{"t":50,"v":21.5},
                {"t":60,"v":21.5},{"t":70,"v":21.6},{"t":80,"v":21.7},{"t":90,"v":21.5},{"t":91,"v":21.5},
                {"t":92,"v":21.5}]"#,
            "urn:dev:ow:10e2073a01080063",
            &values.map(|(s, value)| ("value", "%RH", at(s), value)),
        );
    }

    /// Section 5.1.3, and its resolved records.
    #[test]
    fn one_name_for_several_quantities_that_their_units_tell_apart() {
        let at = |s: i64| 1_320_067_464_000 + s * 1_000;
        let (rh, lon, lat) = (("value", "%RH"), ("value.lon", "lon"), ("value.lat", "lat"));
        let expected = [
            (rh, 0, 20.0),
            (lon, 0, 24.30621),
            (lat, 0, 60.07965),
            (rh, 60, 20.3),
            (lon, 60, 24.30622),
            (lat, 60, 60.07965),
            (rh, 120, 20.7),
            (lon, 120, 24.30623),
            (lat, 120, 60.07966),
            (("value.%EL", "%EL"), 150, 98.0),
            (rh, 180, 21.2),
            (lon, 180, 24.30628),
            (lat, 180, 60.07967),
        ];
        check(
            r#"[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
                {"u":"lon","v":24.30621},{"u":"lat","v":60.07965},
                {"t":60,"v":20.3},{"u":"lon","t":60,"v":24.30622},{"u":"lat","t":60,"v":60.07965},
                {"t":120,"v":20.7},{"u":"lon","t":120,"v":24.30623},{"u":"lat","t":120,"v":60.07966},
                {"u":"%EL","t":150,"v":98},
                {"t":180,"v":21.2},{"u":"lon","t":180,"v":24.30628},{"u":"lat","t":180,"v":60.07967}]"#,
            "urn:dev:ow:10e2073a01080063",
            &expected.map(|((channel, unit), s, value)| (channel, unit, at(s), value)),
        );
    }

    #[test]
    fn values_of_different_types() {
        let json = r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
            {"n":"label","vs":"Machine Room"},{"n":"open","vb":false},{"n":"nfv-reader","vd":"aGkgCg"}]"#;
        check(json, "urn:dev:ow:10e2073a01080063", &[("temp", "Cel", NOW_MS, 23.1), ("open", "", NOW_MS, 0.0)]);
        let m = decode(json.as_bytes()).unwrap();
        let texts: Vec<_> = m.texts().map(|(channel, at, text)| (m.channel(channel), at, text)).collect();
        assert_eq!(texts, [("label", NOW, "Machine Room")]);
    }

    #[test]
    fn a_collection_of_resources() {
        let at = 1_320_078_429_000;
        check(
            r#"[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":25.2},
                {"n":"humidity","u":"%RH","v":30},
                {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},{"n":"humidity","u":"%RH","v":67}]"#,
            "2001:db8::2",
            &[
                ("temperature", "Cel", at, 25.2),
                ("humidity", "%RH", at, 30.0),
                ("2001:db8::1/temperature", "Cel", at, 12.3),
                ("2001:db8::1/humidity", "%RH", at, 67.0),
            ],
        );
    }

    #[test]
    fn settings_and_lights() {
        check(
            r#"[{"bn":"urn:dev:ow:10e2073a01080063:"},{"n":"temp","u":"Cel","v":23.1},{"n":"heat","u":"/","v":1},
                {"n":"fan","u":"/","v":0}]"#,
            "urn:dev:ow:10e2073a01080063",
            &[("temp", "Cel", NOW_MS, 23.1), ("heat", "/", NOW_MS, 1.0), ("fan", "/", NOW_MS, 0.0)],
        );
        let at = 1_320_078_429_000;
        check(
            r#"[{"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":1},{"n":"2001:db8::4","v":1}]"#,
            TOPIC,
            &[("2001:db8::3", "/", at, 1.0), ("2001:db8::4", "/", at, 1.0)],
        );
        check(
            r#"[{"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":0.5},{"n":"2001:db8::4","v":0.5},
                {"n":"2001:db8::3","t":0.1,"v":0},{"n":"2001:db8::4","t":0.1,"v":0}]"#,
            TOPIC,
            &[
                ("2001:db8::3", "/", at, 0.5),
                ("2001:db8::4", "/", at, 0.5),
                ("2001:db8::3", "/", at + 100, 0.0),
                ("2001:db8::4", "/", at + 100, 0.0),
            ],
        );
    }

    /// Section 4.1.3, where a pack and its forms with and without a base name mean the same.
    #[test]
    fn two_values_of_one_sensor() {
        let values = |channel| [(channel, "Cel", 1_276_020_076_000, 23.5), (channel, "Cel", 1_276_020_091_000, 23.6)];
        check(
            r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","t":1.276020076e+09,"v":23.5},
                {"n":"urn:dev:ow:10e2073a01080063","u":"Cel","t":1.276020091e+09,"v":23.6}]"#,
            TOPIC,
            &values("urn:dev:ow:10e2073a01080063"),
        );
        check(
            r#"[{"bn":"urn:dev:ow:10e2073a01080063","u":"Cel","t":1.276020076e+09,"v":23.5},
                {"u":"Cel","t":1.276020091e+09,"v":23.6}]"#,
            "urn:dev:ow:10e2073a01080063",
            &values("value"),
        );
    }
}

#[test]
fn base_values_and_sums_are_added() {
    let at = 1_320_078_429_000;
    check(
        r#"[{"bn":"m/","bt":1320078429,"bv":100,"bs":1000,"n":"power","u":"W","v":1.5,"s":7},{"bv":200,"n":"power","t":1,"v":1},
            {"n":"energy","s":-1}]"#,
        "m",
        &[
            ("power", "W", at, 101.5),
            ("power.sum", "", at, 1_007.0),
            ("power", "W", at + 1_000, 201.0),
            ("energy.sum", "", at, 999.0),
        ],
    );
}

#[test]
fn small_times_count_from_now_and_need_to_know_when_that_is() {
    let m = decode(br#"[{"n":"a","t":-1.5,"v":1},{"n":"a","v":2},{"n":"a","t":268435455,"v":3}]"#).unwrap();
    let since_now: Vec<_> = m.readings.iter().map(|r| r.at.0 - NOW.0).collect();
    assert_eq!((since_now, m.uses_received_time), (vec![-1_500_000_000, 0, 268_435_455_000_000_000], true));
    let m = decode(br#"[{"n":"a","t":268435456,"v":1}]"#).unwrap();
    assert_eq!((m.readings[0].at.0, m.uses_received_time), (268_435_456_000_000_000, false));
    let retained = |json: &[u8]| decode_on(Route::default(), json, true).map(|m| m.readings.len());
    assert_eq!(retained(br#"[{"n":"a","v":1}]"#), Err(DecodeError::Retained));
    assert_eq!(retained(br#"[{"n":"a","v":1},{"n":"a","t":1276020076,"v":2}]"#), Ok(1));
    assert_eq!(decode(br#"[{"n":"a","t":1e300,"v":1}]"#).unwrap_err().reason(), "bad_time");
    // A time that is not a number: CBOR has such.
    assert_eq!(decode(&[0x81, 0xa3, 0, 0x61, b'a', 2, 1, 6, 0xf9, 0x7e, 0]).unwrap_err().reason(), "bad_time");
}

#[test]
fn the_topic_names_device_and_channel_before_the_pack_does() {
    let json = br#"[{"bn":"urn:x:","n":"a","v":1},{"v":2},{"bn":"urn:y:","n":"a","v":3}]"#;
    let names = |topic: &str| {
        let m = decode_on(Route { topic: topic.into(), ..Route::default() }, json, false).unwrap();
        let names: Vec<_> = m.channels().map(|(_, name)| name.to_owned()).collect();
        (m.device().to_owned(), names.join(" "))
    };
    assert_eq!(names("#"), ("urn:x".into(), "a value urn:y:a".into()));
    assert_eq!(names("in/{device}"), ("field".into(), "a value urn:y:a".into()));
    assert_eq!(names("in/{channel}"), ("urn:x".into(), "field.a field field.urn:y:a".into()));
}

#[test]
fn what_a_pack_may_not_be_is_refused_under_its_reason() {
    for (json, reason) in [
        (r#"[{"n":"a","v":1,"bver":11}]"#, "senml"),
        (r#"[{"n":"a","v":1,"new_":1}]"#, "senml"),
        (r#"[{"n":"a","v":1,"vs":"x"}]"#, "senml"),
        (r#"[{"v":1}]"#, "senml"),
        (r#"{"n":"a","v":1}"#, "senml"),
        (r#"[{"n":"a","v":1}"#, "senml"),
        (r#"[{"n":"a","v":1},{"n":"a","v":2}]"#, "duplicate_channel"),
        (r#"[{"bn":"d/","n":"a","v":1},{"bn":"","n":"a","vs":"x"}]"#, "duplicate_channel"),
        (r#"[{"n":"a","vd":"AAAA"}]"#, "no_readings"),
        ("[]", "no_readings"),
        ("", "senml"),
    ] {
        let refused = decode(json.as_bytes()).unwrap_err();
        assert_eq!(refused.reason(), reason, "{json}: {refused}");
    }
    let long = "x".repeat(257);
    assert_eq!(decode(format!(r#"[{{"bn":"{long}","v":1}}]"#).as_bytes()).unwrap_err().reason(), "too_large");
    assert_eq!(decode(format!(r#"[{{"n":"{long}","v":1}}]"#).as_bytes()).unwrap_err().reason(), "too_large");
}

#[test]
fn values_that_are_not_finite_are_dropped_and_counted() {
    // n: "a", v: NaN; n: "b", v: 1.
    let pack = [0x82, 0xa2, 0, 0x61, b'a', 2, 0xf9, 0x7e, 0, 0xa2, 0, 0x61, b'b', 2, 1];
    let m = decode(&pack).unwrap();
    assert_eq!((m.dropped.not_finite, m.readings.len(), m.channel_count()), (1, 1, 1));
    assert_eq!(decode(&[&[0x81], &pack[1..9]].concat()).unwrap_err(), DecodeError::NotFinite);
    let sum = br#"[{"bv":1e308,"n":"a","v":1e308}]"#;
    assert_eq!(decode(sum).unwrap_err(), DecodeError::NotFinite, "nor is the sum of two that are");
}

#[test]
fn a_million_records_and_deep_nesting_are_refused_with_the_limit() {
    let records: Vec<_> = (0..1_000_000).map(|i| format!(r#"{{"n":"a","t":{i},"v":1}}"#)).collect();
    let refused = decode(format!("[{}]", records.join(",")).as_bytes()).unwrap_err();
    assert_eq!(refused, DecodeError::TooLarge { what: "number of readings", limit: READINGS_MAX });
    let cbor = [&[0x9f][..], &[0xa3, 0, 0x61, b'a', 2, 1, 6, 1].repeat(1_000_000), &[0xff]].concat();
    assert_eq!(decode(&cbor).unwrap_err().reason(), "too_large");
    let deep =
        |open: &str, shut: &str| format!(r#"[{{"n":"a","v":1,"x":{}1{}}}]"#, open.repeat(10_000), shut.repeat(10_000));
    assert!(decode(deep("[", "]").as_bytes()).is_ok(), "what nobody reads may be as deep as it likes");
    let names: Vec<_> = (0..300).map(|i| format!(r#"{{"n":"{i}","v":1}}"#)).collect();
    assert_eq!(decode(format!("[{}]", names.join(",")).as_bytes()).unwrap_err().reason(), "too_large");
}

#[test]
fn every_part_of_a_pack_is_too_short() {
    let pack = examples_of_the_rfc::series_in_cbor();
    for end in 0..pack.len() {
        assert_eq!(decode(&pack[..end]).unwrap_err().reason(), "senml", "{end}");
    }
}

prop_compose! {
    fn any_record()(name in 0_usize..5, at in 0_i64..1_000_000, value in -1e9..1e9_f64, form in 0..3) -> (usize, i64, f64, i32) {
        (name, at, if form == 0 { value.round() } else { value }, form)
    }
}

proptest! {
    /// A pack says the same in JSON and in CBOR, in whichever width its numbers are.
    #[test]
    fn packs_mean_what_was_written(records in prop::collection::vec(any_record(), 1..60)) {
        let names = ["temperature", "humidity", "x", "y", "supply/voltage"];
        let mut json = String::from(r#"[{"bn":"dev-1/","bt":1600000000}"#);
        let mut cbor = vec![0x9f, 0xa2, 0x21, 0x66];
        cbor.extend_from_slice(b"dev-1/\x22\x1a\x5f\x5e\x10\x00");
        let mut expected: Vec<(String, i64, f64)> = Vec::new();
        for (i, (name, _, value, form)) in records.iter().enumerate() {
            let (name, seconds, value) = (names[*name], i as i64, *value);
            json.push_str(&format!(r#",{{"n":"{name}","t":{seconds},"v":{value:?}}}"#));
            cbor.extend_from_slice(&[0xa3, 0x00, 0x60 + name.len() as u8]);
            cbor.extend_from_slice(name.as_bytes());
            cbor.extend_from_slice(&[0x06, 0x19]);
            cbor.extend_from_slice(&(seconds as u16).to_be_bytes());
            cbor.push(0x02);
            if *form == 0 {
                let (major, size) = if value < 0.0 { (0x3a, -1.0 - value) } else { (0x1a, value) };
                cbor.push(major);
                cbor.extend_from_slice(&(size as u32).to_be_bytes());
            } else {
                cbor.push(0xfb);
                cbor.extend_from_slice(&value.to_be_bytes());
            }
            expected.push((name.to_owned(), (1_600_000_000 + seconds) * 1_000, value));
        }
        json.push(']');
        cbor.push(0xff);
        let read = |payload: &[u8]| decode(payload).map_err(|e| TestCaseError::fail(e.to_string()));
        let (from_json, from_cbor) = (read(json.as_bytes())?, read(&cbor)?);
        let seen = |m: &Measurement| -> Vec<(String, i64, f64)> {
            readings(m).into_iter().map(|(name, _, at, value)| (name.to_owned(), at, value)).collect()
        };
        prop_assert_eq!(&seen(&from_cbor), &expected);
        // Of text with seventeen digits the last bit may be rounded the other way.
        for ((name, at, value), (_, _, exact)) in seen(&from_json).iter().zip(&expected) {
            prop_assert!((value - exact).abs() <= exact.abs() * f64::EPSILON, "{name} at {at}: {value} {exact}");
        }
        prop_assert_eq!((from_json.readings.len(), from_json.device()), (expected.len(), "dev-1"));
    }
}
