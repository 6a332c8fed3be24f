//! A frame's samples as readings; a hello as an announcement.

use super::{CHANNEL_NAME_MAX_BYTES, DecodeError, Incoming, check_length};
use crate::frame::{self, BaseTime, ChannelView, FrameView, HelloView, Kind, Label, Parsed, Value};
use crate::measurement::{ChannelIndex, ChannelLimits, EventTime, FrameIdentity, Measurement, Reading};
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

/// The channels without readings, and their limits: who wants to know what the device has finds them here.
fn hello(view: &HelloView<'_>, out: &mut Measurement) {
    out.is_announcement = true;
    for channel in view.channels() {
        let index = out.push_channel(channel.name);
        out.set_unit(index, channel.unit);
        let range = channel.range.map(|(min, max)| (f64::from(min), f64::from(max)));
        let limits = ChannelLimits { range, interval_micros: channel.interval_micros };
        if limits != ChannelLimits::default() {
            out.limits.push((index, limits));
        }
    }
}

fn samples(view: &FrameView<'_>, message: &Incoming<'_>, out: &mut Measurement) -> Result<(), DecodeError> {
    out.uses_received_time = matches!(view.base, BaseTime::SinceBootMicros(_));
    let zero = Zero::of(view, message.measured_at())?;
    let mut table = Lookup::new(message.table);
    for channel in view.channels() {
        let index = push_channel(&channel, &mut table, out)?;
        out.readings.reserve(channel.sample_count());
        let mut out_of_range = None;
        channel.for_each_number(|offset, value| match zero.plus(offset) {
            _ if !value.is_finite() => out.dropped.not_finite += 1,
            Some(at) => out.readings.push(Reading { channel: index, at, value }),
            None => out_of_range = Some(offset),
        });
        for (offset, value) in channel.samples().take_while(|_| channel.kind == Kind::Text) {
            if let Value::Text(text) = value {
                let at = zero.plus(offset).ok_or_else(|| bad_time(view.base, offset))?;
                out.push_text(index, at, text);
            }
        }
        if let Some(offset) = out_of_range {
            return Err(bad_time(view.base, offset));
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

fn bad_time(base: BaseTime, offset: i64) -> DecodeError {
    DecodeError::BadTime(format!("frame's {base:?} with offset {offset} us lies before 1677 or after 2262"))
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Route};
    use super::*;
    use crate::frame::{
        Channel, ChannelInfo, ChannelTable, Encode, Every, FRAME_MAX_BYTES, Frame, Hello, Kind, Numbered,
        NumberedFrame, Samples, TableId,
    };
    use crate::{BootId, DeviceSeq};

    const RECEIVED_AT: EventTime = EventTime(1_772_366_400_000_000_000);
    const BASE: BaseTime = BaseTime::UnixMicros(1_000_000);
    const CHANNELS: &[ChannelInfo<'static>] = &[
        ChannelInfo { name: "flow", unit: "l/min", kind: Kind::F32, range: None, interval_micros: 0 },
        ChannelInfo { name: "state", unit: "", kind: Kind::Text, range: None, interval_micros: 0 },
    ];

    fn decoded(frame: &impl Encode, table: &str) -> Result<Measurement, DecodeError> {
        let mut bytes = [0; FRAME_MAX_BYTES];
        let length = frame::encode(frame, &mut bytes).unwrap();
        let message = Incoming {
            topic: "any",
            payload: &bytes[..length],
            content_type: "",
            received_at: RECEIVED_AT,
            is_replay: false,
            table,
        };
        let mut out = Measurement::default();
        Decoder::new(vec![Route { topic: "#".into(), ..Route::default() }]).unwrap().decode(message, &mut out)?;
        Ok(out)
    }

    fn named<'a>(base: BaseTime, channels: &'a [Channel<'a>]) -> Frame<'a> {
        Frame { device: "pump-7", boot: BootId(3), seq: DeviceSeq(9), base, channels }
    }

    fn readings(m: &Measurement) -> Vec<(&str, i64, f64)> {
        m.readings.iter().map(|r| (m.channel(r.channel), r.at.0, r.value)).collect()
    }

    #[test]
    fn numbers_get_names_and_units_from_the_table_beside_the_record() {
        let flow = Samples::F32Every(Every { first: -2, interval_micros: 2, values: &[1.5, 2.5] });
        let channels =
            [Numbered { number: 1, samples: flow }, Numbered { number: 4, samples: Samples::Bool(&[(0, true)]) }];
        let (boot, seq, table) = (BootId(3), DeviceSeq(9), TableId(7));
        let frame = NumberedFrame { device: "pump-7", boot, seq, base: BASE, table, channels: &channels };
        let m = decoded(&frame, "1\tflow\tl/min\n4\tdoor\n").unwrap();
        assert_eq!((m.device(), m.identity), ("pump-7", Some(FrameIdentity { boot, seq })));
        assert_eq!(
            readings(&m),
            [("flow", 999_998_000, 1.5), ("flow", 1_000_000_000, 2.5), ("door", 1_000_000_000, 1.0)]
        );
        assert_eq!(m.channels().map(|(index, _)| m.unit(index)).collect::<Vec<_>>(), ["l/min", ""]);
        for (table, number) in [("", 1), ("1\tflow\n", 4), ("4\tdoor\n", 1)] {
            assert_eq!(decoded(&frame, table), Err(DecodeError::NoTable { number }));
        }
    }

    #[test]
    fn a_hello_announces_its_channels_and_makes_no_reading() {
        let table = ChannelTable::new(CHANNELS).unwrap();
        let hello = Hello { device: "pump-7", boot: BootId(3), seq: DeviceSeq(0), base: BASE, table };
        let m = decoded(&hello, "").unwrap();
        assert!(m.is_announcement && m.is_empty());
        assert_eq!((m.device(), m.identity.map(|i| i.seq)), ("pump-7", Some(DeviceSeq(0))));
        let channels: Vec<_> = m.channels().map(|(index, name)| (name, m.unit(index))).collect();
        assert_eq!(channels, [("flow", "l/min"), ("state", "")]);
    }

    #[test]
    fn a_hello_tells_the_limits_of_its_channels_in_the_unit_of_their_readings() {
        let flow = ChannelInfo { range: Some((-20.0, 80.0)), interval_micros: 100_000, ..CHANNELS[0] };
        let heat = ChannelInfo { name: "heat", unit: "°C", range: Some((0.0, 100.0)), ..flow };
        let depth = ChannelInfo { name: "depth", unit: "", ..heat };
        let channels = [flow, CHANNELS[1], heat, depth, ChannelInfo { name: "other", ..flow }];
        let table = ChannelTable::new(&channels).unwrap();
        let hello = Hello { device: "pump-7", boot: BootId(3), seq: DeviceSeq(0), base: BASE, table };
        let rule = |path: &str| crate::decode::Channel { path: path.into(), ..Default::default() };
        let rules = vec![
            crate::decode::Channel { name: "flow_back".into(), scale: -0.5, offset: 1.0, ..rule("flow") },
            crate::decode::Channel { to: "K".into(), ..rule("heat") },
            crate::decode::Channel { max: Some(50.0), ..rule("depth") },
        ];
        let route = Route { topic: "#".into(), channels: rules, ignore: vec!["other".into()], ..Route::default() };
        let mut bytes = [0; FRAME_MAX_BYTES];
        let length = frame::encode(&hello, &mut bytes).unwrap();
        let message = Incoming {
            topic: "any",
            payload: &bytes[..length],
            content_type: "",
            received_at: RECEIVED_AT,
            is_replay: false,
            table: "",
        };
        let mut out = Measurement::default();
        let decoder = Decoder::new(vec![route]).unwrap();
        decoder.decode(message, &mut out).unwrap();
        let limits: Vec<_> = out.limits.iter().map(|(index, limits)| (out.channel(*index), *limits)).collect();
        let within = |low, high| ChannelLimits { range: Some((low, high)), interval_micros: 100_000 };
        let expected =
            [("flow_back", within(-39.0, 11.0)), ("heat", within(273.15, 373.15)), ("depth", within(0.0, 50.0))];
        assert_eq!(limits, expected);

        let samples = [Channel { name: "flow", samples: Samples::F32(&[(0, 1.0)]) }];
        let mut bytes = [0; FRAME_MAX_BYTES];
        let length = frame::encode(&named(BASE, &samples), &mut bytes).unwrap();
        decoder.decode(Incoming { payload: &bytes[..length], ..message }, &mut out).unwrap();
        assert!(out.limits.is_empty(), "those of the message before");
    }

    #[test]
    fn texts_are_readings_of_their_own() {
        let channels = [Channel { name: "state", samples: Samples::Text(&[(-5, "idle"), (0, "")]) }];
        let m = decoded(&named(BASE, &channels), "").unwrap();
        let texts: Vec<_> = m.texts().map(|(channel, at, text)| (m.channel(channel), at.0, text)).collect();
        assert_eq!(texts, [("state", 999_995_000, "idle"), ("state", 1_000_000_000, "")]);
        assert!(m.readings.is_empty());
        let far = BaseTime::UnixMicros(i64::MAX);
        assert_eq!(decoded(&named(far, &channels), "").unwrap_err().reason(), "bad_time");
    }

    #[test]
    fn the_last_of_regular_samples_is_the_newest_where_there_is_no_clock() {
        let every = Every { first: 0, interval_micros: 1_000, values: &[1_u16, 2, 3] };
        let channels = [
            Channel { name: "counts", samples: Samples::U16Every(every) },
            Channel { name: "door", samples: Samples::Bool(&[(500, true)]) },
        ];
        let m = decoded(&named(BaseTime::SinceBootMicros(9), &channels), "").unwrap();
        let ages: Vec<_> = m.readings.iter().map(|r| RECEIVED_AT.0 - r.at.0).collect();
        assert_eq!(ages, [2_000_000, 1_000_000, 0, 1_500_000]);
        assert!(m.uses_received_time);
    }

    #[test]
    fn values_that_are_not_finite_are_dropped_and_counted() {
        let values = [f64::NAN, 1.0, f64::INFINITY, f64::NEG_INFINITY];
        let every = |values| Samples::F64Every(Every { first: 0, interval_micros: 1, values });
        let m = decoded(&named(BASE, &[Channel { name: "x", samples: every(&values) }]), "").unwrap();
        assert_eq!((m.readings.len(), m.dropped.not_finite), (1, 3));
        let none = decoded(&named(BASE, &[Channel { name: "x", samples: every(&values[2..]) }]), "");
        assert_eq!(none, Err(DecodeError::NotFinite));
    }
}
