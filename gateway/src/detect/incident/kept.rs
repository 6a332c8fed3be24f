//! One incident: the findings that it is made of, and what follows from them.
//!
//! # Invariants
//! - State, span, severity, channels and evidence are computed from findings, not kept beside them: a finding taken back
//!   leaves no trace.
//! - Findings that can no longer be taken back are summed up in [`Past`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use firmware_protocol::derived::{Anomaly, AnomalyState, ChannelShare, Evidence, Incident, IncidentState, Severity};
use firmware_protocol::measurement::EventTime;

use super::{Place, share_of, title};
use crate::detect::WindowId;
use crate::detect::finding::{DetectorName, Finding, ModelId};

/// Findings that can be taken back, about 200 bytes each: with an hour of lateness eight channels have 60. Beyond it the
/// oldest are summed up.
pub(super) const MEMBERS_MAX: usize = 256;
/// Channels known by name. Those of others count, and are not taken back.
pub(super) const CHANNELS_MAX: usize = 256;
/// Channels and kinds in a record; the sum of the shares of channels left out is what is missing to 1.
pub(super) const LISTED_MAX: usize = 16;
/// One day: the longest that an incident waits for more, and how long the same may come again without being told again.
const PATIENCE_MAX_NS: i64 = 86_400_000_000_000;
/// The least that a finding weighs in the channels' shares, decades: one at the threshold counts, too.
const WEIGHT_MIN: f64 = 0.1;
/// Sets the id apart from those of windows.
const ID_CHANNEL: &str = "\0incident";

/// How a finding came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// In a window that is still open.
    Early,
    /// In a closed window.
    Closed,
    /// The device says nothing: no window takes that back.
    Silence,
    /// An adoption that is told on its own; likewise.
    Notice,
}

/// A finding as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    start_ns: i64,
    end_ns: i64,
    /// Place of the finding's own channel in [`Kept::channels`].
    channel: u16,
    stage: Stage,
    pub(super) detector: DetectorName,
    kind: Cow<'static, str>,
    feature: Cow<'static, str>,
    value: f64,
    expected_low: f64,
    expected_high: f64,
    share: f64,
    score: f64,
    model: ModelId,
    peak_ns: Option<(i64, i64)>,
    /// Of a finding across channels: places in [`Kept::channels`], with shares.
    parts: Vec<(u16, f32)>,
}

/// What is left of findings that were summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Past {
    /// From the start of the first to the end of the last; `None` if there are none.
    span_ns: Option<(i64, i64)>,
    /// Starts of windows, and the last one that is counted.
    windows: u32,
    counted_until_ns: Option<i64>,
    kinds: Vec<Cow<'static, str>>,
    best: Option<Member>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Channel {
    name: String,
    /// Weight of its findings in the past.
    past: f64,
}

/// What was last told of it: the findings of then may have been taken back since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    revision: u32,
    state: IncidentState,
    severity: Severity,
    /// Those that take part, by place.
    channels: Vec<u16>,
    span_ns: (i64, i64),
    best: Member,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    opened_ns: i64,
    pub(super) is_adopted: bool,
    /// The device has been silent since.
    pub(super) is_silent: bool,
    channels: Vec<Channel>,
    /// In the order of their starts.
    members: Vec<Member>,
    past: Past,
    /// What the strongest finding so far said, and which it is.
    summary: String,
    summary_of: (i64, u16, DetectorName),
    told: Option<Told>,
}

impl Member {
    /// The anomaly that takes it back.
    pub(super) fn withdrawn(self, at: Place<'_>, incident: &WindowId) -> Anomaly {
        Anomaly {
            id: WindowId::new(at.device, at.channel, at.start, at.revision).to_string(),
            device: at.device.to_owned(),
            channel: at.channel.to_owned(),
            start_at_ms: at.start.as_millis(),
            end_at_ms: at.end.as_millis(),
            revision: at.revision,
            state: AnomalyState::Withdrawn,
            incident: incident.to_string(),
            score: self.score,
            detector: self.detector.text().to_owned(),
            model: self.model.to_string(),
            summary: title::withdrawn(at.channel, &self.kind),
            kind: self.kind.into_owned(),
            feature: self.feature.into_owned(),
            value: self.value,
            expected_low: self.expected_low,
            expected_high: self.expected_high,
            share: Some(self.share),
            peak_from_ms: self.peak_ns.map(|(from, _)| EventTime(from).as_millis()),
            peak_to_ms: self.peak_ns.map(|(_, to)| EventTime(to).as_millis()),
            channels: Vec::new(),
        }
    }

    fn key(&self) -> (i64, u16, DetectorName) {
        (self.start_ns, self.channel, self.detector)
    }

    /// What each channel has of it, decades.
    fn weights(&self) -> impl Iterator<Item = (u16, f64)> {
        let weight = self.score.max(WEIGHT_MIN);
        let own = self.parts.is_empty().then_some((self.channel, weight));
        own.into_iter().chain(self.parts.iter().map(move |(channel, share)| (*channel, weight * f64::from(*share))))
    }

    /// The channel that it says most about.
    fn main_channel(&self) -> u16 {
        self.parts.first().map_or(self.channel, |(channel, _)| *channel)
    }

    /// Stronger, or as strong and earlier.
    fn beats(&self, other: &Self) -> bool {
        self.score.total_cmp(&other.score).then(other.key().cmp(&self.key())).is_gt()
    }
}

impl Kept {
    pub(super) fn new(opened_at: EventTime) -> Self {
        Self {
            opened_ns: opened_at.0,
            is_adopted: false,
            is_silent: false,
            channels: Vec::new(),
            members: Vec::new(),
            past: Past::default(),
            summary: String::new(),
            summary_of: (0, 0, DetectorName::Rule),
            told: None,
        }
    }

    pub(super) fn opened_at(&self) -> EventTime {
        EventTime(self.opened_ns)
    }

    pub(super) fn id(&self, device: &str) -> WindowId {
        WindowId::new(device, ID_CHANNEL, self.opened_at(), 0)
    }

    pub(super) fn was_told(&self) -> bool {
        self.told.is_some()
    }

    pub(super) fn has_findings(&self) -> bool {
        !self.members.is_empty() || self.past.span_ns.is_some()
    }

    pub(super) fn has_channel(&self, name: &str) -> bool {
        let weights = self.weights();
        self.channels.iter().zip(weights).any(|(channel, weight)| channel.name == name && weight > 0.0)
    }

    /// Whether a finding belongs to it. An adopted one takes only what its own channels go on with.
    pub(super) fn takes(&self, at: Place<'_>, finding: &Finding, stage: Stage, gap_ns: i64) -> bool {
        let (start, end) = self.span_ns();
        let is_again = stage != Stage::Silence && self.has_shown(at.channel, finding.kind);
        let patience_ns = if is_again { PATIENCE_MAX_NS.saturating_add(gap_ns) } else { self.patience_ns(gap_ns) };
        let is_near = at.start.0 <= end.saturating_add(patience_ns) && at.end.0 >= start.saturating_sub(gap_ns);
        let names = finding.channels.iter().map(|(name, _)| name.as_str());
        is_near && (!self.is_adopted || self.has_channel(at.channel) || names.into_iter().any(|n| self.has_channel(n)))
    }

    /// Whether the channel had such a finding; of those that were summed up, kinds and channels are known one by one.
    fn has_shown(&self, channel: &str, kind: &str) -> bool {
        let Some(place) = self.place_of(channel) else { return false };
        let was_summed_up =
            || self.channels[usize::from(place)].past > 0.0 && self.past.kinds.iter().any(|k| k == kind);
        self.members.iter().any(|m| m.channel == place && m.kind == kind) || was_summed_up()
    }

    pub(super) fn score_of(&self, channel: &str, start: EventTime, detector: DetectorName) -> Option<f64> {
        let place = self.place_of(channel)?;
        self.members.iter().find(|m| m.key() == (start.0, place, detector)).map(|m| m.score)
    }

    /// Takes a finding in, in the place of the one that the same detector had there.
    pub(super) fn add(&mut self, at: Place<'_>, finding: &Finding, stage: Stage) {
        let channel = self.place_or_new(at.channel);
        let parts = finding.channels.iter().take(LISTED_MAX);
        let parts = parts.filter_map(|(name, share)| Some((self.place_or_new(name)?, *share as f32))).collect();
        let member = Member {
            start_ns: at.start.0,
            end_ns: at.end.0,
            channel: channel.unwrap_or(u16::MAX),
            stage,
            detector: finding.detector,
            kind: Cow::Borrowed(finding.kind),
            feature: Cow::Borrowed(finding.feature),
            value: finding.value,
            expected_low: finding.expected_low,
            expected_high: finding.expected_high,
            share: finding.share,
            score: finding.score,
            model: finding.model,
            peak_ns: finding.peak.map(|(from, to)| (from.0, to.0)),
            parts,
        };
        self.members.retain(|m| m.key() != member.key());
        if self.best().is_none_or(|best| member.beats(best)) {
            (self.summary, self.summary_of) = (finding.summary.clone(), member.key());
        }
        let place = self.members.partition_point(|m| m.key() <= member.key());
        self.members.insert(place, member);
        while self.members.len() > MEMBERS_MAX {
            self.sum_up_oldest();
        }
    }

    /// Takes out what was found in a window and is `gone`.
    pub(super) fn take_back(&mut self, channel: &str, start: EventTime, gone: impl Fn(&Member) -> bool) -> Vec<Member> {
        let Some(place) = self.place_of(channel) else { return Vec::new() };
        let is_gone = |m: &mut Member| {
            m.start_ns == start.0 && m.channel == place && matches!(m.stage, Stage::Early | Stage::Closed) && gone(m)
        };
        self.members.extract_if(.., is_gone).collect()
    }

    pub(super) fn extend_silence(&mut self, until: EventTime) {
        for member in self.members.iter_mut().filter(|m| m.stage == Stage::Silence) {
            member.end_ns = member.end_ns.max(until.0);
        }
    }

    /// Findings that end before `until` will not be taken back.
    pub(super) fn sum_up(&mut self, until: EventTime) {
        let is_silent = self.is_silent;
        let is_due = |m: &Member| m.end_ns < until.0 && !(is_silent && m.stage == Stage::Silence);
        while self.members.first().is_some_and(is_due) {
            self.sum_up_oldest();
        }
    }

    pub(super) fn is_open(&self, reached: EventTime, gap_ns: i64) -> bool {
        self.state(reached, gap_ns) == IncidentState::Open
    }

    /// The record, if something that matters has changed since the last.
    pub(super) fn tell(&mut self, device: &str, reached: EventTime, gap_ns: i64) -> Option<Incident> {
        self.tell_as(device, self.state(reached, gap_ns))
    }

    /// The newest record of it once more, with what has joined it since; `None` if nobody was told of it.
    pub(super) fn told(&self, device: &str) -> Option<Incident> {
        self.told.as_ref().map(|told| self.record(device, told))
    }

    /// The last record of one that is given up.
    pub(super) fn tell_closed(&mut self, device: &str) -> Option<Incident> {
        self.tell_as(device, IncidentState::Closed)
    }

    fn tell_as(&mut self, device: &str, state: IncidentState) -> Option<Incident> {
        let now = match self.best() {
            Some(best) => Told {
                revision: 0,
                state,
                severity: Severity::of_score(best.score),
                channels: self.taking_part(),
                span_ns: self.span_ns(),
                best: best.clone(),
            },
            // All was taken back: told for the last time as it was.
            None => Told { state, ..self.told.clone()? },
        };
        let revision = match &self.told {
            None => 0,
            Some(told) if told.state == IncidentState::Adopted => return None,
            Some(told) if (told.state, told.severity, &told.channels) == (now.state, now.severity, &now.channels) => {
                return None;
            }
            Some(told) => told.revision.saturating_add(1),
        };
        let told = Told { revision, ..now };
        let record = self.record(device, &told);
        self.told = Some(told);
        Some(record)
    }

    fn record(&self, device: &str, told: &Told) -> Incident {
        let (start_ns, end_ns) = told.span_ns;
        let best = &told.best;
        let channel = self.name_of(best.main_channel());
        let others = told.channels.iter().filter(|c| **c != best.main_channel()).count();
        let span = (EventTime(start_ns), EventTime(end_ns));
        let summary = match best.key() == self.summary_of {
            true => self.summary.clone(),
            false => {
                title::summary(channel, &best.kind, &best.feature, best.value, best.expected_low, best.expected_high)
            }
        };
        Incident {
            id: self.id(device).to_string(),
            device: device.to_owned(),
            revision: told.revision,
            state: told.state,
            severity: told.severity,
            title: title::title(device, &best.kind, channel, others, span, told.state),
            opened_at_ms: self.opened_at().as_millis(),
            start_at_ms: span.0.as_millis(),
            peak_at_ms: EventTime(best.start_ns).as_millis(),
            end_at_ms: span.1.as_millis(),
            score: best.score,
            windows: self.windows(),
            channels: self.shares(),
            kinds: self.kinds(),
            evidence: Evidence {
                channel: channel.to_owned(),
                detector: best.detector.text().to_owned(),
                model: best.model.to_string(),
                kind: best.kind.to_string(),
                feature: best.feature.to_string(),
                value: best.value,
                expected_low: best.expected_low,
                expected_high: best.expected_high,
                share: Some(best.share),
                peak_from_ms: best.peak_ns.map(|(from, _)| EventTime(from).as_millis()),
                peak_to_ms: best.peak_ns.map(|(_, to)| EventTime(to).as_millis()),
                summary,
            },
        }
    }

    fn state(&self, reached: EventTime, gap_ns: i64) -> IncidentState {
        if self.is_adopted {
            IncidentState::Adopted
        } else if !self.has_findings() {
            IncidentState::Withdrawn
        } else if self.is_silent || reached.0 <= self.span_ns().1.saturating_add(self.patience_ns(gap_ns)) {
            IncidentState::Open
        } else {
            IncidentState::Closed
        }
    }

    /// How long it waits for more: the longer it lasted, the longer, up to a day. A machine that works by day shows a
    /// change that came to stay by day only, and it is to be told once. Silence is over when the device is heard.
    fn patience_ns(&self, gap_ns: i64) -> i64 {
        let is_silence = |m: &Member| m.stage == Stage::Silence;
        if self.members.iter().chain(&self.past.best).all(is_silence) {
            return gap_ns;
        }
        let (start, end) = self.span_ns();
        // Time between two that are far apart is none in which it lasted.
        let window_ns = self.best().map_or(0, |best| best.end_ns.saturating_sub(best.start_ns));
        let anomalous_ns = window_ns.saturating_mul(i64::from(self.windows()));
        let lasted_ns = end.saturating_sub(start).min(anomalous_ns);
        lasted_ns.saturating_mul(2).clamp(gap_ns, gap_ns.max(PATIENCE_MAX_NS))
    }

    /// Of all findings; of what was told last if all were taken back.
    fn span_ns(&self) -> (i64, i64) {
        let now = self.members.iter().map(|m| (m.start_ns, m.end_ns)).chain(self.past.span_ns);
        let whole = now.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let opened = (self.opened_ns, self.opened_ns);
        whole.unwrap_or_else(|| self.told.as_ref().map_or(opened, |told| told.span_ns))
    }

    fn best(&self) -> Option<&Member> {
        self.members.iter().chain(&self.past.best).reduce(|best, m| if m.beats(best) { m } else { best })
    }

    /// Anomalous windows: those of several channels that start together are one.
    fn windows(&self) -> u32 {
        let starts = self.members.iter().map(|m| m.start_ns).filter(|start| self.is_new(*start));
        let mut windows = self.past.windows;
        let mut last = None;
        for start in starts {
            windows = windows.saturating_add(u32::from(last != Some(start)));
            last = Some(start);
        }
        windows
    }

    fn is_new(&self, start_ns: i64) -> bool {
        self.past.counted_until_ns.is_none_or(|counted| start_ns > counted)
    }

    fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = Vec::new();
        for kind in self.past.kinds.iter().chain(self.members.iter().map(|m| &m.kind)) {
            if kinds.len() < LISTED_MAX && kinds.iter().all(|k| k != kind) {
                kinds.push(kind.to_string());
            }
        }
        kinds
    }

    /// By place in `channels`.
    fn weights(&self) -> Vec<f64> {
        let mut weights: Vec<f64> = self.channels.iter().map(|c| c.past).collect();
        for member in &self.members {
            for (channel, weight) in member.weights() {
                if let Some(sum) = weights.get_mut(usize::from(channel)) {
                    *sum += weight;
                }
            }
        }
        weights
    }

    /// Named channels with findings.
    fn taking_part(&self) -> Vec<u16> {
        let weights = self.weights();
        let places = self.channels.iter().zip(weights).zip(0..);
        places.filter(|((channel, weight), _)| !channel.name.is_empty() && *weight > 0.0).map(|(_, i)| i).collect()
    }

    fn shares(&self) -> Vec<ChannelShare> {
        let weights = self.weights();
        let mut sum = 0.0;
        for weight in &weights {
            sum += weight;
        }
        let mut shares: Vec<ChannelShare> =
            self.taking_part().into_iter().map(|c| share_of(self.name_of(c), weights[usize::from(c)] / sum)).collect();
        shares.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.channel.cmp(&b.channel)));
        shares.truncate(LISTED_MAX);
        shares
    }

    fn sum_up_oldest(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let member = self.members.remove(0);
        for (channel, weight) in member.weights() {
            if let Some(channel) = self.channels.get_mut(usize::from(channel)) {
                channel.past += weight;
            }
        }
        if self.is_new(member.start_ns) {
            self.past.windows = self.past.windows.saturating_add(1);
            self.past.counted_until_ns = Some(member.start_ns);
        }
        let span = self.past.span_ns.unwrap_or((member.start_ns, member.end_ns));
        self.past.span_ns = Some((span.0.min(member.start_ns), span.1.max(member.end_ns)));
        if self.past.kinds.len() < LISTED_MAX && !self.past.kinds.contains(&member.kind) {
            self.past.kinds.push(member.kind.clone());
        }
        if self.past.best.as_ref().is_none_or(|best| member.beats(best)) {
            self.past.best = Some(member);
        }
    }

    fn name_of(&self, place: u16) -> &str {
        self.channels.get(usize::from(place)).map_or("", |c| &c.name)
    }

    fn place_of(&self, name: &str) -> Option<u16> {
        self.channels.iter().zip(0..).find(|(c, _)| c.name == name).map(|(_, place)| place)
    }

    /// `None` if there are too many.
    fn place_or_new(&mut self, name: &str) -> Option<u16> {
        self.place_of(name).or_else(|| {
            let place = u16::try_from(self.channels.len()).ok().filter(|_| self.channels.len() < CHANNELS_MAX)?;
            self.channels.push(Channel { name: name.to_owned(), past: 0.0 });
            Some(place)
        })
    }
}
