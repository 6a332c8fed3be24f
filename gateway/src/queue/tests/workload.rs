//! A fixed piece of the gateway's work on a queue, and the judge of what came of it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const ROUNDS: u64 = 6;
const GROUP: u64 = 3;
const RECORDS: u64 = 4;
/// A generation lasts some two rounds.
const RECORD_BYTES: usize = 700;

/// What the queue was given and what it said.
#[derive(Default)]
pub(super) struct Told {
    next_id: u64,
    /// Ids of the records, by sequence. Indexed by `Log`.
    acked: [BTreeMap<u64, u64>; 2],
    /// Transactions that nobody knows about: ids of their records. Indexed by `Log`.
    unknown: [Vec<Vec<u64>>; 2],
    /// What the stage's state said in its last acknowledged transaction.
    stage: (u64, u64),
    /// How far the sink has come. Indexed by `Log`.
    sink: [u64; 2],
}

/// Small, so that generations come and go and readers read the store.
pub(super) fn small_config(dir: &Path) -> Config {
    Config {
        generation_max_bytes: 20_000,
        ballast_bytes: 0,
        cache_bytes: 1,
        // All come back.
        absent_grace: Duration::from_secs(3_600),
        cursor_delay: Duration::ZERO,
        ..Config::new(dir)
    }
}

/// A directory where an fsync costs nothing, if there is one.
pub(super) fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn numbered(log: Log, id: u64) -> Record {
    large_record(2 * id + log as u64, RECORD_BYTES)
}

fn state_of(stage: (u64, u64)) -> Vec<u8> {
    // Of more than one part.
    [&stage.0.to_le_bytes()[..], &stage.1.to_le_bytes(), &[7; 20_000]].concat()
}

fn parse_state(state: Option<Vec<u8>>) -> (u64, u64) {
    state.map_or((0, 0), |state| {
        let word = |at: usize| u64::from_le_bytes(state[at..at + 8].try_into().unwrap());
        (word(0), word(8))
    })
}

impl Told {
    fn ids(&mut self, count: u64) -> Vec<u64> {
        let first = self.next_id;
        self.next_id += count;
        (first..self.next_id).collect()
    }

    /// A stage goes on from its state.
    pub(super) fn begins_again(&mut self, queue: &Queue) {
        let stage = queue.reader_of("stage", &[Log::Raw]);
        // A fault that passes has passed by then.
        let state = stage.state("stage").or_else(|_| stage.state("stage"));
        self.stage = parse_state(state.unwrap());
        assert_eq!(self.stage.0, stage.cursor(Log::Raw).next.0, "state and cursor are of one transaction");
    }

    fn settle(&mut self, log: Log, ids: Vec<u64>, receipt: Result<Committed, String>) -> Result<(), String> {
        match receipt {
            Ok(committed) => {
                let first = [committed.raw_first, committed.derived_first][log as usize].0;
                for (seq, id) in (first..).zip(ids) {
                    assert_eq!(self.acked[log as usize].insert(seq, id), None, "sequence {seq} given twice");
                }
                Ok(())
            }
            Err(error) => {
                self.unknown[log as usize].push(ids);
                Err(error)
            }
        }
    }
}

/// Doors append in groups, a stage turns raw records into derived ones, a sink that lags drains both logs.
///
/// # Errors
/// The first that the queue gave; all that was handed over has its answer by then.
pub(super) fn work(queue: &Queue, told: &mut Told) -> Result<(), String> {
    let mut sink = queue.reader("sink");
    for round in 0..ROUNDS {
        work_without_sink(queue, told)?;
        if round % 3 == 2 {
            drain(&mut sink, told)?;
        }
    }
    append_group(queue, told)?;
    drain(&mut sink, told)
}

/// A backlog grows by this.
///
/// # Errors
/// As above.
pub(super) fn work_without_sink(queue: &Queue, told: &mut Told) -> Result<(), String> {
    let mut stage = queue.reader_of("stage", &[Log::Raw]);
    append_group(queue, told)?;
    run_stage(queue, &mut stage, told)
}

fn append_group(queue: &Queue, told: &mut Told) -> Result<(), String> {
    let runtime = runtime();
    let (mut waiting, mut result) = (Vec::new(), Ok(()));
    for _ in 0..GROUP {
        let ids = told.ids(RECORDS);
        let raw = ids.iter().map(|id| numbered(Log::Raw, *id)).collect();
        match runtime.block_on(queue.appender().commit(Transaction { raw, ..Transaction::default() })) {
            Ok(receipt) => waiting.push((ids, receipt)),
            Err(error) => result = Err(error.to_string()),
        }
    }
    for (ids, receipt) in waiting {
        let receipt = receipt.blocking_recv().expect("each receipt is answered").map_err(|e| e.to_string());
        result = result.and(told.settle(Log::Raw, ids, receipt));
    }
    result
}

fn run_stage(queue: &Queue, stage: &mut Reader, told: &mut Told) -> Result<(), String> {
    let end = stage.end(Log::Raw);
    let from = stage.cursor(Log::Raw);
    let seen = read_until(stage, Log::Raw, from.next, end, told)?;
    let ids = told.ids(2);
    let settled = Cursor { next: end, delivered: from.delivered + seen, ..from };
    let next = (end.0, told.stage.1 + ids.len() as u64);
    let t = Transaction {
        derived: ids.iter().map(|id| numbered(Log::Derived, *id)).collect(),
        cursors: vec![("stage".into(), Log::Raw, settled)],
        state: vec![("stage".into(), Some(state_of(next)))],
        ..Transaction::default()
    };
    let receipt = runtime().block_on(queue.stage_appender().commit(t)).map_err(|e| e.to_string())?;
    let receipt = receipt.blocking_recv().expect("each receipt is answered").map_err(|e| e.to_string());
    told.settle(Log::Derived, ids, receipt)?;
    told.stage = next;
    Ok(())
}

fn drain(sink: &mut Reader, told: &mut Told) -> Result<(), String> {
    for log in Log::ALL {
        let (from, end) = (sink.cursor(log), sink.end(log));
        let seen = read_until(sink, log, from.next, end, told)?;
        // Before it is said: once it is, it may become durable.
        told.sink[log as usize] = end.0;
        sink.advance(log, Cursor { next: end, delivered: from.delivered + seen, ..from });
    }
    Ok(())
}

/// How many there were; each is what was given under its sequence.
fn read_until(reader: &mut Reader, log: Log, from: QueueSeq, end: QueueSeq, told: &Told) -> Result<u64, String> {
    let (mut at, mut seen) = (from, 0);
    while at < end {
        match reader.read(log, at).map_err(|e| e.to_string())? {
            Some(block) => {
                for (seq, record) in block.records_from(at) {
                    let id = told.acked[log as usize].get(&seq.0).expect("only what is acknowledged is shown");
                    assert!(*record == numbered(log, *id), "{} {} is not what was given", log.name(), seq.0);
                    seen += 1;
                }
                at = block.end();
            }
            None => runtime().block_on(reader.changed()).map_err(|e| e.to_string())?,
        }
    }
    Ok(seen)
}

/// What became of a stage's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Kept,
    /// Its generation was given up as damaged: an older one speaks, or none. The stage does its work again from there.
    MayBeOlder,
}

/// What must hold of the queue when it is opened again with nothing amiss.
pub(super) fn judge(queue: &Queue, told: &Told, expected: State) {
    let ledger = queue.monitor().ledger();
    assert!(ledger.iter().all(LedgerRow::balances), "{ledger:#?}");
    let lost: u64 = ledger.iter().map(|row| row.lost + row.dropped + row.expired).sum();
    assert_eq!(lost, 0, "{ledger:#?}");
    let (sink, stage) = (queue.reader("sink"), queue.reader_of("stage", &[Log::Raw]));
    for log in Log::ALL {
        let cursor = sink.cursor(log).next;
        assert!(cursor.0 <= told.sink[log as usize], "the sink has not come as far as {cursor:?}");
        judge_records(told, log, cursor.0, &read_all(&sink, log, cursor));
    }
    let state = parse_state(stage.state("stage").unwrap());
    assert_eq!(state.0, stage.cursor(Log::Raw).next.0, "state and cursor are of one transaction");
    match expected {
        State::Kept => {
            assert_eq!(state.1, stage.end(Log::Derived).0, "state and records are of one transaction");
            assert!(state >= told.stage, "{state:?} is older than what was acknowledged, {:?}", told.stage);
        }
        State::MayBeOlder => assert!(state.1 <= stage.end(Log::Derived).0),
    }
    let end = sink.end(Log::Raw);
    assert_eq!(append(queue, [record(0)]).raw_first, end);
    let given = told.acked[0].keys().last().map_or(0, |last| last + 1);
    assert!(end.0 >= given, "sequences are used again: {end:?} after {given}");
}

/// All that was acknowledged, in its place; of the rest whole transactions or nothing.
fn judge_records(told: &Told, log: Log, cursor: u64, found: &[(QueueSeq, Record)]) {
    let acked = &told.acked[log as usize];
    let mut others = BTreeSet::new();
    for (seq, record) in found {
        let id = (record.received.since_boot_ns / 1_000 - log as u64) / 2;
        assert!(*record == numbered(log, id), "{} {} was never given", log.name(), seq.0);
        match acked.get(&seq.0) {
            Some(given) => assert_eq!(id, *given, "{} {} is another one", log.name(), seq.0),
            None => assert!(others.insert(id), "{} {} is there twice", log.name(), seq.0),
        }
    }
    let there: BTreeSet<u64> = found.iter().map(|(seq, _)| seq.0).collect();
    let missing: Vec<_> = acked.range(cursor..).filter(|(seq, _)| !there.contains(seq)).collect();
    assert!(missing.is_empty(), "{}: acknowledged, and not there: {missing:?}", log.name());
    for ids in &told.unknown[log as usize] {
        let count = ids.iter().filter(|id| others.remove(id)).count();
        assert!(count == 0 || count == ids.len(), "{}: {count} of the transaction {ids:?}", log.name());
    }
    assert!(others.is_empty(), "{}: {others:?} came from nowhere", log.name());
}
