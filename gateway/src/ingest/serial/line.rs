//! What becomes of a line's bytes: records on their way to the queue, counts, acknowledgements. Knows no tty and no time.

use bytes::Bytes;
use firmware_protocol::accumulator::Accumulator;
use firmware_protocol::cobs::{DELIMITER, encode_cobs, encoded_max_bytes};
use firmware_protocol::frame::{self, ACK_MAX_BYTES, HELLO_REQUEST_MAX_BYTES, Header};

use crate::clock::Stamp;
use crate::frames::{Request, Wish, hello_packet};
use crate::queue::{Door, Flags, Record};

/// Most that waits for the queue in memory, a read more or less: what the fastest line brings in a second.
pub(super) const UNSTORED_MAX_BYTES: usize = 512 * 1024;
/// Most acknowledgements that wait for the line, bytes; further ones are dropped, and the device sends its frames again.
const OUTBOX_MAX_BYTES: usize = 16 * 1024;
/// An acknowledgement on the wire.
const ACK_WIRE_MAX_BYTES: usize = encoded_max_bytes(ACK_MAX_BYTES);
const REQUEST_WIRE_MAX_BYTES: usize = encoded_max_bytes(HELLO_REQUEST_MAX_BYTES);

/// Why an intact packet is refused; the other reasons are the accumulator's.
const NOT_A_FRAME: &str = "not_a_frame";

/// Something that was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused<'a> {
    pub(super) reason: &'static str,
    /// What it began with, as far as it could be decoded.
    pub(super) head: &'a [u8],
}

/// Records that are stored together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    bytes: usize,
}

/// One line's state.
pub(super) struct Line {
    topic: Bytes,
    accumulator: Box<Accumulator>,
    /// Bytes of intact packets that were refused.
    foreign_bytes: u64,
    unstored: Batch,
    /// `None`: frames are not acknowledged.
    outbox: Option<Outbox>,
    /// What [`Self::take_counts`] has given.
    told: Counts,
}

/// Acknowledgements on their way back.
#[derive(Default)]
struct Outbox {
    wire: Vec<u8>,
    /// Of what was written: two are one acknowledgement.
    delimiters: u64,
    dropped: u64,
}

/// What a line has done, besides its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Bytes that became no record.
    pub(super) discarded_bytes: u64,
    /// Acknowledgements written.
    pub(super) acks: u64,
    /// Acknowledgements that found no room, or the line gone.
    pub(super) acks_dropped: u64,
}

impl Line {
    pub(super) fn new(name: &str, ack: bool) -> Self {
        Self {
            topic: format!("serial/{name}").into(),
            accumulator: Box::default(),
            foreign_bytes: 0,
            unstored: Batch::default(),
            outbox: ack.then(Outbox::default),
            told: Counts::default(),
        }
    }

    /// Takes in what was read.
    pub(super) fn on_bytes(&mut self, mut bytes: &[u8], received: Stamp, mut refuse: impl FnMut(Refused<'_>)) {
        while let Some(found) = self.accumulator.next(&mut bytes) {
            match found {
                Ok(packet) if frame::is_frame(packet) => {
                    let record = Record {
                        door: Door::Serial,
                        flags: Flags::default(),
                        received,
                        topic: self.topic.clone(),
                        payload: Bytes::copy_from_slice(packet),
                        content_type: Bytes::from_static(frame::CONTENT_TYPE.as_bytes()),
                        table: Bytes::new(),
                    };
                    self.unstored.bytes += size_of::<Record>() + packet.len();
                    self.unstored.records.push(record);
                }
                Ok(packet) => {
                    self.foreign_bytes += packet.len() as u64;
                    refuse(Refused { reason: NOT_A_FRAME, head: packet });
                }
                Err(refused) => refuse(Refused { reason: refused.reason.name(), head: refused.head }),
            }
        }
    }

    /// The line is gone: half a packet is refused, and what was to be written is dropped.
    pub(super) fn on_end(&mut self, mut refuse: impl FnMut(Refused<'_>)) {
        if let Some(refused) = self.accumulator.cut() {
            refuse(Refused { reason: refused.reason.name(), head: refused.head });
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.dropped += delimiters(&outbox.wire).div_ceil(2);
            outbox.delimiters -= outbox.delimiters % 2;
            outbox.wire.clear();
        }
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.unstored.bytes < UNSTORED_MAX_BYTES
    }

    /// What is to be stored next.
    pub(super) fn take_unstored(&mut self) -> Option<Batch> {
        (!self.unstored.records.is_empty()).then(|| std::mem::take(&mut self.unstored))
    }

    pub(super) fn unstored(&self) -> usize {
        self.unstored.records.len()
    }

    /// These frames are durable. Frames of an unknown version name no identity that could be acknowledged.
    pub(super) fn on_durable(&mut self, frames: &[Bytes]) {
        let Some(outbox) = &mut self.outbox else { return };
        for header in frames.iter().filter_map(|bytes| Header::peek(bytes).ok()) {
            if outbox.wire.len() + ACK_WIRE_MAX_BYTES > OUTBOX_MAX_BYTES {
                outbox.dropped += 1;
                continue;
            }
            let (mut ack, mut wire) = ([0; ACK_MAX_BYTES], [0; ACK_WIRE_MAX_BYTES]);
            let encoded = frame::encode_ack(&header, &mut ack)
                .and_then(|length| encode_cobs(ack.get(..length).unwrap_or_default(), &mut wire));
            let length = encoded.expect("a header that was read is valid, and the buffers are large enough");
            outbox.wire.extend_from_slice(wire.get(..length).unwrap_or_default());
        }
    }

    /// Asks for a hello, if the record that lacks it came by this line, and its devices listen.
    pub(super) fn ask(&mut self, request: &Request) {
        let Wish::Hello { device } = &request.wish else { return };
        let Some(outbox) = self.outbox.as_mut().filter(|_| request.topic == self.topic) else { return };
        if outbox.wire.len() + REQUEST_WIRE_MAX_BYTES > OUTBOX_MAX_BYTES {
            outbox.dropped += 1;
            return;
        }
        let mut wire = [0; REQUEST_WIRE_MAX_BYTES];
        let length = encode_cobs(&hello_packet(device), &mut wire).expect("the buffer is large enough");
        outbox.wire.extend_from_slice(wire.get(..length).unwrap_or_default());
    }

    /// What is to be written.
    pub(super) fn outbox(&self) -> &[u8] {
        self.outbox.as_ref().map_or(&[], |outbox| &outbox.wire)
    }

    pub(super) fn on_written(&mut self, bytes: usize) {
        let Some(outbox) = &mut self.outbox else { return };
        let bytes = bytes.min(outbox.wire.len());
        outbox.delimiters += delimiters(outbox.wire.get(..bytes).unwrap_or_default());
        outbox.wire.drain(..bytes);
    }

    /// What has happened since the last call.
    pub(super) fn take_counts(&mut self) -> Counts {
        let outbox = self.outbox.as_ref();
        let now = Counts {
            discarded_bytes: self.accumulator.counts().refused_bytes + self.foreign_bytes,
            acks: outbox.map_or(0, |outbox| outbox.delimiters / 2),
            acks_dropped: outbox.map_or(0, |outbox| outbox.dropped),
        };
        let before = std::mem::replace(&mut self.told, now);
        Counts {
            discarded_bytes: now.discarded_bytes - before.discarded_bytes,
            acks: now.acks - before.acks,
            acks_dropped: now.acks_dropped - before.acks_dropped,
        }
    }
}

fn delimiters(wire: &[u8]) -> u64 {
    wire.iter().filter(|byte| **byte == DELIMITER).count() as u64
}

#[cfg(test)]
mod tests {
    use firmware_protocol::frame::{BaseTime, FRAME_MAX_BYTES, Frame};
    use firmware_protocol::{BootId, DeviceSeq};

    use super::*;
    use crate::clock::ClockBoot;

    const RECEIVED: Stamp = Stamp { boot: ClockBoot(7), since_boot_ns: 70 };

    fn frame(seq: u32) -> Vec<u8> {
        let mut out = [0; FRAME_MAX_BYTES];
        let base = BaseTime::UnixMicros(0);
        let frame = Frame { device: "pump-7", boot: BootId(3), seq: DeviceSeq(seq), base, channels: &[] };
        let length = frame::encode(&frame, &mut out).unwrap();
        out[..length].to_vec()
    }

    fn wire(packet: &[u8]) -> Vec<u8> {
        let mut out = vec![0; encoded_max_bytes(packet.len())];
        let length = encode_cobs(packet, &mut out).unwrap();
        out.truncate(length);
        out
    }

    /// Reads the bytes; the reasons of what was refused.
    fn read(line: &mut Line, bytes: &[u8]) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        line.on_bytes(bytes, RECEIVED, |refused| reasons.push(refused.reason));
        reasons
    }

    /// `content` with its CRC.
    fn sealed(content: &[u8]) -> Vec<u8> {
        [content, &firmware_protocol::crc::crc32(content).to_le_bytes()].concat()
    }

    #[test]
    fn a_frame_becomes_a_record_of_its_line_with_the_bytes_as_they_were_sent() {
        let mut line = Line::new("hall-3", false);
        assert_eq!(read(&mut line, &wire(&frame(0))), [""; 0]);
        let batch = line.take_unstored().unwrap();
        let expected = Record {
            door: Door::Serial,
            flags: Flags::default(),
            received: RECEIVED,
            topic: "serial/hall-3".into(),
            payload: frame(0).into(),
            content_type: "application/vnd.sensor-frame".into(),
            table: Bytes::new(),
        };
        assert_eq!(batch.records, [expected]);
        assert_eq!((line.take_unstored(), line.take_counts()), (None, Counts::default()));
    }

    #[test]
    fn what_is_no_frame_is_refused_with_a_reason_and_its_bytes_are_counted() {
        let mut line = Line::new("a", false);
        let mut damaged = frame(1);
        damaged[5] ^= 1;
        let foreign = sealed(b"SA and more");
        let stream = [wire(&damaged), wire(&foreign), wire(&frame(2))].concat();
        assert_eq!(read(&mut line, &stream), ["damaged", NOT_A_FRAME]);
        assert_eq!(read(&mut line, &wire(&frame(3))[..9]), [""; 0]);
        let mut cut = Vec::new();
        line.on_end(|refused| cut.push((refused.reason, refused.head.to_vec())));
        assert_eq!(cut, [("cut_short", frame(3)[..7].to_vec())]);
        assert_eq!(line.take_unstored().unwrap().records.len(), 1);
        let damaged_on_wire = wire(&damaged).len() - 1;
        assert_eq!(line.take_counts().discarded_bytes, (damaged_on_wire + foreign.len() + 8) as u64);
        assert_eq!(line.take_counts(), Counts::default());
    }

    #[test]
    fn a_frame_of_a_version_to_come_is_stored_and_not_acknowledged() {
        let mut line = Line::new("a", true);
        let newer = sealed(b"SG\x02 whatever it holds");
        read(&mut line, &wire(&newer));
        let batch = line.take_unstored().unwrap();
        assert_eq!(batch.records[0].payload, newer);
        line.on_durable(&[newer.into()]);
        assert_eq!(line.outbox(), b"");
    }

    #[test]
    fn acknowledgements_name_the_frames_and_wait_until_the_line_takes_them() {
        let mut line = Line::new("a", true);
        line.on_durable(&[frame(8).into(), frame(9).into()]);
        let mut accumulator: Accumulator = Accumulator::new();
        let mut named = Vec::new();
        while !line.outbox().is_empty() {
            let mut byte = &line.outbox()[..1];
            if let Some(Ok(packet)) = accumulator.next(&mut byte) {
                named.push(frame::parse_ack(packet).unwrap().seq.0);
            }
            line.on_written(1);
        }
        assert_eq!(named, [8, 9]);
        assert_eq!(line.take_counts().acks, 2);
    }

    #[test]
    fn each_acknowledgement_is_counted_as_written_or_as_dropped() {
        let mut line = Line::new("a", true);
        let frames = vec![Bytes::from(frame(1)); 2_000];
        line.on_durable(&frames);
        assert!(line.outbox().len() <= OUTBOX_MAX_BYTES, "{}", line.outbox().len());
        let found_no_room = line.take_counts().acks_dropped;
        assert!(found_no_room > 0 && found_no_room < 2_000, "{found_no_room}");
        // One and a half.
        line.on_written(line.outbox().len() * 3 / 2 / (2_000 - found_no_room as usize));
        line.on_end(|_| {});
        assert_eq!(line.outbox(), b"");
        assert_eq!(line.take_counts(), Counts { acks: 1, acks_dropped: 1_999 - found_no_room, ..Counts::default() });
    }

    #[test]
    fn a_line_without_acknowledgements_is_never_written_to() {
        let mut line = Line::new("a", false);
        line.on_durable(&[frame(1).into()]);
        assert_eq!(line.outbox(), b"");
        assert_eq!(line.take_counts(), Counts::default());
    }

    #[test]
    fn a_line_is_read_no_further_while_the_queue_takes_nothing() {
        let mut line = Line::new("a", false);
        let stream = wire(&frame(1)).repeat(100);
        while line.has_room() {
            assert_eq!(read(&mut line, &stream), [""; 0]);
            assert!(line.unstored.bytes < UNSTORED_MAX_BYTES + 100 * 200);
        }
        line.take_unstored();
        assert!(line.has_room());
    }

    #[test]
    fn a_hello_is_asked_for_on_the_line_by_which_the_record_came_and_within_bounds() {
        let request = |topic: &'static str| Request {
            wish: Wish::Hello { device: "pump-7".into() },
            door: Door::Serial,
            topic: Bytes::from_static(topic.as_bytes()),
        };
        let mut line = Line::new("hall", true);
        line.ask(&request("serial/yard"));
        assert_eq!(line.outbox(), b"");
        line.ask(&request("serial/hall"));
        let mut accumulator = Accumulator::<128>::default();
        let packet = accumulator.next(&mut line.outbox()).expect("one packet").expect("whole").to_vec();
        assert_eq!(frame::parse_hello_request(&packet), Ok("pump-7"));
        (0..10_000).for_each(|_| line.ask(&request("serial/hall")));
        assert!(line.outbox().len() <= OUTBOX_MAX_BYTES && line.take_counts().acks_dropped > 0);
        let mut deaf = Line::new("hall", false);
        deaf.ask(&request("serial/hall"));
        assert_eq!(deaf.outbox(), b"", "nobody listens at its other end");
    }
}
