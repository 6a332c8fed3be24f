//! What incidents and withdrawn anomalies say to a person, in one sentence each.

use firmware_protocol::derived::IncidentState;
use firmware_protocol::measurement::EventTime;

use crate::detect::finding::words;
use crate::text::utc_minute;

/// `pump-7: a step in flow and 2 more channels since 2026-03-01 12:00 UTC`.
pub(super) fn title(
    device: &str,
    kind: &str,
    channel: &str,
    others: usize,
    (start, end): (EventTime, EventTime),
    state: IncidentState,
) -> String {
    let what = words(kind);
    let of = match (channel, others) {
        ("", 0) => String::new(),
        ("", _) => format!(" and {}", more(others)),
        (_, 0) => format!(" in {channel}"),
        _ => format!(" in {channel} and {}", more(others)),
    };
    let (from, to) = (utc_minute(start), utc_minute(end));
    // On one day the time says it all.
    let to = if from[..10] == to[..10] { &to[11..] } else { &to };
    match state {
        IncidentState::Open => format!("{device}: {what}{of} since {from} UTC"),
        IncidentState::Closed => format!("{device}: {what}{of} from {from} to {to} UTC"),
        IncidentState::Adopted => format!("{device}: {what}{of} since {from} UTC has become the new normal"),
        IncidentState::Withdrawn => format!("{device}: withdrawn, not confirmed after all: {what}{of} at {from} UTC"),
    }
}

/// For a finding whose own sentence is not known any more.
pub(super) fn summary(channel: &str, kind: &str, feature: &str, value: f64, low: f64, high: f64) -> String {
    let place = if channel.is_empty() { String::new() } else { format!("{channel}: ") };
    format!("{place}{}: {feature} {value}, expected {low} to {high}", words(kind))
}

/// For an anomaly that is taken back.
pub(super) fn withdrawn(channel: &str, kind: &str) -> String {
    let place = if channel.is_empty() { String::new() } else { format!("{channel}: ") };
    format!("{place}{} not confirmed: with all its readings the window is not anomalous", words(kind))
}

fn more(others: usize) -> String {
    format!("{others} more {}", if others == 1 { "channel" } else { "channels" })
}
