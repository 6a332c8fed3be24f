//! A serial line that brings anything, in pieces of any size: what comes out is intact, and every byte is accounted for.
#![no_main]

use firmware_protocol::accumulator::{Accumulator, Reason};
use firmware_protocol::cobs::{ENCODED_MAX_BYTES, encode_cobs};
use firmware_protocol::crc::crc32;
use firmware_protocol::frame::FRAME_MAX_BYTES;
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs overflow it.
const SMALL: usize = 48;

type Found = Vec<Result<Vec<u8>, Reason>>;

fuzz_target!(|input: &[u8]| {
    // The first byte says where reads end; the rest is the stream, and the packets that a device sends.
    let Some((&piece, stream)) = input.split_first() else { return };
    let whole = read::<FRAME_MAX_BYTES>(stream, stream.len());
    assert_eq!(read::<FRAME_MAX_BYTES>(stream, usize::from(piece)), whole, "however it is cut into reads");
    assert_eq!(read::<SMALL>(stream, 1), read::<SMALL>(stream, stream.len()));
    packets_survive_noise(stream, piece);
});

fn read<const N: usize>(stream: &[u8], piece: usize) -> Found {
    let mut line = Accumulator::<N>::new();
    let mut found = Found::new();
    for mut piece in stream.chunks(piece.max(1)) {
        while let Some(next) = line.next(&mut piece) {
            if let Ok(packet) = next {
                let (covered, crc) = packet.split_last_chunk::<4>().expect("a packet has a crc");
                assert_eq!(crc32(covered).to_le_bytes(), *crc);
                assert!(packet.len() <= N);
            }
            found.push(next.map(<[u8]>::to_vec).map_err(|refused| refused.reason));
        }
        assert!(piece.is_empty(), "all bytes are taken");
    }
    let counts = line.counts();
    let bytes = counts.packet_bytes + counts.delimiters + counts.refused_bytes + line.pending() as u64;
    assert_eq!(bytes, stream.len() as u64, "each byte is counted once: {counts:?}");
    let refused = counts.cut_short + counts.overlong + counts.damaged;
    assert_eq!((counts.packets, refused), count(&found));
    found
}

fn count(found: &Found) -> (u64, u64) {
    let packets = found.iter().filter(|found| found.is_ok()).count();
    (packets as u64, (found.len() - packets) as u64)
}

/// Takes the input apart into noise and contents by turns, and sends each content as a packet.
fn packets_survive_noise(input: &[u8], size: u8) {
    let (mut stream, mut sent) = (Vec::new(), Vec::new());
    for (i, part) in input.chunks(usize::from(size) * 8 + 5).enumerate() {
        if i % 2 == 0 {
            stream.extend_from_slice(part);
        } else if part.len() >= 4 {
            let packet = [part, &crc32(part).to_le_bytes()].concat();
            let mut wire = [0; ENCODED_MAX_BYTES];
            let length = encode_cobs(&packet, &mut wire).expect("it is no longer than a frame");
            assert!(!wire[1..length - 1].contains(&0));
            stream.extend_from_slice(&wire[..length]);
            sent.push(packet);
        }
    }
    let mut back = read::<FRAME_MAX_BYTES>(&stream, usize::from(size)).into_iter().filter_map(Result::ok);
    // Noise may hold packets of its own.
    assert!(sent.iter().all(|packet| back.any(|found| found == *packet)), "no packet is lost to noise");
}
