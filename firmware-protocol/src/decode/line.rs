//! A line of line protocol as readings of one device.
//!
//! The device is the topic's `{device}`; else a tag: the one that the route names, else `device`, else `host`; else the
//! measurement with all tags. What else tells one series from another goes in front of the channels' names, so that no
//! two series of a device meet in one channel.

use std::borrow::Cow;

use super::{CHANNEL_NAME_MAX_BYTES, DecodeError, Plan, Route, TEXT_MAX_BYTES, check_length, set_device};
use crate::line::{Line, Name, Precision};
use crate::measurement::{ChannelIndex, EventTime, Measurement, Reading};
use crate::topic::Captures;

/// Tags that name the device where the route names none, or one that is not there.
const DEVICE_TAGS: [&str; 2] = ["device", "host"];
/// Tags that say through which gateway a line came, and nothing of the series: sinks write their own.
const PASSED_OVER: [&str; 2] = ["gateway", "site"];

pub(super) fn decode(
    payload: &[u8],
    precision: Precision,
    (plan, captures): (&Plan, Captures<'_>),
    measured_at: Option<EventTime>,
    out: &mut Measurement,
) -> Result<(), DecodeError> {
    let (line, route) = (parse(payload)?, &plan.route);
    let own = line.at(precision).map_err(|fault| DecodeError::BadTime(fault.to_owned()))?;
    let at = own.or(measured_at).ok_or(DecodeError::Retained)?;
    out.uses_received_time = own.is_none();
    let source = Source::of(&line, route, captures);
    set_device(&source.device(&line), out)?;
    // The prefix, and behind it each field's name in turn.
    let mut whole = source.prefix(&line, route, captures);
    let prefix = whole.len();
    for (key, value) in line.fields() {
        let name = if prefix == 0 {
            key.text()
        } else {
            whole.truncate(prefix);
            if !key.is(&route.channel) {
                whole.push('.');
                key.push_to(&mut whole);
            }
            Cow::Borrowed(&*whole)
        };
        match value.number() {
            Some(value) => number(&name, at, value, out)?,
            None => {
                if let Some(text) = value.text().filter(|_| plan.rules.wants_text(&name)) {
                    check_length("text", &text, TEXT_MAX_BYTES)?;
                    let channel = known(&name, out).map_or_else(|| new_channel(&name, out), Ok)?;
                    out.push_text(channel, at, &text);
                }
            }
        }
    }
    Ok(())
}

fn number(name: &str, at: EventTime, value: f64, out: &mut Measurement) -> Result<(), DecodeError> {
    let channel = match known(name, out) {
        Some(channel) => {
            // InfluxDB keeps the last of a field that is there twice.
            if let Some(reading) = out.readings.iter_mut().find(|reading| reading.channel == channel) {
                reading.value = value;
                return Ok(());
            }
            channel
        }
        None => new_channel(name, out)?,
    };
    out.readings.push(Reading { channel, at, value });
    Ok(())
}

fn known(name: &str, out: &Measurement) -> Option<ChannelIndex> {
    out.channels().find(|(_, known)| *known == name).map(|(index, _)| index)
}

fn new_channel(name: &str, out: &mut Measurement) -> Result<ChannelIndex, DecodeError> {
    check_length("channel name", name, CHANNEL_NAME_MAX_BYTES)?;
    Ok(out.push_channel(name))
}

/// The device's name without the readings; `None` if the line is broken.
pub(super) fn device<'m>(payload: &'m [u8], route: &Route, captures: Captures<'m>) -> Option<Cow<'m, str>> {
    let line = parse(payload).ok()?;
    Some(Source::of(&line, route, captures).device(&line))
}

fn parse(payload: &[u8]) -> Result<Line<'_>, DecodeError> {
    let text = std::str::from_utf8(payload).map_err(|_| DecodeError::NotUtf8)?;
    Line::parse(text).map_err(DecodeError::Line)
}

/// What names the device.
enum Source<'a> {
    Topic(&'a str),
    Tag {
        key: Name<'a>,
        value: Name<'a>,
    },
    /// Measurement and tags.
    Series,
}

impl<'a> Source<'a> {
    fn of(line: &Line<'a>, route: &Route, captures: Captures<'a>) -> Self {
        if let Some(device) = captures.device {
            return Self::Topic(device);
        }
        let keys = route.device_field.as_deref().into_iter().chain(DEVICE_TAGS);
        let named = keys.filter_map(|wanted| line.tags().find(|(key, _)| key.is(wanted))).next();
        named.map_or(Self::Series, |(key, value)| Self::Tag { key, value })
    }

    fn device(&self, line: &Line<'a>) -> Cow<'a, str> {
        match self {
            Self::Topic(device) => Cow::Borrowed(device),
            Self::Tag { value, .. } => value.text(),
            Self::Series => {
                let mut device = line.measurement().text().into_owned();
                for (key, value) in sorted_tags(line) {
                    device.push(',');
                    push_tag(&mut device, key, value);
                }
                Cow::Owned(device)
            }
        }
    }

    /// What stands before a field's name in its channel, joined by dots: the topic's `{channel}`, the measurement, the
    /// tags that do not name the device.
    fn prefix(&self, line: &Line<'a>, route: &Route, captures: Captures<'_>) -> String {
        let mut prefix = captures.channel.unwrap_or_default().to_owned();
        let dot = |prefix: &mut String| {
            if !prefix.is_empty() {
                prefix.push('.');
            }
        };
        let named_by = match self {
            Self::Series => return prefix,
            Self::Topic(_) => None,
            Self::Tag { key, .. } => Some(*key),
        };
        if !line.measurement().is(&route.measurement) {
            dot(&mut prefix);
            line.measurement().push_to(&mut prefix);
        }
        for (key, value) in sorted_tags(line).into_iter().filter(|(key, _)| Some(*key) != named_by) {
            dot(&mut prefix);
            push_tag(&mut prefix, key, value);
        }
        prefix
    }
}

/// By key, as the order in which a sender writes them means nothing.
fn sorted_tags<'a>(line: &Line<'a>) -> Vec<(Name<'a>, Name<'a>)> {
    let mut tags: Vec<_> = line.tags().filter(|(key, _)| !PASSED_OVER.iter().any(|name| key.is(name))).collect();
    if tags.len() > 1 {
        tags.sort_by_cached_key(|(key, _)| key.text());
    }
    tags
}

fn push_tag(out: &mut String, key: Name<'_>, value: Name<'_>) {
    key.push_to(out);
    out.push('=');
    value.push_to(out);
}
