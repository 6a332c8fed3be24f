//! What detection has learned, as it lies in a store that no gateway works on: looked at, taken elsewhere, forgotten.
//!
//! # Invariants
//! - Nothing is decoded that need not be: a channel's learned state is all below its key but its name and the windows that
//!   are kept for late readings. Each value carries its version and checksum.
//! - The relation of a device's channels goes with them: its model, and what it remembers. Incidents stay where they are.
//! - A channel is found by the names of device and channel; places are those of the store it comes to.
//!
//! # Not here
//! Files, the queue's lock.

use std::collections::BTreeMap;

use firmware_protocol::measurement::EventTime;

use super::calendar::WindowIndex;
use super::features::Nature;
use super::finding::ModelId;
use super::history::Row;
use super::judge::{hash_of_names, import_relation as with_relation, stored_past, stored_relation, stored_rows, told};
use super::past::ChunkRange;
use super::state::{
    ROOT_KEY, Root, StateError, StateSource, VERSION, channel_key, channel_name_key, decode, device_name_key, encode,
    model_key, parts, relation_key, relation_names_key, watch_key,
};
use super::tail::threshold;
use super::windows::{ChannelPlace, DeviceIndex, NAME_BYTES_MAX};

/// Named state to be changed; `None` deletes.
pub type StateChanges = Vec<(String, Option<Vec<u8>>)>;

/// What makes a store know something else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredChanges {
    pub state: StateChanges,
    /// Nobody needs these any more once the state is durable.
    pub dropped: Vec<ChunkRange>,
}

/// A key below a channel's, such as `rows/12`.
const SUFFIX_BYTES_MAX: usize = 64;
const DAY_NS: i64 = 86_400_000_000_000;
/// Parts of a channel's state that are not learned.
const NOT_LEARNED: [&str; 2] = ["name", "closed/"];
/// Tells what lies in the past of this store, and nothing to another one: that gets all rows as named state.
const SEALED: &str = "sealed";

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoredFault {
    #[error("nothing is stored of detection\nhint: let the gateway run for a while first")]
    Empty,
    #[error("state of version {found}, this gateway has version {VERSION}\nhint: use the gateway that wrote it")]
    Version { found: u8 },
    #[error("made from windows of {theirs_s} s each {theirs_hop_s} s, here they are {ours_s} s each {ours_hop_s} s")]
    Windows { theirs_s: f64, theirs_hop_s: f64, ours_s: f64, ours_hop_s: f64 },
    #[error("`{device}` `{channel}`: {what} is damaged: {reason}")]
    Damaged { device: String, channel: String, what: String, reason: String },
    #[error("name of {bytes} bytes, the limit is {NAME_BYTES_MAX}")]
    LongName { bytes: usize },
    #[error("no `{0}` has been seen\nhint: `gateway model show` lists devices and channels")]
    Unknown(String),
}

/// What all models of a store have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredHead {
    /// Of the values.
    pub state_version: u8,
    pub window_ns: i64,
    pub hop_ns: i64,
}

/// One channel's learned state: values by what follows its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChannel {
    pub device: String,
    pub channel: String,
    pub states: BTreeMap<String, Vec<u8>>,
}

/// What was learned of a device's channels together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRelation {
    pub device: String,
    /// In the order of the model.
    pub channels: Vec<String>,
    pub model: Vec<u8>,
    pub memory: Vec<u8>,
}

/// How a channel's readings move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Undecided,
    Level,
    /// Judged by its increments.
    Counter,
}

/// How many readings its windows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rate {
    /// Too few for the shape of a window: levels are judged by all seen before.
    Sparse,
    Dense,
}

/// One channel for a person.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModelView {
    pub device: String,
    pub channel: String,
    /// CRC-32 of the model in hexadecimal, as in anomalies; `None`: it is still being learned.
    pub model: Option<String>,
    /// Of the relation of the device's channels; `None`: there is none yet.
    pub relation: Option<String>,
    pub nature: Kind,
    pub rate: Rate,
    /// Decades of rarity above which a window alarms, by what the configuration accepts of false alarms.
    pub threshold: f64,
    /// Windows until the first model.
    pub windows_to_learn: u32,
    /// Windows remembered to learn from, and the start of the first and the end of the last.
    pub windows: u64,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// In the store, windows included; and of the model alone.
    pub bytes: u64,
    pub model_bytes: u64,
}

/// A store as of one moment.
pub struct Stored<'a> {
    source: &'a dyn StateSource,
    /// All below `detect/`.
    names: &'a [String],
    root: Root,
}

impl<'a> Stored<'a> {
    /// Where all of detection's state lies.
    pub const PREFIX: &'static str = "detect/";

    /// # Errors
    /// There is nothing, or it is of another version.
    pub fn new(source: &'a dyn StateSource, names: &'a [String]) -> Result<Self, StoredFault> {
        let bytes = source.state(ROOT_KEY).ok_or(StoredFault::Empty)?;
        let root = decode(&bytes).map_err(|error| of_version(error, "", "", "root"))?;
        Ok(Self { source, names, root })
    }

    pub fn head(&self) -> StoredHead {
        StoredHead { state_version: VERSION, window_ns: self.root.window_ns, hop_ns: self.root.hop_ns }
    }

    /// Device and channel of all that are stored, in the order in which they were first seen.
    pub fn channels(&self) -> Vec<(String, String)> {
        let channels = self.places().into_iter();
        channels.map(|(_, _, device, channel)| (device, channel)).collect()
    }

    /// # Errors
    /// There is no such channel.
    pub fn channel(&self, device: &str, channel: &str) -> Result<StoredChannel, StoredFault> {
        let (at, place) = self.find(device, channel)?;
        let keys = self.learned_keys(at, place).into_iter().filter(|(_, suffix)| suffix != SEALED);
        let stored = keys.filter_map(|(key, suffix)| Some((suffix, self.source.state(&key)?)));
        let mut states: BTreeMap<String, Vec<u8>> = stored.collect();
        let prefix = channel_key(at, place) + "/";
        for (key, bytes) in stored_rows(at, place, self.source) {
            states.extend(key.strip_prefix(&prefix).map(|suffix| (suffix.to_owned(), bytes)));
        }
        Ok(StoredChannel { device: device.to_owned(), channel: channel.to_owned(), states })
    }

    /// What was learned of a device's channels together; `None` if nothing was.
    ///
    /// # Errors
    /// There is no such device.
    pub fn relation(&self, device: &str) -> Result<Option<StoredRelation>, StoredFault> {
        let at = devices(self.source).find(|(_, name)| name == device).map(|(at, _)| at);
        let at = at.ok_or_else(|| StoredFault::Unknown(device.to_owned()))?;
        let Some((places, memory)) = stored_relation(at, self.source) else { return Ok(None) };
        let names: BTreeMap<ChannelPlace, String> = channels(self.source, at).collect();
        let channels = places.iter().filter_map(|place| names.get(place).cloned()).collect();
        let model = self.source.state(&relation_key(at)).unwrap_or_default();
        Ok(Some(StoredRelation { device: device.to_owned(), channels, model, memory }))
    }

    /// What a channel is, with the threshold that follows from the false alarms that a device may give in a month.
    ///
    /// # Errors
    /// There is no such channel, or what is stored of it is damaged.
    pub fn view(&self, device: &str, channel: &str, per_month: f64) -> Result<ModelView, StoredFault> {
        let (at, place) = self.find(device, channel)?;
        let states = self.channel(device, channel)?.states;
        let mut windows: Vec<WindowIndex> = Vec::new();
        for (suffix, bytes) in states.iter().filter(|(suffix, _)| suffix.starts_with("rows/")) {
            let rows: Vec<Row> = parts(bytes).map_err(|error| of_version(error, device, channel, suffix))?;
            windows.extend(rows.iter().map(|row| row.window));
        }
        let ms = |ns: i64| EventTime(ns).as_millis();
        let start = |window: &WindowIndex| window.0.saturating_mul(self.root.hop_ns);
        let model = self.source.state(&model_key(at, place));
        let told = told(at, place, self.source);
        let per_day = DAY_NS / self.root.hop_ns.max(1);
        let shared_by = libm::log10(channels(self.source, at).count().max(1) as f64);
        Ok(ModelView {
            relation: self.source.state(&relation_key(at)).map(|bytes| ModelId::of(&bytes).to_string()),
            nature: match told.as_ref().and_then(|told| told.nature) {
                None => Kind::Undecided,
                Some(Nature::Level) => Kind::Level,
                Some(Nature::Counter) => Kind::Counter,
            },
            rate: if told.as_ref().is_some_and(|told| told.is_sparse) { Rate::Sparse } else { Rate::Dense },
            threshold: threshold(per_month, per_day) + shared_by,
            device: device.to_owned(),
            channel: channel.to_owned(),
            windows_to_learn: told.map(|told| told.to_learn).unwrap_or_default(),
            windows: windows.len() as u64,
            from_ms: windows.iter().min().map(|window| ms(start(window))),
            to_ms: windows.iter().max().map(|window| ms(start(window).saturating_add(self.root.window_ns))),
            bytes: states.values().map(|bytes| bytes.len() as u64).sum(),
            model_bytes: model.as_ref().map_or(0, |bytes| bytes.len() as u64),
            model: model.map(|bytes| ModelId::of(&bytes).to_string()),
        })
    }

    /// What makes a channel learn anew, and with `channel` left out all of the device and their relation.
    ///
    /// # Errors
    /// There is no such device or channel.
    pub fn reset(&self, device: &str, channel: Option<&str>) -> Result<StoredChanges, StoredFault> {
        let places = self.places();
        let of_device: Vec<_> = places.iter().filter(|(_, _, name, _)| name == device).collect();
        let Some((at, ..)) = of_device.first() else { return Err(StoredFault::Unknown(device.to_owned())) };
        let mut changes = StoredChanges::default();
        for (at, place, _, name) in &of_device {
            if channel.is_none_or(|wanted| wanted == name) {
                self.forget(*at, *place, &mut changes);
            }
        }
        match channel {
            None => changes.state.extend([relation_key(*at), relation_names_key(*at)].map(|key| (key, None))),
            Some(channel) => drop(self.find(device, channel)?),
        }
        Ok(changes)
    }

    fn forget(&self, device: DeviceIndex, channel: ChannelPlace, changes: &mut StoredChanges) {
        changes.state.extend(self.learned_keys(device, channel).into_iter().map(|(key, _)| (key, None)));
        changes.dropped.extend(stored_past(device, channel, self.source));
    }

    fn find(&self, device: &str, channel: &str) -> Result<(DeviceIndex, ChannelPlace), StoredFault> {
        let places = self.places();
        let found = places.iter().find(|(_, _, d, c)| d == device && c == channel);
        found.map(|(at, place, ..)| (*at, *place)).ok_or_else(|| StoredFault::Unknown(format!("{device} {channel}")))
    }

    fn places(&self) -> Vec<(DeviceIndex, ChannelPlace, String, String)> {
        let mut places = Vec::new();
        for (at, device) in devices(self.source) {
            places.extend(channels(self.source, at).map(|(place, channel)| (at, place, device.clone(), channel)));
        }
        places
    }

    fn learned_keys(&self, device: DeviceIndex, channel: ChannelPlace) -> Vec<(String, String)> {
        let prefix = channel_key(device, channel) + "/";
        let below = self.names.iter().filter_map(|name| Some((name, name.strip_prefix(&prefix)?)));
        let learned = below.filter(|(_, suffix)| !NOT_LEARNED.iter().any(|not| suffix.starts_with(not)));
        learned.map(|(name, suffix)| (name.clone(), suffix.to_owned())).collect()
    }
}

/// What takes a channel into a store, in place of what that has learned of it. `names` are those below
/// [`Stored::PREFIX`]; a store that has none takes over the windows of `head`.
///
/// # Errors
/// It is of another version, of windows of another length, or damaged.
pub fn import(
    head: StoredHead,
    channel: &StoredChannel,
    source: &dyn StateSource,
    names: &[String],
) -> Result<StoredChanges, StoredFault> {
    check(head, channel)?;
    let mut changes = StoredChanges::default();
    match Stored::new(source, names) {
        Ok(stored) => {
            let ours = stored.head();
            if (ours.window_ns, ours.hop_ns) != (head.window_ns, head.hop_ns) {
                let [theirs_s, theirs_hop_s, ours_s, ours_hop_s] =
                    [head.window_ns, head.hop_ns, ours.window_ns, ours.hop_ns].map(|ns| ns as f64 / 1e9);
                return Err(StoredFault::Windows { theirs_s, theirs_hop_s, ours_s, ours_hop_s });
            }
        }
        Err(StoredFault::Empty) => {
            let root = Root { processed: 0, window_ns: head.window_ns, hop_ns: head.hop_ns };
            changes.state.push((ROOT_KEY.to_owned(), Some(encode(&root))));
        }
        Err(fault) => return Err(fault),
    }
    let known = devices(source).find(|(_, name)| *name == channel.device).map(|(at, _)| at);
    let at = known.unwrap_or_else(|| DeviceIndex(devices(source).count() as u32));
    if known.is_none() {
        changes.state.push((device_name_key(at), Some(encode(&channel.device))));
    }
    let known = channels(source, at).find(|(_, name)| *name == channel.channel).map(|(place, _)| place);
    let place = known.unwrap_or_else(|| ChannelPlace(channels(source, at).count() as u32));
    if known.is_none() {
        changes.state.push((channel_name_key(at, place), Some(encode(&channel.channel))));
    } else if let Ok(stored) = Stored::new(source, names) {
        stored.forget(at, place, &mut changes);
    }
    let prefix = channel_key(at, place) + "/";
    changes.state.extend(channel.states.iter().map(|(suffix, bytes)| (prefix.clone() + suffix, Some(bytes.clone()))));
    Ok(changes)
}

/// What takes a relation into a store that has its channels already, in place of what that has learned of them together.
///
/// # Errors
/// It is of another version or damaged, or a channel is missing.
pub fn import_relation(
    head: StoredHead,
    relation: &StoredRelation,
    source: &dyn StateSource,
) -> Result<StoredChanges, StoredFault> {
    check_relation(head, relation)?;
    let unknown = |channel: &str| StoredFault::Unknown(format!("{} {channel}", relation.device));
    let at = devices(source).find(|(_, name)| *name == relation.device).map(|(at, _)| at);
    let at = at.ok_or_else(|| StoredFault::Unknown(relation.device.clone()))?;
    let known: BTreeMap<String, ChannelPlace> = channels(source, at).map(|(place, name)| (name, place)).collect();
    let place = |name: &String| known.get(name).copied().ok_or_else(|| unknown(name));
    let places = relation.channels.iter().map(place).collect::<Result<_, _>>()?;
    let watch = with_relation(at, places, &relation.memory, source)
        .map_err(|error| of_version(error, &relation.device, "", "relation"))?;
    // As it will be asked for: of all channels of the device, those without a part in the relation too.
    let names = encode(&hash_of_names(known.keys().map(String::as_str)));
    let state = vec![
        (relation_key(at), Some(relation.model.clone())),
        (relation_names_key(at), Some(names)),
        (watch_key(at), Some(watch)),
    ];
    Ok(StoredChanges { state, dropped: Vec::new() })
}

/// Whether this gateway can use a relation.
///
/// # Errors
/// What is wrong with it.
pub fn check_relation(head: StoredHead, relation: &StoredRelation) -> Result<(), StoredFault> {
    if head.state_version != VERSION {
        return Err(StoredFault::Version { found: head.state_version });
    }
    [&relation.model, &relation.memory]
        .into_iter()
        .try_for_each(|bytes| super::state::sound(bytes))
        .map_err(|error| of_version(error, &relation.device, "", "relation"))
}

/// Whether this gateway can use a channel's state.
///
/// # Errors
/// What is wrong with it.
pub fn check(head: StoredHead, channel: &StoredChannel) -> Result<(), StoredFault> {
    if head.state_version != VERSION {
        return Err(StoredFault::Version { found: head.state_version });
    }
    let StoredChannel { device, channel, states } = channel;
    let longest = device.len().max(channel.len());
    if longest > NAME_BYTES_MAX {
        return Err(StoredFault::LongName { bytes: longest });
    }
    for (suffix, bytes) in states {
        let is_key = suffix.len() <= SUFFIX_BYTES_MAX
            && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'/');
        if !is_key || suffix == SEALED || NOT_LEARNED.iter().any(|not| suffix.starts_with(not)) {
            return Err(of_version(StateError::Malformed, device, channel, suffix));
        }
        super::state::sound(bytes).map_err(|error| of_version(error, device, channel, suffix))?;
    }
    Ok(())
}

fn of_version(error: StateError, device: &str, channel: &str, what: &str) -> StoredFault {
    match error {
        StateError::UnknownVersion(found) => StoredFault::Version { found },
        StateError::Short | StateError::WrongCrc | StateError::Malformed => StoredFault::Damaged {
            device: device.to_owned(),
            channel: channel.to_owned(),
            what: what.to_owned(),
            reason: error.to_string(),
        },
    }
}

fn devices(source: &dyn StateSource) -> impl Iterator<Item = (DeviceIndex, String)> {
    let name = move |at| Some((at, name(&source.state(&device_name_key(at))?)));
    (0..).map(DeviceIndex).map_while(name)
}

fn channels(source: &dyn StateSource, device: DeviceIndex) -> impl Iterator<Item = (ChannelPlace, String)> {
    let name = move |place| Some((place, name(&source.state(&channel_name_key(device, place))?)));
    (0..).map(ChannelPlace).map_while(name)
}

/// Empty for a name that cannot be read: its place stays vacant.
fn name(bytes: &[u8]) -> String {
    decode(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
