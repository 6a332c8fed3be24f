//! What the encoder made of a batch, and what the sink said to it.

use std::time::Instant;

use super::batch::State;
use super::link::MISCONFIGURED_PAUSE;
use super::pacing::{Attempt, RECORDS_MIN};
use super::segment::{Fate, Item};
use super::{BatchId, Delivery, Encoded, Lane, Order, Verdict};
use crate::forward::SinkError;
use crate::queue::Log;

impl Delivery {
    /// What became of the first records of the batch's piece, one by one; and how many bytes they take on the wire.
    ///
    /// # Panics
    /// For a batch that is not to be encoded, or without any record.
    pub(in crate::forward) fn on_encoded(&mut self, id: BatchId, encoded: &[Encoded], wire_bytes: u64, now: Instant) {
        let batch = self.batches[id].as_mut().expect("what is encoded is a batch");
        let piece = batch.piece();
        assert!(!encoded.is_empty() && encoded.len() <= piece.len(), "{} of {} records", encoded.len(), piece.len());
        let (looked_at, rest) = piece.split_at(encoded.len());
        let to_send = looked_at.iter().zip(encoded).filter(|(_, e)| **e == Encoded::In).map(|(item, _)| item.clone());
        let settled = looked_at.iter().zip(encoded).filter_map(|(item, encoded)| match encoded {
            Encoded::In => None,
            Encoded::Aside => Some((item.seq, Fate::Quarantined)),
            Encoded::LeftOut => Some((item.seq, Fate::Filtered)),
        });
        let settled: Vec<_> = settled.collect();
        let log = batch.log;
        let is_whole = batch.is_fresh() && batch.records() == piece.len();
        batch.replace_piece(to_send.collect());
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
        self.tracks.of_mut(log).settle(&settled);
    }

    /// What the sink said about a batch under way.
    ///
    /// # Panics
    /// For a batch that is not with the sink.
    pub(in crate::forward) fn on_outcome(
        &mut self,
        id: BatchId,
        outcome: Result<(), SinkError>,
        now: Instant,
    ) -> Verdict {
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
    pub(in crate::forward) fn on_quarantined(&mut self, id: BatchId) {
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
}
