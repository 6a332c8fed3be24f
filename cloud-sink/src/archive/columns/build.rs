//! Columns from rows, one value each.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::types::{
    Float64Type, Int32Type, Int64Type, TimestampMillisecondType, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};

/// Of all times: stored are nanoseconds or milliseconds since 1970 there.
pub(super) const ZONE: &str = "UTC";

pub(super) fn text<'r, R, S: AsRef<str>>(rows: &'r [R], value: impl Fn(&'r R) -> Option<S>) -> ArrayRef {
    let mut column = StringBuilder::with_capacity(rows.len(), 0);
    rows.iter().for_each(|row| column.append_option(value(row)));
    Arc::new(column.finish())
}

pub(super) fn binary<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<&'r [u8]>) -> ArrayRef {
    let mut column = BinaryBuilder::with_capacity(rows.len(), 0);
    rows.iter().for_each(|row| column.append_option(value(row)));
    Arc::new(column.finish())
}

pub(super) fn boolean<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<bool>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<BooleanArray>())
}

fn numbers<'r, T: ArrowPrimitiveType, R>(
    rows: &'r [R],
    value: impl Fn(&'r R) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    rows.iter().map(value).collect()
}

pub(super) fn int32<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<i32>) -> ArrayRef {
    Arc::new(numbers::<Int32Type, R>(rows, value))
}

pub(super) fn int64<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<i64>) -> ArrayRef {
    Arc::new(numbers::<Int64Type, R>(rows, value))
}

pub(super) fn uint32<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<u32>) -> ArrayRef {
    Arc::new(numbers::<UInt32Type, R>(rows, value))
}

pub(super) fn uint64<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<u64>) -> ArrayRef {
    Arc::new(numbers::<UInt64Type, R>(rows, value))
}

/// Numbers that are not finite are null, as they are in the documents.
pub(super) fn float<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<f64>) -> ArrayRef {
    Arc::new(numbers::<Float64Type, R>(rows, |row| value(row).filter(|v| v.is_finite())))
}

pub(super) fn times_ms<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<i64>) -> ArrayRef {
    Arc::new(numbers::<TimestampMillisecondType, R>(rows, value).with_timezone(ZONE))
}

pub(super) fn times_ns<'r, R>(rows: &'r [R], value: impl Fn(&'r R) -> Option<i64>) -> ArrayRef {
    Arc::new(numbers::<TimestampNanosecondType, R>(rows, value).with_timezone(ZONE))
}
