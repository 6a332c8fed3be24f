//! Where delivery of one log stands: its segments, and what of them is told to the books.
//!
//! # Invariants
//! - Segments follow each other without a gap, the last one is open. All but the last are the backlog.
//! - The books are told of what is settled from the front of each segment on: never of more than [`AHEAD_MAX`] runs. What
//!   is settled out of turn within a window is not told, and repeated after a crash.
//! - What was told once stays told: segments are closed, joined at their settled ends and dropped when complete, never cut
//!   within what is settled.

use std::collections::VecDeque;
use std::time::Instant;

use super::lag::Lag;
use super::segment::{Fate, Item, Segment, Tally};
use super::{LIVE_LAG, Lane, Limit, Pacing};
use crate::queue::{AHEAD_MAX, Block, Cursor, QueueSeq, Record, Run};

/// Of a live lane so many batches are read ahead.
const FAIR_BATCHES: usize = 4;

/// A consumer's place in a log, as the books have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::forward) struct Place {
    pub(in crate::forward) cursor: Cursor,
    /// Settled beyond the cursor, ascending.
    pub(in crate::forward) ahead: Vec<Run>,
}

#[derive(Debug)]
pub(super) struct Track {
    /// Never empty.
    segments: VecDeque<Segment>,
    shards: usize,
    /// Records settled from the front of the segments on, those before the first included.
    settled: Cursor,
    /// After the last durable record, as last seen.
    end: QueueSeq,
    pub(super) lag: Lag,
    /// Since when records wait in the last segment.
    waiting_since: Option<Instant>,
    /// There was nothing to read between what was read and here.
    nothing_before: QueueSeq,
    /// The disk failed: not to be read before.
    held_until: Option<Instant>,
    told: Place,
    /// Something was put into quarantine that is not known to be on disk.
    has_quarantined: bool,
}

impl Track {
    pub(super) fn new(place: Place, shards: usize) -> Self {
        let mut segments = VecDeque::new();
        let (mut start, mut base) = (place.cursor.next, place.cursor.next);
        for run in &place.ahead {
            segments.push_back(Segment::new(start, base, Some(run.first), shards));
            (start, base) = (run.first, run.end);
        }
        segments.push_back(Segment::new(start, base, None, shards));
        Self {
            segments,
            shards,
            settled: place.cursor,
            end: base,
            lag: Lag::new(LIVE_LAG),
            waiting_since: None,
            nothing_before: QueueSeq(0),
            held_until: None,
            told: place,
            has_quarantined: false,
        }
    }

    pub(super) fn observe(&mut self, end: QueueSeq, now: Instant) {
        self.end = end;
        self.lag.observe(now, end);
        self.held_until = self.held_until.filter(|until| *until > now);
        let is_waiting = self.last().waiting(end) > 0;
        self.waiting_since = if is_waiting { self.waiting_since.or(Some(now)) } else { None };
    }

    fn last(&self) -> &Segment {
        self.segments.back().expect("there is always an open segment")
    }

    /// Whether there is a backlog apart from what is live.
    pub(super) fn is_split(&self) -> bool {
        self.segments.len() > 1
    }

    fn segment_of(&self, seq: QueueSeq) -> usize {
        self.segments.partition_point(|segment| segment.start <= seq).saturating_sub(1)
    }

    /// Whether the record lies in what is live now.
    pub(super) fn is_live(&self, seq: QueueSeq) -> bool {
        self.segment_of(seq) + 1 == self.segments.len()
    }

    /// With all runs in use, what is live goes on in order.
    pub(super) fn may_split(&self) -> bool {
        self.segments.len() <= AHEAD_MAX
    }

    /// What waits before `at` becomes backlog, and what is live begins there.
    pub(super) fn split(&mut self, at: QueueSeq) {
        let count = self.segments.len();
        let last = self.segments.back_mut().expect("there is always an open segment");
        if count > 1 && last.is_untouched() {
            // No run of its own: it joins the one before it.
            *last = Segment::new(at, at, None, self.shards);
            self.segments[count - 2].end = Some(at);
        } else {
            let mut live = last.cut(at);
            let tally = live.settle_front();
            self.segments.push_back(live);
            self.add(tally);
        }
        self.waiting_since = None;
    }

    /// The oldest live record that is in no batch.
    pub(super) fn first_waiting(&self) -> Option<QueueSeq> {
        self.last().first_waiting(self.end)
    }

    /// Records of the lane that are in no batch.
    pub(super) fn waiting(&self, lane: Lane) -> u64 {
        self.of(lane).map(|segment| segment.waiting(self.end)).sum()
    }

    /// The segments of a lane, first to last.
    fn of(&self, lane: Lane) -> impl Iterator<Item = &Segment> {
        let backlog = self.segments.len() - 1;
        let (skip, take) = match lane {
            Lane::Backlog => (0, backlog),
            Lane::Live | Lane::Derived => (backlog, 1),
        };
        self.segments.iter().skip(skip).take(take)
    }

    /// Records that are not settled, as far as the books are told.
    pub(super) fn unsettled(&self) -> u64 {
        let of = |segment: &Segment| segment.base.count_to(segment.end.unwrap_or(self.end).min(self.end));
        self.segments.iter().map(of).sum()
    }

    pub(super) fn end(&self) -> QueueSeq {
        self.end
    }

    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    pub(super) fn hold(&mut self, until: Instant) {
        self.held_until = Some(until);
    }

    /// What is read ahead of a segment: a batch for each shard and one behind them, or, where it is to be `fair`, enough for
    /// devices to have their turn.
    fn window(&self, max: Limit, fair: bool) -> Limit {
        let batches = if fair { FAIR_BATCHES.max(self.shards + 1) } else { self.shards + 1 };
        Limit { records: batches * max.records, bytes: batches * max.bytes }
    }

    /// What the lane can do next for one of the shards that may be used. Where it is to be fair, all that there is room
    /// for is read first.
    pub(super) fn supply(
        &self,
        lane: Lane,
        pacing: &Pacing,
        fair: bool,
        may_be_used: impl Fn(usize) -> bool,
    ) -> Supply {
        let (window, limit) = (self.window(pacing.max(), fair), pacing.limit());
        for segment in self.of(lane) {
            let shard = segment.oldest_shard(&may_be_used);
            let is_readable = self.held_until.is_none() && self.end > self.nothing_before && segment.has_room(window);
            let to_read = segment.to_read(self.end).filter(|_| is_readable);
            match (shard, to_read) {
                (Some(shard), _) if !fair && segment.shard_len(shard) >= limit.records => {
                    return Supply::Pick { shard };
                }
                (_, Some(from)) => return Supply::Read { from },
                (Some(shard), None) => return Supply::Pick { shard },
                // Later segments wait until all of this one is read: a device's records may be in the rest.
                (None, None) if !segment.is_read() => return Supply::Nothing,
                (None, None) => {}
            }
        }
        Supply::Nothing
    }

    pub(super) fn pick(&mut self, lane: Lane, shard: usize, limit: Limit, fair: bool) -> Vec<Item> {
        let backlog = self.segments.len() - 1;
        let at = match lane {
            Lane::Backlog => (0..backlog).find(|at| self.segments[*at].shard_len(shard) > 0).unwrap_or(0),
            Lane::Live | Lane::Derived => backlog,
        };
        let picked = self.segments[at].pick(shard, limit, fair);
        if self.last().waiting(self.end) == 0 {
            self.waiting_since = None;
        }
        picked
    }

    /// What was found when `from` was to be read.
    pub(super) fn take_in(
        &mut self,
        from: QueueSeq,
        found: Option<&Block>,
        max: Limit,
        takes: &dyn Fn(&Record) -> bool,
    ) {
        let Some(block) = found else {
            self.nothing_before = self.end;
            return;
        };
        let at = self.segment_of(from);
        let window = self.window(max, true);
        let tally = self.segments[at].take_in(block, window, takes);
        self.add(tally);
    }

    /// Records of one batch are settled, in the order of the log.
    pub(super) fn settle(&mut self, settled: &[(QueueSeq, Fate)]) {
        self.has_quarantined |= settled.iter().any(|(_, fate)| *fate == Fate::Quarantined);
        let mut rest = settled;
        while let Some((first, _)) = rest.first() {
            let at = self.segment_of(*first);
            let segment = &mut self.segments[at];
            let (own, behind) =
                rest.split_at(rest.partition_point(|(seq, _)| segment.end.is_none_or(|end| *seq < end)));
            let tally = segment.settle(own);
            rest = behind;
            self.add(tally);
        }
    }

    /// Records of a batch wait again, in the order of the log.
    pub(super) fn give_back(&mut self, items: &[Item], now: Instant) {
        let mut rest = items;
        while let Some(first) = rest.first() {
            let at = self.segment_of(first.seq);
            let segment = &mut self.segments[at];
            let (own, behind) = rest.split_at(rest.partition_point(|i| segment.end.is_none_or(|end| i.seq < end)));
            segment.give_back(own);
            rest = behind;
        }
        if self.last().waiting(self.end) > 0 {
            self.waiting_since.get_or_insert(now);
        }
        self.nothing_before = QueueSeq(0);
    }

    fn add(&mut self, tally: Tally) {
        self.settled.delivered += tally.delivered;
        self.settled.filtered += tally.filtered;
        self.settled.quarantined += tally.quarantined;
        self.drop_complete();
    }

    /// A segment that is complete goes: the one behind it goes on where it began.
    fn drop_complete(&mut self) {
        while let Some(at) = self.segments.iter().position(Segment::is_complete) {
            let start = self.segments[at].start;
            self.segments.remove(at);
            // Before the first one all is settled: there is no run to join.
            if at > 0 {
                self.segments[at].start = start;
            }
        }
    }

    /// The queue may have what it had not: it has been mended, or a hold is over.
    pub(super) fn on_changed(&mut self) {
        self.nothing_before = QueueSeq(0);
    }

    /// What the books are to be told, if it is news.
    pub(super) fn to_tell(&self) -> Option<Place> {
        let place = self.place();
        (self.has_quarantined || place != self.told).then_some(place)
    }

    fn place(&self) -> Place {
        let next = self.segments.front().expect("there is always an open segment").base;
        let runs = self.segments.iter().skip(1).map(|segment| Run::new(segment.start, segment.base));
        let ahead = runs.filter(|run| run.count() > 0).collect();
        Place { cursor: Cursor { next, ..self.settled }, ahead }
    }

    /// The books were told of it.
    pub(super) fn on_told(&mut self, place: Place) {
        self.told = place;
        self.has_quarantined = false;
    }
}

/// What a lane can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    Read { from: QueueSeq },
    Pick { shard: usize },
    Nothing,
}
