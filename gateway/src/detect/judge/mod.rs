//! What is made of closed windows: features, verdicts of all detectors and rules, incidents, records.
//!
//! # Invariants
//! - Windows of a device are judged once all of its channels with the same start are closed, in order of the channels'
//!   names. A revised window is judged again, and nothing is learned from it that was not learned before: WINDOW, rules
//!   and MAHA amend or withdraw what they found in it; NOVEL, which has moved on, keeps its first verdict.
//! - What a device learns depends on its windows and messages alone.
//! - Records come in one order: windows, the anomalies found in them, the incidents that they belong to.
//!
//! # Flow
//! ```text
//! Closed ─▶ channel (features ─▶ WINDOW, NOVEL, rules) ─┬▶ relation (MAHA) ─▶ incidents ─▶ Derived
//! Slice ──▶ channel (early) ────────────────────────────┘                        ▲
//! message ─▶ rhythm (silence) ────────────────────────────────────────────────────┘
//! ```
//!
//! # Not here
//! Which windows there are, and what a transaction holds.

mod channel;
mod device;
mod nature;
mod relation;
mod sparse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use firmware_protocol::derived::{Derived, Incident};
use firmware_protocol::measurement::{EventTime, Measurement};

use super::Config;
use super::calendar::Calendar;
use super::detector::Horizon;
use super::features::{Sample, Scratch};
use super::incident::Joining;
use super::novel;
use super::rules::Absence;
use super::state::{Named, Pending, StateSource};
use super::windows::{ChannelPlace, Closed, Device, DeviceIndex, Slice};
pub(super) use channel::{stored_past, stored_rows, told};
use device::DeviceJudge;
pub(super) use device::{import_relation, stored_relation};
pub(super) use relation::hash_of_names;

/// All that follows from the configuration.
#[derive(Clone, Debug)]
struct Settings {
    horizon: Horizon,
    joining: Joining,
    novel: novel::Threshold,
    /// Windows of a channel before which NOVEL tells nothing, warm or not.
    novel_after: u64,
    false_alarms_per_month: f64,
    /// Windows of a device before its channels' relation is judged.
    learn_windows: u32,
    /// Late readings may change windows as far back as this.
    revisable_windows: i64,
    /// Least silence that is a finding, nanoseconds.
    silence_ns: i64,
}

/// Buffers that are reused from window to window.
#[derive(Debug, Default)]
struct Work {
    samples: Vec<Sample>,
    scratch: Scratch,
}

/// The allowed lateness, rounded up.
fn revisable_windows(config: &Config) -> i64 {
    let hop_ns = Calendar::hopping(config.window, config.hop).hop_ns().unsigned_abs();
    i64::try_from(config.allowed_lateness.as_nanos().div_ceil(hop_ns.into())).unwrap_or(i64::MAX)
}

/// The detectors of all devices.
#[derive(Debug)]
pub(super) struct Judge {
    settings: Settings,
    devices: BTreeMap<DeviceIndex, DeviceJudge>,
    models_fitted: u64,
    work: Work,
}

impl Judge {
    pub(super) fn new(config: &Config) -> Self {
        let horizon = Horizon::new(config);
        let hop_s = horizon.calendar().hop_s();
        let windows = |span: Duration| span.as_secs_f64() / hop_s;
        let settings = Settings {
            horizon,
            joining: Joining::new(config.window, config.allowed_lateness),
            novel: novel::Threshold::new(config.false_alarms_per_month),
            novel_after: windows(config.novel_after) as u64,
            false_alarms_per_month: config.false_alarms_per_month,
            learn_windows: windows(config.learn) as u32,
            revisable_windows: revisable_windows(config),
            silence_ns: i64::try_from(config.idle_timeout.as_nanos()).unwrap_or(i64::MAX),
        };
        Self { settings, devices: BTreeMap::new(), models_fitted: 0, work: Work::default() }
    }

    /// Goes on from what was stored of the device and its channels; what is missing is learned anew.
    pub(super) fn restore(&mut self, device: DeviceIndex, channels: &[ChannelPlace], source: &dyn StateSource) {
        self.devices.insert(device, DeviceJudge::restore(device, channels, &self.settings, source));
    }

    /// Takes notice of a message of the device, and of what it tells of its channels.
    pub(super) fn on_message(
        &mut self,
        device: &Device,
        measurement: &Measurement,
        received_at: EventTime,
        absence: Absence,
    ) -> Vec<Derived> {
        let judge = self.devices.entry(device.index()).or_insert_with(|| DeviceJudge::new(device.index()));
        let silence = judge.on_idle(device, received_at, absence, &self.settings);
        judge.on_message(measurement, received_at);
        silence
    }

    /// Judges windows of one device and start, in order of the channels' names.
    pub(super) fn on_closed(&mut self, device: &Device, closed: &[Closed], named: &mut Named<'_>) -> Vec<Derived> {
        let Self { settings, devices, models_fitted, work } = self;
        let judge = devices.entry(device.index()).or_insert_with(|| DeviceJudge::new(device.index()));
        judge.on_closed(device, closed, settings, named, work, models_fitted)
    }

    /// Judges part of an open window.
    pub(super) fn on_slice(&mut self, device: &Device, slice: &Slice) -> Vec<Derived> {
        let Self { settings, devices, work, .. } = self;
        let Some(judge) = devices.get_mut(&device.index()) else { return Vec::new() };
        judge.on_slice(device, slice, settings, work)
    }

    /// Looks whether the device has been silent for too long by `now`, the gateway's clock. A gateway that has listened
    /// who was away takes nothing then for silence.
    pub(super) fn on_idle(&mut self, device: &Device, now: EventTime, absence: Absence) -> Vec<Derived> {
        let Some(judge) = self.devices.get_mut(&device.index()) else { return Vec::new() };
        judge.on_idle(device, now, absence, &self.settings)
    }

    /// When the device's silence becomes a finding, unless something comes.
    pub(super) fn silence_due_at(&self, device: DeviceIndex, absence: Absence) -> Option<EventTime> {
        self.devices.get(&device)?.silence_due_at(absence, &self.settings)
    }

    /// Incidents of the device that were told of and are still known.
    pub(super) fn incidents(&self, device: &Device) -> impl Iterator<Item = Incident> {
        self.devices.get(&device.index()).into_iter().flat_map(|judge| judge.incidents(&device.name))
    }

    /// Puts what changed since the last call among the changes of the next transaction.
    pub(super) fn save(&mut self, pending: &mut Pending) {
        for judge in self.devices.values_mut() {
            judge.save(pending);
        }
    }

    /// Models learned since the last call.
    pub(super) fn take_models_fitted(&mut self) -> u64 {
        std::mem::take(&mut self.models_fitted)
    }

    /// Deletes all that is stored of the device and its channels.
    pub(super) fn forget(device: DeviceIndex, channels: &[ChannelPlace], named: &mut Named<'_>) {
        DeviceJudge::forget(device, channels, named);
    }
}
