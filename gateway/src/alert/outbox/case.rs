//! One incident, as messages need it, and what was told of it in which channel.

use std::collections::BTreeMap;
use std::time::Duration;

use firmware_protocol::derived::{Incident, IncidentState, Severity};
use firmware_protocol::measurement::EventTime;
use serde::{Deserialize, Serialize};

use super::lane::Lane;
use crate::alert::settings::Rules;
use crate::text;

/// Longest text that is kept, bytes: device names may be as long as topics.
const TEXT_MAX_BYTES: usize = 512;
/// Channels that a message names.
const CHANNELS_MAX: usize = 8;

/// Of what a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::alert) enum Kind {
    Opened,
    /// Over, after it was told as opened.
    Resolved,
    /// Over before it could be told as opened: the one message that there is.
    Over,
    Adopted,
    /// A false alarm.
    Withdrawn,
}

impl Kind {
    pub(in crate::alert) fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Resolved => "resolved",
            Self::Over => "over",
            Self::Adopted => "adopted",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What a channel knows of an incident; nothing of one that is not in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    Opened,
    /// All that there is to tell.
    Over,
}

/// The newest record of an incident, cut to bounds. Fields are as in [`Incident`] and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::alert) struct Subject {
    pub(in crate::alert) id: String,
    pub(in crate::alert) device: String,
    pub(in crate::alert) state: IncidentState,
    pub(in crate::alert) severity: Severity,
    pub(in crate::alert) title: String,
    pub(in crate::alert) start_at_ms: i64,
    pub(in crate::alert) peak_at_ms: i64,
    pub(in crate::alert) end_at_ms: i64,
    pub(in crate::alert) score: f64,
    pub(in crate::alert) windows: u32,
    pub(in crate::alert) channels: Vec<String>,
    pub(in crate::alert) channel: String,
    pub(in crate::alert) detector: String,
    pub(in crate::alert) kind: String,
    pub(in crate::alert) feature: String,
    pub(in crate::alert) value: f64,
    pub(in crate::alert) expected_low: f64,
    pub(in crate::alert) expected_high: f64,
    pub(in crate::alert) summary: String,
}

impl Subject {
    pub(in crate::alert) fn of(incident: &Incident) -> Self {
        let evidence = &incident.evidence;
        Self {
            id: cut(&incident.id),
            device: cut(&incident.device),
            state: incident.state,
            severity: incident.severity,
            title: cut(&incident.title),
            start_at_ms: incident.start_at_ms,
            peak_at_ms: incident.peak_at_ms,
            end_at_ms: incident.end_at_ms,
            score: incident.score,
            windows: incident.windows,
            channels: incident.channels.iter().take(CHANNELS_MAX).map(|share| cut(&share.channel)).collect(),
            channel: cut(&evidence.channel),
            detector: cut(&evidence.detector),
            kind: cut(&evidence.kind),
            feature: cut(&evidence.feature),
            value: evidence.value,
            expected_low: evidence.expected_low,
            expected_high: evidence.expected_high,
            summary: cut(&evidence.summary),
        }
    }

    /// From its first anomalous window to the end of its last.
    pub(in crate::alert) fn lasted(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.end_at_ms.saturating_sub(self.start_at_ms)).unwrap_or(0))
    }
}

fn cut(text: &str) -> String {
    text::cut(text, TEXT_MAX_BYTES).to_owned()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Case {
    /// `None` once it is over and told everywhere.
    pub(super) subject: Option<Subject>,
    pub(super) opened_at_ms: i64,
    pub(super) state: IncidentState,
    /// When this gateway first read of it, by its wall clock.
    heard_at_ms: i64,
    /// Sequence of its newest record.
    pub(super) last: u64,
    /// By the channel's name.
    pub(super) told: BTreeMap<String, Told>,
}

impl Case {
    pub(super) fn new(seq: u64, incident: &Incident, now: EventTime) -> Self {
        Self {
            subject: Some(Subject::of(incident)),
            opened_at_ms: incident.opened_at_ms,
            state: incident.state,
            heard_at_ms: now.as_millis(),
            last: seq,
            told: BTreeMap::new(),
        }
    }

    pub(super) fn update(&mut self, seq: u64, incident: &Incident) {
        self.subject = Some(Subject::of(incident));
        self.state = incident.state;
        self.last = seq;
    }

    /// What this channel is still to be told of it, now or later.
    pub(super) fn wanted(&self, lane: &Lane) -> Option<Kind> {
        let subject = self.subject.as_ref()?;
        match (self.told.get(&lane.name), self.state) {
            (None, IncidentState::Open) => Some(Kind::Opened),
            // Taken back before anybody heard of it.
            (None, IncidentState::Withdrawn) => None,
            // Over before the channel was there.
            (None, _) if self.last < lane.since => None,
            (None, IncidentState::Closed) => Some(Kind::Over),
            (None | Some(Told::Opened), IncidentState::Adopted) => Some(Kind::Adopted),
            (Some(Told::Opened), IncidentState::Open) => None,
            (Some(Told::Opened), IncidentState::Closed) => Some(Kind::Resolved),
            (Some(Told::Opened), IncidentState::Withdrawn) => Some(Kind::Withdrawn),
            (Some(Told::Over), _) => None,
        }
        .filter(|_| self.told.contains_key(&lane.name) || lane.rules.take(subject.severity, &subject.device))
    }

    /// Whether the channel needs its subject, be it for a message that is going out.
    pub(super) fn concerns(&self, lane: &Lane) -> bool {
        self.wanted(lane).is_some() || self.subject.as_ref().is_some_and(|subject| lane.is_about(&subject.id))
    }

    /// Whether it has waited long enough: what is over, or was told before, waits no more.
    pub(super) fn is_due(&self, rules: &Rules, now: EventTime) -> bool {
        let waited_ms = now.as_millis().saturating_sub(self.heard_at_ms);
        // A wall clock that was set back must not hold it for ever.
        let has_waited = u64::try_from(waited_ms).map_or(true, |waited| u128::from(waited) >= rules.after.as_millis());
        self.state != IncidentState::Open || has_waited
    }

    pub(super) fn is_loud(&self, rules: &Rules) -> bool {
        self.subject.as_ref().is_some_and(|subject| subject.severity >= rules.quiet.loud)
    }
}
