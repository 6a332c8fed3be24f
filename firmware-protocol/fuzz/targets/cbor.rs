//! Any bytes as CBOR under routes that read all of it, and that read what paths name: bounded, and all readings finite.
#![no_main]

use std::sync::LazyLock;

use firmware_protocol::decode::{CHANNELS_MAX, Channel, Decoder, Fields, Format, Incoming, READINGS_MAX, Route};
use firmware_protocol::measurement::{EventTime, Measurement};
use libfuzzer_sys::fuzz_target;

static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let route = |topic: &str| Route { topic: topic.to_owned(), format: Format::Cbor, ..Route::default() };
    let channel = |path: &str, every: &str| Channel { path: path.into(), every: every.into(), ..Channel::default() };
    let listed = vec![channel("a.b", ""), channel("1", ""), channel("c[*]", "10ms"), channel("d[*].e", "")];
    Decoder::new(vec![
        route("a/{device}/{channel}"),
        Route { device_field: Some("id".into()), ..route("b") },
        Route { fields: Fields::Listed, channels: listed, time_field: Some("d[*].ts".into()), ..route("c") },
        Route { each: "e".into(), ..route("d") },
        route("#"),
    ])
    .expect("the routes are valid")
});
const TOPICS: [&str; 4] = ["a/pump-7/x", "b", "c", "d"];

fuzz_target!(|input: &[u8]| {
    let Some((&selector, payload)) = input.split_first() else { return };
    let (topic, is_replay) = (TOPICS[usize::from(selector & 3)], selector & 4 != 0);
    let mut out = Measurement::default();
    let received_at = EventTime(1_772_366_400_000_000_000);
    let message = Incoming { topic, payload, content_type: "", received_at, is_replay, table: "" };
    if DECODER.decode(message, &mut out).is_ok() {
        assert_eq!(DECODER.device_of(topic, payload, ""), out.device(), "the key is the device");
        assert!(!out.is_empty() && out.readings.len() + out.texts().count() <= READINGS_MAX);
        assert!(out.channel_count() <= CHANNELS_MAX);
        assert!(out.readings.iter().all(|r| r.value.is_finite() && usize::from(r.channel.0) < out.channel_count()));
    }
});
