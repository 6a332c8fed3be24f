//! Messages as devices send them.

use firmware_protocol::frame::{self, BaseTime, Channel, FRAME_MAX_BYTES, Frame, Samples};
use firmware_protocol::{BootId, DeviceSeq};
use prost::Message;

use crate::schema::{Metric, Payload, Value};

/// 90 bytes.
pub(crate) const JSON: &str =
    r#"{"id":"pump-7","ts":1772366400123,"env":{"temp":70.53,"hum":41.25},"batt":3.71,"rssi":-67}"#;
pub(crate) const CSV: &str = "1772366400123,21.53,41.25,1013.2,3.71";
pub(crate) const LINE: &str =
    "weather,host=pump-7,site=hall temp=21.53,hum=41.25,pressure=1013.2,batt=3.71 1772366400123000000";
pub(crate) const METRICS: u64 = 20;
/// So few that counts and times are one byte in CBOR.
const RECORDS: u8 = 20;
const AT_MS: u64 = 1_772_366_400_000;

/// Fifty samples of one channel, a second apart.
pub(crate) fn frame() -> Vec<u8> {
    let samples: Vec<_> = (0..50).map(|i| (i * 1_000_000, 21.5 + i as f32 / 8.0)).collect();
    let channels = [Channel { name: "temperature", samples: Samples::F32(&samples) }];
    let base = BaseTime::UnixMicros(AT_MS as i64 * 1_000);
    let frame = Frame { device: "pump-7", boot: BootId(3), seq: DeviceSeq(300), base, channels: &channels };
    let mut out = [0; FRAME_MAX_BYTES];
    let length = frame::encode(&frame, &mut out).expect("the frame is valid");
    out[..length].to_vec()
}

pub(crate) fn json_lines() -> String {
    let line = |i: u64| format!("{{\"ts\":{},\"temperature\":{}.53,\"humidity\":41.25}}\n", AT_MS + i * 1_000, 20 + i);
    (0..10).map(line).collect()
}

pub(crate) fn senml_json() -> String {
    let records: String = (1..=RECORDS).map(|t| format!(r#",{{"n":"current","t":{t},"v":1.{t}}}"#)).collect();
    format!(r#"[{{"bn":"urn:dev:ow:10e2073a01080063:","bt":1772366400,"bu":"A"}}{records}]"#)
}

pub(crate) fn senml_cbor() -> Vec<u8> {
    let mut out = vec![0x80 + RECORDS + 1];
    out.extend_from_slice(b"\xa3\x21\x78\x1curn:dev:ow:10e2073a01080063:\x22\x1a\x69\xa4\x2a\x80\x23\x61A");
    for t in 1..=RECORDS {
        out.extend_from_slice(b"\xa3\x00\x67current\x06");
        out.push(t);
        out.extend_from_slice(b"\x02\xfa");
        out.extend_from_slice(&(1.0 + f32::from(t) / 8.0).to_be_bytes());
    }
    out
}

/// As [`JSON`].
pub(crate) fn cbor() -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |text: &[u8]| out.extend_from_slice(text);
    put(b"\xa5\x62id\x66pump-7\x62ts\x1b");
    put(&(AT_MS + 123).to_be_bytes());
    put(b"\x63env\xa2\x64temp\xfb");
    put(&70.53_f64.to_be_bytes());
    put(b"\x63hum\xfb");
    put(&41.25_f64.to_be_bytes());
    put(b"\x64batt\xfb");
    put(&3.71_f64.to_be_bytes());
    put(b"\x64rssi\x38\x42");
    out
}

fn metric(i: u64) -> Metric {
    let value = match i % 4 {
        0 => Value::Int(i as u32),
        1 => Value::Boolean(true),
        2 => Value::Double(i as f64 / 3.0),
        _ => Value::Float(i as f32 / 8.0),
    };
    Metric { alias: Some(i + 100), timestamp: Some(AT_MS + i), value: Some(value), ..Metric::default() }
}

pub(crate) fn sparkplug_data() -> Vec<u8> {
    let metrics = (0..METRICS).map(metric).collect();
    Payload { timestamp: Some(AT_MS), metrics, seq: Some(7), ..Payload::default() }.encode_to_vec()
}

pub(crate) fn sparkplug_birth() -> Vec<u8> {
    let kind = |i: u64| [3, 11, 10, 9][(i % 4) as usize];
    let named = |i: u64| Metric { name: Some(format!("Inputs/pump {i}/flow")), datatype: Some(kind(i)), ..metric(i) };
    let metrics = (0..METRICS).map(named).collect();
    Payload { timestamp: Some(AT_MS), metrics, seq: Some(0), ..Payload::default() }.encode_to_vec()
}
