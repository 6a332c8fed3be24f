//! What decoding costs, for every format, beside what the crates below take for their part of it.
//!
//! ```text
//! cargo bench -p firmware-protocol --bench decoders            # all
//! cargo bench -p firmware-protocol --bench decoders -- cbor    # those whose name has it
//! ```
//! Each case decodes one message into the same measurement again and again. A figure is of many messages in a row; the least
//! of several such runs is what the code costs, and the median says how quiet the machine was.

mod payloads;
mod raw;
#[path = "../../tests/sparkplug/schema.rs"]
mod schema;
mod timing;

use std::hint::black_box;

use firmware_protocol::decode::{Channel, Decoder, Fields, Format, Incoming, Route};
use firmware_protocol::measurement::{EventTime, Measurement};
use firmware_protocol::sparkplug::{Birth, Payload};
use firmware_protocol::table;

use timing::Bench;

fn main() {
    let mut bench = Bench::from_args();
    decoders(&mut bench);
    raw::all(&mut bench);
}

fn decoders(bench: &mut Bench) {
    let of = |format| Route { format, ..Route::default() };
    let data = payloads::sparkplug_data();
    let table = table_of(&payloads::sparkplug_birth(), &data);

    decode(bench, "frame", Route::default(), &payloads::frame());
    decode(bench, "json, all fields", Route::default(), payloads::JSON.as_bytes());
    decode(bench, "json, user paths", user_paths(), payloads::JSON.as_bytes());
    decode(bench, "json lines", of(Format::JsonLines), payloads::json_lines().as_bytes());
    decode(bench, "csv line", csv(), payloads::CSV.as_bytes());
    decode(bench, "line protocol", of(Format::Line), payloads::LINE.as_bytes());
    decode(bench, "senml json", of(Format::Senml), payloads::senml_json().as_bytes());
    decode(bench, "senml cbor", of(Format::Senml), &payloads::senml_cbor());
    decode(bench, "cbor map", of(Format::Cbor), &payloads::cbor());
    decode(bench, "cbor map, user paths", Route { format: Format::Cbor, ..user_paths() }, &payloads::cbor());
    decode_with(bench, "sparkplug data by alias", (Route::default(), "spBv1.0/plant/NDATA/press"), &data, &table);
    let birth = payloads::sparkplug_birth();
    decode_with(bench, "sparkplug birth", (Route::default(), "spBv1.0/plant/NBIRTH/press"), &birth, "");
    decode(bench, "scalar", of(Format::Scalar), b"21.53");
}

/// Three of the five numbers, one of them in another unit, one within bounds.
fn user_paths() -> Route {
    let channel = |path: &str, name: &str| Channel { path: path.into(), name: name.into(), ..Channel::default() };
    let channels = vec![
        Channel { unit: "degF".into(), to: "degC".into(), ..channel("env.temp", "temperature") },
        Channel { min: Some(0.0), max: Some(100.0), ..channel("env.hum", "humidity") },
        channel("batt", "battery"),
    ];
    Route { fields: Fields::Listed, channels, device_field: Some("id".into()), ..Route::default() }
}

fn csv() -> Route {
    let columns = ["ts", "temperature", "humidity", "pressure", "battery"].map(str::to_owned).into();
    Route { format: Format::Csv, columns, ..Route::default() }
}

fn decode(bench: &mut Bench, name: &str, route: Route, payload: &[u8]) {
    decode_with(bench, name, (route, "sensors/pump-7"), payload, "");
}

fn decode_with(bench: &mut Bench, name: &str, (route, topic): (Route, &str), payload: &[u8], table: &str) {
    let decoder = Decoder::new(vec![route]).expect("the route is valid");
    let received_at = EventTime(1_772_366_400_000_000_000);
    let message = Incoming { topic, payload, content_type: "", received_at, is_replay: false, table };
    let mut out = Measurement::default();
    decoder.decode(message, &mut out).unwrap_or_else(|error| panic!("{name}: {error}"));
    let readings = out.readings.len();
    bench.case(name, payload.len(), readings, || {
        let decoded = decoder.decode(black_box(message), &mut out);
        assert!(black_box(decoded).is_ok());
    });
}

/// What the gateway puts beside a record.
fn table_of(birth: &[u8], data: &[u8]) -> String {
    let birth = Birth::parse(birth).expect("the birth is valid");
    let mut text = String::new();
    for number in Payload::parse(data).expect("the data are valid").numbers() {
        let entry = birth.entries().iter().find(|entry| entry.number == number).expect("the birth tells all numbers");
        table::push(&mut text, entry);
    }
    text
}
