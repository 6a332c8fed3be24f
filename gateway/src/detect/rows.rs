//! A channel's rows in the store, in chunks; nothing of them stays in memory.
//!
//! # Invariants
//! - Rows lie in order of their windows, oldest first. A new one is written behind the others of the newest chunk, which is
//!   not decoded for it.
//! - A chunk whose windows no late reading can touch any more is sealed, but for the newest full one: it goes from named
//!   state into the past. Should one be amended all the same, for more lateness is allowed since, it lies in named state
//!   from then on, which counts before the past.
//! - Chunks are numbered on and on: whatever is replaced, no number comes twice.

use serde::{Deserialize, Serialize};

use super::calendar::WindowIndex;
use super::history::{History, Row};
use super::past::{ChunkName, ChunkRange};
use super::state::{Named, Pending, StateSource, append, encode, load, parts, rows_key, sealed_key, usable};
use super::windows::{ChannelPlace, DeviceIndex};

/// Four hours of ten-minute windows, 3.4 KB.
pub(super) const CHUNK_ROWS: u32 = 24;
/// The one that is filled, and one of slack.
const UNSEALED_CHUNKS: u32 = 2;
/// With each chunk that is begun, so many are sealed at most: those of an earlier version, or of a longer lateness, pass
/// through memory, and all channels may begin one at once.
const SEALED_AT_ONCE_MAX: usize = 8;

/// Which rows there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredRows {
    first_chunk: u32,
    newest_chunk: u32,
    /// Rows in the newest chunk.
    in_newest: u32,
}

/// Which chunks of a channel lie in the past; of those before the first chunk only until they are dropped from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sealed {
    from: u32,
    until: u32,
}

/// Where a channel's rows are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunks {
    pub(super) rows: StoredRows,
    sealed: Sealed,
    /// As of the last transaction.
    saved: Sealed,
    first_saved: u32,
}

/// [`Chunks`] together with where they go to and come from.
pub(super) struct RowsOf<'a, 'b> {
    pub(super) chunks: &'a mut Chunks,
    pub(super) rows_max: usize,
    /// Late readings may change windows as far back as this.
    pub(super) revisable_windows: i64,
    pub(super) device: DeviceIndex,
    pub(super) channel: ChannelPlace,
    pub(super) named: &'a mut Named<'b>,
}

impl Chunks {
    /// Rows that an earlier version stored lie in named state, all of them.
    pub(super) fn restore(
        rows: StoredRows,
        device: DeviceIndex,
        channel: ChannelPlace,
        source: &dyn StateSource,
    ) -> Self {
        let nothing = Sealed { from: rows.first_chunk, until: rows.first_chunk };
        let sealed = load(source, &sealed_key(device, channel)).unwrap_or(nothing);
        Self { rows, sealed, saved: sealed, first_saved: rows.first_chunk }
    }

    /// To be called with each transaction that stores `rows`: drops from the past what the one before has given up.
    pub(super) fn save(&mut self, device: DeviceIndex, channel: ChannelPlace, pending: &mut Pending) {
        if self.sealed.from < self.first_saved {
            let (from, until) = (self.sealed.from, self.first_saved);
            pending.past.dropped.push(ChunkRange { device: device.0, channel: channel.0, from, until });
            self.sealed.from = until;
        }
        self.first_saved = self.rows.first_chunk;
        if self.sealed != self.saved {
            self.saved = self.sealed;
            pending.insert(sealed_key(device, channel), Some(encode(&self.sealed)));
        }
    }

    /// Numbers of all chunks, and the key of each in named state.
    pub(super) fn keys(self, device: DeviceIndex, channel: ChannelPlace) -> impl Iterator<Item = (ChunkName, String)> {
        (self.rows.first_chunk..=self.rows.newest_chunk).map(move |chunk| {
            let name = ChunkName { device: device.0, channel: channel.0, chunk };
            (name, rows_key(device, channel, chunk))
        })
    }

    /// A chunk as it is stored.
    pub(super) fn stored(self, name: ChunkName, key: &str, source: &dyn StateSource) -> Option<Vec<u8>> {
        source.state(key).or_else(|| source.chunk(name).filter(|_| name.chunk < self.sealed.until))
    }

    /// All that may lie in the past.
    pub(super) fn in_the_past(self, device: DeviceIndex, channel: ChannelPlace) -> ChunkRange {
        let Sealed { from, until } = self.sealed;
        ChunkRange { device: device.0, channel: channel.0, from, until }
    }

    /// Deletes all rows of a channel that is forgotten from named state.
    pub(super) fn forget(self, device: DeviceIndex, channel: ChannelPlace, named: &mut Named<'_>) {
        self.keys(device, channel).for_each(|(_, key)| named.remove(key));
        named.remove(sealed_key(device, channel));
    }
}

impl RowsOf<'_, '_> {
    fn key(&self, chunk: u32) -> String {
        rows_key(self.device, self.channel, chunk)
    }

    fn name(&self, chunk: u32) -> ChunkName {
        ChunkName { device: self.device.0, channel: self.channel.0, chunk }
    }

    fn chunk(&self, chunk: u32) -> Vec<Row> {
        let key = self.key(chunk);
        let is_sealed = chunk < self.chunks.sealed.until;
        let bytes = self.named.get(&key).or_else(|| self.named.chunk(self.name(chunk)).filter(|_| is_sealed));
        bytes.and_then(|bytes| usable(&key, parts(&bytes))).unwrap_or_default()
    }

    /// The row of a window that is remembered. Reads the newest chunks alone, as far back as that.
    pub(super) fn row_of(&self, window: WindowIndex) -> Option<Row> {
        self.chunk_of(window).map(|(_, rows, at)| rows[at])
    }

    /// The chunk with the row of a window, its rows, and which of them it is.
    fn chunk_of(&self, window: WindowIndex) -> Option<(u32, Vec<Row>, usize)> {
        for chunk in (self.chunks.rows.first_chunk..=self.chunks.rows.newest_chunk).rev() {
            let rows = self.chunk(chunk);
            if let Some(at) = rows.iter().position(|row| row.window == window) {
                return Some((chunk, rows, at));
            }
            if rows.first().is_some_and(|first| first.window < window) {
                return None;
            }
        }
        None
    }

    fn chunks_max(&self) -> u32 {
        self.rows_max.div_ceil(CHUNK_ROWS as usize) as u32
    }

    /// Seals what no reading can touch any more, now that `closed` has closed.
    fn seal(&mut self, closed: &Row) {
        let full = self.chunks.sealed.until..(self.chunks.rows.newest_chunk + 1).saturating_sub(UNSEALED_CHUNKS);
        for chunk in full.take(SEALED_AT_ONCE_MAX) {
            let key = self.key(chunk);
            if let Some(bytes) = self.named.get(&key) {
                let is_over = |row: &Row| row.window.0.saturating_add(self.revisable_windows) < closed.window.0;
                // What cannot be read is not amended either.
                if parts(&bytes).is_ok_and(|rows: Vec<Row>| !rows.iter().all(is_over)) {
                    return;
                }
                self.named.seal(self.name(chunk), bytes);
                self.named.remove(key);
            }
            self.chunks.sealed.until = chunk + 1;
        }
    }
}

impl History for RowsOf<'_, '_> {
    fn push(&mut self, row: Row) {
        if self.chunks.rows.in_newest == CHUNK_ROWS {
            self.chunks.rows.newest_chunk += 1;
            self.chunks.rows.in_newest = 0;
            while self.chunks.rows.newest_chunk - self.chunks.rows.first_chunk > self.chunks_max() {
                let key = self.key(self.chunks.rows.first_chunk);
                self.named.remove(key);
                self.chunks.rows.first_chunk += 1;
            }
            self.chunks.sealed.until = self.chunks.sealed.until.max(self.chunks.rows.first_chunk);
            self.seal(&row);
        }
        let key = self.key(self.chunks.rows.newest_chunk);
        let before = self.named.get(&key).filter(|_| self.chunks.rows.in_newest > 0);
        let extended = before.and_then(|bytes| usable(&key, append(bytes, &row)));
        self.named.put(key, extended.unwrap_or_else(|| encode(&row)));
        self.chunks.rows.in_newest += 1;
    }

    fn amend(&mut self, row: Row) {
        let Some((chunk, mut rows, at)) = self.chunk_of(row.window) else { return };
        rows[at] = row;
        let all = rows[1..].iter().try_fold(encode(&rows[0]), append);
        let key = self.key(chunk);
        if let Some(bytes) = usable(&key, all) {
            self.named.put(key, bytes);
        }
    }

    fn rows(&self) -> Vec<Row> {
        let StoredRows { first_chunk, newest_chunk, .. } = self.chunks.rows;
        (first_chunk..=newest_chunk).flat_map(|chunk| self.chunk(chunk)).collect()
    }

    fn replace(&mut self, rows: Vec<Row>) {
        self.chunks.keys(self.device, self.channel).for_each(|(_, key)| self.named.remove(key));
        let next = self.chunks.rows.newest_chunk + 1;
        self.chunks.rows = StoredRows { first_chunk: next, newest_chunk: next, in_newest: 0 };
        self.chunks.sealed.until = next;
        for row in rows {
            self.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::{Feature, Features};
    use super::super::groups::Group;
    use super::super::history::Standing;
    use super::super::past::InMemory;
    use super::*;

    const DEVICE: DeviceIndex = DeviceIndex(3);
    const CHANNEL: ChannelPlace = ChannelPlace(1);
    /// A little more than a chunk.
    const REVISABLE: i64 = 30;

    fn row(window: i64) -> Row {
        let features = Features([window as f32; Feature::COUNT]);
        Row::new(WindowIndex(window), &features, [0.5; Group::COUNT], Standing::Trusted)
    }

    /// Rows of one channel, and the store they are in.
    #[derive(Default)]
    struct Kept {
        chunks: Chunks,
        pending: Pending,
        store: InMemory,
    }

    impl Kept {
        fn with<T>(&mut self, rows_max: usize, act: impl FnOnce(&mut dyn History) -> T) -> T {
            let Self { chunks, pending, store } = self;
            let (device, channel, named) = (DEVICE, CHANNEL, &mut Named { pending, source: store });
            act(&mut RowsOf { chunks, rows_max, revisable_windows: REVISABLE, device, channel, named })
        }

        fn commit(&mut self) {
            self.chunks.save(DEVICE, CHANNEL, &mut self.pending);
            let Pending { state, past } = std::mem::take(&mut self.pending);
            self.store.commit(state.into_iter().collect(), past);
        }

        /// As after a start from what is stored.
        fn restart(&mut self) {
            self.pending = Pending::default();
            self.chunks = Chunks::restore(self.chunks.rows, DEVICE, CHANNEL, &self.store);
        }

        fn rows(&mut self) -> Vec<Row> {
            self.with(240, |history| history.rows())
        }

        fn in_named_state(&self) -> usize {
            self.store.state.keys().filter(|key| key.contains("/rows/")).count()
        }
    }

    #[test]
    fn rows_come_back_in_order_and_the_oldest_go() {
        let mut kept = Kept::default();
        for i in 0..500 {
            let rows = kept.with(240, |history| {
                history.push(row(i));
                history.rows()
            });
            assert_eq!(rows.last(), Some(&row(i)));
            assert!(rows.windows(2).all(|w| w[0].window.0 + 1 == w[1].window.0));
            assert!(rows.len() >= 240.min(i as usize + 1) && rows.len() <= 240 + CHUNK_ROWS as usize);
            if i % 50 == 0 {
                kept.commit();
            }
        }
    }

    #[test]
    fn what_late_readings_cannot_touch_leaves_named_state_for_the_past_and_goes_from_there_in_time() {
        let mut kept = Kept::default();
        for i in 0..2_000 {
            kept.with(240, |history| history.push(row(i)));
            kept.commit();
            let named = kept.in_named_state();
            assert!(named <= 4, "{named} chunks in named state at row {i}");
            assert!(kept.store.past.len() <= 12, "{} chunks in the past", kept.store.past.len());
        }
        assert!(kept.store.past.len() >= 7);
        let rows = kept.rows();
        assert!(rows.len() >= 240 && rows.last() == Some(&row(1_999)));
        kept.restart();
        assert_eq!(kept.rows(), rows);
    }

    #[test]
    fn no_row_that_a_late_reading_may_touch_is_sealed() {
        let mut kept = Kept::default();
        for i in 0..500 {
            kept.with(240, |history| history.push(row(i)));
            kept.commit();
            let sealed = kept.store.past.values().flat_map(|bytes| parts::<Row>(bytes).unwrap());
            assert!(sealed.into_iter().all(|row| row.window.0 < i - REVISABLE));
        }
    }

    #[test]
    fn a_sealed_chunk_never_changes_and_its_number_does_not_come_again() {
        let mut kept = Kept::default();
        let mut seen = std::collections::BTreeMap::new();
        for i in 0..1_000 {
            kept.with(240, |history| {
                history.push(row(i));
                if i % 170 == 169 {
                    let mut rows = history.rows();
                    rows.iter_mut().for_each(|row| row.standing = Standing::Doubtful);
                    history.replace(rows);
                }
            });
            kept.commit();
            for (name, bytes) in &kept.store.past {
                assert_eq!(seen.entry(*name).or_insert_with(|| bytes.clone()), bytes, "{name:?} at row {i}");
            }
        }
        assert!(seen.len() > 50);
    }

    #[test]
    fn replaced_rows_leave_no_chunk_behind_once_the_next_transaction_is_made() {
        let mut kept = Kept::default();
        kept.with(480, |history| (0..200).for_each(|i| history.push(row(i))));
        kept.commit();
        assert!(!kept.store.past.is_empty());
        let rows = kept.with(480, |history| {
            history.replace((0..30).map(row).collect());
            history.rows()
        });
        assert_eq!(rows.len(), 30);
        kept.commit();
        assert!(!kept.store.past.is_empty(), "what the state before needs is there until the new one is durable");
        kept.restart();
        kept.commit();
        assert_eq!((kept.store.past.len(), kept.in_named_state()), (0, 2));
        assert_eq!(kept.rows().len(), 30);
    }

    #[test]
    fn rows_that_an_earlier_version_stored_in_named_state_are_sealed_with_the_next_chunk() {
        let mut kept = Kept::default();
        // As it stored them: all in named state, and no word of what is sealed.
        for chunk in 0..10_u32 {
            let rows: Vec<Row> = (0..24).map(|i| row(i64::from(chunk * CHUNK_ROWS + i))).collect();
            let bytes = rows[1..].iter().try_fold(encode(&rows[0]), append).unwrap();
            kept.store.state.insert(rows_key(DEVICE, CHANNEL, chunk), bytes);
        }
        kept.chunks.rows = StoredRows { first_chunk: 0, newest_chunk: 9, in_newest: CHUNK_ROWS };
        kept.restart();
        let before = kept.rows();
        assert_eq!(before.len(), 240);
        kept.with(480, |history| history.push(row(240)));
        kept.commit();
        assert_eq!((kept.store.past.len(), kept.in_named_state()), (8, 3));
        kept.restart();
        assert_eq!(kept.rows()[..240], before);
    }

    #[test]
    fn a_lost_past_leaves_the_newest_rows() {
        let mut kept = Kept::default();
        kept.with(480, |history| (0..200).for_each(|i| history.push(row(i))));
        kept.commit();
        kept.store.past.clear();
        let rows = kept.rows();
        assert!(rows.len() > REVISABLE as usize && rows.last() == Some(&row(199)), "{}", rows.len());
        kept.with(480, |history| (200..600).for_each(|i| history.push(row(i))));
        kept.commit();
        assert!(kept.rows().len() > 400, "and what comes later is kept as ever");
    }

    #[test]
    fn an_amended_row_takes_the_place_of_the_one_of_its_window_and_of_no_other() {
        let mut kept = Kept::default();
        kept.with(480, |history| (0..60).for_each(|i| history.push(row(2 * i))));
        kept.commit();
        // The first of them is sealed, for so long ago is no late reading allowed; the setting may change.
        for window in [0, 46, 48, 118] {
            let mut amended = row(window);
            amended.standing = Standing::Alarmed;
            let rows = kept.with(480, |history| {
                history.amend(amended);
                history.amend(row(window + 1));
                history.rows()
            });
            assert_eq!((rows.len(), rows[window as usize / 2]), (60, amended));
            kept.commit();
            kept.restart();
        }
        let alarmed = kept.rows().iter().filter(|r| r.standing == Standing::Alarmed).count();
        assert_eq!((alarmed, kept.store.past.len()), (4, 1));
    }

    #[test]
    fn a_chunk_of_the_longest_rows_fits_inline() {
        let features = Features([f32::MAX; Feature::COUNT]);
        let row = Row::new(WindowIndex(i64::MIN), &features, [f32::MAX; Group::COUNT], Standing::Alarmed);
        let bytes = (1..CHUNK_ROWS).try_fold(encode(&row), |bytes, _| append(bytes, &row)).unwrap();
        assert!(bytes.len() < 8 * 1024, "{} bytes", bytes.len());
    }
}
