//! Which decoders this gateway has run with: what a version meant once must not come to mean something else.
//!
//! # Invariants
//! - The first meaning of a version is the one that is kept: who changes a table without a new version is warned at every
//!   start, until the table has one or is as it was.
//! - The file is replaced as a whole, and bounded: what has not been met for longest goes.
//!
//! # Not here
//! What a fingerprint is made of: see `firmware_protocol::decode`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use firmware_protocol::decode::Route;
use serde::{Deserialize, Serialize};

const FILE: &str = "decoders.json";
const SCHEMA: &str = "decoders/1";
/// Some versions of each decoder that a configuration may have.
const KNOWN_MAX: usize = 1_024;
/// A file of [`KNOWN_MAX`] with long ids; a larger one is none of ours.
const FILE_MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read or written: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is not what a gateway wrote: {reason}\nhint: delete it; then the decoders of today are taken for the first", path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// The decoders met so far, those met last at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    schema: String,
    decoders: Vec<Known>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    id: String,
    version: u32,
    fingerprint: String,
}

/// A table that changed and kept its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub id: String,
    pub version: u32,
    /// The first version that was never met.
    pub free: u32,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, version, free } = self;
        write!(
            f,
            "decoder `{id}` is not what its version {version} was when this gateway ran with it: set `version = {free}` \
             in its [[decode]] table, or readers elsewhere take the one for the other"
        )
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { schema: SCHEMA.to_owned(), decoders: Vec::new() }
    }
}

impl Memory {
    /// What was kept in the data directory; nothing if there is no file yet.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub fn read(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join(FILE);
        let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
        match fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::Io { path, error }),
            Ok(meta) if meta.len() > FILE_MAX_BYTES => {
                return Err(damaged(format!("{} bytes, the limit is {FILE_MAX_BYTES}", meta.len())));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(&path).map_err(|error| Error::Io { path: path.clone(), error })?;
        let memory: Self = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if memory.schema == SCHEMA { Ok(memory) } else { Err(damaged(format!("its schema is {:?}", memory.schema))) }
    }

    /// # Errors
    /// The directory cannot be written; what was there before is there still.
    pub fn write(&self, data_dir: &Path) -> Result<(), Error> {
        let path = data_dir.join(FILE);
        let fresh = path.with_extension("new");
        let written = File::create(&fresh).and_then(|mut file| {
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
        let written = written.and_then(|()| fs::rename(fresh, &path)).and_then(|()| File::open(data_dir)?.sync_all());
        written.map_err(|error| Error::Io { path, error })
    }

    /// The tables that changed and kept their version.
    pub fn changed(&self, routes: &[Route]) -> Vec<Changed> {
        let of = |id: &str| self.decoders.iter().filter(move |known| known.id == id).collect::<Vec<_>>();
        let changed = |route: &Route| {
            let id = route.decoder_id();
            let known = of(id);
            let met = known.iter().find(|known| known.version == route.version)?;
            let latest = known.iter().map(|known| known.version).max()?;
            let free = latest.saturating_add(1);
            let changed = Changed { id: id.to_owned(), version: route.version, free };
            (met.fingerprint != route.fingerprint().to_string()).then_some(changed)
        };
        routes.iter().filter_map(changed).collect()
    }

    /// Keeps what versions mean that were not met before.
    pub fn learn(&mut self, routes: &[Route]) {
        for route in routes {
            let id = route.decoder_id();
            let met = self.decoders.iter().position(|known| known.id == id && known.version == route.version);
            let known = met.map(|at| self.decoders.remove(at));
            self.decoders.push(known.unwrap_or_else(|| Known {
                id: id.to_owned(),
                version: route.version,
                fingerprint: route.fingerprint().to_string(),
            }));
        }
        let surplus = self.decoders.len().saturating_sub(KNOWN_MAX);
        self.decoders.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zigbee(version: u32, measurement: &str) -> Route {
        Route { id: "zigbee".into(), version, measurement: measurement.into(), ..Route::default() }
    }

    fn memory(met: &[Route]) -> Memory {
        let mut memory = Memory::default();
        met.iter().for_each(|route| memory.learn(std::slice::from_ref(route)));
        memory
    }

    #[test]
    fn a_table_that_changed_without_a_new_version_is_told_until_it_has_one_or_is_as_it_was() {
        let mut memory = memory(&[zigbee(1, "a"), zigbee(2, "b")]);
        for _ in 0..2 {
            let changed = memory.changed(&[zigbee(1, "c")]);
            assert_eq!(changed, [Changed { id: "zigbee".into(), version: 1, free: 3 }]);
            memory.learn(&[zigbee(1, "c")]);
        }
        for route in [zigbee(3, "c"), zigbee(1, "a"), zigbee(2, "b")] {
            assert!(memory.changed(&[route]).is_empty());
        }
    }

    #[test]
    fn what_is_kept_comes_back_from_the_directory_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Memory::read(dir.path()).unwrap(), Memory::default());
        let memory = memory(&Route::defaults());
        memory.write(dir.path()).unwrap();
        assert_eq!(Memory::read(dir.path()).unwrap(), memory);
        for text in ["{", r#"{"schema":"decoders/2","decoders":[]}"#] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert!(matches!(Memory::read(dir.path()), Err(Error::Damaged { .. })), "{text}");
        }
    }

    #[test]
    fn the_memory_is_bounded_and_what_is_in_use_stays() {
        let mut memory = Memory::default();
        for version in 1..3_000 {
            memory.learn(&[zigbee(version, "a"), Route::default()]);
        }
        assert_eq!(memory.decoders.len(), KNOWN_MAX);
        let other = Route { measurement: "other".into(), ..Route::default() };
        assert_eq!(memory.changed(&[other]).len(), 1);
    }
}
