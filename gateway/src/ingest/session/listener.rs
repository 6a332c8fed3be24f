//! The rules of the side that sensors dial: one CONNECT, then PUBLISHes. Results of the gateway can be subscribed to.
//!
//! # Invariants
//! - Nothing is said before the owner has let the client in; then CONNACK is the first, once what it promises is durable.
//! - A will is a message like any other: stored, or not said to be.

use std::time::{Duration, Instant};

use super::close::conn_ack_code;
use super::core::{Aliases, Core};
use super::rate::Rate;
use super::{Action, Admission, Claim, Close, OUTPUT_MAX_BYTES, Opened, State, TOPIC_ALIAS_MAX};
use crate::clock::Stamp;
use crate::ingest::access::Denied;
use crate::ingest::wire::{self, Accepted, Connect, Packet, Will};
use crate::ingest::{ListenConfig, MqttVersion, topics};
use crate::queue::{Door, Flags, Record};

/// Filters of one client: it has no use for more of our topics.
const FILTERS_MAX: usize = 16;
/// All topics that can be subscribed to begin with it.
const ROOTS: [&str; 2] = ["gateway", "spBv1.0"];

/// SUBACK and UNSUBACK codes of v5.
const GRANTED_QOS_0: u8 = 0x00;
const NOT_SUBSCRIBED: u8 = 0x11;
const NOT_AUTHORIZED: u8 = 0x87;
const FILTER_INVALID: u8 = 0x8f;
const QUOTA_EXCEEDED: u8 = 0x97;
const NO_SHARED: u8 = 0x9e;
/// DISCONNECT of a v5 client that wants its will said all the same.
const WITH_WILL: u8 = 0x04;
/// 3.1.1 CONNACK codes.
const V311_PROTOCOL: u8 = 0x01;
const V311_IDENTIFIER: u8 = 0x02;
/// v5 CONNACK codes.
const V5_PROTOCOL: u8 = 0x84;

pub(super) struct Listener {
    limits: ListenConfig,
    /// For a client without an id of its own.
    assigned_id: String,
    /// What it said of itself; from CONNECT until it is let in.
    connect: Option<Box<Connect>>,
    /// A client silent for this long is gone; `None`: it promised nothing, or CONNECT is still due.
    silence_max: Option<Duration>,
    /// Longest packet that the client takes.
    peer_packet_max_bytes: usize,
    will: Option<Will>,
    open: bool,
}

impl Listener {
    pub(super) fn new(limits: ListenConfig, assigned_id: String) -> Self {
        let peer_packet_max_bytes = usize::MAX;
        Self { limits, assigned_id, connect: None, silence_max: None, peer_packet_max_bytes, will: None, open: false }
    }

    /// CONNACK has said yes.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn on_packet(&mut self, core: &mut Core, packet: Packet, now: Instant) -> Result<(), Close> {
        match (packet, &core.state) {
            (Packet::Connect(connect), State::Opening { until }) => {
                let until = *until;
                self.on_connect(core, connect, until, now)
            }
            (Packet::Subscribe { packet_id, filters }, State::Open) => {
                self.on_subscribe(core, packet_id, &filters);
                Ok(())
            }
            (Packet::Unsubscribe { packet_id, filters }, State::Open) => {
                self.on_unsubscribe(core, packet_id, &filters);
                Ok(())
            }
            (Packet::PubRel { packet_id }, State::Open) => {
                core.on_pub_rel(packet_id);
                Ok(())
            }
            (Packet::PingReq, State::Open) => {
                wire::ping_resp(core.speak(now));
                Ok(())
            }
            (
                packet @ (Packet::Connect(_)
                | Packet::Subscribe { .. }
                | Packet::Unsubscribe { .. }
                | Packet::PubRel { .. }
                | Packet::PubAck { .. }
                | Packet::PingReq
                | Packet::PingResp
                | Packet::ConnAck(_)
                | Packet::SubAck(_)
                | Packet::UnsubAck
                | Packet::Disconnect { .. }
                | Packet::Foreign(_)),
                _,
            ) => Err(Close::Unexpected(packet.name())),
        }
    }

    fn on_connect(
        &mut self,
        core: &mut Core,
        mut connect: Box<Connect>,
        until: Instant,
        now: Instant,
    ) -> Result<(), Close> {
        core.version = connect.version;
        let assigned = connect.client_id.is_empty();
        if assigned && !connect.clean && connect.version == MqttVersion::V311 {
            wire::conn_ack_refused(connect.version, V311_IDENTIFIER, core.speak(now));
            return Err(Close::IdMissing);
        }
        if connect.will.as_ref().is_some_and(|will| !topics::is_name(&will.topic)) {
            return Err(Close::TopicInvalid);
        }
        let client_id = if assigned { self.assigned_id.clone() } else { connect.client_id.clone() };
        core.state = State::Admitting { until };
        core.news.push_back(Action::Admit(Box::new(Claim {
            client_id,
            username: connect.username.take(),
            password: connect.password.take(),
            version: connect.version,
        })));
        self.connect = Some(connect);
        Ok(())
    }

    /// The owner lets the client in.
    pub(super) fn admit(&mut self, core: &mut Core, admission: Admission, now: Instant) -> Result<(), Close> {
        let Some(connect) = self.connect.take() else { return Err(Close::Unexpected("admission")) };
        let mut grant = admission.grant;
        if let Some(will) = &connect.will
            && !grant.may_publish(&will.topic)
        {
            wire::conn_ack_refused(
                connect.version,
                conn_ack_code(Denied::NotAuthorized, connect.version),
                core.speak(now),
            );
            return Err(Close::NotAllowed(String::from_utf8_lossy(&will.topic).into_owned()));
        }
        let asked_s = match connect.version {
            MqttVersion::V311 => {
                if connect.clean {
                    0
                } else {
                    u32::MAX
                }
            }
            MqttVersion::V5 => connect.session_expiry_s.unwrap_or(0),
        };
        let expiry_s = asked_s.min(u32::try_from(self.limits.session_expiry_max.as_secs()).unwrap_or(u32::MAX));
        let was_there = admission.kept.is_some();
        let before = admission.kept.filter(|_| !connect.clean);
        let session_present = before.is_some();
        core.kept = before.clone().unwrap_or_default();
        core.kept.expiry_s = expiry_s;
        core.keeps = expiry_s > 0;
        let changed = before.as_ref() != Some(&core.kept);
        match (core.keeps, was_there) {
            (true, _) if changed => core.kept_changed(),
            (false, true) => core.batch.set_state(None),
            (true | false, _) => {}
        }
        core.grant = Some(grant);
        core.receive_max = match connect.version {
            MqttVersion::V311 => usize::from(u16::MAX),
            MqttVersion::V5 => self.limits.receive_max.into(),
        };
        core.aliases = Aliases::new(if connect.version == MqttVersion::V5 { TOPIC_ALIAS_MAX } else { 0 });
        core.rate = Rate::new(self.limits.messages_per_second_max, self.limits.bytes_per_second_max, now);
        let accepted = Accepted {
            session_present,
            session_expiry_s: (expiry_s != asked_s).then_some(expiry_s),
            assigned_id: connect.client_id.is_empty().then(|| self.assigned_id.clone()),
            packet_max_bytes: core.packet_max_bytes,
            receive_max: self.limits.receive_max,
            topic_alias_max: TOPIC_ALIAS_MAX,
        };
        wire::conn_ack_accepted(connect.version, accepted, core.batch.preface())?;
        // The version's own factor of 1.5 is the client's grace.
        self.silence_max =
            (connect.keep_alive > 0).then(|| Duration::from_millis(1_500 * u64::from(connect.keep_alive)));
        self.peer_packet_max_bytes = connect.packet_max_bytes.map_or(usize::MAX, |max| max as usize);
        let client_id = if connect.client_id.is_empty() { self.assigned_id.clone() } else { connect.client_id };
        self.will = connect.will;
        let opened = Opened { version: connect.version, client_id, session_present };
        core.opens_with = Some(opened);
        Ok(())
    }

    /// What was promised is durable, and CONNACK is on its way out.
    pub(super) fn open(&mut self, core: &mut Core, opened: Opened, now: Instant) {
        self.open = true;
        core.state = State::Open;
        core.heard_at = now;
        core.sent_at = now;
        core.news.push_back(Action::Opened(opened));
    }

    fn on_subscribe(&mut self, core: &mut Core, packet_id: u16, filters: &[String]) {
        let mut codes = Vec::with_capacity(filters.len());
        let mut added = false;
        for filter in filters {
            let code = self.judge(core, filter);
            if code == GRANTED_QOS_0 && !core.kept.filters.contains(filter) {
                core.kept.filters.push(filter.clone());
                added = true;
            }
            codes.push(code);
        }
        if added {
            core.kept_changed();
        }
        wire::sub_ack(core.version, packet_id, &codes, core.batch.preface());
        if codes.contains(&GRANTED_QOS_0) {
            core.news.push_back(Action::Listens);
        }
    }

    fn judge(&self, core: &Core, filter: &str) -> u8 {
        if filter.starts_with("$share/") {
            return NO_SHARED;
        }
        if !topics::is_filter(filter) {
            return FILTER_INVALID;
        }
        let is_ours = filter.split('/').next().is_some_and(|root| ROOTS.contains(&root));
        if !is_ours || !core.grant.as_ref().is_some_and(|grant| grant.may_read(filter)) {
            return NOT_AUTHORIZED;
        }
        if core.kept.filters.len() >= FILTERS_MAX && !core.kept.filters.iter().any(|f| f == filter) {
            return QUOTA_EXCEEDED;
        }
        GRANTED_QOS_0
    }

    fn on_unsubscribe(&mut self, core: &mut Core, packet_id: u16, filters: &[String]) {
        let mut codes = Vec::with_capacity(filters.len());
        for filter in filters {
            let before = core.kept.filters.len();
            core.kept.filters.retain(|f| f != filter);
            codes.push(if core.kept.filters.len() < before { 0 } else { NOT_SUBSCRIBED });
        }
        core.kept_changed();
        wire::unsub_ack(core.version, packet_id, &codes, core.batch.preface());
    }

    /// A result of the gateway, with QoS 0. `false`: the client takes none of it now, or never one so long.
    pub(super) fn tell(&self, core: &mut Core, topic: &str, payload: &[u8], retained: bool, now: Instant) -> bool {
        if core.state != State::Open
            || !core.kept.filters.iter().any(|filter| topics::allows(filter.as_bytes(), topic.as_bytes()))
        {
            return true;
        }
        // Acknowledgements come first: results get half of the room.
        let bytes = topic.len() + payload.len() + 16;
        if core.out.len() + bytes > OUTPUT_MAX_BYTES / 2 || bytes > self.peer_packet_max_bytes {
            return false;
        }
        wire::publish(core.version, topic, payload, retained, None, core.speak(now)).is_ok()
    }

    /// The client's goodbye.
    pub(super) fn on_disconnect(&mut self, core: &mut Core, reason: u8, session_expiry_s: Option<u32>) -> Close {
        if reason != WITH_WILL {
            self.will = None;
        }
        if let Some(asked_s) = session_expiry_s.filter(|_| core.keeps) {
            let max_s = u32::try_from(self.limits.session_expiry_max.as_secs()).unwrap_or(u32::MAX);
            core.kept.expiry_s = asked_s.min(max_s);
            core.kept_changed();
            if core.kept.expiry_s == 0 {
                core.batch.set_state(None);
                core.keeps = false;
            }
        }
        Close::PeerDisconnected(reason)
    }

    /// The connection is at its end: the will that is due, and how long after; a session that is not kept has none to wait
    /// for.
    pub(super) fn take_will(&mut self, core: &Core, why: &Close, received: Stamp) -> Option<(Record, Duration)> {
        let will = self.will.take().filter(|_| *why != Close::Stopping)?;
        let record = Record {
            door: Door::Listen,
            flags: Flags { qos: will.qos, retained: will.retained, redelivered: false },
            received,
            topic: will.topic,
            payload: will.payload,
            content_type: will.content_type,
            table: bytes::Bytes::new(),
        };
        let delay_s = if core.keeps { will.delay_s } else { 0 };
        Some((record, Duration::from_secs(delay_s.into())))
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
