//! When a device has been silent for too long: longer than the limit, than it promised, and than it uses to be.
//!
//! # Invariants
//! - Found once a silence, at a time that follows from what was heard before, whenever it is asked.
//! - What was silent twice as long within some weeks (nights, weekends) is usual, and not found a third time.
//! - A gateway that was not there itself does not take that for silence of the device.

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::EventTime;

use super::{Finding, broken};
use crate::text::utc_minute;

/// A device must be heard this often before its silence means anything.
const HEARD_MIN: u32 = 4;
/// Silence of so many times the promised interval between readings is too long,
const PROMISED_INTERVALS: i64 = 4;
/// and so many times the mean time between messages: of messages at random times one in 3 000 is later.
const MEAN_GAPS: i64 = 8;
/// Messages that the mean goes back.
const MEAN_OF: i64 = 16;
/// A silence is usual up to one and a half times the second longest of late.
const USUAL_RATIO: f64 = 1.5;
/// A longest silence counts half as much after four weeks: of the last two weekends both count at the next.
const HALF_LIFE_NS: f64 = 28.0 * 86_400e9;
/// Decades above the threshold: nothing can be known of the device any more.
const SCORE: f64 = 3.0;

/// When a device was heard, by the gateway's clock; small, saved with the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Rhythm {
    heard_ns: i64,
    /// Up to [`HEARD_MIN`].
    heard: u32,
    mean_gap_ns: i64,
    /// The two longest gaps, the longer first, as they count at `heard_ns`.
    longest_ns: [f64; 2],
    is_silent: bool,
}

/// When the gateway itself did not listen: from the newest message of before until it was started again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::detect) struct Absence {
    pub(in crate::detect) from: EventTime,
    pub(in crate::detect) until: EventTime,
}

impl Absence {
    /// It has been there all along.
    pub(in crate::detect) const NONE: Self = Self { from: EventTime(i64::MIN), until: EventTime(i64::MIN) };
}

impl Rhythm {
    /// A message was received. Says whether that ends a silence which was found.
    pub(in crate::detect) fn on_message(&mut self, received_at: EventTime) -> bool {
        let gap_ns = received_at.0.saturating_sub(self.heard_ns).max(0);
        let was_silent = std::mem::take(&mut self.is_silent);
        if self.heard > 0 {
            let faded = libm::exp2(-(gap_ns as f64) / HALF_LIFE_NS);
            let [first, second] = self.longest_ns.map(|gap| gap * faded);
            let gap = gap_ns as f64;
            self.longest_ns = if gap > first { [gap, first] } else { [first, second.max(gap)] };
            // The first gap is all that is known.
            self.mean_gap_ns =
                if self.heard == 1 { gap_ns } else { self.mean_gap_ns + (gap_ns - self.mean_gap_ns) / MEAN_OF };
        }
        self.heard = (self.heard + 1).min(HEARD_MIN);
        self.heard_ns = self.heard_ns.max(received_at.0);
        was_silent
    }

    /// Whether the device is silent for too long: then since when, and when that was so. `limit_ns` is the least that is
    /// too long, `interval_ns` the shortest promised time between readings (0: none is promised).
    pub(in crate::detect) fn check(
        &mut self,
        now: EventTime,
        absence: Absence,
        limit_ns: i64,
        interval_ns: i64,
    ) -> Option<(EventTime, EventTime)> {
        let due_at = self.due_at(absence, limit_ns, interval_ns).filter(|due_at| now >= *due_at)?;
        self.is_silent = true;
        Some((EventTime(self.heard_ns), due_at))
    }

    /// When the silence becomes one that is told, unless something comes; `None` if it is told already, or too little is
    /// known of the device.
    pub(in crate::detect) fn due_at(&self, absence: Absence, limit_ns: i64, interval_ns: i64) -> Option<EventTime> {
        if self.is_silent || self.heard < HEARD_MIN {
            return None;
        }
        // Who promises an interval is held to it, but for readings that are sent together.
        let patience_ns = match interval_ns {
            0 => (self.longest_ns[1] * USUAL_RATIO) as i64,
            interval_ns => interval_ns.saturating_mul(PROMISED_INTERVALS),
        };
        let patience_ns = patience_ns.max(self.mean_gap_ns.saturating_mul(MEAN_GAPS)).max(limit_ns);
        let due_ns = self.heard_ns.saturating_add(patience_ns);
        // Patience begins anew once somebody listens again.
        let is_unheard = due_ns > absence.from.0 && self.heard_ns < absence.until.0;
        Some(EventTime(if is_unheard { absence.until.0.saturating_add(patience_ns) } else { due_ns }))
    }
}

/// What is told of a silence.
pub(in crate::detect) fn finding(since: EventTime, found_at: EventTime) -> Finding {
    let silent_s = (found_at.0 - since.0) as f64 / 1e9;
    let long = match silent_s {
        ..120.0 => format!("{} seconds", silent_s.round()),
        _ => format!("{} minutes", (silent_s / 60.0).round()),
    };
    let summary = format!("nothing has come since {} UTC, for {long}", utc_minute(since));
    broken("silent", "silence_s", silent_s, (0.0, silent_s), SCORE, summary)
}
