//! Writes a queue anew: every record that can be read, under its own sequence.
//!
//! # Invariants
//! - The original is only read. The new directory gets its name when it is whole; nothing that was there is replaced.
//! - Holes stay holes and are booked as lost; what was booked as lost and is found again is taken out of these books.
//! - The new books balance.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::scratch::copy_dir;
use super::{Error, Offline, OnProgress, Progress, Walked, damage_apart};
use crate::queue::EngineKind;
use crate::queue::annex;
use crate::queue::books::Books;
use crate::queue::cursor::{Account, Fate, LedgerRow};
use crate::queue::files::{self, DirLock};
use crate::queue::generations::Generations;
use crate::queue::generations::contents::{Batch, Carried, Contents, Stored};
use crate::queue::generations::quarantine;
use crate::queue::generations::salvage;
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::{Run, Runs};
use crate::queue::store::StoreError;
use crate::queue::watermark::{Mark, Watermark};

/// Blocks are committed in steps of this.
const STEP_BYTES: usize = 1 << 20;
/// The directory's name until it is whole.
const PART_SUFFIX: &str = ".part";

/// What became of it. Arrays are indexed by `Log`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// In the new directory.
    pub records: [u64; 2],
    /// Of these, found in files behind their engine's back: damaged ones, and such as the queue had set aside.
    pub salvaged: [u64; 2],
    /// Of these, booked as lost before.
    pub found_again: [u64; 2],
    /// Could not be found anywhere; booked as lost.
    pub lost: [Vec<Run>; 2],
    /// Were booked as lost before, and still are.
    pub lost_before: [Vec<Run>; 2],
    /// More may be lost than can be told: there was no watermark to compare with.
    pub is_at_least: bool,
    /// Named state that was taken over.
    pub states: u64,
    /// The newest generation could not be opened: state is that of an earlier moment, or gone.
    pub is_state_older: bool,
    /// Named state that is not as it was written, and could not be taken over.
    pub states_lost: Vec<String>,
    /// Ledger rows whose losses had to be corrected for the row to balance, and by how many records.
    pub corrected: Vec<(String, Log, i64)>,
    pub ledger: Vec<LedgerRow>,
}

impl Offline {
    /// Writes the queue anew into `out`, which is made.
    ///
    /// # Errors
    /// `out` is not empty, the machine refuses to read or write, or `progress` broke it off; nothing is left of it then.
    pub fn repair(
        &self,
        out: &Path,
        engine: EngineKind,
        generation_max_bytes: u64,
        progress: OnProgress<'_>,
    ) -> Result<Repaired, Error> {
        let part = self.reserve(out)?;
        let written = self.write_anew(&part, engine, generation_max_bytes, progress).and_then(|repaired| {
            // Replaces an empty directory, and only that.
            fs::rename(&part, out).map_err(StoreError::io(out))?;
            files::sync_dir(parent_of(out))?;
            Ok(repaired)
        });
        if written.is_err() && part.exists() {
            fs::remove_dir_all(&part).map_err(StoreError::io(&part))?;
        }
        written
    }

    /// Makes the directory under its name for the time being.
    fn reserve(&self, out: &Path) -> Result<PathBuf, Error> {
        let refused = |out: &Path, reason: &str| Error::Out { out: out.to_owned(), reason: reason.to_owned() };
        if out.exists() && (!out.is_dir() || !files::entries(out)?.is_empty()) {
            return Err(refused(out, "is there already, and not empty"));
        }
        let mut name = out.file_name().ok_or_else(|| refused(out, "is not the name of a directory"))?.to_owned();
        name.push(PART_SUFFIX);
        let parent = parent_of(out);
        files::create_dir(parent)?;
        let real = |path: &Path| fs::canonicalize(path).map_err(StoreError::io(path));
        if real(parent)?.starts_with(real(&self.dir)?) {
            return Err(refused(out, "lies within the queue that is to be repaired"));
        }
        let part = parent.join(name);
        match fs::create_dir(&part) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(refused(&part, "is left of an earlier repair that was interrupted; delete it"))
            }
            made => Ok(made.map(|()| part).map_err(StoreError::io(out))?),
        }
    }

    fn write_anew(
        &self,
        dir: &Path,
        engine: EngineKind,
        generation_max_bytes: u64,
        progress: OnProgress<'_>,
    ) -> Result<Repaired, Error> {
        let _lock = DirLock::take(dir)?;
        let oldest = self.mark().map(|m| m.oldest).unwrap_or_default();
        let (store, _) = Generations::open(dir, crate::queue::engine(engine), generation_max_bytes, oldest, 0)?;
        let mut copy = Rewriting { store, have: Default::default(), step: Batch::default(), step_bytes: 0 };
        self.take_over_blocks(&mut copy, progress)?;
        let have_opened = copy.have.clone();
        self.salvage_into(&mut copy)?;
        let mut repaired = Repaired {
            is_at_least: self.is_at_least(),
            is_state_older: self.contents.is_of_an_earlier_moment(self.mark()),
            ..Repaired::default()
        };
        for log in Log::ALL.map(|log| log as usize) {
            let all = QueueSeq(0);
            repaired.records[log] = copy.have[log].count_from(all);
            repaired.salvaged[log] = repaired.records[log] - have_opened[log].count_from(all);
        }
        self.take_over_states(&mut copy.store, &mut repaired)?;
        self.take_over_annexes(dir)?;
        self.take_over_books(copy, &mut repaired, dir)?;
        Ok(repaired)
    }

    /// What can be opened.
    fn take_over_blocks(&self, copy: &mut Rewriting, progress: OnProgress<'_>) -> Result<(), Error> {
        let mut told = Progress { generations_done: 0, generations: self.counted().count(), records: 0 };
        for listed in self.counted() {
            let mut failed = None;
            let walked = self.walk(listed, &Log::ALL, &mut |piece| {
                if piece.block.is_none() {
                    return ControlFlow::Continue(());
                }
                told.records += piece.run.count();
                let block = Stored { run: piece.run, bytes: piece.bytes };
                if let Err(error) = copy.put(Carried { log: piece.log, block }) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
                progress(told)
            })?;
            match (walked, failed) {
                (_, Some(error)) => return Err(error.into()),
                (Walked::Stopped, None) => return Err(Error::Stopped),
                // What it does not give is looked for in its files.
                (Walked::Whole | Walked::Broken(_), None) => {}
            }
            told.generations_done += 1;
        }
        Ok(copy.flush()?)
    }

    /// What lies in files that cannot be opened, or that an engine has forgotten.
    fn salvage_into(&self, copy: &mut Rewriting) -> Result<(), Error> {
        let (mark, ends) = (self.mark(), self.ends());
        let mut wanted: [Runs; 2] = Default::default();
        for log in Log::ALL.map(|log| log as usize) {
            // Without a watermark nobody knows where the log ends.
            let run = match mark {
                Some(mark) => Run::new(mark.oldest[log], ends[log]),
                None => Run::new(copy.have[log].first().unwrap_or_default(), QueueSeq(u64::MAX)),
            };
            wanted[log].add(run);
            copy.have[log].iter().for_each(|run| wanted[log].remove(run));
        }
        let dirs = self.listed.iter().map(|l| l.dir.clone()).chain(quarantine::list(&self.dir)?);
        for dir in dirs {
            salvage::blocks_in(&dir, &mut wanted, &mut |found| copy.put(found))?;
        }
        Ok(copy.flush()?)
    }

    fn take_over_states(&self, store: &mut Generations, repaired: &mut Repaired) -> Result<(), Error> {
        let (mut step, mut step_bytes) = (Batch::default(), 0);
        for name in self.state_names()? {
            match damage_apart(self.state(&name))? {
                Ok(value) => {
                    step_bytes += value.as_ref().map_or(0, Vec::len);
                    step.state.push((name, value));
                    repaired.states += 1;
                }
                Err(_) => repaired.states_lost.push(name),
            }
            if step_bytes >= STEP_BYTES {
                step_bytes = 0;
                store.commit(&std::mem::take(&mut step))?;
            }
        }
        Ok(store.commit(&step)?)
    }

    /// As they are: a gateway that cannot open one begins it anew.
    fn take_over_annexes(&self, dir: &Path) -> Result<(), Error> {
        for from in annex::list(&self.dir)? {
            let to = dir.join(from.file_name().unwrap_or_default());
            fs::create_dir(&to).map_err(StoreError::io(&to))?;
            copy_dir(&from, &to)?;
            files::sync_tree(&to)?;
        }
        Ok(())
    }

    /// Accounts, findings of losses and the watermark: the last commit, in a generation that knows where the logs end.
    fn take_over_books(&self, copy: Rewriting, repaired: &mut Repaired, dir: &Path) -> Result<(), Error> {
        let Rewriting { mut store, have, .. } = copy;
        let mut contents = Contents { held: have, vanished: Default::default(), ..self.contents.clone() };
        let mut mark = self.mark().cloned();
        for log in Log::ALL {
            let (at, held) = (log as usize, &contents.held[log as usize]);
            if let Some(mark) = &mut mark {
                // What only the watermark knows of is as good as noted.
                let of_log = mark.lost.extract_if(.., |(of, _)| *of == log);
                of_log.for_each(|(_, run)| contents.lost_before[at].add(run));
            }
            let mut found_again = contents.lost_before[at].clone();
            held.iter().for_each(|run| contents.lost_before[at].remove(run));
            contents.lost_before[at].iter().for_each(|run| found_again.remove(run));
            repaired.found_again[at] = found_again.count_from(QueueSeq(0));
            unbook(&mut contents, mark.as_mut(), log, &found_again);
            if mark.is_none() {
                contents.end[at] = contents.end[at].max(contents.held[at].end().unwrap_or_default());
            }
        }
        let ends = Log::ALL.map(|log| {
            let vouched = mark.as_ref().map(|m| m.ends[log as usize]).unwrap_or_default();
            contents.end[log as usize].max(vouched)
        });
        let lost = contents.missing(mark.as_ref());
        repaired.lost = lost.each_ref().map(|runs| runs.iter().collect());
        repaired.lost_before = self.lost_before(&contents);
        let books = Books::new(&contents, mark.as_ref(), ends, lost);
        let mut new = books.mark(ends, Log::ALL.map(|log| books.oldest(log)), 0);
        repaired.ledger = books.ledger();
        repaired.corrected = balance(&mut new, &mut repaired.ledger);
        let accounts = new.accounts.iter().map(|row| (row.name.clone(), row.log, row.account.clone())).collect();
        let mut batch = Batch { accounts, ..Batch::default() };
        for log in Log::ALL {
            let runs = repaired.lost[log as usize].iter().chain(&repaired.lost_before[log as usize]);
            batch.lost.extend(runs.map(|run| (log, *run)));
        }
        store.go_on_at(ends);
        store.roll_next();
        store.commit(&batch)?;
        new.newest_generation = store.newest_number();
        let (mut watermark, _) = Watermark::open(dir)?;
        Ok(watermark.write(&new)?)
    }
}

/// Of a relative path of one name: the working directory.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The new directory while it is filled.
struct Rewriting {
    store: Generations,
    have: [Runs; 2],
    step: Batch,
    step_bytes: usize,
}

impl Rewriting {
    fn put(&mut self, block: Carried) -> Result<(), StoreError> {
        self.have[block.log as usize].add(block.block.run);
        self.step_bytes += block.block.bytes.len();
        self.step.carried.push(block);
        if self.step_bytes >= STEP_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let end = self.store.end();
        self.store.go_on_at(Log::ALL.map(|log| {
            let held = self.have[log as usize].end().unwrap_or_default();
            end[log as usize].max(held)
        }));
        self.step_bytes = 0;
        if self.step.is_empty() {
            return Ok(());
        }
        self.store.commit(&std::mem::take(&mut self.step))
    }
}

/// Takes out of the books what was booked as lost, ahead of each consumer's cursor.
fn unbook(contents: &mut Contents, mark: Option<&mut Mark>, log: Log, found_again: &Runs) {
    let take_out = |account: &mut Account| {
        let booked: u64 = found_again.iter().map(|run| account.unsettled(run).count_from(run.first)).sum();
        let lost = &mut account.gone[Fate::Lost as usize];
        *lost = lost.saturating_sub(booked);
    };
    contents.accounts.iter_mut().filter(|(_, of, _)| *of == log).for_each(|(_, _, account)| take_out(account));
    let marked = mark.into_iter().flat_map(|m| &mut m.accounts);
    marked.filter(|row| row.log == log).for_each(|row| take_out(&mut row.account));
}

/// Books of different moments may not fit together: what is then unexplained was lost.
fn balance(mark: &mut Mark, ledger: &mut [LedgerRow]) -> Vec<(String, Log, i64)> {
    let mut corrected = Vec::new();
    let mut accounts: BTreeMap<_, _> =
        mark.accounts.iter_mut().map(|row| ((row.name.clone(), row.log), &mut row.account)).collect();
    for row in ledger {
        let explained = row.cursor.settled() + row.queued + row.dropped + row.expired;
        let lost = row.accepted.saturating_sub(explained);
        if lost != row.lost
            && let Some(account) = accounts.get_mut(&(row.consumer.clone(), row.log))
        {
            corrected.push((row.consumer.clone(), row.log, lost as i64 - row.lost as i64));
            account.gone[Fate::Lost as usize] = lost;
            row.lost = lost;
        }
    }
    corrected
}
