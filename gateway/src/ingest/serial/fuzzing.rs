//! Any bytes from a serial line, in pieces of any size.

use firmware_protocol::accumulator::Accumulator;
use firmware_protocol::crc::crc32;
use firmware_protocol::frame::{Header, is_frame, parse_ack};

use super::line::{Line, Refused};
use crate::clock::Stamp;
use crate::queue::Record;

/// The first byte says where reads end.
pub fn line(input: &[u8]) {
    let Some((&piece, stream)) = input.split_first() else { return };
    let whole = read(stream, stream.len());
    assert_eq!(read(stream, usize::from(piece)), whole, "however it is cut into reads");
    for record in &whole.0 {
        assert!(is_frame(&record.payload));
        let (covered, crc) = record.payload.split_last_chunk::<4>().expect("a frame has a crc");
        assert_eq!(crc32(covered).to_le_bytes(), *crc, "only intact frames are stored");
    }
}

/// Records and the number of refusals.
fn read(stream: &[u8], piece: usize) -> (Vec<Record>, usize) {
    let mut line = Line::new("a", true);
    let (mut records, mut refused, mut acks) = (Vec::new(), 0, Vec::new());
    for piece in stream.chunks(piece.max(1)) {
        line.on_bytes(piece, Stamp::default(), |_: Refused<'_>| refused += 1);
        let Some(batch) = line.take_unstored() else { continue };
        let frames: Vec<_> = batch.records.iter().map(|record| record.payload.clone()).collect();
        line.on_durable(&frames);
        acks.extend_from_slice(line.outbox());
        line.on_written(line.outbox().len());
        records.extend(batch.records);
    }
    line.on_end(|_| refused += 1);
    let counts = line.take_counts();
    assert!(counts.discarded_bytes <= stream.len() as u64);
    assert_eq!(refused == 0, counts.discarded_bytes == 0, "what is refused is counted in bytes too");
    let named: Vec<_> = records.iter().filter_map(|record| Header::peek(&record.payload).ok()).collect();
    assert_eq!(counts.acks + counts.acks_dropped, named.len() as u64);
    if counts.acks_dropped == 0 {
        acks_name(&acks, &named);
    }
    (records, refused)
}

fn acks_name(mut wire: &[u8], frames: &[Header<'_>]) {
    let mut accumulator: Accumulator = Accumulator::new();
    for header in frames {
        let ack = accumulator.next(&mut wire).expect("an ack for each frame").expect("sound");
        assert_eq!(parse_ack(ack), Ok(*header));
    }
    assert_eq!(accumulator.next(&mut wire), None);
}
