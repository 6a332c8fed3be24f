//! One MQTT connection as a pure machine: bytes and receipts in, records and bytes out.
//!
//! # Invariants
//! - A PUBACK is written only in [`Session::on_receipt`], in the order in which the PUBLISHes came, whatever the order of
//!   the receipts.
//! - A session belongs to one connection: a ticket of another one settles nothing.
//! - What waits for the queue is bounded by [`IN_FLIGHT_MAX_BYTES`], what waits for the peer by [`OUTPUT_MAX_BYTES`]; at
//!   either bound reading stops, pings go on, and the peer's silence is not held against it.
//! - After the first reason to close nothing more is read; what was read is still stored and acknowledged.
//!
//! # Flow
//! ```text
//! on_bytes ─▶ poll: Admit ─▶ (who may come in) admit ─▶ output: CONNACK
//!          ─▶ poll: Append ─▶ (queue) on_appended ─▶ on_receipt ─▶ output: PUBACKs, PUBRECs
//! on_tick  ─▶ output: PINGREQ, or a reason to close
//! ```
//! The caller takes all actions of `poll` after each call, writes `output` when it can, and reads the socket only while
//! `takes_bytes`.
//!
//! # Not here
//! Sockets, tasks, the clock. The roles' own rules: `dialer`, `listener`.

mod close;
mod core;
mod dialer;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod in_flight;
mod kept;
mod listener;
mod rate;
mod reading;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use super::access::{Denied, Grant};
use super::wire;
use super::{ListenConfig, MqttConfig, MqttVersion};
use crate::clock::Stamp;
use crate::queue::{Door, Record};
use crate::secret::Secret;

pub(super) use close::{Close, Kind};
pub(super) use dialer::Subscribe;
pub(super) use in_flight::{Epoch, Settled, StateChange, Ticket};
pub(super) use kept::Kept;

use core::Core;
use dialer::Dialer;
use listener::Listener;

/// Records read and not yet durable, per connection. Enough for some 4 000 messages of 100 bytes: at a commit each 10 ms
/// that is 400 000 a second.
pub(super) const IN_FLIGHT_MAX_BYTES: usize = 1 << 20;
/// Bytes that the peer has not taken yet: 16 000 PUBACKs.
const OUTPUT_MAX_BYTES: usize = 64 * 1024;
/// Records of one transaction: what the queue commits as one group.
const BATCH_RECORDS_MAX: usize = 1024;
/// A dialer waits this long for CONNACK.
const CONN_ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that takes none of our bytes for this long is gone.
const OUTPUT_STALL_MAX: Duration = Duration::from_secs(30);
/// Closing waits this long for the receipts of what was read.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// v5: topics that a client may give numbers.
const TOPIC_ALIAS_MAX: u16 = 16;

/// What the caller has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Find out whether the client may come in; then `admit` or `turn_away`.
    Admit(Box<Claim>),
    /// Hand the records and the change of the kept session to the queue, in one transaction; then `on_appended`, and
    /// `on_receipt` with the ticket once they are durable.
    Append {
        ticket: Ticket,
        records: Vec<Record>,
        state: Option<StateChange>,
    },
    Opened(Opened),
    /// The broker answered our SUBSCRIBE; the filters it did not take as asked, with its code.
    Subscribed {
        refused: Vec<(String, u8)>,
    },
    /// The client has subscribed to results.
    Listens,
    /// A message was not taken.
    Refused(Refused),
    /// Write what is left of `output`, then close the socket.
    Closed(Close),
}

/// Who a client says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) client_id: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) version: MqttVersion,
}

/// With what a client is let in.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) grant: Grant,
    /// What is kept under its id.
    pub(super) kept: Option<Kept>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NotAllowed { topic: String },
    TooLarge { topic: String, bytes: usize, max: usize },
}

/// The peer and we have agreed to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) version: MqttVersion,
    pub(super) client_id: String,
    /// The broker has kept our session, or we the client's.
    pub(super) session_present: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// The rest of the buffer is less than a packet.
    NeedsBytes,
    /// Whole packets are left: call again once the batch is handed over, or when `takes_bytes` says so again.
    HasRest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// CONNECT or CONNACK is due.
    Opening { until: Instant },
    /// The client waits for our CONNACK.
    Admitting { until: Instant },
    /// Packets flow.
    Open,
    /// Nothing more is read; the receipts of what was read are awaited.
    Draining { why: Close, until: Instant },
    /// All said; `reported` once the caller knows.
    Closed { why: Close, reported: bool },
}

enum Role {
    Dialer(Box<Dialer>),
    Listener(Box<Listener>),
}

pub(super) struct Session {
    role: Role,
    core: Core,
    /// Said after the end of the connection, unless the client is back before.
    late_will: Option<(Record, Duration)>,
    /// The latest that was observed: a will is received when its client is gone.
    stamp: Stamp,
}

impl Session {
    /// Our side of a connection to a broker; CONNECT is in `output`. `kept` is what an earlier one has left.
    ///
    /// # Errors
    /// The configuration does not fit in a CONNECT.
    pub(super) fn dial(
        config: &MqttConfig,
        subscribe: Subscribe,
        kept: Kept,
        epoch: Epoch,
        now: Instant,
    ) -> Result<Self, wire::Error> {
        let packet_max_bytes = config.packet_max_bytes.min(Record::PAYLOAD_MAX);
        let mut core = Core::new(Door::Mqtt, config.version, packet_max_bytes, epoch, now + CONN_ACK_TIMEOUT, now);
        (core.kept, core.keeps) = (kept, true);
        wire::connect(config, &mut core.out)?;
        Ok(Self::new(Role::Dialer(Box::new(Dialer::new(config.clone(), subscribe))), core))
    }

    /// Our side of a connection that a sensor made. `assigned_id` is for a client without an id of its own.
    pub(super) fn accept(limits: &ListenConfig, assigned_id: String, epoch: Epoch, now: Instant) -> Self {
        let packet_max_bytes = limits.packet_max_bytes.min(Record::PAYLOAD_MAX);
        let until = now + limits.connect_timeout;
        let core = Core::new(Door::Listen, MqttVersion::V311, packet_max_bytes, epoch, until, now);
        Self::new(Role::Listener(Box::new(Listener::new(limits.clone(), assigned_id))), core)
    }

    fn new(role: Role, core: Core) -> Self {
        Self { role, core, late_will: None, stamp: Stamp::default() }
    }

    /// Lets a client in; CONNACK leaves once what it promises is durable.
    pub(super) fn admit(&mut self, admission: Admission, now: Instant) {
        let (Role::Listener(listener), State::Admitting { .. }) = (&mut self.role, &self.core.state) else { return };
        if let Err(why) = listener.admit(&mut self.core, admission, now) {
            self.close(why, now);
        }
    }

    /// Does not let a client in, and says so.
    pub(super) fn turn_away(&mut self, why: Denied, now: Instant) {
        if let State::Admitting { .. } = self.core.state {
            let (version, code) = (self.core.version, close::conn_ack_code(why, self.core.version));
            wire::conn_ack_refused(version, code, self.core.speak(now));
            self.close(Close::TurnedAway(why), now);
        }
    }

    /// A message of the gateway: for the broker, or for a client that has subscribed to it. `false`: it could not be given to the client now.
    pub(super) fn tell(&mut self, topic: &str, payload: &[u8], retained: bool, now: Instant) -> bool {
        match &self.role {
            Role::Dialer(dialer) => dialer.tell(&mut self.core, topic, payload, now),
            Role::Listener(listener) => listener.tell(&mut self.core, topic, payload, retained, now),
        }
    }

    /// What the connection leaves behind; `None`: nothing is kept.
    pub(super) fn into_kept(self) -> Option<Kept> {
        self.core.keeps.then_some(self.core.kept)
    }

    /// The will that is due later than the end of the connection, with its delay; after `Closed`.
    pub(super) fn take_late_will(&mut self) -> Option<(Record, Duration)> {
        self.late_will.take()
    }

    /// Whether the socket should be read and `on_bytes` be called.
    pub(super) fn takes_bytes(&self) -> bool {
        self.core.takes_bytes()
    }

    pub(super) fn in_flight_bytes(&self) -> usize {
        self.core.in_flight_bytes()
    }

    /// PUBLISHes read over this connection.
    pub(super) fn messages(&self) -> u64 {
        self.core.messages
    }

    /// Other connections need room too, or no longer do: at most [`IN_FLIGHT_MAX_BYTES`].
    pub(super) fn limit_in_flight(&mut self, max_bytes: usize, now: Instant) {
        self.core.resuming(now, |core| core.in_flight_max_bytes = max_bytes.min(IN_FLIGHT_MAX_BYTES));
    }

    /// The time by the gateway's clock, before a call that may end the connection.
    pub(super) fn observe(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    /// What the caller has to do next; call until `None`.
    pub(super) fn poll(&mut self) -> Option<Action> {
        if let Some(news) = self.core.news.pop_front() {
            return Some(news);
        }
        if !self.core.appending && !self.core.batch.is_empty() {
            let batch = std::mem::take(&mut self.core.batch);
            let needs_queue = batch.needs_queue();
            let (ticket, records, state) = self.core.in_flight.begin(batch);
            if needs_queue {
                self.core.appending = true;
                return Some(Action::Append { ticket, records, state });
            }
            // It has only answers in it, which are due as soon as those before them are.
            let now = self.core.heard_at;
            self.on_receipt(ticket, now);
            return self.poll();
        }
        match &mut self.core.state {
            State::Closed { why, reported } if !*reported => {
                *reported = true;
                Some(Action::Closed(why.clone()))
            }
            State::Opening { .. }
            | State::Admitting { .. }
            | State::Open
            | State::Draining { .. }
            | State::Closed { .. } => None,
        }
    }

    /// The queue has taken the last batch.
    pub(super) fn on_appended(&mut self, now: Instant) {
        self.core.resuming(now, |core| core.appending = false);
    }

    /// A batch is durable: its PUBACKs are due once all before it are.
    pub(super) fn on_receipt(&mut self, ticket: Ticket, now: Instant) -> Settled {
        let settled = self.core.resuming(now, |core| {
            let before = core.out.len();
            let settled = core.in_flight.settle(ticket, core.version, &mut core.out);
            // A PUBREL of an earlier connection's message ends none of this one.
            core.under_way = core.under_way.saturating_sub(settled.ended);
            if core.out.len() > before {
                core.sent_at = now;
            }
            settled
        });
        if let (Role::Listener(listener), true, State::Admitting { .. }) =
            (&mut self.role, self.core.in_flight.is_empty(), &self.core.state)
            && let Some(opened) = self.core.opens_with.take()
        {
            listener.open(&mut self.core, opened, now);
        }
        self.finish_if_drained(now);
        settled
    }

    /// The peer has taken `bytes` of `output`.
    pub(super) fn on_written(&mut self, bytes: usize, now: Instant) {
        self.core.resuming(now, |core| {
            core.out.advance(bytes);
            core.out_moved_at = now;
            if core.out.is_empty() {
                // Gives the memory back; an idle connection holds no buffers.
                core.out = BytesMut::new();
            }
        });
    }

    /// Bytes for the peer.
    pub(super) fn output(&self) -> &[u8] {
        &self.core.out
    }

    /// Time has passed: pings, time-outs.
    pub(super) fn on_tick(&mut self, now: Instant) {
        self.core.resume_if_due(now);
        let overdue = match &self.core.state {
            State::Opening { until } | State::Admitting { until } if now >= *until => Some(Close::NotOpened),
            State::Draining { until, .. } if now >= *until => return self.finish(now),
            State::Opening { .. } | State::Admitting { .. } | State::Draining { .. } => None,
            State::Closed { .. } => return,
            State::Open => match &mut self.role {
                Role::Dialer(dialer) => dialer.on_tick(&mut self.core, now),
                Role::Listener(listener) => listener.on_tick(&self.core, now),
            },
        };
        let stalled = self.core.stall_at().is_some_and(|at| now >= at).then_some(Close::Stalled);
        if let Some(why) = overdue.or(stalled) {
            self.close(why, now);
        }
    }

    /// When `on_tick` is due at the latest, as things stand.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let due = match &self.core.state {
            State::Opening { until } | State::Admitting { until } | State::Draining { until, .. } => Some(*until),
            State::Open => match &self.role {
                Role::Dialer(dialer) => dialer.next_tick(&self.core),
                Role::Listener(listener) => listener.next_tick(&self.core),
            },
            State::Closed { .. } => None,
        };
        [due, self.core.stall_at(), self.core.slowed_until].into_iter().flatten().min()
    }

    /// Reads no more; once the receipts of what was read are in, says goodbye.
    pub(super) fn close(&mut self, why: Close, now: Instant) {
        if !self.core.is_reading() {
            return;
        }
        if let Role::Listener(listener) = &mut self.role
            && listener.is_open()
        {
            match listener.take_will(&self.core, &why, self.stamp) {
                Some((record, Duration::ZERO)) => self.core.batch.push(record),
                late => self.late_will = late,
            }
        }
        self.core.state = State::Draining { why, until: now + DRAIN_MAX };
        self.finish_if_drained(now);
    }

    fn finish_if_drained(&mut self, now: Instant) {
        let drained = self.core.batch.is_empty() && self.core.in_flight.is_empty();
        if drained && matches!(self.core.state, State::Draining { .. }) {
            self.finish(now);
        }
    }

    fn finish(&mut self, now: Instant) {
        let State::Draining { why, .. } = &self.core.state else { return };
        let why = why.clone();
        let code = match &self.role {
            Role::Dialer(_) => why.client_code(),
            // 3.1.1 gives a server no word for it.
            Role::Listener(listener) if listener.is_open() && self.core.version == MqttVersion::V5 => why.server_code(),
            Role::Listener(_) => None,
        };
        if let (Role::Dialer(dialer), Close::Stopping) = (&self.role, &why) {
            dialer.say_goodbye(&mut self.core, now);
        }
        if let Some(code) = code {
            wire::disconnect(self.core.version, code, self.core.speak(now));
        }
        self.core.state = State::Closed { why, reported: false };
    }
}
