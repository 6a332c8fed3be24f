use firmware_protocol::decode::{Decoder, Incoming, Route};
use firmware_protocol::measurement::{EventTime, Measurement};

use super::*;
use crate::ingest::csv::head::Head;
use crate::ingest::csv::reader::Item;

fn mapping(options: &[(&str, &str)]) -> Mapping {
    let mut mapping = Mapping::default();
    for (key, value) in options {
        if Mapping::LISTS.contains(key) {
            let values: Vec<String> = value.split(',').map(str::to_owned).collect();
            mapping.set_list(key, &values).unwrap();
        } else {
            mapping.set(key, value).unwrap();
        }
    }
    mapping
}

/// Topic and payload of each row of a file called `pump-7.csv`, or why there is none.
fn convert(options: &[(&str, &str)], text: &str) -> Vec<Result<(String, String), String>> {
    let head = Head::read(text.as_bytes(), &mapping(options), "pump-7").unwrap();
    let mut reader = head.reader(head.rows);
    let mut plan = head.plan;
    reader.push(&text.as_bytes()[head.rows.offset as usize..]);
    reader.finish();
    let mut rows = Vec::new();
    loop {
        match reader.next() {
            Item::Row(row) => {
                let (mut topic, mut payload) = (String::new(), Vec::new());
                let converted = plan.convert(&row, &mut topic, &mut payload).map_err(|fault| fault.to_string());
                rows.push(converted.map(|_| (topic, String::from_utf8(payload).unwrap())));
            }
            Item::Bad { fault, .. } => rows.push(Err(fault.to_string())),
            Item::NeedInput | Item::End => return rows,
        }
    }
}

fn one(options: &[(&str, &str)], text: &str) -> (String, String) {
    convert(options, text).remove(0).unwrap()
}

fn refused(options: &[(&str, &str)], text: &str) -> String {
    Head::read(text.as_bytes(), &mapping(options), "pump-7").unwrap_err().to_string()
}

fn record(topic: &str, payload: &str) -> (String, String) {
    (topic.to_owned(), payload.to_owned())
}

const NOON: &str = "1772366400000000";

#[test]
fn without_options_time_and_device_are_found_by_name_and_all_other_numbers_are_readings() {
    let text = "Timestamp;Device;temp;note;rpm\n1772366400;motor-1;21.50;ok;\n";
    let expected = format!("{{\"ts\":{NOON},\"temp\":21.50}}");
    assert_eq!(one(&[], text), record("sensors/motor-1/telemetry", &expected));
}

#[test]
fn a_file_without_a_device_column_is_of_the_device_that_it_is_named_after() {
    let (topic, _) = one(&[], "time,a\n1772366400,1\n");
    assert_eq!(topic, "sensors/pump-7/telemetry");
    let (topic, _) = one(&[("device", "motor 2")], "time,a\n1772366400,1\n");
    assert_eq!(topic, "sensors/motor 2/telemetry");
}

#[test]
fn options_choose_rename_and_place_columns() {
    let options = [
        ("time_column", "Zeit"),
        ("date_column", "Datum"),
        ("time_format", "%d.%m.%Y %H:%M"),
        ("utc_offset", "+01:00"),
        ("device_column", "Gerät"),
        ("decimal", ","),
        ("readings", "Druck,T1"),
        ("rename", "Druck=pressure"),
        ("topic", "plant/{Linie}/{device}"),
        ("time_field", "at"),
    ];
    let text = "Datum;Zeit;Linie;Gerät;T1;T2;Druck\n01.03.2026;13:00;A;p1;1,5;9;-2,25\n";
    let expected = format!("{{\"at\":{NOON},\"pressure\":-2.25,\"T1\":1.5}}");
    assert_eq!(one(&options, text), record("plant/A/p1", &expected));
}

#[test]
fn names_that_json_must_escape_are_escaped() {
    let (_, payload) = one(&[], "ts,\"a\"\"b\",Wärme\\\n1772366400,1,2\n");
    let value: serde_json::Value = serde_json::from_str(&payload).unwrap();
    assert_eq!((value["a\"b"].as_i64(), value["Wärme\\"].as_i64()), (Some(1), Some(2)));
}

#[test]
fn each_bad_row_says_why() {
    let text = "ts,device,a\nnow,m,1\n1772366400,,1\n1772366400,a/b,1\n1772366400,m,x\n1772366400,m\n12,m,1\n";
    let reasons: Vec<String> = convert(&[], text).into_iter().map(|row| row.unwrap_err()).collect();
    for (reason, part) in reasons.iter().zip([
        "`now` is no time",
        "`` cannot be part of a topic: it is empty",
        "`a/b` cannot be part of a topic",
        "no number in it",
        "2 columns instead of 3",
        "`12` is no time: it lies before March 1973",
    ]) {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(reasons.len(), 6);
}

#[test]
fn what_no_row_can_mend_refuses_the_file_and_says_what_to_do() {
    for (options, text, parts) in [
        (&[][..], "a,b\n1,2\n", ["time_column", "`a`, `b`"]),
        (&[("time_column", "zeit")], "a,b\n", ["no column is called `zeit`", "`a`, `b`"]),
        (&[], "ts,a,a\n", ["two columns are called `a`", "`columns`"]),
        (&[], "ts,device,\n", ["no column is left", "`device`"]),
        (&[("rename", "a=b")], "ts,a,b\n", ["two columns are called `b`", ""]),
        (&[("rename", "c=b")], "ts,a\n", ["no column is called `c`", ""]),
        (&[("time_column", "a")], "a,ts\n", ["`ts` would have the name of the time", "`time_field`"]),
        (&[("topic", "x/{line}")], "ts,a\n", ["no column is called `line`", ""]),
    ] {
        let refusal = refused(options, text);
        assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
    }
    let many: String = (0..300).map(|n| format!(",c{n}")).collect();
    assert!(refused(&[], &format!("ts{many}\n")).contains("300 columns with readings, a record takes 256"));
    let named = |stem| Head::read(b"ts,a\n", &Mapping::default(), stem).unwrap_err().to_string();
    assert!(named("a#b").contains("`a#b` cannot be the device") && named("").contains("set `device`"));
    assert!(refused(&[], &format!("ts,{}\n", "x".repeat(129))).contains("129 bytes long, the limit is 128"));
}

#[test]
fn the_default_decode_routes_read_what_is_written() {
    let (topic, payload) = one(&[], "ts,device,temp,on\n2026-03-01T12:00:00.25Z,motor-1,-1e-3,true\n");
    let decoder = Decoder::new(Route::defaults()).unwrap();
    let mut out = Measurement::default();
    let message = Incoming {
        topic: &topic,
        payload: payload.as_bytes(),
        content_type: "application/json",
        received_at: EventTime(0),
        is_replay: false,
        table: "",
    };
    decoder.decode(message, &mut out).unwrap();
    assert_eq!(out.device(), "motor-1");
    let read: Vec<_> = out.readings.iter().map(|r| (r.at, r.value)).collect();
    let at = EventTime(1_772_366_400_250_000_000);
    assert_eq!(read, [(at, -0.001), (at, 1.0)]);
}
