//! From records to the columns of a table. `columns/raw` and `columns/derived` have what a table has of its own.
//!
//! # Invariants
//! - A table's columns and types are always the same, whatever the records: Parquet files of one table can be read as one.
//! - The bytes are kept, whether they could be read or not; what could not be says so in `decode_error`.

mod build;
mod derived;
mod raw;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema};
use firmware_protocol::decode::Decoder;
use firmware_protocol::envelope::{Envelope, EnvelopeError};
use firmware_protocol::measurement::EventTime;

use self::build::{binary, int32, int64, text, times_ms, times_ns, uint64};
use super::layout::{Folder, Table};
use super::roll::Roll;

/// How payloads are read: as the role influx reads them, so that both tell the same.
#[derive(Debug)]
pub struct Reader {
    pub decoder: Decoder,
    /// A reading further ahead of the received time gets the received time.
    pub future_max: Duration,
}

/// A record with its headers read, as far as they can be.
struct Row<'a> {
    offset: i64,
    timestamp_ms: Option<i64>,
    key: &'a [u8],
    payload: &'a [u8],
    envelope: Result<Envelope<'a>, EnvelopeError>,
}

/// A column: name and values, all of them nullable.
type Column = (&'static str, ArrayRef);

/// Where a row of this roll lies.
pub(super) fn folder(roll: &Roll, row: usize) -> Folder {
    let Row { timestamp_ms, key, envelope, .. } = Row::of(roll, row);
    match envelope {
        Ok(envelope) => Folder::of(Table::of(envelope.schema), envelope.received.at, key),
        Err(_) => Folder::of(Table::Raw, EventTime::from_millis(timestamp_ms.unwrap_or_default()), key),
    }
}

/// These rows of a roll, which all belong into `table`, as a batch of its columns.
///
/// # Errors
/// The columns do not make a batch, which would be a mistake of this program.
pub(super) fn batch(table: Table, roll: &Roll, rows: &[usize], reader: &Reader) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<Row<'_>> = rows.iter().map(|row| Row::of(roll, *row)).collect();
    let mut columns = common(roll, &rows);
    match table {
        Table::Raw => {
            let headers =
                |row: &Row<'_>| (row.envelope.is_err()).then(|| roll.headers(roll.rows_through(row.offset) - 1));
            columns.extend(raw::columns(&rows, headers, reader));
        }
        Table::Windows => columns.extend(derived::windows(&rows)),
        Table::Anomalies => columns.extend(derived::anomalies(&rows)),
        Table::Incidents => columns.extend(derived::incidents(&rows)),
        Table::Gaps => columns.extend(derived::gaps(&rows)),
    }
    let fields: Vec<Field> = columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, values)| values).collect())
}

/// What the tables have in common: where the record was, who sent it, when, and its bytes.
fn common(roll: &Roll, rows: &[Row<'_>]) -> Vec<Column> {
    let name = roll.name();
    vec![
        ("kafka_topic", text(rows, |_| Some(name.topic.as_str()))),
        ("kafka_partition", int32(rows, |_| Some(name.partition))),
        ("kafka_offset", int64(rows, |row| Some(row.offset))),
        ("kafka_at", times_ms(rows, |row| row.timestamp_ms)),
        ("schema_id", text(rows, |row| Some(row.told()?.schema.id()))),
        ("gateway", text(rows, |row| Some(row.told()?.gateway))),
        ("queue_seq", uint64(rows, |row| Some(row.told()?.queue_seq))),
        ("device", text(rows, |row| std::str::from_utf8(row.key).ok())),
        ("received", times_ns(rows, |row| Some(row.told()?.received.at.0))),
        ("clock", text(rows, |row| Some(row.told()?.received.clock.mark().unwrap_or("set")))),
        ("payload", binary(rows, |row| Some(row.payload))),
    ]
}

impl<'a> Row<'a> {
    fn of(roll: &'a Roll, row: usize) -> Self {
        let record = roll.record(row);
        Self {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            payload: record.payload,
            envelope: Envelope::from_headers(roll.headers(row)),
        }
    }

    /// What the headers tell.
    fn told(&self) -> Option<&Envelope<'a>> {
        self.envelope.as_ref().ok()
    }
}
