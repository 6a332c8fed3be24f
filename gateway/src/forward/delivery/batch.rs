//! A batch on its way: its pieces, how often it failed, whether it is the turn of its next attempt.
//!
//! # Invariants
//! - A batch is of one segment and one shard. Its pieces are sent one after the other, in the order of their records.
//! - Attempts, pauses and halving are the batch's own: batches of other shards and lanes go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Lane;
use super::segment::Item;
use crate::queue::Log;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The piece is to be encoded.
    Picked,
    /// It is encoded and waits for its turn.
    Ready,
    /// It is with the sink.
    Inflight { since: Instant },
    /// Its one record goes to the quarantine, for this reason.
    Refused(String),
}

#[derive(Debug)]
pub(super) struct Batch {
    /// Counts batches: those with lower numbers go first.
    pub(super) number: u64,
    pub(super) log: Log,
    pub(super) lane: Lane,
    pub(super) shard: usize,
    pub(super) state: State,
    /// What remains to be sent, the next piece last. Each halving adds one, so at most some twenty.
    pieces: Vec<Arc<[Item]>>,
    /// Not sent before: it failed.
    pub(super) not_before: Option<Instant>,
    /// In a row.
    pub(super) failures: u32,
    pub(super) tried_at: Option<Instant>,
    /// It has as many records or bytes as it may.
    pub(super) is_full: bool,
    /// Of the encoded piece.
    pub(super) wire_bytes: u64,
    /// What the attempt under way was thought to take.
    pub(super) expected: Duration,
}

impl Batch {
    pub(super) fn new(number: u64, log: Log, lane: Lane, shard: usize, items: Vec<Item>) -> Self {
        Self {
            number,
            log,
            lane,
            shard,
            state: State::Picked,
            pieces: vec![items.into()],
            not_before: None,
            failures: 0,
            tried_at: None,
            is_full: false,
            wire_bytes: 0,
            expected: Duration::ZERO,
        }
    }

    /// The piece whose turn it is; empty once the batch is done.
    pub(super) fn piece(&self) -> Arc<[Item]> {
        self.pieces.last().cloned().unwrap_or_default()
    }

    /// Was never sent.
    pub(super) fn is_fresh(&self) -> bool {
        self.tried_at.is_none()
    }

    pub(super) fn is_inflight(&self) -> bool {
        matches!(self.state, State::Inflight { .. })
    }

    /// All that is not settled.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.pieces.iter().rev().flat_map(|piece| piece.iter())
    }

    pub(super) fn records(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// Of the piece only these records are left to be sent; it is done with none.
    pub(super) fn replace_piece(&mut self, items: Vec<Item>) {
        self.pieces.pop();
        if !items.is_empty() {
            self.pieces.push(items.into());
        }
    }

    /// Records of the piece that did not fit become one of their own.
    pub(super) fn put_off(&mut self, items: Vec<Item>) {
        let at = self.pieces.len() - 1;
        self.pieces.insert(at, items.into());
    }

    /// The piece is done; whether there is another one.
    pub(super) fn next_piece(&mut self) -> bool {
        self.pieces.pop();
        self.state = State::Picked;
        !self.pieces.is_empty()
    }

    /// Sends the piece in two halves.
    pub(super) fn split(&mut self) {
        if let Some(piece) = self.pieces.pop() {
            let (first, second) = piece.split_at(piece.len() / 2);
            self.pieces.extend([second.into(), first.into()]);
        }
        self.state = State::Picked;
    }
}
