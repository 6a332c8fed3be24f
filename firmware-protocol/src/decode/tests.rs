use super::*;
use crate::FrameError;
use crate::frame::{self, BaseTime, Channel, FRAME_MAX_BYTES, Frame, Samples};
use crate::measurement::FrameIdentity;
use crate::{BootId, DeviceSeq};

const RECEIVED_AT: EventTime = EventTime(1_772_366_400_000_000_000);

fn decoder(routes: &[Route]) -> Decoder {
    Decoder::new(routes.to_vec()).unwrap()
}

fn route(topic: &str) -> Route {
    Route { topic: topic.into(), ..Route::default() }
}

fn decode(routes: &[Route], topic: &str, payload: &[u8]) -> Result<Measurement, DecodeError> {
    let mut out = Measurement::default();
    decoder(routes).decode(Incoming { topic, payload, received_at: RECEIVED_AT }, &mut out)?;
    Ok(out)
}

fn readings(m: &Measurement) -> Vec<(&str, i64, f64)> {
    m.readings.iter().map(|r| (m.channel(r.channel), r.at.0, r.value)).collect()
}

fn frame(base: BaseTime, samples: &[(i64, f32)]) -> Vec<u8> {
    let channels = [Channel { name: "flow", samples: Samples::F32(samples) }];
    let frame = Frame { device: "pump-7", boot: BootId(3), seq: DeviceSeq(9), base, channels: &channels };
    let mut out = [0; FRAME_MAX_BYTES];
    let length = frame::encode(&frame, &mut out).unwrap();
    out[..length].to_vec()
}

#[test]
fn a_frame_gives_its_device_identity_and_readings() {
    let payload = frame(BaseTime::UnixMicros(1_000), &[(-1, 1.5), (2, f32::NAN), (3, 2.5)]);
    let m = decode(&[route("#")], "any", &payload).unwrap();
    assert_eq!(m.device(), "pump-7");
    assert_eq!(m.identity, Some(FrameIdentity { boot: BootId(3), seq: DeviceSeq(9) }));
    assert_eq!(readings(&m), [("flow", 999_000, 1.5), ("flow", 1_003_000, 2.5)], "NaN means no value");
}

#[test]
fn without_a_clock_the_newest_sample_is_as_old_as_its_receipt() {
    for base in [BaseTime::SinceBootMicros(0), BaseTime::SinceBootMicros(u64::MAX)] {
        let m = decode(&[route("#")], "any", &frame(base, &[(0, 1.0), (2_000, 3.0), (1_000, 2.0)])).unwrap();
        let ages: Vec<_> = m.readings.iter().map(|r| RECEIVED_AT.0 - r.at.0).collect();
        assert_eq!(ages, [2_000_000, 0, 1_000_000]);
    }
}

#[test]
fn a_frame_beyond_the_range_of_event_times_is_refused() {
    for base in [BaseTime::UnixMicros(i64::MAX), BaseTime::UnixMicros(i64::MIN)] {
        let error = decode(&[route("#")], "any", &frame(base, &[(0, 1.0)])).unwrap_err();
        assert_eq!(error.reason(), "bad_time", "{error}");
    }
    let spread = frame(BaseTime::SinceBootMicros(0), &[(0, 1.0), (i64::MAX, 1.0)]);
    assert_eq!(decode(&[route("#")], "any", &spread).unwrap_err().reason(), "bad_time");
}

#[test]
fn the_device_is_the_topics_before_the_payloads_and_else_the_whole_topic() {
    let by_field = |topic: &str| Route { device_field: Some("id".into()), ..route(topic) };
    let payload = br#"{"id": "p", "a": 1}"#;
    let device = |route: Route, payload: &[u8]| decode(&[route], "x/d", payload).map(|m| m.device().to_owned());
    assert_eq!(device(by_field("x/{device}"), payload), Ok("d".into()));
    assert_eq!(device(by_field("#"), payload), Ok("p".into()));
    assert_eq!(device(route("#"), payload), Ok("x/d".into()));
    assert_eq!(device(by_field("#"), b"1"), Err(DecodeError::NoDevice), "a scalar cannot name it");
    assert_eq!(decode(&[route("#")], "", b"1").unwrap_err(), DecodeError::NoDevice);
    assert_eq!(decode(&[route("#")], &"x".repeat(257), b"1").unwrap_err().reason(), "too_large");
}

#[test]
fn the_key_of_a_message_is_the_device_that_decode_finds() {
    let by_field = Route { device_field: Some("id".into()), ..route("f/#") };
    let routes = decoder(&[route("s/{device}/#"), by_field, route("t/#")]);
    let frame = frame(BaseTime::UnixMicros(0), &[(0, 1.0)]);
    let cases: [(&str, &[u8]); 5] =
        [("s/d/x", b"{\"a\":1}"), ("s/d", b"1"), ("f/x", b"{\"id\":17,\"a\":1}"), ("t/x", b"1"), ("s/d", &frame)];
    let mut out = Measurement::default();
    for (topic, payload) in cases {
        routes.decode(Incoming { topic, payload, received_at: RECEIVED_AT }, &mut out).unwrap();
        assert_eq!(routes.device_of(topic, payload), out.device(), "{topic}");
    }
    assert_eq!(routes.device_of("f/x", b"{broken"), "f/x");
    assert_eq!(routes.device_of("unknown", b"1"), "unknown");
    assert_eq!(routes.device_of("s/d", b"SG\x02"), "s/d");
}

#[test]
fn the_first_route_that_matches_decides() {
    let scalar = Route { format: Format::Scalar, channel: "level".into(), ..route("tank/+") };
    let routes = [scalar, Route { measurement: "rest".into(), ..route("#") }];
    let m = decode(&routes, "tank/1", b"7").unwrap();
    assert_eq!(readings(&m), [("level", RECEIVED_AT.0, 7.0)]);
    assert_eq!(decode(&routes, "tank/1", b"{\"a\":1}").unwrap_err(), DecodeError::NotANumber);
    assert_eq!(decoder(&routes).route_for("tank/1/x").unwrap().measurement, "rest");
    assert_eq!(decode(&routes[..1], "other", b"7").unwrap_err(), DecodeError::NoRoute);
}

#[test]
fn auto_tells_the_formats_apart() {
    let auto = [route("{device}/{channel}")];
    assert_eq!(readings(&decode(&auto, "d/flow", b" 1.5\n").unwrap()), [("flow", RECEIVED_AT.0, 1.5)]);
    assert_eq!(readings(&decode(&auto, "d/flow", b"\n{\"value\":2}").unwrap()), [("flow", RECEIVED_AT.0, 2.0)]);
    assert_eq!(readings(&decode(&auto, "d/flow", b"[{\"value\":3}]").unwrap()), [("flow", RECEIVED_AT.0, 3.0)]);
    assert_eq!(decode(&auto, "d/flow", b"SG\x01").unwrap_err(), DecodeError::Frame(FrameError::Truncated));
    assert_eq!(decode(&auto, "d/flow", b"hello").unwrap_err(), DecodeError::NotANumber);
    assert_eq!(decode(&auto, "d/flow", b"{\"a\":\"\xff\"}").unwrap_err(), DecodeError::NotUtf8);
    assert_eq!(decode(&auto, "d/flow", b"{\"a\":\"b\"}").unwrap_err(), DecodeError::NoReadings);
}

#[test]
fn a_reused_measurement_keeps_nothing_of_the_message_before() {
    let routes = decoder(&[route("#")]);
    let mut out = Measurement::default();
    let frame = frame(BaseTime::UnixMicros(0), &[(0, 1.0); 20]);
    routes.decode(Incoming { topic: "a", payload: &frame, received_at: RECEIVED_AT }, &mut out).unwrap();
    let room = out.readings.capacity();
    routes.decode(Incoming { topic: "b", payload: b"{\"x\":1}", received_at: RECEIVED_AT }, &mut out).unwrap();
    assert_eq!(out, decode(&[route("#")], "b", b"{\"x\":1}").unwrap());
    assert_eq!(out.readings.capacity(), room, "its memory is kept");
}

#[test]
fn all_faults_of_a_route_are_found_and_the_decoder_names_the_first() {
    let wrong = Route {
        topic: "a/{dev}".into(),
        device_field: Some(String::new()),
        time_field: Some("x".repeat(129)),
        channel: "a\nb".into(),
        measurement: "#sensor".into(),
        ..Route::default()
    };
    let fields: Vec<_> = wrong.faults().iter().map(|f| f.field).collect();
    assert_eq!(fields, ["topic", "device_field", "time_field", "channel", "measurement"]);
    assert_eq!(
        Decoder::new(vec![Route::default(), wrong]).unwrap_err(),
        "decode route 2 (topic `a/{dev}`): topic: level 2 `{dev}`: only `{device}` or `{channel}` alone between slashes \
         is known"
    );
    assert_eq!(
        Decoder::new(vec![Route { measurement: "_x".into(), ..Route::default() }]).unwrap_err(),
        "decode route 1 (topic `#`): measurement: `_x` may not begin with `_` or `#` in InfluxDB"
    );
    assert_eq!(Route::default().faults(), []);
}

#[test]
fn it_is_told_whether_a_reading_has_the_received_time() {
    let decoder = Decoder::new(Route::defaults()).unwrap();
    let mut out = Measurement::default();
    for (payload, uses) in [
        ("21.5", true),
        (r#"{"x":1}"#, true),
        (r#"{"x":1,"ts":1700000000000}"#, false),
        (r#"{"x":1,"ts":null}"#, true),
        (r#"[{"x":1,"ts":1700000000000},{"x":2}]"#, true),
        (r#"[{"x":1,"ts":1700000000000},{"note":"none"}]"#, false),
    ] {
        let received_at = EventTime(5);
        let message = Incoming { topic: "sensors/a/telemetry", payload: payload.as_bytes(), received_at };
        decoder.decode(message, &mut out).unwrap();
        assert_eq!(out.uses_received_time, uses, "{payload}");
    }
}
