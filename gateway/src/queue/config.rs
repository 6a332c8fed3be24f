//! Settings of the queue and their defaults.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of the queue, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Directory of its own; made if missing.
    pub dir: PathBuf,
    /// A generation of the store is closed at this size, measured on disk, and deleted once all have read it.
    /// sled keeps about as much of the newest one in memory. Peak RSS of 3 million records in batches of 1024, 16 MiB
    /// against 64: 51 and 70 MiB, or 31 and 59 with `MALLOC_TRIM_THRESHOLD_` set; CPU alike within the noise.
    pub generation_max_bytes: u64,
    /// Memory for the newest blocks, per log.
    pub cache_bytes: usize,
    /// Most records in one commit.
    pub commit_records_max: usize,
    /// Records and bytes handed over and not yet durable; above either, `commit` waits.
    pub inbox_records_max: usize,
    pub inbox_bytes_max: usize,
    /// Moved cursors become durable within this, if no commit takes them along earlier.
    pub cursor_delay: Duration,
    /// A consumer of an earlier run that has not come back within this time after open holds no records back.
    pub absent_grace: Duration,
}

impl Config {
    /// The defaults, in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            generation_max_bytes: 16 << 20,
            cache_bytes: 4 << 20,
            commit_records_max: 4_096,
            inbox_records_max: 16_384,
            inbox_bytes_max: 8 << 20,
            cursor_delay: Duration::from_secs(1),
            absent_grace: Duration::from_secs(60),
        }
    }
}
