//! Properties of a serial line: whatever noise it brings, and wherever reads end, sound packets come back.

use firmware_protocol::accumulator::{Accumulator, Reason};
use firmware_protocol::cobs::{ENCODED_MAX_BYTES, encode_cobs, encoded_max_bytes};
use firmware_protocol::crc::crc32;
use firmware_protocol::frame::FRAME_MAX_BYTES;
use proptest::collection::vec;
use proptest::prelude::*;

type Line = Accumulator<FRAME_MAX_BYTES>;

fn on_wire(packet: &[u8]) -> Vec<u8> {
    let mut out = [0; ENCODED_MAX_BYTES];
    let length = encode_cobs(packet, &mut out).expect("the buffer is large enough");
    out[..length].to_vec()
}

/// Packets of all sizes with their CRC, rich in zeros and in long runs without.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let short = vec(prop_oneof![2 => any::<u8>(), 1 => Just(0)], 4..64);
    let long = vec(prop_oneof![300 => 1_u8.., 1 => Just(0)], 200..FRAME_MAX_BYTES - 4);
    prop_oneof![3 => short, 1 => long].prop_map(|content| [&content[..], &crc32(&content).to_le_bytes()].concat())
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(1_u8.., 5_000..9_000)]
}

/// Packets and refusals of a stream that is read in pieces of these sizes, over and over.
fn read(line: &mut Line, stream: &[u8], sizes: &[usize]) -> Vec<Result<Vec<u8>, Reason>> {
    let mut found = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        let (mut piece, behind) = rest.split_at(rest.len().min(*size));
        while let Some(next) = line.next(&mut piece) {
            found.push(next.map(<[u8]>::to_vec).map_err(|refused| refused.reason));
        }
        assert!(piece.is_empty());
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    let counts = line.counts();
    let seen = counts.packet_bytes + counts.delimiters + counts.refused_bytes + line.pending() as u64;
    assert_eq!(seen, stream.len() as u64, "each byte is counted once: {counts:?}");
    let refused = counts.cut_short + counts.overlong + counts.damaged;
    assert_eq!(counts.packets + refused, found.len() as u64, "and each packet: {counts:?}");
    found
}

proptest! {
    #[test]
    fn packets_come_back_whatever_noise_lies_between_them(
        packets in vec((noise(), packet()), 0..8),
        tail in noise(),
        sizes in vec(1_usize..2_000, 1..8),
    ) {
        let mut stream = Vec::new();
        for (noise, packet) in &packets {
            stream.extend_from_slice(noise);
            stream.extend(on_wire(packet));
        }
        stream.extend(tail);
        let found = read(&mut Line::new(), &stream, &sizes);
        let back: Vec<_> = found.iter().filter_map(|found| found.as_ref().ok()).collect();
        prop_assert_eq!(back, packets.iter().map(|(_, packet)| packet).collect::<Vec<_>>());
        prop_assert_eq!(read(&mut Line::new(), &stream, &[1]), found, "however the stream is cut into reads");
    }

    #[test]
    fn a_damaged_byte_costs_one_packet_at_most(
        packets in vec(packet(), 1..6),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        is_lost in any::<bool>(),
    ) {
        let mut stream: Vec<u8> = packets.iter().flat_map(|packet| on_wire(packet)).collect();
        let at = at.index(stream.len());
        if is_lost {
            stream.remove(at);
        } else {
            stream[at] ^= flip;
        }
        let found = read(&mut Line::new(), &stream, &[stream.len()]);
        let back: Vec<_> = found.into_iter().filter_map(Result::ok).collect();
        let without = |i: usize| [&packets[..i], &packets[i + 1..]].concat();
        prop_assert!(back == packets || (0..packets.len()).any(|i| back == without(i)), "{} of {}", back.len(), packets.len());
    }

    #[test]
    fn the_encoding_is_the_one_of_the_cobs_crate(packet in packet()) {
        let wire = on_wire(&packet);
        prop_assert!(wire.len() <= encoded_max_bytes(packet.len()));
        let mut theirs = [0; ENCODED_MAX_BYTES];
        let length = cobs::encode(&packet, &mut theirs);
        prop_assert_eq!(&wire[1..wire.len() - 1], &theirs[..length]);
    }

    #[test]
    fn no_bytes_bring_the_accumulator_down(stream in vec(any::<u8>(), 0..3_000), sizes in vec(1_usize..300, 1..4)) {
        let mut line = Accumulator::<32>::new();
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            let (mut piece, behind) = rest.split_at(rest.len().min(*size));
            while let Some(found) = line.next(&mut piece) {
                let bytes = found.unwrap_or_else(|refused| refused.head);
                prop_assert!(bytes.len() <= 32);
            }
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
    }
}
