//! Finds blocks in the files of a store that cannot be opened, or that has forgotten them: each part of a block says
//! itself what it is, wherever an engine has put it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::contents::{Carried, Stored};
use super::keys::Part;
use crate::queue::block;
use crate::queue::files;
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::{Run, Runs};
use crate::queue::store::{StoreError, VALUE_BYTES_MAX};

/// A file is read in steps of this.
const STEP_BYTES: usize = 1 << 20;
/// Parts of blocks that are not whole yet may take this much memory; beyond it the oldest are given up.
const PENDING_BYTES_MAX: usize = 8 << 20;

/// Parts of blocks that wait for the rest: by log and first sequence, by number.
#[derive(Default)]
struct Pending {
    blocks: BTreeMap<(Log, QueueSeq), BTreeMap<u16, Vec<u8>>>,
    bytes: usize,
}

/// Gives every sound block under `dir` whose records are all among `wanted`, each once; `wanted` shrinks by them.
pub(in crate::queue) fn blocks_in(
    dir: &Path,
    wanted: &mut [Runs; 2],
    f: &mut dyn FnMut(Carried) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut pending = Pending::default();
    for path in files::entries(dir)? {
        if path.is_dir() {
            blocks_in(&path, wanted, f)?;
        } else {
            scan(&path, wanted, &mut pending, f)?;
        }
    }
    Ok(())
}

fn scan(
    path: &Path,
    wanted: &mut [Runs; 2],
    pending: &mut Pending,
    f: &mut dyn FnMut(Carried) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut file = File::open(path).map_err(StoreError::io(path))?;
    let mut bytes = Vec::with_capacity(STEP_BYTES + VALUE_BYTES_MAX);
    loop {
        let read = file.by_ref().take(STEP_BYTES as u64).read_to_end(&mut bytes);
        let is_end = match read {
            Ok(count) => count == 0,
            // A bad sector ends this file; what was found before it counts.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "Salvage cannot read on in a file.");
                true
            }
        };
        // A part that begins near the end may go on in the next step.
        let sure = if is_end { bytes.len() } else { bytes.len().saturating_sub(VALUE_BYTES_MAX) };
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(4).position(|w| w == Part::MAGIC).filter(|found| at + found < sure)
        {
            at += found;
            match Part::parse(&bytes[at..]) {
                Some(part) => {
                    if let Some(block) = pending.add(part, wanted) {
                        wanted[block.log as usize].remove(block.block.run);
                        f(block)?;
                    }
                    at += Part::HEAD_BYTES + part.bytes.len();
                }
                None => at += 1,
            }
        }
        if is_end || wanted.iter().all(|runs| runs.first().is_none()) {
            return Ok(());
        }
        bytes.drain(..sure.max(at).min(bytes.len()));
    }
}

impl Pending {
    /// The block, once its last part is there and it is sound and wanted.
    fn add(&mut self, part: Part<'_>, wanted: &[Runs; 2]) -> Option<Carried> {
        let (log, run) = (part.key.log, part.key.run());
        if wanted[log as usize].count_within(run) < run.count() {
            return None;
        }
        if part.key.parts == 1 {
            return sound(log, run, part.bytes.to_vec());
        }
        let parts = self.blocks.entry((log, run.first)).or_default();
        if parts.insert(part.key.part, part.bytes.to_vec()).is_none() {
            self.bytes += part.bytes.len();
        }
        if parts.len() == usize::from(part.key.parts) {
            let parts = self.blocks.remove(&(log, run.first))?;
            let bytes: Vec<u8> = parts.into_values().flatten().collect();
            self.bytes = self.bytes.saturating_sub(bytes.len());
            return sound(log, run, bytes);
        }
        while self.bytes > PENDING_BYTES_MAX {
            let (_, parts) = self.blocks.pop_first()?;
            self.bytes = self.bytes.saturating_sub(parts.values().map(Vec::len).sum());
        }
        None
    }
}

/// The block, if it is what its place says.
fn sound(log: Log, run: Run, bytes: Vec<u8>) -> Option<Carried> {
    let block = block::decode(&bytes).ok()?;
    let is_it = (block.log(), block.first(), block.end()) == (log, run.first, run.end);
    is_it.then_some(Carried { log, block: Stored { run, bytes } })
}
