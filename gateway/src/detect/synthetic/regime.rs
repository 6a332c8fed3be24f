//! Benign changes that last: they are to be told once and then to be normal.

use super::chance::Chance;
use super::kind::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Regime {
    SetPoint,
    Amplitude,
    SensorNoise,
    /// Of a counter.
    Rate,
}

impl Regime {
    /// The changes that a kind can undergo in turn, by the number of the device.
    pub(crate) fn of(kind: Kind, device: usize) -> Self {
        match (kind, device % 3) {
            (Kind::Counter, _) => Self::Rate,
            (Kind::Constant | Kind::SparseTemperature, _) | (_, 0) => Self::SetPoint,
            (_, 1) => Self::Amplitude,
            (_, _) => Self::SensorNoise,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SetPoint => "set point",
            Self::Amplitude => "amplitude",
            Self::SensorNoise => "sensor noise",
            Self::Rate => "rate",
        }
    }
}

/// A change that is in force, of one channel.
#[derive(Clone, Debug)]
pub(super) enum Changed {
    Shifted(f64),
    Amplified { middle: f64, factor: f64 },
    Noisier { size: f64, chance: Chance },
    Faster { since: f64, factor: f64 },
}

impl Changed {
    pub(super) fn apply(&mut self, value: f64) -> f64 {
        match self {
            Self::Shifted(by) => value + *by,
            Self::Amplified { middle, factor } => *middle + (value - *middle) * *factor,
            Self::Noisier { size, chance } => value + *size * chance.normal(),
            Self::Faster { since, factor } => libm::round((value - *since) * *factor) + *since,
        }
    }
}
