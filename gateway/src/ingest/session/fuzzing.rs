//! A session under any sequence of what its caller may do: bytes from the peer, answers of the queue in any order, time.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::{
    Action, Admission, Duration, Epoch, IN_FLIGHT_MAX_BYTES, Instant, Kept, OUTPUT_MAX_BYTES, Session, Subscribe,
    Ticket,
};
use crate::clock::Stamp;
use crate::ingest::access::{Denied, Grant};
use crate::ingest::wire::Frame;
use crate::ingest::{ListenConfig, MqttConfig, MqttVersion};
use crate::queue::Record;

/// Small, so that short inputs go beyond it.
const PACKET_MAX_BYTES: usize = 2_000;
/// What one read brings, and with it what one call may add to what is bounded.
const READ_MAX_BYTES: usize = 16 * 1024;
const PUB_ACK: u8 = 0x40;

/// The first byte chooses the side and the version, the others what happens.
pub fn session(input: &[u8]) {
    let Some((&selector, mut rest)) = input.split_first() else { return };
    let now = Instant::now();
    let session = match selector & 3 {
        0 | 1 => {
            let limits = ListenConfig { packet_max_bytes: PACKET_MAX_BYTES, ..ListenConfig::default() };
            Session::accept(&limits, "given".into(), Epoch(1), now)
        }
        side => {
            let version = if side == 2 { MqttVersion::V311 } else { MqttVersion::V5 };
            let config = MqttConfig { version, packet_max_bytes: PACKET_MAX_BYTES, ..MqttConfig::default() };
            Session::dial(&config, Subscribe::Always, Kept::default(), Epoch(1), now).expect("the defaults fit")
        }
    };
    let mut peer = Peer::new(session, now);
    // Whoever is told of the end asks no further.
    while let (Some((&what, behind)), false) = (rest.split_first(), peer.is_closed) {
        rest = peer.step(what, behind);
        peer.take_actions();
        peer.check();
    }
    peer.end();
}

/// The caller, the queue and the other end in one.
struct Peer {
    session: Session,
    now: Instant,
    /// Read from the socket, not yet taken by the session.
    buffer: BytesMut,
    claims: usize,
    appending: bool,
    /// Batches in the order of their appends, each with its QoS 1 messages, and whether it is durable.
    batches: VecDeque<(Ticket, usize, bool)>,
    /// QoS 1 messages before the first batch that is not durable: what may be acknowledged.
    acknowledgeable: usize,
    /// Messages that were refused: some are acknowledged, because a broker would send them for ever.
    refused: usize,
    /// All that was written.
    written: Vec<u8>,
    is_closed: bool,
}

impl Peer {
    fn new(session: Session, now: Instant) -> Self {
        Self {
            session,
            now,
            buffer: BytesMut::new(),
            claims: 0,
            appending: false,
            batches: VecDeque::new(),
            acknowledgeable: 0,
            refused: 0,
            written: Vec::new(),
            is_closed: false,
        }
    }

    /// Does one thing, and gives what of the input is left.
    fn step<'i>(&mut self, what: u8, behind: &'i [u8]) -> &'i [u8] {
        let amount = usize::from(what >> 3);
        match what & 7 {
            0..=2 => {
                let length = (amount * 9 + 1).min(behind.len());
                let (heard, behind) = behind.split_at(length);
                if self.buffer.len() < READ_MAX_BYTES {
                    self.buffer.extend_from_slice(heard);
                }
                self.hear();
                return behind;
            }
            3 if self.claims > 0 => {
                self.claims -= 1;
                if amount == 1 {
                    self.session.turn_away(Denied::BadCredentials, self.now);
                } else {
                    let admission = Admission { grant: Grant::for_tests(None), kept: None };
                    self.session.admit(admission, self.now);
                }
                self.hear();
            }
            4 if self.appending => {
                self.appending = false;
                self.session.on_appended(self.now);
                self.hear();
            }
            5 if !self.batches.is_empty() => self.make_durable(amount % self.batches.len()),
            6 => self.write(amount * 16),
            _ => {
                self.now += Duration::from_secs(amount as u64);
                self.session.on_tick(self.now);
            }
        }
        behind
    }

    fn hear(&mut self) {
        if self.session.takes_bytes() && !self.buffer.is_empty() {
            let before = self.buffer.len();
            self.session.on_bytes(&mut self.buffer, Stamp::default(), self.now);
            assert!(self.buffer.len() <= before);
        }
    }

    fn make_durable(&mut self, at: usize) {
        let (ticket, _, durable) = &mut self.batches[at];
        if !std::mem::replace(durable, true) {
            let ticket = *ticket;
            self.advance();
            self.session.on_receipt(ticket, self.now);
        }
    }

    fn advance(&mut self) {
        while let Some((_, messages, true)) = self.batches.front() {
            self.acknowledgeable += messages;
            self.batches.pop_front();
        }
    }

    fn write(&mut self, most: usize) {
        let output = self.session.output();
        let length = output.len().min(most);
        self.written.extend_from_slice(&output[..length]);
        self.session.on_written(length, self.now);
    }

    fn take_actions(&mut self) {
        while let Some(action) = self.session.poll() {
            assert!(!self.is_closed, "after the end nothing happens: {action:?}");
            match action {
                Action::Admit(_) => self.claims += 1,
                Action::Append { ticket, records, .. } => {
                    assert!(!self.appending, "one batch at a time");
                    self.appending = true;
                    self.batches.push_back((ticket, count_qos_1(&records), false));
                }
                Action::Refused(_) => self.refused += 1,
                Action::Closed(_) => self.is_closed = true,
                Action::Opened(_) | Action::Subscribed { .. } | Action::Listens => {}
            }
        }
    }

    fn check(&self) {
        assert!(self.session.in_flight_bytes() <= IN_FLIGHT_MAX_BYTES + READ_MAX_BYTES + PACKET_MAX_BYTES);
        assert!(self.session.output().len() <= OUTPUT_MAX_BYTES + READ_MAX_BYTES + PACKET_MAX_BYTES);
    }

    /// Takes what is left to be written; all of it must be packets, and no acknowledgement before its time.
    fn end(mut self) {
        self.write(usize::MAX);
        let (mut at, mut acks) = (0, 0);
        while at < self.written.len() {
            let frame = Frame::peek(&self.written[at..], usize::MAX).expect("we write packets").expect("whole ones");
            acks += usize::from(frame.first == PUB_ACK);
            at += frame.bytes;
        }
        let most = self.acknowledgeable + self.refused;
        assert!(acks <= most, "{acks} acknowledgements, {most} messages are durable");
    }
}

fn count_qos_1(records: &[Record]) -> usize {
    records.iter().filter(|record| record.flags.qos == 1).count()
}
