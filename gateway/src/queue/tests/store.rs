//! What every storage engine must do, run against sled; and what the queue does when an engine fails.

use super::super::block::encode_all;
use super::super::runs::Runs;
use super::super::store::Stored;
use super::*;

type Opened = (Box<dyn Store>, Contents);

fn open_sled(dir: &Path) -> Opened {
    let (store, contents) = SledStore::open(dir, 4 << 20).unwrap();
    (Box::new(store), contents)
}

fn blocks(log: Log, first: u64, records: &[Record]) -> Batch {
    let mut batch = Batch::default();
    encode_all(log, QueueSeq(first), records, &mut batch.blocks);
    batch
}

fn run(first: u64, end: u64) -> Run {
    Run::new(QueueSeq(first), QueueSeq(end))
}

fn runs<const N: usize>(list: [Run; N]) -> Runs {
    let mut runs = Runs::default();
    list.into_iter().for_each(|r| runs.add(r));
    runs
}

fn account(start: u64, next: u64) -> cursor::Account {
    cursor::Account { start: QueueSeq(start), lost: 0, cursor: delivered(next) }
}

/// The conformance suite: any engine that passes can stand behind the queue.
fn conforms(open: impl Fn(&Path) -> Opened) {
    finds_the_block_that_holds_a_sequence_or_the_next(&open);
    brings_back_all_of_a_batch(&open);
    notices_a_hole_once(&open);
    forgets_only_what_it_may(&open);
}

fn finds_the_block_that_holds_a_sequence_or_the_next(open: &impl Fn(&Path) -> Opened) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, contents) = open(dir.path());
    assert_eq!(contents, Contents::default());
    let records: Vec<_> = (0..300).map(record).collect();
    store.commit(&blocks(Log::Raw, 0, &records)).unwrap();
    let large = [large_record(1, 100_000)];
    store.commit(&blocks(Log::Raw, 400, &large)).unwrap();
    store.commit(&blocks(Log::Derived, 7, &records[..5])).unwrap();
    let view = store.view();
    let found = |log, from| view.read(log, QueueSeq(from)).unwrap().map(|s: Stored| s.run);
    assert_eq!(found(Log::Raw, 0), Some(run(0, 256)));
    assert_eq!(found(Log::Raw, 255), Some(run(0, 256)));
    assert_eq!(found(Log::Raw, 256), Some(run(256, 300)));
    assert_eq!(found(Log::Raw, 300), Some(run(400, 401)));
    assert_eq!(found(Log::Raw, 401), None);
    assert_eq!(found(Log::Derived, 0), Some(run(7, 12)));
    assert_eq!(found(Log::Derived, 12), None);
    let stored = view.read(Log::Raw, QueueSeq(400)).unwrap().unwrap();
    assert_eq!(stored.bytes, blocks(Log::Raw, 400, &large).blocks[0].stored);
    drop(store);
    assert!(matches!(view.read(Log::Raw, QueueSeq(0)), Err(StoreError::Closed)));
}

fn brings_back_all_of_a_batch(open: &impl Fn(&Path) -> Opened) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let mut batch = blocks(Log::Derived, 0, &[record(0), record(1)]);
    batch.accounts = vec![("a".into(), Log::Raw, account(1, 5)), ("a".into(), Log::Derived, account(0, 2))];
    batch.state = vec![("x".into(), Some(vec![1; 100_000])), ("xy".into(), Some(vec![2]))];
    store.commit(&batch).unwrap();
    let change = Batch {
        accounts: vec![("a".into(), Log::Raw, account(1, 9))],
        state: vec![("xy".into(), None)],
        ..Batch::default()
    };
    store.commit(&change).unwrap();
    drop(store);
    let (store, contents) = open(dir.path());
    assert_eq!(contents.held, [runs([]), runs([run(0, 2)])]);
    assert_eq!(contents.end, [QueueSeq(0), QueueSeq(2)]);
    let expected = [("a".into(), Log::Raw, account(1, 9)), ("a".into(), Log::Derived, account(0, 2))];
    assert_eq!(contents.accounts, expected);
    assert_eq!(store.view().state("x").unwrap(), Some(vec![1; 100_000]));
    assert_eq!(store.view().state("xy").unwrap(), None);
    assert!(store.view().disk_bytes().unwrap() > 0);
}

fn notices_a_hole_once(open: &impl Fn(&Path) -> Opened) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.commit(&blocks(Log::Raw, 0, &[record(0)])).unwrap();
    store.commit(&blocks(Log::Raw, 5, &[record(5)])).unwrap();
    drop(store);
    let (mut store, contents) = open(dir.path());
    assert_eq!(contents.lost, [runs([run(1, 5)]), runs([])]);
    store.commit(&Batch { lost: vec![(Log::Raw, run(1, 5))], ..Batch::default() }).unwrap();
    drop(store);
    let (_, contents) = open(dir.path());
    assert_eq!((&contents.lost[0], &contents.lost_before[0]), (&runs([]), &runs([run(1, 5)])));
}

fn forgets_only_what_it_may(open: &impl Fn(&Path) -> Opened) {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    for n in 0..24 {
        store.commit(&blocks(Log::Raw, n, &[large_record(n, 1_000_000)])).unwrap();
    }
    let released = store.release([QueueSeq(20), QueueSeq(0)]).unwrap();
    let gone: u64 = released.iter().map(|(_, run)| run.count()).sum();
    assert!(released.iter().all(|(log, run)| *log == Log::Raw && run.end <= QueueSeq(20)), "{released:?}");
    let view = store.view();
    assert_eq!(view.read(Log::Raw, QueueSeq(0)).unwrap().unwrap().run, run(gone, gone + 1));
    drop(store);
    let (_, contents) = open(dir.path());
    assert_eq!(contents.held[0], runs([run(gone, 24)]));
    assert_eq!(contents.lost, [runs([]), runs([])]);
}

#[test]
fn sled_conforms() {
    conforms(open_sled);
}

/// Fails its commits from the n-th on, after having written: as after a failed fsync, nobody knows.
struct FaultyStore {
    store: Box<dyn Store>,
    commits_left: usize,
}

impl Store for FaultyStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.store.commit(batch)?;
        if self.commits_left == 0 {
            return Err(StoreError::Io { path: "db".into(), source: std::io::Error::other("input/output error") });
        }
        self.commits_left -= 1;
        Ok(())
    }

    fn release(&mut self, keep_from: [QueueSeq; 2]) -> Result<Vec<(Log, Run)>, StoreError> {
        self.store.release(keep_from)
    }

    fn view(&self) -> Arc<dyn View> {
        self.store.view()
    }
}

#[test]
fn after_a_failed_flush_nothing_is_acknowledged_and_nothing_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (store, contents) = open_sled(dir.path());
    let store = Box::new(FaultyStore { store, commits_left: 2 });
    let lock = DirLock::take(dir.path()).unwrap().unwrap();
    let queue = Queue::start(&config(dir.path()), metrics::Queue::default(), store, contents, lock).unwrap();
    append(&queue, [record(0)]);
    append(&queue, [record(1)]);
    let t = || Transaction { raw: vec![record(2)], ..Transaction::default() };
    assert_eq!(commit(&queue, t()).unwrap_err(), "queue storage: db: input/output error");
    assert_eq!(commit(&queue, t()).unwrap_err(), "queue is closed");
    let reader = queue.reader("sink");
    assert_eq!(reader.end(Log::Raw), QueueSeq(2), "what is not durable is not shown");
    assert!(queue.close().unwrap_err().to_string().contains("input/output error"));

    let queue = open(&config(dir.path()));
    assert!(append(&queue, [record(3)]).raw_first >= QueueSeq(2));
}
