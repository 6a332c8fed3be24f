//! Files of four formats as rows: a measurement, its time, and when it would have been received.
//!
//! # Invariants
//! - Formats are told by ending and content, decoded by the project's own decoders.
//! - A line is bounded; a longer one is bad and is never held whole.
//! - Without a time of receipt, a row was received when the newest reading so far was measured.

mod csv;
mod export;
mod kind;
mod lines;
mod text;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firmware_protocol::decode::{Decoder, Route};
use firmware_protocol::measurement::{EventTime, Measurement, Received};

use super::outcome::BadLines;
use crate::ingest::csv::{Archive, Refusal};
use crate::queue::QueueSeq;

use csv::CsvRows;
use export::ExportRows;
pub use kind::Kind;
use lines::Lines;
use text::TextRows;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {refusal}", path.display())]
    Refused { path: PathBuf, refusal: Refusal },
    #[error("{}: no row can be read as {kind}{first}\nhint: {hint}", path.display())]
    Nothing { path: PathBuf, kind: Kind, first: String, hint: &'static str },
    #[error("decoders: {0}")]
    Decoder(String),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Item {
    /// The measurement holds it.
    Row {
        at: EventTime,
        received: Received,
        seq: Option<QueueSeq>,
    },
    Bad {
        line: u64,
        reason: String,
        seq: Option<QueueSeq>,
    },
    /// A line that is no row, and need not be one: a comment, an announcement.
    Passed,
    End,
}

/// How lines become measurements.
#[derive(Clone, Debug)]
pub struct Formats {
    /// The routes of a configuration.
    configured: Option<Decoder>,
    defaults: Decoder,
    /// Columns of CSV files that are passed over.
    ignore: Vec<String>,
}

impl Formats {
    /// # Errors
    /// The routes contradict each other.
    pub fn new(configured: Option<Vec<Route>>, ignore: Vec<String>) -> Result<Self, Error> {
        let configured = configured.map(Decoder::new).transpose().map_err(Error::Decoder)?;
        Ok(Self { configured, defaults: Decoder::new(Route::defaults()).map_err(Error::Decoder)?, ignore })
    }
}

/// A file that is read row by row.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    rows: Rows,
    newest_at: EventTime,
}

#[derive(Debug)]
enum Rows {
    Csv(Box<CsvRows>),
    Text(Box<TextRows>),
    Export(Box<ExportRows>),
}

impl Source {
    /// `read` counts the bytes that were read.
    ///
    /// # Errors
    /// The file cannot be read, or is no CSV file with a header, as its ending says.
    pub fn open(path: &Path, formats: &Formats, read: Arc<AtomicU64>) -> Result<Self, Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let mut file = Counted { file: File::open(path).map_err(failed)?, read };
        let mut head = Vec::new();
        file.by_ref().take(Archive::HEAD_BYTES_MAX as u64).read_to_end(&mut head).map_err(failed)?;
        let device = device_of(path);
        let rows = match Kind::of(path, &head) {
            Kind::Csv => {
                let refused = |refusal| Error::Refused { path: path.to_owned(), refusal };
                Rows::Csv(Box::new(CsvRows::new(&head, file, device, &formats.ignore).map_err(refused)?))
            }
            kind @ (Kind::JsonLines | Kind::LineProtocol) => {
                let lines = Lines::new(head, file);
                Rows::Text(Box::new(TextRows::new(kind, lines, &device, formats)?))
            }
            Kind::Export => Rows::Export(Box::new(ExportRows::new(Lines::new(head, file), formats))),
        };
        Ok(Self { path: path.to_owned(), rows, newest_at: EventTime(i64::MIN) })
    }

    /// # Errors
    /// The file cannot be read on.
    pub(super) fn next(&mut self, out: &mut Measurement) -> Result<Item, Error> {
        let item = match &mut self.rows {
            Rows::Csv(rows) => rows.next(&mut self.newest_at, out),
            Rows::Text(rows) => rows.next(&mut self.newest_at, out),
            Rows::Export(rows) => rows.next(out),
        };
        item.map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    fn kind(&self) -> Kind {
        match &self.rows {
            Rows::Csv(_) => Kind::Csv,
            Rows::Text(rows) => rows.kind(),
            Rows::Export(_) => Kind::Export,
        }
    }

    /// Of a file without a row that can be used.
    pub(super) fn nothing(&self, bad: &BadLines) -> Error {
        let first =
            bad.told.first().map_or(", it has none".to_owned(), |(line, reason)| format!("; line {line}: {reason}"));
        let kind = self.kind();
        Error::Nothing { path: self.path.clone(), kind, first, hint: kind.hint() }
    }
}

/// Received with the newest reading so far.
fn received_with(newest_at: &mut EventTime, at: EventTime) -> Received {
    *newest_at = (*newest_at).max(at);
    Received::known(*newest_at)
}

/// The file's name without its ending, fit for a topic: the device of rows that name none.
fn device_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    stem.chars().map(|c| if c.is_control() || matches!(c, '/' | '+' | '#') { '_' } else { c }).collect()
}

/// Counts what is read of a file.
#[derive(Debug)]
pub(super) struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
