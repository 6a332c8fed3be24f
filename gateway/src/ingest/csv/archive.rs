//! CSV text as measurements, one for each row: for archives that are read at once and never stored. Pure.
//!
//! # Invariants
//! - No configuration is needed: the time is the first column with a known name, else the first column; `device` names
//!   the device of each row; all other columns are channels, of which cells with text make no reading.
//! - A row that has a time and no number is a row all the same; a row without a time is bad, and costs itself alone.
//!
//! # Not here
//! Files, records, decode routes: what is read here goes nowhere but into detection.

use firmware_protocol::decode::{CHANNELS_MAX, DEVICE_MAX_BYTES, TimeUnit};
use firmware_protocol::measurement::{ChannelIndex, EventTime, Measurement, Reading};
use firmware_protocol::time::{self, Fault};

use super::convert::RowError;
use super::fault::RowFault;
use super::header::{Header, detect_delimiter, named_delimiter};
use super::number::{self, Cell, Decimal};
use super::plan::Refusal;
use super::reader::{Item, Reader, Row, Skipped};

/// Names of the column with the time; compared without case.
const TIME_NAMES: [&str; 12] =
    ["timestamp", "time", "ts", "datetime", "date_time", "date", "_time", "second", "seconds", "time_s", "t", "unix"];
const DEVICE_NAME: &str = "device";
/// Rows in which a decimal comma is looked for.
const ROWS_LOOKED_AT: usize = 100;
const NO_TIME: Fault = "write RFC 3339, YYYY-MM-DD HH:MM:SS (UTC), or a number of s, ms, us or ns since 1970 or from 0";

/// What the columns of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    pub time: String,
    pub device: Option<String>,
    pub channels: Vec<String>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveItem {
    /// The measurement holds it.
    Row {
        line: u64,
        at: EventTime,
    },
    Bad(RowError),
    /// Push more, or finish.
    NeedInput,
    End,
}

/// Reads the rows of one file.
pub struct Archive {
    reader: Reader,
    decimal: Decimal,
    time: usize,
    device: Option<usize>,
    channels: Vec<(usize, ChannelIndex)>,
    columns: Columns,
}

impl Archive {
    /// Longest beginning of a file that [`Self::new`] looks at.
    pub const HEAD_BYTES_MAX: usize = super::head::HEAD_BYTES_MAX;

    /// Finds the columns in the first bytes of a file: all of it, or at least [`Self::HEAD_BYTES_MAX`]; what is pushed
    /// afterwards follows on them. Columns in `ignore` are passed over.
    ///
    /// # Errors
    /// No header, two columns of one name, no column or too many for readings.
    pub fn new(first_bytes: &[u8], ignore: &[String]) -> Result<Self, Refusal> {
        let mut head = Reader::new(b',');
        head.push(first_bytes);
        head.finish();
        let named = named_delimiter(head.peek_line().ok_or(Refusal::Empty)?);
        if named.is_some() && head.skip_line() != Skipped::Line {
            return Err(Refusal::Empty);
        }
        let delimiter = named.unwrap_or_else(|| head.peek_line().map_or(b',', detect_delimiter));
        head.set_delimiter(delimiter);
        let mut names: Vec<String> = match head.next() {
            Item::Row(row) => row.fields().map(|name| name.trim().to_owned()).collect(),
            Item::Bad { fault, .. } => return Err(Refusal::Header(fault)),
            Item::NeedInput | Item::End => return Err(Refusal::Empty),
        };
        while names.len() > 1 && names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        let header = Header { names: &names };
        header.check_repeated()?;
        let is = |name: &str, known: &str| name.eq_ignore_ascii_case(known);
        let time = names.iter().position(|name| TIME_NAMES.iter().any(|known| is(name, known))).unwrap_or(0);
        let device = names.iter().position(|name| is(name, DEVICE_NAME)).filter(|column| *column != time);
        let wanted: Vec<usize> = (0..names.len())
            .filter(|column| ![Some(time), device].contains(&Some(*column)))
            .filter(|column| !names[*column].is_empty() && !ignore.contains(&names[*column]))
            .collect();
        if wanted.is_empty() {
            return Err(Refusal::NoReadings { columns: header.listed() });
        }
        if wanted.len() > CHANNELS_MAX {
            return Err(Refusal::TooMany { found: wanted.len() });
        }
        let rows = head.position();
        let mut reader = Reader::resume(delimiter, rows, Some(names.len()));
        let decimal = if delimiter == b';' { decimal_of(&mut head, &wanted) } else { Decimal::Point };
        reader.push(first_bytes.get(rows.offset as usize..).unwrap_or_default());
        let columns = Columns {
            time: names[time].clone(),
            device: device.map(|column| names[column].clone()),
            channels: wanted.iter().map(|column| names[*column].clone()).collect(),
        };
        let channels = (0..).map(ChannelIndex).zip(wanted).map(|(channel, column)| (column, channel)).collect();
        Ok(Self { reader, decimal, time, device, channels, columns })
    }

    /// A time as a cell may have it.
    ///
    /// # Errors
    /// How it is written.
    pub fn time_of(text: &str) -> Result<EventTime, &'static str> {
        event_time(text.trim())
    }

    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    pub fn finish(&mut self) {
        self.reader.finish();
    }

    /// The channels of `out` are made once: it must not be used for anything else between rows. Rows that name no
    /// device are of `device`.
    pub fn next(&mut self, device: &str, out: &mut Measurement) -> ArchiveItem {
        if out.channel_count() != self.columns.channels.len() {
            out.clear();
            for name in &self.columns.channels {
                out.push_channel(name);
            }
        }
        out.readings.clear();
        let (line, read) = match self.reader.next() {
            Item::NeedInput => return ArchiveItem::NeedInput,
            Item::End => return ArchiveItem::End,
            Item::Bad { line, fault } => (line, Err(fault)),
            Item::Row(row) => {
                let named = self.device.map_or("", |column| row.field(column).trim());
                out.set_device(if named.is_empty() { device } else { named });
                (row.line, readings(&row, self.time, &self.channels, self.decimal, out))
            }
        };
        match read {
            Ok(at) => ArchiveItem::Row { line, at },
            Err(fault) => {
                self.reader.give_up_row();
                ArchiveItem::Bad(RowError { line, reason: fault.to_string() })
            }
        }
    }
}

fn readings(
    row: &Row<'_>,
    time: usize,
    channels: &[(usize, ChannelIndex)],
    decimal: Decimal,
    out: &mut Measurement,
) -> Result<EventTime, RowFault> {
    if out.device().len() > DEVICE_MAX_BYTES {
        return Err(RowFault::topic(out.device(), "the device's name is longer than 256 bytes"));
    }
    let text = row.field(time);
    let at = event_time(text.trim()).map_err(|why| RowFault::time(text, why))?;
    for (column, channel) in channels {
        match number::value(row.field(*column), decimal) {
            Ok(value) => out.readings.push(Reading { channel: *channel, at, value }),
            Err(Cell::Value | Cell::Missing | Cell::Text) => {}
        }
    }
    Ok(at)
}

/// A number since 1970, or from 0, by its size; RFC 3339; the same without a zone, or without a time of day, in UTC.
fn event_time(text: &str) -> Result<EventTime, Fault> {
    if let Ok(number) = text.parse::<f64>() {
        let is_whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        return if is_whole { time::from_text(text, TimeUnit::Auto) } else { time::from_float(number, TimeUnit::Auto) };
    }
    let written = |suffix: &str| time::from_text(&format!("{text}{suffix}"), TimeUnit::Rfc3339);
    written("").or_else(|_| written("Z")).or_else(|_| written("T00:00:00Z")).map_err(|_| NO_TIME)
}

/// Files with semicolons come from places where decimals have a comma, or from others.
fn decimal_of(head: &mut Reader, channels: &[usize]) -> Decimal {
    for _ in 0..ROWS_LOOKED_AT {
        let Item::Row(row) = head.next() else { continue };
        let is = |decimal| channels.iter().any(|column| number::value(row.field(*column), decimal).is_ok());
        let has = |mark| channels.iter().any(|column| row.field(*column).contains(mark));
        if has(',') && is(Decimal::Comma) {
            return Decimal::Comma;
        }
        if has('.') && is(Decimal::Point) {
            return Decimal::Point;
        }
    }
    Decimal::Point
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Device, milliseconds, values.
    type Rows = Vec<(String, i64, Vec<f64>)>;

    fn rows(text: &str) -> (Columns, Rows, Vec<RowError>) {
        let mut archive = Archive::new(text.as_bytes(), &[]).unwrap();
        archive.finish();
        let (mut measurement, mut rows, mut bad) = (Measurement::default(), Vec::new(), Vec::new());
        loop {
            match archive.next("file", &mut measurement) {
                ArchiveItem::Row { at, .. } => {
                    let values = measurement.readings.iter().map(|r| r.value).collect();
                    rows.push((measurement.device().to_owned(), at.as_millis(), values));
                }
                ArchiveItem::Bad(error) => bad.push(error),
                ArchiveItem::NeedInput | ArchiveItem::End => return (archive.columns, rows, bad),
            }
        }
    }

    #[test]
    fn times_are_read_in_every_common_form() {
        for (cell, ms) in [
            ("2020-03-09T10:14:33Z", 1_583_748_873_000),
            ("2020-03-09 10:14:33", 1_583_748_873_000),
            ("2020-03-09T11:14:33.25+01:00", 1_583_748_873_250),
            ("2020-03-09", 1_583_712_000_000),
            ("1583748873", 1_583_748_873_000),
            ("1583748873.5", 1_583_748_873_500),
            ("1583748873250", 1_583_748_873_250),
            ("1583748873250000", 1_583_748_873_250),
            ("1583748873250000000", 1_583_748_873_250),
            ("0", 0),
            ("0.01", 10),
            ("86400", 86_400_000),
        ] {
            let (_, rows, bad) = rows(&format!("timestamp,a\n{cell},1\n"));
            assert_eq!((rows.first().map(|r| r.1), bad.len()), (Some(ms), 0), "{cell}");
        }
    }

    #[test]
    fn the_time_is_the_first_known_name_or_else_the_first_column() {
        for (header, time) in [("a,Time,date", "Time"), ("seconds,a", "seconds"), ("x,a", "x"), ("a,b,ts", "ts")] {
            assert_eq!(Archive::new(header.as_bytes(), &[]).unwrap().columns().time, time);
        }
    }

    #[test]
    fn a_row_may_name_its_device_and_leave_values_out() {
        let (columns, rows, bad) = rows("time,device,a,b,note\n1,,1,2,x\n2,pump,,4,y\n3,pump,,,z\n");
        assert_eq!(columns.channels, ["a", "b", "note"]);
        let row = |device: &str, at, values: &[f64]| (device.to_owned(), at, values.to_vec());
        assert_eq!(rows, [row("file", 1_000, &[1.0, 2.0]), row("pump", 2_000, &[4.0]), row("pump", 3_000, &[])]);
        assert_eq!(bad, []);
    }

    #[test]
    fn a_bad_row_costs_itself_alone_and_is_told_with_its_line() {
        let (_, rows, bad) = rows("time,a\n1,1\nyesterday,2\n3\n4,4\n");
        assert_eq!(rows.iter().map(|r| r.1).collect::<Vec<_>>(), [1_000, 4_000]);
        assert_eq!(bad.iter().map(|e| e.line).collect::<Vec<_>>(), [3, 4]);
        assert!(bad[0].reason.contains("`yesterday` is no time"), "{bad:?}");
    }

    #[test]
    fn files_with_semicolons_may_have_decimal_commas() {
        assert_eq!(rows("time;a;b\n1;2;3\n1;2,5;\n").1[1].2, [2.5]);
        assert_eq!(rows("time;a;b\n1;2.5;3\n").1[0].2, [2.5, 3.0]);
    }

    #[test]
    fn columns_to_be_ignored_make_no_channel() {
        let archive = Archive::new(b"time,a,label\n", &["label".to_owned()]).unwrap();
        assert_eq!(archive.columns().channels, ["a"]);
        assert!(matches!(Archive::new(b"time,label\n", &["label".to_owned()]), Err(Refusal::NoReadings { .. })));
    }
}
