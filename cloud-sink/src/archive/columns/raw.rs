//! Table `raw`: a sensor's message, its headers, and the readings that it has under today's decoders.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, Float64Builder, ListBuilder, StringBuilder, StructBuilder, TimestampNanosecondBuilder,
};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use firmware_protocol::decode::{Incoming, settle_times};
use firmware_protocol::envelope::{Envelope, Schema};
use firmware_protocol::measurement::Measurement;

use super::build::{ZONE, boolean, text, uint32};
use super::{Column, Reader, Row};

/// Places of the fields of a reading.
const MEASUREMENT: usize = 0;
const CHANNEL: usize = 1;
const TIME: usize = 2;
const VALUE: usize = 3;
const TEXT: usize = 4;

/// `headers`: those of a row whose headers are no envelope, so that nothing of it is lost; `None` for all others.
pub(super) fn columns<'r, H>(
    rows: &'r [Row<'r>],
    headers: impl Fn(&'r Row<'r>) -> Option<H>,
    reader: &Reader,
) -> Vec<Column>
where
    H: Iterator<Item = (&'r str, &'r [u8])>,
{
    let (readings, errors) = decoded(rows, reader);
    let some = |text: &'r str| (!text.is_empty()).then_some(text);
    vec![
        ("mqtt_topic", text(rows, |row| some(row.told()?.topic))),
        ("door", text(rows, |row| some(row.told()?.door))),
        ("retained", boolean(rows, |row| Some(row.told()?.retained))),
        ("frame_boot", uint32(rows, |row| Some(row.told()?.identity?.boot.0))),
        ("frame_seq", uint32(rows, |row| Some(row.told()?.identity?.seq.0))),
        ("content_type", text(rows, |row| some(row.told()?.content_type))),
        ("channel_table", text(rows, |row| some(row.told()?.table))),
        ("decoder", text(rows, |row| row.told()?.decoder.map(|name| name.as_str().to_owned()))),
        ("headers", unread(rows, headers)),
        ("readings", readings),
        ("decode_error", text(&errors, Option::as_deref)),
    ]
}

/// The readings of each row, and why there are none. A reading has a finite number or a text, as points in InfluxDB have.
fn decoded(rows: &[Row<'_>], reader: &Reader) -> (ArrayRef, Vec<Option<String>>) {
    let mut readings = ListBuilder::new(StructBuilder::from_fields(reading_fields(), 0));
    let mut errors = Vec::with_capacity(rows.len());
    let mut measurement = Measurement::default();
    for row in rows {
        let decoded = match &row.envelope {
            Ok(envelope) => decode(envelope, row.payload, reader, &mut measurement),
            Err(e) => Err(e.to_string()),
        };
        match decoded {
            Ok(name) => {
                push(readings.values(), name, &measurement);
                readings.append(true);
                errors.push(None);
            }
            Err(why) => {
                readings.append(false);
                errors.push(Some(why));
            }
        }
    }
    (Arc::new(readings.finish()), errors)
}

/// The name of the measurement that the readings belong to.
fn decode<'d>(
    envelope: &Envelope<'_>,
    payload: &[u8],
    reader: &'d Reader,
    out: &mut Measurement,
) -> Result<&'d str, String> {
    if envelope.schema != Schema::Raw {
        return Err(format!("schema {} is none of sensors' messages", envelope.schema.id()));
    }
    let Envelope { topic, content_type, table, received, retained: is_replay, .. } = *envelope;
    let message = Incoming { topic, payload, content_type, received_at: received.at, is_replay, table };
    let route = reader.decoder.decode_as(envelope.decoder, message, out).map_err(|e| e.to_string())?;
    settle_times(out, received, reader.future_max);
    Ok(&route.measurement)
}

fn push(readings: &mut StructBuilder, measurement: &str, decoded: &Measurement) {
    let mut push = |channel: &str, at: i64, value: Option<f64>, text: Option<&str>| {
        strings(readings, MEASUREMENT).append_value(measurement);
        strings(readings, CHANNEL).append_value(channel);
        field::<TimestampNanosecondBuilder>(readings, TIME).append_value(at);
        field::<Float64Builder>(readings, VALUE).append_option(value);
        strings(readings, TEXT).append_option(text);
        readings.append(true);
    };
    for reading in decoded.readings.iter().filter(|reading| reading.value.is_finite()) {
        push(decoded.channel(reading.channel), reading.at.0, Some(reading.value), None);
    }
    for (channel, at, text) in decoded.texts() {
        push(decoded.channel(channel), at.0, None, Some(text));
    }
}

/// A list of name and value.
fn unread<'r, H>(rows: &'r [Row<'r>], headers: impl Fn(&'r Row<'r>) -> Option<H>) -> ArrayRef
where
    H: Iterator<Item = (&'r str, &'r [u8])>,
{
    let fields =
        Fields::from(vec![Field::new("name", DataType::Utf8, true), Field::new("value", DataType::Binary, true)]);
    let mut column = ListBuilder::new(StructBuilder::from_fields(fields, 0));
    for row in rows {
        let found = headers(row);
        let is_told = found.is_some();
        for (name, value) in found.into_iter().flatten() {
            strings(column.values(), 0).append_value(name);
            field::<BinaryBuilder>(column.values(), 1).append_value(value);
            column.values().append(true);
        }
        column.append(is_told);
    }
    Arc::new(column.finish())
}

fn reading_fields() -> Fields {
    Fields::from(vec![
        Field::new("measurement", DataType::Utf8, true),
        Field::new("channel", DataType::Utf8, true),
        Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, Some(ZONE.into())), true),
        Field::new("value", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
    ])
}

fn strings(fields: &mut StructBuilder, place: usize) -> &mut StringBuilder {
    field(fields, place)
}

fn field<B: arrow_array::builder::ArrayBuilder>(fields: &mut StructBuilder, place: usize) -> &mut B {
    fields.field_builder(place).expect("the field was made with this type")
}
