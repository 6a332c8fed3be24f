//! What can be wrong with a row.

use std::fmt;

use super::reader::{COLUMNS_MAX, ROW_BYTES_MAX, ROW_LINES_MAX};

/// Longest part of a cell that a message repeats, characters.
const REPEATED_MAX: usize = 40;

/// Why a row is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowFault {
    Columns {
        found: usize,
        expected: usize,
    },
    TooManyColumns,
    TooLong,
    OpenQuote,
    NotUtf8,
    /// What stands there, and why it is no time.
    Time {
        text: String,
        why: &'static str,
    },
    /// What stands there, and why it cannot be part of a topic.
    Topic {
        text: String,
        why: &'static str,
    },
    NoNumber,
}

impl RowFault {
    pub(super) fn time(text: &str, why: &'static str) -> Self {
        Self::Time { text: shortened(text), why }
    }

    pub(super) fn topic(text: &str, why: &'static str) -> Self {
        Self::Topic { text: shortened(text), why }
    }

    /// One of few words, for a metric's label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Columns { .. } | Self::TooManyColumns => "columns",
            Self::TooLong => "too_long",
            Self::OpenQuote => "open_quote",
            Self::NotUtf8 => "not_utf8",
            Self::Time { .. } => "bad_time",
            Self::Topic { .. } => "bad_topic",
            Self::NoNumber => "no_number",
        }
    }
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns { found, expected } => write!(f, "{found} columns instead of {expected}"),
            Self::TooManyColumns => write!(f, "more than {COLUMNS_MAX} columns"),
            Self::TooLong => write!(f, "longer than {ROW_BYTES_MAX} bytes"),
            Self::OpenQuote => {
                write!(f, "a quote is open for more than {ROW_LINES_MAX} lines or {ROW_BYTES_MAX} bytes, or to the end")
            }
            Self::NotUtf8 => f.write_str("not utf-8"),
            Self::Time { text, why } => write!(f, "`{text}` is no time: {why}"),
            Self::Topic { text, why } => write!(f, "`{text}` cannot be part of a topic: {why}"),
            Self::NoNumber => f.write_str("no number in it"),
        }
    }
}

/// The beginning of what a cell holds, fit for a line of a report.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(REPEATED_MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(REPEATED_MAX).is_some() {
        short.push('…');
    }
    short
}
