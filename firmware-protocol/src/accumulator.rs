//! Serial bytes in, packets out: undoes [`crate::cobs`], and finds the next packet after noise.
//!
//! # Invariants
//! - No alloc and no panic, whatever the bytes; memory is the one buffer, whatever the line brings.
//! - A packet is handed out only if the CRC at its end is right.
//! - Whatever was broken, the next delimiter ends it: of two packets with a delimiter between them none costs the other.
//! - Each byte taken in is counted once: in a packet, as a delimiter without one, as refused, or as pending.
//!
//! # Not here
//! What a packet means: a frame ([`crate::frame`]) or an acknowledgement.

use core::fmt;

use crate::cobs::{DELIMITER, LONG};
use crate::crc::crc32;
use crate::frame::{CRC_BYTES, FRAME_MAX_BYTES, PREFIX_BYTES};

/// What is shorter cannot be a packet, and would have the right CRC by chance too often: four zeros have.
const PACKET_MIN_BYTES: usize = PREFIX_BYTES + CRC_BYTES;

/// Takes the bytes of one line as they come, in pieces of any size.
///
/// ```
/// use firmware_protocol::accumulator::Accumulator;
///
/// let mut accumulator: Accumulator = Accumulator::new();
/// let mut read: &[u8] = b"noise";
/// while let Some(found) = accumulator.next(&mut read) {
///     match found {
///         Ok(packet) => println!("{} bytes", packet.len()),
///         Err(refused) => println!("{}", refused.reason),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Accumulator<const N: usize = FRAME_MAX_BYTES> {
    /// What is decoded of the packet under way, or the packet handed out last.
    packet: [u8; N],
    len: usize,
    state: State,
    /// Bytes on the wire that the packet under way has taken.
    pending: usize,
    counts: Counts,
}

/// Where in the stream the next byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Behind a delimiter.
    Between,
    /// In a block that has `left` bytes to come, and stands for a zero behind them if the packet does not end there.
    Block { left: u8, zero_behind: bool },
    /// Behind a packet that was given up: all is thrown away up to the next delimiter.
    Skipping,
}

/// Why bytes were thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A delimiter, or the end of the line, came before the packet's end.
    CutShort,
    /// Longer than the buffer.
    Overlong,
    /// The CRC is wrong, or there is no room for one.
    Damaged,
}

/// Something was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    pub reason: Reason,
    /// What it began with, as far as it could be decoded.
    pub head: &'a [u8],
}

/// What became of all bytes taken in. They wrap around after some hundred thousand years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub packets: u64,
    /// Their bytes on the wire, each with its delimiter.
    pub packet_bytes: u64,
    /// Delimiters behind nothing.
    pub delimiters: u64,
    pub cut_short: u64,
    pub overlong: u64,
    pub damaged: u64,
    /// Bytes on the wire of all that was refused, delimiters included.
    pub refused_bytes: u64,
}

impl<const N: usize> Default for Accumulator<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Accumulator<N> {
    /// The first packet may come in whole: nothing has been read of it before.
    pub const fn new() -> Self {
        let counts = Counts {
            packets: 0,
            packet_bytes: 0,
            delimiters: 0,
            cut_short: 0,
            overlong: 0,
            damaged: 0,
            refused_bytes: 0,
        };
        Self { packet: [0; N], len: 0, state: State::Between, pending: 0, counts }
    }

    /// Takes bytes off the front of `input` up to the end of the next packet, or of something that is none.
    /// `None`: all are taken.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Result<&[u8], Refused<'_>>> {
        let ended = self.advance(input)?;
        let head = self.packet.get(..self.len).unwrap_or_default();
        Some(ended.map(|()| head).map_err(|reason| Refused { reason, head }))
    }

    /// The line is gone: what has come of a packet is given up, and the next byte begins another.
    pub fn cut(&mut self) -> Option<Refused<'_>> {
        let before = core::mem::replace(&mut self.state, State::Between);
        match before {
            State::Between | State::Skipping => None,
            State::Block { .. } => {
                let reason = self.refuse(Reason::CutShort);
                Some(Refused { reason, head: self.packet.get(..self.len).unwrap_or_default() })
            }
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes taken in of a packet that has not ended.
    pub fn pending(&self) -> usize {
        self.pending
    }

    fn advance(&mut self, input: &mut &[u8]) -> Option<Result<(), Reason>> {
        while let Some((&byte, behind)) = input.split_first() {
            match self.state {
                State::Between if byte == DELIMITER => {
                    *input = behind;
                    self.counts.delimiters += 1;
                }
                State::Between => {
                    *input = behind;
                    self.len = 0;
                    self.begin_block(byte);
                }
                State::Block { left: 0, .. } if byte == DELIMITER => {
                    *input = behind;
                    self.pending += 1;
                    self.state = State::Between;
                    return Some(self.end());
                }
                State::Block { left: 0, zero_behind } => {
                    *input = behind;
                    let fits = !zero_behind || self.push(&[0]);
                    self.begin_block(byte);
                    if !fits {
                        return Some(Err(self.give_up()));
                    }
                }
                State::Block { .. } if byte == DELIMITER => {
                    *input = behind;
                    self.pending += 1;
                    self.state = State::Between;
                    return Some(Err(self.refuse(Reason::CutShort)));
                }
                State::Block { left, zero_behind } => {
                    let within = input.get(..usize::from(left)).unwrap_or(input);
                    let length = within.iter().position(|byte| *byte == DELIMITER).unwrap_or(within.len());
                    let (run, behind) = input.split_at_checked(length).unwrap_or((input, &[]));
                    *input = behind;
                    self.pending += run.len();
                    // At most `left`, which is a byte.
                    self.state = State::Block { left: left - run.len() as u8, zero_behind };
                    if !self.push(run) {
                        return Some(Err(self.give_up()));
                    }
                }
                State::Skipping => {
                    let delimiter = input.iter().position(|byte| *byte == DELIMITER);
                    let skipped = delimiter.map_or(input.len(), |at| at + 1);
                    *input = input.get(skipped..).unwrap_or_default();
                    self.counts.refused_bytes += skipped as u64;
                    if delimiter.is_some() {
                        self.state = State::Between;
                    }
                }
            }
        }
        None
    }

    fn begin_block(&mut self, code: u8) {
        self.pending += 1;
        self.state = State::Block { left: code - 1, zero_behind: code != LONG };
    }

    /// Whether the bytes fit.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let end = self.len + bytes.len();
        let Some(room) = self.packet.get_mut(self.len..end) else { return false };
        room.copy_from_slice(bytes);
        self.len = end;
        true
    }

    fn end(&mut self) -> Result<(), Reason> {
        let packet = self.packet.get(..self.len).unwrap_or_default();
        let intact = packet.len() >= PACKET_MIN_BYTES
            && packet
                .split_last_chunk::<CRC_BYTES>()
                .is_some_and(|(covered, crc)| crc32(covered) == u32::from_le_bytes(*crc));
        if !intact {
            return Err(self.refuse(Reason::Damaged));
        }
        self.counts.packets += 1;
        self.counts.packet_bytes += core::mem::take(&mut self.pending) as u64;
        Ok(())
    }

    fn give_up(&mut self) -> Reason {
        self.state = State::Skipping;
        self.refuse(Reason::Overlong)
    }

    fn refuse(&mut self, reason: Reason) -> Reason {
        self.counts.refused_bytes += core::mem::take(&mut self.pending) as u64;
        let count = match reason {
            Reason::CutShort => &mut self.counts.cut_short,
            Reason::Overlong => &mut self.counts.overlong,
            Reason::Damaged => &mut self.counts.damaged,
        };
        *count += 1;
        reason
    }
}

impl Reason {
    /// One word, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::CutShort => "cut_short",
            Self::Overlong => "overlong",
            Self::Damaged => "damaged",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CutShort => "packet ends before its bytes do",
            Self::Overlong => "packet is longer than the buffer",
            Self::Damaged => "packet was damaged on its way: its crc does not match",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cobs::{encode_cobs, encoded_max_bytes};

    /// Large enough for the packets of these tests.
    type Small = Accumulator<64>;

    /// `content` with its CRC.
    fn packet(content: &[u8]) -> Vec<u8> {
        [content, &crc32(content).to_le_bytes()].concat()
    }

    fn wire(packet: &[u8]) -> Vec<u8> {
        let mut out = vec![0; encoded_max_bytes(packet.len())];
        let length = encode_cobs(packet, &mut out).unwrap();
        out.truncate(length);
        out
    }

    fn all<const N: usize>(accumulator: &mut Accumulator<N>, mut input: &[u8]) -> Vec<Result<Vec<u8>, Reason>> {
        let mut found = Vec::new();
        while let Some(next) = accumulator.next(&mut input) {
            found.push(next.map(<[u8]>::to_vec).map_err(|refused| refused.reason));
        }
        found
    }

    #[test]
    fn noise_costs_itself_and_no_packet_beside_it() {
        let (a, b) = (packet(b"first, \0 in it"), packet(b"second"));
        let stream = [&wire(&a)[..], b"\x06noise", &wire(&b), &[0, 0, 3, 1]].concat();
        let mut accumulator = Small::new();
        assert_eq!(all(&mut accumulator, &stream), [Ok(a), Err(Reason::Damaged), Ok(b)]);
        let counts = accumulator.counts();
        assert_eq!((counts.packets, counts.damaged, counts.delimiters), (2, 1, 3));
        assert_eq!((counts.refused_bytes, accumulator.pending()), (7, 2));
    }

    #[test]
    fn a_packet_that_lost_a_byte_or_its_tail_is_refused_and_the_next_one_is_taken() {
        let good = packet(b"the next one");
        let whole = wire(&packet(b"this one"));
        let lost = [&whole[..5], &whole[6..]].concat();
        let mut accumulator = Small::new();
        assert_eq!(all(&mut accumulator, &lost), [Err(Reason::CutShort)]);
        assert_eq!(all(&mut accumulator, &whole[..7]), []);
        assert_eq!(all(&mut accumulator, &wire(&good)), [Err(Reason::CutShort), Ok(good)]);
    }

    #[test]
    fn what_never_ends_is_told_once_and_counted_as_it_comes() {
        let mut accumulator = Small::new();
        let endless = [0xff; 100];
        assert_eq!(all(&mut accumulator, &endless), [Err(Reason::Overlong)]);
        assert_eq!(all(&mut accumulator, &endless), []);
        assert_eq!((accumulator.counts().overlong, accumulator.counts().refused_bytes), (1, 200));
        let good = packet(b"at last");
        assert_eq!(all(&mut accumulator, &wire(&good)), [Ok(good)]);
    }

    #[test]
    fn a_packet_may_fill_the_buffer_and_be_no_longer() {
        for (length, expected) in [(64, None), (65, Some(Reason::Overlong))] {
            let largest = packet(&vec![0; length - CRC_BYTES]);
            let expected = [expected.map_or(Ok(largest.clone()), Err)];
            assert_eq!(all(&mut Small::new(), &wire(&largest)), expected);
        }
    }

    #[test]
    fn zeros_alone_are_no_packet_though_their_crc_is_right() {
        for zeros in 0..7 {
            assert_eq!(all(&mut Small::new(), &wire(&vec![0; zeros])), [Err(Reason::Damaged)], "{zeros} zeros");
        }
    }

    #[test]
    fn a_line_that_is_cut_forgets_the_half_and_takes_the_next_packet_from_its_first_byte() {
        let good = packet(b"after the break");
        let wire = wire(&good);
        let mut accumulator = Small::new();
        assert_eq!(accumulator.cut(), None);
        all(&mut accumulator, &wire[..9]);
        assert_eq!(accumulator.cut().map(|refused| refused.reason), Some(Reason::CutShort));
        assert_eq!((accumulator.pending(), accumulator.cut()), (0, None));
        assert_eq!(all(&mut accumulator, &wire[1..]), [Ok(good)]);
    }
}
