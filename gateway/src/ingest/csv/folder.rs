//! A watched folder: files that come to rest in it are imported, in the order of their names.
//!
//! # Invariants
//! - A file is taken once it has not changed for `settle`; one that is renamed into the folder is whole already.
//! - `NAME.done` is written after the last row is durable. Files are left where they are unless told otherwise.
//! - A file that cannot be imported is marked and tried again only when it changes.
//! - Bounded: one import of a folder at a time, [`CANDIDATES_MAX`] names in memory.
//!
//! # Why polling
//! It works on every file system, network shares included, and misses nothing that happens while the gateway is away.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::board::ImportId;
use super::glob::Glob;
use super::importer::{Importer, Job};
use super::mapping::Mapping;
use super::marker::{self, Fingerprint, Kind, Verdict};
use super::report::{Failure, Report};
use super::spool::sync_dir;
use crate::shutdown::Stop;

/// Files that wait in a folder; more are seen once these are done.
const CANDIDATES_MAX: usize = 1_024;
/// Where `after = "move"` brings files, in the folder.
const DONE_DIR: &str = "done";

/// What becomes of a file that was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    #[default]
    Keep,
    Delete,
    /// Into the folder `done` in its folder.
    Move,
}

/// One `[[csv]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderConfig {
    pub dir: PathBuf,
    pub pattern: Glob,
    pub poll: Duration,
    /// A file must not change for so long.
    pub settle: Duration,
    pub after: After,
    pub mapping: Mapping,
}

/// Names with the state that their files are in.
type Files = BTreeMap<String, Fingerprint>;

/// What a look into the folder showed.
#[derive(Debug, Default)]
struct Found {
    files: Files,
    /// Files whose names are not UTF-8: they cannot be told of, and are not taken.
    unnamed: usize,
}

/// Which files have come to rest. Pure.
#[derive(Debug, Default)]
struct Candidates {
    seen: HashMap<String, (Fingerprint, Instant)>,
    /// Tried, and not to be tried again in this state: the marker could not be written, perhaps.
    tried: HashMap<String, Fingerprint>,
}

impl Candidates {
    /// What of `found` has not changed for `settle`; in the order of names.
    fn settled(&mut self, found: &Files, now: Instant, settle: Duration) -> Vec<(String, Fingerprint)> {
        self.seen.retain(|name, _| found.contains_key(name));
        self.tried.retain(|name, _| found.contains_key(name));
        let mut settled = Vec::new();
        for (name, state) in found {
            let seen = self.seen.entry(name.clone()).or_insert((*state, now));
            if seen.0 != *state {
                *seen = (*state, now);
            }
            if now.duration_since(seen.1) >= settle && self.tried.get(name) != Some(state) {
                settled.push((name.clone(), *state));
            }
        }
        settled
    }

    fn tried(&mut self, name: String, state: Fingerprint) {
        self.tried.insert(name, state);
    }

    /// It is to settle again.
    fn changed(&mut self, name: &str) {
        self.seen.remove(name);
    }
}

/// Imports what comes into the folder until the stop.
///
/// # Errors
/// The queue has failed.
pub async fn watch(config: FolderConfig, importer: Importer, mut stop: Stop) -> Result<(), Failure> {
    let config = Arc::new(config);
    let mapping = Arc::new(config.mapping.clone());
    let mut candidates = Candidates::default();
    let mut known = Trouble::default();
    loop {
        let looked = Arc::clone(&config);
        let found = in_thread(move || look(&looked.dir, &looked.pattern)).await;
        known.tell(&config.dir, &found);
        let found = found.unwrap_or_else(|_| {
            importer.imports_metrics().folder_errors.inc();
            Found::default()
        });
        for (name, state) in candidates.settled(&found.files, Instant::now(), config.settle) {
            let id = ImportId::random();
            importer.board().add(id, &name, "folder", state.bytes());
            let job = Job { id, path: config.dir.join(&name), file: name.clone(), mapping: Arc::clone(&mapping) };
            let outcome = importer.import(&job, &stop).await;
            match &outcome {
                Err(Failure::Stopped) => return Ok(()),
                Err(Failure::Queue(reason)) => return Err(Failure::Queue(reason.clone())),
                Err(Failure::Changed) => {
                    candidates.changed(&name);
                    continue;
                }
                Err(Failure::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {
                    debug!(file = name, "File has gone before it was imported.");
                    continue;
                }
                Ok(_) | Err(Failure::Refused(_) | Failure::Unreadable(_)) => {}
            }
            candidates.tried(name, state);
            let after = config.after;
            let path = job.path.clone();
            if let Err(error) = in_thread(move || settle(&job, state, &outcome, after)).await {
                importer.imports_metrics().folder_errors.inc();
                warn!(path = %path.display(), %error, "What became of a file cannot be written beside it; it is not taken again before it changes.");
            }
        }
        tokio::select! {
            () = sleep(config.poll) => {}
            () = stop.requested() => return Ok(()),
        }
    }
}

/// What has been told of a folder already: the log gets it once, not at each poll.
#[derive(Debug, Default)]
struct Trouble {
    is_unreadable: bool,
    unnamed: usize,
}

impl Trouble {
    fn tell(&mut self, dir: &Path, found: &io::Result<Found>) {
        match found {
            Ok(Found { unnamed, .. }) => {
                if *unnamed > self.unnamed {
                    warn!(dir = %dir.display(), files = unnamed, "Files whose names are not UTF-8 are not taken; rename them.");
                }
                *self = Self { is_unreadable: false, unnamed: *unnamed };
            }
            Err(error) => {
                if !self.is_unreadable {
                    warn!(dir = %dir.display(), %error, "Watched folder cannot be read; it is tried again at each poll.");
                }
                self.is_unreadable = true;
            }
        }
    }
}

/// Files that match and are not marked, the first ones by name.
fn look(dir: &Path, pattern: &Glob) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            found.unnamed += 1;
            continue;
        };
        if !pattern.matches(&name) || Kind::EACH.iter().any(|kind| name.ends_with(kind.ending())) {
            continue;
        }
        let path = entry.path();
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let state = Fingerprint::of(&metadata);
        if metadata.is_file() && !marker::is_marked(&path, &state) {
            found.files.insert(name, state);
            if found.files.len() > CANDIDATES_MAX {
                found.files.pop_last();
            }
        }
    }
    Ok(found)
}

/// Marks a file, then brings it where it belongs.
fn settle(job: &Job, state: Fingerprint, outcome: &Result<Report, Failure>, after: After) -> io::Result<()> {
    let report = match outcome {
        Ok(report) => report,
        Err(failure) => {
            let error = failure.to_string();
            return marker::write(&job.path, state, Verdict::Failed { file: &job.file, error: &error });
        }
    };
    marker::write(&job.path, state, Verdict::Done(report))?;
    match after {
        After::Keep => return Ok(()),
        // Another one may have come in its place.
        After::Delete | After::Move if Fingerprint::of(&fs::metadata(&job.path)?) != state => return Ok(()),
        After::Delete => fs::remove_file(&job.path)?,
        After::Move => move_to_done(job)?,
    }
    job.path.parent().map_or(Ok(()), sync_dir)
}

fn move_to_done(job: &Job) -> io::Result<()> {
    let Some(dir) = job.path.parent().map(|dir| dir.join(DONE_DIR)) else { return Ok(()) };
    fs::create_dir_all(&dir)?;
    let mut to = dir.join(&job.file);
    if to.try_exists()? {
        // An earlier file of this name is not overwritten.
        to = dir.join(format!("{}.{}", job.file, job.id));
    }
    fs::rename(&job.path, &to)?;
    sync_dir(&dir)
}

async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}

#[cfg(test)]
mod tests;
