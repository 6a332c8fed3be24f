//! A queue's directory without a running gateway: looked at, checked, read out, and written anew where it is damaged.
//!
//! # Invariants
//! - The directory is only read. Storage engines write into the files that they open, and cut off what they cannot
//!   read: so each generation is copied to a scratch directory and opened there. A read-only file system will do.
//! - A directory that a gateway works on is refused, and no gateway starts on one that is looked at here.
//! - What counts is decided by the code that a gateway starts with: the newest generation that can be opened speaks for
//!   all, beside the watermark.
//!
//! # Not here
//! Files and terminals of the user, wall-clock time.

mod blocks;
mod export;
mod inspect;
mod repair;
mod scratch;
mod verify;

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::annex;
use super::books::Books;
use super::files::{self, DirLock, Share};
use super::generations::{self, Known, known_by};
use super::record::{Log, QueueSeq};
use super::runs::{Run, Runs};
use super::store::{Store, StoreError};
use super::watermark::{Found, Mark, Watermark};
use crate::queue::generations::contents::{Contents, Quarantined};
use crate::queue::generations::generation::{self, Generation, Held};
use crate::queue::generations::keys;
use crate::queue::generations::quarantine;

pub use blocks::Flaw;
pub use export::{Exported, Item, Selection};
pub use inspect::{
    AnnexView, GenerationView, HeldView, Inspection, LogView, QuarantinedView, StateView, WatermarkView,
};
pub use repair::Repaired;
pub use verify::{Checked, Verdict};

use blocks::Piece;
use scratch::{Copy, Scratch};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Queue(#[from] super::Error),
    #[error("{} holds no queue: neither a watermark nor generations\nhint: name the directory that holds `watermark` and `gen-…` with --dir, or the one above its `queue` with --data-dir", dir.display())]
    NoQueue { dir: PathBuf },
    #[error("{}: {source}\nhint: run it as the user of the gateway, or on a copy of the directory", path.display())]
    Denied { path: PathBuf, source: std::io::Error },
    #[error(
        "{0}\nhint: make room there; the variable TMPDIR names the directory that generations are copied to for reading"
    )]
    Full(String),
    /// Of all that is read; most of the time it is a finding, not an error.
    #[error("{0}")]
    Damaged(String),
    #[error("queue has no consumer `{name}`; it has {}", names.join(", "))]
    NoConsumer { name: String, names: Vec<String> },
    #[error("{} {reason}\nhint: name a new directory, it is made", out.display())]
    Out { out: PathBuf, reason: String },
    #[error("stopped by a signal")]
    Stopped,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { path, source } if source.kind() == ErrorKind::PermissionDenied => {
                Self::Denied { path, source }
            }
            error if error.is_full() => Self::Full(error.to_string()),
            error if error.is_damage() => Self::Damaged(error.to_string()),
            StoreError::Io { .. }
            | StoreError::Engine { .. }
            | StoreError::Damaged { .. }
            | StoreError::Foreign { .. }
            | StoreError::Closed => Self::Queue(error.into()),
        }
    }
}

/// How far a work of several steps has come. Whoever is told may break it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub generations_done: usize,
    pub generations: usize,
    pub records: u64,
}

/// Called now and then while generations are read.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// What a directory of a generation is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Knows all that is not a block, and what the older ones hold.
    Newest,
    /// The newest one says that it counts.
    Older,
    /// Cannot be opened, or its entries cannot be read; the gateway would set it aside.
    Unopenable(String),
    /// The newest one that can be opened knows nothing of it: it counts for nothing.
    Unknown,
    /// Its making was interrupted: nothing in it was acknowledged.
    HalfMade,
}

struct Listed {
    number: u32,
    dir: PathBuf,
    standing: Standing,
    /// What counts in it, indexed by `Log`.
    held: [Held; 2],
}

/// A queue that nobody works on.
pub struct Offline {
    dir: PathBuf,
    found: Found,
    /// In the order of their numbers.
    listed: Vec<Listed>,
    /// What the newest one says; `quarantined` are those that the gateway would set aside.
    contents: Contents,
    /// Opened. `None`: there is none that can be opened.
    newest: Option<Copy>,
    scratch: Scratch,
    /// Nobody begins to work on it meanwhile.
    _lock: Option<DirLock>,
}

/// A copy of an annex; goes with the [`Offline`] that it is of.
pub struct OfflineAnnex(Box<dyn Store>);

impl OfflineAnnex {
    /// # Errors
    /// It cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(annex::get(self.0.as_ref(), key)?)
    }
}

/// How a walk through a generation ended.
enum Walked {
    Whole,
    /// It could not be read on.
    Broken(String),
    /// Whoever was given the pieces has enough.
    Stopped,
}

impl Offline {
    /// Looks at the queue in `dir`.
    ///
    /// # Errors
    /// There is none, a gateway works on it, or it may not be read.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let lock = match DirLock::share(dir)? {
            Share::Held(lock) => Some(lock),
            Share::NeverTaken => None,
            Share::Taken => return Err(super::Error::InUse { dir: dir.to_owned() }.into()),
        };
        let found = Watermark::look(dir)?;
        let listed = list(dir, &found)?;
        if found == Found::Missing && listed.is_empty() && quarantine::list(dir)?.is_empty() {
            return Err(Error::NoQueue { dir: dir.to_owned() });
        }
        let mut offline = Self {
            dir: dir.to_owned(),
            found,
            listed,
            contents: Contents::default(),
            newest: None,
            scratch: Scratch::new()?,
            _lock: lock,
        };
        offline.find_newest()?;
        Ok(offline)
    }

    /// The newest generation that can be opened says what the others are worth.
    fn find_newest(&mut self) -> Result<(), Error> {
        let mut counted: Vec<usize> = (0..self.listed.len()).collect();
        counted.retain(|at| self.listed[*at].standing != Standing::HalfMade);
        let mut quarantined = Vec::new();
        while let Some(at) = counted.pop() {
            let present: Vec<u32> = counted.iter().map(|at| self.listed[*at].number).collect();
            let looked = self.copy(&self.listed[at]).and_then(|copy| Ok((known_by(&copy, &present)?, copy)));
            match damage_apart(looked)? {
                Ok((Known { contents, older, .. }, copy)) => {
                    for at in counted {
                        let listed = &mut self.listed[at];
                        match older.iter().find(|(number, _)| *number == listed.number) {
                            Some((_, held)) => (listed.standing, listed.held) = (Standing::Older, held.clone()),
                            None => quarantined.push(Quarantined {
                                dir: listed.dir.clone(),
                                was_newest: false,
                                gone: Vec::new(),
                            }),
                        }
                    }
                    (self.listed[at].standing, self.listed[at].held) = (Standing::Newest, copy.held());
                    self.contents = contents;
                    self.newest = Some(copy);
                    break;
                }
                Err(reason) => {
                    let reason = self.of_original(&self.listed[at], &reason);
                    let listed = &mut self.listed[at];
                    listed.standing = Standing::Unopenable(reason);
                    quarantined.push(Quarantined { dir: listed.dir.clone(), was_newest: true, gone: Vec::new() });
                }
            }
        }
        self.contents.quarantined = quarantined;
        Ok(())
    }

    fn copy(&self, listed: &Listed) -> Result<Copy, Error> {
        self.scratch.copy(&listed.dir, listed.number)
    }

    /// What was said of the copy, said of what it is a copy of.
    fn of_original(&self, listed: &Listed, reason: &str) -> String {
        let scratch = self.scratch.dir().display().to_string();
        let name = Generation::dir_name(listed.number);
        let Some((before, copy)) = reason.split_once(&scratch) else { return reason.to_owned() };
        let after = copy.split_once(&name).map_or(copy, |(_, after)| after);
        format!("{before}{}{after}", listed.dir.display())
    }

    fn mark(&self) -> Option<&Mark> {
        match &self.found {
            Found::Mark(mark) => Some(mark),
            Found::Missing | Found::Unreadable => None,
        }
    }

    /// Records that should be there, and that no generation claims to hold.
    fn missing(&self) -> [Runs; 2] {
        self.contents.missing(self.mark())
    }

    /// Lost and booked, as far as it was not released since.
    fn lost_before(&self, contents: &Contents) -> [Vec<Run>; 2] {
        let oldest = self.mark().map(|m| m.oldest).unwrap_or_default();
        Log::ALL.map(|log| {
            let since = Run::new(oldest[log as usize], QueueSeq(u64::MAX));
            contents.lost_before[log as usize].within(since).iter().collect()
        })
    }

    /// Whether there may be more missing than can be told.
    fn is_at_least(&self) -> bool {
        self.mark().is_none() && (self.found == Found::Unreadable || !self.contents.quarantined.is_empty())
    }

    /// Sequences after the last records that were ever there, as far as anybody knows.
    fn ends(&self) -> [QueueSeq; 2] {
        let vouched = self.mark().map(|m| m.ends).unwrap_or_default();
        Log::ALL.map(|log| self.contents.end[log as usize].max(vouched[log as usize]))
    }

    /// As a gateway would keep them from here on, what is missing booked as lost.
    fn books(&self) -> Books {
        Books::new(&self.contents, self.mark(), self.ends(), self.missing())
    }

    /// Those that count, oldest first.
    fn counted(&self) -> impl Iterator<Item = &Listed> {
        self.listed.iter().filter(|l| matches!(l.standing, Standing::Newest | Standing::Older))
    }

    /// Gives the blocks of these logs that count, in the order of log and sequence.
    fn walk(
        &self,
        listed: &Listed,
        logs: &[Log],
        f: &mut dyn FnMut(Piece) -> ControlFlow<()>,
    ) -> Result<Walked, Error> {
        let opened;
        let generation: &Generation = match self.newest.as_ref().filter(|n| n.number() == listed.number) {
            Some(newest) => newest,
            None => match damage_apart(self.copy(listed).and_then(|copy| Ok(copy.open().map(|_| copy)?)))? {
                Ok(copy) => {
                    opened = copy;
                    &opened
                }
                Err(reason) => return Ok(Walked::Broken(self.of_original(listed, &reason))),
            },
        };
        let mut flow = ControlFlow::Continue(());
        for log in logs {
            let held = &listed.held[*log as usize].runs;
            let walked = blocks::each(generation, *log, &mut |piece| {
                if flow.is_continue() && held.count_within(piece.run) > 0 {
                    flow = f(piece);
                }
            });
            if let Err(reason) = damage_apart(walked.map_err(Error::from))? {
                return Ok(Walked::Broken(self.of_original(listed, &reason)));
            }
        }
        Ok(if flow.is_continue() { Walked::Whole } else { Walked::Stopped })
    }

    /// Named state as of the last commit.
    ///
    /// # Errors
    /// It is not what was written, or cannot be read.
    pub fn state(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(newest) = &self.newest else { return Ok(None) };
        Ok(generations::state(newest, name)?)
    }

    /// What a stage keeps beside the queue; `None` if there is nothing.
    ///
    /// # Errors
    /// It is damaged, or cannot be read.
    pub fn annex(&self, name: &str) -> Result<Option<OfflineAnnex>, Error> {
        let dir = annex::dir_of(&self.dir, name);
        if !dir.exists() {
            return Ok(None);
        }
        Ok(Some(OfflineAnnex(self.scratch.open_copy(&dir)?)))
    }

    /// Names of all state there is, in order.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn state_names(&self) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = Vec::new();
        let Some(newest) = &self.newest else { return Ok(names) };
        newest.each(&[keys::STATE], &mut |key, _| {
            let name = keys::parse_state(key).ok_or_else(|| newest.damaged("the name of a state cannot be read"))?;
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
        Ok(names)
    }
}

/// The directories of generations, in the order of their numbers.
fn list(dir: &Path, found: &Found) -> Result<Vec<Listed>, StoreError> {
    let newest_in_use = match found {
        Found::Mark(mark) => mark.newest_generation,
        Found::Missing | Found::Unreadable => 0,
    };
    let mut listed: Vec<Listed> = Vec::new();
    for path in files::entries(dir)? {
        let Some(number) = generation::number(&path) else { continue };
        let counts = Generation::counts(&path, number, newest_in_use);
        let standing = if counts { Standing::Unknown } else { Standing::HalfMade };
        listed.push(Listed { number, dir: path, standing, held: Default::default() });
    }
    listed.sort_by_key(|l| l.number);
    Ok(listed)
}

/// Damage is a finding here; what the machine refuses is an error.
fn damage_apart<T>(result: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Damaged(reason)) => Ok(Err(reason)),
        Err(error) => Err(error),
    }
}
