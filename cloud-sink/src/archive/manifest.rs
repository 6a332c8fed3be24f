//! What is written beside the files: the manifest of a complete roll, and the intent of one under way. JSON.

use serde::{Deserialize, Serialize};

use super::layout::RollName;

/// Names this form of manifests and intents.
pub const MANIFEST_SCHEMA: &str = "archive-manifest/1";
pub const INTENT_SCHEMA: &str = "archive-intent/1";

/// A roll that is complete. Only files that a manifest names count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: String,
    pub topic: String,
    pub partition: i32,
    pub first_offset: i64,
    pub last_offset: i64,
    pub rows: u64,
    pub files: Vec<FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// From the archive's root.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    /// 64 hex digits.
    pub sha256: String,
}

/// Where a roll ends that is being written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub schema: String,
    pub last_offset: i64,
}

impl Manifest {
    pub fn new(roll: &RollName, last_offset: i64, files: Vec<FileEntry>) -> Self {
        Self {
            schema: MANIFEST_SCHEMA.into(),
            topic: roll.topic.clone(),
            partition: roll.partition,
            first_offset: roll.first,
            last_offset,
            rows: files.iter().map(|file| file.rows).sum(),
            files,
        }
    }
}

impl Intent {
    pub fn new(last_offset: i64) -> Self {
        Self { schema: INTENT_SCHEMA.into(), last_offset }
    }
}
