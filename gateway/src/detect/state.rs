//! Detect's named state: its keys and its bytes.
//!
//! # Format
//! A value is one version byte, a postcard body, and the CRC-32 of both (little endian). Values stay under 16 KiB, so that
//! the store keeps them inline; rows of the past lie in chunks, so that a window's close rewrites little.
//!
//! | key | body | written |
//! |---|---|---|
//! | `detect/root` | [`Root`] | with every transaction |
//! | `detect/{device}` | [`SavedDevice`] | when the device was heard |
//! | `detect/{device}/name`, `detect/{device}/{channel}/name` | the name | once |
//! | `detect/{device}/{channel}` | [`SavedChannel`] | when a window of it closed |
//! | `detect/{device}/{channel}/model` | `Learned` | when it was learned |
//! | `detect/{device}/{channel}/rows/{chunk}` | up to [`CHUNK_ROWS`] rows | when a window of it closed |

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::detector::Memory;
use super::history::{History, Row};
use super::watermark::{SavedWatermark, SeenFrames};
use super::window::{ChannelPlace, DeviceIndex, Progress};

/// Written into every value; other versions are learned anew.
const VERSION: u8 = 2;
const CRC_BYTES: usize = 4;
/// Four hours of ten-minute windows, 3.4 KB.
pub(super) const CHUNK_ROWS: usize = 24;

/// Where named state is read from, as of the last commit.
pub trait StateSource {
    fn state(&self, key: &str) -> Option<Vec<u8>>;
}

impl StateSource for BTreeMap<String, Vec<u8>> {
    fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.get(key).cloned()
    }
}

/// Changes of named state that wait for the next transaction; `None` deletes.
pub(super) type Pending = BTreeMap<String, Option<Vec<u8>>>;

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
    /// Windows of another length have nothing in common with these.
    pub(super) window_ns: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedDevice {
    pub(super) watermark: SavedWatermark,
    pub(super) seen: SeenFrames,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedChannel {
    pub(super) progress: Progress,
    pub(super) memory: Memory,
    pub(super) first_chunk: u32,
    pub(super) next_chunk: u32,
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

fn rows_key(device: DeviceIndex, channel: ChannelPlace, chunk: u32) -> String {
    format!("detect/{}/{}/rows/{chunk}", device.0, channel.0)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = postcard::to_extend(value, vec![VERSION]).expect("plain data always encodes into a growing buffer");
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(StateError::Short)?;
    let (version, body_after) = body.split_first().ok_or(StateError::Short)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(StateError::WrongCrc);
    }
    if *version != VERSION {
        return Err(StateError::UnknownVersion(*version));
    }
    postcard::from_bytes(body_after).map_err(|_| StateError::Malformed)
}

/// Reads a value; what cannot be used is reported and missing.
pub(super) fn load<T: DeserializeOwned>(source: &dyn StateSource, key: &str) -> Option<T> {
    let bytes = source.state(key)?;
    match decode(&bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            warn!(key, %error, "Stored state of detection is unusable: what it held is learned anew.");
            None
        }
    }
}

/// A channel's rows: full chunks in the store, the newest few here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StoredRows {
    first_chunk: u32,
    /// The chunk that `newest` will be.
    next_chunk: u32,
    newest: Vec<Row>,
}

impl StoredRows {
    pub(super) fn restore(
        source: &dyn StateSource,
        device: DeviceIndex,
        channel: ChannelPlace,
        saved: &SavedChannel,
    ) -> Self {
        let newest = load(source, &rows_key(device, channel, saved.next_chunk)).unwrap_or_default();
        Self { first_chunk: saved.first_chunk, next_chunk: saved.next_chunk, newest }
    }

    pub(super) fn chunks(&self) -> (u32, u32) {
        (self.first_chunk, self.next_chunk)
    }

    /// Puts the newest rows among the pending changes.
    pub(super) fn save_newest(&self, device: DeviceIndex, channel: ChannelPlace, pending: &mut Pending) {
        pending.insert(rows_key(device, channel, self.next_chunk), Some(encode(&self.newest)));
    }

    /// Deletes all rows of a channel that is forgotten.
    pub(super) fn forget(saved: &SavedChannel, device: DeviceIndex, channel: ChannelPlace, pending: &mut Pending) {
        for chunk in saved.first_chunk..=saved.next_chunk {
            pending.insert(rows_key(device, channel, chunk), None);
        }
    }
}

/// [`StoredRows`] together with where their chunks go to and come from.
pub(super) struct RowsOf<'a> {
    pub(super) rows: &'a mut StoredRows,
    pub(super) rows_max: usize,
    pub(super) device: DeviceIndex,
    pub(super) channel: ChannelPlace,
    pub(super) pending: &'a mut Pending,
    pub(super) source: &'a dyn StateSource,
}

impl RowsOf<'_> {
    fn key(&self, chunk: u32) -> String {
        rows_key(self.device, self.channel, chunk)
    }

    fn chunk(&self, chunk: u32) -> Vec<Row> {
        let key = self.key(chunk);
        match self.pending.get(&key) {
            Some(Some(bytes)) => decode(bytes).unwrap_or_default(),
            Some(None) => Vec::new(),
            None => load(self.source, &key).unwrap_or_default(),
        }
    }

    fn chunks_max(&self) -> u32 {
        self.rows_max.div_ceil(CHUNK_ROWS) as u32
    }
}

impl History for RowsOf<'_> {
    fn push(&mut self, row: Row) {
        self.rows.newest.push(row);
        if self.rows.newest.len() < CHUNK_ROWS {
            return;
        }
        let key = self.key(self.rows.next_chunk);
        self.pending.insert(key, Some(encode(&self.rows.newest)));
        self.rows.newest.clear();
        self.rows.next_chunk += 1;
        while self.rows.next_chunk - self.rows.first_chunk > self.chunks_max() {
            let key = self.key(self.rows.first_chunk);
            self.pending.insert(key, None);
            self.rows.first_chunk += 1;
        }
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = (self.rows.first_chunk..self.rows.next_chunk).flat_map(|c| self.chunk(c)).collect();
        rows.extend_from_slice(&self.rows.newest);
        rows
    }

    fn replace(&mut self, rows: Vec<Row>) {
        for chunk in self.rows.first_chunk..=self.rows.next_chunk {
            let key = self.key(chunk);
            self.pending.insert(key, None);
        }
        self.rows.next_chunk = self.rows.first_chunk;
        self.rows.newest.clear();
        for row in rows {
            self.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::calendar::WindowIndex;
    use super::super::features::{Feature, Features};
    use super::super::groups::Group;
    use super::super::history::Standing;
    use super::*;

    fn row(window: i64) -> Row {
        let features = Features([window as f32; Feature::COUNT]);
        Row::new(WindowIndex(window), &features, [0.5; Group::COUNT], Standing::Trusted)
    }

    #[test]
    fn every_flipped_bit_of_a_value_is_noticed() {
        let bytes = encode(&Root { processed: 12_345, window_ns: 600 });
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

    #[test]
    fn rows_come_back_in_order_and_the_oldest_go() {
        let (mut rows, mut pending, mut store) = (StoredRows::default(), Pending::new(), BTreeMap::new());
        for i in 0..500 {
            let source = store.clone();
            let mut of = RowsOf {
                rows: &mut rows,
                rows_max: 240,
                device: DeviceIndex(0),
                channel: ChannelPlace(0),
                pending: &mut pending,
                source: &source,
            };
            of.push(row(i));
            let kept = of.rows();
            assert_eq!(kept.last(), Some(&row(i)));
            assert!(kept.windows(2).all(|w| w[0].window.0 + 1 == w[1].window.0));
            assert!(kept.len() >= 240.min(i as usize + 1) && kept.len() < 240 + CHUNK_ROWS);
            if i % 50 == 0 {
                apply(&mut pending, &mut store);
            }
        }
    }

    #[test]
    fn replaced_rows_leave_no_chunk_behind() {
        let (mut rows, mut pending, mut store) = (StoredRows::default(), Pending::new(), BTreeMap::new());
        let empty = BTreeMap::new();
        let mut of = RowsOf {
            rows: &mut rows,
            rows_max: 480,
            device: DeviceIndex(3),
            channel: ChannelPlace(1),
            pending: &mut pending,
            source: &empty,
        };
        (0..200).for_each(|i| of.push(row(i)));
        of.replace((0..30).map(row).collect());
        assert_eq!(of.rows().len(), 30);
        rows.save_newest(DeviceIndex(3), ChannelPlace(1), &mut pending);
        apply(&mut pending, &mut store);
        assert_eq!(store.len(), 2);
    }

    fn apply(pending: &mut Pending, store: &mut BTreeMap<String, Vec<u8>>) {
        for (key, value) in std::mem::take(pending) {
            match value {
                Some(value) => store.insert(key, value),
                None => store.remove(&key),
            };
        }
    }
}
