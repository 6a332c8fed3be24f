//! The kinds of device, and what each can suffer.

use super::fault::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Room temperature with a resolution of 0.1.
    DailyTemperature,
    /// Motor current, cycles during working hours.
    ShiftMotor,
    /// Vibration under a load that changes every few hours.
    LoadVibration,
    /// Pressure that its control makes oscillate.
    OscillatingPressure,
    /// Slow, with a daily part.
    Humidity,
    /// A set point; every second one flickers by a digit.
    Constant,
    /// Energy pulses, counted up; back to 0 every ten days.
    Counter,
    /// Water of an office building.
    WeeklyFlow,
    /// On and off in cycles whose share follows the time of day.
    Compressor,
    /// Four operating points, each with its noise.
    Recipes,
    /// Nothing at night, clouds by day.
    Solar,
    /// Filled quickly, emptied slowly.
    Tank,
    /// Whole numbers of a converter, with hum.
    Converter,
    /// At rest, but for bursts of a few minutes.
    Bursts,
    /// A bearing at 100 readings a second.
    FastVibration,
    /// Temperature, one reading a minute.
    SparseTemperature,
    /// Pressure, flow, current and temperature of one pump.
    Pump,
}

impl Kind {
    /// Those of the first benchmark; its figures are comparable over these.
    pub(crate) const CLASSIC: [Self; 10] = [
        Self::DailyTemperature,
        Self::ShiftMotor,
        Self::LoadVibration,
        Self::OscillatingPressure,
        Self::Humidity,
        Self::Constant,
        Self::Counter,
        Self::WeeklyFlow,
        Self::Compressor,
        Self::Recipes,
    ];
    pub(crate) const MORE: [Self; 7] = [
        Self::Solar,
        Self::Tank,
        Self::Converter,
        Self::Bursts,
        Self::SparseTemperature,
        Self::Pump,
        Self::FastVibration,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DailyTemperature => "daily temperature",
            Self::ShiftMotor => "shift motor",
            Self::LoadVibration => "load vibration",
            Self::OscillatingPressure => "oscillating pressure",
            Self::Humidity => "humidity",
            Self::Constant => "constant",
            Self::Counter => "counter",
            Self::WeeklyFlow => "weekly flow",
            Self::Compressor => "compressor",
            Self::Recipes => "recipes",
            Self::Solar => "solar",
            Self::Tank => "tank",
            Self::Converter => "converter",
            Self::Bursts => "bursts",
            Self::FastVibration => "vibration 100 Hz",
            Self::SparseTemperature => "one a minute",
            Self::Pump => "pump, 4 channels",
        }
    }

    /// Between readings, milliseconds; a window is a whole number of them.
    pub(crate) fn step_ms(self) -> usize {
        match self {
            Self::FastVibration => 10,
            Self::SparseTemperature => 60_000,
            Self::DailyTemperature
            | Self::ShiftMotor
            | Self::LoadVibration
            | Self::OscillatingPressure
            | Self::Humidity
            | Self::Constant
            | Self::Counter
            | Self::WeeklyFlow
            | Self::Compressor
            | Self::Recipes
            | Self::Solar
            | Self::Tank
            | Self::Converter
            | Self::Bursts
            | Self::Pump => 1_000,
        }
    }

    pub(crate) fn channels(self) -> &'static [&'static str] {
        if self == Self::Pump { &["pressure", "flow", "current", "temperature"] } else { &["value"] }
    }

    /// Noise that belongs to the channel, in its unit: faults are measured in it.
    pub(super) fn noise(self, channel: usize) -> f64 {
        match self {
            Self::DailyTemperature | Self::SparseTemperature => 0.08,
            Self::ShiftMotor | Self::Compressor => 0.06,
            Self::LoadVibration => 0.04,
            Self::OscillatingPressure => 0.2,
            Self::Humidity | Self::Recipes => 0.4,
            Self::Constant => 0.1,
            Self::Counter => 1.0,
            Self::WeeklyFlow | Self::FastVibration => 0.15,
            Self::Solar => 8.0,
            Self::Tank => 0.5,
            Self::Converter => 3.0,
            Self::Bursts => 0.1,
            Self::Pump => [0.05, 0.6, 0.15, 0.1][channel],
        }
    }

    /// Gain acts about the middle of the day before, not of the moment.
    pub(super) fn is_slow(self) -> bool {
        matches!(
            self,
            Self::DailyTemperature
                | Self::Humidity
                | Self::WeeklyFlow
                | Self::SparseTemperature
                | Self::Solar
                | Self::Tank
                | Self::Pump
        )
    }

    /// Some faults mean nothing on some kinds, or are what the kind does anyway.
    pub(crate) fn can_have(self, fault: Fault) -> bool {
        use Fault::{Clipped, Coarse, Contact, Drift, Dropout, Frequency, Gain, Level, Noise, Relation, Spike, Stuck};
        match (self, fault) {
            (Self::Pump, Relation) => true,
            (_, Relation) => false,
            (Self::Constant, Stuck | Gain | Clipped | Coarse) => false,
            (Self::Counter, Level | Drift | Noise | Frequency | Clipped | Coarse | Contact) => false,
            // At rest for hours, or with too few readings for any shape.
            (Self::Bursts | Self::Solar, Stuck | Gain | Clipped | Coarse | Drift) => false,
            (Self::SparseTemperature, Spike | Stuck | Noise | Frequency | Gain | Clipped | Coarse | Contact) => false,
            (Self::Tank | Self::Pump, Gain | Clipped) => false,
            (_, Spike | Stuck | Level | Drift | Noise | Dropout | Frequency | Gain | Clipped | Coarse | Contact) => {
                true
            }
        }
    }

    /// For seeds: fixed, whatever the order above.
    pub(super) fn number(self) -> u64 {
        self as u64
    }
}
