//! The records of a SenML pack as readings of one device (RFC 8428, section 4).
//!
//! The device is the topic's `{device}`; else the pack's first base name, without the separator at its end; else the
//! topic. Records of that base have their own name as channel, all others their whole name.

use std::borrow::Cow;

use super::samples::Samples;
use super::{CHANNELS_MAX, DecodeError, Route, TEXT_MAX_BYTES, TimeUnit, set_device};
use crate::measurement::{ChannelIndex, EventTime, Measurement};
use crate::senml::{self, Record, Value};
use crate::time;
use crate::topic::Captures;

/// The version that the RFC defines; packs of a later one may mean something else.
const VERSION: u64 = 10;
/// Times below count from now, in seconds (section 4.5.3).
const RELATIVE_BELOW_S: f64 = 268_435_456.0;

pub(super) fn decode(
    payload: &[u8],
    topic: &str,
    (route, captures): (&Route, Captures<'_>),
    measured_at: Option<EventTime>,
    out: &mut Measurement,
) -> Result<(), DecodeError> {
    if let Some(device) = captures.device {
        set_device(device, out)?;
    }
    let mut pack = Pack {
        samples: Samples::new(out, CHANNELS_MAX),
        names: Names { topic: captures.channel, unnamed: &route.channel, first_base: None },
        measured_at,
        base: Base::default(),
        is_timeless: false,
    };
    senml::read(payload, |record| pack.take(record))?;
    let is_timeless = pack.is_timeless;
    pack.samples.end()?;
    if is_timeless && out.is_empty() {
        return Err(DecodeError::Retained);
    }
    if out.device().is_empty() { set_device(topic, out) } else { Ok(()) }
}

/// The device that the pack names, as far as it can be read.
pub(super) fn device(payload: &[u8]) -> Option<Cow<'_, str>> {
    let mut first = None;
    // Whatever ends it: only the first name counts, and a pack without one has no device of its own.
    let end = senml::read(payload, |record| {
        first = record.base_name.filter(|name| !name.is_empty());
        if first.is_some() { Err(DecodeError::NoDevice) } else { Ok(()) }
    });
    match (first?, end) {
        (Cow::Borrowed(name), Err(_)) => Some(Cow::Borrowed(device_in(name))),
        (Cow::Owned(name), Err(_)) => Some(Cow::Owned(device_in(&name).to_owned())),
        (_, Ok(())) => None,
    }
}

/// A base name without what separates it from the names that follow.
fn device_in(base: &str) -> &str {
    let stripped = base.strip_suffix([':', '/', '.', '-', '_']);
    stripped.filter(|name| !name.is_empty()).unwrap_or(base)
}

/// What the base fields of the records so far say.
#[derive(Default)]
struct Base<'p> {
    name: Cow<'p, str>,
    time: f64,
    unit: Cow<'p, str>,
    value: f64,
    sum: f64,
}

struct Pack<'a, 'p> {
    samples: Samples<'a>,
    names: Names<'a, 'p>,
    measured_at: Option<EventTime>,
    base: Base<'p>,
    /// A record was passed over, for nothing tells its time.
    is_timeless: bool,
}

impl<'p> Pack<'_, 'p> {
    fn take(&mut self, record: Record<'p>) -> Result<(), DecodeError> {
        if let Some(version) = record.version.filter(|version| *version > VERSION) {
            return Err(broken(format!("pack is of version {version}, and {VERSION} is the latest known here")));
        }
        let Record { base_name, base_time, base_unit, base_value, base_sum, version: _, .. } = &record;
        if let Some(name) = base_name {
            self.rebase(name.clone())?;
        }
        self.base.time = base_time.unwrap_or(self.base.time);
        self.base.value = base_value.unwrap_or(self.base.value);
        self.base.sum = base_sum.unwrap_or(self.base.sum);
        if let Some(unit) = base_unit {
            self.base.unit = unit.clone();
        }
        let number = match record.value {
            Some(Value::Number(value)) => Some(self.base.value + value),
            Some(Value::Bool(value)) => Some(f64::from(u8::from(value))),
            Some(Value::Text(_) | Value::Data) | None => None,
        };
        let sum = record.sum.map(|sum| self.base.sum + sum);
        let text = match &record.value {
            Some(Value::Text(text)) if text.len() <= TEXT_MAX_BYTES => Some(text),
            Some(Value::Text(_) | Value::Number(_) | Value::Bool(_) | Value::Data) | None => None,
        };
        if number.is_none() && sum.is_none() && text.is_none() {
            return Ok(());
        }
        let Some(at) = self.at(record.time)? else {
            self.is_timeless = true;
            return Ok(());
        };
        let own = record.name.as_deref().unwrap_or_default();
        let unit = record.unit.as_deref().filter(|unit| !unit.is_empty());
        if let Some(value) = number.filter(|value| self.is_finite(*value)) {
            let channel = self.channel(own, unit)?;
            self.samples.number(channel, at, value)?;
        }
        if let Some(text) = text {
            let channel = self.channel(own, unit)?;
            self.samples.text(channel, at, text)?;
        }
        if let Some(sum) = sum.filter(|sum| self.is_finite(*sum)) {
            let channel = self.sum_channel(own)?;
            self.samples.number(channel, at, sum)?;
        }
        Ok(())
    }

    fn is_finite(&mut self, value: f64) -> bool {
        self.samples.out.dropped.not_finite += u32::from(!value.is_finite());
        value.is_finite()
    }

    fn rebase(&mut self, name: Cow<'p, str>) -> Result<(), DecodeError> {
        if self.names.first_base.is_none() && !name.is_empty() {
            if self.samples.out.device().is_empty() {
                set_device(device_in(&name), self.samples.out)?;
            }
            self.names.first_base = Some(name.clone());
        }
        self.base.name = name;
        Ok(())
    }

    /// `None` if it is relative to a time that is not known.
    fn at(&mut self, time: Option<f64>) -> Result<Option<EventTime>, DecodeError> {
        let seconds = self.base.time + time.unwrap_or_default();
        let bad = |why: &str| DecodeError::BadTime(format!("time {seconds} s is no event time: {why}"));
        let since_zero = time::from_float(seconds, TimeUnit::S).map_err(bad)?;
        if seconds >= RELATIVE_BELOW_S {
            return Ok(Some(since_zero));
        }
        let Some(now) = self.measured_at else { return Ok(None) };
        self.samples.out.uses_received_time = true;
        let at = now.0.checked_add(since_zero.0).ok_or_else(|| bad("it lies before 1677 or after 2262"))?;
        Ok(Some(EventTime(at)))
    }

    fn channel(&mut self, own: &str, unit: Option<&str>) -> Result<ChannelIndex, DecodeError> {
        let unit = unit.unwrap_or(&self.base.unit);
        let name = self.names.of(&self.base.name, own)?;
        let Some(known) = self.samples.find(&name) else { return self.samples.new_channel_in(&name, unit) };
        let other = self.samples.out.unit(known);
        if unit.is_empty() || other.is_empty() || other == unit {
            return Ok(known);
        }
        // One name for several quantities, told apart by their units: as in section 5.1.3 of the RFC.
        let name = [&name, ".", unit].concat();
        self.samples.find(&name).map_or_else(|| self.samples.new_channel_in(&name, unit), Ok)
    }

    /// Its unit is that of the values times a second, which has no name of its own.
    fn sum_channel(&mut self, own: &str) -> Result<ChannelIndex, DecodeError> {
        let name = self.names.of(&self.base.name, own)?;
        self.samples.channel(&[&name, ".sum"].concat())
    }
}

/// How records are called.
struct Names<'a, 'p> {
    /// The topic's channel.
    topic: Option<&'a str>,
    /// The channel of records without a name of their own.
    unnamed: &'a str,
    /// The first base name: the device's.
    first_base: Option<Cow<'p, str>>,
}

impl Names<'_, '_> {
    /// The channel of a record with this base and own name.
    fn of<'n>(&'n self, base: &str, own: &'n str) -> Result<Cow<'n, str>, DecodeError> {
        let is_of_device = base.is_empty() || self.first_base.as_deref() == Some(base);
        let name = match own {
            "" if base.is_empty() => return Err(broken("a record has neither name nor base name".to_owned())),
            "" if is_of_device => Cow::Borrowed(self.unnamed),
            own if is_of_device => Cow::Borrowed(own),
            own => Cow::Owned([base, own].concat()),
        };
        Ok(match self.topic {
            Some(topic) if name == self.unnamed => Cow::Borrowed(topic),
            Some(topic) => Cow::Owned([topic, ".", &name].concat()),
            None => name,
        })
    }
}

fn broken(detail: String) -> DecodeError {
    DecodeError::Broken { format: "senml", detail }
}
