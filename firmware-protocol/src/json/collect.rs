//! What the visitors of one message work on: it gives readings their names, times and rules.

use std::fmt;

use serde::de::Error;

use super::Rules;
use super::path::Path;
use crate::decode::{
    CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, DEVICE_MAX_BYTES, DecodeError, Node, READINGS_MAX, Role, Rule,
    TEXT_MAX_BYTES, TimeOf, keep,
};
use crate::digits::Digits;
use crate::measurement::{ChannelIndex, EventTime, Measurement, Reading, TextFate};
use crate::time::Fault;

/// Objects within objects, the outermost counted: deeper ones are configuration or state, not readings.
pub(super) const DEPTH_MAX: usize = 4;

pub(super) struct Context<'a> {
    pub(super) rules: &'a Rules<'a>,
    measured_at: Option<EventTime>,
    out: &'a mut Measurement,
    /// The name of the field at hand; begins with the topic's channel, if it names one.
    pub(super) path: Path,
    /// Length of the path before any field's key.
    pub(super) root: usize,
    pub(super) depth: usize,
    /// Only what a path leads to is read here.
    pub(super) is_listed: bool,
    /// The place of the value at hand in an array of samples.
    pub(super) sample: Option<u32>,
    scope: Scope,
    runs: Vec<Run>,
    /// Parts of the message at hand, and how many of them named no device.
    parts: (usize, usize),
    /// An object was passed over, for it has no time.
    is_timeless: bool,
    /// The precise reason of an error that serde carries as text.
    fault: Option<DecodeError>,
}

/// What is known of the innermost object at hand whose readings may have a time of their own.
#[derive(Clone, Copy, Default)]
struct Scope {
    at: Option<EventTime>,
    device_named: bool,
    /// Its first reading, text and run.
    first: usize,
    first_text: usize,
    first_run: usize,
}

/// Readings of an array of samples: each has its place in the array for its time until the array's time is known.
struct Run {
    first: usize,
    end: usize,
    /// Elements of the array, those without a reading counted.
    length: u32,
    every_ns: i64,
    time_of: TimeOf,
}

/// Where the name of the field at hand is.
#[derive(Clone, Copy)]
pub(super) enum Name<'de> {
    /// The key as it stands in the text is the whole name: most fields by far, so they are not copied.
    Key(&'de str),
    /// On the path: nested, escaped or after the topic's channel.
    Path,
}

#[derive(Clone, Copy)]
pub(super) enum Number {
    Signed(i64),
    /// Beyond `i64`.
    Unsigned(u64),
    Float(f64),
}

impl Number {
    fn as_f64(self) -> f64 {
        match self {
            Self::Signed(v) => v as f64,
            Self::Unsigned(v) => v as f64,
            Self::Float(v) => v,
        }
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(rules: &'a Rules<'a>, measured_at: Option<EventTime>, out: &'a mut Measurement) -> Self {
        let mut path = Path::new();
        if let Some(channel) = rules.captures.channel {
            path.push(channel);
        }
        let root = path.len();
        // Beside an array of messages only time and device are read.
        let is_listed = rules.plan.rules.is_listed() || !rules.plan.route.each.is_empty();
        Self {
            rules,
            measured_at,
            out,
            path,
            root,
            depth: 0,
            is_listed,
            sample: None,
            scope: Scope::default(),
            runs: Vec::new(),
            parts: (0, 0),
            is_timeless: false,
            fault: None,
        }
    }

    pub(super) fn checked(&mut self, result: Result<(), DecodeError>) -> Result<(), DecodeError> {
        match (self.fault.take(), result) {
            (Some(fault), _) | (None, Err(fault)) => Err(fault),
            (None, Ok(())) => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.is_timeless && self.out.is_empty() {
            Err(DecodeError::Retained)
        } else if self.out.device().is_empty() {
            Err(DecodeError::NoDevice)
        } else {
            Ok(())
        }
    }

    pub(super) fn refuse<E: Error>(&mut self, fault: DecodeError) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    /// Reads a whole message: what has no time of its own by the end gets that of the message.
    pub(super) fn message<E: Error>(&mut self, read: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.scope = self.new_scope();
        self.parts = (0, 0);
        read(self)?;
        let is_named = self.scope.device_named || matches!(self.parts, (1.., 0));
        if self.rules.from_payload && !is_named {
            return Err(self.refuse(DecodeError::NoDevice));
        }
        match self.scope.at.or(self.measured_at) {
            Some(at) => {
                let stamped = self.stamp(at)?;
                self.out.uses_received_time |= self.scope.at.is_none() && stamped;
            }
            None => self.drop_timeless(),
        }
        Ok(())
    }

    /// Reads a part of a message that may have a time and a device of its own.
    pub(super) fn part<E: Error>(&mut self, read: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let inner = self.new_scope();
        let outer = std::mem::replace(&mut self.scope, inner);
        read(self)?;
        if let Some(at) = self.scope.at {
            self.stamp(at)?;
        }
        self.parts.0 += 1;
        self.parts.1 += usize::from(!self.scope.device_named);
        self.scope = outer;
        Ok(())
    }

    fn new_scope(&self) -> Scope {
        Scope {
            first: self.out.readings.len(),
            first_text: self.out.text_count(),
            first_run: self.runs.len(),
            ..Scope::default()
        }
    }

    /// Gives all readings of the scope that have no time yet this one; whether there were any.
    fn stamp<E: Error>(&mut self, at: EventTime) -> Result<bool, E> {
        let mut any = self.out.text_count() > self.scope.first_text;
        for run in self.runs.drain(self.scope.first_run..) {
            any = true;
            let zero = match run.time_of {
                TimeOf::First => 0,
                TimeOf::Last => i64::from(run.length.saturating_sub(1)),
            };
            for reading in self.out.readings.get_mut(run.first..run.end).into_iter().flatten() {
                let distance = (reading.at.0 - zero).checked_mul(run.every_ns);
                let Some(sum) = distance.and_then(|distance| at.0.checked_add(distance)) else {
                    let text = "samples of an array lie before 1677 or after 2262".to_owned();
                    self.fault = Some(DecodeError::BadTime(text));
                    return Err(E::custom("refused"));
                };
                reading.at = EventTime(sum);
            }
        }
        for reading in self.out.readings.get_mut(self.scope.first..).into_iter().flatten() {
            if reading.at == EventTime::UNSET {
                any = true;
                reading.at = at;
            }
        }
        if self.out.text_count() > self.scope.first_text {
            self.out.settle_texts(self.scope.first_text, Some(at));
        }
        Ok(any)
    }

    fn drop_timeless(&mut self) {
        let before = (self.out.readings.len(), self.out.text_count());
        for run in self.runs.drain(self.scope.first_run..) {
            self.out.readings.get_mut(run.first..run.end).into_iter().flatten().for_each(|r| r.at = EventTime::UNSET);
        }
        let (first, mut place) = (self.scope.first, 0);
        self.out.readings.retain(|r| {
            place += 1;
            place <= first || r.at != EventTime::UNSET
        });
        self.out.settle_texts(self.scope.first_text, None);
        self.is_timeless |= before != (self.out.readings.len(), self.out.text_count());
    }

    /// Reads the elements of an array of samples.
    pub(super) fn samples<E: Error>(
        &mut self,
        rule: u16,
        read: impl FnOnce(&mut Self) -> Result<u32, E>,
    ) -> Result<(), E> {
        let first = self.out.readings.len();
        let length = read(self)?;
        self.sample = None;
        let end = self.out.readings.len();
        if let Some(Rule { every_ns: Some(every_ns), time_of, .. }) = self.rules.plan.rules.rule(rule)
            && end > first
        {
            self.runs.push(Run { first, end, length, every_ns: *every_ns, time_of: *time_of });
        }
        Ok(())
    }

    pub(super) fn role(&self, node: Node) -> Role {
        self.rules.plan.tree.role(node)
    }

    pub(super) fn number<E: Error>(&mut self, role: Role, name: Name<'_>, number: Number) -> Result<(), E> {
        match (role, number) {
            (Role::Unnamed, _) if self.is_listed => Ok(()),
            (Role::Unnamed, _) => self.reading(name, number.as_f64()),
            (Role::Channel(rule), _) => self.ruled(rule, number.as_f64()),
            (Role::Time, Number::Signed(v)) => self.time(v, self.rules.plan.times.integer(v)),
            (Role::Time, Number::Unsigned(v)) => self.time(v, Err("it lies after 2262")),
            (Role::Time, Number::Float(v)) => self.time(v, self.rules.plan.times.float(v)),
            (Role::Device, Number::Signed(v)) => self.device_number(&Digits::signed(v)),
            (Role::Device, Number::Unsigned(v)) => self.device_number(&Digits::unsigned(v)),
            // A device of that name would change it with the number's digits.
            (Role::Device, Number::Float(_)) => Ok(()),
            (Role::Ignored | Role::Each, _) => Ok(()),
        }
    }

    pub(super) fn truth<E: Error>(&mut self, role: Role, name: Name<'_>, value: bool) -> Result<(), E> {
        match role {
            Role::Unnamed | Role::Channel(_) => self.number(role, name, Number::Signed(i64::from(value))),
            Role::Time => self.time(value, Err("expected a number or RFC 3339")),
            Role::Device | Role::Ignored | Role::Each => Ok(()),
        }
    }

    pub(super) fn text<E: Error>(&mut self, role: Role, text: &str) -> Result<(), E> {
        match role {
            Role::Unnamed | Role::Ignored | Role::Each => Ok(()),
            Role::Time => self.time(text, self.rules.plan.times.text(text)),
            Role::Device => self.device(text),
            Role::Channel(rule) => self.ruled_text(rule, text),
        }
    }

    fn time<E: Error>(&mut self, value: impl fmt::Display, at: Result<EventTime, Fault>) -> Result<(), E> {
        match at {
            Ok(at) => {
                self.scope.at = Some(at);
                Ok(())
            }
            Err(why) => {
                let name = self.rules.plan.route.time_field.as_deref().unwrap_or_default();
                let fault = DecodeError::BadTime(format!("`{name}` = {value} is no event time: {why}"));
                Err(self.refuse(fault))
            }
        }
    }

    fn device_number<E: Error>(&mut self, digits: &Digits) -> Result<(), E> {
        self.device(std::str::from_utf8(digits.as_bytes()).unwrap_or_default())
    }

    fn device<E: Error>(&mut self, name: &str) -> Result<(), E> {
        if !self.rules.from_payload || name.is_empty() {
            return Ok(());
        }
        if name.len() > DEVICE_MAX_BYTES {
            return Err(self.refuse(DecodeError::TooLarge { what: "device name", limit: DEVICE_MAX_BYTES }));
        }
        if self.out.device().is_empty() {
            self.out.set_device(name);
        } else if self.out.device() != name {
            return Err(E::custom(format_args!("one message of two devices, `{}` and `{name}`", self.out.device())));
        }
        self.scope.device_named = true;
        Ok(())
    }

    /// A number under a rule.
    fn ruled<E: Error>(&mut self, number: u16, value: f64) -> Result<(), E> {
        let rules = self.rules;
        let Some(rule) = rules.plan.rules.rule(number) else { return Ok(()) };
        match keep(rule.number(value), &mut self.out.dropped) {
            Some(value) => {
                let channel = self.ruled_channel(rule)?;
                self.push(channel, value)
            }
            None => Ok(()),
        }
    }

    fn ruled_text<E: Error>(&mut self, number: u16, text: &str) -> Result<(), E> {
        let rules = self.rules;
        let Some(rule) = rules.plan.rules.rule(number) else { return Ok(()) };
        match rule.text(text) {
            TextFate::Number(value) => {
                let channel = self.ruled_channel(rule)?;
                self.push(channel, value)
            }
            TextFate::Keep if text.len() > TEXT_MAX_BYTES => {
                Err(self.refuse(DecodeError::TooLarge { what: "text", limit: TEXT_MAX_BYTES }))
            }
            TextFate::Keep => {
                let channel = self.ruled_channel(rule)?;
                self.check_room(channel)?;
                self.out.push_text(channel, EventTime::UNSET, text);
                Ok(())
            }
            TextFate::Drop => Ok(()),
            TextFate::UnknownWord => {
                self.out.dropped.unknown_words += 1;
                Ok(())
            }
            TextFate::OutOfBounds => {
                self.out.dropped.out_of_bounds += 1;
                Ok(())
            }
        }
    }

    fn ruled_channel<E: Error>(&mut self, rule: &Rule) -> Result<ChannelIndex, E> {
        let count = self.out.channel_count();
        let (likely, value) = (self.likely(), &self.rules.plan.route.channel);
        let found = match (&rule.renamed, self.rules.captures.channel) {
            (Some(name), _) => channel(self.out, likely, name),
            (None, None) => channel(self.out, likely, &rule.path_name),
            (None, Some(prefix)) if rule.path_name == *value => channel(self.out, likely, prefix),
            (None, Some(prefix)) => channel(self.out, likely, &format!("{prefix}.{}", rule.path_name)),
        };
        let channel = found.map_err(|unnamed| self.refuse_name(unnamed))?;
        if self.out.channel_count() > count && !rule.unit.is_empty() {
            self.out.set_unit(channel, &rule.unit);
        }
        Ok(channel)
    }

    fn reading<E: Error>(&mut self, name: Name<'_>, value: f64) -> Result<(), E> {
        // JSON has none of these, and CBOR has.
        if !value.is_finite() {
            self.out.dropped.not_finite += 1;
            return Ok(());
        }
        let likely = self.likely();
        let found = match name {
            Name::Key(key) => channel(self.out, likely, key),
            Name::Path => match (self.rules.captures.channel, self.path.as_str()) {
                (Some(prefix), _) if self.path.since(self.root) == Some(&self.rules.plan.route.channel) => {
                    channel(self.out, likely, prefix)
                }
                (_, Some(path)) => channel(self.out, likely, path),
                (_, None) => Err(Unnamed::TooLong),
            },
        };
        let channel = found.map_err(|unnamed| self.refuse_name(unnamed))?;
        self.push(channel, value)
    }

    /// In an array the objects mostly have the same fields in the same order.
    fn likely(&self) -> ChannelIndex {
        ChannelIndex((self.out.readings.len() - self.scope.first) as u16)
    }

    fn refuse_name<E: Error>(&mut self, unnamed: Unnamed) -> E {
        let (what, limit) = match unnamed {
            Unnamed::Empty => return E::custom("field with an empty name"),
            Unnamed::TooLong => ("channel name", CHANNEL_NAME_MAX_BYTES),
            Unnamed::TooMany => ("number of channels", CHANNELS_MAX),
        };
        self.refuse(DecodeError::TooLarge { what, limit })
    }

    fn push<E: Error>(&mut self, channel: ChannelIndex, value: f64) -> Result<(), E> {
        self.check_room(channel)?;
        let at = self.sample.map_or(EventTime::UNSET, |place| EventTime(place.into()));
        self.out.readings.push(Reading { channel, at, value });
        Ok(())
    }

    /// That the channel was not read yet, and that there is room for a value.
    fn check_room<E: Error>(&mut self, channel: ChannelIndex) -> Result<(), E> {
        let of_scope = self.out.readings.get(self.scope.first..).unwrap_or_default();
        let is_next_sample = self.sample.is_some() && of_scope.last().is_some_and(|last| last.channel == channel);
        if !is_next_sample {
            let is_text = self.out.texts().skip(self.scope.first_text).any(|(of_text, ..)| of_text == channel);
            if is_text || of_scope.iter().any(|r| r.channel == channel) {
                let name = self.out.channel(channel).to_owned();
                return Err(self.refuse(DecodeError::DuplicateChannel(name)));
            }
        }
        if self.out.readings.len() + self.out.text_count() >= READINGS_MAX {
            return Err(self.refuse(DecodeError::TooLarge { what: "number of readings", limit: READINGS_MAX }));
        }
        Ok(())
    }
}

/// Why there is no channel.
enum Unnamed {
    Empty,
    TooLong,
    TooMany,
}

/// The channel of this name; a new one if none has it.
fn channel(out: &mut Measurement, likely: ChannelIndex, name: &str) -> Result<ChannelIndex, Unnamed> {
    if name.len() > CHANNEL_NAME_MAX_BYTES {
        return Err(Unnamed::TooLong);
    }
    if name.is_empty() {
        return Err(Unnamed::Empty);
    }
    let count = out.channel_count();
    if usize::from(likely.0) < count && out.channel(likely) == name {
        return Ok(likely);
    }
    if let Some((index, _)) = out.channels().find(|(_, known)| *known == name) {
        return Ok(index);
    }
    if count == CHANNELS_MAX {
        return Err(Unnamed::TooMany);
    }
    Ok(out.push_channel(name))
}
