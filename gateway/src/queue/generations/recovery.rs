//! What an opened store lacks is looked for in the files that cannot be opened any more, and stored anew.

use super::Generations;
use super::contents::{Batch, Contents};
use super::quarantine;
use super::salvage;
use crate::queue::record::Log;
use crate::queue::runs::Runs;
use crate::queue::store::StoreError;

/// Salvaged blocks are committed in steps of this.
const STEP_BYTES: usize = 1 << 20;

/// Looks for `wanted` in what was set aside and in the newest generation's own files; what is found is committed, joins
/// `contents.held` and leaves `wanted`.
pub(in crate::queue) fn salvage(
    generations: &mut Generations,
    contents: &mut Contents,
    wanted: &mut [Runs; 2],
) -> Result<(), StoreError> {
    if wanted.iter().all(|runs| runs.first().is_none()) {
        return Ok(());
    }
    // Also what was set aside earlier: a crash may have come between.
    let mut dirs = quarantine::list(generations.dir())?;
    dirs.push(generations.newest_dir()?);
    let (mut step, mut bytes, mut records) = (Batch::default(), 0, 0);
    for dir in dirs {
        salvage::blocks_in(&dir, wanted, &mut |found| {
            bytes += found.block.bytes.len();
            records += found.block.run.count();
            contents.held[found.log as usize].add(found.block.run);
            contents.end[found.log as usize] = contents.end[found.log as usize].max(found.block.run.end);
            // A generation that begins meanwhile takes over only what lies before its own beginning.
            generations.go_on_at(Log::ALL.map(|log| contents.end[log as usize].max(generations.end()[log as usize])));
            step.carried.push(found);
            if bytes >= STEP_BYTES {
                bytes = 0;
                generations.commit(&std::mem::take(&mut step))?;
                generations.newest()?;
            }
            Ok(())
        })?;
    }
    if !step.is_empty() {
        generations.commit(&step)?;
    }
    if records > 0 {
        tracing::warn!(records, "Queue salvaged records from damaged files.");
    }
    Ok(())
}
