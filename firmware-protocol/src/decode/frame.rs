//! A frame's samples as readings; a hello as an announcement.

use super::{CHANNEL_NAME_MAX_BYTES, DecodeError, Incoming, check_length};
use crate::frame::{self, BaseTime, ChannelView, FrameView, HelloView, Label, Parsed, Value};
use crate::measurement::{ChannelIndex, EventTime, FrameIdentity, Measurement, Reading};
use crate::table::Lookup;

/// Samples that are not finite mean "no value" on the wire, and make no reading.
pub(super) fn decode(bytes: &[u8], message: &Incoming<'_>, out: &mut Measurement) -> Result<(), DecodeError> {
    let parsed = frame::parse(bytes)?;
    let header = parsed.header();
    out.set_device(header.device);
    out.identity = Some(FrameIdentity { boot: header.boot, seq: header.seq });
    match parsed {
        Parsed::Samples(view) => samples(&view, message, out),
        Parsed::Hello(view) => {
            hello(&view, out);
            Ok(())
        }
    }
}

/// The channels without readings: who wants to know what the device has finds them here.
fn hello(view: &HelloView<'_>, out: &mut Measurement) {
    out.is_announcement = true;
    for channel in view.channels() {
        let index = out.push_channel(channel.name);
        out.set_unit(index, channel.unit);
    }
}

fn samples(view: &FrameView<'_>, message: &Incoming<'_>, out: &mut Measurement) -> Result<(), DecodeError> {
    out.uses_received_time = matches!(view.base, BaseTime::SinceBootMicros(_));
    let zero = Zero::of(view, message.measured_at())?;
    let mut table = Lookup::new(message.table);
    for channel in view.channels() {
        let index = push_channel(&channel, &mut table, out)?;
        out.readings.reserve(channel.sample_count());
        for (offset, value) in channel.samples() {
            let at = || zero.plus(offset).ok_or_else(|| out_of_range(view.base, offset));
            match (value, value.number()) {
                (_, Some(value)) if value.is_finite() => {
                    out.readings.push(Reading { channel: index, at: at()?, value });
                }
                (Value::Text(text), _) => out.push_text(index, at()?, text),
                (Value::F32(_) | Value::F64(_) | Value::I32(_) | Value::Bool(_), _) => out.dropped.not_finite += 1,
            }
        }
    }
    Ok(())
}

fn push_channel(
    channel: &ChannelView<'_>,
    table: &mut Lookup<'_>,
    out: &mut Measurement,
) -> Result<ChannelIndex, DecodeError> {
    match channel.label {
        Label::Name(name) => Ok(out.push_channel(name)),
        Label::Number(number) => {
            let number = number.into();
            let entry = table.find(number).ok_or(DecodeError::NoTable { number })?;
            check_length("channel name", entry.name, CHANNEL_NAME_MAX_BYTES)?;
            let index = out.push_channel(entry.name);
            out.set_unit(index, entry.unit);
            Ok(index)
        }
    }
}

/// Where offset 0 lies, in two steps, because either may lie out of range where their sum does not.
struct Zero {
    at_nanos: i64,
    /// Added to each offset first.
    shift_micros: i64,
}

impl Zero {
    fn of(view: &FrameView<'_>, measured_at: Option<EventTime>) -> Result<Self, DecodeError> {
        Ok(match view.base {
            BaseTime::UnixMicros(at) => Self { at_nanos: 0, shift_micros: at },
            // Without a clock only distances are known: the newest sample was just taken when the frame arrived.
            BaseTime::SinceBootMicros(_) => {
                let newest = view.newest_offset_micros().unwrap_or_default();
                let measured_at = measured_at.ok_or(DecodeError::Retained)?;
                Self { at_nanos: measured_at.0, shift_micros: newest.saturating_neg() }
            }
        })
    }

    fn plus(&self, offset_micros: i64) -> Option<EventTime> {
        let nanos = self.shift_micros.checked_add(offset_micros)?.checked_mul(1_000)?;
        self.at_nanos.checked_add(nanos).map(EventTime)
    }
}

fn out_of_range(base: BaseTime, offset: i64) -> DecodeError {
    DecodeError::BadTime(format!("frame's {base:?} with offset {offset} us lies before 1677 or after 2262"))
}
