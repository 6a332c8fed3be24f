//! The pure part of the door on any bytes, for fuzzing: it must not panic, and what it gives must hold together.

use bytes::Bytes;
use firmware_protocol::frame::is_frame;
use firmware_protocol::line::Precision;

use super::split::{Fault, Format, Item};

/// Reads the bytes as a body of each format.
///
/// # Panics
/// If a promise of the door is broken: that is what a fuzzer looks for.
pub fn fuzz_http_body(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let formats =
        [Format::Json, Format::NdJson, Format::Text(Precision::Ns), Format::Lines(Precision::S), Format::Frames];
    for format in formats {
        read(format, &body);
    }
}

/// Payloads are parts of the body in its order, but for frames, which travel encoded; faults come in order, too.
fn read(format: Format, body: &Bytes) {
    let begin = body.as_ptr() as usize;
    let (mut end, mut parts, mut last) = (begin, 0, (0, 0));
    for part in format.split(body.clone()) {
        parts += 1;
        match part {
            Ok(Item { payload, .. }) if format == Format::Frames => assert!(is_frame(&payload)),
            Ok(Item { payload, .. }) => {
                let at = payload.as_ptr() as usize;
                assert!(!payload.is_empty() && at >= end, "{format:?}");
                end = at + payload.len();
                assert!(end <= begin + body.len(), "{format:?}");
            }
            Err(Fault { line, item, reason, .. }) => {
                let place = (line.unwrap_or_default(), item.unwrap_or_default());
                assert!(place >= last && !reason.is_empty(), "{format:?}: {place:?} after {last:?}");
                last = place;
            }
        }
    }
    assert!(parts <= body.len() + 1, "{format:?}");
}
