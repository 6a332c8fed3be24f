//! The one model of decoded sensor data: a [`Measurement`] is what one message said.

use crate::{BootId, DeviceSeq};

/// Nanoseconds since 1970-01-01T00:00:00Z on the device's clock (or the gateway's, where the device has none).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Stands for a time that is told later in the message; no decoder leaves it in a measurement.
    pub(crate) const UNSET: Self = Self(i64::MIN);

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
    /// It says what the device is and measures, or that it came or went: nothing to be written, and nothing amiss.
    pub is_announcement: bool,
    /// Some reading has no time of its own, but the one when the message was received.
    pub uses_received_time: bool,
    /// How far that time is to be trusted; `Set` if no reading has it. Decoders leave it to `decode::settle_times`.
    pub clock: ClockTrust,
    names: String,
    /// Where each channel's name begins and ends in `names`.
    name_spans: Vec<(u32, u32)>,
    /// In the order of the channels; channels without one may be left out at the end.
    units: Vec<Unit>,
    pub readings: Vec<Reading>,
    texts: Vec<TextReading>,
    /// All texts, one after the other.
    text: String,
    /// What an announcement tells of its channels, in their order; those of which it tells nothing are left out.
    pub limits: Vec<(ChannelIndex, ChannelLimits)>,
    /// Keys and values in turn, one after the other.
    tags: String,
    tag_ends: Vec<u32>,
    pub dropped: Dropped,
}

/// What a device tells of a channel beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChannelLimits {
    /// The least and the largest reading that it can measure, in the unit of its readings.
    pub range: Option<(f64, f64)>,
    /// From one sample to the next, microseconds; 0 if that varies or is not known.
    pub interval_micros: u32,
}

/// Readings that a message had and that make none here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Infinite, or not a number.
    pub not_finite: u32,
    /// Outside what its channel's rule calls possible.
    pub out_of_bounds: u32,
    /// Texts that are none of the words which their channel's rule knows.
    pub unknown_words: u32,
}

/// What becomes of a text under the rules of a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TextFate {
    Keep,
    /// Nothing is to be read there.
    Drop,
    UnknownWord,
    OutOfBounds,
    /// It stands for a number.
    Number(f64),
}

impl Dropped {
    /// With words for a metric's label.
    pub fn by_reason(self) -> [(&'static str, u32); 3] {
        let Self { not_finite, out_of_bounds, unknown_words } = self;
        [("not_finite", not_finite), ("out_of_bounds", out_of_bounds), ("unknown_word", unknown_words)]
    }
}

/// A channel's value at one event time that is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TextReading {
    channel: ChannelIndex,
    at: EventTime,
    start: u32,
    end: u32,
}

/// A unit's name, as the sender or a rule gives it; 16 bytes hold all that are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unit {
    text: [u8; UNIT_MAX_BYTES],
    length: u8,
}

/// Longest name of a unit, bytes.
pub const UNIT_MAX_BYTES: usize = 16;

impl Measurement {
    pub fn clear(&mut self) {
        self.device.clear();
        self.identity = None;
        self.is_announcement = false;
        self.uses_received_time = false;
        self.clock = ClockTrust::Set;
        self.names.clear();
        self.name_spans.clear();
        self.units.clear();
        self.readings.clear();
        self.texts.clear();
        self.text.clear();
        self.limits.clear();
        self.tags.clear();
        self.tag_ends.clear();
        self.dropped = Dropped::default();
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
        let index = u16::try_from(self.name_spans.len()).expect("decoders limit the channels of a message");
        let start = self.names.len() as u32;
        self.names.push_str(name);
        self.name_spans.push((start, self.names.len() as u32));
        ChannelIndex(index)
    }

    /// Gives a channel of this measurement another name.
    pub(crate) fn rename_channel(&mut self, index: ChannelIndex, name: &str) {
        let start = self.names.len() as u32;
        if let Some(span) = self.name_spans.get_mut(usize::from(index.0)) {
            self.names.push_str(name);
            *span = (start, self.names.len() as u32);
        }
    }

    pub fn channel_count(&self) -> usize {
        self.name_spans.len()
    }

    /// The name of a channel of this measurement.
    ///
    /// # Panics
    /// If the index is of another measurement.
    pub fn channel(&self, index: ChannelIndex) -> &str {
        let (start, end) = self.name_spans[usize::from(index.0)];
        &self.names[start as usize..end as usize]
    }

    /// The unit of a channel's readings; empty if nothing tells it.
    pub fn unit(&self, index: ChannelIndex) -> &str {
        let unit = self.units.get(usize::from(index.0)).and_then(|unit| unit.text.get(..usize::from(unit.length)));
        unit.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// A name longer than [`UNIT_MAX_BYTES`] tells nothing.
    pub fn set_unit(&mut self, index: ChannelIndex, name: &str) {
        let i = usize::from(index.0);
        if self.units.len() <= i {
            self.units.resize(i + 1, Unit::default());
        }
        let mut unit = Unit::default();
        if let Some(text) = unit.text.get_mut(..name.len()) {
            text.copy_from_slice(name.as_bytes());
            unit.length = name.len() as u8;
        }
        if let Some(known) = self.units.get_mut(i) {
            *known = unit;
        }
    }

    pub fn push_text(&mut self, channel: ChannelIndex, at: EventTime, text: &str) {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        self.texts.push(TextReading { channel, at, start, end: self.text.len() as u32 });
    }

    /// Readings that are text: channel, event time and text, in the order in which they were sent.
    pub fn texts(&self) -> impl Iterator<Item = (ChannelIndex, EventTime, &str)> {
        self.texts
            .iter()
            .map(|t| (t.channel, t.at, self.text.get(t.start as usize..t.end as usize).unwrap_or_default()))
    }

    /// The text at this place among [`Self::texts`]; empty if there is none.
    pub fn text(&self, place: usize) -> &str {
        let text = self.texts.get(place).and_then(|t| self.text.get(t.start as usize..t.end as usize));
        text.unwrap_or_default()
    }

    pub fn text_count(&self) -> usize {
        self.texts.len()
    }

    /// Gives all texts from this one on that have no time yet (see [`EventTime::UNSET`]) this one, or takes them out.
    pub(crate) fn settle_texts(&mut self, from: usize, at: Option<EventTime>) {
        match at {
            Some(at) => self.texts.iter_mut().skip(from).filter(|t| t.at == EventTime::UNSET).for_each(|t| t.at = at),
            None => {
                let mut place = 0;
                self.texts.retain(|t| {
                    place += 1;
                    place <= from || t.at != EventTime::UNSET
                });
            }
        }
    }

    /// Goes through all texts: what becomes of each is for `decide` to say.
    pub(crate) fn decide_texts(&mut self, mut decide: impl FnMut(&Self, ChannelIndex, &str) -> TextFate) {
        let mut texts = std::mem::take(&mut self.texts);
        let all = std::mem::take(&mut self.text);
        texts.retain(|t| {
            let text = all.get(t.start as usize..t.end as usize).unwrap_or_default();
            match decide(self, t.channel, text) {
                TextFate::Keep => return true,
                TextFate::Drop => {}
                TextFate::UnknownWord => self.dropped.unknown_words += 1,
                TextFate::OutOfBounds => self.dropped.out_of_bounds += 1,
                TextFate::Number(value) => self.readings.push(Reading { channel: t.channel, at: t.at, value }),
            }
            false
        });
        (self.texts, self.text) = (texts, all);
    }

    /// Leaves out the readings and texts of all channels but those that `keep` names.
    pub fn retain_channels(&mut self, keep: impl Fn(&str) -> bool) {
        let is_kept: Vec<bool> = self.channels().map(|(_, name)| keep(name)).collect();
        let is_kept = |channel: ChannelIndex| is_kept.get(usize::from(channel.0)).is_some_and(|kept| *kept);
        self.readings.retain(|reading| is_kept(reading.channel));
        self.texts.retain(|text| is_kept(text.channel));
    }

    /// Neither a reading nor a text.
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty() && self.texts.is_empty()
    }

    /// What tells this message's series from others, beside the device; set by the route, sorted by key, no key twice.
    pub fn push_tag(&mut self, key: &str, value: &str) {
        for text in [key, value] {
            self.tags.push_str(text);
            self.tag_ends.push(self.tags.len() as u32);
        }
    }

    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |start: u32, end: u32| self.tags.get(start as usize..end as usize).unwrap_or_default();
        let mut start = 0;
        self.tag_ends.chunks_exact(2).map(move |ends| match *ends {
            [key, value] => (text(std::mem::replace(&mut start, value), key), text(key, value)),
            _ => Default::default(),
        })
    }

    pub fn channels(&self) -> impl Iterator<Item = (ChannelIndex, &str)> {
        (0..self.name_spans.len()).map(|i| {
            let index = ChannelIndex(i as u16);
            (index, self.channel(index))
        })
    }
}
