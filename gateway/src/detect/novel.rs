//! NOVEL: how far a value lies from everything that its channel has shown, sample by sample or window by window.
//!
//! For channels with few samples a window, where a window's features say little. There is no learning phase but a warm-up
//! of 250 values; each verdict rests on earlier values alone. Decision 0024 has the reasons and the figures.
//!
//! # Idea
//! ```text
//! value ─┬───────────────▶ Seen ─▶ distance / spread ─▶ Rank ─▶ decades ─┐ Σ distance · decades
//!        ├─ − hour's mean ▶ Seen ─▶ …                                    ├─▶ √ ─▶ Rank ─▶ √(score · decades)
//!        └─ − trend ──────▶ Seen ─▶ …                                    ┘          ─▶ record of its span? ─▶ alarm
//! ```
//! A distance counts by its size *and* by its rarity among earlier distances; so does the sum of the three.
//!
//! # Invariants
//! - Pure: no clock. The same values give the same bits on all processors (plain f64 loops, `libm`).
//! - At most [`Novel`]'s three lists of 128 values, four histograms of 64 bins, 24 means: under 8 KB a channel for ever.
//! - The unit of a channel does not matter.
//!
//! # Not here
//! Repeats: a value seen once is no longer novel. What comes back is the window detector's matter.
//! False values: what a device may not send is for the rules.

use std::num::NonZeroU32;

use firmware_protocol::measurement::EventTime;
use serde::{Deserialize, Serialize};

mod expected;
mod rank;
mod records;
mod seen;
mod threshold;

use expected::{Hours, Mean};
use rank::Rank;
use records::Records;
use seen::Seen;
pub(crate) use threshold::Threshold;

/// Values before residuals are looked at: the first means are guesses.
const SETTLED: u64 = 50;
/// Visits of an hour after which its mean follows: about one hour of five-minute samples, so the mean is mostly that of
/// yesterday's hour; two windows' hours. A robust or slower mean scored lower on NAB.
const HOUR_MEMORY: u32 = 10;
/// Beyond it differences of two values overflow.
const VALUE_MAX: f64 = 1e300;

/// What one value stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Spacing {
    /// One sample, as it came.
    Sample,
    /// The mean of a closed ten-minute window.
    Window,
}

impl Spacing {
    /// Values that the trend remembers: 16 hours of five-minute samples or of windows.
    fn trend_memory(self) -> u32 {
        match self {
            Self::Sample => 192,
            Self::Window => 96,
        }
    }

    /// Values within which an event is told once: ten hours at least; for samples a sixteenth of the past, three days at
    /// most. (Windows gain nothing by a span that grows.)
    fn record_span(self, values: u64) -> NonZeroU32 {
        let span = match self {
            Self::Sample => (values / 16).clamp(120, 1_000) as u32,
            Self::Window => 70,
        };
        NonZeroU32::new(span).expect("spans are at least 70")
    }
}

/// Which of the three views of a value was the most novel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum View {
    /// The value itself.
    Value,
    /// Its distance from the mean of its hour of the day.
    HourOfDay,
    /// Its distance from the mean of the last day or so.
    Trend,
}

impl View {
    const ALL: [Self; 3] = [Self::Value, Self::HourOfDay, Self::Trend];

    /// The distance that is none where values come in ticks: the next one is the nearest that can be new, and a residual
    /// is known to half of one. Without it a rare count is an alarm.
    fn known_to(self, tick: f64) -> f64 {
        match self {
            Self::Value => tick,
            Self::HourOfDay | Self::Trend => 0.5 * tick,
        }
    }
}

/// The verdict on one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NovelScore {
    /// 0 and more; 0 also where a higher one came shortly before.
    pub(crate) raw: f64,
    pub(crate) view: View,
    /// Values that would not have been novel, on the side of the nearest one, in the channel's unit.
    pub(crate) expected_low: f64,
    pub(crate) expected_high: f64,
}

/// Why a value is not judged.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    #[error("value {0} is not a number, or larger than {VALUE_MAX:e}: it is skipped")]
    NotJudged(f64),
}

/// A channel's memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Novel {
    spacing: Spacing,
    values: u64,
    hours: Hours,
    trend: Mean,
    /// By [`View`].
    seen: Vec<Seen>,
    distances: Vec<Rank>,
    scores: Rank,
    records: Records,
}

impl Novel {
    pub(crate) fn new(spacing: Spacing) -> Self {
        Self {
            spacing,
            values: 0,
            hours: Hours::new(),
            trend: Mean::default(),
            seen: vec![Seen::default(); View::ALL.len()],
            distances: vec![Rank::new(); View::ALL.len()],
            scores: Rank::new(),
            records: Records::default(),
        }
    }

    /// Whether it gives verdicts: before, every score is 0. It takes about 250 values.
    pub(crate) fn is_warm(&self) -> bool {
        self.distances.iter().chain([&self.scores]).all(Rank::is_warm)
    }

    /// Values so far.
    pub(crate) fn values(&self) -> u64 {
        self.values
    }

    /// Judges a value by the earlier ones, then remembers it.
    ///
    /// # Errors
    /// [`Error::NotJudged`]: the value is not finite or too large; nothing was remembered.
    pub(crate) fn observe(&mut self, at: EventTime, value: f64) -> Result<NovelScore, Error> {
        if value.is_nan() || value.abs() > VALUE_MAX {
            return Err(Error::NotJudged(value));
        }
        self.values += 1;
        let spread = self.seen[View::Value as usize].spread();
        let hour = self.hours.of(at).before(value, HOUR_MEMORY, spread);
        let trend = self.trend.before(value, self.spacing.trend_memory(), spread);
        let tick = self.seen[View::Value as usize].tick();
        let bases = [0.0, hour, trend];
        let (mut sum, mut most) = (0.0, Novelty { amount: -1.0, view: View::Value, low: value, high: value });
        for view in View::ALL {
            let novelty = self.novelty(view, value - bases[view as usize], (spread, tick));
            let novelty = novelty.around(bases[view as usize]);
            sum += novelty.amount;
            if novelty.amount > most.amount {
                most = novelty;
            }
        }
        let score = sum.sqrt();
        let is_warm = self.distances.iter().all(Rank::is_warm);
        let raw = if is_warm { (score * self.scores.observe(score)).sqrt() } else { 0.0 };
        let is_record = self.records.is_record(self.values, raw, self.spacing.record_span(self.values));
        Ok(NovelScore {
            raw: if is_record { raw } else { 0.0 },
            view: most.view,
            expected_low: most.low,
            expected_high: most.high,
        })
    }

    /// How novel a view of the value is; remembers it there.
    fn novelty(&mut self, view: View, value: f64, (spread, tick): (f64, f64)) -> Novelty {
        let (seen, distances) = (&mut self.seen[view as usize], &mut self.distances[view as usize]);
        let place = seen.place(value);
        seen.insert(value);
        let is_settled = view == View::Value || self.values > SETTLED;
        match place {
            Some(place) if is_settled && spread > 0.0 => {
                let share = (place.distance - view.known_to(tick)).max(0.0) / spread;
                let amount = share * distances.observe(share);
                Novelty { amount, view, low: place.low, high: place.high }
            }
            Some(_) | None => Novelty { amount: 0.0, view, low: value, high: value },
        }
    }
}

/// One view's part of a score.
struct Novelty {
    amount: f64,
    view: View,
    /// Values that would not have been novel, on the side of the nearest one.
    low: f64,
    high: f64,
}

impl Novelty {
    /// Of a view that is a distance from `base`, as values of the channel.
    fn around(self, base: f64) -> Self {
        Self { low: base + self.low, high: base + self.high, ..self }
    }
}

#[cfg(test)]
mod tests;
