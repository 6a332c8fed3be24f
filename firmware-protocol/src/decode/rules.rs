//! The rules of a route's channels, the same for all formats: new names, numbers in another scale and unit, bounds, and
//! texts that stand for numbers.
//!
//! # Invariants
//! - A reading is changed by at most one rule, once.
//! - What a rule takes away is counted in [`crate::measurement::Dropped`].
//! - Nothing is allocated for a message, and nothing done if there is no rule.
//!
//! # Flow
//! Decoders of nested payloads know a value's rule by its path, and use [`Rule`] as they read. All others fill a measurement
//! with the names, units and texts of the payload, and [`Rules::apply`] goes over it.

use super::channel::{Channel, TimeOf};
use super::paths::Path;
use super::route::{Fields, Route};
use super::{DecodeError, RouteFault, scalar_in_text};
use crate::measurement::{ChannelIndex, Dropped, Measurement, TextFate};
use crate::units::{self, Linear};

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// In the order of the configuration.
    list: Vec<Rule>,
    /// Places in `list`, by path.
    by_path: Vec<u16>,
    ignore: Vec<String>,
    fields: Fields,
}

/// What is done with one channel's values.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    path: String,
    /// Configured, not taken from the path.
    pub(crate) renamed: Option<String>,
    /// Of the path, without brackets: the name where there is no other.
    pub(crate) path_name: String,
    linear: Linear,
    /// Converted to, whatever the unit that the payload tells.
    to: Option<String>,
    /// Of the readings, as far as the configuration tells it.
    pub(crate) unit: String,
    min: f64,
    max: f64,
    words: Vec<(String, f64)>,
    text: bool,
    /// Nanoseconds between the elements of an array.
    pub(crate) every_ns: Option<i64>,
    pub(crate) time_of: TimeOf,
}

/// What became of a number under a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Reading(f64),
    NotFinite,
    OutOfBounds,
}

impl Rule {
    fn new(channel: &Channel) -> Result<Self, RouteFault> {
        let fault = |field, message| RouteFault { field, message };
        let path = Path::new(&channel.path).map_err(|why| fault("path", why))?;
        let every = channel.every().map_err(|why| fault("every", why))?;
        let name = Some(&channel.name).filter(|name| !name.is_empty());
        let unit = if channel.to.is_empty() { &channel.unit } else { &channel.to };
        let own_unit_counts = channel.unit.is_empty() && !channel.to.is_empty();
        Ok(Self {
            path: channel.path.clone(),
            renamed: name.cloned(),
            path_name: Some(path.name()).filter(|name| !name.is_empty()).unwrap_or_else(|| "value".to_owned()),
            linear: channel.linear(),
            to: own_unit_counts.then(|| channel.to.clone()),
            unit: unit.clone(),
            min: channel.min.unwrap_or(f64::NEG_INFINITY),
            max: channel.max.unwrap_or(f64::INFINITY),
            words: channel.words.iter().map(|(word, value)| (word.clone(), *value)).collect(),
            text: channel.text,
            every_ns: every.and_then(|every| i64::try_from(every.as_nanos()).ok()),
            time_of: channel.time_of,
        })
    }

    /// The reading that a number is, where the payload tells no unit.
    #[inline]
    pub(crate) fn number(&self, value: f64) -> Number {
        self.scaled(value, self.linear)
    }

    #[inline]
    fn scaled(&self, value: f64, linear: Linear) -> Number {
        let value = linear.apply(value);
        if !value.is_finite() {
            Number::NotFinite
        } else if value < self.min || value > self.max {
            Number::OutOfBounds
        } else {
            Number::Reading(value)
        }
    }

    /// What is left of a range of numbers; `None` if nothing that tells anything.
    fn range(&self, (a, b): (f64, f64), linear: Linear) -> Option<(f64, f64)> {
        let (a, b) = (linear.apply(a), linear.apply(b));
        let range = (a.min(b).max(self.min), a.max(b).min(self.max));
        (a.is_finite() && b.is_finite() && range.0 <= range.1).then_some(range)
    }

    /// What a text is: itself, a word, or a number in quotes.
    pub(crate) fn text(&self, text: &str) -> TextFate {
        if self.text {
            return TextFate::Keep;
        }
        if let Some((_, value)) = self.words.iter().find(|(word, _)| word == text) {
            return self.in_bounds(*value);
        }
        match scalar_in_text(text) {
            Some(value) => match self.number(value) {
                Number::Reading(value) => TextFate::Number(value),
                Number::NotFinite => TextFate::Drop,
                Number::OutOfBounds => TextFate::OutOfBounds,
            },
            None if self.words.is_empty() => TextFate::Drop,
            None => TextFate::UnknownWord,
        }
    }

    fn in_bounds(&self, value: f64) -> TextFate {
        if value < self.min || value > self.max { TextFate::OutOfBounds } else { TextFate::Number(value) }
    }

    /// From the unit that the payload tells.
    fn linear_from(&self, unit: &str) -> Result<Linear, DecodeError> {
        let Some(to) = &self.to else { return Ok(self.linear) };
        let refuse = |detail| DecodeError::Broken { format: "unit", detail };
        if unit.is_empty() {
            return Err(refuse(format!("payload tells no unit of `{}`, so it cannot become {to}", self.path)));
        }
        let converted = units::conversion(unit, to).map_err(|why| refuse(format!("`{}`: {why}", self.path)))?;
        Ok(self.linear.then(converted))
    }
}

/// What is done with one channel of a measurement.
#[derive(Clone, Copy)]
enum Action<'r> {
    Keep,
    Drop,
    Rule(&'r Rule, Linear),
}

impl Rules {
    pub(super) fn new(route: &Route) -> Result<Self, RouteFault> {
        let list = route.channels.iter().map(Rule::new).collect::<Result<Vec<_>, _>>()?;
        let mut by_path: Vec<u16> = (0..list.len()).map(|i| i as u16).collect();
        by_path.sort_by(|a, b| list[usize::from(*a)].path.cmp(&list[usize::from(*b)].path));
        Ok(Self { list, by_path, ignore: route.ignore.clone(), fields: route.fields })
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.fields == Fields::Listed
    }

    pub(crate) fn rule(&self, number: u16) -> Option<&Rule> {
        self.list.get(usize::from(number))
    }

    /// By the name that the payload has.
    fn find(&self, name: &str) -> Option<&Rule> {
        let found = self.by_path.binary_search_by(|i| self.list[usize::from(*i)].path.as_str().cmp(name)).ok()?;
        self.rule(self.by_path[found])
    }

    /// Whether texts of the channel are wanted where most texts are no readings.
    pub(crate) fn wants_text(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Over a measurement whose channels have the names, and perhaps units, of the payload.
    ///
    /// # Errors
    /// A unit that does not convert to the one that is wanted; two channels under one name.
    pub(crate) fn apply(&self, out: &mut Measurement) -> Result<(), DecodeError> {
        if self.list.is_empty() && self.ignore.is_empty() && self.fields == Fields::All {
            return Ok(());
        }
        self.apply_to_numbers(out)?;
        self.apply_to_limits(out)?;
        if out.text_count() > 0 {
            out.decide_texts(|out, channel, text| match self.find(out.channel(channel)) {
                Some(rule) => rule.text(text),
                None if self.passes_over(out.channel(channel)) => TextFate::Drop,
                None => TextFate::Keep,
            });
        }
        self.apply_to_channels(out)
    }

    fn apply_to_numbers(&self, out: &mut Measurement) -> Result<(), DecodeError> {
        let mut readings = std::mem::take(&mut out.readings);
        let mut dropped = out.dropped;
        let mut latest: Option<(ChannelIndex, Action<'_>)> = None;
        let mut fault = None;
        readings.retain_mut(|reading| {
            let action = match latest {
                Some((channel, action)) if channel == reading.channel => action,
                _ => self.action(out, reading.channel).unwrap_or_else(|why| {
                    fault.get_or_insert(why);
                    Action::Drop
                }),
            };
            latest = Some((reading.channel, action));
            let number = match action {
                Action::Keep => return true,
                Action::Drop => return false,
                Action::Rule(rule, linear) => rule.scaled(reading.value, linear),
            };
            keep(number, &mut dropped).inspect(|value| reading.value = *value).is_some()
        });
        (out.readings, out.dropped) = (readings, dropped);
        fault.map_or(Ok(()), Err)
    }

    /// As their readings will be: a channel that is passed over has none.
    fn apply_to_limits(&self, out: &mut Measurement) -> Result<(), DecodeError> {
        let mut limits = std::mem::take(&mut out.limits);
        let mut fault = None;
        limits.retain_mut(|(channel, limits)| match self.action(out, *channel) {
            Ok(Action::Keep) => true,
            Ok(Action::Drop) => false,
            Ok(Action::Rule(rule, linear)) => {
                limits.range = limits.range.and_then(|range| rule.range(range, linear));
                true
            }
            Err(why) => {
                fault.get_or_insert(why);
                false
            }
        });
        out.limits = limits;
        fault.map_or(Ok(()), Err)
    }

    fn action(&self, out: &Measurement, channel: ChannelIndex) -> Result<Action<'_>, DecodeError> {
        let name = out.channel(channel);
        Ok(match self.find(name) {
            Some(rule) => Action::Rule(rule, rule.linear_from(out.unit(channel))?),
            None if self.passes_over(name) => Action::Drop,
            None => Action::Keep,
        })
    }

    fn passes_over(&self, name: &str) -> bool {
        let is_below =
            |path: &String| name.strip_prefix(&**path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.is_listed() || self.ignore.iter().any(is_below)
    }

    fn apply_to_channels(&self, out: &mut Measurement) -> Result<(), DecodeError> {
        let mut is_renamed = false;
        for i in 0..out.channel_count() {
            let index = ChannelIndex(i as u16);
            let Some(rule) = self.find(out.channel(index)) else { continue };
            if !rule.unit.is_empty() {
                out.set_unit(index, &rule.unit);
            }
            if let Some(name) = &rule.renamed {
                out.rename_channel(index, name);
                is_renamed = true;
            }
        }
        if !is_renamed {
            return Ok(());
        }
        for rule in self.list.iter().filter_map(|rule| rule.renamed.as_deref()) {
            if out.channels().filter(|(_, name)| *name == rule).nth(1).is_some() {
                return Err(DecodeError::DuplicateChannel(rule.to_owned()));
            }
        }
        Ok(())
    }
}

/// Counts what is none.
pub(crate) fn keep(number: Number, dropped: &mut Dropped) -> Option<f64> {
    match number {
        Number::Reading(value) => return Some(value),
        Number::NotFinite => dropped.not_finite += 1,
        Number::OutOfBounds => dropped.out_of_bounds += 1,
    }
    None
}
