//! Sparkplug B births and data as readings (sections 6.4.19 to 6.4.22 of the specification).
//!
//! A birth names its metrics. Data names them by numbers, or by names without data types: what they mean is in the
//! record's table, which whoever received the birth has put there. Deaths, commands and what hosts say of themselves are
//! announcements, and so is a message of which nothing becomes a reading, such as the birth of a node without metrics of
//! its own.

use std::borrow::Cow;

use super::samples::Samples;
use super::{DecodeError, TEXT_MAX_BYTES, set_device};
use crate::measurement::{ChannelIndex, EventTime, Measurement};
use crate::sparkplug::{Birth, Fault, Label, Message, Metric, Payload, Topic, Value, is_control};
use crate::table::Lookup;

/// Most channels of one message. More than other formats may have, for a birth tells all that a node has.
pub const SPARKPLUG_CHANNELS_MAX: usize = 4_096;

pub(super) fn decode(
    payload: &[u8],
    (topic, device, table): (&str, Option<&str>, &str),
    measured_at: Option<EventTime>,
    out: &mut Measurement,
) -> Result<(), DecodeError> {
    let topic = Topic::parse(topic).ok_or(Fault::Topic)?;
    match device {
        Some(device) => set_device(device, out)?,
        None => set_device(&topic.source(), out)?,
    }
    let message = match topic {
        Topic::Edge { message, .. } => message,
        Topic::Host { .. } => Message::Command,
    };
    let payload = match message {
        Message::Birth | Message::Data => Payload::parse(payload)?,
        Message::Death | Message::Command => {
            out.is_announcement = true;
            return Ok(());
        }
    };
    let sent_at = payload.timestamp.map(event_time).transpose()?;
    let mut reader = Reader {
        sent_at,
        measured_at,
        table: Lookup::new(table),
        is_all_from_table: true,
        samples: Samples::new(out, SPARKPLUG_CHANNELS_MAX),
        is_timeless: false,
    };
    match message {
        Message::Birth => {
            Birth::of(&payload)?;
            payload.for_each_metric(|metric| reader.born(metric))?;
        }
        Message::Data | Message::Death | Message::Command => {
            payload.for_each_metric(|metric| reader.changed(metric))?;
        }
    }
    let is_timeless = reader.is_timeless;
    reader.samples.end()?;
    if is_timeless && out.is_empty() {
        return Err(DecodeError::Retained);
    }
    out.is_announcement = out.is_empty() && out.dropped.not_finite == 0;
    Ok(())
}

/// The device that the topic names.
pub(super) fn device(topic: &str) -> Option<Cow<'_, str>> {
    Topic::parse(topic).map(|topic| Cow::Owned(topic.source()))
}

struct Reader<'a> {
    sent_at: Option<EventTime>,
    measured_at: Option<EventTime>,
    table: Lookup<'a>,
    /// So far, the channels' names are all from the table.
    is_all_from_table: bool,
    samples: Samples<'a>,
    /// A metric was passed over, for nothing tells its time.
    is_timeless: bool,
}

impl Reader<'_> {
    /// A metric of a birth: it has a name, and no other has it.
    fn born(&mut self, metric: &Metric<'_>) -> Result<(), DecodeError> {
        let Some(name) = metric.name.filter(|name| metric.has_reading() && !is_control(name)) else { return Ok(()) };
        self.sample(metric, metric.kind, |samples| samples.new_channel_in(name, metric.unit()?))
    }

    /// A metric of data.
    fn changed(&mut self, metric: &Metric<'_>) -> Result<(), DecodeError> {
        if !metric.has_reading() {
            return Ok(());
        }
        let label = metric.label()?;
        let number = label.number();
        let (name, entry) = match label {
            Label::Name(name) if is_control(name) => return Ok(()),
            Label::Name(name) => (name, self.table.find(number).filter(|entry| entry.name == name)),
            Label::Alias(_) => {
                let entry = self.table.find(number).ok_or(DecodeError::NoTable { number })?;
                (entry.name, Some(entry))
            }
        };
        if is_control(name) {
            return Ok(());
        }
        let is_integer = matches!(metric.value, Some(Value::Int(_) | Value::Long(_)));
        let kind = match (metric.kind, entry) {
            (0, Some(entry)) => entry.kind,
            // Whether it is negative depends on its type.
            (0, None) if is_integer => return Err(DecodeError::NoTable { number }),
            (kind, _) => kind,
        };
        // Names are unique in a table, so a new entry's need not be looked for.
        let is_new = entry.is_some() && self.table.is_first() && self.is_all_from_table;
        self.is_all_from_table &= entry.is_some();
        self.sample(metric, kind, |samples| {
            if let Some(known) = (!is_new).then(|| samples.find(name)).flatten() {
                return Ok(known);
            }
            let told = entry.map(|entry| entry.unit).filter(|unit| !unit.is_empty());
            samples.new_channel_in(name, told.map_or_else(|| metric.unit(), Ok)?)
        })
    }

    fn sample(
        &mut self,
        metric: &Metric<'_>,
        kind: u32,
        channel: impl FnOnce(&mut Samples<'_>) -> Result<ChannelIndex, DecodeError>,
    ) -> Result<(), DecodeError> {
        let own = metric.timestamp.map(event_time).transpose()?.or(self.sent_at);
        let Some(at) = own.or(self.measured_at) else {
            self.is_timeless = true;
            return Ok(());
        };
        let Some(value) = metric.value else { return Ok(()) };
        match (value, value.number(kind)?) {
            (_, Some(number)) if !number.is_finite() => {
                self.samples.out.dropped.not_finite += 1;
                return Ok(());
            }
            (_, Some(number)) => {
                let channel = channel(&mut self.samples)?;
                self.samples.number(channel, at, number)?;
            }
            (Value::Text(text), None) if text.len() <= TEXT_MAX_BYTES => {
                let channel = channel(&mut self.samples)?;
                self.samples.text(channel, at, text)?;
            }
            (_, None) => return Ok(()),
        }
        self.samples.out.uses_received_time |= own.is_none();
        Ok(())
    }
}

fn event_time(millis: u64) -> Result<EventTime, DecodeError> {
    let nanos = i64::try_from(millis).ok().and_then(|millis| millis.checked_mul(1_000_000));
    nanos.map(EventTime).ok_or_else(|| DecodeError::BadTime(format!("{millis} ms since 1970 lie after 2262")))
}
