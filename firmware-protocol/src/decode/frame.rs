//! A frame's samples as readings.

use super::DecodeError;
use crate::frame::{BaseTime, FrameView};
use crate::measurement::{EventTime, FrameIdentity, Measurement, Reading};

/// Samples that are not finite mean "no value" on the wire, and make no reading.
pub(super) fn decode(bytes: &[u8], measured_at: Option<EventTime>, out: &mut Measurement) -> Result<(), DecodeError> {
    let view = FrameView::parse(bytes)?;
    out.set_device(view.header.device);
    out.identity = Some(FrameIdentity { boot: view.header.boot, seq: view.header.seq });
    out.uses_received_time = matches!(view.base, BaseTime::SinceBootMicros(_));
    let zero = Zero::of(&view, measured_at)?;
    for channel in view.channels() {
        let index = out.push_channel(channel.name);
        out.readings.reserve(channel.sample_count());
        for (offset, value) in channel.samples() {
            let value = value.as_f64();
            if value.is_finite() {
                let at = zero.plus(offset).ok_or_else(|| out_of_range(view.base, offset))?;
                out.readings.push(Reading { channel: index, at, value });
            } else {
                out.dropped.not_finite += 1;
            }
        }
    }
    Ok(())
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
