//! Every metric by name, unit and label: dashboards and alerts are its callers.
//!
//! # Invariants
//! - Labels have few values: door, line, log, sink, consumer, reason, state, status, channel of alerts. Never a device.
//! - A handle is cheap to clone and to count with; stages get only their own group.

mod registry;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::wear;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DoorLabel {
    pub door: &'static str,
}

/// A broker that is dialled, by its configured name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabel {
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DoorReason {
    pub door: &'static str,
    pub reason: &'static str,
}

/// A serial line, by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LineLabel {
    pub line: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DoorOutcome {
    pub door: &'static str,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LogLabel {
    pub log: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    pub status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SeverityLabel {
    pub severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabel {
    pub state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SinkLabel {
    pub sink: String,
}

/// A channel of alerts, by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertLabel {
    pub channel: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SinkLog {
    pub sink: String,
    pub log: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SinkReason {
    pub sink: String,
    pub reason: &'static str,
}

/// All groups. One per process; tests make their own.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub ingest: Ingest,
    pub serial: Serial,
    pub security: Security,
    pub frames: Frames,
    pub imports: Imports,
    pub queue: Queue,
    pub detect: Detect,
    pub forward: Forward,
    pub alert: Alert,
    pub disk: Disk,
    pub clock: Clock,
}

#[derive(Clone, Debug, Default)]
pub struct Ingest {
    pub messages: Family<DoorLabel, Counter>,
    pub payload_bytes: Family<DoorLabel, Counter>,
    /// Positive acknowledgements sent (PUBACK, HTTP 2xx).
    pub acks: Family<DoorLabel, Counter>,
    /// Messages not taken in, by reason.
    pub refused: Family<DoorReason, Counter>,
    pub connections: Family<DoorLabel, Gauge>,
    pub connects: Family<DoorLabel, Counter>,
    /// Connections lost or attempts failed, by reason.
    pub disconnects: Family<DoorReason, Counter>,
    /// Sessions that `listen` keeps for clients that are away.
    pub sessions_kept: Gauge,
    /// Windows, anomalies and gaps that subscribers of `listen` did not take in time.
    pub results_dropped: Counter,
    /// 1 while a broker has sent no message for `no_data_after`.
    pub silent: Family<SourceLabel, Gauge>,
}

/// What serial lines have besides the counters of all doors.
#[derive(Clone, Debug, Default)]
pub struct Serial {
    /// 1 while the device is open.
    pub open: Family<LineLabel, Gauge>,
    /// Bytes that became no record: noise, halves, damage.
    pub discarded_bytes: Family<LineLabel, Counter>,
    /// Acknowledgements not written: the device did not listen, or was gone.
    pub acks_dropped: Family<LineLabel, Counter>,
}

/// Who comes in, and by which certificates.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// End of the certificate in force, seconds since 1970.
    pub certificate_expires: Family<DoorLabel, Gauge>,
    pub tls_reloads: Family<DoorOutcome, Counter>,
    pub users_reloads: Family<DoorOutcome, Counter>,
    pub logins: Family<DoorOutcome, Counter>,
    /// Passwords that had to be hashed, for they were not known yet.
    pub password_hashes: Counter,
}

/// Firmware frames, which say who they are.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// Acknowledged, and not stored a second time.
    pub repeats: Family<DoorLabel, Counter>,
    /// Told by gap records.
    pub missing: Counter,
    /// Stored after a gap record had told that they are missing.
    pub after_all: Counter,
    /// Stored although they may be repeats: too far back to tell.
    pub unknown: Counter,
    /// Stored under an identity that another frame had.
    pub reused: Counter,
    /// Whose sequences are remembered.
    pub devices: Gauge,
    /// Devices and edge nodes of which it is known what their channel numbers mean.
    pub tables: Gauge,
    /// Records that wait for a hello or a birth.
    pub waiting: Gauge,
    /// By how their waiting ended: released, timed_out, no_room.
    pub waited: Family<OutcomeLabel, Counter>,
    /// Requests for hellos and births.
    pub requests: Counter,
    /// Acknowledged, and not stored: mac_missing, mac_key, mac_wrong, replayed.
    pub refused: Family<ReasonLabel, Counter>,
    /// Refused ones whose bytes are not kept, for too many came at once.
    pub refused_unkept: Counter,
}

/// CSV files, uploaded or found in a watched folder.
#[derive(Clone, Debug, Default)]
pub struct Imports {
    /// By what became of them: imported, already_imported, refused, unreadable, changed, interrupted.
    pub files: Family<OutcomeLabel, Counter>,
    /// Stored or rejected.
    pub rows: Family<OutcomeLabel, Counter>,
    /// Of files, as far as their rows are durable.
    pub bytes: Counter,
    /// Folders that could not be read, or markers that could not be written.
    pub folder_errors: Counter,
}

#[derive(Clone, Debug)]
pub struct Queue {
    pub records: Family<LogLabel, Counter>,
    pub commits: Counter,
    /// From the first record of a group to its durability.
    pub commit_seconds: Histogram,
    /// Bytes handed to the store, after compression.
    pub written_bytes: Counter,
    /// Growth of the newest generation, measured on disk; what is deleted is not taken off.
    pub grown_bytes: Counter,
    /// Bytes of payload in raw records that were taken in.
    pub payload_bytes: Counter,
    /// Commits that failed and were tried again.
    pub failed_commits: Counter,
    /// 1 while doors are held up, for the budget is used up or the disk is full.
    pub held_up: Gauge,
    /// Until doors are held up: what the budget and the file system leave, whichever is less.
    pub room_bytes: Gauge,
    /// How long that lasts without sinks; [`wear::OUTAGE_MAX`] if nothing comes in.
    pub survivable_outage_seconds: Gauge<f64, AtomicU64>,
    /// Records that were durable once and that the disk no longer gives back.
    pub lost: Family<LogLabel, Counter>,
    /// Measured on disk.
    pub disk_bytes: Gauge,
}

impl Default for Queue {
    fn default() -> Self {
        let survivable_outage_seconds = Gauge::<f64, AtomicU64>::default();
        survivable_outage_seconds.set(wear::OUTAGE_MAX.as_secs_f64());
        Self {
            survivable_outage_seconds,
            records: Family::default(),
            commits: Counter::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            written_bytes: Counter::default(),
            grown_bytes: Counter::default(),
            payload_bytes: Counter::default(),
            failed_commits: Counter::default(),
            held_up: Gauge::default(),
            room_bytes: Gauge::default(),
            lost: Family::default(),
            disk_bytes: Gauge::default(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Detect {
    pub readings: Counter,
    /// Readings not used, by reason: late, future, duplicate, not_finite, out_of_bounds, unknown_word, channels_max.
    pub refused: Family<ReasonLabel, Counter>,
    /// Records that no decoder could read, by reason.
    pub undecodable: Family<ReasonLabel, Counter>,
    pub windows: Family<StatusLabel, Counter>,
    /// Anomaly records: early, confirmed, withdrawn.
    pub anomalies: Family<StateLabel, Counter>,
    /// Incidents opened, by their severity then.
    pub incidents: Family<SeverityLabel, Counter>,
    pub open_incidents: Gauge,
    pub channels: Gauge,
    pub models_fitted: Counter,
    /// Rows of the past beside the queue, measured on disk.
    pub past_bytes: Gauge,
    /// Chunks of these that could not be read, each once.
    pub past_missed: Counter,
}

#[derive(Clone, Debug)]
pub struct Forward {
    pub delivered: Family<SinkLog, Counter>,
    pub quarantined: Family<SinkReason, Counter>,
    /// Records deleted from the quarantine to keep to its bound.
    pub quarantine_evicted: Family<SinkLabel, Counter>,
    /// Readings of devices whose clock is ahead, forwarded with the received time.
    pub future: Family<SinkLabel, Counter>,
    /// Records forwarded with a mark: it is not known well when they were received.
    pub unsynchronised: Family<SinkLabel, Counter>,
    pub batches: Family<SinkLabel, Counter>,
    /// Bytes sent, after compression.
    pub sent_bytes: Family<SinkLabel, Counter>,
    pub retries: Family<SinkLabel, Counter>,
    pub send_seconds: Family<SinkLabel, Histogram>,
    /// 1 while the last attempt succeeded.
    pub up: Family<SinkLabel, Gauge>,
    /// Records that wait for the sink, of both logs.
    pub backlog_records: Family<SinkLabel, Gauge>,
    /// Series that a sink was sent since the start, as far as it has a cap for them.
    pub series: Family<SinkLabel, Gauge>,
    /// Points that were encoded with `device=overflow`, above that cap; one that is encoded again counts again.
    pub overflowed: Family<SinkLabel, Counter>,
    /// Until none waits, by the last minute; ten years if they get no less.
    pub drain_seconds: Family<SinkLabel, Gauge<f64, AtomicU64>>,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            delivered: Family::default(),
            quarantined: Family::default(),
            quarantine_evicted: Family::default(),
            future: Family::default(),
            unsynchronised: Family::default(),
            batches: Family::default(),
            sent_bytes: Family::default(),
            retries: Family::default(),
            send_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 16))),
            up: Family::default(),
            backlog_records: Family::default(),
            series: Family::default(),
            overflowed: Family::default(),
            drain_seconds: Family::default(),
        }
    }
}

/// By channel.
#[derive(Clone, Debug, Default)]
pub struct Alert {
    pub sent: Family<AlertLabel, Counter>,
    /// Attempts.
    pub failed: Family<AlertLabel, Counter>,
    /// Messages that quiet hours or the rate held back, and that went out in summaries.
    pub held: Family<AlertLabel, Counter>,
    /// Messages given up.
    pub dropped: Family<AlertLabel, Counter>,
    pub pending: Family<AlertLabel, Gauge>,
}

/// What the whole process does to its disk, as the kernel counts it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub written_bytes: Counter,
    pub written_per_day_bytes: Gauge,
    pub write_amplification: Gauge<f64, AtomicU64>,
}

/// The gateway's own wall clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// 1 for the state that it is in.
    pub state: Family<StateLabel, Gauge>,
    /// Raw records that wait until it is known when they were received.
    pub held_records: Gauge,
    /// Times that the wall clock was set while the gateway ran.
    pub moves: Counter,
}
