//! One channel: its detectors, and what they find in a window.
//!
//! # Invariants
//! - WINDOW judges every window. NOVEL judges those of a channel with too few samples for shape, see `sparse`.
//! - Rows of the past lie in the store.

use serde::{Deserialize, Serialize};
use tracing::info;

use firmware_protocol::derived::{Status, Window};
use firmware_protocol::measurement::EventTime;

use super::super::WindowId;
use super::super::detector::{Detector, Memory, Verdict, WindowDetector};
use super::super::features::peak::{Side, peak};
use super::super::features::slice::extremes;
use super::super::features::{Feature, Features, Form, Nature, Sample, Second, Series, Summary, summarise};
use super::super::finding::{DetectorName, Finding, ModelId};
use super::super::history::{History, Row};
use super::super::past::{ChunkName, ChunkRange};
use super::super::rows::{Chunks, RowsOf, StoredRows};
use super::super::rules::{Limits, Part, Seen};
use super::super::state::{Named, Pending, StateSource, encode, judge_key, load, model_key, novel_key};
use super::super::windows::{ChannelPlace, Closed, DeviceIndex, Slice};
use super::nature::Naturalist;
use super::sparse::{LONE_READINGS_MAX, Level, Sparse};
use super::{Settings, Work};

#[derive(Debug)]
pub(super) struct ChannelJudge {
    pub(super) place: ChannelPlace,
    device: DeviceIndex,
    detector: WindowDetector,
    chunks: Chunks,
    sparse: Sparse,
    naturalist: Naturalist,
    form: Form,
    model: ModelId,
    is_touched: bool,
}

/// What of a channel is stored with each window, besides its rows.
#[derive(Debug, Serialize, Deserialize)]
struct SavedChannelJudge {
    memory: Memory,
    rows: StoredRows,
    sparse_windows: u8,
    naturalist: Naturalist,
    #[serde(deserialize_with = "crate::detect::appended::or_default")]
    form: Form,
}

/// Windows that a stored channel has still to learn; `None` if nothing usable is stored.
pub(in crate::detect) fn windows_to_learn(
    device: DeviceIndex,
    place: ChannelPlace,
    source: &dyn StateSource,
) -> Option<u32> {
    load(source, &judge_key(device, place)).map(|saved: SavedChannelJudge| saved.memory.to_learn())
}

/// Where the rows of a stored channel are; `None` if nothing usable is stored.
fn stored_chunks(device: DeviceIndex, place: ChannelPlace, source: &dyn StateSource) -> Option<Chunks> {
    let saved: SavedChannelJudge = load(source, &judge_key(device, place))?;
    Some(Chunks::restore(saved.rows, device, place, source))
}

/// The rows of a stored channel as they are stored, those of the past as well, by their keys in named state.
pub(in crate::detect) fn stored_rows(
    device: DeviceIndex,
    place: ChannelPlace,
    source: &dyn StateSource,
) -> Vec<(String, Vec<u8>)> {
    let Some(chunks) = stored_chunks(device, place, source) else { return Vec::new() };
    let stored = |(name, key): (ChunkName, String)| chunks.stored(name, &key, source).map(|bytes| (key, bytes));
    chunks.keys(device, place).filter_map(stored).collect()
}

/// All that may lie in the past of a stored channel.
pub(in crate::detect) fn stored_past(
    device: DeviceIndex,
    place: ChannelPlace,
    source: &dyn StateSource,
) -> Option<ChunkRange> {
    stored_chunks(device, place, source).map(|chunks| chunks.in_the_past(device, place))
}

/// Of whom a window is.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) device: &'a str,
    pub(super) channel: &'a str,
    /// Channels of the device, which share its false alarms.
    pub(super) channels: usize,
}

/// What came of one window.
pub(super) struct Judged {
    pub(super) window: Window,
    pub(super) findings: Vec<Finding>,
    pub(super) features: Features,
    /// The detector has learned what was unusual as the new normal.
    pub(super) is_adopted: bool,
    pub(super) is_learned: bool,
}

impl ChannelJudge {
    pub(super) fn new(device: DeviceIndex, place: ChannelPlace, settings: &Settings) -> Self {
        Self {
            place,
            device,
            detector: WindowDetector::new(settings.horizon),
            chunks: Chunks::default(),
            sparse: Sparse::default(),
            naturalist: Naturalist::default(),
            form: Form::default(),
            model: ModelId::NONE,
            is_touched: false,
        }
    }

    /// `None` if nothing usable is stored.
    pub(super) fn restore(
        device: DeviceIndex,
        place: ChannelPlace,
        settings: &Settings,
        source: &dyn StateSource,
    ) -> Option<Self> {
        let saved: SavedChannelJudge = load(source, &judge_key(device, place))?;
        let learned = load(source, &model_key(device, place));
        let model = learned.as_ref().map_or(ModelId::NONE, |learned| ModelId::of(&encode(learned)));
        let detector = WindowDetector::restore(settings.horizon, saved.memory, learned);
        let novel = load(source, &novel_key(device, place)).map(Box::new);
        let SavedChannelJudge { rows, sparse_windows, naturalist, form, .. } = saved;
        let sparse = Sparse { windows: sparse_windows, novel };
        let chunks = Chunks::restore(rows, device, place, source);
        Some(Self { place, device, detector, chunks, sparse, naturalist, form, model, is_touched: false })
    }

    pub(super) fn model(&self) -> ModelId {
        self.model
    }

    pub(super) fn save(&mut self, pending: &mut Pending) {
        if !std::mem::take(&mut self.is_touched) {
            return;
        }
        self.chunks.save(self.device, self.place, pending);
        let saved = SavedChannelJudge {
            memory: self.detector.memory.clone(),
            rows: self.chunks.rows,
            sparse_windows: self.sparse.windows,
            naturalist: self.naturalist,
            form: self.form,
        };
        pending.insert(judge_key(self.device, self.place), Some(encode(&saved)));
        if let Some(novel) = &self.sparse.novel {
            pending.insert(novel_key(self.device, self.place), Some(encode(novel.as_ref())));
        }
    }

    /// Deletes all that is stored of the channel.
    pub(super) fn forget(device: DeviceIndex, place: ChannelPlace, named: &mut Named<'_>) {
        if let Some(chunks) = stored_chunks(device, place, named.source) {
            chunks.forget(device, place, named);
        }
        named.remove(judge_key(device, place));
        named.remove(model_key(device, place));
        named.remove(novel_key(device, place));
    }

    /// The rows of the past, for the relation of channels.
    pub(super) fn past(&mut self, settings: &Settings, named: &mut Named<'_>) -> Vec<Row> {
        self.rows(settings, named).rows()
    }

    fn rows<'a, 'b>(&'a mut self, settings: &Settings, named: &'a mut Named<'b>) -> RowsOf<'a, 'b> {
        let (rows_max, revisable_windows) = (settings.horizon.rows(), settings.revisable_windows);
        RowsOf {
            chunks: &mut self.chunks,
            rows_max,
            revisable_windows,
            device: self.device,
            channel: self.place,
            named,
        }
    }

    /// Judges a closed window; `limits` are what the device promised of it.
    pub(super) fn judge(
        &mut self,
        whose: Whose<'_>,
        closed: &Closed,
        limits: Option<(Limits, EventTime)>,
        settings: &Settings,
        named: &mut Named<'_>,
        work: &mut Work,
    ) -> Judged {
        self.is_touched = true;
        let Work { samples, scratch } = work;
        let span = settings.horizon.calendar().span_of(closed.window);
        let series = closed.series(samples);
        let mut summarised = |nature| summarise(series, closed.count(), span, nature, scratch);
        let mut summary = summarised(self.naturalist.nature());
        let is_first = closed.revision == 0;
        let has_other_nature = is_first && self.naturalist.observe(summary.movement);
        if has_other_nature {
            summary = summarised(self.naturalist.nature());
        }
        let is_other = self.takes_form(series.form(), whose) || has_other_nature;

        let mut verdict = {
            let Self { detector, chunks, device, place: channel, .. } = self;
            let (rows_max, revisable_windows) = (settings.horizon.rows(), settings.revisable_windows);
            let history =
                &mut RowsOf { chunks, rows_max, revisable_windows, device: *device, channel: *channel, named };
            if is_other {
                // What was learned was of another figure.
                history.replace(Vec::new());
                *detector = WindowDetector::new(settings.horizon);
                self.sparse = Sparse::default();
            }
            detector.set_channels(whose.channels);
            match closed.revision {
                0 => detector.observe(closed.window, &summary.features, history),
                _ => detector.revise(closed.window, &summary.features, history),
            }
        };
        if verdict.learned || is_other {
            self.keep_model(named);
        }
        let mut findings: Vec<Finding> = Vec::new();
        let readings = (whose.channels, closed.count());
        let novel = if is_first { self.observe_level(whose.channel, readings, &summary, span, settings) } else { None };
        if novel.is_some() && closed.count() <= LONE_READINGS_MAX {
            // A few readings have no level that the day before could tell: NOVEL alone judges it.
            verdict.leave_level();
        }
        findings.extend(self.window_finding(whose.channel, &verdict, series, span));
        if let Some((_, Some(finding))) = &novel {
            findings.push(finding.clone());
        }
        if let Some((limits, since)) = limits {
            findings.extend(rule_finding(whose.channel, limits, since, closed.count(), &summary, series, span));
        }
        let window = window_record(
            (whose.device, whose.channel),
            span,
            closed,
            &summary,
            &verdict,
            novel.map(|(decades, _)| decades),
            &findings,
        );
        let (is_adopted, is_learned) = (verdict.adopted, verdict.learned);
        Judged { window, findings, features: summary.features, is_adopted, is_learned }
    }

    /// Judges part of an open window.
    pub(super) fn judge_slice(
        &mut self,
        channel: &str,
        channels: usize,
        slice: &Slice,
        work: &mut Work,
    ) -> Option<Finding> {
        self.detector.set_channels(channels);
        let (context, own) = slice.series();
        if own.form() != self.form {
            // What was learned is of other figures.
            return None;
        }
        let extremes = extremes(context, own, self.naturalist.nature(), &mut work.scratch);
        let (score, explained) = self.detector.early(slice.window, &extremes)?;
        let span = (slice.from, slice.to);
        let summary = explained.sentence(channel, span);
        Some(Finding {
            detector: DetectorName::Window,
            kind: explained.group.name(),
            feature: explained.feature.name(),
            value: explained.value,
            expected_low: explained.expected_low,
            expected_high: explained.expected_high,
            share: explained.share,
            score,
            model: self.model,
            peak: Some(span),
            channels: Vec::new(),
            summary,
        })
    }

    /// True if windows of another form were learned before.
    fn takes_form(&mut self, form: Form, whose: Whose<'_>) -> bool {
        if form == self.form {
            return false;
        }
        self.form = form;
        let Whose { device, channel, .. } = whose;
        match form {
            Form::Seconds => {
                info!(device, channel, "Channel gives more readings than are kept: its seconds are learned anew.");
            }
            Form::Samples => info!(device, channel, "Channel gives readings that are kept: they are learned anew."),
        }
        true
    }

    fn keep_model(&mut self, named: &mut Named<'_>) {
        let key = model_key(self.device, self.place);
        match &self.detector.learned {
            Some(learned) => {
                let bytes = encode(learned);
                self.model = ModelId::of(&bytes);
                named.put(key, bytes);
            }
            None => {
                self.model = ModelId::NONE;
                named.remove(key);
            }
        }
    }

    fn window_finding(
        &self,
        channel: &str,
        verdict: &Verdict,
        series: Series<'_>,
        span: (EventTime, EventTime),
    ) -> Option<Finding> {
        let explained = verdict.finding.as_ref()?;
        let side = if explained.value < explained.expected_low { Side::Below } else { Side::Above };
        Some(Finding {
            detector: DetectorName::Window,
            kind: explained.group.name(),
            feature: explained.feature.name(),
            value: explained.value,
            expected_low: explained.expected_low,
            expected_high: explained.expected_high,
            share: explained.share,
            score: verdict.score.unwrap_or_default(),
            model: self.model,
            peak: peak(explained.feature, side, series, span, self.naturalist.nature()),
            channels: Vec::new(),
            summary: explained.sentence(channel, span),
        })
    }

    /// The verdict on the level of a sparse channel: decades above the threshold, and what was found.
    fn observe_level(
        &mut self,
        channel: &str,
        (channels, readings): (usize, u32),
        summary: &Summary,
        span: (EventTime, EventTime),
        settings: &Settings,
    ) -> Option<(f64, Option<Finding>)> {
        if summary.features.has_shape() {
            self.sparse.on_dense();
            return None;
        }
        let value = match self.naturalist.nature() {
            Nature::Level => summary.stats.as_ref()?.mean,
            Nature::Counter if summary.features.has_level() => summary.features.get(Feature::Mean),
            Nature::Counter => return None,
        };
        self.sparse.observe(&Level { channel, value, readings, span, channels }, settings.novel)
    }
}

fn rule_finding(
    channel: &str,
    limits: Limits,
    since: EventTime,
    count: u32,
    summary: &Summary,
    series: Series<'_>,
    (start_at, end_at): (EventTime, EventTime),
) -> Option<Finding> {
    let seen = Seen { channel, from: start_at.max(since.min(end_at)), to: end_at, count };
    let extremes = summary.stats.as_ref().map(|s| (s.min, s.max));
    match series {
        Series::Samples(samples) => {
            let part = |s: &Sample| Part { from: s.at, to: s.at, min: s.value, max: s.value, count: 1 };
            limits.check(seen, extremes, samples.iter().map(part))
        }
        Series::Seconds(seconds) => {
            let part = |s: &Second| {
                let (from, to) = (s.at.start(), s.at.end());
                Part { from, to, min: s.min(), max: s.max(), count: s.count }
            };
            limits.check(seen, extremes, seconds.iter().map(part))
        }
    }
}

fn window_record(
    (device, channel): (&str, &str),
    (start_at, end_at): (EventTime, EventTime),
    closed: &Closed,
    summary: &Summary,
    verdict: &Verdict,
    novel: Option<f64>,
    findings: &[Finding],
) -> Window {
    let score = match (verdict.score, novel) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    let status = match (findings.is_empty(), score) {
        (false, _) => Status::Anomalous,
        (true, Some(_)) => Status::Normal,
        (true, None) => verdict.status,
    };
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
        status,
        score,
    }
}
