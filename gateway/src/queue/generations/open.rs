//! Looks at a queue's directory: which generations are there, which of them can be opened, what they hold.
//!
//! # Invariants
//! - A generation that cannot be opened because its data is damaged is set aside, and the one before it speaks for all.
//! - Only a queue that is being opened sets its newest generation aside: state goes with it, and stages that are at work
//!   rely on that. A running one gives up, and is opened anew.
//! - What the machine refuses (rights, memory, a full disk) is an error: another try may do better.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::contents::{Contents, Quarantined};
use super::generation::{Generation, Held};
use super::keys;
use super::quarantine;
use super::view::Shared;
use crate::queue::cursor::Account;
use crate::queue::files;
use crate::queue::record::{Log, QueueSeq};
use crate::queue::store::{Entries, StoreError};

pub(in crate::queue) struct Loaded {
    pub(in crate::queue) generations: Vec<Arc<Generation>>,
    pub(in crate::queue) contents: Contents,
    /// Entries about generations that are not there.
    pub(in crate::queue) forget: Entries,
}

/// A file that the kernel could not read is read again as often.
const READS_MAX: u32 = 3;

/// What to do with a newest generation that cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum IfDamaged {
    SetAside,
    GiveUp,
}

/// `end` and `newest` are what is known otherwise: where the logs go on, and which generation was in use.
pub(in crate::queue) fn load(
    shared: &Shared,
    end: [QueueSeq; 2],
    newest: u32,
    if_damaged: IfDamaged,
) -> Result<Loaded, StoreError> {
    let mut numbers = purge_leftovers(&shared.dir, newest)?;
    let mut quarantined = Vec::new();
    let last = numbers.last().copied().unwrap_or_default().max(newest);
    while let Some(number) = numbers.pop() {
        match read_newest(shared, number, &numbers) {
            Ok((newest, known)) => return gather(shared, newest, known, &numbers, quarantined),
            Err(error) if error.is_damage() && if_damaged == IfDamaged::SetAside => {
                let dir = quarantine::set_aside(&shared.dir, &shared.dir.join(Generation::dir_name(number)))?;
                tracing::error!(%error, kept_in = %dir.display(), "Queue set a generation aside that cannot be opened.");
                quarantined.push(Quarantined { dir, was_newest: true, gone: Vec::new() });
            }
            Err(error) => return Err(error),
        }
    }
    let first = Generation::create(&shared.engine, &shared.dir, last + 1)?;
    let mut begin = Entries::default();
    for log in Log::ALL {
        begin.set(keys::begin(log), end[log as usize].0.to_be_bytes());
    }
    first.commit(&begin)?;
    first.complete()?;
    // Without any generation the watermark's accounts are all there is.
    let contents = Contents { end, quarantined, ..Contents::default() };
    Ok(Loaded { generations: vec![Arc::new(first)], contents, forget: Entries::default() })
}

fn read_newest(shared: &Shared, number: u32, present: &[u32]) -> Result<(Generation, Known), StoreError> {
    let mut reads = 0;
    loop {
        reads += 1;
        let newest = Generation::existing(&shared.engine, &shared.dir, number, Default::default());
        match known_by(&newest, present) {
            Ok(known) => return Ok((newest, known)),
            Err(StoreError::Io { source, .. }) if source.kind() != ErrorKind::NotFound && reads < READS_MAX => {
                tracing::warn!(error = %source, "Queue could not read its newest generation; it tries again.");
            }
            Err(error) => return Err(error),
        }
    }
}

fn gather(
    shared: &Shared,
    newest: Generation,
    known: Known,
    numbers: &[u32],
    quarantined: Vec<Quarantined>,
) -> Result<Loaded, StoreError> {
    let Known { mut contents, older, forget } = known;
    contents.quarantined = quarantined;
    let mut generations = Vec::new();
    for number in numbers.iter().copied() {
        match older.iter().find(|(n, _)| *n == number) {
            Some((_, held)) => {
                generations.push(Arc::new(Generation::existing(&shared.engine, &shared.dir, number, held.clone())))
            }
            // The newest has forgotten it. What is missed may be found in it.
            None => {
                let dir = quarantine::set_aside(&shared.dir, &shared.dir.join(Generation::dir_name(number)))?;
                tracing::warn!(kept_in = %dir.display(), "Queue set a generation aside that the newest knows nothing of.");
                contents.quarantined.push(Quarantined { dir, was_newest: false, gone: Vec::new() });
            }
        }
    }
    generations.push(Arc::new(newest));
    Ok(Loaded { generations, contents, forget })
}

/// Deletes dead and half-made directories; gives the numbers of the complete generations, ascending.
fn purge_leftovers(dir: &Path, newest: u32) -> Result<Vec<u32>, StoreError> {
    let name = |path: &Path| path.file_name().and_then(|n| n.to_str()).map(str::to_owned).unwrap_or_default();
    let (dead, alive): (Vec<_>, Vec<_>) =
        files::entries(dir)?.into_iter().partition(|path| name(path).ends_with(files::DEAD_SUFFIX));
    // First, for the half-made ones may need their names.
    for path in dead {
        std::fs::remove_dir_all(&path).map_err(StoreError::io(path))?;
    }
    let mut numbers = Vec::new();
    for path in alive {
        let Some(number) = Generation::number_of(&name(&path)) else { continue };
        if Generation::counts(&path, number, newest) {
            numbers.push(number);
        } else {
            files::delete_dir(&path)?;
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a generation says about itself and about those before it.
pub(in crate::queue) struct Known {
    pub(in crate::queue) contents: Contents,
    pub(in crate::queue) older: Vec<(u32, [Held; 2])>,
    pub(in crate::queue) forget: Entries,
}

/// Opens `newest` and reads it; `present` are the numbers of those before it.
pub(in crate::queue) fn known_by(newest: &Generation, present: &[u32]) -> Result<Known, StoreError> {
    newest.open()?;
    newest.scan()?;
    let bad_key = || newest.damaged("a key does not follow the format");
    let mut contents =
        Contents { held: newest.held().map(|h| h.runs), generation: newest.number(), ..Contents::default() };
    let (mut older, mut forget) = (Vec::<(u32, [Held; 2])>::new(), Entries::default());
    newest.each(&[keys::OLDER_RUN], &mut |key, value| {
        let (number, log, run) = keys::parse_older_run(key, value).ok_or_else(bad_key)?;
        if !present.contains(&number) {
            forget.remove(key);
            contents.vanished[log as usize].add(run);
            return Ok(());
        }
        contents.held[log as usize].add(run);
        if older.last().is_none_or(|(n, _)| *n != number) {
            older.push((number, Default::default()));
        }
        if let Some((_, held)) = older.last_mut() {
            held[log as usize].runs.add(run);
        }
        Ok(())
    })?;
    newest.each(&[keys::OLDER_META], &mut |key, value| {
        let (number, log, bytes, stamp) = keys::parse_older_meta(key, value).ok_or_else(bad_key)?;
        if !present.contains(&number) {
            forget.remove(key);
        } else if let Some((_, held)) = older.iter_mut().find(|(n, _)| *n == number) {
            held[log as usize].bytes = bytes;
            held[log as usize].newest = stamp;
        }
        Ok(())
    })?;
    newest.each(&[keys::LOST], &mut |key, value| {
        let (log, run) = keys::parse_lost(key, value).ok_or_else(bad_key)?;
        contents.lost_before[log as usize].add(run);
        Ok(())
    })?;
    newest.each(&[keys::ACCOUNT], &mut |key, value| {
        let (name, log) = keys::parse_account(key).ok_or_else(bad_key)?;
        let account = Account::from_bytes(value).ok_or_else(|| newest.damaged("an account has the wrong length"))?;
        contents.accounts.push((name.to_owned(), log, account));
        Ok(())
    })?;
    let mut begins = 0;
    newest.each(&[keys::BEGIN], &mut |key, value| {
        let (log, begin) = keys::parse_begin(key, value).ok_or_else(bad_key)?;
        contents.end[log as usize] = begin;
        begins += 1;
        Ok(())
    })?;
    if begins < Log::ALL.len() {
        return Err(newest.damaged("the entries that each generation begins with are missing"));
    }
    for log in Log::ALL.map(|l| l as usize) {
        contents.end[log] = contents.end[log].max(contents.held[log].end().unwrap_or_default());
    }
    Ok(Known { contents, older, forget })
}
