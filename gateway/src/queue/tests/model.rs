//! The queue is a list of records with cursors into it, whatever is done to it in whatever order.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Raw and derived records of one transaction, with the state it leaves.
    Append(u16, u16, Option<u8>),
    /// Reader, how far of what it has not settled yet, per mille.
    Advance(usize, u16),
    /// A cursor within a transaction.
    AdvanceInCommit(usize, u16),
    Read(usize, u16),
    Reopen,
    /// The process dies between two commits: what it had on disk at that moment is opened by the next one.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..600u16, 0..5u16, proptest::option::of(any::<u8>())).prop_map(|(r, d, s)| Step::Append(r, d, s)),
        3 => (0..2usize, 0..=1_000u16).prop_map(|(reader, mille)| Step::Advance(reader, mille)),
        1 => (0..2usize, 0..=1_000u16).prop_map(|(reader, mille)| Step::AdvanceInCommit(reader, mille)),
        3 => (0..2usize, 0..=1_000u16).prop_map(|(reader, mille)| Step::Read(reader, mille)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

const NAMES: [&str; 2] = ["detect", "sink"];

#[derive(Default)]
struct Model {
    logs: [VecDeque<Record>; 2],
    cursors: [Cursor; 2],
    /// As they were at the last commit: a crash takes none of them further back.
    durable: [Cursor; 2],
    state: Option<Vec<u8>>,
}

impl Model {
    fn ahead(&self, reader: usize, mille: u16) -> Cursor {
        let open = self.logs[0].len() as u64 - self.cursors[reader].next.0;
        delivered(self.cursors[reader].next.0 + open * u64::from(mille) / 1_000)
    }
}

fn check(queue: &Queue, readers: &[Reader], model: &Model) {
    for (reader, cursor) in readers.iter().zip(model.cursors) {
        assert_eq!(reader.cursor(Log::Raw), cursor);
        assert_eq!(reader.end(Log::Raw).0, model.logs[0].len() as u64);
        assert_eq!(reader.state("s").unwrap(), model.state);
        let row = row(queue, reader.name(), Log::Raw);
        assert_eq!(row.queued, cursor.next.count_to(reader.end(Log::Raw)));
    }
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
}

/// A copy of the files at a moment at which the writer has nothing to do.
fn as_after_a_crash(queue: &Queue, dir: &Path) -> tempfile::TempDir {
    // Each is taken only when the upkeep after the one before is done.
    for _ in 0..3 {
        commit(queue, Transaction::default()).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    copy_tree(dir, copy.path());
    copy
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in files::entries(from).unwrap() {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_tree(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).unwrap();
        }
    }
}

fn run(engine: EngineKind, steps: Vec<Step>) {
    let mut dir = tempfile::tempdir().unwrap();
    // Smaller than an empty generation: each commit begins a new one. A tiny cache: most reads go to the store. Cursors
    // become durable with other commits only.
    let hour = Duration::from_secs(3_600);
    let mut config =
        Config { generation_max_bytes: 1, cache_bytes: 100_000, cursor_delay: hour, ..config_on(engine, dir.path()) };
    let mut queue = open(&config);
    let mut readers = NAMES.map(|name| queue.reader(name));
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(raw, derived, state) => {
                let at = model.logs[0].len() as u64;
                let mut t = Transaction {
                    raw: (0..u64::from(raw)).map(|n| record(at + n)).collect(),
                    derived: (0..u64::from(derived)).map(|n| record(at + n)).collect(),
                    ..Transaction::default()
                };
                if let Some(state) = state {
                    model.state = (state > 50).then(|| vec![state; usize::from(state) * 300]);
                    t.state.push(("s".into(), model.state.clone()));
                }
                model.logs[0].extend(t.raw.clone());
                model.logs[1].extend(t.derived.clone());
                if raw + derived > 0 {
                    model.durable = model.cursors;
                }
                commit(&queue, t).unwrap();
            }
            Step::Advance(reader, mille) => {
                model.cursors[reader] = model.ahead(reader, mille);
                readers[reader].advance(Log::Raw, model.cursors[reader]);
            }
            Step::AdvanceInCommit(reader, mille) => {
                model.cursors[reader] = model.ahead(reader, mille);
                let cursors = vec![(NAMES[reader].into(), Log::Raw, model.cursors[reader])];
                model.durable[reader] = model.cursors[reader];
                commit(&queue, Transaction { cursors, ..Transaction::default() }).unwrap();
            }
            Step::Read(reader, mille) => {
                let from = model.ahead(reader, mille).next;
                for (log, from) in [(Log::Raw, from), (Log::Derived, QueueSeq(0))] {
                    let expected = model.logs[log as usize].iter().enumerate().skip(from.0 as usize);
                    let expected: Vec<_> = expected.map(|(n, r)| (QueueSeq(n as u64), r.clone())).collect();
                    assert_eq!(read_all(&readers[reader], log, from), expected);
                }
            }
            Step::Reopen => {
                queue.close().unwrap();
                queue = open(&config);
                readers = NAMES.map(|name| queue.reader(name));
                model.durable = model.cursors;
            }
            Step::Crash => {
                let copy = as_after_a_crash(&queue, dir.path());
                queue.close().unwrap();
                dir = copy;
                config.dir = dir.path().to_owned();
                queue = open(&config);
                readers = NAMES.map(|name| queue.reader(name));
                for (reader, at) in readers.iter().zip(0..) {
                    let cursor = reader.cursor(Log::Raw);
                    assert!((model.durable[at].next..=model.cursors[at].next).contains(&cursor.next), "{cursor:?}");
                    model.cursors[at] = cursor;
                }
                model.durable = model.cursors;
            }
        }
        check(&queue, &readers, &model);
    }
    assert_eq!(files_in_blobs(dir.path()), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_is_a_list_with_cursors(steps in prop::collection::vec(step(), 1..16)) {
        EngineKind::ALL.into_iter().for_each(|engine| run(engine, steps.clone()));
    }
}
