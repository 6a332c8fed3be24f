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
    decoder(routes).decode(
        Incoming { topic, payload, content_type: "", received_at: RECEIVED_AT, is_replay: false, table: "" },
        &mut out,
    )?;
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
        routes
            .decode(
                Incoming { topic, payload, content_type: "", received_at: RECEIVED_AT, is_replay: false, table: "" },
                &mut out,
            )
            .unwrap();
        assert_eq!(routes.device_of(topic, payload, ""), out.device(), "{topic}");
    }
    assert_eq!(routes.device_of("f/x", b"{broken", ""), "f/x");
    assert_eq!(routes.device_of("unknown", b"1", ""), "unknown");
    assert_eq!(routes.device_of("s/d", b"SG\x02", ""), "s/d");
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
    routes
        .decode(
            Incoming {
                topic: "a",
                payload: &frame,
                content_type: "",
                received_at: RECEIVED_AT,
                is_replay: false,
                table: "",
            },
            &mut out,
        )
        .unwrap();
    let room = out.readings.capacity();
    routes
        .decode(
            Incoming {
                topic: "b",
                payload: b"{\"x\":1}",
                content_type: "",
                received_at: RECEIVED_AT,
                is_replay: false,
                table: "",
            },
            &mut out,
        )
        .unwrap();
    assert_eq!(out, decode(&[route("#")], "b", b"{\"x\":1}").unwrap());
    assert_eq!(out.readings.capacity(), room, "its memory is kept");
}

#[test]
fn all_faults_of_a_route_are_found_and_the_decoder_names_the_first() {
    let wrong = Route {
        topic: "a/{devise}".into(),
        device_field: Some(String::new()),
        time_field: Some("x".repeat(129)),
        channel: "a\nb".into(),
        measurement: "#sensor".into(),
        ..Route::default()
    };
    let fields: Vec<_> = wrong.faults().iter().map(|f| f.field).collect();
    assert_eq!(fields, ["topic", "channel", "measurement", "device_field", "time_field"]);
    assert_eq!(
        Decoder::new(vec![Route::default(), wrong]).unwrap_err(),
        "decode route 2 (topic `a/{devise}`): topic: `{devise}` would make a tag: did you mean `{device}`?"
    );
    assert_eq!(
        Decoder::new(vec![Route { measurement: "_x".into(), ..Route::default() }]).unwrap_err(),
        "decode route 1 (topic `#`): measurement: `_x` may not begin with `_` or `#` in InfluxDB"
    );
    assert_eq!(Route::default().faults(), []);
}

fn line(routes: &[Route], topic: &str, payload: &str) -> Result<Measurement, DecodeError> {
    let (decoder, mut out) = (decoder(routes), Measurement::default());
    let (payload, content_type) = (payload.as_bytes(), "application/vnd.influx.line-protocol; precision=ms");
    decoder.decode(
        Incoming { topic, payload, content_type, received_at: RECEIVED_AT, is_replay: false, table: "" },
        &mut out,
    )?;
    assert_eq!(decoder.device_of(topic, payload, content_type), out.device());
    Ok(out)
}

#[test]
fn a_line_names_its_device_by_tag_or_else_by_its_whole_series() {
    let by_rack = Route { device_field: Some("rack".into()), ..route("#") };
    for (routes, topic, text, device) in [
        (by_rack.clone(), "http/ingest", "sensor,device=a,host=b,rack=c x=1", "c"),
        (by_rack, "http/ingest", "sensor,host=b,device=a x=1", "a"),
        (route("#"), "http/ingest", "sensor,host=b x=1", "b"),
        (route("#"), "http/ingest", "sensor,z=1,a=2,gateway=g x=1", "sensor,a=2,z=1"),
        (route("in/{device}"), "in/pump-7", "sensor,host=b x=1", "pump-7"),
    ] {
        assert_eq!(line(&[routes], topic, text).unwrap().device(), device, "{text}");
    }
    let long = format!("m,tag={} x=1", "v".repeat(DEVICE_MAX_BYTES));
    assert_eq!(line(&[route("#")], "a", &long).unwrap_err().reason(), "too_large");
}

#[test]
fn numbers_and_truth_values_of_a_line_are_readings_at_its_time() {
    let m = line(&[route("#")], "a", "sensor,device=a x=1.5,n=-3i,u=7u,on=T,text=\"no\",x=2.5 1772366400000").unwrap();
    let at = 1_772_366_400_000_000_000;
    assert_eq!(readings(&m), [("x", at, 2.5), ("n", at, -3.0), ("u", at, 7.0), ("on", at, 1.0)]);
    assert_eq!(readings(&line(&[route("#")], "a", "sensor,device=a x=1").unwrap()), [("x", RECEIVED_AT.0, 1.0)]);
}

#[test]
fn series_of_one_device_meet_in_no_channel() {
    for (topic, text, channel) in [
        ("a", "sensor,device=a,gateway=g,site=s x=1", "x"),
        ("a", "cpu,host=a usage=1", "cpu.usage"),
        ("a", "cpu,host=a,cpu=cpu0 usage=1", "cpu.cpu=cpu0.usage"),
        ("a", "disk,path=/,host=a,dev=sda used=1", "disk.dev=sda.path=/.used"),
        ("a", "temperature,device=a value=1", "temperature"),
        ("a", "temperature,place=hall value=1", "value"),
        ("in/a/inlet", "sensor,host=a value=1", "inlet.host=a"),
    ] {
        let m = line(&[route("in/{device}/{channel}"), route("#")], topic, text).unwrap();
        assert_eq!(readings(&m)[0].0, channel, "{text}");
    }
}

#[test]
fn a_line_that_cannot_be_read_is_refused_with_the_reason() {
    for (text, reason) in [
        ("sensor,device=a", "line"),
        ("sensor,device=a x=1 9223372036854775807", "bad_time"),
        ("sensor,device=a x=\"text\"", "no_readings"),
    ] {
        assert_eq!(line(&[route("#")], "a", text).unwrap_err().reason(), reason, "{text}");
    }
}

#[test]
fn what_the_sender_says_counts_more_than_what_the_route_expects() {
    let decoder = decoder(&[Route { format: Format::Frame, ..route("#") }]);
    let mut out = Measurement::default();
    for (payload, content_type, channel) in [
        (&b"{\"x\":1}"[..], "application/json", "x"),
        (b"21.5", "application/json", "value"),
        (b"sensor,device=d x=1", "application/vnd.influx.line-protocol", "x"),
    ] {
        let message =
            Incoming { topic: "a", payload, content_type, received_at: RECEIVED_AT, is_replay: false, table: "" };
        decoder.decode(message, &mut out).unwrap();
        assert_eq!(readings(&out)[0].0, channel);
    }
    let message = Incoming {
        topic: "a",
        payload: b"1",
        content_type: "text/plain",
        received_at: RECEIVED_AT,
        is_replay: false,
        table: "",
    };
    assert_eq!(decoder.decode(message, &mut out).unwrap_err().reason(), "frame");
}

#[test]
fn a_retained_copy_makes_readings_only_of_what_says_when_it_was_measured() {
    let replay = |payload: &[u8]| {
        let mut out = Measurement::default();
        let message =
            Incoming { topic: "a", payload, content_type: "", received_at: RECEIVED_AT, is_replay: true, table: "" };
        let result = decoder(&Route::defaults()).decode(message, &mut out).map(drop);
        result.map(|()| readings(&out).into_iter().map(|(_, at, _)| at).collect::<Vec<_>>())
    };
    let samples = [(0, 1.0), (5, 2.0)];
    assert_eq!(replay(&frame(BaseTime::UnixMicros(1_000), &samples)), Ok(vec![1_000_000, 1_005_000]));
    assert_eq!(replay(br#"{"v":1,"ts":1772366400}"#), Ok(vec![1_772_366_400_000_000_000]));
    for timeless in [&frame(BaseTime::SinceBootMicros(1_000), &samples)[..], br#"{"v":1}"#, b"21.5"] {
        assert_eq!(replay(timeless), Err(DecodeError::Retained));
    }
    assert_eq!(DecodeError::Retained.reason(), "retained");
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
        let (topic, payload) = ("sensors/a/telemetry", payload.as_bytes());
        let message = Incoming { topic, payload, content_type: "", received_at, is_replay: false, table: "" };
        decoder.decode(message, &mut out).unwrap();
        assert_eq!(out.uses_received_time, uses, "{}", String::from_utf8_lossy(payload));
    }
}
