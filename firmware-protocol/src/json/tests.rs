use super::*;
use crate::decode::Route;

const RECEIVED_AT: EventTime = EventTime(77);

fn plan(route: &Route) -> Plan {
    Plan::new(route.clone()).unwrap()
}

fn decode_with(route: &Route, text: &str) -> Result<Vec<(String, i64, f64)>, DecodeError> {
    let from_payload = route.device_field.is_some();
    let mut out = Measurement::default();
    if !from_payload {
        out.set_device("d");
    }
    let rules = Rules { plan: &plan(route), captures: Captures::default(), from_payload };
    decode(text, &rules, Some(RECEIVED_AT), &mut out)?;
    Ok(out.readings.iter().map(|r| (out.channel(r.channel).to_owned(), r.at.0, r.value)).collect())
}

fn decode_plain(text: &str) -> Result<Vec<(String, i64, f64)>, DecodeError> {
    decode_with(&Route::default(), text)
}

fn now(name: &str, value: f64) -> (String, i64, f64) {
    (name.to_owned(), RECEIVED_AT.0, value)
}

fn fault(text: &str) -> DecodeError {
    decode_plain(text).unwrap_err()
}

#[test]
fn numbers_and_truth_values_become_readings_and_all_else_is_passed_over() {
    let text = r#" {"t": 21.5, "n": -3, "big": 18446744073709551615, "on": true, "off": false,
        "name": "x", "none": null, "list": [1, {"a": 2}], "e": 1e3} "#;
    let expected = [
        now("t", 21.5),
        now("n", -3.0),
        now("big", 18_446_744_073_709_551_615.0),
        now("on", 1.0),
        now("off", 0.0),
        now("e", 1_000.0),
    ];
    assert_eq!(decode_plain(text).unwrap(), expected);
}

#[test]
fn fields_of_nested_objects_have_dotted_names() {
    let text = r#"{"motor": {"current": {"l1": 1.5}, "rpm": 3}, "t": 4}"#;
    assert_eq!(decode_plain(text).unwrap(), [now("motor.current.l1", 1.5), now("motor.rpm", 3.0), now("t", 4.0)]);
}

#[test]
fn escaped_keys_are_read() {
    assert_eq!(decode_plain(r#"{"\u00e4\"b": 1}"#).unwrap(), [now("ä\"b", 1.0)]);
}

#[test]
fn a_channel_that_is_there_twice_is_refused_by_name() {
    for (text, name) in [
        (r#"{"a": 1, "b": 2, "a": 3}"#, "a"),
        (r#"{"b": {"c": 2}, "b.c": 4}"#, "b.c"),
        (r#"[{"a": 1}, {"a": 2, "a": 2}]"#, "a"),
    ] {
        assert_eq!(fault(text), DecodeError::DuplicateChannel(name.into()), "{text}");
    }
}

#[test]
fn the_time_field_gives_all_readings_their_time_wherever_it_stands() {
    let expected = [("a".to_owned(), 1_772_366_400_250_000_000, 1.0), ("b".to_owned(), 1_772_366_400_250_000_000, 2.0)];
    for time in ["1772366400250", "1772366400.25", "\"1772366400250\"", "\"2026-03-01T12:00:00.25Z\""] {
        let text = format!(r#"{{"a": 1, "ts": {time}, "b": 2}}"#);
        assert_eq!(decode_plain(&text).unwrap(), expected, "{time}");
    }
    assert_eq!(decode_plain(r#"{"a": 1, "ts": null}"#).unwrap(), [now("a", 1.0)]);
}

#[test]
fn the_time_may_lie_in_a_nested_object() {
    let route = Route { time_field: Some("meta.at".into()), ..Route::default() };
    let text = r#"{"meta": {"at": 1, "n": 2}, "ts": 3}"#;
    let expected = [("meta.n".to_owned(), 1_000_000_000, 2.0), ("ts".to_owned(), 1_000_000_000, 3.0)];
    assert_eq!(decode_with(&route, text).unwrap(), expected);
}

#[test]
fn a_wrong_time_is_refused_with_its_value() {
    let message = |text: &str| {
        let fault = fault(text);
        assert_eq!(fault.reason(), "bad_time");
        fault.to_string()
    };
    assert_eq!(
        message(r#"{"ts": "yesterday", "a": 1}"#),
        "`ts` = yesterday is no event time: expected RFC 3339, such as 2026-03-01T12:00:00.25Z"
    );
    assert_eq!(
        message(r#"{"ts": 18446744073709551615}"#),
        "`ts` = 18446744073709551615 is no event time: it lies after 2262"
    );
    assert_eq!(message(r#"{"ts": true}"#), "`ts` = true is no event time: expected a number or RFC 3339");
}

#[test]
fn an_array_of_objects_is_readings_of_several_times() {
    let text = r#"[{"ts": 1, "a": 1, "b": 2}, {"b": 4, "a": 3, "ts": 2}, {"a": 5}]"#;
    let at = |s: i64, name: &str, value| (name.to_owned(), s * 1_000_000_000, value);
    let expected = [at(1, "a", 1.0), at(1, "b", 2.0), at(2, "b", 4.0), at(2, "a", 3.0), now("a", 5.0)];
    assert_eq!(decode_plain(text).unwrap(), expected);
}

#[test]
fn the_device_field_names_the_device() {
    let route = Route { device_field: Some("meta.id".into()), ..Route::default() };
    let named = |text: &str| {
        let mut out = Measurement::default();
        let rules = Rules { plan: &plan(&route), captures: Captures::default(), from_payload: true };
        let result = decode(text, &rules, Some(RECEIVED_AT), &mut out).map(|()| out.device().to_owned());
        if let Ok(name) = &result {
            assert_eq!(device(text, &plan(&route)).as_deref(), Some(name.as_str()), "both ways agree");
        }
        result
    };
    assert_eq!(named(r#"{"a": 1, "meta": {"id": "pump-7"}}"#), Ok("pump-7".into()));
    assert_eq!(named(r#"{"a": 1, "meta": {"id": 17}}"#), Ok("17".into()));
    assert_eq!(named(r#"{"a": 1, "meta.id": "p\u00fcmp"}"#), Ok("pümp".into()));
    assert_eq!(named(r#"[{"meta": {"id": "x"}}, {"meta": {"id": "x"}}]"#), Ok("x".into()));
    for without in
        [r#"{"a": 1}"#, r#"{"meta": {"id": ""}}"#, r#"{"meta": {"id": 1.5}}"#, r#"{"meta": {"id": null}}"#, "[]"]
    {
        assert_eq!(named(without), Err(DecodeError::NoDevice), "{without}");
    }
    assert_eq!(named(r#"[{"meta": {"id": "x"}}, {"a": 1}]"#), Err(DecodeError::NoDevice));
    let two = named(r#"[{"meta": {"id": "x"}}, {"meta": {"id": "y"}}]"#).unwrap_err();
    assert!(two.to_string().starts_with("json: one message of two devices, `x` and `y`"), "{two}");
    let long = format!(r#"{{"meta": {{"id": "{}"}}}}"#, "x".repeat(257));
    assert_eq!(named(&long).unwrap_err().reason(), "too_large");
}

#[test]
fn the_topics_channel_stands_before_the_fields_names() {
    let route = Route::default();
    let captures = Captures { device: Some("d"), channel: Some("flow") };
    let mut out = Measurement::default();
    out.set_device("d");
    let rules = Rules { plan: &plan(&route), captures, from_payload: false };
    decode(r#"{"value": 1, "raw": {"value": 2}, "ts": 3}"#, &rules, Some(RECEIVED_AT), &mut out).unwrap();
    let names: Vec<_> = out.channels().map(|(_, name)| name).collect();
    assert_eq!(names, ["flow", "flow.raw.value"]);
    assert_eq!(out.readings[0].at, EventTime(3_000_000_000));
}

#[test]
fn broken_json_is_refused_with_its_place() {
    for (text, message) in [
        ("", "json: EOF while parsing a value at line 1 column 0"),
        ("{\"a\": 1", "json: EOF while parsing an object at line 1 column 7"),
        ("{\"a\": 1} x", "json: trailing characters at line 1 column 10"),
        ("{\"a\": NaN}", "json: expected value at line 1 column 7"),
        ("17", "json: invalid type: integer `17`, expected an object or an array of objects at line 1 column 2"),
        ("[1]", "json: invalid type: integer `1`, expected an object at line 1 column 2"),
        ("{\"\": 1}", "json: field with an empty name at line 1 column 6"),
        ("{\"a\": 1e999}", "json: number out of range at line 1 column 11"),
    ] {
        assert_eq!(fault(text).to_string(), message, "{text}");
    }
}

#[test]
fn what_is_beyond_a_limit_is_refused_by_name() {
    let too_large = |text: &str, what: &'static str, limit: usize| {
        assert_eq!(fault(text), DecodeError::TooLarge { what, limit });
    };
    let many: Vec<_> = (0..257).map(|i| format!("\"c{i}\":{i}")).collect();
    too_large(&format!("{{{}}}", many.join(",")), "number of channels", 256);
    assert_eq!(decode_plain(&format!("{{{}}}", many[..256].join(","))).unwrap().len(), 256);

    assert_eq!(fault(r#"{"a":{"b":{"c":{"d":{}}}}}"#), DecodeError::TooDeep { limit: 4 });
    assert_eq!(decode_plain(r#"{"a":{"b":{"c":{"d":1}}}}"#).unwrap(), [now("a.b.c.d", 1.0)]);

    let long = "n".repeat(129);
    too_large(&format!(r#"{{"{long}": 1}}"#), "channel name", 128);
    assert_eq!(decode_plain(&format!(r#"{{"{long}": "text", "a": 1}}"#)).unwrap(), [now("a", 1.0)]);

    let objects = vec!["{\"a\":1}"; 32_769].join(",");
    too_large(&format!("[{objects}]"), "number of readings", 32_768);
    assert!(fault(&"[".repeat(100_000)).to_string().contains("expected an object"));
    assert!(fault(&format!("{{\"a\":{}", "[".repeat(100_000))).to_string().starts_with("json: "));
}

#[test]
fn where_receipt_tells_nothing_objects_without_a_time_make_no_readings() {
    let replay = |text: &str| {
        let route = Route::default();
        let mut out = Measurement::default();
        out.set_device("d");
        let rules = Rules { plan: &plan(&route), captures: Captures::default(), from_payload: false };
        decode(text, &rules, None, &mut out)?;
        Ok(out.readings.iter().map(|r| (r.at.0, r.value)).collect::<Vec<_>>())
    };
    assert_eq!(replay(r#"{"v":1}"#), Err(DecodeError::Retained));
    assert_eq!(replay(r#"[{"v":1},{"v":2,"ts":1772366400},{"v":3}]"#), Ok(vec![(1_772_366_400_000_000_000, 2.0)]));
    assert_eq!(replay(r#"{"name":"x"}"#), Ok(vec![]), "it has none anyway");
}
