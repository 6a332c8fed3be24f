//! What is made of closed windows: features, verdicts, records.
//!
//! # Invariants
//! - Windows of a device are judged once all of its channels with the same start are closed, in order of the channels'
//!   names. A revised window is judged again, and nothing is learned from it that was not learned before.
//! - What a channel learns depends on its windows alone.
//!
//! # Not here
//! Which windows there are, and what a transaction holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tracing::{debug, trace};

use firmware_protocol::derived::{Anomaly, AnomalyState, Derived, Window};
use firmware_protocol::measurement::EventTime;

use super::detector::{Detector, Horizon, Memory, Verdict, WindowDetector};
use super::features::{Nature, Sample, Scratch, Series, Summary, summarise};
use super::rows::{RowsOf, StoredRows};
use super::state::{Named, Pending, StateSource, encode, judge_key, load, model_key};
use super::windows::{ChannelPlace, Closed, Device, DeviceIndex, Slice};
use super::{Config, WindowId};

/// The detectors of all channels.
#[derive(Debug)]
pub(super) struct Judge {
    horizon: Horizon,
    channels: BTreeMap<(DeviceIndex, ChannelPlace), Judged>,
    /// Their memory is not stored yet.
    touched: BTreeSet<(DeviceIndex, ChannelPlace)>,
    models_fitted: u64,
    samples: Vec<Sample>,
    scratch: Scratch,
}

/// One channel's side of judging.
#[derive(Debug)]
struct Judged {
    detector: WindowDetector,
    rows: StoredRows,
}

/// What of a channel is stored with each window, besides its rows.
#[derive(Debug, Serialize, Deserialize)]
struct SavedJudged {
    memory: Memory,
    rows: StoredRows,
}

impl Judge {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            horizon: Horizon::new(config),
            channels: BTreeMap::new(),
            touched: BTreeSet::new(),
            models_fitted: 0,
            samples: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Goes on from what was stored of the channel; without it the channel is learned anew.
    pub(super) fn restore(&mut self, device: DeviceIndex, channel: ChannelPlace, source: &dyn StateSource) {
        let Some(SavedJudged { memory, rows }) = load(source, &judge_key(device, channel)) else { return };
        let learned = load(source, &model_key(device, channel));
        let detector = WindowDetector::restore(self.horizon, memory, learned);
        self.channels.insert((device, channel), Judged { detector, rows });
    }

    /// Judges windows of one device and start, in order of the channels' names.
    pub(super) fn on_closed(&mut self, device: &Device, closed: &[Closed], named: &mut Named<'_>) -> Vec<Derived> {
        closed.iter().flat_map(|closed| self.on_channel(device, closed, named)).collect()
    }

    /// Judges part of an open window.
    pub(super) fn on_slice(&mut self, device: &Device, slice: &Slice) -> Vec<Derived> {
        let Slice { channel, window, from, to, samples, context, .. } = slice;
        let channel = &device.channels[channel.0 as usize].name;
        let samples = samples.len() - context;
        trace!(device = device.name, channel, window = window.0, from = from.0, to = to.0, samples, "Slice.");
        Vec::new()
    }

    /// Takes notice that nothing has come from the device since then, by the gateway's clock.
    pub(super) fn on_silent(&mut self, device: &Device, since: EventTime) -> Vec<Derived> {
        debug!(device = device.name, since_ms = since.as_millis(), "Device is silent.");
        Vec::new()
    }

    /// Puts what changed since the last call among the changes of the next transaction.
    pub(super) fn save(&mut self, pending: &mut Pending) {
        for (device, channel) in std::mem::take(&mut self.touched) {
            let Some(judged) = self.channels.get(&(device, channel)) else { continue };
            let saved = SavedJudged { memory: judged.detector.memory.clone(), rows: judged.rows };
            pending.insert(judge_key(device, channel), Some(encode(&saved)));
        }
    }

    /// Models learned since the last call.
    pub(super) fn take_models_fitted(&mut self) -> u64 {
        std::mem::take(&mut self.models_fitted)
    }

    /// Deletes all that is stored of the channel.
    pub(super) fn forget(device: DeviceIndex, channel: ChannelPlace, named: &mut Named<'_>) {
        if let Some(SavedJudged { rows, .. }) = load(named.source, &judge_key(device, channel)) {
            rows.forget(device, channel, named);
        }
        named.remove(judge_key(device, channel));
        named.remove(model_key(device, channel));
    }

    fn on_channel(&mut self, device: &Device, closed: &Closed, named: &mut Named<'_>) -> Vec<Derived> {
        let key = (closed.device, closed.channel);
        self.touched.insert(key);
        let Self { horizon, channels, samples, scratch, .. } = self;
        let judged = channels.entry(key).or_insert_with(|| Judged::new(*horizon));
        let span = horizon.calendar().span_of(closed.window);
        closed.read(samples);
        let summary = summarise(Series::Samples(samples), closed.count(), span, Nature::Level, scratch);
        let mut history = RowsOf {
            rows: &mut judged.rows,
            rows_max: horizon.rows(),
            device: closed.device,
            channel: closed.channel,
            named,
        };
        let features = &summary.features;
        let verdict = match closed.revision {
            0 => judged.detector.observe(closed.window, features, &mut history),
            _ => judged.detector.revise(closed.window, features, &mut history),
        };
        if verdict.learned {
            self.models_fitted += 1;
            match &judged.detector.learned {
                Some(learned) => named.put(model_key(closed.device, closed.channel), encode(learned)),
                None => named.remove(model_key(closed.device, closed.channel)),
            }
        }

        let channel = &device.channels[closed.channel.0 as usize].name;
        let window = window_record(&device.name, channel, span, closed, &summary, &verdict);
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
        [Derived::Window(window)].into_iter().chain(anomaly.map(Derived::Anomaly)).collect()
    }
}

impl Judged {
    fn new(horizon: Horizon) -> Self {
        Self { detector: WindowDetector::new(horizon), rows: StoredRows::default() }
    }
}

fn window_record(
    device: &str,
    channel: &str,
    (start_at, end_at): (EventTime, EventTime),
    closed: &Closed,
    summary: &Summary,
    verdict: &Verdict,
) -> Window {
    Window {
        id: WindowId::new(device, channel, start_at, closed.revision).to_string(),
        device: device.to_owned(),
        channel: channel.to_owned(),
        start_at_ms: start_at.as_millis(),
        end_at_ms: end_at.as_millis(),
        revision: closed.revision,
        count: closed.count(),
        gap_s: summary.gap_s,
        stats: summary.stats,
        status: verdict.status,
        score: verdict.score,
    }
}
