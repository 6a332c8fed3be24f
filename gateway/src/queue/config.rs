//! Settings of the queue and their defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which storage engine holds the generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    #[default]
    Sled,
    Redb,
}

impl EngineKind {
    pub const ALL: [Self; 2] = [Self::Sled, Self::Redb];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }
}

/// What happens to new records when the disk budget is used up, or the disk is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Doors wait: nothing is acknowledged until consumers have made room. Nothing is lost.
    #[default]
    Block,
    /// The oldest records make room; each loss is booked, and named by a gap record in the derived log.
    DropOldest,
}

/// Settings of the queue, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Directory of its own; made if missing.
    pub dir: PathBuf,
    pub engine: EngineKind,
    /// A generation of the store is closed at this size, measured on disk, and deleted once all have read it.
    /// sled keeps about as much of the newest one in memory. Peak RSS of 3 million records in batches of 1024, 16 MiB
    /// against 64: 51 and 70 MiB, or 31 and 59 with `MALLOC_TRIM_THRESHOLD_` set; CPU alike within the noise.
    pub generation_max_bytes: u64,
    /// Budget of the whole directory, measured on disk.
    pub max_bytes: u64,
    pub when_full: WhenFull,
    /// Records older than this are given up, delivered or not; indexed by `Log`. To about a sixteenth of it.
    pub ttl: [Option<Duration>; 2],
    /// Delivered records stay this long, as far as the budget allows.
    pub keep_delivered: Option<Duration>,
    /// A commit waits for company until its first record is this old. Zero: commits follow each other without a pause.
    pub commit_interval: Duration,
    /// Space held in reserve for the day the disk is full; 0: none.
    pub ballast_bytes: u64,
    /// Generations that cannot be read are kept within this.
    pub quarantine_max_bytes: u64,
    /// Memory for the newest blocks, per log.
    pub cache_bytes: usize,
    /// Most records in one commit.
    pub commit_records_max: usize,
    /// Records and bytes handed over and not yet durable; above either, `commit` waits. For doors and for stages each.
    pub inbox_records_max: usize,
    pub inbox_bytes_max: usize,
    /// Moved cursors become durable within this, if no commit takes them along earlier.
    pub cursor_delay: Duration,
    /// A consumer of an earlier run that has not come back within this time after open holds no records back.
    pub absent_grace: Duration,
}

impl Config {
    /// A smaller ballast would not let the store be opened again on a full disk.
    pub const BALLAST_BYTES_MIN: u64 = 4 << 20;
    /// Room kept for what stages commit while doors are held up, and for a new generation: this share of the budget…
    const STAGES_SHARE: u64 = 10;
    /// …or this, if it is more.
    const STAGES_BYTES_MIN: u64 = 16 << 20;

    /// Size on disk at which doors are held up, or the oldest records dropped.
    pub fn full_bytes(&self) -> u64 {
        let stages = (self.max_bytes / Self::STAGES_SHARE).max(Self::STAGES_BYTES_MIN).min(self.max_bytes / 2);
        self.max_bytes - stages
    }

    /// The least `max_bytes` that leaves room for two generations of records, all else being as it is.
    pub fn max_bytes_min(&self) -> u64 {
        let rest =
            self.ballast_bytes.saturating_add(self.quarantine_max_bytes).saturating_add(2 * self.generation_max_bytes);
        let with_share = rest.saturating_add(rest / (Self::STAGES_SHARE - 1));
        with_share.max(rest.saturating_add(Self::STAGES_BYTES_MIN))
    }

    /// The defaults, for a gateway with this data directory.
    pub fn in_data_dir(data_dir: &Path) -> Self {
        Self::new(data_dir.join("queue"))
    }

    /// The defaults, in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            engine: EngineKind::default(),
            generation_max_bytes: 16 << 20,
            max_bytes: 2 << 30,
            when_full: WhenFull::default(),
            ttl: [None; 2],
            keep_delivered: None,
            commit_interval: Duration::ZERO,
            ballast_bytes: 8 << 20,
            quarantine_max_bytes: 64 << 20,
            cache_bytes: 4 << 20,
            commit_records_max: 4_096,
            inbox_records_max: 16_384,
            inbox_bytes_max: 8 << 20,
            cursor_delay: Duration::from_secs(1),
            absent_grace: Duration::from_secs(60),
        }
    }
}
