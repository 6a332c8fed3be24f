//! `[[influx]]`, `[[kafka]]` and `[[file]]`, and what they have in common with the other ways out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Gateway, HOUR, MINUTE, Named, SECOND, kafka, mqtt_sink, name, normal, not_empty, not_nowhere, servers, sink_filter,
    webhook,
};
use crate::config::reader::{Reader, Section};
use crate::config::secrets::{self, Keys};
use crate::config::values::{Percent, Size};
use crate::config::{Directory, urls};
use crate::forward::{DeliveryConfig, FileConfig, FileFormat, InfluxConfig, Order, SinkConfig};
use crate::secret::{Secret, SecretSource};

/// Sinks of one kind: each has a task, a cursor and a batch in memory.
const SINKS_MAX: usize = 8;
/// Names that consumers of the queue have already.
const TAKEN: [&str; 2] = ["detect", crate::alert::CONSUMER];
const BATCH_RECORDS_MAX: u64 = 100_000;
const BATCH_MIN: Size = Size(1 << 10);
const BATCH_MAX: Size = Size(64 << 20);
/// A lane that gets less than a tenth of the link hardly moves.
const SHARE_MIN: Percent = Percent(10);
const SHARE_MAX: Percent = Percent(90);
/// Each has a batch in memory, and a connection.
const INFLIGHT_MAX: u64 = 8;
/// 10 Gbit/s: more than any link that needs a limit.
const RATE_MAX: Size = Size(1_250_000_000);
/// An InfluxDB on a small machine keeps its index of so many in memory; one hash of each is kept here, 2 MB.
const SERIES_DEFAULT: u64 = 100_000;
const SERIES_MAX: u64 = 10_000_000;
const ROTATE_MIN: Size = Size(64 << 10);
const ROTATE_MAX: Size = Size(16 << 30);
const ROTATE_DEFAULT: Size = Size(64 << 20);
/// With the default size: 1 GiB at most.
const FILES_DEFAULT: u64 = 16;
const FILES_MAX: u64 = 100_000;

/// The sinks, and the directories that they write to.
pub(super) fn read(
    reader: &mut Reader<'_>,
    gateway: &Gateway,
    queue_dir: &Path,
    named: &mut Named,
) -> (Vec<SinkConfig>, Vec<Directory>) {
    let mut names: Vec<String> = Vec::new();
    let mut directories: Vec<Directory> = Vec::new();
    let mut sinks = reader.tables("influx", SINKS_MAX, |s| SinkConfig::Influx(influx(s, &mut names, named)));
    sinks.extend(reader.tables("kafka", SINKS_MAX, |s| SinkConfig::Kafka(kafka::read(s, &mut names, named))));
    sinks.extend(reader.tables("file", SINKS_MAX, |s| {
        let config = file(s, &mut names, &gateway.data_dir);
        check_directory(s, &config.dir, queue_dir, &directories);
        directories.push(Directory { path: config.dir.clone(), place: s.place("dir") });
        SinkConfig::File(config)
    }));
    sinks.extend(reader.tables("webhook", SINKS_MAX, |s| SinkConfig::Webhook(webhook::read(s, &mut names, named))));
    let publishes = |s: &mut Section<'_, '_>| SinkConfig::Mqtt(mqtt_sink::read(s, gateway, &mut names, named));
    sinks.extend(reader.tables("mqtt_sink", SINKS_MAX, publishes));
    (sinks, directories)
}

fn influx(s: &mut Section<'_, '_>, names: &mut Vec<String>, named: &mut Named) -> InfluxConfig {
    let name = unique_name(s, "influx", names);
    let keys = Keys { file: "token_file", variable: "token_env" };
    let url = s.checked("url", "http://127.0.0.1:8086".to_owned(), |url| urls::http(url));
    let http = servers::http(s, &name, &url, named);
    let org = s.required("org", "name the organisation in InfluxDB", |org: &String| not_empty(org)).unwrap_or_default();
    let bucket = s.checked("bucket", "sensors".to_owned(), |bucket| not_empty(bucket));
    let token = secrets::read_source(s, &keys);
    if !s.has(keys.file) && !s.has(keys.variable) {
        let hint = "name where it is with `token_file` or `token_env`";
        s.fault(None, "[[influx]] has no token", hint);
    }
    // Points are upserted: their order does not matter, and requests may overlap.
    let default = DeliveryConfig { order: Order::LiveFirst, inflight: 2, ..DeliveryConfig::default() };
    let delivery = delivery(s, &default);
    let token = token.unwrap_or_else(|| SecretSource::fixed(Secret::new("")));
    let series_max = s.within("series_max", SERIES_DEFAULT, 0..=SERIES_MAX) as usize;
    InfluxConfig { name, url, org, bucket, token, http, series_max, delivery }
}

fn file(s: &mut Section<'_, '_>, names: &mut Vec<String>, data_dir: &Path) -> FileConfig {
    let name = unique_name(s, "file", names);
    let mut dir = s.value("dir", PathBuf::new());
    if not_nowhere(&dir).is_err() {
        dir = data_dir.join("files");
        s.stands_for("dir", &dir.to_string_lossy());
    }
    let formats = [("line_protocol", FileFormat::LineProtocol), ("ndjson", FileFormat::Ndjson)];
    FileConfig {
        name,
        dir,
        format: s.choice("format", FileFormat::LineProtocol, &formats),
        rotate_bytes: s.within("rotate", ROTATE_DEFAULT, ROTATE_MIN..=ROTATE_MAX).0,
        files_max: s.within("files_max", FILES_DEFAULT, 2..=FILES_MAX) as usize,
        delivery: delivery(s, &DeliveryConfig::default()),
    }
}

pub(super) fn delivery(s: &mut Section<'_, '_>, default: &DeliveryConfig) -> DeliveryConfig {
    let share = Percent(default.backlog_share_percent);
    let records = default.batch_records_max as u64;
    DeliveryConfig {
        filter: sink_filter::read(s, &default.filter),
        batch_records_max: s.within("batch_records_max", records, 1..=BATCH_RECORDS_MAX) as usize,
        batch_max_bytes: s.within("batch_max", Size(default.batch_max_bytes as u64), BATCH_MIN..=BATCH_MAX).0 as usize,
        timeout: s.within("timeout", default.timeout, Duration::from_millis(100)..=10 * MINUTE),
        retry_max: s.within("retry_max", default.retry_max, SECOND..=HOUR),
        order: s.choice("order", default.order, &[("live_first", Order::LiveFirst), ("strict", Order::Strict)]),
        backlog_share_percent: s.within("backlog_share", share, SHARE_MIN..=SHARE_MAX).0,
        inflight: s.within("inflight", default.inflight as u64, 1..=INFLIGHT_MAX) as usize,
        rate_max: s.within("rate_max", Size(default.rate_max), Size(0)..=RATE_MAX).0,
    }
}

/// Sinks share one space of names: that of cursors.
pub(super) fn unique_name(s: &mut Section<'_, '_>, default: &str, names: &mut Vec<String>) -> String {
    let name = name(s, default);
    if names.contains(&name) {
        s.fault(Some("name"), format!("two sinks have the name \"{name}\""), "give each sink its own `name`");
    }
    if TAKEN.contains(&name.as_str()) {
        s.fault(Some("name"), format!("the name \"{name}\" belongs to the gateway itself"), "choose another `name`");
    }
    names.push(name.clone());
    name
}

fn check_directory(s: &mut Section<'_, '_>, dir: &Path, queue_dir: &Path, others: &[Directory]) {
    if normal(dir).starts_with(normal(queue_dir)) {
        let message = format!("`dir` lies in the queue's directory {}", queue_dir.display());
        s.fault(Some("dir"), message, "choose a directory outside of it, such as `files` beside `queue`");
    }
    if others.iter().any(|other| normal(&other.path) == normal(dir)) {
        s.fault(Some("dir"), format!("two file sinks write to {}", dir.display()), "give each its own `dir`");
    }
}
