//! The rules of the side that dials a broker: subscribe, ping, watch for the broker's silence.

use std::time::{Duration, Instant};

use super::core::Core;
use super::{Action, Close, Opened, State};
use crate::ingest::MqttConfig;
use crate::ingest::wire::{self, ConnAck, Packet};

/// When SUBSCRIBE is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest) enum Subscribe {
    /// Even if the broker has kept our session: the filters may be new.
    Always,
    /// Only if the broker has lost our session: it has these filters already.
    IfSessionLost,
}

/// The only packet id we ever send.
const SUBSCRIBE_ID: u16 = 1;

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
            (Packet::PingResp, State::Open) => Ok(()),
            (
                packet @ (Packet::ConnAck(_)
                | Packet::SubAck(_)
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
        if self.subscribe == Subscribe::Always || !ack.session_present {
            self.subscribing = true;
            wire::subscribe(&self.config, SUBSCRIBE_ID, core.speak(now))?;
        }
        core.state = State::Open;
        core.news.push_back(Action::Opened(Opened {
            version: self.config.version,
            client_id: self.config.client_id.clone(),
            session_present: ack.session_present,
        }));
        Ok(())
    }

    fn on_sub_ack(&mut self, core: &mut Core, codes: &[u8]) -> Result<(), Close> {
        self.subscribing = false;
        let filters = &self.config.subscribe;
        if codes.len() != filters.len() {
            return Err(Close::Malformed(wire::Error::Malformed("SUBACK: as many codes as filters are due")));
        }
        if codes.iter().all(|code| *code >= 0x80) {
            return Err(Close::NothingGranted);
        }
        let refused = filters.iter().zip(codes).filter(|(_, code)| **code != self.config.qos);
        core.news.push_back(Action::Subscribed { refused: refused.map(|(f, code)| (f.clone(), *code)).collect() });
        Ok(())
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
