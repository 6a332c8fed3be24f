//! JSON for the page. Times are milliseconds since 1970 (UTC); numbers are totals, the page takes differences.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use firmware_protocol::derived::{Anomaly, Incident, Severity, Status, Window};
use serde::{Deserialize, Serialize};

use super::{App, health, incidents};
use crate::clock::{Phase, State as ClockState, Status as ClockStatus};
use crate::metrics::{DoorLabel, Metrics, SinkLabel};
use crate::queue::{Door, LedgerRow};
use crate::view;

/// Latest windows in the table of the page.
const WINDOWS_MAX: usize = 24;
/// Latest anomalies in the list of the page.
const ANOMALIES_MAX: usize = 60;
/// Incidents in the list of the page.
const INCIDENTS_MAX: usize = 40;

#[derive(Serialize)]
pub(super) struct StateAnswer {
    gateway: String,
    version: &'static str,
    uptime_s: f64,
    readiness: &'static str,
    /// Why sensors wait, if they do, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_up: Option<&'static str>,
    clock: Clock,
    totals: Totals,
    ledger: Vec<Ledger>,
    devices: Vec<Device>,
    /// Series that the view had no room for.
    series_left_out: u64,
    /// Newest first.
    windows: Vec<Window>,
    anomalies: Vec<Anomaly>,
    /// Those that are open first, then newest first.
    incidents: Vec<Incident>,
}

/// The gateway's own clock.
#[derive(Serialize)]
struct Clock {
    state: &'static str,
    held_records: u64,
    /// What is wrong with it, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
struct Totals {
    messages: u64,
    acks: u64,
    connections: i64,
    readings: u64,
    incidents: u64,
    open_incidents: i64,
    channels: i64,
    models_fitted: u64,
    disk_bytes: i64,
    room_bytes: i64,
    survivable_outage_s: f64,
    windows: u64,
}

#[derive(Serialize)]
struct Ledger {
    consumer: String,
    log: &'static str,
    accepted: u64,
    delivered: u64,
    filtered: u64,
    queued: u64,
    expired: u64,
    dropped: u64,
    quarantined: u64,
    duplicate: u64,
    lost: u64,
    balances: bool,
    /// Whether the sink of this name took its last batch; absent for consumers that are no sinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
}

#[derive(Serialize)]
struct Device {
    device: String,
    channels: Vec<Channel>,
}

#[derive(Serialize)]
struct Channel {
    channel: String,
    /// The newest reading.
    at_ms: i64,
    value: f64,
}

pub(super) async fn state(State(app): State<Arc<App>>) -> Json<StateAnswer> {
    let sources = &app.sources;
    let (devices, windows, anomalies, incidents, series_left_out) = sources.view.with(|state| {
        let windows = state.windows.values().rev().take(WINDOWS_MAX).cloned().collect();
        let anomalies = state.anomalies.values().rev().take(ANOMALIES_MAX).cloned().collect();
        let incidents = incidents::listed(state).take(INCIDENTS_MAX).cloned().collect();
        (devices(state), windows, anomalies, incidents, state.left_out.len() as u64)
    });
    let ledger = (sources.ledger)().iter().map(|row| ledger(row, &sources.metrics)).collect();
    Json(StateAnswer {
        gateway: sources.gateway.clone(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: app.started_at.elapsed().as_secs_f64(),
        readiness: health::name(sources),
        held_up: health::held_up(*sources.pressure.borrow()),
        clock: clock(*sources.clock.borrow()),
        totals: totals(&sources.metrics),
        ledger,
        devices,
        series_left_out,
        windows,
        anomalies,
        incidents,
    })
}

fn clock(ClockStatus { state, phase, held_records }: ClockStatus) -> Clock {
    let what_to_do = "connect a time service, or set the clock";
    let note = match (phase, state) {
        (Phase::Held, ClockState::Wrong) => {
            Some(format!("clock not set: {held_records} records held until it is; {what_to_do}"))
        }
        (Phase::Held, ClockState::Unverified | ClockState::Synchronised) => {
            Some(format!("clock not synchronised yet: {held_records} records held for a moment"))
        }
        (Phase::Released, _) => Some(format!("clock not set: records go out marked as unsynchronised; {what_to_do}")),
        (Phase::Free, ClockState::Wrong) => Some(format!("clock is wrong, times go on as before; {what_to_do}")),
        (Phase::Free, ClockState::Unverified | ClockState::Synchronised) => None,
    };
    Clock { state: state.name(), held_records, note }
}

fn devices(state: &view::State) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    for ((device, channel), points) in &state.series {
        let Some(newest) = points.back() else { continue };
        let channel = Channel { channel: channel.clone(), at_ms: newest.at.as_millis(), value: newest.value };
        match devices.last_mut().filter(|last| last.device == *device) {
            Some(last) => last.channels.push(channel),
            None => devices.push(Device { device: device.clone(), channels: vec![channel] }),
        }
    }
    devices
}

fn totals(m: &Metrics) -> Totals {
    let doors = Door::ALL.map(|door| DoorLabel { door: door.name() });
    let statuses = ["learning", "normal", "anomalous"].map(|status| crate::metrics::StatusLabel { status });
    let severities = Severity::ALL.map(|severity| crate::metrics::SeverityLabel { severity: severity.name() });
    Totals {
        messages: doors.iter().filter_map(|d| m.ingest.messages.get(d)).map(|c| c.get()).sum(),
        acks: doors.iter().filter_map(|d| m.ingest.acks.get(d)).map(|c| c.get()).sum(),
        connections: doors.iter().filter_map(|d| m.ingest.connections.get(d)).map(|g| g.get()).sum(),
        readings: m.detect.readings.get(),
        incidents: severities.iter().filter_map(|s| m.detect.incidents.get(s)).map(|c| c.get()).sum(),
        open_incidents: m.detect.open_incidents.get(),
        channels: m.detect.channels.get(),
        models_fitted: m.detect.models_fitted.get(),
        disk_bytes: m.queue.disk_bytes.get(),
        room_bytes: m.queue.room_bytes.get(),
        survivable_outage_s: m.queue.survivable_outage_seconds.get(),
        windows: statuses.iter().filter_map(|s| m.detect.windows.get(s)).map(|c| c.get()).sum(),
    }
}

fn ledger(row: &LedgerRow, metrics: &Metrics) -> Ledger {
    let c = &row.cursor;
    let up = metrics.forward.up.get(&SinkLabel { sink: row.consumer.clone() }).map(|up| up.get() == 1);
    Ledger {
        consumer: row.consumer.clone(),
        log: row.log.name(),
        accepted: row.accepted,
        delivered: c.delivered,
        filtered: c.filtered,
        queued: row.queued,
        expired: row.expired,
        dropped: row.dropped,
        quarantined: c.quarantined,
        duplicate: c.duplicate,
        lost: row.lost,
        balances: row.balances(),
        up,
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct SeriesQuery {
    device: String,
    /// Without it: all channels of the device.
    channel: Option<String>,
    /// Only points after this; without it all that are kept.
    points_after_ms: Option<i64>,
    /// Only windows that start after this.
    windows_after_ms: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct SeriesAnswer {
    device: String,
    channels: Vec<Series>,
}

#[derive(Serialize)]
struct Series {
    channel: String,
    /// Time and value, oldest first; seven digits are more than a chart shows.
    points: Vec<(i64, f32)>,
    /// Oldest first, the latest revision of each.
    windows: Vec<Bar>,
}

/// A window as a chart needs it.
#[derive(Serialize)]
struct Bar {
    start_at_ms: i64,
    end_at_ms: i64,
    status: Status,
    count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    /// Minimum, 5 % quantile, mean, 95 % quantile, maximum; absent for a window without readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<[f32; 5]>,
}

#[derive(Serialize)]
pub(super) struct NotFound {
    error: String,
}

pub(super) async fn series(
    State(app): State<Arc<App>>,
    Query(query): Query<SeriesQuery>,
) -> Result<Json<SeriesAnswer>, (StatusCode, Json<NotFound>)> {
    let channels = app.sources.view.with(|state| channels(state, &query));
    if channels.is_empty() {
        let channel = query.channel.map(|c| format!(" with a channel `{c}`")).unwrap_or_default();
        let error = format!("no device `{}`{channel} has sent readings", query.device);
        return Err((StatusCode::NOT_FOUND, Json(NotFound { error })));
    }
    Ok(Json(SeriesAnswer { device: query.device, channels }))
}

fn channels(state: &view::State, query: &SeriesQuery) -> Vec<Series> {
    let points_after_ms = query.points_after_ms.unwrap_or(i64::MIN);
    let mut bars = bars(state, query);
    let wanted = |channel: &str| query.channel.as_deref().is_none_or(|c| c == channel);
    let ours = state.series.range((query.device.clone(), String::new())..);
    ours.take_while(|((device, _), _)| *device == query.device)
        .filter(|((_, channel), _)| wanted(channel))
        .map(|((_, channel), points)| Series {
            channel: channel.clone(),
            points: points
                .iter()
                .map(|p| (p.at.as_millis(), p.value as f32))
                .filter(|(at_ms, _)| *at_ms > points_after_ms)
                .collect(),
            windows: bars.remove(channel.as_str()).unwrap_or_default().into_values().collect(),
        })
        .collect()
}

/// Channel → start → the latest revision.
fn bars<'a>(state: &'a view::State, query: &SeriesQuery) -> BTreeMap<&'a str, BTreeMap<i64, Bar>> {
    let windows_after_ms = query.windows_after_ms.unwrap_or(i64::MIN);
    let mut bars: BTreeMap<&str, BTreeMap<i64, Bar>> = BTreeMap::new();
    for window in state.windows.values().filter(|w| w.device == query.device && w.start_at_ms > windows_after_ms) {
        bars.entry(&window.channel).or_default().insert(window.start_at_ms, bar(window));
    }
    bars
}

fn bar(window: &Window) -> Bar {
    Bar {
        start_at_ms: window.start_at_ms,
        end_at_ms: window.end_at_ms,
        status: window.status,
        count: window.count,
        score: window.score.map(|s| s as f32),
        levels: window.stats.map(|s| [s.min, s.p05, s.mean, s.p95, s.max].map(|v| v as f32)),
    }
}
