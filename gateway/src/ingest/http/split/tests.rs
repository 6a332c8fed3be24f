use firmware_protocol::frame::{self, BaseTime, Channel, Frame, Samples};
use firmware_protocol::{BootId, DeviceSeq};
use proptest::prelude::*;

use super::*;
use crate::ingest::http::fuzzing;

/// Payloads and content types of the good, places and labels of the bad.
#[derive(Debug, Default, PartialEq)]
struct Split {
    good: Vec<(String, &'static str)>,
    bad: Vec<(Option<usize>, Option<usize>, &'static str)>,
}

fn split(format: Format, body: impl Into<Bytes>) -> Split {
    let mut split = Split::default();
    for item in format.split(body.into()) {
        match item {
            Ok(item) => split.good.push((String::from_utf8_lossy(&item.payload).into_owned(), item.content_type)),
            Err(fault) => {
                assert!(!fault.reason.is_empty());
                split.bad.push((fault.line, fault.item, fault.label));
            }
        }
    }
    split
}

fn good(content_type: &'static str, payloads: &[&str]) -> Vec<(String, &'static str)> {
    payloads.iter().map(|payload| ((*payload).to_owned(), content_type)).collect()
}

const JSON: &str = "application/json";
const LINES_MS: &str = "application/vnd.influx.line-protocol; precision=ms";
const FRAME: &str = "application/vnd.sensor-frame";

#[test]
fn one_object_is_one_record_as_it_came() {
    let split = split(Format::Json, "\n {\"a\": [1, {\"b\":\"]}\"}]}\n");
    assert_eq!(split.good, good(JSON, &["{\"a\": [1, {\"b\":\"]}\"}]}"]));
    assert_eq!(split.bad, []);
}

#[test]
fn a_pack_is_one_record_whose_parts_nobody_takes_apart() {
    let senml = "application/senml+json";
    let pack = "[{\"bn\":\"a\",\"v\":1},\n{\"n\":\"b\",\"v\":2}]";
    assert_eq!(split(Format::Whole(senml), pack).good, good(senml, &[pack]));
    assert_eq!(split(Format::Whole(senml), ""), Split::default());
    let large = split(Format::Whole(senml), vec![b' '; Record::PAYLOAD_MAX + 1]);
    assert_eq!(large, Split { good: vec![], bad: vec![(None, None, "too_large")] });
}

#[test]
fn each_object_of_an_array_is_a_record_and_what_is_no_object_is_told_by_its_place() {
    let split = split(Format::Json, "[{\"a\":1},\n {\"b\":\"\\\"}{\"} , 21.5,[{\"c\":1}],\n\ntrue,{}, \"x,]\"]\n");
    assert_eq!(split.good, good(JSON, &["{\"a\":1}", "{\"b\":\"\\\"}{\"}", "{}"]));
    let json = |line, item| (Some(line), Some(item), "json");
    assert_eq!(split.bad, [json(2, 3), json(2, 4), json(4, 5), json(4, 7)]);
}

#[test]
fn a_document_with_a_fault_in_its_syntax_gives_nothing() {
    for (body, line) in [("[{\"a\":1},\n{\"b\":}]", 2), ("{\"a\":1", 1), ("[{}] {}", 1), ("\n\nnull", 1), ("[1", 1)] {
        let split = split(Format::Json, body);
        assert_eq!(split, Split { good: vec![], bad: vec![(Some(line), None, "json")] }, "{body}");
    }
    assert_eq!(split(Format::Json, &b"{\"a\":\"\xff\"}"[..]).bad, [(None, None, "not_utf8")]);
    for empty in ["", " \n", "[]"] {
        assert_eq!(split(Format::Json, empty), Split::default(), "{empty}");
    }
}

#[test]
fn each_line_of_ndjson_is_a_record_and_a_broken_one_spoils_no_other() {
    let split = split(Format::NdJson, &b"{\"a\":1}\r\n\n{\"b\":\n[{}]\n\"\xff\n{\"c\":\"\xff\"}\n {\"d\":4} "[..]);
    assert_eq!(split.good, good(JSON, &["{\"a\":1}", "{\"d\":4}"]));
    let json = |line| (Some(line), None, "json");
    assert_eq!(split.bad, [json(3), json(4), json(5), (Some(6), None, "not_utf8")]);
}

#[test]
fn each_line_of_line_protocol_is_a_record_and_comments_are_passed_over() {
    let body = "# made by hand\nm f=1 5\nm f=\nm f=\"two\nlines\" 5\n\nm f=1 9223372036854775807\nm f=2 6";
    for format in [Format::Lines(Precision::Ms), Format::Text(Precision::Ms)] {
        let split = split(format, body);
        assert_eq!(split.good, good(LINES_MS, &["m f=1 5", "m f=\"two\nlines\" 5", "m f=2 6"]));
        assert_eq!(split.bad, [(Some(3), None, "line"), (Some(7), None, "bad_time")]);
    }
}

#[test]
fn a_text_that_is_a_bare_value_is_one_record() {
    assert_eq!(split(Format::Text(Precision::Ns), " 21.5\n").good, good("text/plain", &["21.5"]));
    assert_eq!(split(Format::Text(Precision::Ns), "true").good, good("text/plain", &["true"]));
    assert_eq!(split(Format::Lines(Precision::Ns), "21.5").bad, [(Some(1), None, "line")]);
}

fn encoded(seq: u32) -> Vec<u8> {
    let samples = [(0, seq as f32)];
    let channels = [Channel { name: "x", samples: Samples::F32(&samples) }];
    let (boot, seq) = (BootId(1), DeviceSeq(seq));
    let frame = Frame { device: "pump-7", boot, seq, base: BaseTime::UnixMicros(0), channels: &channels };
    let mut out = [0; frame::FRAME_MAX_BYTES];
    let length = frame::encode(&frame, &mut out).unwrap();
    out[..length].to_vec()
}

fn cobs(frame: &[u8]) -> Vec<u8> {
    let mut out = vec![0; frame.len() + frame.len() / 254 + 1];
    let length = cobs::encode(frame, &mut out);
    out.truncate(length);
    out.push(0);
    out
}

#[test]
fn a_bare_frame_is_one_record() {
    let frame = encoded(7);
    let items: Vec<_> = Format::Frames.split(frame.clone().into()).collect();
    assert_eq!(items, [Ok(Item { payload: frame.into(), content_type: FRAME })]);
}

#[test]
fn a_sound_frame_of_a_later_version_is_kept_for_the_day_it_can_be_read() {
    let mut frame = encoded(7);
    frame[2] = 9;
    assert_eq!(split(Format::Frames, frame.clone()).bad, [(None, None, "frame_crc")]);
    let end = frame.len() - 4;
    let crc = firmware_protocol::crc::crc32(&frame[..end]);
    frame[end..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(split(Format::Frames, frame).good.len(), 1);
}

#[test]
fn frames_in_a_row_are_a_record_each_and_a_damaged_one_is_told_by_its_number() {
    let mut damaged = encoded(1);
    *damaged.last_mut().unwrap() ^= 1;
    let parts = [cobs(&encoded(0)), vec![0, 0], cobs(&damaged), b"\x09short\0".to_vec(), cobs(&encoded(2))];
    let mut body = parts.concat();
    body.pop();
    let (good, bad): (Vec<_>, Vec<_>) = Format::Frames.split(body.into()).partition(Result::is_ok);
    let payloads: Vec<_> = good.into_iter().map(|item| item.unwrap().payload.to_vec()).collect();
    assert_eq!(payloads, [encoded(0), encoded(2)]);
    let faults: Vec<_> = bad.into_iter().map(|item| item.unwrap_err()).map(|f| (f.line, f.item, f.label)).collect();
    assert_eq!(faults, [(None, Some(2), "frame_crc"), (None, Some(3), "frame")], "too short for COBS");
}

#[test]
fn a_frame_that_cannot_be_one_for_its_length_is_not_decoded() {
    let split = split(Format::Frames, vec![7; ENCODED_FAR_TOO_LONG]);
    assert_eq!(split.bad, [(None, Some(1), "frame")]);
}

/// A body of one part without a zero.
const ENCODED_FAR_TOO_LONG: usize = 1 << 20;

#[test]
fn a_record_is_never_longer_than_the_queue_takes() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(Record::PAYLOAD_MAX));
    assert_eq!(split(Format::Json, long.clone()).bad, [(Some(1), None, "too_large")]);
    assert_eq!(split(Format::Json, format!("[{long}]")).bad, [(Some(1), Some(1), "too_large")]);
    let split = split(Format::NdJson, format!("{{}}\n{long}\n"));
    assert_eq!((split.good.len(), split.bad), (1, vec![(Some(2), None, "too_large")]));
}

/// Bodies that are nearly right, in pieces that mean something to one of the formats.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let texts =
        ["{", "}", "[", "]", ",", "\"", "\\", "\n", "\r\n", " ", "{\"a\":1}", "m f=1", "=", "#", "x", "21.5", "ä"];
    let piece = prop_oneof![
        8 => prop::sample::select(texts.map(|text| text.as_bytes().to_vec()).to_vec()),
        1 => Just(vec![0]),
        1 => Just(cobs(&encoded(1))),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_body_brings_a_splitter_down_and_all_that_it_gives_is_of_the_body_in_order(body in body()) {
        // Each format, unpacked.
        for format in 0..5 {
            fuzzing::body(&[&[format], &body[..]].concat());
        }
    }
}
