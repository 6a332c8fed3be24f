//! The judge: opens a queue after a fault that must not cost anything, and looks for all that was acknowledged.

use std::path::Path;
use std::time::Duration;

use gateway::metrics::{self, LogLabel};
use gateway::queue::{Committed, EngineKind, LedgerRow, Log, Monitor, Queue, Reader, Transaction};

use crate::setting;
use crate::told::Acked;
use crate::workload::{self, AUDITOR, DETECT, SINK, STATE};

/// So long a queue that has more to give may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Refuses with what is wrong.
macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => { if !$holds { return Err(format!($($what)+)); } };
}
pub(crate) use ensure;

/// What is there. An error says which promise was broken.
pub(crate) fn judge(engine: EngineKind, dir: &Path, acked: &Acked) -> Result<Acked, String> {
    let metrics = metrics::Queue::default();
    let queue =
        Queue::open(&setting::config(engine, dir), metrics.clone()).map_err(|e| format!("does not open: {e}"))?;
    let mut sink = queue.reader(SINK);
    let mut detect = queue.reader_of(DETECT, &[Log::Raw]);
    let found = Acked {
        ends: Log::ALL.map(|log| sink.end(log).0),
        sink: Log::ALL.map(|log| sink.cursor(log).next.0),
        detect: detect.cursor(Log::Raw).next.0,
    };
    for log in Log::ALL {
        let (end, cursor, n) = (found.ends[log as usize], found.sink[log as usize], log as usize);
        ensure!(end >= acked.ends[n], "{log:?}: {} records acknowledged, {end} there", acked.ends[n]);
        ensure!(cursor >= acked.sink[n], "{log:?}: cursor {} acknowledged, {cursor} there", acked.sink[n]);
        let read = read_all(&queue.monitor(), &mut sink, log)?;
        ensure!(read.iter().copied().eq(cursor..end), "{log:?}: from {cursor} to {end} only {} read", read.len());
        ensure!(lost(&metrics, log) == 0, "{log:?}: {} counted as lost", lost(&metrics, log));
    }
    ensure!(found.detect >= acked.detect, "cursor {} acknowledged, {} there", acked.detect, found.detect);
    let read = read_all(&queue.monitor(), &mut detect, Log::Raw)?;
    ensure!(read.iter().copied().eq(found.detect..found.ends[0]), "only {} for `{DETECT}`", read.len());
    let state = sink.state(STATE).map_err(|e| format!("state: {e}"))?;
    let expected = (found.ends != [0; 2]).then(|| workload::state(found.ends, found.detect));
    ensure!(
        state == expected,
        "state of {:?}, records and cursor of {found:?}",
        state.as_deref().map(workload::parse_state)
    );
    balances(&queue)?;
    for row in queue.monitor().ledger().iter().filter(|row| row.consumer != AUDITOR) {
        ensure!(
            row.cursor.delivered == row.cursor.next.0 && row.lost + row.dropped + row.expired == 0,
            "booked otherwise than delivered: {row:?}"
        );
    }
    queue.close().map_err(|e| format!("does not close: {e}"))?;
    Ok(found)
}

pub(crate) fn balances(queue: &Queue) -> Result<(), String> {
    let ledger = queue.monitor().ledger();
    ensure!(ledger.iter().all(LedgerRow::balances), "the ledger does not balance: {ledger:#?}");
    Ok(())
}

pub(crate) fn lost(metrics: &metrics::Queue, log: Log) -> u64 {
    metrics.lost.get_or_create(&LogLabel { log: log.name() }).get()
}

/// Sequences of all records that this consumer has not passed, each of which is what was written there.
pub(crate) fn read_all(monitor: &Monitor, reader: &mut Reader, log: Log) -> Result<Vec<u64>, String> {
    let (mut at, mut all) = (reader.cursor(log).next, Vec::new());
    loop {
        while let Some(block) = reader.read(log, at).map_err(|e| format!("{log:?} from {}: {e}", at.0))? {
            for (seq, record) in block.records_from(at) {
                ensure!(all.last() < Some(&seq.0), "{log:?} {} comes after {:?}", seq.0, all.last());
                ensure!(*record == workload::record(log, seq.0), "{log:?} {} is not what was written", seq.0);
                all.push(seq.0);
            }
            at = block.end();
        }
        if row(monitor, reader.name(), log)?.queued == all.len() as u64 {
            return Ok(all);
        }
        // The writer is just setting aside what cannot be read; then there is a change.
        wait_for_change(reader).map_err(|why| format!("{log:?} after {} records, at {}: {why}", all.len(), at.0))?;
    }
}

pub(crate) fn wait_for_change(reader: &mut Reader) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|e| e.to_string())?;
    let change = runtime.block_on(async { tokio::time::timeout(PATIENCE, reader.changed()).await });
    change.map_err(|_| "there are more, and nothing happens")?.map_err(|e| e.to_string())
}

/// Commits and waits for the receipt.
pub(crate) fn commit(queue: &Queue, t: Transaction) -> Result<Committed, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
    let receipt = runtime.block_on(queue.appender().commit(t)).map_err(|e| format!("takes nothing: {e}"))?;
    let answer = receipt.blocking_recv().map_err(|_| "a receipt was not answered")?;
    answer.map_err(|e| format!("commits nothing: {e}"))
}

pub(crate) fn row(monitor: &Monitor, consumer: &str, log: Log) -> Result<LedgerRow, String> {
    let rows = monitor.ledger();
    let row = rows.into_iter().find(|row| row.consumer == consumer && row.log == log);
    row.ok_or_else(|| format!("`{consumer}` has no row in the ledger"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Consumers, Job};
    use crate::writer;

    /// A judge that cannot say no proves nothing.
    #[test]
    fn what_is_missing_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let job = Job { engine: EngineKind::Sled, dir: dir.path().to_owned(), consumers: Consumers::Follow };
        let mut acked = Acked::default();
        writer::write(&job, 20, &mut |now| acked = now);
        judge(job.engine, &job.dir, &acked).unwrap();
        let [raw, derived] = acked.ends;
        for claim in [
            Acked { ends: [raw + 1, derived], ..acked },
            Acked { ends: [raw, derived + 1], ..acked },
            Acked { sink: [raw, 0], ..acked },
            Acked { detect: raw, ..acked },
        ] {
            judge(job.engine, &job.dir, &claim).unwrap_err();
        }
    }

    #[test]
    fn a_record_that_is_not_what_was_written_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(&setting::config(EngineKind::Sled, dir.path()), metrics::Queue::default()).unwrap();
        let raw = vec![workload::record(Log::Raw, 0), workload::record(Log::Raw, 0)];
        commit(&queue, Transaction { raw, ..Transaction::default() }).unwrap();
        let error = read_all(&queue.monitor(), &mut queue.reader(SINK), Log::Raw).unwrap_err();
        assert_eq!(error, "Raw 1 is not what was written");
    }
}
