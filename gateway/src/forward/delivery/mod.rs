//! The rules of delivery, without network, disk or clock: what to read, what to encode, what to send, and what an answer
//! means.
//!
//! # Invariants
//! - Each record of a log is settled exactly once: delivered, filtered, quarantined or, if the queue no longer has it,
//!   missing. The books are told of it after the sink confirmed it, or after it is kept aside.
//! - Per device and lane records leave in the order of the log: of a lane's shard one batch at a time is with the sink.
//! - At most `inflight` batches are with the sink, and one waits ready in each lane. Records are read ahead for four
//!   batches a segment that is worked on.
//!
//! # Flow
//! ```text
//! log ─▶ Track: Segments (backlog … live) ─pick─▶ Batch ─▶ Encode ─▶ Send ─▶ answer ─▶ settled ─▶ Tell the books
//!          Lag: late? split         fair: devices      Pacing: how large      Share: live or backlog
//!                                                      Rate, Link: when
//! ```
//! The task asks [`Delivery::poll`] what to do, does it, and reports with one of the `on_…` methods; then it asks again.
//!
//! # Not here
//! The bytes of a batch: the task holds those of each.

mod batch;
mod drain;
mod fair;
mod lag;
mod link;
mod pacing;
mod rate;
mod segment;
mod share;
mod track;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{DeliveryConfig, Order, SinkError};
use crate::queue::{Block, Log, QueueSeq, Record};

use batch::{Batch, State};
use drain::Drain;
use link::{Link, MISCONFIGURED_PAUSE};
use pacing::{Attempt, Limit, Pacing, RECORDS_MIN};
use rate::Rate;
use segment::Fate;
use share::Share;
use track::{Supply, Track};

pub(super) use segment::Item;
pub(super) use track::Place;

/// Raw records wait this long for company before they are sent: at 100 batches a second the requests would cost more
/// than the records. A backlog does not wait, nor do derived records.
const LINGER: Duration = Duration::from_millis(100);
/// Raw records that wait longer than this are backlog: what comes after them goes out first.
const LIVE_LAG: Duration = Duration::from_secs(2);
/// After this many derived batches in a row one raw batch has its turn.
const DERIVED_IN_A_ROW_MAX: u32 = 8;
/// Pause after the gateway's own disk failed, for the queue or the quarantine.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// One value for each log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PerLog<T> {
    pub(super) raw: T,
    pub(super) derived: T,
}

impl<T> PerLog<T> {
    pub(super) fn from_fn(mut f: impl FnMut(Log) -> T) -> Self {
        Self { raw: f(Log::Raw), derived: f(Log::Derived) }
    }

    pub(super) fn of(&self, log: Log) -> &T {
        match log {
            Log::Raw => &self.raw,
            Log::Derived => &self.derived,
        }
    }

    pub(super) fn of_mut(&mut self, log: Log) -> &mut T {
        match log {
            Log::Raw => &mut self.raw,
            Log::Derived => &mut self.derived,
        }
    }
}

/// What is sent in an order of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// The derived log.
    Derived,
    /// Raw records, the newest segment of the log.
    Live,
    /// Raw records that an outage or a lag left behind.
    Backlog,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Derived, Self::Live, Self::Backlog];

    fn log(self) -> Log {
        match self {
            Self::Derived => Log::Derived,
            Self::Live | Self::Backlog => Log::Raw,
        }
    }

    fn other(self) -> Option<Self> {
        match self {
            Self::Derived => None,
            Self::Live => Some(Self::Backlog),
            Self::Backlog => Some(Self::Live),
        }
    }
}

/// A batch, until it is done; then another one may have the number.
pub(super) type BatchId = usize;

/// What became of a record that was to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoded {
    /// It is in the bytes for the sink.
    In,
    /// It could not be encoded, and is kept aside.
    Aside,
}

/// What the task is to do next.
#[derive(Debug)]
pub(super) enum Action {
    /// Read the block that holds this record, or the first after it; report `on_read` or `on_read_failed`.
    Read { log: Log, from: QueueSeq },
    /// Encode these records, or fewer, but at least one, up to so many bytes; report `on_encoded`.
    Encode { batch: BatchId, log: Log, items: Arc<[Item]>, bytes_max: usize },
    /// Send what was encoded for the batch last; report `on_outcome`.
    Send { batch: BatchId },
    /// Keep this record aside, which the sink refuses for that reason; report `on_quarantined`.
    Quarantine { batch: BatchId, log: Log, item: Item, detail: String },
    /// Make the quarantine durable, then tell the books; report `on_told` or `on_disk_failed`.
    Tell { log: Log, place: Place },
    /// Nothing to do before this time, an outcome or a commit.
    Wait { until: Option<Instant> },
    /// The stop is complete; batches still under way are abandoned and come again after the next start.
    Finish,
}

/// What an outcome means, for the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Confirmed,
    Again {
        pause: Duration,
        failures: u32,
    },
    /// As `Again`, but only a person can help.
    Misconfigured {
        pause: Duration,
    },
    /// Sent again in two halves.
    Split,
    /// A single record that goes to the quarantine.
    Refused,
}

/// How far behind a sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Records that are not settled, of both logs.
    pub(super) waiting: u64,
    /// Until none is, as far as that can be told.
    pub(super) remaining: Duration,
    /// Whether raw records go out in two lanes.
    pub(super) has_backlog: bool,
}

#[derive(Debug)]
enum Phase {
    Running,
    /// Nothing new starts; batches under way may be answered up to `until`.
    Draining {
        until: Instant,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Delivery {
    order: Order,
    inflight: usize,
    timeout: Duration,
    phase: Phase,
    tracks: PerLog<Track>,
    /// Whether it was looked at how much waits at the start.
    has_begun: bool,
    batches: Vec<Option<Batch>>,
    batches_made: u64,
    derived_in_a_row: u32,
    link: Link,
    pacing: Pacing,
    rate: Rate,
    share: Share,
    /// What the last attempt of each raw lane took.
    took: [Duration; 2],
    drain: Drain,
    /// The quarantine could not be written: nothing moves on before.
    disk_held_until: Option<Instant>,
}

impl Delivery {
    pub(super) fn new(config: &DeliveryConfig, places: PerLog<Place>, seed: u64) -> Self {
        let inflight = config.inflight.max(1);
        let shards = |log| match log {
            Log::Raw => inflight,
            // Few, small, and of no topic.
            Log::Derived => 1,
        };
        let PerLog { raw, derived } = places;
        let max = Limit { records: config.batch_records_max.max(1), bytes: config.batch_max_bytes.max(1) };
        Self {
            order: config.order,
            inflight,
            timeout: config.timeout,
            phase: Phase::Running,
            tracks: PerLog {
                raw: Track::new(raw, shards(Log::Raw)),
                derived: Track::new(derived, shards(Log::Derived)),
            },
            has_begun: false,
            // Those with the sink or waiting for another attempt, and one ready for each lane.
            batches: (0..inflight * Lane::ALL.len() + Lane::ALL.len()).map(|_| None).collect(),
            batches_made: 0,
            derived_in_a_row: 0,
            link: Link::new(config.retry_max, seed),
            pacing: Pacing::new(max),
            rate: Rate::new(config.rate_max),
            share: Share::new(f64::from(config.backlog_share_percent) / 100.0),
            took: [Duration::ZERO; 2],
            drain: Drain::default(),
            disk_held_until: None,
        }
    }

    /// What to do now. `ends` is where the logs end now.
    pub(super) fn poll(&mut self, now: Instant, ends: PerLog<QueueSeq>) -> Action {
        for log in Log::ALL {
            self.tracks.of_mut(log).observe(*ends.of(log), now);
        }
        self.disk_held_until = self.disk_held_until.filter(|until| *until > now);
        if let Phase::Draining { until } = self.phase {
            return self.poll_draining(now, until);
        }
        self.part_lanes(now);
        let action = if self.disk_held_until.is_some() { None } else { self.next_action(now) };
        action.unwrap_or_else(|| Action::Wait { until: self.wake_at(now) })
    }

    fn next_action(&mut self, now: Instant) -> Option<Action> {
        let books = self.keep_books();
        let live = books.or_else(|| if self.is_turn_of_live(now) { self.supply(Lane::Live) } else { None });
        live.or_else(|| self.send(now)).or_else(|| self.encode()).or_else(|| {
            let lanes = Lane::ALL.into_iter().filter(|lane| self.may_be_supplied(*lane, now)).collect::<Vec<_>>();
            lanes.into_iter().find_map(|lane| self.supply(lane))
        })
    }

    /// With the order "live first": what waits and is late becomes backlog.
    fn part_lanes(&mut self, now: Instant) {
        let raw = &self.tracks.raw;
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let from = match (self.order, raw.first_waiting()) {
            (Order::Strict, _) | (_, None) => None,
            (Order::LiveFirst, Some(_)) if is_first => {
                (raw.waiting(Lane::Live) > self.pacing.max().records as u64).then_some(raw.end())
            }
            // Some that are not late stay: a quiet device's may be among them, whose turn has not come yet.
            (Order::LiveFirst, Some(first)) => raw.lag.is_late(first).then(|| raw.lag.older_than(LIVE_LAG / 2, now)),
        };
        let Some(from) = from.filter(|_| raw.may_split()) else { return };
        self.give_back_live(|_| true, now);
        if !self.tracks.raw.is_split() {
            self.pacing.on_split();
        }
        self.tracks.raw.split(from);
    }

    /// Live batches that are not with the sink wait like the rest.
    fn give_back_live(&mut self, is_meant: impl Fn(&Batch) -> bool, now: Instant) {
        for batch in &mut self.batches {
            let is_unsent = |b: &Batch| b.lane == Lane::Live && matches!(b.state, State::Picked | State::Ready);
            if let Some(unsent) = batch.take_if(|b| is_unsent(b) && is_meant(b)) {
                self.tracks.raw.give_back(&unsent.items().cloned().collect::<Vec<_>>(), now);
            }
        }
    }

    /// Puts aside what was refused, and tells the books of what is settled.
    fn keep_books(&self) -> Option<Action> {
        for (id, batch) in self.batches() {
            if let (State::Refused(detail), [item]) = (&batch.state, &*batch.piece()) {
                return Some(Action::Quarantine {
                    batch: id,
                    log: batch.log,
                    item: item.clone(),
                    detail: detail.clone(),
                });
            }
        }
        Log::ALL.into_iter().find_map(|log| Some(Action::Tell { log, place: self.tracks.of(log).to_tell()? }))
    }

    fn batches(&self) -> impl Iterator<Item = (BatchId, &Batch)> {
        self.batches.iter().enumerate().filter_map(|(id, batch)| Some((id, batch.as_ref()?)))
    }

    /// Begins an attempt, if one is due and the link is free.
    fn send(&mut self, now: Instant) -> Option<Action> {
        if !self.may_send(now) {
            return None;
        }
        let id = if self.link.is_up() { self.next_to_send(now) } else { self.next_to_probe(now) }?;
        let wire_bytes = self.batches[id].as_ref()?.wire_bytes;
        let lane = self.batches[id].as_ref()?.lane;
        let other_waits = lane.other().is_some_and(|other| self.has_work(other));
        let expected = self.took[usize::from(lane == Lane::Backlog)];
        self.share.begin(lane, expected, other_waits);
        self.derived_in_a_row = if lane == Lane::Derived { self.derived_in_a_row + 1 } else { 0 };
        self.rate.on_sent(wire_bytes, now);
        self.link.on_sent(id);
        let batch = self.batches[id].as_mut()?;
        batch.state = State::Inflight { since: now };
        batch.tried_at = Some(now);
        batch.expected = expected;
        Some(Action::Send { batch: id })
    }

    fn may_send(&self, now: Instant) -> bool {
        let under_way = self.batches().filter(|(_, batch)| batch.is_inflight()).count();
        under_way < self.inflight && self.link.is_free(now) && self.rate.free_at(now).is_none()
    }

    fn has_work(&self, lane: Lane) -> bool {
        let has_batch = self.batches().any(|(_, batch)| batch.lane == lane && !batch.is_inflight());
        has_batch || self.tracks.of(lane.log()).waiting(lane) > 0
    }

    /// Batches that may be sent: of each lane's shard the first.
    fn sendable(&self, now: Instant) -> impl Iterator<Item = (BatchId, &Batch)> {
        let is_first = |batch: &Batch| {
            let of_shard = self.batches().filter(|(_, b)| (b.lane, b.shard) == (batch.lane, batch.shard));
            of_shard.map(|(_, b)| b.number).min() == Some(batch.number)
        };
        self.batches().filter(move |(_, batch)| {
            batch.state == State::Ready && batch.not_before.is_none_or(|at| at <= now) && is_first(batch)
        })
    }

    fn next_to_send(&self, now: Instant) -> Option<BatchId> {
        let first = |lane: Lane| {
            let of_lane = self.sendable(now).filter(move |(_, batch)| batch.lane == lane);
            of_lane.min_by_key(|(_, batch)| batch.number).map(|(id, _)| id)
        };
        let raw = match (first(Lane::Live), first(Lane::Backlog)) {
            (Some(live), Some(backlog)) => Some(if self.share.next() == Lane::Backlog { backlog } else { live }),
            (live, backlog) => live.or(backlog),
        };
        match (first(Lane::Derived), raw) {
            (Some(_), Some(raw)) if self.derived_in_a_row >= DERIVED_IN_A_ROW_MAX => Some(raw),
            (derived, raw) => derived.or(raw),
        }
    }

    /// In turn: it may be one batch that the sink cannot stand.
    fn next_to_probe(&self, now: Instant) -> Option<BatchId> {
        self.sendable(now).min_by_key(|(_, batch)| (batch.tried_at, batch.lane, batch.number)).map(|(id, _)| id)
    }

    fn encode(&self) -> Option<Action> {
        let picked = self.batches().filter(|(_, batch)| batch.state == State::Picked);
        let (id, batch) = picked.min_by_key(|(_, batch)| (batch.lane, batch.number))?;
        // A piece that was cut is no larger for a limit that has grown since, and may be for one that has shrunk.
        let (log, items, bytes_max) = (batch.log, batch.piece(), self.pacing.limit().bytes);
        Some(Action::Encode { batch: id, log, items, bytes_max })
    }

    /// Reads, or picks a batch, for a lane that has none ready.
    fn supply(&mut self, lane: Lane) -> Option<Action> {
        let (log, is_fair) = (lane.log(), lane == Lane::Live && self.order == Order::LiveFirst);
        let is_free = |shard: usize| self.is_free(lane, shard);
        match self.tracks.of(log).supply(lane, &self.pacing, is_fair, is_free) {
            Supply::Read { from } => Some(Action::Read { log, from }),
            Supply::Pick { shard } => {
                let id = self.batches.iter().position(Option::is_none)?;
                let limit = self.pacing.limit();
                let items = self.tracks.of_mut(log).pick(lane, shard, limit, is_fair);
                let mut batch = Batch::new(self.batches_made, log, lane, shard, items);
                batch.is_full = batch.records() >= limit.records;
                self.batches_made += 1;
                self.batches[id] = Some(batch);
                self.encode()
            }
            Supply::Nothing => None,
        }
    }

    /// A lane has one batch ready at most, and waits for company if it is live.
    fn may_be_supplied(&self, lane: Lane, now: Instant) -> bool {
        match lane {
            Lane::Derived | Lane::Backlog => !self.has_ready(lane),
            Lane::Live if !self.tracks.raw.is_split() => self.is_live_due(now),
            // Beside a backlog they are picked when it is their turn; then the newest are among them.
            Lane::Live => self.order == Order::LiveFirst && !self.link.is_up() && self.is_live_due(now),
        }
    }

    fn is_live_due(&self, now: Instant) -> bool {
        let is_full = self.tracks.raw.waiting(Lane::Live) >= self.pacing.limit().records as u64;
        !self.has_ready(Lane::Live) && (is_full || self.linger_until().is_some_and(|until| until <= now))
    }

    /// Whether live records that wait beside a backlog are the next to go.
    fn is_turn_of_live(&self, now: Instant) -> bool {
        let beside_a_backlog = self.order == Order::LiveFirst && self.tracks.raw.is_split() && self.link.is_up();
        beside_a_backlog
            && self.is_live_due(now)
            && self.may_send(now)
            && (self.share.next() == Lane::Live || !self.sendable(now).any(|(_, batch)| batch.lane == Lane::Backlog))
    }

    fn has_ready(&self, lane: Lane) -> bool {
        self.batches().any(|(_, batch)| batch.lane == lane && batch.is_fresh())
    }

    fn linger_until(&self) -> Option<Instant> {
        self.tracks.raw.waiting_since().map(|since| since + LINGER)
    }

    /// One batch of a lane's shard may be with the sink, and one wait behind it.
    fn is_free(&self, lane: Lane, shard: usize) -> bool {
        let of_shard = self.batches().filter(|(_, batch)| (batch.lane, batch.shard) == (lane, shard));
        of_shard.count() < 2 && !(lane == Lane::Backlog && self.may_come_back(shard))
    }

    /// Whether records that are backlog by now are still with the sink as live ones: if it does not take them, the
    /// backlog's later ones of these devices have to wait for them.
    fn may_come_back(&self, shard: usize) -> bool {
        let mut live = self.batches().filter(|(_, batch)| batch.lane == Lane::Live && batch.shard == shard);
        live.any(|(_, batch)| batch.items().next().is_some_and(|item| !self.tracks.raw.is_live(item.seq)))
    }

    fn poll_draining(&mut self, now: Instant, until: Instant) -> Action {
        let is_inflight = self.batches().any(|(_, batch)| batch.is_inflight());
        if self.disk_held_until.is_none()
            && let Some(action) = self.keep_books()
        {
            return action;
        }
        if is_inflight && now < until { Action::Wait { until: Some(until) } } else { Action::Finish }
    }

    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let batches = self.batches().filter_map(|(_, batch)| batch.not_before.filter(|_| !batch.is_inflight()));
        let first_live = self.tracks.raw.first_waiting().filter(|_| self.order == Order::LiveFirst);
        let others = [
            self.link.free_at(),
            self.rate.free_at(now),
            self.disk_held_until,
            self.tracks.raw.held_until(),
            self.tracks.derived.held_until(),
            self.linger_until().filter(|_| !self.has_ready(Lane::Live) && self.tracks.raw.held_until().is_none()),
            first_live.and_then(|first| self.tracks.raw.lag.late_at(first)),
        ];
        // What is due already waits for something else.
        batches.chain(others.into_iter().flatten()).filter(|at| *at > now).min()
    }

    /// What was found of the records asked for, if anything; `takes` tells which of them the sink is to get.
    pub(super) fn on_read(&mut self, log: Log, from: QueueSeq, found: Option<&Block>, takes: &dyn Fn(&Record) -> bool) {
        let max = self.pacing.max();
        self.tracks.of_mut(log).take_in(from, found, max, takes);
    }

    /// The queue could not be read.
    pub(super) fn on_read_failed(&mut self, log: Log, now: Instant) {
        self.tracks.of_mut(log).hold(now + DISK_PAUSE);
    }

    /// Something was committed, or the queue was mended.
    pub(super) fn on_changed(&mut self) {
        Log::ALL.into_iter().for_each(|log| self.tracks.of_mut(log).on_changed());
    }

    /// What became of the first records of the batch's piece, one by one; and how many bytes they take on the wire.
    ///
    /// # Panics
    /// For a batch that is not to be encoded, or without any record.
    pub(super) fn on_encoded(&mut self, id: BatchId, encoded: &[Encoded], wire_bytes: u64, now: Instant) {
        let batch = self.batches[id].as_mut().expect("what is encoded is a batch");
        let piece = batch.piece();
        assert!(!encoded.is_empty() && encoded.len() <= piece.len(), "{} of {} records", encoded.len(), piece.len());
        let (looked_at, rest) = piece.split_at(encoded.len());
        let with =
            |what: Encoded| looked_at.iter().zip(encoded).filter(move |(_, e)| **e == what).map(|(item, _)| item);
        let aside: Vec<_> = with(Encoded::Aside).map(|item| (item.seq, Fate::Quarantined)).collect();
        let log = batch.log;
        let is_whole = batch.is_fresh() && batch.records() == piece.len();
        batch.replace_piece(with(Encoded::In).cloned().collect());
        if !rest.is_empty() {
            if is_whole {
                self.tracks.of_mut(log).give_back(rest, now);
                let batch = self.batches[id].as_mut().expect("as before");
                batch.is_full = true;
            } else {
                batch.put_off(rest.to_vec());
            }
        }
        let batch = self.batches[id].as_mut().expect("as before");
        batch.wire_bytes = wire_bytes;
        batch.state =
            if batch.records() == 0 || !encoded.contains(&Encoded::In) { State::Picked } else { State::Ready };
        if batch.records() == 0 {
            self.batches[id] = None;
        }
        self.tracks.of_mut(log).settle(&aside);
    }

    /// What the sink said about a batch under way.
    ///
    /// # Panics
    /// For a batch that is not with the sink.
    pub(super) fn on_outcome(&mut self, id: BatchId, outcome: Result<(), SinkError>, now: Instant) -> Verdict {
        let is_shared = self.tracks.raw.is_split();
        let batch = self.batches[id].as_mut().expect("an outcome belongs to a batch");
        let State::Inflight { since } = batch.state else { unreachable!("an outcome belongs to a batch under way") };
        let time = (now - since).max(self.rate.time_of(batch.wire_bytes));
        self.share.end(batch.lane, batch.expected, time);
        batch.state = State::Ready;
        match outcome {
            Ok(()) => {
                self.link.on_answer();
                self.took[usize::from(batch.lane == Lane::Backlog)] = time;
                // Those that are under way together have the link together.
                let attempt = Attempt::Took { time: time * self.inflight as u32, was_full: batch.is_full };
                self.pacing.on_attempt(attempt, is_shared);
                self.confirm(id);
                Verdict::Confirmed
            }
            Err(SinkError::Retry { after, .. }) => {
                batch.failures = batch.failures.saturating_add(1);
                let failures = batch.failures;
                let pause = self.link.on_failure(id, failures, after, now);
                batch.not_before = Some(now + pause);
                if now - since >= self.timeout {
                    self.pacing.on_attempt(Attempt::TimedOut, is_shared);
                    if batch.piece().len() > RECORDS_MIN {
                        batch.split();
                    }
                }
                self.leave_what_is_backlog_now(id, now);
                Verdict::Again { pause, failures }
            }
            Err(SinkError::Misconfigured { .. }) => {
                self.link.on_misconfigured(now);
                batch.not_before = Some(now + MISCONFIGURED_PAUSE);
                self.leave_what_is_backlog_now(id, now);
                Verdict::Misconfigured { pause: MISCONFIGURED_PAUSE }
            }
            Err(SinkError::Reject { reason }) => {
                self.link.on_answer();
                batch.not_before = None;
                if batch.piece().len() == 1 {
                    batch.state = State::Refused(reason);
                    return Verdict::Refused;
                }
                batch.split();
                Verdict::Split
            }
        }
    }

    /// The piece that was with the sink is delivered.
    fn confirm(&mut self, id: BatchId) {
        let Some(batch) = &mut self.batches[id] else { return };
        let (log, piece) = (batch.log, batch.piece());
        (batch.failures, batch.not_before) = (0, None);
        if !batch.next_piece() {
            self.batches[id] = None;
        }
        self.settle(log, &piece, Fate::Delivered);
    }

    /// A live batch whose records have become backlog meanwhile waits with them: nothing is to hold up what is live. What
    /// is behind it goes back too, to keep the order.
    fn leave_what_is_backlog_now(&mut self, id: BatchId, now: Instant) {
        let Some(batch) = &self.batches[id] else { return };
        let is_stale = batch.items().next().is_some_and(|item| !self.tracks.raw.is_live(item.seq));
        if self.order == Order::LiveFirst && batch.lane == Lane::Live && is_stale {
            let shard = batch.shard;
            self.give_back_live(|b| b.shard == shard, now);
        }
    }

    /// The refused record is kept aside.
    ///
    /// # Panics
    /// If none was refused.
    pub(super) fn on_quarantined(&mut self, id: BatchId) {
        let batch = self.batches[id].as_mut().expect("a refused record is one of a batch");
        assert!(matches!(batch.state, State::Refused(_)), "only a refused record is put into quarantine");
        let (log, piece) = (batch.log, batch.piece());
        batch.failures = 0;
        if !batch.next_piece() {
            self.batches[id] = None;
        }
        self.settle(log, &piece, Fate::Quarantined);
    }

    fn settle(&mut self, log: Log, piece: &[Item], fate: Fate) {
        let settled: Vec<_> = piece.iter().map(|item| (item.seq, fate)).collect();
        self.tracks.of_mut(log).settle(&settled);
    }

    /// The books were told.
    pub(super) fn on_told(&mut self, log: Log, place: Place) {
        self.tracks.of_mut(log).on_told(place);
    }

    /// The quarantine could not be written: nothing moves on before it is.
    pub(super) fn on_disk_failed(&mut self, now: Instant) {
        self.disk_held_until = Some(now + DISK_PAUSE);
    }

    /// Start nothing new; batches under way may be answered within the grace.
    pub(super) fn on_stop(&mut self, now: Instant, grace: Duration) {
        self.phase = Phase::Draining { until: now + grace };
    }

    pub(super) fn progress(&mut self, now: Instant) -> Progress {
        let waiting = Log::ALL.map(|log| self.tracks.of(log).unsettled()).iter().sum();
        self.drain.observe(now, waiting);
        let remaining = self.drain.remaining(now, waiting);
        Progress { waiting, remaining, has_backlog: self.tracks.raw.is_split() }
    }
}

#[cfg(test)]
mod tests;
