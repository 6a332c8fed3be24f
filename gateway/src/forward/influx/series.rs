//! A bound on the series that a sink makes: InfluxDB keeps an index of all that it ever had, in memory.
//!
//! # Invariants
//! - Up to the cap lines are not touched. What was let in stays let in; the set is that of this run, so a restart begins it
//!   anew with those who send then.
//! - Above the cap the lines of a new series become lines of one series for each measurement, with the tag `device=overflow`;
//!   who they are from is in the text field `overflow_series`.
//! - Lines of different series do not overwrite each other there as long as the queue's sequence or the digits below their
//!   times tell them apart; see [`apart`].
//!
//! # Not here
//! How lines are written: this works on their text, so that it counts what InfluxDB counts.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::ops::Range;

use memchr::memchr;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::queue::QueueSeq;

const OVERFLOW: &[u8] = b"overflow";
const FIELD: &[u8] = b"overflow_series=\"";
/// Tags of few values, which stay: what the gateway is, and whether its times can be trusted.
const KEPT: [&[u8]; 3] = [b"clock", b"gateway", b"site"];

const NANOS_A_MILLI: i64 = 1_000_000;
const NANOS_A_MICRO: i64 = 1_000;

/// Counts series, and turns down new ones above the cap.
pub(in crate::forward) struct SeriesCap {
    sink: String,
    /// `None`: no cap.
    max: Option<usize>,
    hasher: RandomState,
    /// Hashes of the series that were let in, at most `max`. Two in 2^64 that share one are let in as one.
    seen: HashSet<u64, BuildHasherDefault<Hashed>>,
    /// Of the line before, which most often has the same.
    last: (Vec<u8>, Place),
    is_said: bool,
    scratch: Vec<u8>,
    /// Series let in, and lines that had to go under `overflow`; those that are encoded again count again.
    let_in: Gauge,
    turned_down: Counter,
}

/// Of what is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Where a line belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OwnSeries,
    Overflow,
}

impl SeriesCap {
    /// `max`: 0 for no cap.
    pub(in crate::forward) fn new(sink: &str, max: usize, let_in: Gauge, turned_down: Counter) -> Self {
        Self {
            sink: sink.to_owned(),
            max: (max > 0).then_some(max),
            hasher: RandomState::new(),
            seen: HashSet::default(),
            last: (Vec::new(), Place::OwnSeries),
            is_said: false,
            scratch: Vec::new(),
            let_in,
            turned_down,
        }
    }

    /// Rewrites those of the lines from `from` on that are of too many series. `seq`: the sequence that is in their times,
    /// if one is.
    pub(in crate::forward) fn apply(&mut self, lines: &mut Vec<u8>, from: usize, seq: Option<QueueSeq>) {
        let Some(max) = self.max else { return };
        let mut turned_down = 0;
        self.scratch.clear();
        // What is before this is in `scratch`, or was never touched.
        let mut copied = from;
        let mut at = from;
        while at < lines.len() {
            let series = at..at + series_len(&lines[at..]);
            let end = at + line_len(&lines[at..]);
            if self.place(&lines[series.clone()], max) == Place::Overflow {
                self.scratch.extend_from_slice(&lines[copied..at]);
                overflow(&mut self.scratch, &lines[at..end], series.len(), seq);
                copied = end;
                turned_down += 1;
            }
            at = end;
        }
        if turned_down > 0 {
            self.scratch.extend_from_slice(&lines[copied..]);
            lines.truncate(from);
            lines.extend_from_slice(&self.scratch);
            self.turned_down.inc_by(turned_down);
        }
    }

    fn place(&mut self, series: &[u8], max: usize) -> Place {
        if self.last.0 == series {
            return self.last.1;
        }
        let hash = self.hasher.hash_one(series);
        let place = if self.seen.contains(&hash) {
            Place::OwnSeries
        } else if self.seen.len() < max {
            self.seen.insert(hash);
            self.let_in.set(self.seen.len() as i64);
            Place::OwnSeries
        } else {
            self.say(series, max);
            Place::Overflow
        };
        self.last.0.clear();
        self.last.0.extend_from_slice(series);
        self.last.1 = place;
        place
    }

    fn say(&mut self, series: &[u8], max: usize) {
        if self.is_said {
            return;
        }
        self.is_said = true;
        let (sink, series) = (&self.sink, String::from_utf8_lossy(series));
        tracing::warn!(
            sink, series_max = max, %series,
            "More series than `series_max`: points of new ones go out with the tag device=overflow, their own tags in the \
             field overflow_series. Find out what makes up so many, or raise `series_max`."
        );
    }
}

/// Bytes of the measurement and its tags: up to the first space that is not escaped.
fn series_len(line: &[u8]) -> usize {
    find(line, b' ').unwrap_or(line.len())
}

/// Bytes of a line with its end. Texts hold no line breaks.
fn line_len(lines: &[u8]) -> usize {
    memchr(b'\n', lines).map_or(lines.len(), |at| at + 1)
}

/// The first of these bytes that is not escaped.
fn find(text: &[u8], wanted: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr(wanted, &text[from..])?;
        if at == 0 || text[at - 1] != b'\\' {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Writes a line of the series of `series_len` bytes as one of those that are too many.
fn overflow(out: &mut Vec<u8>, line: &[u8], series_len: usize, seq: Option<QueueSeq>) {
    let (series, rest) = line.split_at(series_len);
    let time_at = rest.iter().rposition(|b| *b == b' ').unwrap_or(0);
    let (fields, time) = (&rest[..time_at], &rest[time_at..]);
    let mut tags = Tags { text: series, at: find(series, b',').unwrap_or(series.len()) };
    out.extend_from_slice(&series[..tags.at]);
    let kept: Vec<Range<usize>> = tags.by_ref().filter(|tag| is_kept(&series[tag.clone()])).collect();
    let mut device = Some(OVERFLOW);
    for tag in &kept {
        // Sorted by key, as InfluxDB likes them.
        if series[tag.clone()] > b"device="[..] {
            write_device(out, device.take());
        }
        out.push(b',');
        out.extend_from_slice(&series[tag.clone()]);
    }
    write_device(out, device);
    out.push(b' ');
    out.extend_from_slice(FIELD);
    let own = Tags { text: series, at: find(series, b',').unwrap_or(series.len()) };
    for (i, tag) in own.filter(|tag| !is_kept(&series[tag.clone()])).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        for byte in &series[tag] {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
    }
    out.push(b'"');
    out.push(b',');
    out.extend_from_slice(fields.trim_ascii_start());
    match std::str::from_utf8(time).ok().and_then(|time| time.trim().parse().ok()) {
        Some(at) => {
            out.push(b' ');
            out.extend_from_slice(apart(at, series, seq).to_string().as_bytes());
            out.push(b'\n');
        }
        None => out.extend_from_slice(time),
    }
}

fn write_device(out: &mut Vec<u8>, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.extend_from_slice(b",device=");
        out.extend_from_slice(value);
    }
}

fn is_kept(tag: &[u8]) -> bool {
    KEPT.iter().any(|key| tag.strip_prefix(*key).is_some_and(|rest| rest.first() == Some(&b'=')))
}

/// Places of `key=value` in a series.
struct Tags<'a> {
    text: &'a [u8],
    /// At the comma before the next one.
    at: usize,
}

impl Iterator for Tags<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at + 1;
        let rest = self.text.get(start..)?;
        let end = start + find(rest, b',').unwrap_or(rest.len());
        self.at = end;
        Some(start..end)
    }
}

/// The time of a point in the series that many share, nanoseconds. InfluxDB keeps one point for a series and a time, so two
/// devices of one time would overwrite each other. Times that have the record's sequence below the millisecond are told
/// apart by it already (see `line::point_time`). Others have digits to spare, and get a hash of the series that the point
/// would have had: a million values below a whole millisecond, a thousand below a whole microsecond. It is the same
/// whenever the record is sent again.
fn apart(at: i64, series: &[u8], seq: Option<QueueSeq>) -> i64 {
    let below_milli = at.rem_euclid(NANOS_A_MILLI);
    if seq.is_some_and(|seq| (seq.0 % NANOS_A_MILLI as u64) as i64 == below_milli) {
        return at;
    }
    let hash = i64::from(crc32fast::hash(series));
    let spare = match below_milli {
        0 => hash % NANOS_A_MILLI,
        below if below % NANOS_A_MICRO == 0 => hash % NANOS_A_MICRO,
        _ => 0,
    };
    at.saturating_add(spare)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cap(max: usize) -> SeriesCap {
        SeriesCap::new("influx", max, Gauge::default(), Counter::default())
    }

    fn capped(cap: &mut SeriesCap, lines: &str, seq: Option<u64>) -> String {
        let mut out = lines.as_bytes().to_vec();
        cap.apply(&mut out, 0, seq.map(QueueSeq));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn up_to_the_cap_nothing_is_touched_and_what_was_let_in_stays() {
        let mut cap = cap(2);
        let two = "s,device=a x=1 1000000007\ns,device=b x=1 1000000007\n";
        assert_eq!(capped(&mut cap, two, Some(7)), two);
        assert_ne!(capped(&mut cap, "s,device=c x=1 1000000007\n", Some(7)), "s,device=c x=1 1000000007\n");
        assert_eq!(capped(&mut cap, two, Some(7)), two);
        assert_eq!((cap.let_in.get(), cap.turned_down.get()), (2, 1));
    }

    #[test]
    fn without_a_cap_nothing_is_touched() {
        let line = "s,device=a x=1 1\n";
        assert_eq!(capped(&mut cap(0), line, None), line);
    }

    #[test]
    fn above_the_cap_a_line_keeps_what_is_common_to_all_and_says_whose_it_is() {
        let mut cap = cap(1);
        capped(&mut cap, "s,device=a x=1 1\n", None);
        let line = "s,clock=unsynchronised,device=b\\ 1,gateway=g,room=2,site=x y=\"a, b\",x=1 5000000007\n";
        assert_eq!(
            capped(&mut cap, line, Some(7)),
            "s,clock=unsynchronised,device=overflow,gateway=g,site=x overflow_series=\"device=b\\\\ 1,room=2\",y=\"a, b\",x=1 \
             5000000007\n"
        );
        let plain = capped(&mut cap, "s,device=b x=1 5000000007\n", Some(7));
        assert_eq!(plain, "s,device=overflow overflow_series=\"device=b\",x=1 5000000007\n");
    }

    #[test]
    fn lines_around_one_that_is_too_much_stay_where_they_are() {
        let mut cap = cap(1);
        let mut lines = b"earlier record\n".to_vec();
        let from = lines.len();
        lines.extend_from_slice(b"s,device=a x=1 7\ns,device=b x=1 7\ns,device=a x=2 7\n");
        cap.apply(&mut lines, from, Some(QueueSeq(7)));
        let text = String::from_utf8(lines).unwrap();
        let found: Vec<&str> = text.lines().collect();
        assert_eq!((found[0], found[1], found[3]), ("earlier record", "s,device=a x=1 7", "s,device=a x=2 7"));
        assert!(found[2].starts_with("s,device=overflow "), "{text}");
    }

    #[test]
    fn windows_of_one_time_get_times_of_their_own_and_the_same_ones_again() {
        let mut cap = cap(1);
        capped(&mut cap, "w,device=a x=1 1\n", None);
        let time = |cap: &mut SeriesCap, device: u32| -> i64 {
            let line = format!("w,channel=x,device=d{device} mean=1 1700000000000000000\n");
            let line = capped(cap, &line, None);
            line.trim_end().rsplit(' ').next().unwrap().parse().unwrap()
        };
        let times: HashSet<i64> = (0..50).map(|device| time(&mut cap, device)).collect();
        assert_eq!(times.len(), 50);
        assert!(times.iter().all(|at| (at - 1_700_000_000_000_000_000) < NANOS_A_MILLI));
        assert_eq!(time(&mut cap, 7), time(&mut cap, 7));
    }

    #[test]
    fn a_times_own_digits_are_kept() {
        assert_eq!(apart(1_700_000_000_000_000_123, b"s", None), 1_700_000_000_000_000_123);
        let micros = apart(1_700_000_000_000_001_000, b"s", Some(QueueSeq(9)));
        assert_eq!(micros / NANOS_A_MICRO, 1_700_000_000_000_001);
        assert_eq!(apart(5_000_009, b"s", Some(QueueSeq(9))), 5_000_009, "told apart by the sequence");
    }

    proptest! {
        #[test]
        fn each_line_stays_one_line_with_one_device(
            // As the encoder escapes names: never with a backslash at the end.
            device in "([a-z\"]|\\\\[a-z ,=]){1,6}",
            text in "[ -~&&[^\"\\\\]]{0,12}",
        ) {
            let mut cap = cap(1);
            capped(&mut cap, "first,device=a x=1 1\n", None);
            let line = format!("s,device={device},gateway=g x=\"{text}\" 1700000000000000000\n");
            let out = capped(&mut cap, &line, None);
            prop_assert_eq!(out.lines().count(), 1);
            let series = &out[..series_len(out.as_bytes())];
            prop_assert_eq!(series, "s,device=overflow,gateway=g");
            let fields = format!("x=\"{text}\" 17");
            prop_assert!(out.contains(&fields));
        }
    }
}
