//! What the crates take to parse the same bytes, without making readings of them: the yardstick.

use std::hint::black_box;

use minicbor::data::Token;
use prost::Message;
use serde::Deserialize;

use crate::payloads;
use crate::schema::Payload;
use crate::timing::Bench;

pub(crate) fn all(bench: &mut Bench) {
    json(bench);
    cbor(bench);
    let data = payloads::sparkplug_data();
    bench.case("raw: prost, data", data.len(), payloads::METRICS as usize, || {
        black_box(Payload::decode(black_box(&*data)).expect("the payload is valid"));
    });
    let birth = payloads::sparkplug_birth();
    bench.case("raw: prost, birth", birth.len(), payloads::METRICS as usize, || {
        black_box(Payload::decode(black_box(&*birth)).expect("the payload is valid"));
    });
}

/// The fields of [`payloads::JSON`], known beforehand.
#[derive(Deserialize)]
#[allow(dead_code, reason = "what is not read must be parsed all the same")]
struct Typed<'a> {
    id: &'a str,
    ts: i64,
    env: Env,
    batt: f64,
    rssi: i32,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is not read must be parsed all the same")]
struct Env {
    temp: f64,
    hum: f64,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is not read must be parsed all the same")]
struct Record<'a> {
    bn: Option<&'a str>,
    bt: Option<f64>,
    bu: Option<&'a str>,
    n: Option<&'a str>,
    t: Option<f64>,
    v: Option<f64>,
}

fn json(bench: &mut Bench) {
    let text = payloads::JSON;
    bench.case("raw: serde_json, typed", text.len(), 4, || {
        black_box(serde_json::from_str::<Typed<'_>>(black_box(text)).expect("the text is valid"));
    });
    bench.case("raw: serde_json, Value", text.len(), 4, || {
        black_box(serde_json::from_str::<serde_json::Value>(black_box(text)).expect("the text is valid"));
    });
    let pack = payloads::senml_json();
    bench.case("raw: serde_json, typed pack", pack.len(), 20, || {
        black_box(serde_json::from_str::<Vec<Record<'_>>>(black_box(&pack)).expect("the text is valid"));
    });
}

fn cbor(bench: &mut Bench) {
    for (name, payload, readings) in
        [("raw: minicbor walk, map", payloads::cbor(), 4), ("raw: minicbor walk, senml", payloads::senml_cbor(), 20)]
    {
        bench.case(name, payload.len(), readings, || {
            let mut decoder = minicbor::Decoder::new(black_box(&payload));
            for token in decoder.tokens() {
                let token: Token<'_> = token.expect("the payload is valid");
                black_box(token);
            }
        });
    }
}
