//! What a route's keys do to payloads of each format, through the decoder as gateway and cloud-sink call it.

use firmware_protocol::decode::{
    Channel, DecodeError, Decoder, Fields, Format, Incoming, READINGS_MAX, Route, TEXT_MAX_BYTES, TimeOf, TimeUnit,
};
use firmware_protocol::frame::{self, BaseTime, Frame, Samples};
use firmware_protocol::line::Encoder;
use firmware_protocol::measurement::{EventTime, Measurement};
use firmware_protocol::{BootId, DeviceSeq};

const RECEIVED_AT: EventTime = EventTime(1_772_366_400_000_000_000);
const SECOND: i64 = 1_000_000_000;

fn route(channels: Vec<Channel>) -> Route {
    Route { topic: "in/{device}".into(), channels, ..Route::default() }
}

fn listed(channels: Vec<Channel>) -> Route {
    Route { fields: Fields::Listed, ..route(channels) }
}

fn at(path: &str) -> Channel {
    Channel { path: path.into(), ..Channel::default() }
}

fn named(path: &str, name: &str) -> Channel {
    Channel { name: name.into(), ..at(path) }
}

fn words(list: &[(&str, f64)]) -> std::collections::BTreeMap<String, f64> {
    list.iter().map(|(word, value)| ((*word).to_owned(), *value)).collect()
}

fn read_on(route: &Route, topic: &str, payload: &[u8], is_replay: bool) -> Result<Measurement, DecodeError> {
    let decoder = Decoder::new(vec![route.clone()]).expect("the route is valid");
    let mut out = Measurement::default();
    let message = Incoming { topic, payload, content_type: "", received_at: RECEIVED_AT, is_replay, table: "" };
    decoder.decode(message, &mut out)?;
    if route.format != Format::Line {
        assert_eq!(decoder.device_of(topic, payload, ""), out.device(), "both ways to the device agree");
    }
    Ok(out)
}

fn read(route: &Route, payload: &str) -> Result<Measurement, DecodeError> {
    read_on(route, "in/d", payload.as_bytes(), false)
}

/// Channel, seconds after receipt, value.
fn readings(m: &Measurement) -> Vec<(&str, f64, f64)> {
    let after = |at: EventTime| (at.0 - RECEIVED_AT.0) as f64 / SECOND as f64;
    m.readings.iter().map(|r| (m.channel(r.channel), after(r.at), r.value)).collect()
}

fn now<'n>(values: &[(&'n str, f64)]) -> Vec<(&'n str, f64, f64)> {
    values.iter().map(|(name, value)| (*name, 0.0, *value)).collect()
}

#[test]
fn what_is_listed_is_read_at_any_depth_and_all_else_is_skipped() {
    let route = listed(vec![named("a.b.c.d.e.f", "deep"), at("g[1].h"), at("t")]);
    let text =
        r#"{"x": {"y": [[[1]]]}, "a": {"b": {"c": {"d": {"e": {"f": 1, "g": 2}}}}}, "g": [5, {"h": 3}, 6], "t": 4}"#;
    assert_eq!(readings(&read(&route, text).unwrap()), now(&[("deep", 1.0), ("g.1.h", 3.0), ("t", 4.0)]));
    let nested = format!("{{\"x\":{}{},\"t\":1}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(readings(&read(&route, &nested).unwrap()), now(&[("t", 1.0)]));
    let million = format!("{{\"x\":[{}],\"t\":1}}", vec!["1"; 1_000_000].join(","));
    assert_eq!(readings(&read(&route, &million).unwrap()), now(&[("t", 1.0)]));
}

#[test]
fn where_all_is_read_nesting_has_a_limit_and_ignored_paths_do_not_count() {
    let text = r#"{"a": {"b": {"c": {"d": {"e": 1}}}}, "t": 4, "link": {"q": 1}}"#;
    assert_eq!(read(&route(vec![]), text).unwrap_err(), DecodeError::TooDeep { limit: 4 });
    let ignoring = Route { ignore: vec!["a.b".into(), "link".into()], ..route(vec![]) };
    assert_eq!(readings(&read(&ignoring, text).unwrap()), now(&[("t", 4.0)]));
}

#[test]
fn numbers_are_scaled_then_converted_then_bounded() {
    let channel = Channel {
        unit: "degF".into(),
        to: "degC".into(),
        scale: 0.1,
        offset: -4.0,
        min: Some(-40.0),
        max: Some(85.0),
        ..named("t", "temperature")
    };
    let m = read(&route(vec![channel]), r#"{"t": 360, "u": 1}"#).unwrap();
    assert_eq!(readings(&m), now(&[("temperature", 0.0), ("u", 1.0)]));
    let units: Vec<_> = m.channels().map(|(index, _)| m.unit(index)).collect();
    assert_eq!(units, ["degC", ""]);
}

#[test]
fn what_is_out_of_bounds_is_dropped_and_counted() {
    let channel = Channel { min: Some(0.0), max: Some(100.0), ..at("h") };
    let m = read(&route(vec![channel.clone()]), r#"{"h": 101, "t": 1}"#).unwrap();
    assert_eq!((readings(&m), m.dropped.out_of_bounds), (now(&[("t", 1.0)]), 1));
    assert_eq!(read(&route(vec![channel.clone()]), r#"{"h": -1}"#), Err(DecodeError::OutOfBounds));
    let huge = Channel { scale: 1e300, ..at("h") };
    assert_eq!(read(&route(vec![huge]), r#"{"h": 1e300}"#), Err(DecodeError::NotFinite));
}

#[test]
fn words_stand_for_numbers_and_texts_may_stay_texts() {
    let state = Channel { words: words(&[("ON", 1.0), ("OFF", 0.0)]), ..at("state") };
    let mode = Channel { text: true, ..named("m", "mode") };
    let route = route(vec![state, mode, at("battery")]);
    let m = read(&route, r#"{"state": "ON", "m": "eco", "battery": "87.5", "other": "x"}"#).unwrap();
    assert_eq!(readings(&m), now(&[("state", 1.0), ("battery", 87.5)]));
    assert_eq!(
        m.texts().map(|(c, at, text)| (m.channel(c), at, text)).collect::<Vec<_>>(),
        [("mode", RECEIVED_AT, "eco")]
    );
    let m = read(&route, r#"{"state": "jammed", "battery": 1}"#).unwrap();
    assert_eq!((readings(&m), m.dropped.unknown_words), (now(&[("battery", 1.0)]), 1));
    assert_eq!(read(&route, r#"{"state": "jammed"}"#), Err(DecodeError::UnknownWord));
    let long = format!(r#"{{"m": "{}"}}"#, "x".repeat(TEXT_MAX_BYTES + 1));
    assert_eq!(read(&route, &long), Err(DecodeError::TooLarge { what: "text", limit: TEXT_MAX_BYTES }));
}

#[test]
fn two_paths_of_one_name_serve_two_kinds_of_device_but_not_in_one_message() {
    let route = listed(vec![named("temp", "temperature"), named("t", "temperature")]);
    for text in [r#"{"temp": 1}"#, r#"{"t": 1}"#] {
        assert_eq!(readings(&read(&route, text).unwrap()), now(&[("temperature", 1.0)]));
    }
    let both = Err(DecodeError::DuplicateChannel("temperature".into()));
    assert_eq!(read(&route, r#"{"t": 1, "temp": 2}"#), both);
}

#[test]
fn samples_of_an_array_are_spaced_evenly_back_from_the_messages_time_or_forward() {
    let samples = |time_of| Channel { every: "250ms".into(), time_of, ..named("a[*]", "accel") };
    let text = r#"{"a": [1, null, 3, 4], "ts": 1772366410}"#;
    let m = read(&route(vec![samples(TimeOf::Last)]), text).unwrap();
    assert_eq!(readings(&m), [("accel", 9.25, 1.0), ("accel", 9.75, 3.0), ("accel", 10.0, 4.0)]);
    assert!(!m.uses_received_time);
    let m = read(&route(vec![samples(TimeOf::First)]), r#"{"a": [1, 2]}"#).unwrap();
    assert_eq!(readings(&m), [("accel", 0.0, 1.0), ("accel", 0.25, 2.0)]);
    assert!(m.uses_received_time);
    let timeless = read_on(&route(vec![samples(TimeOf::Last)]), "in/d", br#"{"a": [1, 2]}"#, true);
    assert_eq!(timeless, Err(DecodeError::Retained));
    let rows = read(&route(vec![Channel { every: "1s".into(), ..named("[*]", "v") }]), "[1, 2, 3]").unwrap();
    assert_eq!(readings(&rows), [("v", -2.0, 1.0), ("v", -1.0, 2.0), ("v", 0.0, 3.0)]);
}

#[test]
fn objects_of_an_array_have_their_own_times() {
    let route = Route { time_field: Some("s[*].at".into()), ..route(vec![named("s[*].v", "v"), at("n")]) };
    let text = r#"{"n": 7, "s": [{"at": 1772366401, "v": 1}, {"v": 2, "at": 1772366402, "w": 9}], "k": 8}"#;
    let m = read(&route, text).unwrap();
    assert_eq!(readings(&m), [("n", 0.0, 7.0), ("v", 1.0, 1.0), ("v", 2.0, 2.0), ("k", 0.0, 8.0)]);
}

#[test]
fn an_array_that_is_read_ends_at_the_limit_of_readings() {
    let route = route(vec![Channel { every: "1ms".into(), ..at("a[*]") }]);
    let text = |count: usize| format!("{{\"a\":[{}]}}", vec!["1"; count].join(","));
    assert_eq!(read(&route, &text(READINGS_MAX)).unwrap().readings.len(), READINGS_MAX);
    let too_large = DecodeError::TooLarge { what: "number of readings", limit: READINGS_MAX };
    assert_eq!(read(&route, &text(1_000_000)), Err(too_large));
}

#[test]
fn each_element_is_a_message_with_its_time_or_that_of_the_message_around_it() {
    let route = Route { each: "data.readings".into(), ..route(vec![named("v.t", "temperature")]) };
    let text = r#"{"data": {"readings": [{"ts": 1772366401, "v": {"t": 1, "h": 2}}, {"v": {"t": 3}, "l": [1]}], "x": 5},
        "ts": 1772366409, "y": 6}"#;
    let m = read(&route, text).unwrap();
    assert_eq!(readings(&m), [("temperature", 1.0, 1.0), ("v.h", 1.0, 2.0), ("temperature", 9.0, 3.0)]);
    let twice = r#"{"data": {"readings": [{"v": {"t": 1, "t": 2}}]}}"#;
    assert_eq!(read(&route, twice), Err(DecodeError::DuplicateChannel("temperature".into())));
    let wrong = read(&route, r#"{"data": {"readings": [1]}}"#).unwrap_err();
    assert!(wrong.to_string().contains("an object in the array that `each` names"), "{wrong}");
}

#[test]
fn elements_may_name_the_device_or_the_message_around_them() {
    let route = Route { topic: "up/#".into(), each: "r".into(), device_field: Some("id".into()), ..route(vec![]) };
    let device = |text: &str| read_on(&route, "up/x", text.as_bytes(), false).map(|m| m.device().to_owned());
    assert_eq!(device(r#"{"r": [{"v": 1}], "id": "a"}"#), Ok("a".into()));
    assert_eq!(device(r#"{"r": [{"v": 1, "id": "a"}, {"v": 2, "id": "a"}]}"#), Ok("a".into()));
    assert_eq!(device(r#"{"r": [{"v": 1, "id": "a"}, {"v": 2}]}"#), Err(DecodeError::NoDevice));
    let two = device(r#"{"r": [{"v": 1, "id": "a"}, {"v": 2, "id": "b"}]}"#).unwrap_err();
    assert!(two.to_string().contains("two devices, `a` and `b`"), "{two}");
}

#[test]
fn levels_of_the_topic_become_tags_and_count_more_than_constant_ones() {
    let route = Route {
        topic: "{site}/{room}/{device}".into(),
        tags: [("floor", "2"), ("place", "{site}-{room}")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Route::default()
    };
    let m = read_on(&route, "berlin/hall/pump", br#"{"x": 1}"#, false).unwrap();
    let tags = [("floor", "2"), ("place", "berlin-hall"), ("room", "hall"), ("site", "berlin")];
    assert_eq!(m.tags().collect::<Vec<_>>(), tags);
    let mut line = Vec::new();
    let constant = [("gateway", "g1"), ("site", "everywhere")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    Encoder::new(&constant).measurement(&mut line, "sensor", &m, 0);
    let line = String::from_utf8(line).unwrap();
    assert!(
        line.starts_with("sensor,device=pump,floor=2,gateway=g1,place=berlin-hall,room=hall,site=berlin x=1 "),
        "{line}"
    );
}

#[test]
fn times_of_a_pattern_are_read_by_the_clock_that_wrote_them() {
    let route = Route {
        time_field: Some("Time".into()),
        time_format: "%Y-%m-%dT%H:%M:%S".into(),
        utc_offset: "+01:00".into(),
        ..route(vec![])
    };
    let m = read(&route, r#"{"Time": "2026-03-01T13:00:05", "x": 1}"#).unwrap();
    assert_eq!(readings(&m), [("x", 5.0, 1.0)]);
    assert_eq!(read(&route, r#"{"Time": "2026-03-01 13:00", "x": 1}"#).unwrap_err().reason(), "bad_time");
}

#[test]
fn json_lines_are_messages_with_their_own_times() {
    let route = Route { format: Format::JsonLines, ..route(vec![named("t", "temperature")]) };
    let m = read(&route, "{\"t\": 1, \"ts\": 1772366401}\n\n{\"t\": 2, \"ts\": 1772366402}\r\n").unwrap();
    assert_eq!(readings(&m), [("temperature", 1.0, 1.0), ("temperature", 2.0, 2.0)]);
    let fault = read(&route, "{\"t\": 1}\n{\"t\": }").unwrap_err();
    assert!(fault.to_string().starts_with("json: line 2 of the payload: expected value"), "{fault}");
}

#[test]
fn cells_of_csv_lines_are_readings_of_their_columns() {
    let route = Route {
        format: Format::Csv,
        delimiter: ";".into(),
        columns: ["ts", "", "t", "h", "state"].map(str::to_owned).into(),
        ..route(vec![
            Channel { unit: "degF".into(), to: "degC".into(), ..named("t", "temperature") },
            Channel { words: words(&[("open", 1.0)]), ..at("state") },
        ])
    };
    let m = read(&route, "1772366401;x;32;;open\r\n2026-03-01T12:00:02Z;x;\"50\";NaN;\n").unwrap();
    assert_eq!(readings(&m), [("temperature", 1.0, 0.0), ("temperature", 2.0, 10.0), ("state", 1.0, 1.0)]);
    assert_eq!(m.dropped.not_finite, 1);
    for (text, message) in [
        ("1;2;3", "csv: line 1 has 3 cells, but there are 5 columns"),
        ("1;x;32;;open\n1;\"2;3", "csv: line 2 has a quote that does not end"),
        ("1;\"2\"x;3;4;5", "csv: line 1 has text behind a quoted cell"),
        ("now;x;1;2;3", "`ts` = now is no event time: expected RFC 3339, such as 2026-03-01T12:00:00.25Z"),
    ] {
        assert_eq!(read(&route, text).unwrap_err().to_string(), message);
    }
}

#[test]
fn without_columns_the_first_csv_line_names_them() {
    let route = Route { topic: "up".into(), format: Format::Csv, device_field: Some("id".into()), ..route(vec![]) };
    let csv = |text: &str| read_on(&route, "up", text.as_bytes(), false);
    let m = csv("id,\"a \"\"b\"\"\",c\np1,1,2\np1,3,4\n").unwrap();
    assert_eq!((m.device(), m.readings.len()), ("p1", 4));
    assert_eq!(readings(&m)[..2], now(&[("a \"b\"", 1.0), ("c", 2.0)]));
    assert_eq!(
        csv("id,a\np1,1\np2,2").unwrap_err().to_string(),
        "csv: line 3 is of device `p2`, those before it of `p1`"
    );
    assert_eq!(csv("id,a\n,1").unwrap_err(), DecodeError::NoDevice);
    assert_eq!(csv("id,a,a\np1,1,2").unwrap_err(), DecodeError::DuplicateChannel("a".into()));
}

#[test]
fn a_bare_word_or_number_is_read_under_the_rule_of_its_channel() {
    let states = |path: &str| Channel { words: words(&[("on", 1.0), ("off", 0.0)]), ..at(path) };
    let route = Route {
        topic: "{device}/{channel}".into(),
        ..route(vec![states("relay"), Channel { scale: 0.001, ..named("power", "kilowatts") }])
    };
    let on = |topic: &str, payload: &str| {
        read_on(&route, topic, payload.as_bytes(), false).map(|m| {
            let r = m.readings[0];
            (m.channel(r.channel).to_owned(), r.value)
        })
    };
    assert_eq!(on("plug/relay", "on\n"), Ok(("relay".into(), 1.0)));
    assert_eq!(on("plug/power", "231"), Ok(("kilowatts".into(), 0.231)));
    assert_eq!(on("plug/other", "on"), Err(DecodeError::NotANumber));
    assert_eq!(on("plug/relay", "broken"), Err(DecodeError::UnknownWord));
}

#[test]
fn frames_and_lines_end_under_the_same_rules() {
    let channels = [
        frame::Channel { name: "temp", samples: Samples::F32(&[(0, 50.0), (5, 500.0)]) },
        frame::Channel { name: "debug", samples: Samples::I32(&[(0, 1)]) },
    ];
    let base = BaseTime::UnixMicros(RECEIVED_AT.0 / 1_000);
    let frame = Frame { device: "d", boot: BootId(1), seq: DeviceSeq(1), base, channels: &channels };
    let mut bytes = [0; 256];
    let length = frame::encode(&frame, &mut bytes).unwrap();
    let temperature =
        Channel { unit: "degF".into(), to: "degC".into(), max: Some(100.0), ..named("temp", "temperature") };
    let m = read_on(&listed(vec![temperature.clone()]), "in/d", &bytes[..length], false).unwrap();
    assert_eq!((readings(&m), m.dropped.out_of_bounds), (now(&[("temperature", 10.0)]), 1));

    let line = Route { format: Format::Line, time_unit: TimeUnit::S, ..route(vec![temperature]) };
    let text = Channel { text: true, ..at("mode") };
    let line = Route { channels: [line.channels, vec![text]].concat(), ..line };
    let m = read(&line, "sensor temp=50,mode=\"a \\\"b\\\"\",note=\"x\",h=4i 1772366400").unwrap();
    assert_eq!(readings(&m), now(&[("temperature", 10.0), ("h", 4.0)]));
    assert_eq!(m.texts().map(|(_, _, text)| text).collect::<Vec<_>>(), ["a \"b\""]);
    let meeting = read(&route(vec![named("a", "b")]), "{\"a\":1,\"b\":2}").unwrap_err();
    assert_eq!(meeting, DecodeError::DuplicateChannel("b".into()));
}

#[test]
fn a_unit_that_nothing_tells_cannot_be_converted() {
    let channels = [frame::Channel { name: "t", samples: Samples::F32(&[(0, 1.0)]) }];
    let base = BaseTime::UnixMicros(0);
    let frame = Frame { device: "d", boot: BootId(1), seq: DeviceSeq(1), base, channels: &channels };
    let mut bytes = [0; 256];
    let length = frame::encode(&frame, &mut bytes).unwrap();
    let route = route(vec![Channel { to: "degC".into(), ..at("t") }]);
    let fault = read_on(&route, "in/d", &bytes[..length], false).unwrap_err();
    assert_eq!(fault.reason(), "unit");
    assert_eq!(fault.to_string(), "unit: payload tells no unit of `t`, so it cannot become degC");
}

#[test]
fn faults_of_routes_and_channels_say_what_would_do() {
    let of_route = |route: Route, field: &str, part: &str| {
        let faults = route.faults();
        assert!(faults.iter().any(|f| f.field == field && f.message.contains(part)), "{field} {part}: {faults:?}");
    };
    let plain = || route(vec![]);
    of_route(Route { topic: "{kind}/x".into(), ..plain() }, "topic", "cannot be a tag");
    of_route(Route { tags: [("a".into(), "{b}".into())].into(), ..plain() }, "tags", "which `topic` does not have");
    of_route(Route { tags: [("device".into(), "b".into())].into(), ..plain() }, "tags", "lines have it already");
    of_route(Route { fields: Fields::Listed, ..plain() }, "fields", "no [[decode.channels]]");
    of_route(Route { time_format: "%H".into(), ..plain() }, "time_format", "year, month and day");
    of_route(Route { utc_offset: "CET".into(), ..plain() }, "utc_offset", "such as +01:00");
    of_route(Route { delimiter: "ab".into(), ..plain() }, "delimiter", "nor \"tab\"");
    of_route(Route { each: "a[*]".into(), ..plain() }, "each", "without [*]");
    of_route(Route { columns: vec!["a".into(), "a".into()], ..plain() }, "columns", "there twice");
    of_route(route(vec![at("a"), at("a")]), "channels", "there twice");
    of_route(route(vec![at("ts")]), "channels", "of the time or the device");
    of_route(route(vec![at("a[*].v")]), "channels", "`time_field` has to be in them");
    let of_channel = |channel: Channel, field: &str, part: &str| {
        let faults = channel.faults(Format::Json);
        assert!(faults.iter().any(|f| f.field == field && f.message.contains(part)), "{field} {part}: {faults:?}");
    };
    of_channel(at("a..b"), "path", "empty name");
    of_channel(Channel { unit: "degX".into(), to: "degC".into(), ..at("a") }, "unit", "no unit that is known: degC");
    of_channel(Channel { unit: "bar".into(), to: "degC".into(), ..at("a") }, "unit", "but to Pa hPa");
    of_channel(Channel { unit: "degC".into(), to: "K2".into(), ..at("a") }, "to", "no unit that is known");
    of_channel(Channel { to: "degC".into(), ..at("a") }, "to", "needs `unit`");
    of_channel(Channel { scale: 0.0, ..at("a") }, "scale", "is 0");
    of_channel(Channel { min: Some(2.0), max: Some(1.0), ..at("a") }, "min", "above `max`");
    of_channel(Channel { text: true, scale: 2.0, ..at("a") }, "text", "take one of them out");
    of_channel(at("a[*]"), "every", "is missing");
    of_channel(Channel { every: "1s".into(), ..at("a") }, "every", "end in [*]");
    of_channel(Channel { every: "soon".into(), ..at("a[*]") }, "every", "such as \"10ms\"");
    assert_eq!(at("a").faults(Format::Json), []);
}
