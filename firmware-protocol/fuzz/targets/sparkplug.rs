//! Any bytes as a birth and as the data after it: bounded, and a table of the birth has what the data needs.
#![no_main]

use std::sync::LazyLock;

use firmware_protocol::decode::{Decoder, Incoming, READINGS_MAX, Route, SPARKPLUG_CHANNELS_MAX};
use firmware_protocol::measurement::{EventTime, Measurement};
use firmware_protocol::sparkplug::{BIRTH_METRICS_MAX, Birth, Payload, Topic};
use firmware_protocol::table;
use libfuzzer_sys::fuzz_target;

static DECODER: LazyLock<Decoder> = LazyLock::new(|| Decoder::new(Route::defaults()).expect("the routes are valid"));
const BIRTHS: [&str; 2] = ["spBv1.0/g/NBIRTH/n", "spBv1.0/g/DBIRTH/n/d"];
const OTHERS: [&str; 6] = [
    "spBv1.0/g/NDATA/n",
    "spBv1.0/g/DDATA/n/d",
    "spBv1.0/g/NDEATH/n",
    "spBv1.0/g/DCMD/n/d",
    "spBv1.0/STATE/h",
    "spBv1.0/g/NDATA/n",
];

fuzz_target!(|input: &[u8]| {
    // The first byte says what it is, the second how long the birth is; birth and data are the rest.
    let [selector, length, rest @ ..] = input else { return };
    let (birth, data) = rest.split_at(usize::from(*length).min(rest.len()));
    let is_replay = selector & 0x80 != 0;
    decode(BIRTHS[usize::from(selector & 1)], birth, "", is_replay);
    let mut text = String::new();
    if let (Ok(birth), Ok(data)) = (Birth::parse(birth), Payload::parse(data)) {
        assert!(birth.entries().len() <= BIRTH_METRICS_MAX);
        for number in data.numbers() {
            let entry = birth.entries().iter().find(|entry| entry.number == number);
            entry.into_iter().for_each(|entry| table::push(&mut text, entry));
        }
    }
    decode(OTHERS[usize::from(selector >> 1) % OTHERS.len()], data, &text, is_replay);
    if let Ok(topic) = std::str::from_utf8(data) {
        Topic::parse(topic).into_iter().for_each(|topic| assert!(!topic.source().is_empty()));
        decode(topic, birth, "", is_replay);
    }
});

fn decode(topic: &str, payload: &[u8], table: &str, is_replay: bool) {
    let mut out = Measurement::default();
    let received_at = EventTime(1_772_366_400_000_000_000);
    let message = Incoming { topic, payload, content_type: "", received_at, is_replay, table };
    if DECODER.decode(message, &mut out).is_ok() {
        assert_eq!(DECODER.device_of(topic, payload, ""), out.device(), "the key is the device");
        assert!(out.readings.len() + out.texts().count() <= READINGS_MAX);
        assert!(out.channel_count() <= SPARKPLUG_CHANNELS_MAX);
        assert!(out.readings.iter().all(|r| r.value.is_finite() && usize::from(r.channel.0) < out.channel_count()));
    }
}
