//! InfluxDB line protocol: written by the gateway and by cloud-sink with the same code, hence the same points; and read,
//! where sensors send it.
//!
//! # Invariants
//! - The same record always gives the same points: a repeat overwrites what it wrote before.
//! - Whatever the names hold, a line is one line and its tags and keys end where they should; see `escape`.
//! - Tags are sorted by key, as InfluxDB likes them.
//!
//! # Flow
//! ```text
//! Measurement ─▶ sensor,device=pump-7,gateway=g1,room=2 flow=1.5,state="open" 1772366400000000042
//! Derived     ─▶ sensor_window,channel=flow,device=pump-7,gateway=g1 count=600i,… 1772366400000000000
//! ```
//! Series prefixes are not cached across messages: to look at each byte of a name and copy it costs less than the hash
//! and the comparison of a cache. The lines of one message share theirs.

mod derived;
mod escape;
mod number;
mod parse;

use std::ops::Range;

use crate::digits::Digits;
use crate::measurement::{ChannelIndex, ClockTrust, EventTime, FrameIdentity, Measurement};

use escape::{name, quoted};
use number::float;

pub use parse::{FIELDS_MAX, Line, LineFault, Name, Precision, TAGS_MAX, Value, next_line};

/// The time of the point that a reading becomes.
///
/// InfluxDB keeps one point per series and time; a second one overwrites its fields. Devices that count time in
/// milliseconds or seconds do send two different messages with one time. Their points are told apart in the
/// nanoseconds below, by the record's sequence, which stays the same when the record is sent again. A firmware frame
/// counts in microseconds and says who it is, so its times are left as they are.
pub fn point_time(at: EventTime, identity: Option<FrameIdentity>, queue_seq: u64) -> EventTime {
    const NANOS_A_MILLI: i64 = 1_000_000;
    if identity.is_some() || at.0 % NANOS_A_MILLI != 0 {
        return at;
    }
    EventTime(at.0.saturating_add((queue_seq % NANOS_A_MILLI as u64) as i64))
}

/// Writes lines; keeps its scratch space between calls.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Sorted by key: the key, and `,key=value` as it is written.
    tags: Vec<(String, Vec<u8>)>,
    /// What stands before and after the device's name on the lines of readings; before it for each [`ClockTrust`].
    before_device: [Vec<u8>; ClockTrust::ALL.len()],
    after_device: Vec<u8>,
    /// Readings of one message in the order of their lines: time, channel, place in the message, texts behind numbers.
    order: Vec<(EventTime, u16, u32)>,
}

impl Encoder {
    /// Tag keys that lines bring themselves or that InfluxDB forbids; constant tags of these names are left out,
    /// because a line with one key twice would be refused.
    pub const RESERVED_TAGS: [&str; 9] =
        ["device", "channel", "clock", "detector", "kind", "reason", "time", "_measurement", "_field"];

    /// `tags` are written on every line, such as gateway and site; empty ones are left out.
    pub fn new(tags: &[(String, String)]) -> Self {
        let mut encoded: Vec<_> = tags
            .iter()
            .filter(|(k, v)| !k.is_empty() && !v.is_empty() && !Self::RESERVED_TAGS.contains(&k.as_str()))
            .map(|(k, v)| (k.clone(), tag_text(k, v)))
            .collect();
        encoded.sort();
        encoded.dedup_by(|a, b| a.0 == b.0);
        let join = |wanted: &dyn Fn(&str) -> bool| {
            let tags = encoded.iter().filter(|(key, _)| wanted(key));
            tags.flat_map(|(_, text)| text.clone()).collect::<Vec<_>>()
        };
        let before_clock = join(&|key| key < "clock");
        let before_device = join(&|key| key > "clock" && key < "device");
        let before_device = ClockTrust::ALL.map(|clock| {
            let clock = clock.mark().map(|mark| tag_text("clock", mark)).unwrap_or_default();
            [&*before_clock, &clock, &before_device, b",device="].concat()
        });
        let after_device = [join(&|key| key > "device"), b" ".to_vec()].concat();
        Self { tags: encoded, before_device, after_device, order: Vec::new() }
    }

    /// One line for each event time, with a field for each channel, in the order of the channels: numbers as floats, texts
    /// in quotes. Values that are not finite are left out; of two values of one channel at one time the later counts.
    /// The measurement's own tags count more than constant ones of the same key. Returns the number of lines.
    pub fn measurement(&mut self, out: &mut Vec<u8>, measurement: &str, m: &Measurement, queue_seq: u64) -> usize {
        self.sort(m);
        let mut series = None;
        let mut lines = 0;
        for group in self.order.chunk_by(|a, b| a.0 == b.0) {
            match series.clone() {
                Some(written) => out.extend_from_within(written),
                None => series = Some(self.series(out, measurement, m)),
            }
            for (i, (_, channel, place)) in group.iter().enumerate() {
                let repeated = group.get(i + 1).is_some_and(|next| next.1 == *channel);
                if repeated {
                    continue;
                }
                let place = *place as usize;
                field_key(out, m.channel(ChannelIndex(*channel)));
                match m.readings.get(place) {
                    Some(reading) => float(out, reading.value),
                    None => quoted(out, m.text(place - m.readings.len())),
                }
            }
            let at = group.first().map_or(EventTime::default(), |g| g.0);
            end_line(out, point_time(at, m.identity, queue_seq));
            lines += 1;
        }
        lines
    }

    fn sort(&mut self, m: &Measurement) {
        self.order.clear();
        let finite = m.readings.iter().enumerate().filter(|(_, r)| r.value.is_finite());
        self.order.extend(finite.map(|(i, r)| (r.at, r.channel.0, i as u32)));
        let texts = m.texts().enumerate();
        self.order.extend(texts.map(|(i, (channel, at, _))| (at, channel.0, (m.readings.len() + i) as u32)));
        if !self.order.is_sorted() {
            // Stable sort, because it merges the runs that a frame's channels are.
            self.order.sort();
        }
    }

    /// Returns where in `out` the series stands, the space after it included.
    fn series(&self, out: &mut Vec<u8>, measurement: &str, m: &Measurement) -> Range<usize> {
        let begin = out.len();
        name(out, measurement);
        if m.tags().next().is_some() {
            self.tags_of(out, m);
            return begin..out.len();
        }
        out.extend_from_slice(&self.before_device[m.clock as usize]);
        name(out, m.device());
        out.extend_from_slice(&self.after_device);
        begin..out.len()
    }

    /// Constant tags, those that every line has, and the measurement's own.
    fn tags_of(&self, out: &mut Vec<u8>, m: &Measurement) {
        let mut constant = self.tags.iter().peekable();
        let mut push = |key: &str, value: &str| {
            while let Some((_, text)) = constant.next_if(|(c, _)| c.as_str() < key) {
                out.extend_from_slice(text);
            }
            constant.next_if(|(c, _)| c == key);
            tag(out, key, value);
        };
        let mut own = m.tags().peekable();
        let clock = m.clock.mark().map(|mark| ("clock", mark));
        for (key, value) in clock.into_iter().chain([("device", m.device())]) {
            while let Some((own_key, own_value)) = own.next_if(|(own, _)| *own < key) {
                push(own_key, own_value);
            }
            push(key, value);
        }
        own.for_each(|(key, value)| push(key, value));
        constant.for_each(|(_, text)| out.extend_from_slice(text));
        out.push(b' ');
    }
}

fn tag_text(key: &str, value: &str) -> Vec<u8> {
    let mut text = Vec::new();
    tag(&mut text, key, value);
    text
}

fn tag(out: &mut Vec<u8>, key: &str, value: &str) {
    out.push(b',');
    name(out, key);
    out.push(b'=');
    name(out, value);
}

/// Begins a field, after a comma if it is not the first.
fn field_key(out: &mut Vec<u8>, key: &str) {
    if out.last() != Some(&b' ') {
        out.push(b',');
    }
    match key {
        // InfluxDB drops fields of this name without a word.
        "time" => out.extend_from_slice(b"time_"),
        _ => name(out, key),
    }
    out.push(b'=');
}

fn end_line(out: &mut Vec<u8>, at: EventTime) {
    out.push(b' ');
    out.extend_from_slice(Digits::signed(at.0).as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
