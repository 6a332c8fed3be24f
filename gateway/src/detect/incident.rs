//! Findings of one device, joined: what belongs together in time is one incident, and a person is told of it once.
//!
//! # Invariants
//! - All follows from the findings and the order of windows: not from when anybody looked, nor from any clock.
//! - A finding joins the incident that lies next to it, with no more than [`Joining`]'s gap between, or that had the same
//!   kind of finding on the same channel within a day; else it opens one. So a change that shows by day only, or each time
//!   a tank is full, is told once.
//!   Two incidents of a device never have the same `opened_at`, which names them.
//! - One record with revision 0 for each incident: that is the alert. What matters later (severity, channels, state)
//!   makes the next revision; what does not, none.
//! - An adopted incident is told of once more, as adopted, and never again.
//! - What a window found replaces what was found in it before: its channel's findings that are not there any more are
//!   withdrawn. That holds for as long as late readings may revise the window; then findings are only summed up.
//! - Memory is bounded: between records [`KEPT_MAX`] incidents with [`kept::MEMBERS_MAX`] findings and [`kept::CHANNELS_MAX`] channels each.
//!
//! # Flow
//! ```text
//! (on_early | on_window | on_silent | on_heard | on_adopted)* ─▶ Anomaly records
//! settle, once all windows that one record closes are in ─▶ Incident records
//! ```
//!
//! # Not here
//! What is odd: detectors and rules say that. Which windows are closed again: the operator says that.

mod kept;
#[cfg(test)]
mod tests;
mod title;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use firmware_protocol::derived::{Anomaly, AnomalyState, ChannelShare, Incident};
use firmware_protocol::measurement::EventTime;

use self::kept::{Kept, Member, Stage};
use super::WindowId;
use super::finding::{DetectorName, Finding, ModelId};

/// Incidents of a device that later windows may still join or amend; the oldest that is over is given up first.
const KEPT_MAX: usize = 8;
/// Quiet windows, or quiet time if that is longer, that do not yet part two findings.
const GAP_WINDOWS: u32 = 6;
const GAP_MIN: Duration = Duration::from_secs(3_600);

/// Spans that follow from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Joining {
    gap_ns: i64,
    /// How long after its end a window may be revised.
    lateness_ns: i64,
}

impl Joining {
    pub(super) fn new(window: Duration, allowed_lateness: Duration) -> Self {
        let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self { gap_ns: nanos((window * GAP_WINDOWS).max(GAP_MIN)), lateness_ns: nanos(allowed_lateness) }
    }
}

/// Which window findings are about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place<'a> {
    pub(super) device: &'a str,
    /// Empty for the device as a whole.
    pub(super) channel: &'a str,
    pub(super) start: EventTime,
    pub(super) end: EventTime,
    pub(super) revision: u32,
}

/// The incidents of one device; small, saved with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Incidents {
    /// End of the newest closed window, nanoseconds; all before it is known.
    reached_ns: i64,
    /// In the order in which they were opened.
    kept: Vec<Kept>,
}

impl Incidents {
    /// A window was closed, or closed again, with these findings of the detectors `judged` that have looked at this channel
    /// (or, with an empty channel, at the device). Call it for windows without findings, too: they end incidents and withdraw.
    /// Returns the anomalies, confirmed and withdrawn.
    pub(super) fn on_window(
        &mut self,
        at: Place<'_>,
        findings: &[Finding],
        judged: &[DetectorName],
        joining: Joining,
    ) -> Vec<Anomaly> {
        self.reached_ns = self.reached_ns.max(at.end.0);
        let mut anomalies: Vec<Anomaly> = Vec::new();
        for kept in &mut self.kept {
            let gone = |member: &Member| {
                judged.contains(&member.detector) && findings.iter().all(|f| f.detector != member.detector)
            };
            let id = kept.id(at.device);
            for member in kept.take_back(at.channel, at.start, gone) {
                anomalies.push(member.withdrawn(at, &id));
            }
        }
        for finding in findings {
            let kept = self.join(at, finding, Stage::Closed, joining);
            anomalies.push(anomaly(at, finding, AnomalyState::Confirmed, &kept.id(at.device)));
        }
        anomalies
    }

    /// Part of a window that is still open has these findings. What an earlier part had is kept, if it is not less.
    pub(super) fn on_early(&mut self, at: Place<'_>, findings: &[Finding], joining: Joining) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        for finding in findings {
            let known = self.kept.iter().filter_map(|k| k.score_of(at.channel, at.start, finding.detector)).next();
            if known.is_none_or(|score| finding.score > score) {
                let kept = self.join(at, finding, Stage::Early, joining);
                anomalies.push(anomaly(at, finding, AnomalyState::Early, &kept.id(at.device)));
            }
        }
        anomalies
    }

    /// Nothing came from the device since `at.start`; `at.end` is when that was found. Goes on until [`Self::on_heard`].
    pub(super) fn on_silent(&mut self, at: Place<'_>, finding: &Finding, joining: Joining) -> Anomaly {
        let kept = self.join(at, finding, Stage::Silence, joining);
        kept.is_silent = true;
        anomaly(at, finding, AnomalyState::Confirmed, &kept.id(at.device))
    }

    /// The silence is over, with a reading of this time.
    pub(super) fn on_heard(&mut self, at: EventTime) {
        for kept in self.kept.iter_mut().filter(|k| k.is_silent) {
            kept.is_silent = false;
            kept.extend_silence(at);
        }
    }

    /// A detector has learned the channel's deviation as the new normal, in this window.
    pub(super) fn on_adopted(&mut self, at: Place<'_>, detector: DetectorName, model: ModelId) {
        match self.kept.iter_mut().rev().find(|k| k.has_channel(at.channel)) {
            Some(kept) => kept.is_adopted = true,
            // Its incident was given up for others since: the notice is due all the same.
            None => {
                let finding = regime(at, detector, model);
                self.open(at, &finding, Stage::Notice).is_adopted = true;
            }
        }
    }

    /// The records of all incidents that have changed in what matters.
    pub(super) fn settle(&mut self, device: &str, joining: Joining) -> Vec<Incident> {
        let reached = EventTime(self.reached_ns);
        let settled_until = EventTime(self.reached_ns.saturating_sub(joining.lateness_ns));
        let mut records = Vec::new();
        for kept in &mut self.kept {
            records.extend(kept.tell(device, reached, joining.gap_ns));
            kept.sum_up(settled_until);
        }
        // What was opened and withdrawn at once was never told of.
        self.kept.retain(|k| k.was_told() || k.has_findings());
        while self.kept.len() > KEPT_MAX {
            let over = self.kept.iter().position(|k| !k.is_open(reached, joining.gap_ns));
            let mut oldest = self.kept.remove(over.unwrap_or(0));
            if over.is_none() {
                records.extend(oldest.tell_closed(device));
            }
        }
        records
    }

    /// Those that were told of, as they were last, in the order in which they were opened.
    pub(super) fn told(&self, device: &str) -> impl Iterator<Item = Incident> {
        self.kept.iter().filter_map(move |kept| kept.told(device))
    }

    fn join(&mut self, at: Place<'_>, finding: &Finding, stage: Stage, joining: Joining) -> &mut Kept {
        let near = |k: &Kept| k.takes(at, finding, stage, joining.gap_ns);
        // The newest first: an old one takes only what revisions find next to it.
        match self.kept.iter().rposition(near) {
            Some(i) => {
                self.kept[i].add(at, finding, stage);
                &mut self.kept[i]
            }
            None => self.open(at, finding, stage),
        }
    }

    fn open(&mut self, at: Place<'_>, finding: &Finding, stage: Stage) -> &mut Kept {
        let mut opened_at = at.start;
        while self.kept.iter().any(|k| k.opened_at() == opened_at) {
            // Next to an adopted one that does not take it.
            opened_at = EventTime(opened_at.0 + 1_000_000);
        }
        let place = self.kept.partition_point(|k| k.opened_at() < opened_at);
        let mut kept = Kept::new(opened_at);
        kept.add(at, finding, stage);
        self.kept.insert(place, kept);
        &mut self.kept[place]
    }
}

fn regime(at: Place<'_>, detector: DetectorName, model: ModelId) -> Finding {
    Finding {
        detector,
        kind: "regime",
        feature: "",
        value: f64::NAN,
        expected_low: f64::NAN,
        expected_high: f64::NAN,
        share: 1.0,
        score: 0.0,
        model,
        peak: None,
        channels: Vec::new(),
        summary: format!("{}: what was unusual has come to stay, and counts as normal now", at.channel),
    }
}

fn anomaly(at: Place<'_>, finding: &Finding, state: AnomalyState, incident: &WindowId) -> Anomaly {
    Anomaly {
        id: WindowId::new(at.device, at.channel, at.start, at.revision).to_string(),
        device: at.device.to_owned(),
        channel: at.channel.to_owned(),
        start_at_ms: at.start.as_millis(),
        end_at_ms: at.end.as_millis(),
        revision: at.revision,
        state,
        incident: incident.to_string(),
        score: finding.score,
        detector: finding.detector.text().to_owned(),
        model: finding.model.to_string(),
        kind: finding.kind.to_owned(),
        feature: finding.feature.to_owned(),
        value: finding.value,
        expected_low: finding.expected_low,
        expected_high: finding.expected_high,
        share: Some(finding.share),
        peak_from_ms: finding.peak.map(|(from, _)| from.as_millis()),
        peak_to_ms: finding.peak.map(|(_, to)| to.as_millis()),
        channels: finding.channels.iter().map(|(c, share)| share_of(c, *share)).collect(),
        summary: finding.summary.clone(),
    }
}

fn share_of(channel: &str, share: f64) -> ChannelShare {
    ChannelShare { channel: channel.to_owned(), share }
}
