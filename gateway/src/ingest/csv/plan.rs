//! A mapping laid over the header of a file: which column is what, and how a row becomes a record.
//!
//! # Invariants
//! - What rows cannot mend (no column with the time, two columns of one name) refuses the file before any row is stored.
//! - Each column is one thing: time, part of the topic, reading, or passed over.

use firmware_protocol::decode::CHANNELS_MAX;

use super::fault::RowFault;
use super::header::Header;
use super::mapping::{Mapping, NAME_MAX};
use super::number::{self, Cell, Decimal};
use super::reader::Row;
use super::timing::{TimeFormat, UtcOffset};
use super::topic::{self, Part};

/// Why a file is not imported at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("the file has no line with columns")]
    Empty,
    #[error("the first line cannot be read: {0}")]
    Header(RowFault),
    #[error("no column is called `{name}`; the columns are {columns}")]
    NoColumn { name: String, columns: String },
    #[error("which column has the time? name it with `time_column`; the columns are {columns}")]
    NoTime { columns: String },
    #[error(
        "two columns are called `{0}`; name all of them with `columns`, and pass over the header with `skip_lines`"
    )]
    Repeated(String),
    #[error("no column is left for readings; the columns are {columns}")]
    NoReadings { columns: String },
    #[error("{found} columns with readings, a record takes {CHANNELS_MAX}; name those you want with `readings`")]
    TooMany { found: usize },
    #[error("the column `{0}` would have the name of the time in the record; rename it, or set `time_field`")]
    TimeField(String),
    #[error("the name of column {column} is {bytes} bytes long, the limit is {NAME_MAX}; rename it with `columns`")]
    LongName { column: usize, bytes: usize },
    #[error("the file's name `{name}` cannot be the device: {why}; set `device` or `device_column`")]
    Device { name: String, why: &'static str },
    #[error(
        "the file is not utf-8: line {line} has the byte 0x{byte:02x}; convert it first, such as by `iconv -f {from} -t utf-8`"
    )]
    NotUtf8 { line: u64, byte: u8, from: &'static str },
}

/// A column with readings.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) column: usize,
    /// `,"name":`
    pub(super) key: Vec<u8>,
}

/// A part of a row's topic.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Text(String),
    Column(usize),
}

/// How rows of one file become records.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    columns: usize,
    date: Option<usize>,
    time: usize,
    time_format: TimeFormat,
    utc_offset: UtcOffset,
    decimal: Decimal,
    topic: Vec<Piece>,
    readings: Vec<Reading>,
    /// `{"ts":`
    opening: Vec<u8>,
    is_named_by_file: bool,
    /// For date and time put together.
    scratch: String,
}

impl Plan {
    /// # Errors
    /// The file cannot be imported with this mapping.
    pub(super) fn new(mapping: &Mapping, header: &[String], file_stem: &str) -> Result<Self, Refusal> {
        let header = Header { names: header };
        header.check_repeated()?;
        let date = header.optional(&mapping.date_column)?;
        let time = header.time(&mapping.time_column)?;
        let device = header.device(mapping)?;
        let is_named_by_file =
            mapping.topic.parts().contains(&Part::Device) && device.is_none() && mapping.device.is_empty();
        let topic = header.topic(mapping, device, file_stem)?;
        let in_topic = |column: &usize| topic.iter().any(|piece| matches!(piece, Piece::Column(c) if c == column));
        let taken = |column: &usize| *column == time || Some(*column) == date || Some(*column) == device;
        let readings: Vec<usize> = if mapping.readings.is_empty() {
            let rest = (0..header.names.len()).filter(|c| !taken(c) && !in_topic(c));
            rest.filter(|c| !header.names[*c].is_empty()).collect()
        } else {
            mapping.readings.iter().map(|name| header.find(name)).collect::<Result<_, _>>()?
        };
        if readings.is_empty() {
            return Err(Refusal::NoReadings { columns: header.listed() });
        }
        if readings.len() > CHANNELS_MAX {
            return Err(Refusal::TooMany { found: readings.len() });
        }
        let readings = header.readings(mapping, readings)?;
        Ok(Self {
            columns: header.names.len(),
            date,
            time,
            time_format: mapping.time_format.clone(),
            utc_offset: mapping.utc_offset,
            decimal: mapping.decimal,
            topic,
            readings,
            opening: [b"{".to_vec(), quoted(&mapping.time_field), b":".to_vec()].concat(),
            is_named_by_file,
            scratch: String::new(),
        })
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Whether the device is the file's name: then two files with the same bytes are not the same.
    pub(super) fn is_named_by_file(&self) -> bool {
        self.is_named_by_file
    }

    /// Appends the record's payload, and sets its topic. Returns how many cells of columns with readings held text.
    ///
    /// # Errors
    /// The row cannot be used; `payload` and `topic` hold a part of it then.
    pub(super) fn convert(
        &mut self,
        row: &Row<'_>,
        topic: &mut String,
        payload: &mut Vec<u8>,
    ) -> Result<u64, RowFault> {
        let time = row.field(self.time);
        let text = match self.date {
            None => time,
            Some(date) => {
                self.scratch.clear();
                self.scratch.extend([row.field(date).trim(), " ", time.trim()]);
                &self.scratch
            }
        };
        let micros = self.time_format.micros(text, self.utc_offset).map_err(|why| RowFault::time(text, why))?;
        topic.clear();
        for piece in &self.topic {
            match piece {
                Piece::Text(text) => topic.push_str(text),
                Piece::Column(column) => topic::append(topic, row.field(*column))?,
            }
        }
        payload.extend_from_slice(&self.opening);
        push_integer(payload, micros);
        let (mut values, mut texts) = (0, 0);
        for reading in &self.readings {
            let before = payload.len();
            payload.extend_from_slice(&reading.key);
            match number::write(row.field(reading.column), self.decimal, payload) {
                Cell::Value => values += 1,
                Cell::Missing => payload.truncate(before),
                Cell::Text => {
                    texts += 1;
                    payload.truncate(before);
                }
            }
        }
        payload.push(b'}');
        if values == 0 { Err(RowFault::NoNumber) } else { Ok(texts) }
    }
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

fn push_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[begin..]);
}

#[cfg(test)]
mod tests;
