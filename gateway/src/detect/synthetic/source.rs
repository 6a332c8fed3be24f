//! The clean values of one device, one moment after the other.

use super::CHANNELS_MAX;
use super::chance::Chance;
use super::kind::Kind;
use super::machines::{Bursts, Compressor, Constant, Converter, Loaded, Oscillating, Pump, Recipes, ShiftMotor, Tank};
use super::nature::{Counter, Daily, Solar, WeeklyFlow};

#[derive(Clone, Debug)]
enum Plant {
    Daily(Daily),
    ShiftMotor(ShiftMotor),
    Loaded(Loaded),
    Oscillating(Oscillating),
    Constant(Constant),
    Counter(Counter),
    WeeklyFlow(WeeklyFlow),
    Compressor(Compressor),
    Recipes(Recipes),
    Solar(Solar),
    Tank(Tank),
    Converter(Converter),
    Bursts(Bursts),
    FastVibration(Loaded),
    Pump(Pump),
}

#[derive(Clone, Debug)]
pub(super) struct Source {
    kind: Kind,
    plant: Plant,
    chance: Chance,
    step: u64,
}

impl Source {
    pub(super) fn new(kind: Kind, seed: u64) -> Self {
        let mut chance = Chance::of(seed, kind.number());
        let step_s = kind.step_ms() as f64 / 1e3;
        let c = &mut chance;
        let plant = match kind {
            Kind::DailyTemperature | Kind::SparseTemperature => Plant::Daily(Daily::temperature(step_s, c)),
            Kind::Humidity => Plant::Daily(Daily::humidity(step_s, c)),
            Kind::ShiftMotor => Plant::ShiftMotor(ShiftMotor::new(step_s, c)),
            Kind::LoadVibration => Plant::Loaded(Loaded::new(step_s, c)),
            Kind::FastVibration => Plant::FastVibration(Loaded::new(step_s, c)),
            Kind::OscillatingPressure => Plant::Oscillating(Oscillating::new(step_s, c)),
            Kind::Constant => Plant::Constant(Constant::new(c)),
            Kind::Counter => Plant::Counter(Counter::new(step_s, c)),
            Kind::WeeklyFlow => Plant::WeeklyFlow(WeeklyFlow::new(step_s, c)),
            Kind::Compressor => Plant::Compressor(Compressor::new(step_s, c)),
            Kind::Recipes => Plant::Recipes(Recipes::new(step_s, c)),
            Kind::Solar => Plant::Solar(Solar::new(step_s, c)),
            Kind::Tank => Plant::Tank(Tank::new(step_s, c)),
            Kind::Converter => Plant::Converter(Converter::new(step_s, c)),
            Kind::Bursts => Plant::Bursts(Bursts::new(step_s, c)),
            Kind::Pump => Plant::Pump(Pump::new(step_s, c)),
        };
        Self { kind, plant, chance, step: 0 }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Of an oscillation that the kind has, seconds.
    pub(super) fn period_s(&self) -> Option<f64> {
        if let Plant::Oscillating(o) = &self.plant { Some(o.period_s) } else { None }
    }

    /// Milliseconds since the beginning, and the values of the device's channels.
    pub(super) fn next(&mut self) -> (u64, [f64; CHANNELS_MAX]) {
        let at_ms = self.step * self.kind.step_ms() as u64;
        let at_s = at_ms as f64 / 1e3;
        self.step += 1;
        let c = &mut self.chance;
        let one = match &mut self.plant {
            Plant::Daily(p) => p.next(at_s, c),
            Plant::ShiftMotor(p) => p.next(at_s, c),
            Plant::Loaded(p) => p.next(c),
            Plant::FastVibration(p) => p.next_fast(at_s, c),
            Plant::Oscillating(p) => p.next(c),
            Plant::Constant(p) => p.next(c),
            Plant::Counter(p) => p.next(at_s, c),
            Plant::WeeklyFlow(p) => p.next(at_s, c),
            Plant::Compressor(p) => p.next(at_s, c),
            Plant::Recipes(p) => p.next(at_s, c),
            Plant::Solar(p) => p.next(at_s, c),
            Plant::Tank(p) => p.next(c),
            Plant::Converter(p) => p.next(at_s, c),
            Plant::Bursts(p) => p.next(at_s, c),
            Plant::Pump(p) => return (at_ms, p.next(c)),
        };
        (at_ms, [one, 0.0, 0.0, 0.0])
    }
}
