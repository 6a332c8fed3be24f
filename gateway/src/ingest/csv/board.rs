//! What imports are under way and how far: for those who wait.
//!
//! # Invariants
//! - Bounded: beyond [`ENTRIES_MAX`] those that ended first are forgotten. What is under way is bounded by the doors.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::convert::Counts;
use super::report::{Failure, Report};

/// Imports that are remembered, ended ones included.
const ENTRIES_MAX: usize = 256;

/// One import; random, so that names of earlier runs are not given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ImportId(u64);

impl ImportId {
    /// A new one.
    pub(super) fn random() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    /// From its text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_own = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        u64::from_str_radix(text, 16).ok().filter(|_| is_own).map(Self)
    }
}

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where an import is.
#[derive(Clone, Debug)]
enum State {
    /// Others are before it.
    Waiting,
    /// First pass: is it known already?
    Checking {
        bytes: u64,
    },
    /// Second pass: rows become durable.
    Importing {
        begun_at: Instant,
        first_offset: u64,
        first_rows: u64,
        bytes: u64,
        counts: Counts,
    },
    Ended {
        outcome: Result<Report, String>,
        label: &'static str,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    id: ImportId,
    file: String,
    door: &'static str,
    bytes_total: u64,
    state: State,
}

/// How far an import is, as it is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) file: String,
    /// `upload` or `folder`.
    pub(super) door: &'static str,
    /// `waiting`, `checking`, `importing`, `done`, `refused`, `unreadable`, `changed` or `interrupted`.
    pub(super) state: &'static str,
    pub(super) bytes_total: u64,
    pub(super) bytes_done: u64,
    pub(super) rows: u64,
    pub(super) stored: u64,
    pub(super) rejected: u64,
    pub(super) rows_per_second: Option<f64>,
    pub(super) seconds_left: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<VecDeque<Entry>>>);

impl Board {
    /// An import is to come.
    pub(super) fn add(&self, id: ImportId, file: &str, door: &'static str, bytes_total: u64) {
        let mut entries = self.entries();
        if entries.len() >= ENTRIES_MAX
            && let Some(ended) = entries.iter().position(|e| matches!(e.state, State::Ended { .. }))
        {
            entries.remove(ended);
        }
        entries.push_back(Entry { id, file: file.to_owned(), door, bytes_total, state: State::Waiting });
    }

    pub(super) fn checking(&self, id: ImportId, bytes: u64) {
        self.set(id, |entry| entry.state = State::Checking { bytes });
    }

    /// So much of the file is durable.
    pub(super) fn importing(&self, id: ImportId, bytes: u64, counts: Counts, now: Instant) {
        self.set(id, |entry| match &mut entry.state {
            State::Importing { bytes: done, counts: known, .. } => (*done, *known) = (bytes, counts),
            State::Waiting | State::Checking { .. } | State::Ended { .. } => {
                let (first_offset, first_rows) = (bytes, counts.rows);
                entry.state = State::Importing { begun_at: now, first_offset, first_rows, bytes, counts };
            }
        });
    }

    pub(super) fn ended(&self, id: ImportId, outcome: &Result<Report, Failure>) {
        let (outcome, label) = match outcome {
            Ok(report) => (Ok(report.clone()), "done"),
            Err(failure) => (Err(failure.to_string()), failure.label()),
        };
        self.set(id, |entry| entry.state = State::Ended { outcome, label });
    }

    pub(super) fn get(&self, id: ImportId, now: Instant) -> Option<Snapshot> {
        self.entries().iter().find(|entry| entry.id == id).map(|entry| entry.snapshot(now))
    }

    /// The newest first.
    pub(super) fn list(&self, now: Instant) -> Vec<Snapshot> {
        self.entries().iter().rev().map(|entry| entry.snapshot(now)).collect()
    }

    fn set(&self, id: ImportId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries().iter_mut().find(|entry| entry.id == id) {
            change(entry);
        }
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = Snapshot {
            id: self.id.to_string(),
            file: self.file.clone(),
            door: self.door,
            state: "waiting",
            bytes_total: self.bytes_total,
            bytes_done: 0,
            rows: 0,
            stored: 0,
            rejected: 0,
            rows_per_second: None,
            seconds_left: None,
            report: None,
            error: None,
        };
        match &self.state {
            State::Waiting => {}
            State::Checking { bytes } => {
                snapshot.state = "checking";
                snapshot.bytes_done = *bytes;
            }
            State::Importing { begun_at, first_offset, first_rows, bytes, counts } => {
                snapshot.state = "importing";
                snapshot.bytes_done = *bytes;
                snapshot.count(counts.rows, counts.stored, counts.rejected);
                let seconds = now.saturating_duration_since(*begun_at).as_secs_f64();
                let bytes_since = bytes.saturating_sub(*first_offset) as f64;
                if seconds > 0.0 && bytes_since > 0.0 {
                    let left = self.bytes_total.saturating_sub(*bytes) as f64;
                    snapshot.rows_per_second = Some(((counts.rows - first_rows) as f64 / seconds).round());
                    snapshot.seconds_left = Some((left * seconds / bytes_since).ceil());
                }
            }
            State::Ended { outcome, label } => {
                snapshot.state = label;
                match outcome {
                    Ok(report) => {
                        snapshot.bytes_done = self.bytes_total;
                        snapshot.count(report.rows, report.stored, report.rejected);
                        snapshot.report = Some(report.clone());
                    }
                    Err(error) => snapshot.error = Some(error.clone()),
                }
            }
        }
        snapshot
    }
}

impl Snapshot {
    fn count(&mut self, rows: u64, stored: u64, rejected: u64) {
        (self.rows, self.stored, self.rejected) = (rows, stored, rejected);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rate_and_time_left_count_from_where_this_run_began() {
        let (board, id, begun_at) = (Board::default(), ImportId::random(), Instant::now());
        board.add(id, "a.csv", "folder", 1_000);
        let counts = |rows| Counts { rows, stored: rows, ..Counts::default() };
        board.importing(id, 500, counts(50), begun_at);
        assert_eq!(board.get(id, begun_at).unwrap().rows_per_second, None);
        let later = begun_at + Duration::from_secs(2);
        board.importing(id, 600, counts(60), later);
        let snapshot = board.get(id, later).unwrap();
        assert_eq!((snapshot.state, snapshot.bytes_done, snapshot.rows), ("importing", 600, 60));
        assert_eq!((snapshot.rows_per_second, snapshot.seconds_left), (Some(5.0), Some(8.0)));
    }

    #[test]
    fn imports_that_ended_first_are_forgotten_first_and_those_under_way_never() {
        let (board, now) = (Board::default(), Instant::now());
        let under_way = ImportId::random();
        board.add(under_way, "long.csv", "upload", 1);
        for _ in 0..2 * ENTRIES_MAX {
            let id = ImportId::random();
            board.add(id, "short.csv", "upload", 1);
            board.ended(id, &Ok(Report::repeated("short.csv", 1)));
        }
        assert_eq!(board.list(now).len(), ENTRIES_MAX);
        assert_eq!(board.get(under_way, now).unwrap().state, "waiting");
    }

    #[test]
    fn an_id_is_read_as_it_is_shown_and_nothing_else_is_one() {
        let id = ImportId::random();
        assert_eq!(ImportId::parse(&id.to_string()), Some(id));
        for text in ["", "1", "+123456789abcdef", "123456789ABCDEF0", "../../etc/passwd"] {
            assert_eq!(ImportId::parse(text), None, "{text}");
        }
    }
}
