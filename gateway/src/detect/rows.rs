//! A channel's rows in the store, in chunks; nothing of them stays in memory.
//!
//! # Invariants
//! - Rows lie in order of their windows, oldest first. A new one is written behind the others of the newest chunk, which is
//!   not decoded for it.

use serde::{Deserialize, Serialize};

use super::history::{History, Row};
use super::state::{Named, append, encode, parts, rows_key, usable};
use super::windows::{ChannelPlace, DeviceIndex};

/// Four hours of ten-minute windows, 3.4 KB.
pub(super) const CHUNK_ROWS: u32 = 24;

/// Where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredRows {
    first_chunk: u32,
    newest_chunk: u32,
    /// Rows in the newest chunk.
    in_newest: u32,
}

/// [`StoredRows`] together with where their chunks go to and come from.
pub(super) struct RowsOf<'a, 'b> {
    pub(super) rows: &'a mut StoredRows,
    pub(super) rows_max: usize,
    pub(super) device: DeviceIndex,
    pub(super) channel: ChannelPlace,
    pub(super) named: &'a mut Named<'b>,
}

impl StoredRows {
    /// Deletes all rows of a channel that is forgotten.
    pub(super) fn forget(self, device: DeviceIndex, channel: ChannelPlace, named: &mut Named<'_>) {
        for chunk in self.first_chunk..=self.newest_chunk {
            named.remove(rows_key(device, channel, chunk));
        }
    }
}

impl RowsOf<'_, '_> {
    fn key(&self, chunk: u32) -> String {
        rows_key(self.device, self.channel, chunk)
    }

    fn chunk(&self, chunk: u32) -> Vec<Row> {
        let key = self.key(chunk);
        self.named.get(&key).and_then(|bytes| usable(&key, parts(&bytes))).unwrap_or_default()
    }

    fn chunks_max(&self) -> u32 {
        self.rows_max.div_ceil(CHUNK_ROWS as usize) as u32
    }
}

impl History for RowsOf<'_, '_> {
    fn push(&mut self, row: Row) {
        if self.rows.in_newest == CHUNK_ROWS {
            self.rows.newest_chunk += 1;
            self.rows.in_newest = 0;
            while self.rows.newest_chunk - self.rows.first_chunk > self.chunks_max() {
                let key = self.key(self.rows.first_chunk);
                self.named.remove(key);
                self.rows.first_chunk += 1;
            }
        }
        let key = self.key(self.rows.newest_chunk);
        let before = self.named.get(&key).filter(|_| self.rows.in_newest > 0);
        let extended = before.and_then(|bytes| usable(&key, append(bytes, &row)));
        self.named.put(key, extended.unwrap_or_else(|| encode(&row)));
        self.rows.in_newest += 1;
    }

    fn amend(&mut self, row: Row) {
        for chunk in (self.rows.first_chunk..=self.rows.newest_chunk).rev() {
            let mut rows = self.chunk(chunk);
            if let Some(amended) = rows.iter_mut().find(|r| r.window == row.window) {
                *amended = row;
                let all = rows[1..].iter().try_fold(encode(&rows[0]), append);
                let key = self.key(chunk);
                if let Some(bytes) = usable(&key, all) {
                    self.named.put(key, bytes);
                }
                return;
            }
            if rows.first().is_some_and(|first| first.window < row.window) {
                return;
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        (self.rows.first_chunk..=self.rows.newest_chunk).flat_map(|chunk| self.chunk(chunk)).collect()
    }

    fn replace(&mut self, rows: Vec<Row>) {
        self.rows.forget(self.device, self.channel, self.named);
        *self.rows =
            StoredRows { first_chunk: self.rows.first_chunk, newest_chunk: self.rows.first_chunk, in_newest: 0 };
        for row in rows {
            self.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::calendar::WindowIndex;
    use super::super::features::{Feature, Features};
    use super::super::groups::Group;
    use super::super::history::Standing;
    use super::super::state::Pending;
    use super::*;

    fn row(window: i64) -> Row {
        let features = Features([window as f32; Feature::COUNT]);
        Row::new(WindowIndex(window), &features, [0.5; Group::COUNT], Standing::Trusted)
    }

    /// Rows of one channel, and the store they are in.
    #[derive(Default)]
    struct Kept {
        rows: StoredRows,
        pending: Pending,
        store: BTreeMap<String, Vec<u8>>,
    }

    impl Kept {
        fn with<T>(&mut self, rows_max: usize, act: impl FnOnce(&mut dyn History) -> T) -> T {
            let Self { rows, pending, store } = self;
            let named = &mut Named { pending, source: store };
            act(&mut RowsOf { rows, rows_max, device: DeviceIndex(3), channel: ChannelPlace(1), named })
        }

        fn commit(&mut self) {
            for (key, value) in std::mem::take(&mut self.pending) {
                match value {
                    Some(value) => self.store.insert(key, value),
                    None => self.store.remove(&key),
                };
            }
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
    fn replaced_rows_leave_no_chunk_behind() {
        let mut kept = Kept::default();
        let rows = kept.with(480, |history| {
            (0..200).for_each(|i| history.push(row(i)));
            history.replace((0..30).map(row).collect());
            history.rows()
        });
        assert_eq!(rows.len(), 30);
        kept.commit();
        assert_eq!(kept.store.len(), 2);
    }

    #[test]
    fn an_amended_row_takes_the_place_of_the_one_of_its_window_and_of_no_other() {
        let mut kept = Kept::default();
        kept.with(480, |history| (0..60).for_each(|i| history.push(row(2 * i))));
        kept.commit();
        for window in [0, 46, 48, 118] {
            let mut amended = row(window);
            amended.standing = Standing::Alarmed;
            let rows = kept.with(480, |history| {
                history.amend(amended);
                history.amend(row(window + 1));
                history.rows()
            });
            assert_eq!((rows.len(), rows[window as usize / 2]), (60, amended));
        }
        let alarmed =
            kept.with(480, |history| history.rows().iter().filter(|r| r.standing == Standing::Alarmed).count());
        assert_eq!(alarmed, 4);
    }
}
