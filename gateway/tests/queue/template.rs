//! A queue's directory to be copied and damaged: several generations, the oldest ones deleted, consumers on their way.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gateway::metrics;
use gateway::queue::{EngineKind, Log, Queue};
use tempfile::TempDir;

use crate::child::WriterProcess;
use crate::job::{Consumers, Job};
use crate::oracle;
use crate::setting::{self, Chance};
use crate::told::Acked;
use crate::workload::AUDITOR;
use crate::writer;

pub(crate) struct Template {
    pub(crate) engine: EngineKind,
    dir: TempDir,
    pub(crate) acked: Acked,
    /// What is in it, as far as it was written and not yet acknowledged, too.
    pub(crate) truth: Acked,
    /// Where `auditor` stands.
    pub(crate) oldest: [u64; 2],
}

impl Template {
    pub(crate) fn closed(engine: EngineKind) -> Self {
        let dir = Self::begun(engine);
        let mut acked = Acked::default();
        writer::write(&Self::job(engine, &dir), 80, &mut |now| acked = now);
        Self::new(engine, dir, acked)
    }

    pub(crate) fn killed(engine: EngineKind, chance: &mut Chance) -> Self {
        let dir = Self::begun(engine);
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut writer = WriterProcess::spawn(&Self::job(engine, &dir), log.path().to_owned());
        writer.run_for(60 + chance.below(40), Duration::ZERO);
        Self::new(engine, dir, writer.kill())
    }

    fn begun(engine: EngineKind) -> TempDir {
        let dir = directory();
        writer::write(&Job { consumers: Consumers::Follow, ..Self::job(engine, &dir) }, 60, &mut |_| ());
        dir
    }

    fn job(engine: EngineKind, dir: &TempDir) -> Job {
        Job { engine, dir: dir.path().to_owned(), consumers: Consumers::Hold }
    }

    /// Opens a copy to see what is in it without damage.
    fn new(engine: EngineKind, dir: TempDir, acked: Acked) -> Self {
        let mut template = Self { engine, dir, acked, truth: acked, oldest: [0; 2] };
        let copy = template.copy();
        template.truth = oracle::judge(engine, copy.path(), &acked).unwrap();
        let queue = Queue::open(&setting::config(engine, copy.path()), metrics::Queue::default()).unwrap();
        let auditor = queue.reader(AUDITOR);
        template.oldest = Log::ALL.map(|log| auditor.cursor(log).next.0);
        template
    }

    pub(crate) fn copy(&self) -> TempDir {
        let copy = directory();
        copy_dir(self.dir.path(), copy.path());
        copy
    }
}

/// In memory where there is such a place: damage asks nothing of a disk, and its syncs would take most of the time.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(path, target).unwrap();
        }
    }
}
