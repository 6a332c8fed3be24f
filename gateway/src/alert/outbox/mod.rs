//! What is due in which channel, what went out, what is known to have arrived. Pure: time is an argument.
//!
//! # Invariants
//! - An incident is told as opened at most once in a channel, and as over at most once.
//! - [`Outbox::take`] gives a message only after it is noted as going out: the caller makes that durable before it sends.
//!   What was going out at a crash goes out again, under the same id and marked as a repeat.
//! - A message that certainly did not go is composed anew at the next attempt: by then it may say that all is over.
//! - One message at a time in each channel, so messages about one incident arrive in their order.
//! - Memory and state are bounded: [`KEPT_MAX`] incidents, the oldest that are over given up first; open ones stay, up to
//!   [`OPEN_MAX`].
//!
//! # Flow
//! ```text
//! on_incident ─▶ case ─▶ take ─▶ (durable) ─▶ sent by the caller ─▶ on_outcome ─▶ told │ pause, again │ given up
//!                         └ quiet hours, rate ─▶ held ─▶ summary
//! ```

mod case;
mod kept;
mod lane;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use firmware_protocol::derived::{Incident, IncidentState};
use firmware_protocol::measurement::EventTime;

use super::channel::Outcome;
use super::settings::Rules;

use case::{Case, Told};
pub(super) use case::{Kind, Subject};
use lane::{Flight, Hold, Lane};

/// Incidents that are remembered: some hundred bytes each while a message is due, a few dozen after that.
pub(super) const KEPT_MAX: usize = 1_000;
/// Open incidents that are remembered: beyond these something else is wrong, and the next ones are counted only.
pub(super) const OPEN_MAX: usize = 10_000;
/// A message that the other side refuses as such is given up after this many attempts: it must not block the others.
const REFUSED_MAX: u32 = 3;
/// Longest pause that the other side may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Now, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Now {
    pub(super) wall: EventTime,
    /// Whether the wall clock is believed. If not, there are no quiet hours: better told than slept through.
    pub(super) is_known: bool,
    /// Since the task began, by a clock that nobody sets.
    pub(super) running: Duration,
}

/// What goes into one message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Letter {
    /// The same whenever this message goes out, and only for it.
    pub(super) id: String,
    /// Whether it may have arrived before.
    pub(super) is_repeat: bool,
    pub(super) is_summary: bool,
    /// At least one; of a summary in the order in which they were opened.
    pub(super) items: Vec<(Kind, Subject)>,
}

/// What the metrics want to know of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Messages due, held or going out.
    pub(super) pending: usize,
    /// Messages that went into summaries, since the last look.
    pub(super) held: u64,
    /// Messages given up, since the last look: refused for good, or forgotten.
    pub(super) dropped: u64,
}

#[derive(Debug)]
pub(super) struct Outbox {
    cases: BTreeMap<String, Case>,
    lanes: Vec<Lane>,
    /// Sequence after the last derived record that is in the cases.
    next: u64,
    is_dirty: bool,
}

impl Outbox {
    /// What was `kept`, for these channels; `next` is where the derived log is read on, `end` where it ends now.
    /// A channel that is new is told of what is open at `end`, and of what comes later.
    ///
    /// # Errors
    /// What was kept is not readable: begin with `None`.
    pub(super) fn restore(
        kept: Option<&[u8]>,
        channels: Vec<(String, Rules)>,
        (next, end): (u64, u64),
        seed: u64,
    ) -> Result<Self, kept::Unreadable> {
        let kept = kept.map(kept::read).transpose()?.unwrap_or_default();
        let (mut cases, mut lanes_kept) = (kept.cases, kept.lanes);
        let lane = |(name, rules): (String, Rules)| match lanes_kept.remove(&name) {
            Some(kept) => Lane::again(name, rules, kept, seed),
            None => Lane::new(name, rules, end, seed),
        };
        let lanes: Vec<Lane> = channels.into_iter().map(lane).collect();
        // A channel that is gone and comes back is a new one.
        for case in cases.values_mut() {
            case.told.retain(|name, _| lanes.iter().any(|lane| lane.name == *name));
        }
        Ok(Self { cases, lanes, next, is_dirty: true })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        kept::write(&self.cases, &self.lanes)
    }

    /// Whether there is something to make durable since [`Self::saved`].
    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    pub(super) fn saved(&mut self) {
        self.is_dirty = false;
    }

    /// All derived records before `next` were seen.
    pub(super) fn read_to(&mut self, next: u64) {
        self.next = next;
    }

    /// Records come in the order of the log, each once.
    pub(super) fn on_incident(&mut self, seq: u64, incident: &Incident, now: Now) {
        self.next = seq + 1;
        if !self.lanes.iter().any(|lane| lane.rules.may_take(incident)) {
            return;
        }
        let is_over = incident.state != IncidentState::Open;
        match self.cases.get_mut(&incident.id) {
            Some(case) => case.update(seq, incident),
            // A later word on one that was forgotten, or that opened before all that is kept.
            None if is_over && incident.revision > 0 => return,
            None => {
                if self.cases.len() >= OPEN_MAX && !self.forget_one() {
                    self.lanes.iter_mut().for_each(|lane| lane.dropped += 1);
                    return;
                }
                self.cases.insert(incident.id.clone(), Case::new(seq, incident, now.wall));
            }
        }
        while self.cases.len() > KEPT_MAX && self.forget_one() {}
        self.settle(&incident.id);
        self.is_dirty = true;
    }

    /// The next message of the channel, if one may go out now; noted as going out. Make the state durable, then send it.
    pub(super) fn take(&mut self, lane: usize, now: Now) -> Option<Letter> {
        if !self.lanes[lane].may_try(now) || self.next < self.lanes[lane].since {
            return None;
        }
        if self.lanes[lane].flight.is_none() {
            let flight = self.compose(lane, now)?;
            self.lanes[lane].flight = Some(flight);
            self.is_dirty = true;
        }
        let lane = &mut self.lanes[lane];
        let flight = lane.flight.as_ref()?;
        let items = flight.items.iter().filter_map(|(id, kind)| Some((*kind, self.cases.get(id)?.subject.clone()?)));
        let items: Vec<_> = items.collect();
        if items.is_empty() {
            // What it was about was forgotten with a damaged state.
            lane.flight = None;
            return None;
        }
        lane.is_busy = true;
        Some(Letter { id: flight.id.clone(), is_repeat: flight.may_have_gone, is_summary: flight.is_summary, items })
    }

    /// What became of the message that was taken; how long the channel pauses, if it does.
    pub(super) fn on_outcome(&mut self, lane: usize, outcome: &Outcome, now: Now) -> Option<Duration> {
        let at = lane;
        let lane = &mut self.lanes[lane];
        lane.is_busy = false;
        self.is_dirty = true;
        let (pause, after) = match outcome {
            Outcome::Sent(_) => {
                lane.sent.add(now.wall);
                self.arrived(at);
                return None;
            }
            Outcome::Refused { .. } => {
                lane.refused += 1;
                if lane.refused >= REFUSED_MAX {
                    lane.dropped += lane.flight.as_ref().map_or(0, |flight| flight.items.len() as u64);
                    self.arrived(at);
                    return None;
                }
                let pause = lane.backoff.next();
                self.land(at);
                (pause, None)
            }
            Outcome::NotSent { after, .. } => {
                let pause = lane.backoff.next();
                self.land(at);
                (pause, *after)
            }
            Outcome::Unknown { .. } => {
                if let Some(flight) = &mut lane.flight {
                    flight.may_have_gone = true;
                }
                (lane.backoff.next(), None)
            }
            // Somebody has to mend it: often is of no use.
            Outcome::Misconfigured { .. } => {
                let pause = lane.rules.retry_max;
                self.land(at);
                (pause, None)
            }
        };
        let pause = after.map_or(pause, |after| pause.max(after.min(RETRY_AFTER_MAX)));
        self.lanes[at].not_before = now.running + pause;
        Some(pause)
    }

    /// Whether something may become due without a new record: then look again soon.
    pub(super) fn is_waiting(&self) -> bool {
        (0..self.lanes.len()).any(|lane| self.pending(lane) > 0)
    }

    pub(super) fn standing(&mut self, lane: usize) -> Standing {
        let pending = self.pending(lane);
        let lane = &mut self.lanes[lane];
        Standing { pending, held: std::mem::take(&mut lane.held), dropped: std::mem::take(&mut lane.dropped) }
    }

    fn pending(&self, lane: usize) -> usize {
        let lane = &self.lanes[lane];
        self.cases.values().filter(|case| case.wanted(lane).is_some()).count()
    }

    fn compose(&mut self, at: usize, now: Now) -> Option<Flight> {
        let lane = &self.lanes[at];
        let due = |(id, case): (&String, &Case)| {
            let kind = case.wanted(lane).filter(|_| case.is_due(&lane.rules, now.wall))?;
            Some((case.opened_at_ms, id.clone(), kind, case.is_loud(&lane.rules)))
        };
        let mut due: Vec<_> = self.cases.iter().filter_map(due).collect();
        due.sort();
        let is_quiet = now.is_known && lane.rules.quiet.is_at(now.wall);
        let all = due.len();
        due.retain(|(.., is_loud)| *is_loud || !is_quiet);
        let is_hushed = due.len() < all;
        let lane = &mut self.lanes[at];
        if due.is_empty() {
            self.is_dirty |= if is_hushed { lane.hold_back(Hold::Quiet) } else { lane.hold_no_more() };
            return None;
        }
        if !lane.sent.allows(lane.rules.rate_max, now.wall) {
            self.is_dirty |= lane.hold_back(Hold::Rate);
            return None;
        }
        // What quiet hours hold back are others than these.
        let was_held = lane.hold == Hold::Rate || (lane.hold == Hold::Quiet && !is_quiet);
        let is_summary = was_held && due.len() > 1;
        let mut items: Vec<(String, Kind)> = due.into_iter().map(|(_, id, kind, _)| (id, kind)).collect();
        if !is_summary {
            items.truncate(1);
        }
        lane.hold = if is_hushed { Hold::Quiet } else { Hold::No };
        Some(lane.flight_of(items, is_summary))
    }

    /// Books the message that was going out as told.
    fn arrived(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.refused = 0;
        lane.backoff.reset();
        lane.not_before = Duration::ZERO;
        let Some(flight) = lane.flight.take() else { return };
        if flight.is_summary {
            lane.held += flight.items.len() as u64;
        }
        let name = lane.name.clone();
        for (id, kind) in flight.items {
            if let Some(case) = self.cases.get_mut(&id) {
                case.told.insert(name.clone(), if kind == Kind::Opened { Told::Opened } else { Told::Over });
            }
            self.settle(&id);
        }
    }

    /// The attempt did not go through.
    fn land(&mut self, lane: usize) {
        let landed = self.lanes[lane].land();
        landed.into_iter().flat_map(|flight| flight.items).for_each(|(id, _)| self.settle(&id));
    }

    /// Of an incident that is over, and that nobody is to be told of any more, only its name is kept.
    fn settle(&mut self, id: &str) {
        let Some(case) = self.cases.get_mut(id) else { return };
        if case.state != IncidentState::Open && !self.lanes.iter().any(|lane| case.concerns(lane)) {
            case.subject = None;
        }
    }

    /// The oldest that is over and settled, else the oldest that is over; `false`: all are open.
    fn forget_one(&mut self) -> bool {
        let over = || self.cases.iter().filter(|(_, case)| case.state != IncidentState::Open);
        let going_out = |id: &String| self.lanes.iter().any(|lane| lane.is_about(id));
        let oldest = over()
            .filter(|(id, _)| !going_out(id))
            .min_by_key(|(_, case)| (case.subject.is_some(), case.last))
            .map(|(id, _)| id.clone());
        let Some(case) = oldest.and_then(|id| self.cases.remove(&id)) else { return false };
        self.lanes.iter_mut().filter(|lane| case.wanted(lane).is_some()).for_each(|lane| lane.dropped += 1);
        true
    }
}
