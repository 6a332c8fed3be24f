//! One channel: what is going out in it, why it waits, what it has sent.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Kind, Now};
use crate::alert::rate::Sent;
use crate::alert::settings::Rules;
use crate::backoff::Backoff;

/// Bound of the pause after the first failure.
const PAUSE_FIRST_MAX: Duration = Duration::from_secs(1);

/// Why what is due was held back, until it goes out as a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hold {
    #[default]
    No,
    Quiet,
    /// By the rate, in quiet hours or not.
    Rate,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flight {
    pub(super) id: String,
    pub(super) is_summary: bool,
    /// Incidents by their ids, and what is told of them.
    pub(super) items: Vec<(String, Kind)>,
    /// An attempt may have arrived, though nobody said so.
    pub(super) may_have_gone: bool,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) rules: Rules,
    /// Where the derived log ended when the channel was new: what was over by then is none of its business.
    pub(super) since: u64,
    pub(super) sent: Sent,
    pub(super) hold: Hold,
    pub(super) flight: Option<Flight>,
    /// Summaries so far: part of their ids.
    summaries: u64,

    /// From here on nothing is kept across a restart.
    pub(super) is_busy: bool,
    pub(super) not_before: Duration,
    pub(super) backoff: Backoff,
    /// Attempts in a row at which the other side refused the message as such.
    pub(super) refused: u32,
    pub(super) held: u64,
    pub(super) dropped: u64,
}

/// What of a lane is durable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptLane {
    since: u64,
    sent: Sent,
    hold: Hold,
    flight: Option<Flight>,
    summaries: u64,
}

impl Lane {
    pub(super) fn new(name: String, rules: Rules, since: u64, seed: u64) -> Self {
        let kept = KeptLane { since, sent: Sent::default(), hold: Hold::No, flight: None, summaries: 0 };
        Self::again(name, rules, kept, seed)
    }

    pub(super) fn again(name: String, rules: Rules, kept: KeptLane, seed: u64) -> Self {
        let KeptLane { since, sent, hold, flight, summaries } = kept;
        let mut hasher = DefaultHasher::new();
        (&name, seed).hash(&mut hasher);
        let backoff = Backoff::new(PAUSE_FIRST_MAX, rules.retry_max, hasher.finish());
        // It was on its way when the process ended.
        let flight = flight.map(|flight| Flight { may_have_gone: true, ..flight });
        Self {
            name,
            rules,
            since,
            sent,
            hold,
            flight,
            summaries,
            is_busy: false,
            not_before: Duration::ZERO,
            backoff,
            refused: 0,
            held: 0,
            dropped: 0,
        }
    }

    pub(super) fn kept(&self) -> KeptLane {
        let Self { since, hold, summaries, .. } = *self;
        KeptLane { since, sent: self.sent.clone(), hold, flight: self.flight.clone(), summaries }
    }

    pub(super) fn may_try(&self, now: Now) -> bool {
        !self.is_busy && now.running >= self.not_before
    }

    pub(super) fn is_about(&self, incident: &str) -> bool {
        self.flight.iter().flat_map(|flight| &flight.items).any(|(id, _)| id == incident)
    }

    /// Notes why what is due waits, the rate before quiet hours; whether that is news.
    pub(super) fn hold_back(&mut self, why: Hold) -> bool {
        let hold = if self.hold == Hold::Rate { Hold::Rate } else { why };
        std::mem::replace(&mut self.hold, hold) != hold
    }

    /// Nothing is due; whether that is news.
    pub(super) fn hold_no_more(&mut self) -> bool {
        std::mem::take(&mut self.hold) != Hold::No
    }

    /// The attempt did not go through: unless an earlier one may have, the next message is composed anew.
    pub(super) fn land(&mut self) -> Option<Flight> {
        let landed = self.flight.take_if(|flight| !flight.may_have_gone)?;
        // What it held together stays together.
        if landed.is_summary {
            self.hold = Hold::Rate;
        }
        Some(landed)
    }

    pub(super) fn flight_of(&mut self, items: Vec<(String, Kind)>, is_summary: bool) -> Flight {
        let id = match items.first() {
            Some((id, kind)) if !is_summary => {
                format!("{id}-{}", if *kind == Kind::Opened { "opened" } else { "over" })
            }
            Some((id, _)) => {
                self.summaries += 1;
                format!("{id}-summary-{}", self.summaries)
            }
            None => String::new(),
        };
        Flight { id, is_summary, items, may_have_gone: false }
    }
}
