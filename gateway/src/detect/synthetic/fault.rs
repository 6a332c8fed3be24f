//! The faults, and what each does to the values while it lasts.

use std::f64::consts::TAU;

use super::WINDOW_S;
use super::chance::Chance;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    Spike,
    Stuck,
    Level,
    Drift,
    Noise,
    Dropout,
    Frequency,
    Gain,
    /// Values end at limits that they used to pass.
    Clipped,
    /// The resolution is lost.
    Coarse,
    /// A loose contact: 0 for a few seconds, now and then.
    Contact,
    /// The channel goes on as another device's of its kind would: alone it looks normal.
    Relation,
}

impl Fault {
    /// Those of the first benchmark.
    pub(crate) const CLASSIC: [Self; 8] =
        [Self::Spike, Self::Stuck, Self::Level, Self::Drift, Self::Noise, Self::Dropout, Self::Frequency, Self::Gain];
    pub(crate) const MORE: [Self; 4] = [Self::Clipped, Self::Coarse, Self::Contact, Self::Relation];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Stuck => "stuck",
            Self::Level => "level",
            Self::Drift => "drift",
            Self::Noise => "noise",
            Self::Dropout => "dropout",
            Self::Frequency => "frequency",
            Self::Gain => "gain",
            Self::Clipped => "clipped",
            Self::Coarse => "coarse",
            Self::Contact => "contact",
            Self::Relation => "relation",
        }
    }

    /// How long it lasts, in windows of ten minutes.
    pub(crate) fn windows(self) -> usize {
        match self {
            Self::Spike => 1,
            Self::Dropout => 6,
            Self::Drift => 72,
            Self::Relation => 36,
            Self::Stuck | Self::Level | Self::Noise | Self::Frequency | Self::Gain => 12,
            Self::Clipped | Self::Coarse | Self::Contact => 12,
        }
    }

    /// Where in its first window it may begin, seconds: a spike must fall into that window.
    pub(crate) fn offset_s(self, chance: &mut Chance) -> usize {
        if self == Self::Spike { 0 } else { chance.below(WINDOW_S) }
    }
}

/// What a fault must know of the channel before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The kind's noise, and the spread and middle of the day before.
    pub(super) noise: f64,
    pub(super) spread: f64,
    pub(super) middle: f64,
    /// About which a gain acts.
    pub(super) centre: f64,
    pub(super) period_s: Option<f64>,
    pub(super) is_counter: bool,
}

/// A fault under way.
#[derive(Clone, Debug)]
pub(super) struct Active {
    fault: Fault,
    from_ms: u64,
    to_ms: u64,
    severity: f64,
    before: Before,
    chance: Chance,
    sign: f64,
    /// Of a dropout.
    share: f64,
    /// Of a spike: first and last millisecond and what is added.
    spikes: Vec<(u64, u64, f64)>,
    /// The first value under the fault; of a counter the last before it.
    held: Option<f64>,
    off_until_ms: u64,
}

impl Active {
    pub(super) fn new(
        fault: Fault,
        (from_ms, to_ms): (u64, u64),
        step_ms: u64,
        severity: f64,
        before: Before,
        mut chance: Chance,
    ) -> Self {
        let (sign, share) = (chance.sign(), (chance.between(0.5, 1.0) * severity).min(1.0));
        let steps = ((to_ms - from_ms) / step_ms) as usize;
        let count = if before.is_counter { 1 } else { 1 + chance.below(3) };
        let mut spikes = Vec::with_capacity(count);
        for _ in 0..count {
            let at = from_ms + chance.below(steps) as u64 * step_ms;
            spikes.push(if before.is_counter {
                // A counter that jumps stays ahead.
                (at, to_ms, libm::round(40.0 * before.noise * severity * chance.between(1.0, 2.0)))
            } else {
                let length = (1 + chance.below(3)) as u64 * step_ms;
                (at, at + length, chance.sign() * severity * (15.0 * before.noise + 2.0 * before.spread))
            });
        }
        Self { fault, from_ms, to_ms, severity, before, chance, sign, share, spikes, held: None, off_until_ms: 0 }
    }

    pub(super) fn is_over(&self, at_ms: u64) -> bool {
        at_ms >= self.to_ms
    }

    /// The value under the fault, `None` if it is lost. `last` is the channel's last value before, `other` another's now.
    pub(super) fn apply(&mut self, at_ms: u64, value: f64, last: f64, other: f64) -> Option<f64> {
        if !(self.from_ms..self.to_ms).contains(&at_ms) {
            return Some(value);
        }
        let Before { noise, spread, middle, centre, .. } = self.before;
        let since_s = (at_ms - self.from_ms) as f64 / 1e3;
        let severity = self.severity;
        let held = *self.held.get_or_insert(if self.before.is_counter { last } else { value });
        Some(match self.fault {
            Fault::Spike => {
                value + self.spikes.iter().filter(|s| (s.0..s.1).contains(&at_ms)).map(|s| s.2).sum::<f64>()
            }
            Fault::Stuck => held,
            Fault::Level => value + self.sign * severity * (6.0 * noise + 2.0 * spread),
            Fault::Drift => {
                let share = (at_ms - self.from_ms) as f64 / (self.to_ms - self.from_ms) as f64;
                value + self.sign * severity * (8.0 * noise + 3.0 * spread) * share
            }
            Fault::Noise => value + self.chance.normal() * 4.0 * noise * severity,
            Fault::Dropout if self.chance.unit() < self.share => return None,
            Fault::Dropout => value,
            Fault::Frequency => {
                let size = if self.before.period_s.is_some() { 0.3 } else { 3.0 * noise };
                let period_s = self.before.period_s.unwrap_or(60.0) / 2.5;
                value + severity * size * libm::sin(TAU * since_s / period_s)
            }
            Fault::Gain if self.before.is_counter => held + libm::round((value - held) * (1.0 + 2.0 * severity)),
            Fault::Gain => centre + (value - centre) * (1.0 + 2.0 * severity),
            Fault::Clipped => {
                // The severer, the nearer the limits are to the middle of the moment.
                let reach = noise * (1.2 - 0.9 * severity);
                value.clamp(centre - reach, centre + reach)
            }
            Fault::Coarse => {
                let digit = 8.0 * noise * severity;
                libm::round(value / digit) * digit
            }
            Fault::Contact => {
                if at_ms >= self.off_until_ms && self.chance.unit() < 0.01 * severity {
                    self.off_until_ms = at_ms + 1_000 * (1 + self.chance.below(5)) as u64;
                }
                if at_ms < self.off_until_ms { middle - 30.0 * noise - 2.0 * spread } else { value }
            }
            Fault::Relation => severity * other + (1.0 - severity) * value,
        })
    }
}
