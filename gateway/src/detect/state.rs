//! Detect's named state: its keys and its bytes.
//!
//! # Format
//! A value is one version byte, a postcard body, and the CRC-32 of both (little endian). Values stay under 16 KiB, so that
//! the store keeps them inline; rows of the past lie in chunks, so that a window's close rewrites little. An archived
//! window of some thousand readings is larger; the store cuts it.
//!
//! | key | body | written |
//! |---|---|---|
//! | `detect/root` | [`Root`] | with every transaction |
//! | `detect/{device}` | `SavedDevice` | when the device was heard |
//! | `detect/{device}/name`, `detect/{device}/{channel}/name` | the name | once |
//! | `detect/{device}/{channel}` | `SavedChannel` | when a window of it closed |
//! | `detect/{device}/{channel}/closed/{window}` | [`Archived`] | when that closed; deleted behind the allowed lateness |
//! | `detect/{device}/{channel}/judge` | what `judge` remembers | when a window of it closed |
//! | `detect/{device}/{channel}/model` | `Learned` | when it was learned |
//! | `detect/{device}/{channel}/novel` | `Novel` | when a window of a sparse channel closed |
//! | `detect/{device}/watch` | `judge`'s memory of the device: incidents, rhythm, limits | when the device was heard |
//! | `detect/{device}/relation` | `DeviceModel` | when it was learned |
//! | `detect/{device}/relation/names` | CRC-32 of the channels' names when that was last tried | then |
//! | `detect/{device}/{channel}/rows/{chunk}` | rows one after the other, see `rows` | when a window of it closed, until it is sealed |
//! | `detect/{device}/{channel}/sealed` | `Sealed`: which chunks lie in the past | when one was sealed or given up |

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::past::{ChunkName, Past, PastChanges};
use super::windows::{Archive, Archived, ChannelPlace, DeviceIndex, Place};

/// Written into every value; other versions are learned anew.
pub(super) const VERSION: u8 = 2;
const CRC_BYTES: usize = 4;

/// Where named state is read from, as of the last commit; beside it lies the past.
pub trait StateSource: Past {
    fn state(&self, key: &str) -> Option<Vec<u8>>;
}

/// Changes that wait for the next transaction.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// `None` deletes.
    pub(super) state: BTreeMap<String, Option<Vec<u8>>>,
    pub(super) past: PastChanges,
}

impl Pending {
    pub(super) fn insert(&mut self, key: String, value: Option<Vec<u8>>) {
        self.state.insert(key, value);
    }

    /// Whether nothing asks for a transaction. To clear the past does not: until there is one, nothing is read from it.
    pub(super) fn is_empty(&self) -> bool {
        self.state.is_empty() && self.past.dropped.is_empty() && self.past.sealed.is_empty()
    }
}

/// Why a value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StateError {
    #[error("shorter than a header and a checksum")]
    Short,
    #[error("checksum does not match")]
    WrongCrc,
    #[error("version {0}, this gateway knows {VERSION}")]
    UnknownVersion(u8),
    #[error("body does not match its version")]
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    /// All records before this sequence are contained in the state.
    pub(super) processed: u64,
    /// Windows of another length or distance have nothing in common with these.
    pub(super) window_ns: i64,
    pub(super) hop_ns: i64,
}

pub(super) const ROOT_KEY: &str = "detect/root";

pub(super) fn device_key(device: DeviceIndex) -> String {
    format!("detect/{}", device.0)
}

pub(super) fn device_name_key(device: DeviceIndex) -> String {
    format!("detect/{}/name", device.0)
}

pub(super) fn channel_key(device: DeviceIndex, channel: ChannelPlace) -> String {
    format!("detect/{}/{}", device.0, channel.0)
}

pub(super) fn channel_name_key(device: DeviceIndex, channel: ChannelPlace) -> String {
    format!("detect/{}/{}/name", device.0, channel.0)
}

pub(super) fn model_key(device: DeviceIndex, channel: ChannelPlace) -> String {
    format!("detect/{}/{}/model", device.0, channel.0)
}

pub(super) fn judge_key(device: DeviceIndex, channel: ChannelPlace) -> String {
    format!("detect/{}/{}/judge", device.0, channel.0)
}

pub(super) fn novel_key(device: DeviceIndex, channel: ChannelPlace) -> String {
    format!("detect/{}/{}/novel", device.0, channel.0)
}

pub(super) fn watch_key(device: DeviceIndex) -> String {
    format!("detect/{}/watch", device.0)
}

pub(super) fn relation_key(device: DeviceIndex) -> String {
    format!("detect/{}/relation", device.0)
}

pub(super) fn relation_names_key(device: DeviceIndex) -> String {
    format!("detect/{}/relation/names", device.0)
}

fn archive_key(Place { device, channel, window }: Place) -> String {
    format!("detect/{}/{}/closed/{}", device.0, channel.0, window.0)
}

pub(super) fn rows_key(device: DeviceIndex, channel: ChannelPlace, chunk: u32) -> String {
    format!("detect/{}/{}/rows/{chunk}", device.0, channel.0)
}

pub(super) fn sealed_key(device: DeviceIndex, channel: ChannelPlace) -> String {
    format!("detect/{}/{}/sealed", device.0, channel.0)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let body = postcard::to_extend(value, vec![VERSION]).expect("plain data always encodes into a growing buffer");
    with_crc(body)
}

/// Adds a value behind what `bytes` hold; see [`parts`].
pub(super) fn append<T: Serialize>(mut bytes: Vec<u8>, value: &T) -> Result<Vec<u8>, StateError> {
    body(&bytes)?;
    bytes.truncate(bytes.len() - CRC_BYTES);
    let body = postcard::to_extend(value, bytes).expect("plain data always encodes into a growing buffer");
    Ok(with_crc(body))
}

/// All values that were encoded and appended one after the other.
pub(super) fn parts<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, StateError> {
    let (mut rest, mut values) = (body(bytes)?, Vec::new());
    while !rest.is_empty() {
        let (value, after) = postcard::take_from_bytes(rest).map_err(|_| StateError::Malformed)?;
        values.push(value);
        rest = after;
    }
    Ok(values)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    postcard::from_bytes(body(bytes)?).map_err(|_| StateError::Malformed)
}

fn with_crc(mut body: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&body);
    body.extend(crc.to_le_bytes());
    body
}

/// The bytes between version and checksum.
fn body(bytes: &[u8]) -> Result<&[u8], StateError> {
    let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(StateError::Short)?;
    let (version, body_after) = body.split_first().ok_or(StateError::Short)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(StateError::WrongCrc);
    }
    if *version != VERSION {
        return Err(StateError::UnknownVersion(*version));
    }
    Ok(body_after)
}

/// Whether a value is of this version and as it was written.
pub(super) fn sound(bytes: &[u8]) -> Result<(), StateError> {
    body(bytes).map(drop)
}

/// Reads a value; what cannot be used is reported and missing.
pub(super) fn load<T: DeserializeOwned>(source: &dyn StateSource, key: &str) -> Option<T> {
    usable(key, decode(&source.state(key)?))
}

pub(super) fn usable<T>(key: &str, value: Result<T, StateError>) -> Option<T> {
    value
        .inspect_err(|error| {
            warn!(key, %error, "Stored state of detection is unusable: what it held is learned anew.");
        })
        .ok()
}

/// Named state as it will be after the next transaction.
pub(super) struct Named<'a> {
    pub(super) pending: &'a mut Pending,
    pub(super) source: &'a dyn StateSource,
}

impl Named<'_> {
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.pending.state.get(key) {
            Some(changed) => changed.clone(),
            None => self.source.state(key),
        }
    }

    pub(super) fn put(&mut self, key: String, value: Vec<u8>) {
        self.pending.insert(key, Some(value));
    }

    pub(super) fn remove(&mut self, key: String) {
        self.pending.insert(key, None);
    }

    /// A sealed chunk, from the past as it will be then.
    pub(super) fn chunk(&self, name: ChunkName) -> Option<Vec<u8>> {
        let PastChanges { is_cleared, sealed, .. } = &self.pending.past;
        match sealed.get(&name) {
            Some(bytes) => Some(bytes.clone()),
            None if *is_cleared => None,
            None => self.source.chunk(name),
        }
    }

    pub(super) fn seal(&mut self, name: ChunkName, bytes: Vec<u8>) {
        self.pending.past.sealed.insert(name, bytes);
    }
}

impl Archive for Named<'_> {
    fn load(&self, place: Place) -> Option<Archived> {
        let key = archive_key(place);
        usable(&key, decode(&self.get(&key)?))
    }

    fn store(&mut self, place: Place, archived: &Archived) {
        self.put(archive_key(place), encode(archived));
    }

    fn remove(&mut self, place: Place) {
        self.remove(archive_key(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_value_is_noticed() {
        let bytes = encode(&Root { processed: 12_345, window_ns: 600, hop_ns: 600 });
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Root>(&bad).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(decode::<Root>(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = vec![VERSION + 1, 0];
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        assert_eq!(decode::<Root>(&bytes), Err(StateError::UnknownVersion(VERSION + 1)));
    }
}
