//! What is written as JSON, JSON lines, CSV and line protocol is decoded to the same readings.

use std::collections::BTreeMap;

use firmware_protocol::decode::{Decoder, Format, Incoming, Route};
use firmware_protocol::line::Encoder;
use firmware_protocol::measurement::{EventTime, Measurement, Reading};
use proptest::prelude::*;

const AT: EventTime = EventTime(1_772_366_400_000_000_001);

fn read(format: Format, payload: &str) -> BTreeMap<String, f64> {
    let route = Route { topic: "{device}".into(), time_field: None, format, ..Route::default() };
    let decoder = Decoder::new(vec![route]).expect("the route is valid");
    let mut m = Measurement::default();
    let payload = payload.as_bytes();
    let message = Incoming { topic: "d", payload, content_type: "", received_at: AT, is_replay: false, table: "" };
    decoder.decode(message, &mut m).expect("own encoding");
    assert!(m.readings.iter().all(|r| r.at == AT));
    m.readings.iter().map(|r| (m.channel(r.channel).to_owned(), r.value)).collect()
}

/// With as many digits as sensors have: the JSON parser is fast, and off by the last bit of a number of 17 digits.
fn value() -> impl Strategy<Value = f64> {
    (-1_000_000_000..1_000_000_000_i64).prop_map(|thousandths| thousandths as f64 / 1_000.0)
}

proptest! {
    #[test]
    fn each_format_gives_back_what_was_written(
        values in proptest::collection::btree_map("[a-z][a-z0-9_ ,\"]{0,6}[a-z0-9]", value(), 1..8),
    ) {
        let json = serde_json::to_string(&values).expect("names and numbers");
        prop_assert_eq!(&read(Format::Json, &json), &values);
        prop_assert_eq!(&read(Format::JsonLines, &json), &values);
        let names: Vec<_> = values.keys().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        let numbers: Vec<_> = values.values().map(f64::to_string).collect();
        prop_assert_eq!(&read(Format::Csv, &format!("{}\n{}\n", names.join(","), numbers.join(","))), &values);
        let mut m = Measurement::default();
        for (name, value) in &values {
            let channel = m.push_channel(name);
            m.readings.push(Reading { channel, at: AT, value: *value });
        }
        let mut line = Vec::new();
        Encoder::new(&[]).measurement(&mut line, "sensor", &m, 0);
        let line = String::from_utf8(line).expect("lines are text").replacen(",device=_", "", 1);
        prop_assert_eq!(&read(Format::Line, &line), &values);
    }
}
