//! Tables `windows`, `anomalies`, `incidents`, `gaps`: main fields of the JSON documents, under the same names but without
//! `_at_ms`, and without `from` and `to`, which are words of SQL. The document itself is `payload`.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{ListBuilder, StringBuilder};
use firmware_protocol::derived::{Derived, Severity, Status};

use super::build::{boolean, float, text, times_ms, uint32, uint64};
use super::{Column, Row};

pub(super) fn windows(rows: &[Row<'_>]) -> Vec<Column> {
    let (docs, errors) = read(rows, |derived| match derived {
        Derived::Window(window) => Some(window),
        Derived::Anomaly(_) | Derived::Incident(_) | Derived::Gap(_) => None,
    });
    vec![
        ("id", text(&docs, |d| Some(&d.as_ref()?.id))),
        ("channel", text(&docs, |d| Some(&d.as_ref()?.channel))),
        ("start", times_ms(&docs, |d| Some(d.as_ref()?.start_at_ms))),
        ("end", times_ms(&docs, |d| Some(d.as_ref()?.end_at_ms))),
        ("revision", uint32(&docs, |d| Some(d.as_ref()?.revision))),
        ("count", uint32(&docs, |d| Some(d.as_ref()?.count))),
        ("gap_s", float(&docs, |d| Some(d.as_ref()?.gap_s))),
        ("mean", float(&docs, |d| Some(d.as_ref()?.stats?.mean))),
        ("min", float(&docs, |d| Some(d.as_ref()?.stats?.min))),
        ("max", float(&docs, |d| Some(d.as_ref()?.stats?.max))),
        ("std", float(&docs, |d| Some(d.as_ref()?.stats?.std))),
        ("p05", float(&docs, |d| Some(d.as_ref()?.stats?.p05))),
        ("p50", float(&docs, |d| Some(d.as_ref()?.stats?.p50))),
        ("p95", float(&docs, |d| Some(d.as_ref()?.stats?.p95))),
        ("status", text(&docs, |d| Some(status(d.as_ref()?.status)))),
        ("score", float(&docs, |d| d.as_ref()?.score)),
        ("decode_error", text(&errors, Option::as_deref)),
    ]
}

pub(super) fn anomalies(rows: &[Row<'_>]) -> Vec<Column> {
    let (docs, errors) = read(rows, |derived| match derived {
        Derived::Anomaly(anomaly) => Some(anomaly),
        Derived::Window(_) | Derived::Incident(_) | Derived::Gap(_) => None,
    });
    vec![
        ("id", text(&docs, |d| Some(&d.as_ref()?.id))),
        ("channel", text(&docs, |d| Some(&d.as_ref()?.channel))),
        ("start", times_ms(&docs, |d| Some(d.as_ref()?.start_at_ms))),
        ("end", times_ms(&docs, |d| Some(d.as_ref()?.end_at_ms))),
        ("revision", uint32(&docs, |d| Some(d.as_ref()?.revision))),
        ("state", text(&docs, |d| Some(d.as_ref()?.state.name()))),
        ("incident", text(&docs, |d| Some(&d.as_ref()?.incident))),
        ("score", float(&docs, |d| Some(d.as_ref()?.score))),
        ("detector", text(&docs, |d| Some(&d.as_ref()?.detector))),
        ("kind", text(&docs, |d| Some(&d.as_ref()?.kind))),
        ("feature", text(&docs, |d| Some(&d.as_ref()?.feature))),
        ("value", float(&docs, |d| Some(d.as_ref()?.value))),
        ("expected_low", float(&docs, |d| Some(d.as_ref()?.expected_low))),
        ("expected_high", float(&docs, |d| Some(d.as_ref()?.expected_high))),
        ("summary", text(&docs, |d| Some(&d.as_ref()?.summary))),
        ("decode_error", text(&errors, Option::as_deref)),
    ]
}

pub(super) fn incidents(rows: &[Row<'_>]) -> Vec<Column> {
    let (docs, errors) = read(rows, |derived| match derived {
        Derived::Incident(incident) => Some(incident),
        Derived::Window(_) | Derived::Anomaly(_) | Derived::Gap(_) => None,
    });
    vec![
        ("id", text(&docs, |d| Some(&d.as_ref()?.id))),
        ("revision", uint32(&docs, |d| Some(d.as_ref()?.revision))),
        ("state", text(&docs, |d| Some(d.as_ref()?.state.name()))),
        ("severity", text(&docs, |d| Some(Severity::name(d.as_ref()?.severity)))),
        ("opened", times_ms(&docs, |d| Some(d.as_ref()?.opened_at_ms))),
        ("start", times_ms(&docs, |d| Some(d.as_ref()?.start_at_ms))),
        ("peak", times_ms(&docs, |d| Some(d.as_ref()?.peak_at_ms))),
        ("end", times_ms(&docs, |d| Some(d.as_ref()?.end_at_ms))),
        ("score", float(&docs, |d| Some(d.as_ref()?.score))),
        ("windows", uint32(&docs, |d| Some(d.as_ref()?.windows))),
        ("channels", texts(&docs, |d| d.channels.iter().map(|share| share.channel.as_str()))),
        ("kinds", texts(&docs, |d| d.kinds.iter().map(String::as_str))),
        ("title", text(&docs, |d| Some(&d.as_ref()?.title))),
        ("decode_error", text(&errors, Option::as_deref)),
    ]
}

pub(super) fn gaps(rows: &[Row<'_>]) -> Vec<Column> {
    let (docs, errors) = read(rows, |derived| match derived {
        Derived::Gap(gap) => Some(gap),
        Derived::Window(_) | Derived::Anomaly(_) | Derived::Incident(_) => None,
    });
    vec![
        ("start", times_ms(&docs, |d| Some(d.as_ref()?.from_at_ms))),
        ("end", times_ms(&docs, |d| Some(d.as_ref()?.to_at_ms))),
        ("count", uint64(&docs, |d| Some(d.as_ref()?.count))),
        ("at_least", boolean(&docs, |d| Some(d.as_ref()?.at_least))),
        ("reason", text(&docs, |d| Some(&d.as_ref()?.reason))),
        ("decode_error", text(&errors, Option::as_deref)),
    ]
}

/// A document, where there is one to be read.
type Doc<T> = Option<T>;

fn read<T>(rows: &[Row<'_>], of: impl Fn(Derived) -> Option<T>) -> (Vec<Doc<T>>, Vec<Option<String>>) {
    let read = |row: &Row<'_>| match Derived::from_json(row.payload).map(&of) {
        Ok(Some(doc)) => (Some(doc), None),
        Ok(None) => (None, Some("the document is of another schema than the header says".to_owned())),
        Err(e) => (None, Some(e.to_string())),
    };
    rows.iter().map(read).unzip()
}

fn texts<'d, T, I: Iterator<Item = &'d str>>(docs: &'d [Doc<T>], of: impl Fn(&'d T) -> I) -> ArrayRef {
    let mut column = ListBuilder::new(StringBuilder::new());
    for doc in docs {
        doc.iter().flat_map(&of).for_each(|text| column.values().append_value(text));
        column.append(doc.is_some());
    }
    Arc::new(column.finish())
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Learning => "learning",
        Status::Normal => "normal",
        Status::Anomalous => "anomalous",
    }
}
