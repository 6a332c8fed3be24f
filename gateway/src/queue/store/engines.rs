//! The engines there are. Each store is opened with the one that made it, whatever the settings say now; new ones are
//! made with the one that the settings name.
//!
//! # Invariants
//! - No engine touches a directory that another one made.
//! - A damaged marker names nobody: only one that is whole can say that an engine made the store which is not here.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::redb_store::RedbEngine;
use super::sled_store::SledEngine;
use super::{Engine, Store, StoreError};
use crate::queue::config::EngineKind;

/// File in the directory of a store; says which engine made it: `NAME CRC`, a line of its name and the CRC-32 of that in
/// 8 hex digits. One that says nothing leaves it to the files there.
pub(in crate::queue) const MARKER: &str = "complete";

#[derive(Clone, Copy)]
pub(in crate::queue) struct Engines {
    /// For new stores.
    pub(in crate::queue) kind: EngineKind,
}

fn engine(kind: EngineKind) -> &'static dyn Engine {
    match kind {
        EngineKind::Sled => &SledEngine,
        EngineKind::Redb => &RedbEngine,
    }
}

impl Engine for Engines {
    fn name(&self) -> &'static str {
        engine(self.kind).name()
    }

    fn is_at_home(&self, dir: &Path) -> bool {
        EngineKind::ALL.into_iter().any(|kind| engine(kind).is_at_home(dir))
    }

    fn create(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        engine(self.kind).create(dir)
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        engine(maker(dir)?).open(dir)
    }
}

/// The name of the engine that made the store there.
pub(in crate::queue) fn maker_name(dir: &Path) -> String {
    match maker(dir) {
        Ok(kind) => kind.name().to_owned(),
        Err(StoreError::Foreign { engine, .. }) => engine,
        Err(_) => "unknown".to_owned(),
    }
}

/// Writes the marker and makes its content durable; its name is not yet.
pub(in crate::queue) fn mark(dir: &Path, engine: &str) -> io::Result<()> {
    let mut file = File::create(dir.join(MARKER))?;
    file.write_all(marker_line(engine).as_bytes())?;
    file.sync_all()
}

fn marker_line(engine: &str) -> String {
    format!("{engine} {:08x}\n", crc32fast::hash(engine.as_bytes()))
}

/// The engine that a marker names, if the marker is whole. The first gateways wrote the bare name.
pub(in crate::queue) fn marked(marker: &[u8]) -> Option<&str> {
    let text = str::from_utf8(marker).ok()?;
    if let Some(kind) = EngineKind::ALL.into_iter().find(|kind| kind.name() == text) {
        return Some(kind.name());
    }
    let (engine, _) = text.split_once(' ')?;
    (text == marker_line(engine)).then_some(engine)
}

/// Who made the store there: files tell it if the marker does not.
fn maker(dir: &Path) -> Result<EngineKind, StoreError> {
    let marker = std::fs::read(dir.join(MARKER)).unwrap_or_default();
    let marked = marked(&marker);
    let named = EngineKind::ALL.into_iter().find(|kind| marked == Some(kind.name()));
    let at_home = || EngineKind::ALL.into_iter().find(|kind| engine(*kind).is_at_home(dir));
    if let Some(kind) = named.or_else(at_home) {
        return Ok(kind);
    }
    let path = dir.to_owned();
    Err(match marked {
        Some(engine) => StoreError::Foreign { path, engine: engine.to_owned() },
        None => StoreError::Damaged { path, reason: "no store of any engine is there".into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_names_its_engine_until_a_bit_or_a_byte_of_it_is_gone() {
        let whole = marker_line("redb");
        assert_eq!(marked(whole.as_bytes()), Some("redb"));
        for length in 0..whole.len() {
            assert!(matches!(marked(&whole.as_bytes()[..length]), None | Some("redb")), "{length} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(marked(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn bare_names_of_engines_that_are_here_are_known_and_of_others_are_damage() {
        assert_eq!(marked(b"sled"), Some("sled"));
        assert_eq!(marked(b"redb"), Some("redb"));
        assert_eq!(marked(b"red"), None, "what a cut leaves is nobody's name");
        assert_eq!(marked(b"rocks"), None);
        assert_eq!(marked(marker_line("rocks").as_bytes()), Some("rocks"));
    }
}
