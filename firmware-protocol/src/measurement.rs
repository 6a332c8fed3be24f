//! The one model of decoded sensor data: a [`Measurement`] is what one message said.

use crate::{BootId, DeviceSeq};

/// Nanoseconds since 1970-01-01T00:00:00Z on the device's clock (or the gateway's, where the device has none).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// The identity that a firmware frame carries; with the device's name it is unique for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameIdentity {
    pub boot: BootId,
    pub seq: DeviceSeq,
}

/// Index of a channel within one [`Measurement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelIndex(pub u16);

/// One channel's value at one event time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub channel: ChannelIndex,
    pub at: EventTime,
    pub value: f64,
}

/// How far the gateway's clock is to be trusted in a time that it gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClockTrust {
    /// It had been set: the time is as good as the clock.
    #[default]
    Set,
    /// It had not been set when the record had to go on: the true time is later.
    Unsynchronised,
    /// It was never set before the machine went down. The time was derived from the start after that: the true time is
    /// not later.
    Estimated,
}

impl ClockTrust {
    pub const ALL: [Self; 3] = [Self::Set, Self::Unsynchronised, Self::Estimated];

    /// The value of the tag, header or field `clock`, which is left out where there is nothing to be told.
    pub const fn mark(self) -> Option<&'static str> {
        match self {
            Self::Set => None,
            Self::Unsynchronised => Some("unsynchronised"),
            Self::Estimated => Some("estimated"),
        }
    }
}

/// When the gateway received a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub at: EventTime,
    pub clock: ClockTrust,
}

impl Received {
    /// By a clock that was set.
    pub const fn known(at: EventTime) -> Self {
        Self { at, clock: ClockTrust::Set }
    }
}

/// What one message said: a device, its channels and their readings.
///
/// Meant to be reused: `clear` keeps the allocations, so decoding a stream allocates nothing in the steady state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    device: String,
    pub identity: Option<FrameIdentity>,
    /// Some reading has no time of its own, but the one when the message was received.
    pub uses_received_time: bool,
    /// How far that time is to be trusted; `Set` if no reading has it. Decoders leave it to `decode::settle_times`.
    pub clock: ClockTrust,
    names: String,
    name_ends: Vec<u32>,
    pub readings: Vec<Reading>,
}

impl Measurement {
    pub fn clear(&mut self) {
        self.device.clear();
        self.identity = None;
        self.uses_received_time = false;
        self.clock = ClockTrust::Set;
        self.names.clear();
        self.name_ends.clear();
        self.readings.clear();
    }

    pub fn set_device(&mut self, device: &str) {
        self.device.clear();
        self.device.push_str(device);
    }

    pub fn device(&self) -> &str {
        &self.device
    }

    /// Adds a channel without looking for one of the same name: for callers that know it is new.
    ///
    /// # Panics
    /// If there are 65 535 channels already; every decoder limits them far below.
    pub fn push_channel(&mut self, name: &str) -> ChannelIndex {
        let index = u16::try_from(self.name_ends.len()).expect("decoders limit the channels of a message");
        self.names.push_str(name);
        self.name_ends.push(self.names.len() as u32);
        ChannelIndex(index)
    }

    pub fn channel_count(&self) -> usize {
        self.name_ends.len()
    }

    /// The name of a channel of this measurement.
    ///
    /// # Panics
    /// If the index is of another measurement.
    pub fn channel(&self, index: ChannelIndex) -> &str {
        let i = usize::from(index.0);
        let start = if i == 0 { 0 } else { self.name_ends[i - 1] as usize };
        &self.names[start..self.name_ends[i] as usize]
    }

    pub fn channels(&self) -> impl Iterator<Item = (ChannelIndex, &str)> {
        (0..self.name_ends.len()).map(|i| {
            let index = ChannelIndex(i as u16);
            (index, self.channel(index))
        })
    }
}
