//! What a device sends: clean values, perhaps of a new regime, perhaps under faults.

use super::chance::Chance;
use super::fault::{Active, Before, Fault};
use super::kind::Kind;
use super::regime::{Changed, Regime};
use super::source::Source;
use super::{CHANNELS_MAX, DAY_S, WINDOW_S};

/// One in this many readings is lost on a good day.
const LOST: f64 = 0.005;
/// The day before is remembered by one value a minute.
const REMEMBERED_EVERY_MS: u64 = 60_000;
const REMEMBERED_MAX: usize = DAY_S * 1_000 / REMEMBERED_EVERY_MS as usize;

/// The readings of one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Since the device's first moment, the midnight before a Monday.
    pub(crate) at_ms: u64,
    /// By the kind's channels; `None` where the reading is lost.
    pub(crate) values: [Option<f64>; CHANNELS_MAX],
}

/// A device's readings from its first moment on; a clone goes on alike.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    source: Source,
    /// Another device of the kind, for broken relations; made when needed.
    other: Option<Source>,
    seed: u64,
    windows: usize,
    lost: Chance,
    changes: [Option<Changed>; CHANNELS_MAX],
    faults: Vec<(usize, Active)>,
    last: [f64; CHANNELS_MAX],
    remembered: Vec<[f64; CHANNELS_MAX]>,
}

impl Stream {
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        Self {
            source: Source::new(kind, seed),
            other: None,
            seed,
            windows: 0,
            lost: Chance::of(seed, 1_000 + kind.number()),
            changes: Default::default(),
            faults: Vec::new(),
            last: [0.0; CHANNELS_MAX],
            remembered: Vec::new(),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.source.kind()
    }

    /// Windows that were made so far.
    pub(crate) fn windows(&self) -> usize {
        self.windows
    }

    /// From the next window on one channel behaves differently for good.
    pub(crate) fn change(&mut self, regime: Regime, channel: usize) {
        let mut chance = Chance::of(self.seed, 2_000);
        let (noise, (spread, middle)) = (self.kind().noise(channel), self.of_the_day_before(channel));
        self.changes[channel] = Some(match regime {
            Regime::SetPoint => Changed::Shifted(chance.sign() * (6.0 * noise + 1.5 * spread)),
            Regime::Amplitude => Changed::Amplified { middle, factor: 1.6 },
            Regime::SensorNoise => Changed::Noisier { size: 2.0 * noise, chance },
            Regime::Rate => Changed::Faster { since: self.last[channel], factor: 1.6 },
        });
    }

    /// A fault on one channel begins `offset_s` after the start of the next window.
    pub(crate) fn inject(&mut self, fault: Fault, channel: usize, offset_s: usize, severity: f64, mut chance: Chance) {
        let kind = self.kind();
        let (spread, middle) = self.of_the_day_before(channel);
        let centre = if kind.is_slow() { middle } else { self.middle_of_the_next(fault.windows(), channel) };
        let before = Before {
            noise: kind.noise(channel),
            spread: if kind == Kind::Counter { 0.0 } else { spread },
            middle,
            centre,
            period_s: self.source.period_s(),
            is_counter: kind == Kind::Counter,
        };
        let from_ms = ((self.windows * WINDOW_S + offset_s) * 1_000) as u64;
        // A spike is over with its window, all others last their time.
        let length_ms = (fault.windows() * WINDOW_S * 1_000) as u64
            - if fault == Fault::Spike { offset_s as u64 * 1_000 } else { 0 };
        if fault == Fault::Relation {
            let mut other = Source::new(kind, self.seed ^ 0x07_5eed);
            (0..self.windows * WINDOW_S * 1_000 / kind.step_ms()).for_each(|_| {
                other.next();
            });
            self.other = Some(other);
        }
        let seed = (chance.unit() * (1_u64 << 53) as f64) as u64;
        let span = (from_ms, from_ms + length_ms);
        let active = Active::new(fault, span, kind.step_ms() as u64, severity, before, Chance::new(seed));
        self.faults.push((channel, active));
    }

    /// Appends the readings of the next ten minutes.
    pub(crate) fn next_window(&mut self, out: &mut Vec<Tick>) {
        let kind = self.kind();
        let start_ms = (self.windows * WINDOW_S * 1_000) as u64;
        self.faults.retain(|(_, f)| !f.is_over(start_ms));
        for _ in 0..WINDOW_S * 1_000 / kind.step_ms() {
            out.push(self.next_tick());
        }
        self.windows += 1;
    }

    fn next_tick(&mut self) -> Tick {
        let (at_ms, values) = self.source.next();
        let other = self.other.as_mut().map(|o| o.next().1);
        let mut tick = Tick { at_ms, values: [None; CHANNELS_MAX] };
        let mut clean = values;
        for channel in 0..self.kind().channels().len() {
            if let Some(change) = &mut self.changes[channel] {
                clean[channel] = change.apply(clean[channel]);
            }
            let mut value = Some(clean[channel]);
            for (_, fault) in self.faults.iter_mut().filter(|(c, _)| *c == channel) {
                let other = other.map_or(clean[channel], |o| o[channel]);
                value = value.and_then(|v| fault.apply(at_ms, v, self.last[channel], other));
            }
            // Asked for in any case, so that faults change nothing else.
            let is_lost = self.lost.unit() < LOST;
            tick.values[channel] = value.filter(|_| !is_lost);
        }
        if at_ms % REMEMBERED_EVERY_MS == 0 {
            if self.remembered.len() < REMEMBERED_MAX {
                self.remembered.push(clean);
            } else {
                self.remembered[(at_ms / REMEMBERED_EVERY_MS) as usize % REMEMBERED_MAX] = clean;
            }
        }
        self.last = clean;
        tick
    }

    /// Standard deviation and median.
    fn of_the_day_before(&self, channel: usize) -> (f64, f64) {
        spread_and_middle(self.remembered.iter().map(|v| v[channel]).collect())
    }

    fn middle_of_the_next(&self, windows: usize, channel: usize) -> f64 {
        let mut ahead = self.clone();
        ahead.faults.clear();
        let mut ticks = Vec::new();
        let mut values = Vec::new();
        for _ in 0..windows {
            ticks.clear();
            ahead.next_window(&mut ticks);
            // Every tenth is enough for a median.
            values.extend(ticks.iter().step_by(10).filter_map(|t| t.values[channel]));
        }
        spread_and_middle(values).1
    }
}

fn spread_and_middle(mut values: Vec<f64>) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    values.sort_unstable_by(f64::total_cmp);
    (variance.sqrt(), values.get(values.len() / 2).copied().unwrap_or_default())
}
