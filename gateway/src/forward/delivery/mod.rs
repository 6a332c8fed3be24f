//! The rules of delivery, without network, disk or clock: what to read, what to encode, what to send, and what an answer
//! means.
//!
//! # Invariants
//! - Each record of a log is settled exactly once: delivered, filtered, quarantined or, if the queue no longer has it,
//!   missing. The books are told of it after the sink confirmed it, or after it is kept aside.
//! - Per device and lane records leave in the order of the log: of a lane's shard one batch at a time is with the sink.
//! - At most `inflight` batches are with the sink, and one waits ready in each lane. Records are read ahead for one
//!   batch more, of what is live for four.
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

mod action;
mod answers;
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
mod turns;

use std::time::{Duration, Instant};

use super::{DeliveryConfig, Order};
use crate::queue::{Block, Log, QueueSeq, Record};

use batch::{Batch, State};
use drain::Drain;
use link::Link;
use pacing::{Limit, Pacing};
use rate::Rate;
use share::Share;
use track::Track;

pub(super) use action::{Action, BatchId, Encoded, Lane, PerLog, Progress, Verdict};
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
