//! From bytes to packets, and each packet to the role that knows what it means.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::core::take_chunk;
use super::{BATCH_RECORDS_MAX, Close, Decoded, IN_FLIGHT_MAX_BYTES, Role, Session, State};
use crate::clock::Stamp;
use crate::ingest::access::Grant;
use crate::ingest::wire::{self, Frame, Packet};

/// First bytes of the packets that open a connection.
const CONNECT: u8 = 0x10;
const CONN_ACK: u8 = 0x20;
impl Session {
    /// Takes whole packets off the buffer, as many as one batch holds.
    pub(in crate::ingest) fn on_bytes(&mut self, buffer: &mut BytesMut, stamp: Stamp, now: Instant) -> Decoded {
        self.core.heard_at = now;
        self.stamp = stamp;
        if self.core.grant.as_ref().is_some_and(Grant::is_revoked) {
            self.close(Close::Revoked, now);
            return Decoded::NeedsBytes;
        }
        self.core.skip(buffer);
        let opening = match &mut self.role {
            Role::Dialer(dialer) => {
                dialer.heard();
                CONN_ACK
            }
            Role::Listener(_) => CONNECT,
        };
        // Noise is known by its first byte: what it takes for a length may keep us waiting.
        if let (State::Opening { .. }, Some(&first)) = (&self.core.state, buffer.first())
            && first != opening
        {
            self.close(Close::Unexpected(wire::name(first)), now);
        }
        // Frames first, so that the buffer is frozen once and not per packet.
        let (mut end, mut frames, mut fault) = (0, 0, None);
        // What follows CONNECT waits until the client is let in.
        let frames_max = match self.core.state {
            State::Opening { .. } => 1,
            State::Admitting { .. } | State::Open | State::Draining { .. } | State::Closed { .. } => {
                BATCH_RECORDS_MAX.saturating_sub(self.core.batch.len())
            }
        };
        while frames < frames_max && end < IN_FLIGHT_MAX_BYTES {
            match Frame::peek(&buffer[end..], self.core.packet_max_bytes) {
                Ok(Some(frame)) => end += frame.bytes,
                Ok(None) => break,
                Err(e) => {
                    fault = Some(e);
                    break;
                }
            }
            frames += 1;
        }
        let chunk = take_chunk(buffer, end);
        self.core.batch.reserve(frames);
        let (mut at, mut stamp) = (0, stamp);
        while at < end && self.core.is_reading() {
            // Peeked above; the limit was checked there.
            let Ok(Some(frame)) = Frame::peek(&chunk[at..], usize::MAX) else { break };
            if let Err(why) = self.on_frame(&chunk, at, frame, stamp, now) {
                self.close(why, now);
            }
            at += frame.bytes;
            // Messages of one read have times of their own: those of one device would be one point otherwise.
            stamp.since_boot_ns += 1;
        }
        self.core.spent(frames, end, now);
        match fault {
            Some(wire::Error::TooLarge { bytes, .. }) if self.may_skip(buffer) => {
                match self.core.begin_skip(buffer, bytes) {
                    Ok(true) => self.core.skip(buffer),
                    Ok(false) => return Decoded::NeedsBytes,
                    Err(why) => self.close(why, now),
                }
            }
            Some(fault) => self.close(Close::Malformed(fault), now),
            None => {}
        }
        let more = matches!(Frame::peek(buffer, self.core.packet_max_bytes), Ok(Some(_)) | Err(_));
        if more && self.core.is_reading() { Decoded::HasRest } else { Decoded::NeedsBytes }
    }

    /// A broker would send it again and again; a client is told by the end of its connection.
    fn may_skip(&self, buffer: &BytesMut) -> bool {
        let is_publish = buffer.first().is_some_and(|first| first >> 4 == 3);
        matches!(self.role, Role::Dialer(_)) && self.core.state == State::Open && is_publish
    }

    fn on_frame(&mut self, chunk: &Bytes, at: usize, frame: Frame, stamp: Stamp, now: Instant) -> Result<(), Close> {
        if frame.is_publish() {
            if self.core.state != State::Open {
                return Err(Close::Unexpected("PUBLISH"));
            }
            let publish = wire::decode_publish(self.core.version, chunk, at, frame)?;
            return self.core.on_publish(publish, stamp);
        }
        let packet = match wire::decode(self.core.version, &chunk[at..at + frame.bytes], frame) {
            Ok(packet) => packet,
            Err(e) => {
                if let Role::Listener(listener) = &self.role {
                    listener.on_undecodable(&mut self.core, &e, now);
                }
                return Err(e.into());
            }
        };
        if let Packet::Disconnect { reason, session_expiry_s } = packet {
            return Err(match &mut self.role {
                Role::Dialer(_) => Close::PeerDisconnected(reason),
                Role::Listener(listener) => listener.on_disconnect(&mut self.core, reason, session_expiry_s),
            });
        }
        match &mut self.role {
            Role::Dialer(dialer) => dialer.on_packet(&mut self.core, packet, now),
            Role::Listener(listener) => listener.on_packet(&mut self.core, packet, now),
        }
    }
}
