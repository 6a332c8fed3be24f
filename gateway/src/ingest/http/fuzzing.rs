//! Any bytes as a body of each format, packed or not.

use std::cell::RefCell;
use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use firmware_protocol::frame;
use firmware_protocol::line::Precision;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::Config;
use super::body::{Room, read};
use super::gate::Encoding;
use super::split::{Fault, Format, Item};

/// Small, so that short inputs unpack to more.
const BODY_MAX_BYTES: usize = 64 * 1024;
const MEMORY_MAX_BYTES: usize = 96 * 1024;
const FORMATS: [Format; 5] =
    [Format::Json, Format::NdJson, Format::Text(Precision::Ms), Format::Lines(Precision::Ns), Format::Frames];

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_time().build().expect("a runtime can be made"));
}

/// The first byte chooses the format, and whether the rest is packed.
///
/// # Panics
/// If a promise of the door is broken: that is what a fuzzer looks for.
pub fn body(input: &[u8]) {
    let Some((&selector, bytes)) = input.split_first() else { return };
    let format = FORMATS[usize::from(selector & 0x7f) % FORMATS.len()];
    if selector & 0x80 == 0 {
        check(format, &Bytes::copy_from_slice(bytes));
    } else if let Some(unpacked) = unpacked(bytes) {
        check(format, &unpacked);
    }
}

/// Reads the bytes as a body of each format.
///
/// # Panics
/// As [`body`].
pub fn fuzz_http_body(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    FORMATS.into_iter().for_each(|format| check(format, &body));
}

/// The body of a packed request, if it is one within the bounds.
fn unpacked(bytes: &[u8]) -> Option<Bytes> {
    let config = Config { body_max_bytes: BODY_MAX_BYTES, ..Config::default() };
    let mut room = Room::new(Arc::new(Room::semaphore(MEMORY_MAX_BYTES)));
    let body = Body::from(bytes.to_vec());
    let outcome = RUNTIME.with_borrow(|runtime| runtime.block_on(read(body, Encoding::Gzip, &config, &mut room)));
    let unpacked = outcome.ok()?;
    assert!(unpacked.len() <= BODY_MAX_BYTES, "{} bytes", unpacked.len());
    let mut expected = Vec::new();
    MultiGzDecoder::new(bytes).take(BODY_MAX_BYTES as u64).read_to_end(&mut expected).ok()?;
    assert_eq!(unpacked, expected);
    Some(unpacked)
}

/// Payloads are parts of the body in its order, but for frames, which travel encoded; faults come in order, too.
fn check(format: Format, body: &Bytes) {
    let (mut taken, mut refused, mut last, mut end) = (Vec::new(), 0, (0, 0), 0);
    for item in format.split(body.clone()) {
        match item {
            Ok(Item { payload, .. }) => {
                if format != Format::Frames {
                    let at = (payload.as_ptr() as usize).checked_sub(body.as_ptr() as usize);
                    let at = at.filter(|at| *at >= end).expect("a part of the body behind the last one");
                    end = at + payload.len();
                    assert!(!payload.is_empty() && end <= body.len(), "{format:?}");
                }
                taken.push(payload);
            }
            Err(Fault { line, item, reason, label }) => {
                refused += 1;
                let place = (line.unwrap_or_default(), item.unwrap_or_default());
                assert!(
                    place >= last && !reason.is_empty() && !label.is_empty(),
                    "{format:?}: {place:?} after {last:?}"
                );
                last = place;
            }
        }
    }
    assert!(taken.len() + refused <= body.len() + 1, "a record takes a byte at least");
    match format {
        Format::Frames => assert!(taken.iter().all(|payload| frame::parse(payload).is_ok())),
        Format::Json => check_json(body, &taken, refused),
        Format::NdJson => {
            assert!(taken.iter().all(|payload| is_object(payload)));
            let lines = body.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
            assert_eq!(taken.len() + refused, lines, "each line is taken or refused");
        }
        Format::Whole(_) => assert_eq!(taken.concat(), *body),
        Format::Text(_) | Format::Lines(_) => {
            assert!(taken.iter().all(|payload| std::str::from_utf8(payload).is_ok()));
        }
    }
}

/// A document is whole or broken; of an array each value is taken or refused.
fn check_json(body: &Bytes, taken: &[Bytes], refused: usize) {
    let objects: Vec<Value> = match serde_json::from_slice(body) {
        Ok(Value::Array(values)) => {
            assert_eq!(taken.len() + refused, values.len());
            values.into_iter().filter(Value::is_object).collect()
        }
        Ok(value @ Value::Object(_)) => vec![value],
        Ok(_) | Err(_) => return,
    };
    let read: Vec<Value> = taken.iter().map(|p| serde_json::from_slice(p).expect("what is taken is sound")).collect();
    assert_eq!(read, objects);
}

fn is_object(payload: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok() && payload.first() == Some(&b'{')
}
