//! The channels of a device against each other: when their relation is learned, and what breaks it.
//!
//! # Invariants
//! - It is learned from the rows that the channels keep: those of windows that each channel trusts.
//! - Windows in which the relation was broken are not learned, unless it stays broken for a day.
//! - It is learned again when the device has a channel of a new name.
//! - A revised window is judged again, by what the relation and its levels are by then; no alarm begins or ends with it.
//! - The first [`CHANNELS_MAX`] channels by name that have rows take part; a device with more is judged by these.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::calendar::WindowIndex;
use super::super::features::Features;
use super::super::finding::{DetectorName, Finding, ModelId};
use super::super::history::{Row, Standing};
use super::super::maha::{
    CHANNELS_MAX, CHANNELS_MIN, DeviceMemory, DeviceModel, DeviceRow, DeviceScore, LEVEL, told_decades,
};
use super::super::state::{Named, StateSource, encode, load, relation_key, relation_names_key};
use super::super::windows::{ChannelPlace, Device, DeviceIndex};
use super::Settings;
use super::channel::ChannelJudge;

/// Learned again after this many days.
const REFIT_DAYS: i64 = 2;
/// Alarms of the past that are left out when it is learned; older ones have left the rows by then.
const ALARMS_MAX: usize = 32;
/// Channels that a finding names.
const NAMED_MAX: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Relation {
    model: Option<DeviceModel>,
    id: ModelId,
    /// [`names_of`] the channels when it was last learned, or tried to be; `None`: an earlier version did not say.
    names: Option<u32>,
    pub(super) saved: SavedRelation,
}

/// What is stored with each window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedRelation {
    memory: DeviceMemory,
    /// Windows with two channels or more, while it is learned.
    windows: u32,
    /// In the order of the channels' names.
    channels: Vec<ChannelPlace>,
    refit_at: WindowIndex,
    /// First and last window of alarms.
    alarms: Vec<(WindowIndex, WindowIndex)>,
}

impl SavedRelation {
    pub(super) fn channels(&self) -> &[ChannelPlace] {
        &self.channels
    }

    /// The same of channels that lie elsewhere; `None` if they are not as many.
    pub(super) fn of(self, channels: Vec<ChannelPlace>) -> Option<Self> {
        (channels.len() == self.channels.len()).then_some(Self { channels, ..self })
    }
}

/// What came of one window.
pub(super) struct Related {
    pub(super) finding: Option<Finding>,
    /// Of each channel that takes part, decades above the threshold.
    pub(super) scores: Vec<(ChannelPlace, f64)>,
}

/// The figures of the channels that were there, in order of their names.
pub(super) type Present = [(ChannelPlace, Features)];

impl Relation {
    pub(super) fn restore(device: DeviceIndex, saved: SavedRelation, source: &dyn StateSource) -> Self {
        let model: Option<DeviceModel> = load(source, &relation_key(device));
        let id = model.as_ref().map_or(ModelId::NONE, |model| ModelId::of(&encode(model)));
        Self { model, id, names: load(source, &relation_names_key(device)), saved }
    }

    /// Judges a window, and learns. `None`: nothing could be judged, most likely because it is still being learned.
    pub(super) fn observe(
        &mut self,
        device: &Device,
        window: WindowIndex,
        present: &Present,
        channels: &mut BTreeMap<ChannelPlace, ChannelJudge>,
        settings: &Settings,
        named: &mut Named<'_>,
    ) -> Option<Related> {
        if present.iter().filter(|(_, f)| f.has_level()).count() < CHANNELS_MIN {
            return None;
        }
        let related = self.judge(device, window, present, settings);
        self.saved.windows = self.saved.windows.saturating_add(1);
        let is_due = match self.model {
            None if self.saved.windows < settings.learn_windows => false,
            None => window >= self.saved.refit_at,
            Some(_) => window >= self.saved.refit_at || self.names.is_some_and(|names| names != names_of(device)),
        };
        if is_due {
            self.learn(device, window, channels, settings, named);
        }
        related
    }

    /// Judges a window again, in which the channels that are `present` have changed.
    pub(super) fn revise(
        &self,
        device: &Device,
        window: WindowIndex,
        present: &Present,
        channels: &mut BTreeMap<ChannelPlace, ChannelJudge>,
        settings: &Settings,
        named: &mut Named<'_>,
    ) -> Option<Related> {
        // Rows of other channels are read for nothing else.
        self.model.as_ref()?;
        let SavedRelation { channels: places, alarms, .. } = &self.saved;
        let unchanged = |place: &ChannelPlace| Some((*place, channels.get_mut(place)?.seen(window, settings, named)?));
        let others = places.iter().filter(|place| of(place, present).is_none());
        let all: Vec<_> = present.iter().copied().chain(others.filter_map(unchanged).collect::<Vec<_>>()).collect();
        let score = self.score(window, &all, settings)?;
        let was_alarmed = alarms.iter().any(|(first, last)| (*first..=*last).contains(&window));
        Some(self.related(device, &score, DeviceMemory::is_alarm_still(&score, was_alarmed)))
    }

    fn judge(
        &mut self,
        device: &Device,
        window: WindowIndex,
        present: &Present,
        settings: &Settings,
    ) -> Option<Related> {
        let score = self.score(window, present, settings)?;
        let model = self.model.as_ref()?;
        let SavedRelation { memory, alarms, .. } = &mut self.saved;
        let is_alarmed = memory.follow(model, &score);
        if is_alarmed {
            match alarms.last_mut() {
                Some((_, last)) if last.0 + 1 >= window.0 => *last = window,
                Some(_) | None => alarms.push((window, window)),
            }
            if alarms.len() > ALARMS_MAX {
                alarms.remove(0);
            }
        }
        Some(self.related(device, &score, is_alarmed))
    }

    fn score(&self, window: WindowIndex, present: &Present, settings: &Settings) -> Option<DeviceScore> {
        let SavedRelation { memory, channels, .. } = &self.saved;
        let row = DeviceRow::new(window, channels.iter().map(|place| of(place, present)));
        let calendar = settings.horizon.calendar();
        self.model.as_ref()?.score(&row, memory, (settings.false_alarms_per_month, calendar))
    }

    fn related(&self, device: &Device, score: &DeviceScore, is_alarmed: bool) -> Related {
        let places = &self.saved.channels;
        let names: Vec<&str> = places.iter().map(|c| device.channels[c.0 as usize].name.as_str()).collect();
        let decades = told_decades(score.decades, is_alarmed);
        let finding = is_alarmed.then(|| finding(score, decades, &names, self.id));
        // A channel that is off pulls at the others: theirs is no score above the threshold.
        let scores = score.contributions.iter().enumerate().map(|(i, its)| {
            let is_named = is_alarmed && i == 0;
            (places[its.channel], if is_named { decades } else { told_decades(its.decades, false) })
        });
        Related { finding, scores: scores.collect() }
    }

    fn learn(
        &mut self,
        device: &Device,
        window: WindowIndex,
        channels: &mut BTreeMap<ChannelPlace, ChannelJudge>,
        settings: &Settings,
        named: &mut Named<'_>,
    ) {
        let day = settings.horizon.calendar().day;
        self.saved.refit_at = WindowIndex(window.0 + REFIT_DAYS * day);
        let names = names_of(device);
        if self.names != Some(names) {
            self.names = Some(names);
            named.put(relation_names_key(device.index()), encode(&names));
        }
        let mut by_window: BTreeMap<WindowIndex, Vec<Option<Features>>> = BTreeMap::new();
        let mut places = Vec::new();
        for place in device.in_order() {
            let Some(channel) = channels.get_mut(place) else { continue };
            let rows = channel.past(settings, named);
            if rows.is_empty() || places.len() == CHANNELS_MAX {
                continue;
            }
            places.push(*place);
            let is_usable = |row: &&Row| row.standing == Standing::Trusted && !self.is_left_out(row.window, day);
            for row in rows.iter().filter(is_usable) {
                let of_window = by_window.entry(row.window).or_default();
                of_window.resize(places.len() - 1, None);
                of_window.push(Some(row.features()));
            }
        }
        let row = |(window, features): (&WindowIndex, &Vec<Option<Features>>)| {
            let missing = places.len() - features.len();
            let channels = features.iter().map(Option::as_ref).chain(std::iter::repeat_n(None, missing));
            DeviceRow::new(*window, channels)
        };
        let rows: Vec<DeviceRow> = by_window.iter().map(row).collect();
        let Some(model) = DeviceModel::fit(&rows, settings.horizon.calendar()) else { return };
        let bytes = encode(&model);
        self.id = ModelId::of(&bytes);
        named.put(relation_key(device.index()), bytes);
        self.model = Some(model);
        self.saved.channels = places;
        self.saved.memory.relearned();
    }

    /// Within an alarm that did not last for a day.
    fn is_left_out(&self, window: WindowIndex, day: i64) -> bool {
        let is_in = |(first, last): &&(WindowIndex, WindowIndex)| *first <= window && window <= *last;
        self.saved.alarms.iter().find(is_in).is_some_and(|(first, last)| last.0 - first.0 < day)
    }
}

fn names_of(device: &Device) -> u32 {
    hash_of_names(device.in_order().iter().map(|place| device.channels[place.0 as usize].name.as_str()))
}

/// CRC-32 of a device's names of channels in order, each with a byte behind it that no name has.
pub(in crate::detect) fn hash_of_names<'a>(names: impl Iterator<Item = &'a str>) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    for name in names {
        hash.update(name.as_bytes());
        hash.update(&[0xff]);
    }
    hash.finalize()
}

fn of<'a>(place: &ChannelPlace, present: &'a Present) -> Option<&'a Features> {
    present.iter().find(|(of, _)| of == place).map(|(_, features)| features)
}

fn finding(score: &DeviceScore, decades: f64, names: &[&str], model: ModelId) -> Finding {
    let top = &score.contributions[0];
    let (name, feature) = (names[top.channel], LEVEL.name());
    let channels = score.contributions.iter().take(NAMED_MAX).map(|c| (names[c.channel].to_owned(), c.share)).collect();
    let (value, low, high) = (top.value, top.expected_low, top.expected_high);
    Finding {
        detector: DetectorName::Maha,
        kind: "relation",
        feature,
        value,
        expected_low: low,
        expected_high: high,
        share: top.share,
        score: decades,
        model,
        peak: None,
        channels,
        summary: format!(
            "{name} does not go with the device's other channels: {feature} {value:.4}, by these {low:.4} to {high:.4} \
             was expected"
        ),
    }
}
