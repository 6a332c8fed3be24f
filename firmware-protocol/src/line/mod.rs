//! InfluxDB line protocol, written by the gateway and by cloud-sink with the same code, hence the same points.
//!
//! # Invariants
//! - The same record always gives the same points: a repeat overwrites what it wrote before.
//! - Whatever the names hold, a line is one line and its tags and keys end where they should; see `escape`.
//! - Tags are sorted by key, as InfluxDB likes them.
//!
//! # Flow
//! ```text
//! Measurement ─▶ sensor,device=pump-7,gateway=g1 flow=1.5,temperature=21.5 1772366400000000042
//! Derived     ─▶ sensor_window,channel=flow,device=pump-7,gateway=g1 count=600i,… 1772366400000000000
//! ```
//! Series prefixes are not cached: escaping a known-good name is one look at each byte and a copy, less than the hash
//! and the comparison that a cache costs.

mod derived;
mod escape;
mod number;

use crate::digits::Digits;
use crate::measurement::{EventTime, FrameIdentity, Measurement};

use escape::{key, tag_value};
use number::float;

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
    /// Readings of one message in the order of their lines: time, channel, place in the message.
    order: Vec<(EventTime, u16, u32)>,
}

impl Encoder {
    /// Tag keys that lines bring themselves or that InfluxDB forbids; constant tags of these names are left out,
    /// because a line with one key twice would be refused.
    pub const RESERVED_TAGS: [&str; 8] =
        ["device", "channel", "detector", "kind", "reason", "time", "_measurement", "_field"];

    /// `tags` are written on every line, such as gateway and site; empty ones are left out.
    pub fn new(tags: &[(String, String)]) -> Self {
        let mut encoded: Vec<_> = tags
            .iter()
            .filter(|(k, v)| !k.is_empty() && !v.is_empty() && !Self::RESERVED_TAGS.contains(&k.as_str()))
            .map(|(k, v)| {
                let mut text = Vec::new();
                tag(&mut text, k, v);
                (k.clone(), text)
            })
            .collect();
        encoded.sort();
        encoded.dedup_by(|a, b| a.0 == b.0);
        Self { tags: encoded, order: Vec::new() }
    }

    /// One line for each event time, with a field for each channel, in the order of the channels. Values that are not
    /// finite are left out; of two values of one channel at one time the later counts. Returns the number of lines.
    pub fn measurement(&mut self, out: &mut Vec<u8>, name: &str, m: &Measurement, queue_seq: u64) -> usize {
        self.sort(m);
        let order = std::mem::take(&mut self.order);
        let mut lines = 0;
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            self.series(out, name, &[("device", m.device())]);
            for (i, (_, channel, place)) in group.iter().enumerate() {
                let repeated = group.get(i + 1).is_some_and(|next| next.1 == *channel);
                if repeated {
                    continue;
                }
                let reading = &m.readings[*place as usize];
                field_key(out, m.channel(reading.channel));
                float(out, reading.value);
            }
            let at = group.first().map_or(EventTime::default(), |g| g.0);
            end_line(out, point_time(at, m.identity, queue_seq));
            lines += 1;
        }
        self.order = order;
        lines
    }

    fn sort(&mut self, m: &Measurement) {
        self.order.clear();
        let finite = m.readings.iter().enumerate().filter(|(_, r)| r.value.is_finite());
        self.order.extend(finite.map(|(i, r)| (r.at, r.channel.0, i as u32)));
        if !self.order.is_sorted() {
            // Stable sort, because it merges the runs that a frame's channels are.
            self.order.sort();
        }
    }

    /// `name,tag=value,…` with the constant tags and `own`, which is sorted by key; empty values are left out.
    fn series(&self, out: &mut Vec<u8>, name: &str, own: &[(&str, &str)]) {
        key(out, name);
        let mut constant = self.tags.iter().peekable();
        for (k, value) in own.iter().filter(|(_, value)| !value.is_empty()) {
            while let Some((_, text)) = constant.next_if(|(c, _)| c.as_str() < *k) {
                out.extend_from_slice(text);
            }
            tag(out, k, value);
        }
        for (_, text) in constant {
            out.extend_from_slice(text);
        }
        out.push(b' ');
    }
}

fn tag(out: &mut Vec<u8>, k: &str, value: &str) {
    out.push(b',');
    key(out, k);
    out.push(b'=');
    tag_value(out, value);
}

/// Begins a field, after a comma if it is not the first.
fn field_key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b' ') {
        out.push(b',');
    }
    match name {
        // InfluxDB drops fields of this name without a word.
        "time" => out.extend_from_slice(b"time_"),
        _ => key(out, name),
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
