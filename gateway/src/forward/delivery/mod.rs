//! The rules of delivery, without network, disk or clock: what to encode, when to send, what an outcome means.
//!
//! # Invariants
//! - Each record of a log is in the books exactly once: delivered, quarantined or, if the queue no longer has it, missing.
//! - A log's cursor moves only over a batch that the sink confirmed or that is kept aside, in the log's order.
//! - At most one batch is with the sink and one waits ready behind it.
//!
//! # Flow
//! The task asks [`Delivery::poll`] what to do, does it, and reports with one of the `on_…` methods; then it asks again.
//!
//! # Not here
//! The bytes of a batch: the task holds those of the batch under way and of the one that is ready.

use std::mem;
use std::time::{Duration, Instant};

use super::{DeliveryConfig, SinkError};
use crate::backoff::Backoff;
use crate::queue::{Cursor, Log, QueueSeq};

/// Raw records wait this long for company before they are sent: at 100 batches a second the requests would cost more
/// than the records. A backlog does not wait, nor do derived records.
const LINGER: Duration = Duration::from_millis(100);
/// After this many derived batches in a row one raw batch has its turn.
const DERIVED_IN_A_ROW_MAX: u32 = 8;
/// The first pause is drawn from nothing to this: a sink that restarts is sent to at once.
const RETRY_FIRST_MAX: Duration = Duration::from_millis(250);
/// Pause while a person has to mend something: soon enough after the mending, not enough to fill the logs.
const MISCONFIGURED_PAUSE: Duration = Duration::from_secs(30);
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

/// Records to encode: `from` and up to, not including, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) log: Log,
    pub(super) from: QueueSeq,
    pub(super) to: QueueSeq,
    /// Records before this one were encoded before: those that could not be are in the quarantine already.
    pub(super) fresh_from: QueueSeq,
}

/// The books of an encoded batch: what became of each record from `from` up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Books {
    pub(super) log: Log,
    pub(super) from: QueueSeq,
    pub(super) to: QueueSeq,
    /// Records in the bytes for the sink.
    pub(super) deliver: u64,
    /// Records that could not be encoded and were kept aside.
    pub(super) quarantined: u64,
    /// Records that are no longer in the queue: its own books say why.
    pub(super) missing: u64,
}

impl Books {
    pub(super) fn empty(log: Log, from: QueueSeq) -> Self {
        Self { log, from, to: from, deliver: 0, quarantined: 0, missing: 0 }
    }

    fn len(&self) -> u64 {
        self.from.count_to(self.to)
    }

    fn assert_balanced(&self) {
        let booked = self.deliver + self.quarantined + self.missing;
        assert_eq!(booked, self.len(), "a batch books each of its records once: {self:?}");
    }
}

/// What the task is to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// Encode these records, or fewer, and report `on_encoded` or `on_read_failed`.
    Encode(Span),
    /// Send the batch that was encoded last; report `on_outcome`.
    Send,
    /// Send the batch under way once more; report `on_outcome`.
    Resend,
    /// Keep this record aside, which the sink refuses for that reason; report `on_quarantined` or `on_disk_failed`.
    Quarantine { log: Log, seq: QueueSeq, detail: String },
    /// Make the quarantine durable, then move the cursor; report `on_settled` or `on_disk_failed`.
    Settle { log: Log, cursor: Cursor },
    /// Nothing to do before this time, an outcome, or (if `for_records`) a commit.
    Wait { until: Option<Instant>, for_records: bool },
    /// The stop is complete; a batch still under way is abandoned and comes again after the next start.
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

/// What became of a record that the sink refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// It is in the quarantine.
    Kept,
    /// A policy took it out of the queue in the meantime.
    Gone,
}

#[derive(Debug)]
enum State {
    /// Nothing is under way.
    Idle,
    /// The batch is with the sink.
    Inflight(Books),
    /// The sink did not take the batch; it is sent again at `until`.
    Backoff { batch: Books, until: Instant },
    /// The batch is confirmed, or its one record `refused` for a reason: it remains to put that into the books,
    /// at `until` if the disk failed before.
    Settling { batch: Books, refused: Option<String>, until: Option<Instant> },
}

#[derive(Debug)]
enum Phase {
    Running,
    /// Nothing new starts; the batch under way may be answered up to `until`.
    Draining {
        until: Instant,
    },
}

/// Where delivery of one log stands.
#[derive(Debug)]
struct Progress {
    settled: Cursor,
    /// First record that is in no batch yet.
    position: QueueSeq,
    /// First record that never was in a batch.
    fresh_from: QueueSeq,
    /// After the last durable record, as last seen.
    end: QueueSeq,
    /// Batches end here, nearest last: halves of rejected batches. Two more for each halving, so at most a few dozen.
    cuts: Vec<QueueSeq>,
    /// Since when records wait at `position`.
    waiting_since: Option<Instant>,
    /// There was nothing to read between `position` and here.
    nothing_before: QueueSeq,
    /// The disk failed: not to be read before.
    held_until: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Delivery {
    batch_records_max: u64,
    phase: Phase,
    state: State,
    ready: Option<Books>,
    logs: PerLog<Progress>,
    derived_in_a_row: u32,
    backoff: Backoff,
}

impl Delivery {
    pub(super) fn new(config: &DeliveryConfig, cursors: PerLog<Cursor>, seed: u64) -> Self {
        Self {
            batch_records_max: config.batch_records_max.max(1) as u64,
            phase: Phase::Running,
            state: State::Idle,
            ready: None,
            logs: PerLog::from_fn(|log| Progress::new(*cursors.of(log))),
            derived_in_a_row: 0,
            backoff: Backoff::new(RETRY_FIRST_MAX, config.retry_max, seed),
        }
    }

    /// What to do now. `ends` is where the logs end now.
    pub(super) fn poll(&mut self, now: Instant, ends: PerLog<QueueSeq>) -> Action {
        for log in Log::ALL {
            self.logs.of_mut(log).observe(*ends.of(log), now);
        }
        if let Phase::Draining { until } = self.phase {
            return self.poll_draining(now, until);
        }
        if let Some(action) = self.move_on(now) {
            return action;
        }
        if self.ready.is_none()
            && let Some(log) = self.next_log(now)
        {
            return Action::Encode(self.logs.of(log).next_span(log, self.batch_records_max));
        }
        Action::Wait { until: self.wake_at(), for_records: self.ready.is_none() }
    }

    /// Carries the batch under way a step further, or begins with the one that is ready.
    fn move_on(&mut self, now: Instant) -> Option<Action> {
        match &self.state {
            State::Idle => {
                let batch = self.ready.take()?;
                if batch.deliver > 0 {
                    self.state = State::Inflight(batch);
                    return Some(Action::Send);
                }
                self.state = State::Settling { batch, refused: None, until: None };
                Some(self.settle(&batch))
            }
            State::Inflight(_) => None,
            State::Backoff { until, .. } if *until > now => None,
            State::Backoff { batch, .. } => {
                self.state = State::Inflight(*batch);
                Some(Action::Resend)
            }
            State::Settling { until: Some(until), .. } if *until > now => None,
            State::Settling { batch, refused: None, .. } => Some(self.settle(batch)),
            State::Settling { batch, refused: Some(detail), .. } => {
                Some(Action::Quarantine { log: batch.log, seq: batch.from, detail: detail.clone() })
            }
        }
    }

    fn poll_draining(&mut self, now: Instant, until: Instant) -> Action {
        match &self.state {
            State::Inflight(_) if now < until => Action::Wait { until: Some(until), for_records: false },
            State::Settling { until: None, .. } => self.move_on(now).unwrap_or(Action::Finish),
            State::Idle | State::Inflight(_) | State::Backoff { .. } | State::Settling { .. } => Action::Finish,
        }
    }

    fn settle(&self, batch: &Books) -> Action {
        Action::Settle { log: batch.log, cursor: self.logs.of(batch.log).cursor_after(batch) }
    }

    /// Derived records first, but raw ones do not starve.
    fn next_log(&self, now: Instant) -> Option<Log> {
        let derived = self.logs.derived.is_due(now, Duration::ZERO, self.batch_records_max);
        let raw = self.logs.raw.is_due(now, LINGER, self.batch_records_max);
        match (derived, raw) {
            (true, true) if self.derived_in_a_row >= DERIVED_IN_A_ROW_MAX => Some(Log::Raw),
            (true, _) => Some(Log::Derived),
            (false, true) => Some(Log::Raw),
            (false, false) => None,
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Idle | State::Inflight(_) => None,
            State::Backoff { until, .. } => Some(*until),
            State::Settling { until, .. } => *until,
        };
        let logs = [self.logs.raw.due_at(LINGER), self.logs.derived.due_at(Duration::ZERO)];
        // With a batch ready there is no room for the logs' records anyway.
        let logs = logs.into_iter().flatten().filter(|_| self.ready.is_none());
        state.into_iter().chain(logs).min()
    }

    /// What was encoded of the span asked for. Empty books say that there was nothing to read.
    pub(super) fn on_encoded(&mut self, batch: Books) {
        batch.assert_balanced();
        let progress = self.logs.of_mut(batch.log);
        assert_eq!(batch.from, progress.position, "batches follow each other");
        if batch.len() == 0 {
            progress.nothing_before = progress.end;
            return;
        }
        progress.took_up_to(batch.to);
        self.derived_in_a_row = match batch.log {
            Log::Raw => 0,
            Log::Derived => self.derived_in_a_row + 1,
        };
        self.ready = Some(batch);
    }

    /// The queue could not be read.
    pub(super) fn on_read_failed(&mut self, log: Log, now: Instant) {
        self.logs.of_mut(log).held_until = Some(now + DISK_PAUSE);
    }

    /// What the sink said about the batch under way.
    pub(super) fn on_outcome(&mut self, outcome: Result<(), SinkError>, now: Instant) -> Verdict {
        let State::Inflight(batch) = mem::replace(&mut self.state, State::Idle) else {
            unreachable!("an outcome belongs to a batch under way");
        };
        match outcome {
            Ok(()) => {
                self.backoff.reset();
                self.state = State::Settling { batch, refused: None, until: None };
                Verdict::Confirmed
            }
            Err(SinkError::Retry { .. }) => {
                let pause = self.backoff.next();
                self.state = State::Backoff { batch, until: now + pause };
                Verdict::Again { pause, failures: self.backoff.failures() }
            }
            Err(SinkError::Misconfigured { .. }) => {
                self.state = State::Backoff { batch, until: now + MISCONFIGURED_PAUSE };
                Verdict::Misconfigured { pause: MISCONFIGURED_PAUSE }
            }
            Err(SinkError::Reject { reason }) if batch.len() == 1 => {
                self.state = State::Settling { batch, refused: Some(reason), until: None };
                Verdict::Refused
            }
            Err(SinkError::Reject { .. }) => {
                // What is ready of the same log comes after the halves: it is encoded again then.
                self.ready = self.ready.take().filter(|ready| ready.log != batch.log);
                self.logs.of_mut(batch.log).split(&batch, now);
                Verdict::Split
            }
        }
    }

    /// What became of the refused record.
    pub(super) fn on_quarantined(&mut self, refused_record: Aside) {
        let State::Settling { batch, refused, until } = &mut self.state else {
            unreachable!("only a refused record is put into quarantine");
        };
        batch.deliver -= 1;
        match refused_record {
            Aside::Kept => batch.quarantined += 1,
            Aside::Gone => batch.missing += 1,
        }
        (*refused, *until) = (None, None);
    }

    /// The cursor has moved over the batch.
    pub(super) fn on_settled(&mut self) {
        let State::Settling { batch, .. } = mem::replace(&mut self.state, State::Idle) else {
            unreachable!("only a batch that is settling is settled");
        };
        batch.assert_balanced();
        let progress = self.logs.of_mut(batch.log);
        progress.settled = progress.cursor_after(&batch);
    }

    /// The quarantine could not be written: nothing moves on before it is.
    pub(super) fn on_disk_failed(&mut self, now: Instant) {
        let State::Settling { until, .. } = &mut self.state else {
            unreachable!("the quarantine is written while a batch is settling");
        };
        *until = Some(now + DISK_PAUSE);
    }

    /// Start nothing new; a batch under way may be answered within the grace.
    pub(super) fn on_stop(&mut self, now: Instant, grace: Duration) {
        self.phase = Phase::Draining { until: now + grace };
    }
}

impl Progress {
    fn new(cursor: Cursor) -> Self {
        Self {
            settled: cursor,
            position: cursor.next,
            fresh_from: cursor.next,
            end: cursor.next,
            cuts: Vec::new(),
            waiting_since: None,
            nothing_before: QueueSeq(0),
            held_until: None,
        }
    }

    fn observe(&mut self, end: QueueSeq, now: Instant) {
        self.end = end;
        if self.waiting_since.is_none() && self.waiting() > 0 {
            self.waiting_since = Some(now);
        }
        self.held_until = self.held_until.filter(|until| *until > now);
    }

    fn waiting(&self) -> u64 {
        if self.end <= self.nothing_before { 0 } else { self.position.count_to(self.end) }
    }

    /// When records that wait now are due, however few they are.
    fn due_at(&self, linger: Duration) -> Option<Instant> {
        let due_at = self.waiting_since.filter(|_| self.waiting() > 0)? + linger;
        Some(self.held_until.map_or(due_at, |held| held.max(due_at)))
    }

    fn is_due(&self, now: Instant, linger: Duration, batch_records_max: u64) -> bool {
        let full = self.waiting() >= batch_records_max || !self.cuts.is_empty();
        self.due_at(if full { Duration::ZERO } else { linger }).is_some_and(|at| at <= now)
    }

    fn next_span(&self, log: Log, records_max: u64) -> Span {
        let to = self.position.plus(records_max).min(self.end);
        let to = self.cuts.last().map_or(to, |cut| to.min(*cut));
        Span { log, from: self.position, to, fresh_from: self.fresh_from }
    }

    fn took_up_to(&mut self, to: QueueSeq) {
        self.position = to;
        self.fresh_from = self.fresh_from.max(to);
        while self.cuts.last().is_some_and(|cut| *cut <= to) {
            self.cuts.pop();
        }
        if self.waiting() == 0 {
            self.waiting_since = None;
        }
    }

    /// Goes back to the start of a rejected batch, to send it in two halves.
    fn split(&mut self, batch: &Books, now: Instant) {
        let middle = batch.from.plus(batch.len() / 2);
        self.position = batch.from;
        // What was taken up beyond the batch may have passed cuts: they only made batches smaller, and go.
        self.cuts.retain(|cut| *cut > batch.to);
        self.cuts.extend([batch.to, middle]);
        self.waiting_since.get_or_insert(now);
        self.nothing_before = QueueSeq(0);
        assert!(self.cuts.is_sorted_by(|a, b| a > b), "cuts are passed one by one: {:?}", self.cuts);
    }

    fn cursor_after(&self, batch: &Books) -> Cursor {
        assert_eq!(batch.from, self.settled.next, "a cursor passes batches in their order");
        Cursor {
            next: batch.to,
            delivered: self.settled.delivered + batch.deliver,
            quarantined: self.settled.quarantined + batch.quarantined,
            ..self.settled
        }
    }
}

#[cfg(test)]
mod tests;
