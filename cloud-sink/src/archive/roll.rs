//! Open rolls in memory, and when one ends. Pure: time is an argument.
//!
//! # Invariants
//! - Records of a roll are in the order of their offsets.
//! - [`Rolls::bytes`] is what is really held, spare capacity included; above `max_bytes` the caller takes nothing more in.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use super::layout::RollName;
use crate::kafka::group::Partition;

/// A record as it came from Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: i64,
    /// Kafka's own, milliseconds since 1970; `None` in topics that have none.
    pub timestamp_ms: Option<i64>,
    pub key: &'a [u8],
    pub payload: &'a [u8],
}

/// Records of one topic-partition without a hole between them: all bytes in one buffer.
#[derive(Debug)]
pub struct Roll {
    name: RollName,
    rows: Vec<Row>,
    headers: Vec<(Range<u32>, Range<u32>)>,
    bytes: Vec<u8>,
    began_at: Instant,
}

#[derive(Debug)]
struct Row {
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Range<u32>,
    payload: Range<u32>,
    headers: Range<u32>,
}

impl Roll {
    fn new(name: RollName, began_at: Instant) -> Self {
        Self { name, rows: Vec::new(), headers: Vec::new(), bytes: Vec::new(), began_at }
    }

    fn push<'h>(&mut self, record: Record<'_>, headers: impl Iterator<Item = (&'h str, &'h [u8])>) {
        let key = self.keep(record.key);
        let payload = self.keep(record.payload);
        let first = self.headers.len() as u32;
        for (name, value) in headers {
            let spans = (self.keep(name.as_bytes()), self.keep(value));
            self.headers.push(spans);
        }
        let Record { offset, timestamp_ms, .. } = record;
        self.rows.push(Row { offset, timestamp_ms, key, payload, headers: first..self.headers.len() as u32 });
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len() as u32
    }

    pub fn name(&self) -> &RollName {
        &self.name
    }

    pub fn last_offset(&self) -> i64 {
        self.rows.last().map_or(self.name.first - 1, |row| row.offset)
    }

    /// Number of rows up to this offset.
    pub fn rows_through(&self, last_offset: i64) -> usize {
        self.rows.partition_point(|row| row.offset <= last_offset)
    }

    pub fn record(&self, row: usize) -> Record<'_> {
        let Row { offset, timestamp_ms, key, payload, .. } = &self.rows[row];
        Record { offset: *offset, timestamp_ms: *timestamp_ms, key: self.at(key), payload: self.at(payload) }
    }

    pub fn headers(&self, row: usize) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        let Range { start, end } = self.rows[row].headers.clone();
        self.headers[start as usize..end as usize].iter().map(|(name, value)| {
            (
                std::str::from_utf8(self.at(name)).expect("names of headers were text when they were kept"),
                self.at(value),
            )
        })
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity()
            + self.rows.capacity() * size_of::<Row>()
            + self.headers.capacity() * size_of::<(Range<u32>, Range<u32>)>()
    }

    fn at(&self, span: &Range<u32>) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }
}

/// When rolls end.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_bytes: usize,
    pub max_age: Duration,
}

/// The open rolls of a process, one for each partition that has sent something.
#[derive(Debug)]
pub struct Rolls {
    limits: Limits,
    open: BTreeMap<Partition, Roll>,
    /// Ends that were decided before, by offset: such a roll ends there and nowhere else.
    ends: BTreeMap<Partition, i64>,
}

impl Rolls {
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: BTreeMap::new(), ends: BTreeMap::new() }
    }

    pub fn push<'h>(
        &mut self,
        topic: &str,
        partition: i32,
        record: Record<'_>,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
        now: Instant,
    ) {
        let key = (topic.to_owned(), partition);
        let name = || RollName { topic: topic.to_owned(), partition, first: record.offset };
        self.open.entry(key).or_insert_with(|| Roll::new(name(), now)).push(record, headers);
    }

    /// The next roll that ends, taken out: one whose end was decided, the oldest that is old enough, or else the largest
    /// if half of the memory is used, so that reading goes on while it is stored. `held`: bytes of rolls taken out before
    /// that are not stored yet.
    pub fn due(&mut self, now: Instant, held: usize) -> Option<Roll> {
        let decided = self.ends.iter().find(|(key, end)| self.open.get(*key).is_some_and(|r| r.last_offset() >= **end));
        let key = match decided {
            Some((key, _)) => key.clone(),
            None => self.by_age(now).or_else(|| self.by_size(held))?,
        };
        self.ends.remove(&key);
        self.open.remove(&key)
    }

    /// When [`Self::due`] has something for the age alone.
    pub fn next_due(&self) -> Option<Instant> {
        self.free().map(|(_, roll)| roll.began_at + self.limits.max_age).min()
    }

    pub fn bytes(&self) -> usize {
        self.open.values().map(Roll::bytes).sum()
    }

    pub fn is_full(&self, held: usize) -> bool {
        // Of a roll whose end is decided the rest must come, whatever the memory was when it was decided; but first what
        // can be stored is stored.
        self.bytes() + held >= self.limits.max_bytes && (held > 0 || self.free().next().is_some())
    }

    /// Forgets what is open of a partition: it will be read again.
    pub fn forget(&mut self, partition: &Partition) {
        self.open.remove(partition);
        self.ends.remove(partition);
    }

    /// The next roll of this partition ends with this offset.
    pub fn ends_with(&mut self, partition: Partition, last_offset: i64) {
        self.ends.insert(partition, last_offset);
    }

    fn by_age(&self, now: Instant) -> Option<Partition> {
        let (key, oldest) = self.free().min_by_key(|(_, roll)| roll.began_at)?;
        (oldest.began_at + self.limits.max_age <= now).then(|| key.clone())
    }

    fn by_size(&self, held: usize) -> Option<Partition> {
        if self.bytes() + held < self.limits.max_bytes / 2 {
            return None;
        }
        self.free().max_by_key(|(_, roll)| roll.bytes()).map(|(key, _)| key.clone())
    }

    fn free(&self) -> impl Iterator<Item = (&Partition, &Roll)> {
        self.open.iter().filter(|(key, _)| !self.ends.contains_key(*key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_bytes: 100_000, max_age: Duration::from_secs(300) };
    const SECOND: Duration = Duration::from_secs(1);

    fn push(rolls: &mut Rolls, partition: i32, offset: i64, bytes: usize, now: Instant) {
        let payload = vec![7; bytes];
        let record = Record { offset, timestamp_ms: None, key: b"d", payload: &payload };
        rolls.push("t", partition, record, [("a", b"b".as_slice())].into_iter(), now);
    }

    #[test]
    fn a_record_comes_back_as_it_went_in() {
        let mut rolls = Rolls::new(LIMITS);
        let now = Instant::now();
        for offset in 5..8 {
            let payload = [offset as u8; 3];
            let record = Record { offset, timestamp_ms: Some(offset * 10), key: b"pump", payload: &payload };
            rolls.push("t", 2, record, [("a", b"1".as_slice()), ("", b"".as_slice())].into_iter(), now);
        }
        let roll = rolls.due(now + LIMITS.max_age, 0).unwrap();
        assert_eq!(roll.name(), &RollName { topic: "t".into(), partition: 2, first: 5 });
        assert_eq!((roll.last_offset(), roll.rows_through(6), roll.rows_through(99)), (7, 2, 3));
        let Record { offset, timestamp_ms, key, payload } = roll.record(1);
        assert_eq!((offset, timestamp_ms, key, payload), (6, Some(60), b"pump".as_slice(), [6; 3].as_slice()));
        assert_eq!(roll.headers(1).collect::<Vec<_>>(), [("a", b"1".as_slice()), ("", b"".as_slice())]);
    }

    #[test]
    fn a_roll_ends_by_age_counted_from_its_first_record() {
        let mut rolls = Rolls::new(LIMITS);
        let now = Instant::now();
        push(&mut rolls, 0, 1, 10, now);
        push(&mut rolls, 0, 2, 10, now + 299 * SECOND);
        assert_eq!(rolls.next_due(), Some(now + LIMITS.max_age));
        assert!(rolls.due(now + 299 * SECOND, 0).is_none());
        assert_eq!(rolls.due(now + 300 * SECOND, 0).unwrap().last_offset(), 2);
        assert_eq!(rolls.next_due(), None);
    }

    #[test]
    fn at_half_of_the_memory_the_largest_roll_goes_first() {
        let mut rolls = Rolls::new(LIMITS);
        let now = Instant::now();
        // Buffers double when they grow.
        push(&mut rolls, 0, 1, 1_000, now);
        push(&mut rolls, 1, 1, 20_000, now);
        assert!(rolls.due(now, 0).is_none());
        push(&mut rolls, 0, 2, 4_500, now);
        assert_eq!(rolls.due(now, 0).unwrap().name().partition, 1);
        assert!(rolls.due(now, 0).is_none());
        assert!(rolls.due(now, 45_000).is_some(), "what is being stored counts");
    }

    #[test]
    fn a_full_memory_is_told_and_what_is_held_elsewhere_counts() {
        let mut rolls = Rolls::new(LIMITS);
        push(&mut rolls, 0, 1, 30_000, Instant::now());
        assert!(!rolls.is_full(0) && rolls.is_full(40_000));
    }

    #[test]
    fn an_end_that_was_decided_before_holds_against_age_and_size() {
        let mut rolls = Rolls::new(LIMITS);
        let now = Instant::now();
        rolls.ends_with(("t".into(), 0), 4);
        for offset in 1..4 {
            push(&mut rolls, 0, offset, 60_000, now);
            assert!(rolls.due(now + LIMITS.max_age, 0).is_none() && !rolls.is_full(0) && rolls.next_due().is_none());
        }
        push(&mut rolls, 0, 4, 1, now);
        assert_eq!(rolls.due(now, 0).unwrap().last_offset(), 4);
        push(&mut rolls, 0, 5, 60_000, now);
        assert!(rolls.due(now, 0).is_some(), "it held for one roll");
    }

    #[test]
    fn what_is_taken_away_is_forgotten() {
        let mut rolls = Rolls::new(LIMITS);
        let now = Instant::now();
        push(&mut rolls, 0, 1, 10, now);
        rolls.ends_with(("t".into(), 0), 4);
        rolls.forget(&("t".into(), 0));
        assert_eq!(rolls.bytes(), 0);
        push(&mut rolls, 0, 1, 10, now);
        assert!(rolls.due(now + LIMITS.max_age, 0).is_some());
    }
}
