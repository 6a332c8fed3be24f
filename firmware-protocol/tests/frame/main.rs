//! Frames of all bodies over random content: they come back, postcard judges their bytes, and no bytes bring a parser
//! down.

mod bodies;
mod golden;

use bodies::{Message, message};
use firmware_protocol::crc::crc32;
use firmware_protocol::decode::{Decoder, Format, Incoming, Route};
use firmware_protocol::frame::{self, FRAME_MAX_BYTES, FrameView, Header, Key, Label, Parsed, Signature};
use firmware_protocol::measurement::{EventTime, Measurement};
use firmware_protocol::table::{self, Entry};
use proptest::prelude::*;

const PREFIX_BYTES: usize = 4;
const CRC_BYTES: usize = 4;
const SIGNATURE_BYTES: usize = 9;

/// `bytes` with its last four replaced by the CRC that belongs there.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - CRC_BYTES;
    let crc = crc32(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Whatever can be asked of bytes is asked.
fn look_at(bytes: &[u8]) {
    match frame::parse(bytes) {
        Ok(parsed) => {
            assert_eq!(Header::peek(bytes), Ok(parsed.header()));
            assert_eq!(Header::verify(bytes).map(|(header, _)| header), Ok(parsed.header()));
            match parsed {
                Parsed::Samples(view) => {
                    assert_eq!(view.channels().count(), view.channel_count());
                    assert!(view.channels().all(|c| c.samples().count() == c.sample_count()));
                    let newest = view.channels().flat_map(|c| c.samples()).map(|(offset, _)| offset).max();
                    assert_eq!(view.newest_offset_micros(), newest);
                }
                Parsed::Hello(view) => assert_eq!(view.channels().count(), view.channel_count()),
            }
        }
        Err(_) => assert!(FrameView::parse(bytes).is_err()),
    }
    decode(bytes);
    if let Some(signature) = Signature::of(bytes) {
        assert!(!signature.is_by(&Key::new(signature.key_id, &[0; 16]).expect("its length is right")));
    }
}

/// What a decoder makes of the bytes is what the frame says, with and without names for its numbers.
fn decode(payload: &[u8]) {
    let decoder = Decoder::new(vec![Route { topic: "#".into(), format: Format::Frame, ..Route::default() }])
        .expect("the route is right");
    let mut names = String::new();
    for number in (0..32).step_by(2) {
        table::push(&mut names, &Entry { number, name: &format!("n{number}"), unit: "degC", kind: 0 });
    }
    let mut out = Measurement::default();
    for table in ["", &names] {
        let received_at = EventTime(1_772_366_400_000_000_000);
        let message = Incoming { topic: "t", payload, content_type: "", received_at, is_replay: false, table };
        if decoder.decode(message, &mut out).is_err() {
            continue;
        }
        assert!(out.readings.iter().all(|r| r.value.is_finite()));
        match frame::parse(payload).expect("it could be decoded") {
            Parsed::Hello(view) => assert!(out.is_announcement && out.channel_count() == view.channel_count()),
            Parsed::Samples(view) => {
                let samples: usize = view.channels().map(|c| c.sample_count()).sum();
                let made = out.readings.len() + out.texts().count() + out.dropped.not_finite as usize;
                assert_eq!((made, out.channel_count()), (samples, view.channel_count()));
                let is_even = |label| matches!(label, Label::Number(number) if number % 2 == 0);
                assert!(view.table.is_none() || view.channels().all(|c| is_even(c.label) && !table.is_empty()));
            }
        }
    }
}

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_was_encoded(message in message()) {
        let bytes = message.encode(None).unwrap();
        let back = Message::of(&bytes);
        // By Debug and bytes, since NaN differs from itself.
        prop_assert_eq!(format!("{back:?}"), format!("{message:?}"));
        prop_assert_eq!(back.encode(None).unwrap(), &bytes[..]);
        look_at(&bytes);
    }

    #[test]
    fn the_body_of_a_frame_is_postcards(message in message()) {
        let bytes = message.encode(None).unwrap();
        prop_assert_eq!(&bytes[PREFIX_BYTES..bytes.len() - CRC_BYTES], &message.postcard()[..]);
    }

    #[test]
    fn a_signed_frame_is_the_frame_with_a_signature(
        message in message(),
        id in any::<u8>(),
        secret in proptest::collection::vec(any::<u8>(), 16..=64),
        bit in any::<prop::sample::Index>(),
    ) {
        let key = Key::new(id, &secret).unwrap();
        let plain = message.encode(None).unwrap();
        let signed = message.encode(Some(&key)).unwrap();
        prop_assert_eq!(signed.len(), plain.len() + SIGNATURE_BYTES);
        prop_assert_eq!(signed[3], plain[3] | 4);
        prop_assert_eq!(&signed[PREFIX_BYTES..plain.len() - CRC_BYTES], &plain[PREFIX_BYTES..plain.len() - CRC_BYTES]);
        prop_assert_eq!(format!("{:?}", Message::of(&signed)), format!("{message:?}"));
        let signature = Signature::of(&signed).unwrap();
        prop_assert_eq!(signature.key_id, id);
        prop_assert!(signature.is_by(&key));
        prop_assert!(Signature::of(&plain).is_none());
        let mut forged = signed.clone();
        let bit = bit.index((signed.len() - CRC_BYTES) * 8);
        forged[bit / 8] ^= 1 << (bit % 8);
        let forged = resealed(forged);
        prop_assert!(Signature::of(&forged).is_none_or(|signature| !signature.is_by(&key)), "bit {bit}");
    }

    #[test]
    fn a_flipped_bit_or_a_cut_is_refused(
        message in message(),
        is_signed in any::<bool>(),
        bit in any::<prop::sample::Index>(),
        length in any::<prop::sample::Index>(),
    ) {
        let key = Key::new(1, &[7; 16]).unwrap();
        let bytes = message.encode(is_signed.then_some(&key)).unwrap();
        let mut damaged = bytes.clone();
        let bit = bit.index(bytes.len() * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(frame::parse(&damaged).is_err(), "bit {bit}");
        prop_assert!(frame::parse(&bytes[..length.index(bytes.len())]).is_err());
    }

    #[test]
    fn what_parses_encodes_to_the_same_bytes(
        message in message(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = message.encode(None).unwrap();
        let body = PREFIX_BYTES..bytes.len() - CRC_BYTES;
        for (at, byte) in damage {
            bytes[body.start + at.index(body.len())] = byte;
        }
        let bytes = resealed(bytes);
        if frame::parse(&bytes).is_ok() {
            prop_assert_eq!(Message::of(&bytes).encode(None).unwrap(), bytes);
        }
    }

    #[test]
    fn no_bytes_bring_a_parser_down(
        flags in 0..16_u8,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        look_at(&bytes);
        look_at(&resealed([b"SG\x01", &[flags][..], &bytes, &[0; CRC_BYTES]].concat()));
    }

    #[test]
    fn no_damaged_frame_with_a_right_crc_brings_a_parser_down(
        message in message(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode(None).unwrap();
        bytes.truncate(PREFIX_BYTES + CRC_BYTES + length.index(bytes.len()));
        let end = bytes.len() - CRC_BYTES;
        for (at, byte) in damage {
            bytes[at.index(end)] = byte;
        }
        look_at(&resealed(bytes));
    }

    #[test]
    fn a_buffer_that_is_too_small_is_said_to_be(message in message(), room in any::<prop::sample::Index>()) {
        let length = message.encode(None).unwrap().len();
        let room = room.index(length);
        let refused = message.encode_into(None, &mut vec![0; room]);
        prop_assert_eq!(refused, Err(firmware_protocol::FrameError::BufferTooSmall));
        prop_assert_eq!(message.encode_into(None, &mut vec![0; length]), Ok(length));
        prop_assert!(length <= FRAME_MAX_BYTES);
    }
}
