//! One device: its channels, their relation, its silence, and the incidents that all findings become.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use firmware_protocol::derived::{Derived, Incident, Window};
use firmware_protocol::measurement::{EventTime, Measurement};

use super::super::finding::{DetectorName, Finding};
use super::super::incident::{Incidents, Place};
use super::super::rules::{self, Absence, Limits, Rhythm};
use super::super::state::{
    Named, Pending, StateError, StateSource, decode, encode, load, relation_key, relation_names_key, watch_key,
};
use super::super::windows::{ChannelPlace, Closed, Device, DeviceIndex, Slice};
use super::channel::{ChannelJudge, Judged, Whose};
use super::relation::{Related, Relation, SavedRelation};
use super::{Settings, Work};

/// Channels whose limits are remembered: a hello has no more.
const LIMITS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct DeviceJudge {
    index: DeviceIndex,
    channels: BTreeMap<ChannelPlace, ChannelJudge>,
    relation: Relation,
    watch: Watch,
    is_touched: bool,
}

/// What of a device is stored, besides its channels and models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Watch {
    incidents: Incidents,
    rhythm: Rhythm,
    /// By channel's name: what the device promised, and since when.
    limits: BTreeMap<String, (Limits, i64)>,
    relation: SavedRelation,
}

/// Of a stored device: the channels of its relation, in the order of the model, and what is stored besides that.
/// `None` if none was learned.
pub(in crate::detect) fn stored_relation(
    device: DeviceIndex,
    source: &dyn StateSource,
) -> Option<(Vec<ChannelPlace>, Vec<u8>)> {
    source.state(&relation_key(device))?;
    let watch: Watch = load(source, &watch_key(device))?;
    Some((watch.relation.channels().to_vec(), encode(&watch.relation)))
}

/// The memory of a device, with a relation of these channels in the place of its own.
///
/// # Errors
/// What is stored of the relation cannot be used.
pub(in crate::detect) fn import_relation(
    device: DeviceIndex,
    channels: Vec<ChannelPlace>,
    saved: &[u8],
    source: &dyn StateSource,
) -> Result<Vec<u8>, StateError> {
    let relation = decode::<SavedRelation>(saved)?.of(channels).ok_or(StateError::Malformed)?;
    let watch: Watch = load(source, &watch_key(device)).unwrap_or_default();
    Ok(encode(&Watch { relation, ..watch }))
}

impl DeviceJudge {
    pub(super) fn new(index: DeviceIndex) -> Self {
        let watch = Watch::default();
        Self { index, channels: BTreeMap::new(), relation: Relation::default(), watch, is_touched: false }
    }

    pub(super) fn restore(
        index: DeviceIndex,
        channels: &[ChannelPlace],
        settings: &Settings,
        source: &dyn StateSource,
    ) -> Self {
        let watch: Watch = load(source, &watch_key(index)).unwrap_or_default();
        let relation = Relation::restore(index, watch.relation.clone(), source);
        let restored = |place: &ChannelPlace| Some((*place, ChannelJudge::restore(index, *place, settings, source)?));
        Self { index, channels: channels.iter().filter_map(restored).collect(), relation, watch, is_touched: false }
    }

    pub(super) fn save(&mut self, pending: &mut Pending) {
        for channel in self.channels.values_mut() {
            channel.save(pending);
        }
        if std::mem::take(&mut self.is_touched) {
            self.watch.relation.clone_from(&self.relation.saved);
            pending.insert(watch_key(self.index), Some(encode(&self.watch)));
        }
    }

    /// Deletes all that is stored.
    pub(super) fn forget(index: DeviceIndex, channels: &[ChannelPlace], named: &mut Named<'_>) {
        for place in channels {
            ChannelJudge::forget(index, *place, named);
        }
        named.remove(relation_key(index));
        named.remove(relation_names_key(index));
        named.remove(watch_key(index));
    }

    pub(super) fn on_message(&mut self, measurement: &Measurement, received_at: EventTime) {
        self.is_touched = true;
        if self.watch.rhythm.on_message(received_at) {
            self.watch.incidents.on_heard(received_at);
        }
        for (channel, told) in &measurement.limits {
            let name = measurement.channel(*channel);
            let limits = Limits::from(*told);
            let is_known = self.watch.limits.get(name).is_some_and(|(known, _)| *known == limits);
            let has_room = self.watch.limits.len() < LIMITS_MAX || self.watch.limits.contains_key(name);
            if !is_known && has_room {
                self.watch.limits.insert(name.to_owned(), (limits, received_at.0));
            }
        }
    }

    pub(super) fn on_closed(
        &mut self,
        device: &Device,
        closed: &[Closed],
        settings: &Settings,
        named: &mut Named<'_>,
        work: &mut Work,
        models_fitted: &mut u64,
    ) -> Vec<Derived> {
        self.is_touched = true;
        let Some(first) = closed.first() else { return Vec::new() };
        let (window, revision) = (first.window, first.revision);
        let (start, end) = settings.horizon.calendar().span_of(window);
        let (mut records, mut windows, mut anomalies) = (Vec::new(), Vec::new(), Vec::new());
        let mut present = Vec::new();
        for closed in closed {
            let name = device.channels[closed.channel.0 as usize].name.as_str();
            let channel = self
                .channels
                .entry(closed.channel)
                .or_insert_with(|| ChannelJudge::new(self.index, closed.channel, settings));
            let limits = self.watch.limits.get(name).map(|(limits, since)| (*limits, EventTime(*since)));
            let whose = Whose { device: &device.name, channel: name, channels: device.in_order().len() };
            let Judged { window, findings, features, is_adopted, is_learned } =
                channel.judge(whose, closed, limits, settings, named, work);
            *models_fitted += u64::from(is_learned);
            let at = Place { device: &device.name, channel: name, start, end, revision: closed.revision };
            anomalies.extend(self.watch.incidents.on_window(at, &findings, judged(closed), settings.joining));
            if is_adopted {
                self.watch.incidents.on_adopted(at, DetectorName::Window, channel.model());
            }
            present.push((closed.channel, features));
            windows.push((closed.channel, window));
        }
        let Self { relation, channels, watch, .. } = self;
        let related = if revision == 0 {
            relation.observe(device, window, &present, channels, settings, named)
        } else {
            relation.revise(device, window, &present, channels, settings, named)
        };
        // What could not be judged again stands as it was.
        if let Some(Related { finding, scores }) = related {
            let at = Place { device: &device.name, channel: "", start, end, revision };
            let findings: Vec<Finding> = finding.into_iter().collect();
            anomalies.extend(watch.incidents.on_window(at, &findings, &[DetectorName::Maha], settings.joining));
            raise(&mut windows, &scores);
        }
        records.extend(windows.into_iter().map(|(_, window)| Derived::Window(window)));
        records.extend(anomalies.into_iter().map(Derived::Anomaly));
        records.extend(self.settle(device, settings));
        records
    }

    pub(super) fn on_slice(
        &mut self,
        device: &Device,
        slice: &Slice,
        settings: &Settings,
        work: &mut Work,
    ) -> Vec<Derived> {
        let name = device.channels[slice.channel.0 as usize].name.as_str();
        let Some(channel) = self.channels.get_mut(&slice.channel) else { return Vec::new() };
        let Some(finding) = channel.judge_slice(name, device.in_order().len(), slice, work) else { return Vec::new() };
        self.is_touched = true;
        let (start, end) = settings.horizon.calendar().span_of(slice.window);
        let at = Place { device: &device.name, channel: name, start, end, revision: 0 };
        let anomalies = self.watch.incidents.on_early(at, &[finding], settings.joining);
        let mut records: Vec<Derived> = anomalies.into_iter().map(Derived::Anomaly).collect();
        records.extend(self.settle(device, settings));
        records
    }

    /// When its silence becomes one that is told; `None` if none will.
    pub(super) fn silence_due_at(&self, absence: Absence, settings: &Settings) -> Option<EventTime> {
        self.watch.rhythm.due_at(absence, settings.silence_ns, self.interval_ns())
    }

    /// The shortest one that a channel promises; 0 if none does.
    fn interval_ns(&self) -> i64 {
        let intervals = self.watch.limits.values().map(|(limits, _)| limits.interval_ns()).filter(|ns| *ns > 0);
        intervals.min().unwrap_or_default()
    }

    pub(super) fn on_idle(
        &mut self,
        device: &Device,
        now: EventTime,
        absence: Absence,
        settings: &Settings,
    ) -> Vec<Derived> {
        let silent = self.watch.rhythm.check(now, absence, settings.silence_ns, self.interval_ns());
        let Some((since, found_at)) = silent else { return Vec::new() };
        self.is_touched = true;
        let at = Place { device: &device.name, channel: "", start: since, end: found_at, revision: 0 };
        let anomaly = self.watch.incidents.on_silent(at, &rules::silence_finding(since, found_at), settings.joining);
        let mut records = vec![Derived::Anomaly(anomaly)];
        records.extend(self.settle(device, settings));
        records
    }

    /// Incidents that were told of and are still known.
    pub(super) fn incidents(&self, device: &str) -> impl Iterator<Item = Incident> {
        self.watch.incidents.told(device)
    }

    fn settle(&mut self, device: &Device, settings: &Settings) -> impl Iterator<Item = Derived> + use<> {
        self.watch.incidents.settle(&device.name, settings.joining).into_iter().map(Derived::Incident)
    }
}

/// A window's score is the highest of all detectors, that of the relation included.
fn raise(windows: &mut [(ChannelPlace, Window)], scores: &[(ChannelPlace, f64)]) {
    for (place, window) in windows {
        if let Some((_, decades)) = scores.iter().find(|(of, _)| of == place) {
            window.score = Some(window.score.map_or(*decades, |score| score.max(*decades)));
        }
    }
}

/// Detectors that have looked at a window: NOVEL learns each value once, so that it does not look at revisions.
fn judged(closed: &Closed) -> &'static [DetectorName] {
    if closed.revision == 0 {
        &[DetectorName::Window, DetectorName::Novel, DetectorName::Rule]
    } else {
        &[DetectorName::Window, DetectorName::Rule]
    }
}
