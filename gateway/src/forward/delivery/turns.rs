//! Whose turn it is: which batch is sent, which lane is read and picked from.

use std::time::Instant;

use super::batch::{Batch, State};
use super::track::Supply;
use super::{Action, BatchId, DERIVED_IN_A_ROW_MAX, Delivery, LINGER, Lane, Order};

impl Delivery {
    /// Begins an attempt, if one is due and the link is free.
    pub(super) fn send(&mut self, now: Instant) -> Option<Action> {
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

    pub(super) fn has_work(&self, lane: Lane) -> bool {
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

    pub(super) fn encode(&self) -> Option<Action> {
        let picked = self.batches().filter(|(_, batch)| batch.state == State::Picked);
        let (id, batch) = picked.min_by_key(|(_, batch)| (batch.lane, batch.number))?;
        // A piece that was cut is no larger for a limit that has grown since, and may be for one that has shrunk.
        let (log, items, bytes_max) = (batch.log, batch.piece(), self.pacing.limit().bytes);
        Some(Action::Encode { batch: id, log, items, bytes_max })
    }

    /// Reads, or picks a batch, for a lane that has none ready.
    pub(super) fn supply(&mut self, lane: Lane) -> Option<Action> {
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
    pub(super) fn may_be_supplied(&self, lane: Lane, now: Instant) -> bool {
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
    pub(super) fn is_turn_of_live(&self, now: Instant) -> bool {
        let beside_a_backlog = self.order == Order::LiveFirst && self.tracks.raw.is_split() && self.link.is_up();
        beside_a_backlog
            && self.is_live_due(now)
            && self.may_send(now)
            && (self.share.next() == Lane::Live || !self.sendable(now).any(|(_, batch)| batch.lane == Lane::Backlog))
    }

    pub(super) fn has_ready(&self, lane: Lane) -> bool {
        self.batches().any(|(_, batch)| batch.lane == lane && batch.is_fresh())
    }

    pub(super) fn linger_until(&self) -> Option<Instant> {
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
}
