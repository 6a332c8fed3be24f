//! The rules of the side that dials a broker: subscribe, ping, watch for the broker's silence, tell of ourselves.
//!
//! # Invariants
//! - Before the first message of a new session can come, what is kept of the old one is durably forgotten: a packet id of
//!   the old one must not make a message of the new one look like a repeat.
//! - What is kept names at least the filters that the broker has, so that one that is no longer wanted is found and given
//!   up.

use std::time::{Duration, Instant};

use super::core::Core;
use super::{Action, Close, OUTPUT_MAX_BYTES, Opened, State};
use crate::ingest::MqttConfig;
use crate::ingest::wire::{self, ConnAck, Packet};

/// When SUBSCRIBE is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest) enum Subscribe {
    /// Even if the broker has kept our session with these filters: something is wrong there.
    Always,
    /// Only if the broker has lost our session, or had other filters in it.
    IfNeeded,
}

/// The only packet ids that we ever send.
const SUBSCRIBE_ID: u16 = 1;
const UNSUBSCRIBE_ID: u16 = 2;
const STATUS_ID: u16 = 3;

pub(super) struct Dialer {
    config: MqttConfig,
    subscribe: Subscribe,
    /// Zero: no pings.
    keep_alive: Duration,
    /// A PINGREQ is out and nothing was heard since.
    ping_open: bool,
    /// A SUBSCRIBE is out.
    subscribing: bool,
}

impl Dialer {
    pub(super) fn new(config: MqttConfig, subscribe: Subscribe) -> Self {
        let keep_alive = config.keep_alive;
        Self { config, subscribe, keep_alive, ping_open: false, subscribing: false }
    }

    pub(super) fn heard(&mut self) {
        self.ping_open = false;
    }

    pub(super) fn on_packet(&mut self, core: &mut Core, packet: Packet, now: Instant) -> Result<(), Close> {
        match (packet, &core.state) {
            (Packet::ConnAck(ack), State::Opening { .. }) => self.on_conn_ack(core, ack, now),
            (Packet::SubAck(codes), State::Open) if self.subscribing => self.on_sub_ack(core, &codes),
            (Packet::PubRel { packet_id }, State::Open) => {
                core.on_pub_rel(packet_id);
                Ok(())
            }
            // Whether the broker wants our status is its affair.
            (Packet::PingResp | Packet::UnsubAck | Packet::PubAck { .. }, State::Open) => Ok(()),
            (
                packet @ (Packet::ConnAck(_)
                | Packet::SubAck(_)
                | Packet::UnsubAck
                | Packet::PubAck { .. }
                | Packet::PubRel { .. }
                | Packet::PingResp
                | Packet::Connect(_)
                | Packet::Subscribe { .. }
                | Packet::Unsubscribe { .. }
                | Packet::PingReq
                | Packet::Disconnect { .. }
                | Packet::Foreign(_)),
                _,
            ) => Err(Close::Unexpected(packet.name())),
        }
    }

    fn on_conn_ack(&mut self, core: &mut Core, ack: ConnAck, now: Instant) -> Result<(), Close> {
        if let Some(reason) = ack.refused {
            return Err(Close::Refused(reason));
        }
        if let Some(seconds) = ack.server_keep_alive {
            self.keep_alive = Duration::from_secs(seconds.into());
        }
        core.state = State::Open;
        self.subscribe(core, ack.session_present)?;
        if !self.config.status_topic.is_empty() {
            let (topic, online) = (&self.config.status_topic, wire::Status::ONLINE.as_bytes());
            wire::publish(self.config.version, topic, online, true, Some(STATUS_ID), core.speak(now))?;
        }
        core.news.push_back(Action::Opened(Opened {
            version: self.config.version,
            client_id: self.config.client_id.clone(),
            session_present: ack.session_present,
        }));
        Ok(())
    }

    /// Brings what the broker has of us in line with the configuration; the packets leave once the change is durable.
    fn subscribe(&mut self, core: &mut Core, session_present: bool) -> Result<(), Close> {
        let (wanted, version) = (&self.config.subscribe, self.config.version);
        if !session_present {
            core.kept = super::Kept::default();
        }
        let stale: Vec<String> = core.kept.filters.iter().filter(|f| !wanted.contains(f)).cloned().collect();
        let is_known = wanted.iter().all(|f| core.kept.filters.contains(f)) && core.kept.qos == self.config.qos;
        if session_present && is_known && stale.is_empty() && self.subscribe == Subscribe::IfNeeded {
            return Ok(());
        }
        self.subscribing = true;
        wire::subscribe(&self.config, SUBSCRIBE_ID, core.batch.preface())?;
        if !stale.is_empty() {
            wire::unsubscribe(version, UNSUBSCRIBE_ID, &stale, core.batch.preface())?;
        }
        core.kept.filters.retain(|f| !wanted.contains(f));
        core.kept.filters.extend(wanted.iter().cloned());
        core.kept.qos = self.config.qos;
        core.kept_changed();
        Ok(())
    }

    fn on_sub_ack(&mut self, core: &mut Core, codes: &[u8]) -> Result<(), Close> {
        self.subscribing = false;
        let filters = &self.config.subscribe;
        if codes.len() != filters.len() {
            return Err(Close::Malformed(wire::Error::Malformed("SUBACK: as many codes as filters are due")));
        }
        let refused: Vec<_> = filters.iter().zip(codes).filter(|(_, code)| **code != self.config.qos).collect();
        // Asked for again at the next connection.
        core.kept.filters =
            filters.iter().zip(codes).filter(|(_, code)| **code < 0x80).map(|(f, _)| f.clone()).collect();
        core.kept_changed();
        if codes.iter().all(|code| *code >= 0x80) {
            return Err(Close::NothingGranted);
        }
        core.news
            .push_back(Action::Subscribed { refused: refused.into_iter().map(|(f, c)| (f.clone(), *c)).collect() });
        Ok(())
    }

    /// A message for whoever has subscribed to it at the broker, with QoS 0. `false`: there is no room for it now.
    pub(super) fn tell(&self, core: &mut Core, topic: &str, payload: &[u8], now: Instant) -> bool {
        // Acknowledgements come first.
        let has_room = core.out.len() + topic.len() + payload.len() <= OUTPUT_MAX_BYTES / 2;
        core.state == State::Open
            && has_room
            && wire::publish(self.config.version, topic, payload, false, None, core.speak(now)).is_ok()
    }

    /// The last words before DISCONNECT, after which the broker forgets our will.
    pub(super) fn say_goodbye(&self, core: &mut Core, now: Instant) {
        let topic = &self.config.status_topic;
        if topic.is_empty() {
            return;
        }
        let offline = wire::Status::OFFLINE.as_bytes();
        // It was short enough for CONNECT.
        wire::publish(self.config.version, topic, offline, true, None, core.speak(now)).unwrap_or_default();
    }

    pub(super) fn on_tick(&mut self, core: &mut Core, now: Instant) -> Option<Close> {
        if self.silence_ends_at(core).is_some_and(|at| now >= at) {
            return Some(Close::Silent(now.duration_since(core.heard_at)));
        }
        if self.ping_at(core).is_some_and(|at| now >= at) {
            self.ping_open = true;
            wire::ping_req(core.speak(now));
        }
        None
    }

    pub(super) fn next_tick(&self, core: &Core) -> Option<Instant> {
        [self.ping_at(core), self.silence_ends_at(core)].into_iter().flatten().min()
    }

    /// A ping is due when we have said nothing for a while, or heard nothing and have not asked yet.
    fn ping_at(&self, core: &Core) -> Option<Instant> {
        if self.keep_alive.is_zero() {
            return None;
        }
        let since = if self.ping_open || !core.takes_bytes() { core.sent_at } else { core.sent_at.min(core.heard_at) };
        Some(since + self.keep_alive)
    }

    /// Half an interval after the ping that silence has brought. While reading is paused we could not hear the answer.
    fn silence_ends_at(&self, core: &Core) -> Option<Instant> {
        (self.ping_open && core.takes_bytes()).then(|| core.heard_at + self.keep_alive + self.keep_alive / 2)
    }
}
