//! Files are cut, zeroed, deleted and their bits flipped, at random. The queue opens all the same, gives what it still
//! has byte for byte, and counts what is gone to the record: in the ledger of each consumer and in the metric.
//!
//! The measure is an undamaged copy of the same directory. `auditor` stands before the oldest record, so that it misses
//! all that is lost. Only where the watermark is hit together with the newest data nobody can know how much there was:
//! there the count is "at least", and what is checked is that it fits what the queue itself says.

use std::fs;
use std::path::{Path, PathBuf};

use gateway::metrics;
use gateway::queue::{EngineKind, Log, Queue, QueueSeq, Reader, Transaction};

use crate::child::WriterProcess;
use crate::oracle::{self, ensure};
use crate::setting::{self, Chance};
use crate::workload::{self, AUDITOR, DETECT, SINK, STATE};
use crate::wound::{self, Wound};
use crate::writer::{self, Acked, Consumers, Job};

#[test]
fn what_damage_takes_is_counted_to_the_record_and_the_queue_opens_every_time_on_sled() {
    damage_is_counted(EngineKind::Sled);
}

fn damage_is_counted(engine: EngineKind) {
    let mut chance = Chance::new();
    let templates = [Template::closed(engine), Template::killed(engine, &mut chance)];
    let (mut runs_with_loss, mut lost) = (0, 0);
    for round in 0..setting::rounds(40, 1_000) {
        let template = &templates[chance.below(2) as usize];
        let dir = template.copy();
        let count = if chance.below(5) == 0 { 2 + chance.below(2) } else { 1 };
        let wounds: Vec<_> = (0..count).filter_map(|_| wound::inflict(dir.path(), &mut chance)).collect();
        let missing =
            judge(template, dir.path(), &wounds).unwrap_or_else(|fault| panic!("round {round}, {wounds:#?}: {fault}"));
        runs_with_loss += u32::from(missing > 0);
        lost += missing;
    }
    println!("{runs_with_loss} runs lost {lost} records in all, each of them counted");
    assert!(runs_with_loss > 0, "damage that never costs anything is none");
}

/// A directory of several generations, the oldest ones deleted, with consumers on their way.
struct Template {
    engine: EngineKind,
    dir: tempfile::TempDir,
    acked: Acked,
    truth: Acked,
    /// Where `auditor` stands.
    oldest: [u64; 2],
}

impl Template {
    fn closed(engine: EngineKind) -> Self {
        let (dir, mut acked) = Self::begun(engine);
        let job = Job { engine, dir: dir.path().to_owned(), consumers: Consumers::Hold };
        writer::write(&job, 300, &mut |now| acked = now);
        Self::new(engine, dir, acked)
    }

    fn killed(engine: EngineKind, chance: &mut Chance) -> Self {
        let (dir, _) = Self::begun(engine);
        let log = tempfile::NamedTempFile::new().unwrap();
        let job = Job { engine, dir: dir.path().to_owned(), consumers: Consumers::Hold };
        let mut writer = WriterProcess::spawn(&job, log.path().to_owned());
        writer.run_for(200 + chance.below(100), std::time::Duration::ZERO);
        Self::new(engine, dir, writer.kill())
    }

    fn begun(engine: EngineKind) -> (tempfile::TempDir, Acked) {
        let dir = tempfile::tempdir().unwrap();
        let job = Job { engine, dir: dir.path().to_owned(), consumers: Consumers::Follow };
        let mut acked = Acked::default();
        writer::write(&job, 200, &mut |now| acked = now);
        (dir, acked)
    }

    /// Opens a copy to see what is in it without damage.
    fn new(engine: EngineKind, dir: tempfile::TempDir, acked: Acked) -> Self {
        let mut template = Self { engine, dir, acked, truth: acked, oldest: [0; 2] };
        let copy = template.copy();
        template.truth = oracle::judge(engine, copy.path(), &acked).unwrap();
        let queue = Queue::open(&setting::config(engine, copy.path()), metrics::Queue::default()).unwrap();
        let auditor = queue.reader(AUDITOR);
        template.oldest = Log::ALL.map(|log| auditor.cursor(log).next.0);
        template
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(self.dir.path(), copy.path());
        copy
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy_dir(&path, &target) } else { fs::copy(path, target).map(drop).unwrap() }
    }
}

/// Raw and derived records that are missing, or the promise that was broken.
fn judge(template: &Template, dir: &Path, wounds: &[Wound]) -> Result<u64, String> {
    // Alone it costs nothing: the store knows the rest.
    let knows_its_end = wounds.len() == 1 || wounds.iter().all(|w| w.file != PathBuf::from("watermark"));
    let mut opened = Opened::open(template.engine, dir)?;
    let ends = Log::ALL.map(|log| opened.auditor.end(log).0);
    let mut read = [Vec::new(), Vec::new()];
    for log in Log::ALL {
        let (n, end) = (log as usize, ends[log as usize]);
        read[n] = opened.read_and_count(AUDITOR, log)?;
        opened.read_and_count(SINK, log)?;
        if knows_its_end {
            let (least, most) = (template.acked.ends[n], template.truth.ends[n]);
            ensure!((least..=most).contains(&end), "{log:?} ends at {end}, acknowledged {least}, written {most}");
            let start = opened.auditor.cursor(log).next.0;
            ensure!(start == template.oldest[n], "`{AUDITOR}` is at {start}, was at {}", template.oldest[n]);
            let (at, was) = (opened.sink.cursor(log).next.0, template.truth.sink[n]);
            ensure!(at == was, "`{SINK}` is at {at} of {log:?}, was at {was}");
            let missing = end - start - read[n].len() as u64;
            let counted = oracle::lost(&opened.metrics, log);
            ensure!(counted == missing, "{log:?}: {missing} records are missing, the metric says {counted}");
        }
    }
    opened.read_and_count(DETECT, Log::Raw)?;
    // It may be of an earlier moment, then with the cursor of that moment; or it is known to be damaged.
    if let Ok(Some(state)) = opened.sink.state(STATE) {
        let Some((_, detect)) = workload::parse_state(&state) else { return Err("state was never written".into()) };
        let cursor = opened.detect.cursor(Log::Raw).next.0;
        ensure!(cursor == detect, "`{DETECT}` is at {cursor}, its state is of {detect}");
    }
    oracle::balances(&opened.queue)?;
    opened.append(ends)?;
    let lost = opened.rows_lost();
    opened.close()?;

    // All of that was kept, and is not counted again.
    let mut again = Opened::open(template.engine, dir)?;
    ensure!(again.rows_lost() == lost, "lost {:?} after reopening, {lost:?} before", again.rows_lost());
    for log in Log::ALL {
        let n = log as usize;
        read[n].push(ends[n]);
        ensure!(again.read_and_count(AUDITOR, log)? == read[n], "{log:?} reads otherwise after reopening");
        ensure!(oracle::lost(&again.metrics, log) == 0, "{log:?}: counted as lost again after reopening");
    }
    oracle::balances(&again.queue)?;
    again.close()?;
    Ok(Log::ALL
        .iter()
        .map(|log| {
            ends[*log as usize] + 1
                - template.oldest[*log as usize].min(ends[*log as usize])
                - read[*log as usize].len() as u64
        })
        .sum())
}

struct Opened {
    queue: Queue,
    metrics: metrics::Queue,
    auditor: Reader,
    sink: Reader,
    detect: Reader,
}

impl Opened {
    fn open(engine: EngineKind, dir: &Path) -> Result<Self, String> {
        let metrics = metrics::Queue::default();
        let queue =
            Queue::open(&setting::config(engine, dir), metrics.clone()).map_err(|e| format!("does not open: {e}"))?;
        let (auditor, sink) = (queue.reader(AUDITOR), queue.reader(SINK));
        let detect = queue.reader_of(DETECT, &[Log::Raw]);
        Ok(Self { queue, metrics, auditor, sink, detect })
    }

    /// Reads all that this consumer has not passed; what is missing is what its books say is lost.
    fn read_and_count(&mut self, name: &str, log: Log) -> Result<Vec<u64>, String> {
        let reader = match name {
            AUDITOR => &mut self.auditor,
            SINK => &mut self.sink,
            _ => &mut self.detect,
        };
        let (cursor, end) = (reader.cursor(log).next.0, reader.end(log).0);
        let read = oracle::read_all(&self.queue, reader, log)?;
        let missing = (end - cursor).checked_sub(read.len() as u64);
        let row = oracle::row(&self.queue, name, log)?;
        ensure!(missing == Some(row.lost), "`{name}` read {} from {cursor} to {end}: {row:?}", read.len());
        ensure!(row.queued == read.len() as u64, "`{name}` read {}: {row:?}", read.len());
        Ok(read)
    }

    /// The logs go on where they ended: no sequence is given twice.
    fn append(&self, ends: [u64; 2]) -> Result<(), String> {
        let [raw, derived] = Log::ALL.map(|log| workload::records(log, ends[log as usize], 1));
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
        let commit = self.queue.appender();
        let receipt = runtime.block_on(commit.commit(Transaction { raw, derived, ..Transaction::default() }));
        let receipt = receipt.map_err(|e| format!("takes nothing: {e}"))?.blocking_recv();
        let committed = receipt.map_err(|e| e.to_string())?.map_err(|e| format!("commits nothing: {e}"))?;
        let firsts = [committed.raw_first, committed.derived_first];
        ensure!(firsts == ends.map(QueueSeq), "appended at {firsts:?}, the ends were {ends:?}");
        Ok(())
    }

    fn rows_lost(&self) -> Vec<(String, Log, u64)> {
        self.queue.monitor().ledger().into_iter().map(|row| (row.consumer, row.log, row.lost)).collect()
    }

    fn close(self) -> Result<(), String> {
        self.queue.close().map_err(|e| format!("does not close: {e}"))
    }
}
