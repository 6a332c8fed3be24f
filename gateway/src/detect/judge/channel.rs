//! One channel: its detectors, and what they find in a window.
//!
//! # Invariants
//! - WINDOW judges every window, and so do the rules of a channel that promised something. NOVEL judges those of a channel with too few samples for shape, see `sparse`.
//! - Rows of the past lie in the store.

use serde::{Deserialize, Serialize};
use tracing::info;

use firmware_protocol::derived::{Status, Window};
use firmware_protocol::measurement::EventTime;

use super::super::WindowId;
use super::super::calendar::WindowIndex;
use super::super::detector::{Detector, Memory, Verdict, WindowDetector};
use super::super::features::peak::{Side, peak};
use super::super::features::slice::extremes;
use super::super::features::{Feature, Features, Form, Nature, Sample, Second, Series, Summary, summarise};
use super::super::finding::{DetectorName, Finding, ModelId};
use super::super::history::{History, Row};
use super::super::past::{ChunkName, ChunkRange};
use super::super::rows::{Chunks, RowsOf, StoredRows};
use super::super::rules::{self, Limits, Part, Seen};
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

/// What a stored channel tells of itself.
pub(in crate::detect) struct Told {
    /// Windows that it has still to learn.
    pub(in crate::detect) to_learn: u32,
    /// `None` while it is not decided.
    pub(in crate::detect) nature: Option<Nature>,
    /// Its windows have too few readings for their shape: NOVEL judges it.
    pub(in crate::detect) is_sparse: bool,
}

/// `None` if nothing usable is stored.
pub(in crate::detect) fn told(device: DeviceIndex, place: ChannelPlace, source: &dyn StateSource) -> Option<Told> {
    let saved: SavedChannelJudge = load(source, &judge_key(device, place))?;
    let SavedChannelJudge { memory, sparse_windows, naturalist, .. } = saved;
    let is_sparse = Sparse { windows: sparse_windows, novel: None }.is_sparse();
    Some(Told { to_learn: memory.to_learn(), nature: naturalist.decided(), is_sparse })
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

    /// What was seen of a window that closed before.
    pub(super) fn seen(&mut self, window: WindowIndex, settings: &Settings, named: &mut Named<'_>) -> Option<Features> {
        self.rows(settings, named).row_of(window).map(|row| row.features())
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
        let novel = if is_first {
            self.observe_level(whose.channel, readings, &summary, closed.window, settings)
        } else {
            self.sparse.first_verdict(closed.window).map(|decades| (decades, None))
        };
        if novel.is_some() && closed.count() <= LONE_READINGS_MAX {
            // A few readings have no level that the day before could tell: NOVEL alone judges it.
            verdict.leave_level();
        }
        findings.extend(self.window_finding(whose.channel, &verdict, series, span));
        if let Some((_, Some(finding))) = &novel {
            findings.push(finding.clone());
        }
        let mut rules = None;
        if let Some((limits, since)) = limits {
            let finding = rule_finding(whose.channel, limits, since, closed.count(), &summary, series, span);
            rules = Some(finding.as_ref().map_or(rules::KEPT, |finding| finding.score));
            findings.extend(finding);
        }
        let window = window_record(
            (whose.device, whose.channel),
            span,
            closed,
            &summary,
            &verdict,
            Others { novel: novel.map(|(decades, _)| decades), rules },
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
        window: WindowIndex,
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
        let span = settings.horizon.calendar().span_of(window);
        self.sparse.observe(&Level { channel, window, value, readings, span, channels }, settings)
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

/// Scores of the detectors besides WINDOW, decades above their thresholds.
struct Others {
    novel: Option<f64>,
    rules: Option<f64>,
}

fn window_record(
    (device, channel): (&str, &str),
    (start_at, end_at): (EventTime, EventTime),
    closed: &Closed,
    summary: &Summary,
    verdict: &Verdict,
    Others { novel, rules }: Others,
    findings: &[Finding],
) -> Window {
    // What NOVEL found stands through revisions.
    let is_anomalous = !findings.is_empty() || novel.is_some_and(|decades| decades >= 0.0);
    let status = match (is_anomalous, verdict.score.or(novel)) {
        (true, _) => Status::Anomalous,
        (false, Some(_)) => Status::Normal,
        (false, None) => verdict.status,
    };
    let score = [verdict.score, novel, rules].into_iter().flatten().reduce(f64::max);
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
