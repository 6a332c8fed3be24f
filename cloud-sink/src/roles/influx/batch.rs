//! A batch under construction: lines, where each record's lines are, and the offsets that it will commit. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config;
use crate::dead_letters::Undeliverable;

/// A batch ends with the record that brings what it keeps for the dead-letter topic to this: a stream of large records
/// that no decoder reads makes no lines, and must not fill the memory.
const KEPT_MAX_BYTES: usize = 16 << 20;

/// Where a record lies in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// `R` is the record as consumed, kept for the dead-letter topic.
#[derive(Debug)]
pub struct Batch<R> {
    limits: config::Batch,
    lines: Vec<u8>,
    /// Records that have lines, and where their lines end.
    records: Vec<(R, usize)>,
    undeliverable: Vec<(R, Undeliverable)>,
    /// (topic, partition) → offset after the last record of this batch.
    next_offsets: BTreeMap<(String, i32), i64>,
    len: usize,
    /// Bytes of the records themselves.
    kept_bytes: usize,
}

impl<R> Batch<R> {
    pub fn new(limits: config::Batch) -> Self {
        Self {
            limits,
            lines: Vec::new(),
            records: Vec::new(),
            undeliverable: Vec::new(),
            next_offsets: BTreeMap::new(),
            len: 0,
            kept_bytes: 0,
        }
    }

    /// Adds a record of `bytes`; `encode` appends its lines to the buffer, or says why it cannot.
    pub fn push(
        &mut self,
        position: Position,
        record: R,
        bytes: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<usize, Undeliverable>,
    ) {
        self.len += 1;
        self.kept_bytes += bytes;
        self.next_offsets.insert((position.topic, position.partition), position.offset + 1);
        let before = self.lines.len();
        match encode(&mut self.lines) {
            Ok(_) => self.records.push((record, self.lines.len())),
            Err(undeliverable) => {
                self.lines.truncate(before);
                self.undeliverable.push((record, undeliverable));
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn is_full(&self) -> bool {
        self.len >= self.limits.records_max
            || self.lines.len() >= self.limits.max_bytes
            || self.kept_bytes >= KEPT_MAX_BYTES
    }

    /// Records that have lines, as one range to start splitting from.
    pub fn all(&self) -> Range<usize> {
        0..self.records.len()
    }

    pub fn lines(&self, records: &Range<usize>) -> &[u8] {
        let end = |i: usize| if i == 0 { 0 } else { self.records[i - 1].1 };
        &self.lines[end(records.start)..end(records.end)]
    }

    pub fn record(&self, index: usize) -> &R {
        &self.records[index].0
    }

    pub fn undeliverable(&self) -> &[(R, Undeliverable)] {
        &self.undeliverable
    }

    pub fn next_offsets(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.next_offsets.iter().map(|((topic, partition), offset)| (topic.as_str(), *partition, *offset))
    }
}

/// The two halves of a rejected range, first half first; `None` for a single record: that one is the bad one.
pub fn halves(range: &Range<usize>) -> Option<[Range<usize>; 2]> {
    let middle = range.start + range.len() / 2;
    (range.len() > 1).then_some([range.start..middle, middle..range.end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { topic: "t".into(), partition, offset }
    }

    fn line(text: &'static str) -> impl FnOnce(&mut Vec<u8>) -> Result<usize, Undeliverable> {
        move |out| {
            out.extend_from_slice(text.as_bytes());
            Ok(1)
        }
    }

    #[test]
    fn lines_of_any_range_of_records_are_found_again() {
        let mut batch = Batch::new(config::Batch::default());
        batch.push(at(0, 5), 'a', 1, line("a v=1\n"));
        batch.push(at(1, 9), 'b', 1, |out| {
            out.extend_from_slice(b"half a li");
            Err(Undeliverable { reason: "json", detail: String::new() })
        });
        batch.push(at(0, 6), 'c', 1, line("c v=2\n"));
        assert_eq!(batch.lines(&batch.all()), b"a v=1\nc v=2\n");
        assert_eq!(batch.lines(&(1..2)), b"c v=2\n");
        assert_eq!(*batch.record(1), 'c');
        assert_eq!(batch.undeliverable().len(), 1);
        assert_eq!(batch.next_offsets().collect::<Vec<_>>(), [("t", 0, 7), ("t", 1, 10)]);
    }

    #[test]
    fn splitting_reaches_each_single_record_once() {
        let mut singles = Vec::new();
        let all = 0..13;
        let mut stack = vec![all];
        while let Some(range) = stack.pop() {
            match halves(&range) {
                Some([first, second]) => stack.extend([second, first]),
                None => singles.push(range.start),
            }
        }
        assert_eq!(singles, (0..13).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_is_full_by_records_or_by_bytes() {
        let limits = config::Batch { records_max: 2, max_bytes: 10, max_age_ms: 1 };
        let mut batch = Batch::new(limits);
        batch.push(at(0, 0), (), 1, line("a v=1\n"));
        assert!(!batch.is_full());
        batch.push(at(0, 1), (), 1, line(""));
        assert!(batch.is_full());
        let mut batch = Batch::new(limits);
        batch.push(at(0, 0), (), 1, line("a v=1000000\n"));
        assert!(batch.is_full());
    }

    #[test]
    fn large_records_without_lines_fill_a_batch_too() {
        let mut batch = Batch::new(config::Batch::default());
        let poison = |_: &mut Vec<u8>| Err(Undeliverable { reason: "json", detail: String::new() });
        batch.push(at(0, 0), (), KEPT_MAX_BYTES - 1, poison);
        assert!(!batch.is_full());
        batch.push(at(0, 1), (), 1, poison);
        assert!(batch.is_full());
    }
}
