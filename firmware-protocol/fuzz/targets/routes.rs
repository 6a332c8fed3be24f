//! Any bytes under routes with rules: paths, arrays of samples, units, bounds, words, tags, CSV and line protocol. What
//! comes out is bounded, named and within the bounds.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use firmware_protocol::decode::{CHANNELS_MAX, Channel, Decoder, Fields, Format, Incoming, READINGS_MAX, Route};
use firmware_protocol::measurement::{EventTime, Measurement};
use libfuzzer_sys::fuzz_target;

const HOTTEST: f64 = 125.0;
const TOPICS: [&str; 8] = ["listed/hall", "all/hall", "each/hall", "rows/hall", "named/hall", "lines/hall", "text/hall", "ndjson/x"];

static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let channel = |path: &str| Channel { path: path.to_owned(), ..Channel::default() };
    let words = BTreeMap::from([("ON".to_owned(), 1.0), ("OFF".to_owned(), 0.0)]);
    let temperature =
        Channel { name: "t".into(), unit: "degF".into(), to: "degC".into(), max: Some(HOTTEST), ..channel("a.b") };
    let channels = vec![
        temperature.clone(),
        Channel { words, ..channel("state") },
        Channel { text: true, ..channel("note") },
        Channel { every: "10ms".into(), scale: 0.5, ..channel("s[*]") },
        channel("c[1].d"),
    ];
    let listed = Route { fields: Fields::Listed, channels: channels.clone(), ..Route::default() };
    let of = |topic: &str, format: Format| Route { topic: topic.to_owned(), format, ..Route::default() };
    let columns = ["ts", "a.b", "", "state"].map(str::to_owned).to_vec();
    Decoder::new(vec![
        Route { topic: "listed/{room}".into(), ..listed },
        Route { channels: channels.clone(), ignore: vec!["c".into()], ..of("all/{room}", Format::Json) },
        Route { each: "r".into(), device_field: Some("id".into()), ..of("each/#", Format::Json) },
        Route { columns, channels: vec![temperature], ..of("rows/{device}", Format::Csv) },
        Route { delimiter: ";".into(), ..of("named/{device}", Format::Csv) },
        Route { channels: channels.clone(), ..of("lines/#", Format::Line) },
        Route { channels: vec![Channel { text: true, ..channel("value") }], ..of("text/{device}", Format::Scalar) },
        Route { channels, ..of("ndjson/{device}", Format::JsonLines) },
    ])
    .expect("the routes are valid")
});

fuzz_target!(|input: &[u8]| {
    let Some((&selector, payload)) = input.split_first() else { return };
    let (topic, is_replay) = (TOPICS[usize::from(selector & 7)], selector & 8 != 0);
    let mut out = Measurement::default();
    let received_at = EventTime(1_772_366_400_000_000_000);
    let message = Incoming { topic, payload, content_type: "", received_at, is_replay, table: "" };
    if DECODER.decode(message, &mut out).is_err() {
        return;
    }
    assert_eq!(DECODER.device_of(topic, payload, ""), out.device(), "the key is the device");
    assert!(!out.is_empty() && out.readings.len() + out.texts().count() <= READINGS_MAX);
    assert!(out.channel_count() <= CHANNELS_MAX);
    for reading in &out.readings {
        assert!(reading.value.is_finite() && usize::from(reading.channel.0) < out.channel_count());
        assert!(out.channel(reading.channel) != "t" || out.unit(reading.channel) != "degC" || reading.value <= HOTTEST);
    }
    let rooms = out.tags().filter(|tag| *tag == ("room", "hall")).count();
    assert_eq!(rooms, usize::from(selector & 7 <= 1), "tags of the topic");
});
