//! Consistent overhead byte stuffing: packets without the byte `00`, so that this byte can stand between them.
//!
//! The other direction is [`crate::accumulator`].

use crate::FrameError;
use crate::frame::FRAME_MAX_BYTES;

/// Stands between packets, and nowhere in them.
pub const DELIMITER: u8 = 0;
/// Code of a block without a zero behind it: [`RUN_MAX`] bytes, and the packet goes on.
pub(crate) const LONG: u8 = 0xff;
/// Most bytes that one code is followed by.
const RUN_MAX: usize = 254;
/// A buffer that is enough for the largest frame on the wire.
pub const ENCODED_MAX_BYTES: usize = encoded_max_bytes(FRAME_MAX_BYTES);

/// Most bytes that a packet of `bytes` takes on the wire: a code per run, at least one, and the two delimiters.
pub const fn encoded_max_bytes(bytes: usize) -> usize {
    let codes = if bytes == 0 { 1 } else { bytes.div_ceil(RUN_MAX) };
    bytes + codes + 2
}

/// Writes the packet to the front of `out` as it goes over the wire, and returns how many bytes that are.
///
/// A delimiter stands at both ends: what the line has picked up before is cut off, and the packet is taken at once.
///
/// # Errors
/// `BufferTooSmall`; [`encoded_max_bytes`] are always enough.
pub fn encode_cobs(packet: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
    let mut w = Writer { out, len: 0 };
    w.bytes(&[DELIMITER])?;
    // Splitting at each zero: the last piece ends the packet, all others stand for themselves and the zero behind them.
    let mut pieces = packet.split(|byte| *byte == DELIMITER).peekable();
    while let Some(mut piece) = pieces.next() {
        let mut behind_long = false;
        while let Some((run, rest)) = piece.split_at_checked(RUN_MAX) {
            w.bytes(&[LONG])?;
            w.bytes(run)?;
            piece = rest;
            behind_long = true;
        }
        // A long block stands for no zero, so that the packet can end with it.
        if !(behind_long && piece.is_empty() && pieces.peek().is_none()) {
            w.bytes(&[piece.len() as u8 + 1])?;
            w.bytes(piece)?;
        }
    }
    w.bytes(&[DELIMITER])?;
    Ok(w.len)
}

struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end).ok_or(FrameError::BufferTooSmall)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(packet: &[u8]) -> Vec<u8> {
        let mut out = vec![0xaa; encoded_max_bytes(packet.len())];
        let length = encode_cobs(packet, &mut out).unwrap();
        out.truncate(length);
        out
    }

    #[test]
    fn zeros_become_distances_between_two_delimiters() {
        assert_eq!(encoded(&[]), [0, 1, 0]);
        assert_eq!(encoded(&[0]), [0, 1, 1, 0]);
        assert_eq!(encoded(&[7, 0, 0, 8, 9]), [0, 2, 7, 1, 3, 8, 9, 0]);
    }

    #[test]
    fn the_largest_packet_fits_the_announced_size_and_nothing_smaller() {
        for len in [0, 1, 253, 254, 255, 508, FRAME_MAX_BYTES] {
            let packet = vec![1; len];
            let mut out = vec![0; encoded_max_bytes(len)];
            let length = encode_cobs(&packet, &mut out).unwrap();
            assert_eq!(length, out.len(), "{len} bytes");
            assert_eq!(encode_cobs(&packet, &mut out[..length - 1]), Err(FrameError::BufferTooSmall), "{len} bytes");
        }
    }
}
