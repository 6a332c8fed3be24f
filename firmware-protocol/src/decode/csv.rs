//! Lines of cells with a delimiter between them, as RFC 4180 has them, as readings of one device.
//!
//! The route names the columns, or the payload's first line does. Each line has its time in the column of the time field;
//! empty cells, and texts that no rule wants, make no reading.

use std::borrow::Cow;

use super::{
    CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, DecodeError, Plan, READINGS_MAX, TEXT_MAX_BYTES, check_length, set_device,
};
use crate::json::Rules;
use crate::measurement::{ChannelIndex, EventTime, Measurement, Reading};
use crate::scalar;

/// What a column is for.
#[derive(Clone, Copy)]
enum Column {
    Time,
    Device,
    Channel(ChannelIndex),
    Nothing,
}

pub(super) fn decode(
    text: &str,
    rules: &Rules<'_>,
    measured_at: Option<EventTime>,
    out: &mut Measurement,
) -> Result<(), DecodeError> {
    let plan = rules.plan;
    let mut lines = lines(text);
    let columns = columns(plan, &mut lines, out)?;
    let mut is_timeless = false;
    for (number, line) in lines {
        let line = Line { number, text: line, delimiter: plan.delimiter };
        let (found, wanted) = (line.cells().count(), columns.len());
        if found != wanted {
            line.cells().try_for_each(|cell| cell.map(drop))?;
            return Err(line.broken(format!("has {found} cells, but there are {wanted} columns")));
        }
        let own = line.find(&columns, |column| matches!(column, Column::Time)).filter(|cell| !cell.is_empty());
        let own = own.map(|cell| time(plan, &cell)).transpose()?;
        if rules.from_payload {
            let device = line.find(&columns, |column| matches!(column, Column::Device)).unwrap_or_default();
            if !out.device().is_empty() && out.device() != device {
                return Err(line.broken(format!("is of device `{device}`, those before it of `{}`", out.device())));
            }
            set_device(&device, out)?;
        }
        let Some(at) = own.or(measured_at) else {
            is_timeless = true;
            continue;
        };
        let before = out.readings.len() + out.text_count();
        for (column, cell) in columns.iter().zip(line.cells()) {
            if let Column::Channel(channel) = column {
                value(plan, *channel, at, &cell?, out)?;
            }
        }
        out.uses_received_time |= own.is_none() && out.readings.len() + out.text_count() > before;
    }
    if is_timeless && out.is_empty() { Err(DecodeError::Retained) } else { Ok(()) }
}

/// The device in the first line that has one.
pub(super) fn device<'t>(text: &'t str, plan: &Plan) -> Option<Cow<'t, str>> {
    let wanted = plan.route.device_field.as_deref()?;
    let mut lines = lines(text);
    let place = if plan.route.columns.is_empty() {
        let header = Line { number: 1, text: lines.next()?.1, delimiter: plan.delimiter };
        header.cells().position(|name| name.is_ok_and(|name| name == wanted))?
    } else {
        plan.route.columns.iter().position(|name| name == wanted)?
    };
    lines.find_map(|(number, text)| Line { number, text, delimiter: plan.delimiter }.cells().nth(place)?.ok())
}

/// With their numbers, counted from 1; empty ones are passed over.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim_ascii().is_empty())
}

fn columns<'t>(
    plan: &Plan,
    lines: &mut impl Iterator<Item = (usize, &'t str)>,
    out: &mut Measurement,
) -> Result<Vec<Column>, DecodeError> {
    let mut columns = Vec::new();
    let mut add = |name: &str| {
        let name_is = |field: &Option<String>| field.as_deref() == Some(name);
        let column = if name.is_empty() {
            Column::Nothing
        } else if name_is(&plan.route.time_field) {
            Column::Time
        } else if name_is(&plan.route.device_field) {
            Column::Device
        } else {
            check_length("channel name", name, CHANNEL_NAME_MAX_BYTES)?;
            if out.channel_count() == CHANNELS_MAX {
                return Err(DecodeError::TooLarge { what: "number of channels", limit: CHANNELS_MAX });
            }
            if out.channels().any(|(_, known)| known == name) {
                return Err(DecodeError::DuplicateChannel(name.to_owned()));
            }
            Column::Channel(out.push_channel(name))
        };
        columns.push(column);
        Ok(())
    };
    if plan.route.columns.is_empty() {
        let (number, header) = lines.next().ok_or(DecodeError::NoReadings)?;
        let header = Line { number, text: header, delimiter: plan.delimiter };
        header.cells().try_for_each(|name| add(&name?))?;
    } else {
        plan.route.columns.iter().try_for_each(|name| add(name))?;
    }
    Ok(columns)
}

fn time(plan: &Plan, cell: &str) -> Result<EventTime, DecodeError> {
    let at = plan.times.text(cell).or_else(|why| match scalar::parse(cell.as_bytes()) {
        Ok(number) => plan.times.float(number),
        Err(_) => Err(why),
    });
    let name = plan.route.time_field.as_deref().unwrap_or_default();
    at.map_err(|why| DecodeError::BadTime(format!("`{name}` = {cell} is no event time: {why}")))
}

fn value(
    plan: &Plan,
    channel: ChannelIndex,
    at: EventTime,
    cell: &str,
    out: &mut Measurement,
) -> Result<(), DecodeError> {
    if cell.is_empty() {
        return Ok(());
    }
    if out.readings.len() + out.text_count() >= READINGS_MAX {
        return Err(DecodeError::TooLarge { what: "number of readings", limit: READINGS_MAX });
    }
    match scalar::parse(cell.as_bytes()) {
        Ok(value) => out.readings.push(Reading { channel, at, value }),
        Err(_) if is_not_finite(cell) => out.dropped.not_finite += 1,
        Err(_) if plan.rules.wants_text(out.channel(channel)) => {
            check_length("text", cell, TEXT_MAX_BYTES)?;
            out.push_text(channel, at, cell);
        }
        Err(_) => {}
    }
    Ok(())
}

/// As loggers write it.
fn is_not_finite(cell: &str) -> bool {
    let word = cell.trim_start_matches(['+', '-']);
    ["nan", "inf", "infinity"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

struct Line<'t> {
    number: usize,
    text: &'t str,
    delimiter: u8,
}

impl<'t> Line<'t> {
    fn broken(&self, what: String) -> DecodeError {
        DecodeError::Broken { format: "csv", detail: format!("line {} {what}", self.number) }
    }

    fn find(&self, columns: &[Column], wanted: impl Fn(&Column) -> bool) -> Option<Cow<'t, str>> {
        let place = columns.iter().position(wanted)?;
        self.cells().nth(place)?.ok()
    }

    /// White space around a cell is no part of it.
    fn cells(&self) -> impl Iterator<Item = Result<Cow<'t, str>, DecodeError>> {
        let mut rest = Some(self.text.trim_end_matches('\r'));
        std::iter::from_fn(move || {
            let text = rest.take()?.trim_start_matches(' ');
            let cell = match text.strip_prefix('"') {
                Some(inner) => self.quoted(inner),
                None => Ok(self.plain(text)),
            };
            Some(cell.map(|(cell, after)| {
                rest = after;
                cell
            }))
        })
    }

    fn plain(&self, text: &'t str) -> Cell<'t> {
        match text.split_once(char::from(self.delimiter)) {
            Some((cell, rest)) => (Cow::Borrowed(cell.trim_ascii()), Some(rest)),
            None => (Cow::Borrowed(text.trim_ascii()), None),
        }
    }

    /// Two quotes in quotes are one.
    fn quoted(&self, inner: &'t str) -> Result<Cell<'t>, DecodeError> {
        let mut end = 0;
        loop {
            let quote = inner.get(end..).and_then(|rest| rest.find('"'));
            end += quote.ok_or_else(|| self.broken("has a quote that does not end".to_owned()))?;
            if !inner.get(end + 1..).is_some_and(|rest| rest.starts_with('"')) {
                break;
            }
            end += 2;
        }
        let cell = inner.get(..end).unwrap_or_default();
        let cell = if cell.contains('"') { Cow::Owned(cell.replace("\"\"", "\"")) } else { Cow::Borrowed(cell) };
        let rest = inner.get(end + 1..).unwrap_or_default().trim_start_matches(' ');
        match rest.strip_prefix(char::from(self.delimiter)) {
            Some(rest) => Ok((cell, Some(rest))),
            None if rest.is_empty() => Ok((cell, None)),
            None => Err(self.broken("has text behind a quoted cell".to_owned())),
        }
    }
}

/// A cell, and what follows its delimiter.
type Cell<'t> = (Cow<'t, str>, Option<&'t str>);
