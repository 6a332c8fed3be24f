//! What is known already is stored once, and what waits is stored after what it waits for, whatever fails and whenever.

use std::collections::{BTreeMap, BTreeSet};

use super::every_fault::{MOMENTS, for_every_operation, start_with};
use super::faults::{CrashEngine, Fault, Faults, FaultyEngine, Kind, Power};
use super::log_engine::LogEngine;
use super::workload::{quick_dir, small_config};
use super::*;

const ROUNDS: u64 = 9;
/// A generation lasts some two rounds.
const RECORD_BYTES: usize = 700;
/// Each such record that is new makes a derived one.
const DERIVED_EACH: usize = 5;
/// Of as many records in a row two wait for the last one.
const CHAPTER: u64 = 8;

/// Knows each record by its number; the naive way.
#[derive(Default)]
struct Once {
    ids: BTreeSet<u64>,
    derived: Vec<Record>,
    /// Some records wait.
    is_patient: bool,
    waiting: BTreeMap<u64, Record>,
    next: u64,
    changes: Vec<(u64, Option<Record>)>,
}

impl Once {
    fn store(&mut self, record: &Record) -> bool {
        let is_new = self.ids.insert(id(record));
        if is_new && self.ids.len().is_multiple_of(DERIVED_EACH) {
            self.derived.push(numbered(self.ids.len() as u64));
        }
        is_new
    }

    fn has_to_wait(&self, id: u64) -> bool {
        self.is_patient && waits(id) && !self.ids.contains(&awaited(id))
    }
}

fn waits(id: u64) -> bool {
    [2, 3].contains(&(id % CHAPTER))
}

/// What it waits for.
fn awaited(id: u64) -> u64 {
    id - id % CHAPTER + CHAPTER - 1
}

fn id(record: &Record) -> u64 {
    record.received.since_boot_ns / 1_000
}

impl Admission for Once {
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let (ids, rest) = snapshot.as_chunks::<8>();
        assert!(rest.is_empty());
        self.ids = ids.iter().map(|id| u64::from_le_bytes(*id)).collect();
        Ok(())
    }

    fn learn(&mut self, record: &Record) {
        assert!(self.store(record), "a record is in the log twice, or in the snapshot and after it");
        self.derived.clear();
    }

    fn recall(&mut self, number: u64, record: Record) {
        assert!(!self.ids.contains(&id(&record)), "what is stored does not wait any more");
        assert!(self.has_to_wait(id(&record)), "it enters the log together with what it waits for");
        assert!(number >= self.next, "by rising numbers");
        self.next = number + 1;
        self.waiting.insert(number, record);
    }

    fn admit(&mut self, record: Record, log: &mut Vec<Record>) {
        let id_of_it = id(&record);
        if self.waiting.values().any(|waiting| id(waiting) == id_of_it) {
            return;
        }
        if self.has_to_wait(id_of_it) {
            self.changes.push((self.next, Some(record.clone())));
            self.waiting.insert(self.next, record);
            self.next += 1;
            return;
        }
        if self.store(&record) {
            log.push(record);
        }
        let waited: Vec<_> = self.waiting.extract_if(.., |_, waiting| awaited(id(waiting)) == id_of_it).collect();
        for (number, record) in waited {
            self.changes.push((number, None));
            assert!(self.store(&record));
            log.push(record);
        }
    }

    fn release(&mut self, _log: &mut Vec<Record>) {}

    fn release_in(&self) -> Option<Duration> {
        None
    }

    fn take(&mut self) -> Aside {
        let (derived, waiting) = (std::mem::take(&mut self.derived), std::mem::take(&mut self.changes));
        Aside { derived, waiting }
    }

    fn snapshot(&self) -> Vec<u8> {
        self.ids.iter().flat_map(|id| id.to_le_bytes()).collect()
    }
}

fn numbered(id: u64) -> Record {
    large_record(id, RECORD_BYTES)
}

/// What the sink has read, by sequence, and what was handed over. Indexed by `Log`.
#[derive(Default)]
struct Story {
    read: [BTreeMap<u64, u64>; 2],
    handed_over: u64,
    acknowledged: BTreeSet<u64>,
}

impl Story {
    /// New records and old ones, in several transactions of one group.
    fn append(&mut self, queue: &Queue, next: &mut impl FnMut(u64) -> u64) -> Result<(), String> {
        let (runtime, mut waiting) = (runtime(), Vec::new());
        for _ in 0..3 {
            let new = self.handed_over..self.handed_over + 4;
            self.handed_over = new.end;
            let again: Vec<_> = (0..3).map(|_| next(new.end)).collect();
            let ids: Vec<_> = new.chain(again).collect();
            let raw = ids.iter().copied().map(numbered).collect();
            let t = Transaction { raw, ..Transaction::default() };
            waiting.push((ids, runtime.block_on(queue.appender().commit(t)).map_err(|e| e.to_string())?));
        }
        for (ids, receipt) in waiting {
            receipt.blocking_recv().expect("each receipt is answered").map_err(|e| e.to_string())?;
            self.acknowledged.extend(ids);
        }
        Ok(())
    }

    fn drain(&mut self, sink: &mut Reader) -> Result<(), String> {
        for log in Log::ALL {
            let end = sink.end(log);
            let mut at = sink.cursor(log).next;
            while at < end {
                let Some(block) = sink.read(log, at).map_err(|e| e.to_string())? else {
                    runtime().block_on(sink.changed()).map_err(|e| e.to_string())?;
                    continue;
                };
                for (seq, record) in block.records_from(at) {
                    let before = self.read[log as usize].insert(seq.0, id(record));
                    assert!(before.is_none_or(|before| before == id(record)), "{} {} has changed", log.name(), seq.0);
                }
                at = block.end();
            }
            sink.advance(log, delivered(end.0));
        }
        Ok(())
    }

    /// The sink follows at once, or lags: generations go before and after the next one's snapshot.
    fn go_on(&mut self, queue: &Queue, seed: u64) -> Result<(), String> {
        let each = 1 + seed % 3;
        let (mut sink, mut next) = (queue.reader("sink"), randomness(seed));
        for round in 0..ROUNDS {
            self.append(queue, &mut next)?;
            if round % each == 0 {
                self.drain(&mut sink)?;
            }
        }
        Ok(())
    }

    /// What was not acknowledged is delivered again, and what others wait for: all is there. Then all that was ever
    /// handed over is: nothing else is stored.
    fn end(mut self, queue: &Queue) {
        self.handed_over = self.handed_over.next_multiple_of(CHAPTER);
        let is_due = |id: &u64| !self.acknowledged.contains(id) || awaited(*id) == *id;
        let due = (0..self.handed_over).filter(is_due).map(numbered).collect();
        commit(queue, Transaction { raw: due, ..Transaction::default() }).unwrap();
        assert_eq!(queue.monitor().end(Log::Raw), QueueSeq(self.handed_over), "what was acknowledged is there");
        let all = (0..self.handed_over).map(numbered).collect();
        commit(queue, Transaction { raw: all, ..Transaction::default() }).unwrap();
        self.drain(&mut queue.reader("sink")).unwrap();
        assert!(queue.monitor().states("admission/waiting/").unwrap().is_empty(), "nothing waits any more");
        let places: BTreeMap<_, _> = self.read[0].iter().map(|(seq, id)| (*id, *seq)).collect();
        for id in (0..self.handed_over).filter(|id| waits(*id)) {
            assert!(places[&id] > places[&awaited(id)], "{id} is there before what it waits for");
        }
        let [raw, derived] = self.read;
        let mut ids: Vec<_> = raw.values().copied().collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..self.handed_over).collect::<Vec<_>>(), "each once");
        let due: Vec<_> = (1..=self.handed_over).filter(|n| n.is_multiple_of(DERIVED_EACH as u64)).collect();
        assert_eq!(derived.into_values().collect::<Vec<_>>(), due, "what came of them is of the same commits");
        assert!(raw.keys().copied().eq(0..self.handed_over), "sequences have no holes");
        assert!(queue.monitor().ledger().iter().all(LedgerRow::balances));
    }
}

fn once() -> Option<Box<dyn Admission>> {
    Some(Box::new(Once::default()))
}

fn once_patient() -> Option<Box<dyn Admission>> {
    Some(Box::new(Once { is_patient: true, ..Once::default() }))
}

#[test]
fn each_record_is_stored_once_and_its_repeats_are_acknowledged_across_generations_and_restarts() {
    for engine in EngineKind::ALL {
        let dir = quick_dir();
        let config = Config { engine, generation_max_bytes: 1, ..small_config(dir.path()) };
        let mut story = Story::default();
        let open = || Queue::open_with(&config, metrics::Queue::default(), Box::new(NoGaps), once_patient()).unwrap();
        for seed in 0..4 {
            let queue = open();
            story.go_on(&queue, seed).unwrap();
            queue.close().unwrap();
            assert!(generations(dir.path()).len() < 20, "{:?}", generations(dir.path()));
        }
        story.end(&open());
    }
}

#[test]
fn a_transaction_of_repeats_is_acknowledged_and_writes_nothing() {
    let dir = quick_dir();
    let queue = Queue::open_with(&config(dir.path()), metrics::Queue::default(), Box::new(NoGaps), once()).unwrap();
    append(&queue, (0..10).map(record));
    let metrics = queue.shared.metrics.clone();
    let before = (metrics.commits.get(), metrics.payload_bytes.get());
    append(&queue, (0..10).map(record));
    assert_eq!((metrics.commits.get(), metrics.payload_bytes.get()), before);
    let committed = append(&queue, [record(3), record(10), record(4), record(11)]);
    assert_eq!((committed.raw_first, queue.monitor().end(Log::Raw)), (QueueSeq(10), QueueSeq(12)));
}

#[test]
fn a_clean_end_leaves_nothing_to_be_read_again() {
    let dir = quick_dir();
    let open = || Queue::open_with(&config(dir.path()), metrics::Queue::default(), Box::new(NoGaps), once()).unwrap();
    let queue = open();
    append(&queue, (0..10).map(record));
    queue.close().unwrap();
    let state = open().monitor().state("admission").unwrap().unwrap();
    assert_eq!((state.len(), &state[..8]), (8 + 10 * 8, &10u64.to_le_bytes()[..]));
}

#[test]
fn after_a_power_cut_at_any_change_of_the_store_each_record_is_stored_once() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    for moment in MOMENTS {
        let changes = for_every_operation(|at| {
            println!("change {at}, {moment:?}");
            let (dir, survivor) = (quick_dir(), quick_dir());
            let power = Power::new(dir.path(), survivor.path(), at, moment, seed * 10_000 + at);
            let mut story = Story::default();
            if let Ok(queue) =
                start_with(&small_config(dir.path()), CrashEngine { power: power.clone() }, once_patient())
            {
                let worked = story.go_on(&queue, seed + at);
                let closed = queue.close();
                if !power.is_off() {
                    worked.unwrap();
                    closed.unwrap();
                    return false;
                }
            }
            let queue = start_with(&small_config(survivor.path()), LogEngine, once_patient()).unwrap();
            story.go_on(&queue, seed + at + 1).unwrap();
            story.end(&queue);
            true
        });
        assert!(changes > 20, "{changes}");
    }
}

#[test]
fn after_a_fault_that_passes_each_record_is_stored_once() {
    for (kind, moment) in [Kind::Full, Kind::Io].into_iter().flat_map(|kind| MOMENTS.map(|moment| (kind, moment))) {
        let operations = for_every_operation(|at| {
            let fault = Fault { at, moment, kind, lasts: false };
            println!("{fault:?}");
            let dir = quick_dir();
            let config = small_config(dir.path());
            let mut story = Story::default();
            let queue = start_with(&config, LogEngine, once_patient()).unwrap();
            story.go_on(&queue, at).unwrap();
            queue.close().unwrap();
            let faults = Faults::new(fault);
            let engine = FaultyEngine { engine: LogEngine, faults: faults.clone() };
            // A supervisor tries again.
            let queue = start_with(&config, engine, once_patient())
                .unwrap_or_else(|_| start_with(&config, LogEngine, once_patient()).unwrap());
            story.go_on(&queue, at + 1).unwrap();
            queue.close().unwrap();
            story.end(&start_with(&config, LogEngine, once_patient()).unwrap());
            faults.failed() > 0
        });
        assert!(operations > 20, "{operations}");
    }
}
