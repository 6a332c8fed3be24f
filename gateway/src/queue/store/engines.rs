//! The engines there are. Each store is opened with the one that made it, whatever the settings say now; new ones are
//! made with the one that the settings name.
//!
//! # Invariants
//! - No engine touches a directory that another one made.

use std::path::Path;

use super::redb_store::RedbEngine;
use super::sled_store::SledEngine;
use super::{Engine, Store, StoreError};
use crate::queue::config::EngineKind;

/// File in the directory of a store; says which engine made it. An empty one leaves it to the files there.
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

/// Who made the store there: files tell it if the marker does not.
fn maker(dir: &Path) -> Result<EngineKind, StoreError> {
    let marker = std::fs::read(dir.join(MARKER)).unwrap_or_default();
    let at_home = || EngineKind::ALL.into_iter().find(|kind| engine(*kind).is_at_home(dir));
    if let Some(kind) = EngineKind::ALL.into_iter().find(|kind| kind.name().as_bytes() == marker).or_else(at_home) {
        return Ok(kind);
    }
    match String::from_utf8(marker) {
        Ok(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()) => {
            Err(StoreError::Foreign { path: dir.to_owned(), engine: name })
        }
        Ok(_) | Err(_) => {
            Err(StoreError::Damaged { path: dir.to_owned(), reason: "no store of any engine is there".into() })
        }
    }
}
