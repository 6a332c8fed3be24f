//! Any bytes as a frame, a small packet of a gateway, and a payload under routes of each kind: bounded, and what is valid is
//! encoded to the same bytes.
#![no_main]

mod again;

use std::sync::LazyLock;

use firmware_protocol::crc::crc32;
use firmware_protocol::decode::{
    CHANNELS_MAX, DEVICE_MAX_BYTES, Decoder, Format, Incoming, READINGS_MAX, Route, TimeUnit,
};
use firmware_protocol::frame::{self, ACK_MAX_BYTES, HELLO_REQUEST_MAX_BYTES, Header, Key, Parsed, Signature};
use firmware_protocol::measurement::{EventTime, Measurement};
use libfuzzer_sys::fuzz_target;

/// One route for each way to find device, channel and time.
static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let route = |topic: &str| Route { topic: topic.to_owned(), ..Route::default() };
    Decoder::new(vec![
        route("a/{device}/{channel}"),
        Route { device_field: Some("id".into()), time_unit: TimeUnit::Rfc3339, ..route("b/{channel}") },
        Route { device_field: Some("a.b".into()), time_field: None, ..route("b/#") },
        Route { format: Format::Json, time_field: Some("t.s".into()), time_unit: TimeUnit::S, ..route("c") },
        Route { format: Format::Frame, ..route("d") },
        Route { format: Format::Scalar, time_unit: TimeUnit::Ns, ..route("e/{device}") },
        route("#"),
    ])
    .expect("the routes are valid")
});
/// As senders name what a payload is: nothing, or what the decoders know.
const CONTENT_TYPES: [&str; 4] =
    ["", "application/json", "application/vnd.sensor-frame", "application/vnd.influx.line-protocol; precision=ms"];
/// Names for half of the numbers that a frame may have.
const TABLE: &str = "0\tflow\tl/min\n2\tdoor\n4\tstate\n6\tt\tdegC\n";
const KEY: Key<'static> = match Key::new(7, b"a secret that no input has") {
    Ok(key) => key,
    Err(_) => panic!("its length is right"),
};
const RECEIVED_AT: EventTime = EventTime(1_772_366_400_000_000_000);
const TOPICS: [&str; 8] = ["a/pump-7/temperature", "b/flow", "b/x/y", "c", "d", "e/1", "", "sensors/x"];

fuzz_target!(|input: &[u8]| {
    let Some((&selector, bytes)) = input.split_first() else { return };
    frame_as_it_is(bytes);
    // Sealed with the right CRC, so that what lies behind that check is reached too.
    let sealed = [bytes, &crc32(bytes).to_le_bytes()].concat();
    frame_as_it_is(&sealed);
    packet(&sealed);
    // Three bits for the topic, two for the content type, one for a broker's retained copy, one for a table.
    let topic = TOPICS[usize::from(selector & 7)];
    let content_type = CONTENT_TYPES[usize::from(selector >> 3 & 3)];
    let is_replay = selector & 0x20 != 0;
    let table = if selector & 0x40 == 0 { "" } else { TABLE };
    for payload in [bytes, &sealed] {
        decode(Incoming { topic, payload, content_type, received_at: RECEIVED_AT, is_replay, table });
    }
});

fn frame_as_it_is(bytes: &[u8]) {
    let signature = Signature::of(bytes);
    if let Some(signature) = signature {
        assert!(!signature.is_by(&KEY), "nobody guesses a key");
    }
    let Ok(parsed) = frame::parse(bytes) else { return };
    assert_eq!(Header::peek(bytes), Ok(parsed.header()));
    assert_eq!(Header::verify(bytes).map(|(header, _)| header), Ok(parsed.header()));
    if let Parsed::Samples(view) = &parsed {
        let newest = view.channels().flat_map(|c| c.samples()).map(|(offset, _)| offset).max();
        assert_eq!(view.newest_offset_micros(), newest);
    }
    let Some(again) = again::encoded(&parsed) else { return };
    if signature.is_none() {
        assert_eq!(again, bytes, "one content has one encoding");
    }
}

fn packet(bytes: &[u8]) {
    if let Ok(header) = frame::parse_ack(bytes) {
        let mut out = [0; ACK_MAX_BYTES];
        let length = frame::encode_ack(&header, &mut out).expect("what could be decoded can be encoded");
        assert_eq!(&out[..length], bytes);
    }
    if let Ok(device) = frame::parse_hello_request(bytes) {
        let mut out = [0; HELLO_REQUEST_MAX_BYTES];
        let length = frame::encode_hello_request(device, &mut out).expect("what could be decoded can be encoded");
        assert_eq!(&out[..length], bytes);
    }
}

fn decode(message: Incoming<'_>) {
    let mut out = Measurement::default();
    let decoded = DECODER.decode(message, &mut out);
    let device = DECODER.device_of(message.topic, message.payload, message.content_type);
    assert!(device.len() <= DEVICE_MAX_BYTES || device == message.topic);
    if decoded.is_ok() {
        assert_eq!(device, out.device(), "the key is the device");
        assert!(out.is_announcement || !out.is_empty());
        assert!(out.readings.len() + out.texts().count() <= READINGS_MAX);
        assert!(out.channel_count() <= CHANNELS_MAX);
        assert!(out.readings.iter().all(|r| r.value.is_finite() && usize::from(r.channel.0) < out.channel_count()));
    }
}
