//! Writes a roll: once, however often it is tried and by whom.
//!
//! # Flow
//! ```text
//! intent there? ──no──▶ create it with our end ──▶ manifest there? ──yes──▶ delete the intent: it was done before
//!       └──yes: its end holds ─────────────────────────▲    └──no──▶ files ─▶ manifest ─▶ delete the intent
//! ```
//! A manifest is looked for only behind the intent: who created one then knows that nobody had finished the roll before.
//! Each step can be the last of a process; whoever comes next goes through the same steps and finds what was done.

use std::sync::Arc;

use parquet::errors::ParquetError;
use tokio::task::spawn_blocking;

use super::columns::Reader;
use super::file;
use super::layout::RollName;
use super::manifest::{FileEntry, Intent, Manifest};
use super::roll::Roll;
use super::store::{Store, StoreError};

/// What became of a roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// This roll is stored, up to its end or an earlier one that was decided before.
    Written(Manifest),
    /// It was stored before, and perhaps others behind it: all before this offset.
    Before { next_offset: i64 },
    /// It was decided before that it ends later than this one does: read on to that offset, and write it then.
    EndsLater { last_offset: i64 },
}

#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A mistake of this program: no repeat will help.
    #[error("a file cannot be made: {0}")]
    File(#[from] ParquetError),
    #[error("a file was not finished: {0}")]
    Cut(#[from] tokio::task::JoinError),
}

/// # Errors
/// The store did not answer as it should: try it again, from the beginning.
pub async fn settle(store: &Store, roll: &Arc<Roll>, reader: &Arc<Reader>) -> Result<Settled, SettleError> {
    let name = roll.name();
    let last_offset = decide_end(store, roll).await?;
    if let Some(done) = store.get_json::<Manifest>(&name.manifest()).await? {
        store.delete(&name.intent()).await?;
        return Ok(Settled::Before { next_offset: follow(store, done).await? });
    }
    if last_offset > roll.last_offset() {
        return Ok(Settled::EndsLater { last_offset });
    }
    let mut files = Vec::new();
    for (folder, rows) in file::by_folder(roll, roll.rows_through(last_offset)) {
        let path = folder.file(name);
        let (roll, reader) = (roll.clone(), reader.clone());
        let file = spawn_blocking(move || file::write(&folder, &roll, &rows, &reader)).await??;
        let (rows, bytes) = (file.rows as u64, file.bytes.len() as u64);
        store.put(&path, file.bytes).await?;
        files.push(FileEntry { path, rows, bytes, sha256: file.sha256 });
    }
    let manifest = Manifest::new(name, last_offset, files);
    store.put_json(&name.manifest(), &manifest).await?;
    store.delete(&name.intent()).await?;
    Ok(Settled::Written(manifest))
}

/// The last offset of the roll: as it was decided before, or as it is now.
async fn decide_end(store: &Store, roll: &Roll) -> Result<i64, StoreError> {
    let (path, ours) = (roll.name().intent(), Intent::new(roll.last_offset()));
    loop {
        if let Some(intent) = store.get_json::<Intent>(&path).await? {
            return Ok(intent.last_offset);
        }
        // Another may have created it in between, and even have finished: then it is looked at once more.
        if store.create_json(&path, &ours).await? {
            return Ok(ours.last_offset);
        }
    }
}

/// The first offset behind this roll and those behind it that are complete.
async fn follow(store: &Store, done: Manifest) -> Result<i64, StoreError> {
    let Manifest { topic, partition, mut last_offset, .. } = done;
    loop {
        let next = RollName { topic: topic.clone(), partition, first: last_offset + 1 };
        match store.get_json::<Manifest>(&next.manifest()).await? {
            Some(manifest) => last_offset = manifest.last_offset,
            None => return Ok(next.first),
        }
    }
}

#[cfg(test)]
mod tests;
