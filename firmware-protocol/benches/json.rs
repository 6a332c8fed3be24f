//! Nanoseconds a message and a reading: JSON with user paths and line protocol, beside what the crates' own parsers need
//! for the same bytes. `cargo bench -p firmware-protocol --bench json`
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use firmware_protocol::decode::{Channel, Decoder, Fields, Format, Incoming, Route};
use firmware_protocol::line::Line;
use firmware_protocol::measurement::{EventTime, Measurement};
use serde::Deserialize;

/// Best of so many, because other work on the machine only ever adds.
const ROUNDS: usize = 25;
const ROUND: Duration = Duration::from_millis(20);

const TOPIC: &str = "sensors/pump-7/telemetry";
const FLAT: &str = r#"{"ts":1772366400250,"temperature":21.5,"humidity":48.25,"pressure":1013.2,"battery":87,"ok":1}"#;
const NESTED: &str = r#"{"end":{"id":"d1"},"up":{"port":2,"payload":{"temp":215,"hum":48.5,"bat":3011},"x":[1,2]}}"#;
const LINE: &str = "sensor,device=pump-7,site=hall temperature=21.5,humidity=48.25,pressure=1013.2 1772366400250000000";

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsed")]
struct Flat {
    ts: i64,
    temperature: f64,
    humidity: f64,
    pressure: f64,
    battery: f64,
    ok: f64,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsed")]
struct Nested {
    up: Up,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsed")]
struct Up {
    payload: Payload,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsed")]
struct Payload {
    temp: f64,
    hum: f64,
    bat: f64,
}

fn main() {
    let listed = |paths: &[(&str, &str)]| Route {
        topic: "sensors/{device}/telemetry".into(),
        fields: Fields::Listed,
        channels: paths
            .iter()
            .map(|(path, name)| Channel { path: (*path).into(), name: (*name).into(), ..Channel::default() })
            .collect(),
        ..Route::default()
    };
    let plain = Route { topic: "sensors/{device}/telemetry".into(), ..Route::default() };
    let mut all_rules =
        listed(&[("up.payload.temp", "temperature"), ("up.payload.hum", ""), ("up.payload.bat", "battery")]);
    for (channel, unit, to) in [(0, "degF", "degC"), (2, "mV", "V")] {
        let channel = &mut all_rules.channels[channel];
        (channel.unit, channel.to) = (unit.into(), to.into());
        (channel.scale, channel.min, channel.max) = (0.1, Some(-1e6), Some(1e6));
    }
    let three = [("temperature", "t"), ("humidity", "h"), ("pressure", "p")];
    println!("{:<58} {:>10} {:>10}", "", "ns/message", "ns/reading");
    decode("json, auto, 5 readings", plain.clone(), FLAT);
    decode("json, 1 user path of 5", listed(&three[..1]), FLAT);
    decode("json, 3 user paths of 5", listed(&three), FLAT);
    let paths = [("up.payload.temp", "t"), ("up.payload.hum", "h"), ("up.payload.bat", "b")];
    decode("json, nested, 1 user path", listed(&paths[..1]), NESTED);
    decode("json, nested, 3 user paths", listed(&paths), NESTED);
    decode("json, nested, 3 user paths, units, scale, bounds", all_rules, NESTED);
    decode("line, 3 readings", Route { format: Format::Line, topic: "#".into(), ..plain }, LINE);
    report("  serde_json, typed, flat", 5, || drop(black_box(serde_json::from_str::<Flat>(black_box(FLAT)))));
    report("  serde_json::Value, flat", 5, || {
        drop(black_box(serde_json::from_str::<serde_json::Value>(black_box(FLAT))));
    });
    report("  serde_json, typed, nested", 3, || drop(black_box(serde_json::from_str::<Nested>(black_box(NESTED)))));
    report("  serde_json::Value, nested", 3, || {
        drop(black_box(serde_json::from_str::<serde_json::Value>(black_box(NESTED))));
    });
    report("  line::Line, checked only", 3, || {
        black_box(Line::parse(black_box(LINE)).is_ok());
    });
}

fn decode(name: &str, route: Route, payload: &str) {
    let decoder = Decoder::new(vec![route]).expect("the route is valid");
    let mut out = Measurement::default();
    let mut run = || {
        let payload = black_box(payload.as_bytes());
        let received_at = EventTime(1_772_366_400_000_000_000);
        let message = Incoming { topic: TOPIC, payload, content_type: "", received_at, is_replay: false, table: "" };
        decoder.decode(message, &mut out).expect("the payload is valid");
        out.readings.len()
    };
    let readings = run();
    report(&format!("{name}, {} bytes", payload.len()), readings, || {
        black_box(run());
    });
}

/// Those alone whose name has the first argument in it, if there is one.
fn report(name: &str, readings: usize, mut run: impl FnMut()) {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (begin, mut count) = (Instant::now(), 0_u32);
        while begin.elapsed() < ROUND {
            (0..100).for_each(|_| run());
            count += 100;
        }
        best = best.min(begin.elapsed().as_nanos() as f64 / f64::from(count));
    }
    println!("{name:<58} {best:>10.0} {:>10.0}", best / readings as f64);
}
