//! The generations of a queue, one after the other: the newest is written, the older ones are read and then deleted.
//!
//! # Invariants
//! - All of a commit goes into the newest generation as one batch, which its engine makes atomic.
//! - The newest generation knows everything that is not a block: accounts, state, losses, and what the older ones hold.
//!   So only it is read at open, and a vanished older one is noticed.
//! - A new generation counts only once it has taken over what the one before knew, together with the commit that it was
//!   begun for. After a failed commit the next one goes into a new generation: what the old file holds of the failed
//!   one does not count.
//! - What is copied into a new generation is a quarter of what it takes at most, as long as it is less than
//!   [`ROOM_BYTES_MAX`] / 3: a stage with much state makes generations larger, not their beginnings more frequent.
//! - At most [`SEALED_OPEN_MAX`] older ones are open at a time: an engine's memory grows with what is open.
//!
//! # Flow
//! ```text
//! commit ─▶ newest ≥ limit? ─yes─▶ next one: take over, commit, sync, mark complete
//!                 └─no─▶ one batch, durable
//! ```

pub(in crate::queue) mod contents;
pub(in crate::queue) mod generation;
pub(in crate::queue) mod keys;
mod open;
pub(in crate::queue) mod quarantine;
pub(in crate::queue) mod recovery;
pub(in crate::queue) mod salvage;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::block;
use super::files;
use super::record::{Log, QueueSeq};
use super::runs::Run;
use super::store::{Engine, Entries, StoreError, VALUE_BYTES_MAX};
use contents::{Batch, Contents, Quarantined, Stored};
use generation::{Generation, Held};
use keys::Part;

use open::IfDamaged;
pub(in crate::queue) use open::{Known, known_by};
use view::Shared;
pub(in crate::queue) use view::{Sealed, Seen, View, state};

/// Older generations open for reading at a time.
const SEALED_OPEN_MAX: usize = 2;
/// A new generation is filled in steps of this, so that a large state does not have to fit into memory twice.
const COPY_BYTES_MAX: usize = 1 << 20;
/// A generation takes this many times as much as was copied into it, and that, …
const ROOM_PER_COPIED: u64 = 3;
/// …but no more than this: an engine's memory grows with what is open, and so does the time to open it.
const ROOM_BYTES_MAX: u64 = 64 << 20;
/// State takes up to this many times its bytes on disk.
const STATE_OVERHEAD: u64 = 2;

pub(in crate::queue) struct Generations {
    generation_max_bytes: u64,
    /// Where the next records go.
    end: [QueueSeq; 2],
    newest_number: u32,
    /// Its size when it was last measured.
    newest_bytes: u64,
    /// What of that was copied from the one before, about.
    copied_bytes: u64,
    /// The next commit begins a generation: the newest cannot be trusted, or is to be given up.
    roll_due: bool,
    /// Entries about generations that are gone; they leave with the next commit.
    forget: Entries,
    shared: Arc<Shared>,
}

/// Of the newest generation.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Newest {
    pub(in crate::queue) bytes: u64,
    /// Of these copied from the one before.
    pub(in crate::queue) copied_bytes: u64,
    pub(in crate::queue) records: u64,
    pub(in crate::queue) has_raw: bool,
    pub(in crate::queue) begun_at: Instant,
}

impl Generations {
    /// Opens what is in `dir`, which exists and is locked; sets aside what cannot be opened, deletes leftovers.
    /// `end` and `newest` are what the watermark says: where the logs go on, and which generation was in use.
    pub(in crate::queue) fn open(
        dir: &Path,
        engine: Arc<dyn Engine>,
        generation_max_bytes: u64,
        end: [QueueSeq; 2],
        newest: u32,
    ) -> Result<(Self, Contents), StoreError> {
        let shared = Arc::new(Shared::new(dir, engine));
        let mut generations = Self {
            generation_max_bytes,
            end,
            newest_number: newest,
            newest_bytes: 0,
            copied_bytes: 0,
            roll_due: false,
            forget: Entries::default(),
            shared,
        };
        let contents = generations.load(newest, IfDamaged::SetAside)?;
        Ok((generations, contents))
    }

    /// Looks at the directory anew, after an error.
    pub(in crate::queue) fn reopen(&mut self) -> Result<Contents, StoreError> {
        self.close();
        let contents = self.load(self.newest_number, IfDamaged::GiveUp)?;
        self.roll_due = true;
        Ok(contents)
    }

    /// Lets go of all files; readers find nothing until `reopen`.
    pub(in crate::queue) fn close(&mut self) {
        self.shared.replace(Vec::new());
    }

    fn load(&mut self, newest: u32, if_damaged: IfDamaged) -> Result<Contents, StoreError> {
        let open::Loaded { generations, contents, forget } = open::load(&self.shared, self.end, newest, if_damaged)?;
        self.forget = forget;
        self.newest_number = generations.last().map_or(newest, |g| g.number());
        self.copied_bytes = match generations.last() {
            // State that cannot be read is found by whoever needs it.
            Some(newest) => on_disk(state_bytes(newest).unwrap_or_default(), newest)?,
            None => 0,
        };
        self.shared.replace(generations);
        Ok(contents)
    }

    pub(in crate::queue) fn view(&self) -> View {
        View::new(self.shared.clone())
    }

    /// Size of the newest one when it was last measured.
    pub(in crate::queue) fn newest_bytes(&self) -> u64 {
        self.newest_bytes
    }

    pub(in crate::queue) fn newest_number(&self) -> u32 {
        self.newest_number
    }

    pub(in crate::queue) fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Where the newest one's files are.
    pub(in crate::queue) fn newest_dir(&self) -> Result<PathBuf, StoreError> {
        Ok(self.shared.newest()?.dir().to_owned())
    }

    /// The next commit's blocks begin here; sequences before are given away.
    pub(in crate::queue) fn go_on_at(&mut self, end: [QueueSeq; 2]) {
        self.end = end;
    }

    pub(in crate::queue) fn end(&self) -> [QueueSeq; 2] {
        self.end
    }

    pub(in crate::queue) fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let newest = self.shared.newest()?;
        if self.roll_due || self.newest_bytes >= self.limit_bytes() {
            return self.roll(&newest, batch);
        }
        let entries = self.entries(&newest, batch)?;
        newest.commit(&entries)?;
        self.committed(&newest, batch);
        Ok(())
    }

    /// Size on disk at which the newest one is full.
    fn limit_bytes(&self) -> u64 {
        let room = (ROOM_PER_COPIED * self.copied_bytes).min(ROOM_BYTES_MAX);
        self.generation_max_bytes.max(self.copied_bytes + room)
    }

    /// The next commit begins a generation.
    pub(in crate::queue) fn roll_next(&mut self) {
        self.roll_due = true;
    }

    /// Begins a generation that knows all that the one before knew, and commits the batch to it.
    fn roll(&mut self, before: &Generation, batch: &Batch) -> Result<(), StoreError> {
        let next =
            Generation::create(&self.shared.engine, &self.shared.dir, self.newest_number.max(before.number()) + 1)?;
        let mut step = Entries::default();
        for log in Log::ALL {
            step.set(keys::begin(log), self.end[log as usize].0.to_be_bytes());
        }
        let state_bytes = self.take_over(before, &next, &mut step)?;
        let sealed = trimmed(before, self.end);
        note_older(&mut step, before.number(), &sealed);
        next.commit(&step)?;
        let entries = self.entries(&next, batch)?;
        next.commit(&entries)?;
        next.complete()?;
        self.copied_bytes = on_disk(state_bytes, &next)?;
        let next = Arc::new(next);
        self.committed(&next, batch);
        self.roll_due = false;
        self.newest_bytes = 0;
        self.newest_number = next.number();
        for log in Log::ALL {
            before.disown(log, Run::new(sealed[log as usize].runs.end().unwrap_or_default(), QueueSeq(u64::MAX)));
        }
        self.shared.push(next.clone());
        // Readers who keep up live on the cache; one who lags opens it again.
        before.close();
        tracing::debug!(generation = next.number(), "Queue began a new generation.");
        Ok(())
    }

    /// Copies what is not a block, without what is about generations and losses of the past; says how much of it is state.
    fn take_over(&self, before: &Generation, next: &Generation, step: &mut Entries) -> Result<u64, StoreError> {
        let present = self.shared.numbers();
        let oldest = self.shared.oldest();
        let is_past = |key: &[u8], value: &[u8]| match key[0] {
            keys::OLDER_RUN => keys::parse_older_run(key, value).is_none_or(|(n, _, _)| !present.contains(&n)),
            keys::OLDER_META => keys::parse_older_meta(key, value).is_none_or(|(n, _, _, _)| !present.contains(&n)),
            keys::LOST => keys::parse_lost(key, value)
                .is_none_or(|(log, run)| run.end <= oldest[log as usize].unwrap_or(self.end[log as usize])),
            _ => false,
        };
        let mut state_bytes = 0;
        for tag in [keys::ACCOUNT, keys::OLDER_RUN, keys::OLDER_META, keys::LOST, keys::STATE] {
            before.each(&[tag], &mut |key, value| {
                if tag == keys::STATE {
                    state_bytes += (key.len() + value.len()) as u64;
                }
                if !is_past(key, value) {
                    step.set(key, value);
                }
                if step.bytes() >= COPY_BYTES_MAX {
                    next.commit(&std::mem::take(step))?;
                }
                Ok(())
            })?;
        }
        Ok(state_bytes)
    }

    /// The batch as entries of this generation.
    fn entries(&self, target: &Generation, batch: &Batch) -> Result<Entries, StoreError> {
        let mut entries = self.forget.clone();
        for block in &batch.blocks {
            insert_block(&mut entries, block.body.log, Run::new(block.body.first, block.body.end()), &block.stored);
        }
        for carried in &batch.carried {
            insert_block(&mut entries, carried.log, carried.block.run, &carried.block.bytes);
        }
        for (name, log, account) in &batch.accounts {
            entries.set(keys::account(name, *log), account.to_bytes());
        }
        for (log, run) in &batch.lost {
            entries.set(keys::lost(*log, run.first), run.end.0.to_be_bytes());
        }
        for (name, value) in &batch.state {
            replace_state(target, &mut entries, name, value.as_deref())?;
        }
        Ok(entries)
    }

    fn committed(&mut self, newest: &Generation, batch: &Batch) {
        self.forget = Entries::default();
        for block in &batch.blocks {
            let (log, end) = (block.body.log, block.body.end());
            newest.add(log, Run::new(block.body.first, end), block.stored.len(), block.newest);
            self.end[log as usize] = end;
        }
        for carried in &batch.carried {
            let bytes = &carried.block.bytes;
            let stamp = || block::newest(bytes).unwrap_or_default();
            newest.add_carried(carried.log, carried.block.run, bytes.len(), stamp);
        }
    }

    /// Deletes what an attempt to begin a generation has left; says whether there was something.
    pub(in crate::queue) fn purge_half_made(&self) -> Result<bool, StoreError> {
        let is_half_made = |path: &PathBuf| generation::number(path).is_some_and(|number| number > self.newest_number);
        let half_made: Vec<_> = files::entries(&self.shared.dir)?.into_iter().filter(is_half_made).collect();
        half_made.iter().try_for_each(|path| files::delete_dir(path))?;
        Ok(!half_made.is_empty())
    }

    /// How many of the oldest generations hold nothing at or after these sequences.
    pub(in crate::queue) fn drained(&self, keep_from: [QueueSeq; 2]) -> usize {
        let is_drained = |g: &Generation| Log::ALL.iter().all(|log| g.end(*log) <= Some(keep_from[*log as usize]));
        self.shared.sealed().iter().take_while(|g| is_drained(g)).count()
    }

    /// Measures the newest generation; the next commit begins another one if it has grown to its limit.
    pub(in crate::queue) fn newest(&mut self) -> Result<Newest, StoreError> {
        let newest = self.shared.newest()?;
        self.newest_bytes = files::disk_bytes(newest.dir())?;
        let has_raw = newest.end(Log::Raw).is_some();
        let records = newest.held().iter().map(|held| held.runs.count_from(QueueSeq(0))).sum();
        let (bytes, copied_bytes) = (self.newest_bytes, self.copied_bytes);
        Ok(Newest { bytes, copied_bytes, records, has_raw, begun_at: newest.opened_at() })
    }

    /// The oldest sequences that are still there once `count` of the oldest generations are not.
    pub(in crate::queue) fn oldest_after(&self, count: usize) -> [QueueSeq; 2] {
        let generations = self.shared.all();
        Log::ALL.map(|log| {
            let left = generations.iter().skip(count).filter_map(|g| g.next_held(log, QueueSeq(0))).min();
            left.unwrap_or(self.end[log as usize])
        })
    }

    /// Deletes the oldest generations and says what is gone with them. The watermark must say so before.
    pub(in crate::queue) fn delete_oldest(&mut self, count: usize) -> Result<Vec<(Log, Run)>, StoreError> {
        let mut released = Vec::new();
        for generation in self.shared.take_oldest(count) {
            released.extend(self.gone(&generation));
            generation.delete()?;
            tracing::debug!(generation = generation.number(), "Queue deleted a generation.");
        }
        Ok(released)
    }

    /// Sets an older generation aside that cannot be read. What it held is gone, as far as it is not salvaged.
    pub(in crate::queue) fn quarantine(&mut self, number: u32) -> Result<Option<Quarantined>, StoreError> {
        let Some(generation) = self.shared.take(number) else { return Ok(None) };
        generation.close_for_good();
        let gone = self.gone(&generation);
        let dir = quarantine::set_aside(&self.shared.dir, generation.dir())?;
        Ok(Some(Quarantined { dir, was_newest: false, gone }))
    }

    fn gone(&mut self, generation: &Generation) -> Vec<(Log, Run)> {
        let mut gone = Vec::new();
        for (log, held) in Log::ALL.into_iter().zip(generation.held()) {
            self.forget.remove(keys::older_meta(generation.number(), log));
            for run in held.runs.iter() {
                self.forget.remove(keys::older_run(generation.number(), log, run.first));
                gone.push((log, run));
            }
        }
        gone
    }

    /// The block that holds `from`, or the first one after it, in one of the older generations.
    pub(in crate::queue) fn read_sealed(
        &self,
        number: u32,
        log: Log,
        from: QueueSeq,
    ) -> Result<Option<Stored>, StoreError> {
        let sealed = self.shared.sealed();
        sealed.iter().find(|g| g.number() == number).map_or(Ok(None), |g| g.read(log, from))
    }

    /// What an older generation holds of the log does not count any more: it was carried on.
    pub(in crate::queue) fn disown(&mut self, number: u32, log: Log) {
        let sealed = self.shared.sealed();
        let Some(generation) = sealed.iter().find(|g| g.number() == number) else { return };
        for run in generation.held()[log as usize].runs.iter() {
            self.forget.remove(keys::older_run(number, log, run.first));
        }
        generation.disown(log, Run::new(QueueSeq(0), QueueSeq(u64::MAX)));
    }

    pub(in crate::queue) fn is_newest(&self, number: u32) -> bool {
        self.shared.newest().is_ok_and(|g| g.number() == number)
    }
}

impl Drop for Generations {
    /// Readers may outlive the writer; the directory is free all the same.
    fn drop(&mut self) {
        self.shared.close();
    }
}

fn state_bytes(generation: &Generation) -> Result<u64, StoreError> {
    let mut bytes = 0;
    generation.each(&[keys::STATE], &mut |key, value| {
        bytes += (key.len() + value.len()) as u64;
        Ok(())
    })?;
    Ok(bytes)
}

/// What so much state takes on disk, in a generation that holds hardly anything else; nothing if it is copied in one step.
fn on_disk(state_bytes: u64, generation: &Generation) -> Result<u64, StoreError> {
    if state_bytes < COPY_BYTES_MAX as u64 {
        return Ok(0);
    }
    Ok(files::disk_bytes(generation.dir())?.min(STATE_OVERHEAD * state_bytes))
}

/// What of a generation counts once the next one begins at `end`.
fn trimmed(generation: &Generation, end: [QueueSeq; 2]) -> [Held; 2] {
    let mut held = generation.held();
    for (held, end) in held.iter_mut().zip(end) {
        held.runs.remove(Run::new(end, QueueSeq(u64::MAX)));
    }
    held
}

fn note_older(entries: &mut Entries, number: u32, held: &[Held; 2]) {
    for (log, held) in Log::ALL.into_iter().zip(held) {
        entries.set(keys::older_meta(number, log), keys::meta_value(held.bytes, held.newest));
        for run in held.runs.iter() {
            entries.set(keys::older_run(number, log, run.first), run.end.0.to_be_bytes());
        }
    }
}

fn insert_block(entries: &mut Entries, log: Log, run: Run, block: &[u8]) {
    for part in Part::cut(log, run, block) {
        entries.set(part.key.to_bytes(), part.to_bytes());
    }
}

fn replace_state(
    target: &Generation,
    entries: &mut Entries,
    name: &str,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    target.each(&keys::state_prefix(name), &mut |key, _| {
        entries.remove(key);
        Ok(())
    })?;
    let Some(value) = value else { return Ok(()) };
    let bytes = [&view::state_head(value), value].concat();
    for (part, bytes) in (0u16..).zip(bytes.chunks(VALUE_BYTES_MAX)) {
        entries.set(keys::state_part(name, part), bytes);
    }
    Ok(())
}
