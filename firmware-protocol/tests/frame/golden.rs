//! Frames that were published with version 1: they decode to the same content for ever.
//!
//! `golden/frame-1.txt` only grows: what was appended is covered by [`SEALED`], which moves on with each addition.

use firmware_protocol::crc::crc32;
use firmware_protocol::frame::{self, Key, Signature};

use super::bodies::Message;

const GOLDEN: &str = include_str!("../../golden/frame-1.txt");
/// The length of the file's front that must not change, and its CRC-32.
const SEALED: (usize, u32) = (17371, 0x84a3_3209);

/// One entry of the file.
struct Entry {
    title: &'static str,
    bytes: Vec<u8>,
    key: Option<(u8, Vec<u8>)>,
    /// As `Debug` shows it.
    content: &'static str,
}

fn entries() -> impl Iterator<Item = Entry> {
    GOLDEN.split("\n\n").filter(|entry| !entry.starts_with('#')).map(|entry| {
        let (title, fields) = entry.split_once('\n').expect("a title and fields");
        let field = |name: &str| fields.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let key = field("key").map(|key| key.split_once(' ').expect("an id and a secret"));
        Entry {
            title,
            bytes: hex(field("bytes").expect("an entry has bytes")),
            key: key.map(|(id, secret)| (id.parse().expect("a number"), hex(secret))),
            content: field("content").expect("an entry has content"),
        }
    })
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("two hex digits")).collect()
}

#[test]
fn golden_frames_are_only_added() {
    let (length, crc) = SEALED;
    assert_eq!(crc32(&GOLDEN.as_bytes()[..length]), crc, "the front of the file was changed");
    let all = (GOLDEN.len(), crc32(GOLDEN.as_bytes()));
    assert_eq!(all, SEALED, "seal what was added: set SEALED to ({}, {:#010x})", all.0, all.1);
}

#[test]
fn golden_frames_say_what_they_said() {
    for Entry { title, bytes, content, .. } in entries() {
        let said = match (frame::parse_ack(&bytes), frame::parse_hello_request(&bytes)) {
            (Ok(header), _) => format!("{header:?}"),
            (_, Ok(device)) => format!("HelloRequest({device:?})"),
            _ => format!("{:?}", Message::of(&bytes)),
        };
        assert_eq!(said, content, "{title}");
    }
}

#[test]
fn golden_frames_are_encoded_as_they_were() {
    let mut out = [0; frame::FRAME_MAX_BYTES];
    for Entry { title, bytes, key, .. } in entries() {
        let length = match (frame::parse_ack(&bytes), frame::parse_hello_request(&bytes)) {
            (Ok(header), _) => frame::encode_ack(&header, &mut out),
            (_, Ok(device)) => frame::encode_hello_request(device, &mut out),
            _ => {
                let key = key.as_ref().map(|(id, secret)| Key::new(*id, secret).expect("its length is right"));
                Message::of(&bytes).encode_into(key.as_ref(), &mut out)
            }
        };
        let length = length.expect("what was encoded once can be encoded");
        assert_eq!(out[..length], bytes, "{title}");
    }
}

#[test]
fn golden_signatures_are_those_of_their_keys() {
    for Entry { title, bytes, key, .. } in entries() {
        let is_signed = Signature::of(&bytes).map(|signature| {
            let (id, secret) = key.as_ref().expect("a signed frame is shown with its key");
            signature.is_by(&Key::new(*id, secret).expect("its length is right"))
        });
        assert_eq!(is_signed, key.as_ref().map(|_| true), "{title}");
    }
}
