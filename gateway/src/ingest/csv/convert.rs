//! From pieces of a file to batches of records with the progress that becomes durable together with them. Pure.
//!
//! # Invariants
//! - A batch is whole: its progress says exactly which rows are in it and in those before it.
//! - Batches are bounded in rows and bytes, bad rows included.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::head::Head;
use super::plan::Plan;
use super::reader::{Item, Position, Reader};

/// Rows of one batch, bad ones included: a commit of this size costs next to nothing a row, and others wait little.
pub(super) const BATCH_ROWS_MAX: usize = 2_048;
/// A batch is closed once its payloads have this many bytes.
const BATCH_BYTES: usize = 512 << 10;
/// Errors of rows that a report lists; the rest is counted.
pub(super) const ERRORS_MAX: usize = 100;

/// A row that was not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    pub line: u64,
    pub reason: String,
}

/// How many rows went where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) stored: u64,
    pub(super) rejected: u64,
    /// Cells in columns with readings that held text.
    pub(super) not_numbers: u64,
    /// The first ones.
    pub(super) errors: Vec<RowError>,
}

/// How far an import is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Of the next row.
    pub(super) offset: u64,
    pub(super) line: u64,
    pub(super) counts: Counts,
}

impl Progress {
    pub(super) fn at(position: Position) -> Self {
        Self { offset: position.offset, line: position.line, counts: Counts::default() }
    }

    pub(super) fn position(&self) -> Position {
        Position { offset: self.offset, line: self.line }
    }
}

/// Rows that become durable together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: Vec<RowRecord>,
    /// After them.
    pub(super) progress: Progress,
    /// Labels of the faults of its bad rows.
    pub(super) rejected: Vec<&'static str>,
    /// Nothing comes after it.
    pub(super) is_last: bool,
}

/// A row on its way into a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowRecord {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
}

/// What the converter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// More of the file, or the word that there is none.
    NeedInput,
    /// That the batch is taken.
    Batch,
}

pub(super) struct Converter {
    plan: Plan,
    reader: Reader,
    progress: Progress,
    /// End of each payload in `payloads`, and its topic.
    rows: Vec<(Bytes, usize)>,
    payloads: Vec<u8>,
    topic: String,
    rejected: Vec<&'static str>,
    is_at_end: bool,
}

impl Converter {
    /// Goes on where `progress` is; the next piece to push begins at its offset.
    pub(super) fn new(head: Head, progress: Progress) -> Self {
        Self {
            reader: head.reader(progress.position()),
            plan: head.plan,
            progress,
            rows: Vec::new(),
            payloads: Vec::new(),
            topic: String::new(),
            rejected: Vec::new(),
            is_at_end: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    pub(super) fn finish(&mut self) {
        self.reader.finish();
    }

    /// Converts what was pushed until a batch is full, or the file has ended.
    pub(super) fn fill(&mut self) -> Filled {
        loop {
            let is_full = self.rows.len() + self.rejected.len() >= BATCH_ROWS_MAX || self.payloads.len() >= BATCH_BYTES;
            if is_full || self.is_at_end {
                return Filled::Batch;
            }
            let begin = self.payloads.len();
            let (line, converted) = match self.reader.next() {
                Item::NeedInput => return Filled::NeedInput,
                Item::End => {
                    self.is_at_end = true;
                    continue;
                }
                Item::Row(row) => (row.line, self.plan.convert(&row, &mut self.topic, &mut self.payloads)),
                Item::Bad { line, fault } => (line, Err(fault)),
            };
            let counts = &mut self.progress.counts;
            counts.rows += 1;
            match converted {
                Ok(not_numbers) => {
                    counts.stored += 1;
                    counts.not_numbers += not_numbers;
                    self.keep();
                }
                Err(fault) => {
                    counts.rejected += 1;
                    if counts.errors.len() < ERRORS_MAX {
                        counts.errors.push(RowError { line, reason: fault.to_string() });
                    }
                    self.rejected.push(fault.label());
                    self.payloads.truncate(begin);
                    self.reader.give_up_row();
                }
            }
        }
    }

    /// The batch so far; the next one begins.
    pub(super) fn take(&mut self) -> Batch {
        let at = self.reader.position();
        (self.progress.offset, self.progress.line) = (at.offset, at.line);
        let as_much_again = Vec::with_capacity(self.payloads.len());
        let payloads = Bytes::from(std::mem::replace(&mut self.payloads, as_much_again));
        let mut begin = 0;
        let rows = self.rows.drain(..).map(|(topic, end)| {
            let payload = payloads.slice(begin..end);
            begin = end;
            RowRecord { topic, payload }
        });
        Batch {
            rows: rows.collect(),
            progress: self.progress.clone(),
            rejected: std::mem::take(&mut self.rejected),
            is_last: self.is_at_end,
        }
    }

    /// Rows that follow each other mostly have one topic: then it is in memory once.
    fn keep(&mut self) {
        let same =
            self.rows.last().filter(|(topic, _)| *topic == self.topic.as_bytes()).map(|(topic, _)| topic.clone());
        let topic = same.unwrap_or_else(|| Bytes::copy_from_slice(self.topic.as_bytes()));
        self.rows.push((topic, self.payloads.len()));
    }
}

#[cfg(test)]
mod tests;
