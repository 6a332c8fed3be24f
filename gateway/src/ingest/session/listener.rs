//! The rules of the side that sensors dial: one CONNECT, then PUBLISHes; nothing to subscribe to.

use std::time::{Duration, Instant};

use super::core::Core;
use super::{Action, Close, Opened, State};
use crate::ingest::MqttVersion;
use crate::ingest::wire::{self, Connect, Packet};

/// 3.1.1 CONNACK codes.
const V311_PROTOCOL: u8 = 0x01;
const V311_IDENTIFIER: u8 = 0x02;
/// v5 CONNACK codes.
const V5_PROTOCOL: u8 = 0x84;

pub(super) struct Listener {
    /// For a client without an id of its own.
    assigned_id: String,
    /// A client silent for this long is gone; `None`: it promised nothing, or CONNECT is still due.
    silence_max: Option<Duration>,
    open: bool,
}

impl Listener {
    pub(super) fn new(assigned_id: String) -> Self {
        Self { assigned_id, silence_max: None, open: false }
    }

    /// CONNACK has said yes.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn on_packet(&mut self, core: &mut Core, packet: Packet, now: Instant) -> Result<(), Close> {
        match (packet, &core.state) {
            (Packet::Connect(connect), State::Opening { .. }) => self.on_connect(core, connect, now),
            (Packet::Subscribe { packet_id, filters }, State::Open) => {
                Ok(wire::sub_ack_refused(core.version, packet_id, filters, core.speak(now))?)
            }
            (Packet::Unsubscribe { packet_id, filters }, State::Open) => {
                Ok(wire::unsub_ack(core.version, packet_id, filters, core.speak(now))?)
            }
            (Packet::PingReq, State::Open) => {
                wire::ping_resp(core.speak(now));
                Ok(())
            }
            (
                packet @ (Packet::Connect(_)
                | Packet::Subscribe { .. }
                | Packet::Unsubscribe { .. }
                | Packet::PingReq
                | Packet::PingResp
                | Packet::ConnAck(_)
                | Packet::SubAck(_)
                | Packet::Disconnect { .. }
                | Packet::Foreign(_)),
                _,
            ) => Err(Close::Unexpected(packet.name())),
        }
    }

    fn on_connect(&mut self, core: &mut Core, connect: Connect, now: Instant) -> Result<(), Close> {
        core.version = connect.version;
        let assigned = connect.client_id.is_empty();
        if assigned && !connect.clean && connect.version == MqttVersion::V311 {
            wire::conn_ack_refused(connect.version, V311_IDENTIFIER, core.speak(now));
            return Err(Close::IdMissing);
        }
        let client_id = if assigned { self.assigned_id.clone() } else { connect.client_id };
        // The version's own factor of 1.5 is the client's grace.
        self.silence_max =
            (connect.keep_alive > 0).then(|| Duration::from_millis(1_500 * u64::from(connect.keep_alive)));
        let packet_max_bytes = core.packet_max_bytes;
        let assigned_id = assigned.then(|| client_id.clone());
        wire::conn_ack_accepted(connect.version, assigned_id, packet_max_bytes, core.speak(now))?;
        core.state = State::Open;
        self.open = true;
        core.news.push_back(Action::Opened(Opened { version: connect.version, client_id, session_present: false }));
        Ok(())
    }

    /// The first packet could not be read: says so in the words of the version that was meant.
    pub(super) fn on_undecodable(&self, core: &mut Core, error: &wire::Error, now: Instant) {
        if self.open {
            return;
        }
        match error {
            wire::Error::Protocol(level) if *level > 5 => {
                wire::conn_ack_refused(MqttVersion::V5, V5_PROTOCOL, core.speak(now));
            }
            wire::Error::Protocol(_) => wire::conn_ack_refused(MqttVersion::V311, V311_PROTOCOL, core.speak(now)),
            wire::Error::TooLarge { .. } | wire::Error::Malformed(_) | wire::Error::Codec { .. } => {}
        }
    }

    pub(super) fn on_tick(&self, core: &Core, now: Instant) -> Option<Close> {
        let silence = now.duration_since(core.heard_at);
        self.next_tick(core).is_some_and(|at| now >= at).then_some(Close::Silent(silence))
    }

    /// While reading is paused the client cannot be heard.
    pub(super) fn next_tick(&self, core: &Core) -> Option<Instant> {
        let silence_max = self.silence_max.filter(|_| core.takes_bytes())?;
        Some(core.heard_at + silence_max)
    }
}
