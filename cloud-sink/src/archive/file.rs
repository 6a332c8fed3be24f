//! Parquet files: from rows of a roll to bytes, and back to batches.
//!
//! # Invariants
//! - The same rows under the same decoders make the same bytes.
//! - Beside the roll and the finished file, one batch is in memory at a time.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};

use super::columns::{self, Reader};
use super::layout::Folder;
use super::roll::Roll;

/// A batch ends with either: bytes of payloads, because a message may have up to 32 768 readings of 60 bytes each.
const BATCH_ROWS_MAX: usize = 4_096;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// zstd level 3 is its own default.
const ZSTD_LEVEL: i32 = 3;
/// Numbers that rise: their differences take a byte or two.
const RISING: [&str; 4] = ["kafka_offset", "kafka_at", "queue_seq", "received"];

/// A finished file.
#[derive(Clone, Debug)]
pub struct File {
    pub rows: usize,
    pub bytes: Bytes,
    /// 64 hex digits.
    pub sha256: String,
}

/// The first so many rows of a roll by the folder that they belong into, each in order of offsets.
pub fn by_folder(roll: &Roll, rows: usize) -> BTreeMap<Folder, Vec<usize>> {
    let mut folders: BTreeMap<Folder, Vec<usize>> = BTreeMap::new();
    for row in 0..rows {
        folders.entry(columns::folder(roll, row)).or_default().push(row);
    }
    folders
}

/// A file of these rows, which all belong into `folder`.
///
/// # Errors
/// The columns are refused, which would be a mistake of this program.
pub fn write(folder: &Folder, roll: &Roll, rows: &[usize], reader: &Reader) -> Result<File, ParquetError> {
    let mut writer: Option<ArrowWriter<Vec<u8>>> = None;
    for rows in batches(roll, rows) {
        let batch = columns::batch(folder.table, roll, rows, reader)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties()?))?),
        };
        writer.write(&batch)?;
    }
    let bytes = match writer {
        Some(writer) => Bytes::from(writer.into_inner()?),
        None => return Err(ParquetError::General("a file needs at least one row".into())),
    };
    Ok(File { rows: rows.len(), sha256: sha256(&bytes), bytes })
}

/// What a file holds.
///
/// # Errors
/// The bytes are no such file.
pub fn read(bytes: Bytes) -> Result<Vec<RecordBatch>, ParquetError> {
    let batches = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    Ok(batches.collect::<Result<_, _>>()?)
}

/// 64 hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn batches<'r>(roll: &Roll, mut rows: &'r [usize]) -> impl Iterator<Item = &'r [usize]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&usize| {
            let before = bytes;
            bytes += roll.record(**row).payload.len();
            before < BATCH_BYTES_MAX
        };
        let (batch, rest) = rows.split_at(rows.iter().take(BATCH_ROWS_MAX).take_while(fits).count());
        rows = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

fn properties() -> Result<WriterProperties, ParquetError> {
    let level = Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?);
    // Payloads hardly repeat: a dictionary of them is built in vain.
    let payload = ColumnPath::from("payload");
    let properties = WriterProperties::builder().set_compression(level).set_column_dictionary_enabled(payload, false);
    let rising = RISING.into_iter().map(ColumnPath::from).fold(properties, |properties, column| {
        properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
    });
    Ok(rising.build())
}
