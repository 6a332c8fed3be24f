//! What passes between [`Delivery`](super::Delivery) and the task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::segment::Item;
use super::track::Place;
use crate::queue::{Log, QueueSeq};

/// One value for each log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::forward) struct PerLog<T> {
    pub(in crate::forward) raw: T,
    pub(in crate::forward) derived: T,
}

impl<T> PerLog<T> {
    pub(in crate::forward) fn from_fn(mut f: impl FnMut(Log) -> T) -> Self {
        Self { raw: f(Log::Raw), derived: f(Log::Derived) }
    }

    pub(in crate::forward) fn of(&self, log: Log) -> &T {
        match log {
            Log::Raw => &self.raw,
            Log::Derived => &self.derived,
        }
    }

    pub(in crate::forward) fn of_mut(&mut self, log: Log) -> &mut T {
        match log {
            Log::Raw => &mut self.raw,
            Log::Derived => &mut self.derived,
        }
    }
}

/// What is sent in an order of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::forward) enum Lane {
    /// The derived log.
    Derived,
    /// Raw records, the newest segment of the log.
    Live,
    /// Raw records that an outage or a lag left behind.
    Backlog,
}

impl Lane {
    pub(super) const ALL: [Self; 3] = [Self::Derived, Self::Live, Self::Backlog];

    pub(super) fn log(self) -> Log {
        match self {
            Self::Derived => Log::Derived,
            Self::Live | Self::Backlog => Log::Raw,
        }
    }

    pub(super) fn other(self) -> Option<Self> {
        match self {
            Self::Derived => None,
            Self::Live => Some(Self::Backlog),
            Self::Backlog => Some(Self::Live),
        }
    }
}

/// A batch, until it is done; then another one may have the number.
pub(in crate::forward) type BatchId = usize;

/// What became of a record that was to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::forward) enum Encoded {
    /// It is in the bytes for the sink.
    In,
    /// It could not be encoded, and is kept aside.
    Aside,
    /// Nothing of it is for this sink.
    LeftOut,
}

/// What the task is to do next.
#[derive(Debug)]
pub(in crate::forward) enum Action {
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
pub(in crate::forward) enum Verdict {
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
pub(in crate::forward) struct Progress {
    /// Records that are not settled, of both logs.
    pub(in crate::forward) waiting: u64,
    /// Until none is, as far as that can be told.
    pub(in crate::forward) remaining: Duration,
    /// Whether raw records go out in two lanes.
    pub(in crate::forward) has_backlog: bool,
}
