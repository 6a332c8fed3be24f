//! The pure whole: measurements in, transactions out. Live it is driven by `task`, in batch by whoever reads an archive.
//!
//! # Invariants
//! - A transaction holds the derived records, the cursor and all state that belongs to the same set of records.
//! - The cursor waits at the oldest record that still feeds an open window. After a restart the records from there to
//!   [`Engine::processed`] only fill open windows again: nothing of them is counted, judged or written twice.
//! - The caller makes a transaction durable before it asks for the next.
//!
//! # Flow
//! ```text
//! restore ─▶ (on_measurement | on_undecodable | on_idle)* ─▶ changes ─▶ commit ─▶ …
//! ```

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;

use firmware_protocol::derived::{Anomaly, AnomalyState, Derived, Window};
use firmware_protocol::measurement::{EventTime, Measurement, Received};

use super::calendar::WindowIndex;
use super::detector::{Detector, Horizon, Verdict, WindowDetector};
use super::features::{Nature, Scratch, Series, Summary, summarise};
use super::state::{
    Pending, ROOT_KEY, Root, RowsOf, SavedChannel, SavedDevice, StoredRows, channel_key, channel_name_key, device_key,
    device_name_key, encode, load, model_key,
};
use super::watermark::{SeenFrames, Watermark};
use super::window::{ChannelPlace, Closed, DeviceIndex, Operator, Pass, Progress};
use super::{Config, WindowId};
use crate::queue::{Cursor, QueueSeq};

pub use super::state::StateSource;
pub use super::window::Counts;

/// Late data makes the next revision; so far there is only the first.
const FIRST_REVISION: u32 = 0;

/// What becomes durable together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub derived: Vec<Derived>,
    pub cursor: Cursor,
    /// `None` deletes.
    pub state: Vec<(String, Option<Vec<u8>>)>,
}

/// Operator, detectors and the transaction under construction.
#[derive(Debug)]
pub struct Engine {
    horizon: Horizon,
    operator: Operator,
    judged: BTreeMap<(DeviceIndex, ChannelPlace), Judged>,
    /// After the newest record taken, with the books of all before it.
    reached: Cursor,
    /// Records before this were contained in the state that was restored.
    restored_until: QueueSeq,
    committed: Cursor,
    counts: Counts,
    models_fitted: u64,
    derived: Vec<Derived>,
    pending: Pending,
    heard: BTreeSet<DeviceIndex>,
    touched: BTreeSet<(DeviceIndex, ChannelPlace)>,
    closed: Vec<Closed>,
    scratch: Scratch,
}

/// One channel's side of judging.
#[derive(Debug)]
struct Judged {
    detector: WindowDetector,
    rows: StoredRows,
}

impl Engine {
    /// Continues where the stored state ends; `cursor` is the reader's durable position.
    /// State that cannot be used is reported, and what it held is learned anew.
    pub fn restore(config: &Config, source: &dyn StateSource, cursor: Cursor) -> Self {
        let mut engine = Self {
            horizon: Horizon::new(config),
            operator: Operator::new(config),
            judged: BTreeMap::new(),
            reached: cursor,
            restored_until: cursor.next,
            committed: cursor,
            counts: Counts::default(),
            models_fitted: 0,
            derived: Vec::new(),
            pending: Pending::new(),
            heard: BTreeSet::new(),
            touched: BTreeSet::new(),
            closed: Vec::new(),
            scratch: Scratch::default(),
        };
        let window_ns = engine.horizon.calendar().window_ns();
        match load::<Root>(source, ROOT_KEY) {
            Some(root) if root.window_ns == window_ns => {
                engine.restored_until = QueueSeq(root.processed).max(cursor.next);
                engine.restore_devices(source);
            }
            Some(root) => {
                warn!(
                    was_ns = root.window_ns,
                    is_ns = window_ns,
                    "Length of windows has changed: all channels are learned anew."
                );
                engine.forget_all(source);
            }
            None => engine.forget_all(source),
        }
        engine
    }

    /// The record to read next.
    pub fn next(&self) -> QueueSeq {
        self.reached.next
    }

    /// All records before this one are contained in results and state.
    pub fn processed(&self) -> QueueSeq {
        self.reached.next.max(self.restored_until)
    }

    pub fn channels(&self) -> usize {
        self.operator.channels()
    }

    /// Derived records that wait for the next transaction.
    pub fn derived_waiting(&self) -> usize {
        self.derived.len()
    }

    /// Takes what the record `seq` said.
    pub fn on_measurement(
        &mut self,
        seq: QueueSeq,
        measurement: &Measurement,
        received: Received,
        source: &dyn StateSource,
    ) {
        self.skip_to(seq);
        let pass = self.pass(seq);
        let mut closed = std::mem::take(&mut self.closed);
        let (device, counts) = self.operator.accept(measurement, received, self.reached, pass, &mut closed);
        if counts.duplicate > 0 {
            self.reached.duplicate += 1;
        } else {
            self.reached.delivered += 1;
        }
        self.reached.next = seq.plus(1);
        if pass == Pass::First {
            self.counts.add(counts);
            self.heard.extend(device);
            self.judge_all(&mut closed, source);
        }
        self.closed = closed;
    }

    /// Passes over a record that no decoder could read.
    pub fn on_undecodable(&mut self, seq: QueueSeq) {
        self.skip_to(seq);
        self.reached.quarantined += 1;
        self.reached.next = seq.plus(1);
    }

    /// Closes the windows of silent devices. Call it with the gateway's time once all records received before are taken.
    pub fn on_idle(&mut self, now: EventTime, source: &dyn StateSource) {
        if self.pass(self.reached.next) == Pass::Rebuild {
            return;
        }
        let mut closed = std::mem::take(&mut self.closed);
        self.operator.on_idle(now, &mut closed);
        self.heard.extend(closed.iter().map(|c| c.device));
        self.judge_all(&mut closed, source);
        self.closed = closed;
    }

    /// What happened to readings since the last call, and how many models were learned.
    pub fn take_counts(&mut self) -> (Counts, u64) {
        (std::mem::take(&mut self.counts), std::mem::take(&mut self.models_fitted))
    }

    /// The transaction since the last call; `None` if it would change nothing that lasts.
    pub fn changes(&mut self) -> Option<Changes> {
        let cursor = self.operator.oldest_mark().unwrap_or(self.reached);
        let is_rebuilding = self.pass(self.reached.next) == Pass::Rebuild;
        if is_rebuilding || (self.derived.is_empty() && self.pending.is_empty() && cursor == self.committed) {
            return None;
        }
        for index in std::mem::take(&mut self.heard) {
            self.save_device(index);
        }
        for (device, channel) in std::mem::take(&mut self.touched) {
            self.save_channel(device, channel);
        }
        let root = Root { processed: self.reached.next.0, window_ns: self.horizon.calendar().window_ns() };
        self.pending.insert(ROOT_KEY.to_owned(), Some(encode(&root)));
        self.committed = cursor;
        Some(Changes {
            derived: std::mem::take(&mut self.derived),
            cursor,
            state: std::mem::take(&mut self.pending).into_iter().collect(),
        })
    }

    /// Records between the last one and `seq` are gone from the store, by damage or policy; the queue books them.
    fn skip_to(&mut self, seq: QueueSeq) {
        self.reached.next = self.reached.next.max(seq);
    }

    fn pass(&self, seq: QueueSeq) -> Pass {
        if seq < self.restored_until { Pass::Rebuild } else { Pass::First }
    }

    fn judge_all(&mut self, closed: &mut Vec<Closed>, source: &dyn StateSource) {
        for window in closed.drain(..) {
            self.judge(&window, source);
        }
    }

    fn judge(&mut self, closed: &Closed, source: &dyn StateSource) {
        let key = (closed.device, closed.channel);
        self.touched.insert(key);
        let judged = self.judged.entry(key).or_insert_with(|| Judged::new(self.horizon));
        let calendar = self.horizon.calendar();
        let span = (calendar.start_of(closed.window), calendar.start_of(WindowIndex(closed.window.0 + 1)));
        let series = Series::Samples(&closed.samples);
        let summary = summarise(series, closed.count, span, Nature::Level, &mut self.scratch);
        let mut history = RowsOf {
            rows: &mut judged.rows,
            rows_max: self.horizon.rows(),
            device: closed.device,
            channel: closed.channel,
            pending: &mut self.pending,
            source,
        };
        let verdict = judged.detector.observe(closed.window, &summary.features, &mut history);
        if verdict.learned {
            self.models_fitted += 1;
            let model = judged.detector.learned.as_ref().map(encode);
            self.pending.insert(model_key(closed.device, closed.channel), model);
        }

        let device = self.operator.device(closed.device);
        let channel = &device.channels[closed.channel.0 as usize].name;
        let window = window_record(&device.name, channel, span, closed.count, &summary, &verdict);
        let anomaly = verdict.finding.map(|finding| Anomaly {
            id: window.id.clone(),
            device: window.device.clone(),
            channel: window.channel.clone(),
            start_at_ms: window.start_at_ms,
            end_at_ms: window.end_at_ms,
            revision: window.revision,
            state: AnomalyState::Confirmed,
            incident: String::new(),
            score: verdict.score.unwrap_or_default(),
            detector: judged.detector.name().to_owned(),
            model: String::new(),
            kind: finding.group.name().to_owned(),
            feature: finding.feature.name().to_owned(),
            value: finding.value,
            expected_low: finding.expected_low,
            expected_high: finding.expected_high,
            share: None,
            peak_from_ms: None,
            peak_to_ms: None,
            channels: Vec::new(),
            summary: finding.sentence(channel, span),
        });
        self.derived.push(Derived::Window(window));
        self.derived.extend(anomaly.map(Derived::Anomaly));
    }

    fn save_device(&mut self, index: DeviceIndex) {
        let device = self.operator.device(index);
        let saved = SavedDevice { watermark: device.watermark.to_saved(), seen: device.seen.clone() };
        self.pending.insert(device_key(index), Some(encode(&saved)));
        if !device.is_saved {
            self.pending.insert(device_name_key(index), Some(encode(&device.name)));
        }
        for (place, channel) in device.channels.iter().enumerate().filter(|(_, c)| c.saved != Some(c.progress)) {
            let place = ChannelPlace(place as u32);
            if channel.saved.is_none() {
                self.pending.insert(channel_name_key(index, place), Some(encode(&channel.name)));
            }
            self.touched.insert((index, place));
        }
        self.operator.set_saved(index);
    }

    fn save_channel(&mut self, device: DeviceIndex, channel: ChannelPlace) {
        let progress = self.operator.device(device).channels[channel.0 as usize].progress;
        let judged = self.judged.entry((device, channel)).or_insert_with(|| Judged::new(self.horizon));
        let (first_chunk, next_chunk) = judged.rows.chunks();
        let memory = judged.detector.memory.clone();
        let saved = SavedChannel { progress, memory, first_chunk, next_chunk };
        judged.rows.save_newest(device, channel, &mut self.pending);
        self.pending.insert(channel_key(device, channel), Some(encode(&saved)));
    }

    fn restore_devices(&mut self, source: &dyn StateSource) {
        for device in (0..).map(DeviceIndex).take_while(|d| source.state(&device_name_key(*d)).is_some()) {
            let name: Option<String> = load(source, &device_name_key(device));
            let (watermark, seen) = load::<SavedDevice>(source, &device_key(device)).map_or_else(
                || (Watermark::new(), SeenFrames::default()),
                |s| (Watermark::from_saved(s.watermark), s.seen),
            );
            let device = self.operator.restore_device(name.as_deref(), watermark, seen);
            for channel in channels_of(device, source) {
                self.restore_channel(device, channel, source);
            }
        }
    }

    fn restore_channel(&mut self, device: DeviceIndex, channel: ChannelPlace, source: &dyn StateSource) {
        let name: Option<String> = load(source, &channel_name_key(device, channel));
        let Some(saved) = load::<SavedChannel>(source, &channel_key(device, channel)) else {
            self.operator.restore_channel(device, name.as_deref(), Progress::Asleep);
            return;
        };
        self.operator.restore_channel(device, name.as_deref(), saved.progress);
        let rows = StoredRows::restore(source, device, channel, &saved);
        let learned = load(source, &model_key(device, channel));
        let detector = WindowDetector::restore(self.horizon, saved.memory, learned);
        self.judged.insert((device, channel), Judged { detector, rows });
    }

    /// Deletes what earlier settings or versions left behind.
    fn forget_all(&mut self, source: &dyn StateSource) {
        for device in (0..).map(DeviceIndex).take_while(|d| source.state(&device_name_key(*d)).is_some()) {
            for channel in channels_of(device, source) {
                if let Some(saved) = load(source, &channel_key(device, channel)) {
                    StoredRows::forget(&saved, device, channel, &mut self.pending);
                }
                self.pending.insert(channel_name_key(device, channel), None);
                self.pending.insert(channel_key(device, channel), None);
                self.pending.insert(model_key(device, channel), None);
            }
            self.pending.insert(device_name_key(device), None);
            self.pending.insert(device_key(device), None);
        }
    }
}

impl Judged {
    fn new(horizon: Horizon) -> Self {
        Self { detector: WindowDetector::new(horizon), rows: StoredRows::default() }
    }
}

fn channels_of(device: DeviceIndex, source: &dyn StateSource) -> impl Iterator<Item = ChannelPlace> {
    let is_stored = move |c: &ChannelPlace| source.state(&channel_name_key(device, *c)).is_some();
    (0..).map(ChannelPlace).take_while(is_stored)
}

fn window_record(
    device: &str,
    channel: &str,
    (start_at, end_at): (EventTime, EventTime),
    count: u32,
    summary: &Summary,
    verdict: &Verdict,
) -> Window {
    Window {
        id: WindowId::new(device, channel, start_at, FIRST_REVISION).to_string(),
        device: device.to_owned(),
        channel: channel.to_owned(),
        start_at_ms: start_at.as_millis(),
        end_at_ms: end_at.as_millis(),
        revision: FIRST_REVISION,
        count,
        gap_s: summary.gap_s,
        stats: summary.stats,
        status: verdict.status,
        score: verdict.score,
    }
}
