//! What became of a file, for the one who brought it.

use std::io;

use serde::Serialize;

use super::convert::{Counts, RowError};
use super::plan::Refusal;
use crate::queue;

/// A file that was imported completely, now or before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub file: String,
    pub bytes: u64,
    /// Rows after the header, good or bad; 0 if the file had been imported before.
    pub rows: u64,
    pub stored: u64,
    pub rejected: u64,
    /// Cells in columns with readings that held text; they were passed over.
    pub not_numbers: u64,
    /// The first bad rows.
    pub errors: Vec<RowError>,
    /// The same file with the same mapping was imported before: nothing was stored.
    pub already_imported: bool,
}

impl Report {
    pub(super) fn imported(file: &str, bytes: u64, counts: Counts) -> Self {
        let Counts { rows, stored, rejected, not_numbers, errors } = counts;
        let file = file.to_owned();
        Self { file, bytes, rows, stored, rejected, not_numbers, errors, already_imported: false }
    }

    pub(super) fn repeated(file: &str, bytes: u64) -> Self {
        Self { already_imported: true, ..Self::imported(file, bytes, Counts::default()) }
    }
}

/// Why a file was not imported to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("the file changed while it was read; let it be complete before it gets its name, such as by renaming")]
    Changed,
    #[error("the gateway is stopping; the import goes on at its next start")]
    Stopped,
    #[error("rows cannot be stored: {0}")]
    Queue(String),
}

impl From<queue::Error> for Failure {
    fn from(error: queue::Error) -> Self {
        Self::Queue(error.to_string())
    }
}

impl Failure {
    /// One of few words, for a metric's label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unreadable(_) => "unreadable",
            Self::Changed => "changed",
            Self::Stopped | Self::Queue(_) => "interrupted",
        }
    }
}
