use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::SharedClockMap;
use crate::forward::Order;
use crate::forward::testing::{decoder, record};
use crate::metrics::Metrics;
use crate::queue::{self, Appender, Cursor, Queue, Transaction};
use crate::shutdown::{self, Trigger};

const GRACE: Duration = Duration::from_secs(3);

/// Batches of `log:seq`; a payload `?` cannot be encoded, and `-` is nothing to be sent.
#[derive(Default)]
struct NameEncoder(Vec<String>);

impl Encoder for NameEncoder {
    type Batch = Vec<String>;

    fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        if &record.payload[..] == b"?" {
            return Err(Undeliverable { reason: "test", detail: "a question mark".into() });
        }
        if &record.payload[..] != b"-" {
            self.0.push(format!("{}:{}", log.name(), seq.0));
        }
        Ok(Times::default())
    }

    fn takes(&self, _: Log, record: &Record) -> bool {
        &record.payload[..] != b"not for this sink"
    }

    fn pending_bytes(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self) -> Option<Vec<String>> {
        (!self.0.is_empty()).then(|| std::mem::take(&mut self.0))
    }
}

/// What the sink does with the next attempt; once the script is over it takes everything but batches with `poison`.
enum Next {
    Retry,
    Panic,
    Hang,
}

struct ScriptedSink {
    script: Mutex<VecDeque<Next>>,
    poison: Vec<&'static str>,
    taken: mpsc::UnboundedSender<Vec<String>>,
}

impl Sink for ScriptedSink {
    type Batch = Vec<String>;

    fn wire_bytes(batch: &Vec<String>) -> u64 {
        batch.len() as u64
    }

    async fn send(&self, batch: &Vec<String>) -> Result<(), SinkError> {
        let next = self.script.lock().unwrap().pop_front();
        match next {
            Some(Next::Retry) => return Err(SinkError::Retry { reason: "away".into(), after: None }),
            Some(Next::Panic) => panic!("a fault in the sink"),
            Some(Next::Hang) => std::future::pending().await,
            None => {}
        }
        if batch.iter().any(|name| self.poison.contains(&name.as_str())) {
            return Err(SinkError::Reject { reason: "poison".into() });
        }
        self.taken.send(batch.clone()).unwrap();
        Ok(())
    }
}

struct Bench {
    queue: Queue,
    appender: Appender,
    metrics: Metrics,
    trigger: Trigger,
    taken: mpsc::UnboundedReceiver<Vec<String>>,
    task: JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn start(raw: &[&str], derived: &[&str], script: Vec<Next>, poison: Vec<&'static str>) -> Self {
        let config = DeliveryConfig { batch_records_max: 4, ..DeliveryConfig::default() };
        Self::start_with(config, raw, derived, script, poison).await
    }

    async fn start_with(
        config: DeliveryConfig,
        raw: &[&str],
        derived: &[&str],
        script: Vec<Next>,
        poison: Vec<&'static str>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let queue =
            Queue::open(&queue::Config::new(dir.path().join("queue")), crate::metrics::Queue::default()).unwrap();
        let appender = queue.appender();
        let records = |payloads: &[&str]| payloads.iter().map(|p| record("t", p.as_bytes())).collect();
        let both = Transaction { raw: records(raw), derived: records(derived), ..Transaction::default() };
        appender.commit(both).await.unwrap().await.unwrap().unwrap();
        let (taken_tx, taken) = mpsc::unbounded_channel();
        let (trigger, stop) = shutdown::channel();
        let metrics = Metrics::default();
        let task = Task::new(Parts {
            name: "sink".into(),
            encoder: NameEncoder::default(),
            sink: ScriptedSink { script: Mutex::new(script.into()), poison, taken: taken_tx },
            config,
            reader: queue.reader("sink"),
            quarantine: Quarantine::open(dir.path(), "sink", decoder(), SharedClockMap::default()).unwrap(),
            metrics: metrics.forward.clone(),
            stop,
            grace: GRACE,
            seed: 1,
        });
        Self { queue, appender, metrics, trigger, taken, task: tokio::spawn(task.run()), dir }
    }

    /// The next records that the sink took.
    async fn take(&mut self, records: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < records {
            all.extend(self.batch().await);
        }
        all
    }

    /// The next batch that the sink took. Time is virtual: it runs out only if nothing is going to happen.
    async fn batch(&mut self) -> Vec<String> {
        let next = tokio::time::timeout(Duration::from_secs(3_600), self.taken.recv());
        next.await.expect("the sink is sent a batch").expect("the task is running")
    }

    async fn stop(self) -> (Vec<queue::LedgerRow>, Metrics, tempfile::TempDir) {
        self.trigger.stop();
        self.task.await.unwrap();
        (self.queue.monitor().ledger(), self.metrics, self.dir)
    }
}

fn names(log: &str, seqs: impl IntoIterator<Item = u64>) -> Vec<String> {
    seqs.into_iter().map(|seq| format!("{log}:{seq}")).collect()
}

fn row(ledger: &[queue::LedgerRow], log: Log) -> Cursor {
    let row = ledger.iter().find(|row| row.log == log).expect("the sink has a cursor in each log");
    assert!(row.balances(), "{row:?}");
    row.cursor
}

#[tokio::test(start_paused = true)]
async fn all_records_go_out_in_order_and_derived_ones_first() {
    let mut bench = Bench::start(&["x"; 10], &["x"; 2], vec![], vec![]).await;
    let taken = bench.take(12).await;
    assert_eq!(taken, [names("derived", 0..2), names("raw", 0..10)].concat());
    let (ledger, metrics, _dir) = bench.stop().await;
    assert_eq!((row(&ledger, Log::Raw).delivered, row(&ledger, Log::Derived).delivered), (10, 2));
    let label = SinkLog { sink: "sink".into(), log: "raw" };
    assert_eq!(metrics.forward.delivered.get_or_create(&label).get(), 10);
}

#[tokio::test(start_paused = true)]
async fn records_that_come_later_wake_the_task() {
    let mut bench = Bench::start(&["x"], &[], vec![], vec![]).await;
    bench.take(1).await;
    let later = Transaction { derived: vec![record("", b"x")], ..Transaction::default() };
    bench.appender.commit(later).await.unwrap().await.unwrap().unwrap();
    assert_eq!(bench.take(1).await, names("derived", [0]));
}

#[tokio::test(start_paused = true)]
async fn failures_hangs_and_panics_of_a_sink_repeat_the_batch_and_lose_nothing() {
    let script = vec![Next::Retry, Next::Hang, Next::Panic, Next::Retry];
    let mut bench = Bench::start(&["x"; 6], &[], script, vec![]).await;
    assert_eq!(bench.take(6).await, names("raw", 0..6));
    let (ledger, metrics, _dir) = bench.stop().await;
    assert_eq!(row(&ledger, Log::Raw).delivered, 6);
    assert_eq!(metrics.forward.retries.get_or_create(&SinkLabel { sink: "sink".into() }).get(), 4);
}

#[tokio::test(start_paused = true)]
async fn poison_ends_in_the_quarantine_and_good_records_go_round_it() {
    let mut bench = Bench::start(&["x", "?", "x", "x", "x", "x", "?", "x"], &[], vec![], vec!["raw:2", "raw:5"]).await;
    assert_eq!(bench.take(4).await, names("raw", [0, 3, 4, 7]));
    let (ledger, metrics, dir) = bench.stop().await;
    let cursor = row(&ledger, Log::Raw);
    assert_eq!((cursor.next, cursor.delivered, cursor.quarantined), (QueueSeq(8), 4, 4));
    let part = dir.path().join("sink/quarantine-00000001.ndjson.part");
    let kept = std::fs::read_to_string(part).unwrap();
    let kept: Vec<serde_json::Value> = kept.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut seqs: Vec<_> = kept.iter().map(|l| (l["seq"].as_u64().unwrap(), l["reason"].as_str().unwrap())).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [(1, "test"), (2, "rejected"), (5, "rejected"), (6, "test")], "each once");
    let count = |reason| metrics.forward.quarantined.get_or_create(&SinkReason { sink: "sink".into(), reason }).get();
    assert_eq!((count("test"), count("rejected")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn records_that_leave_nothing_to_send_are_settled_alone_and_among_others() {
    // More than fit in a batch, so that some are batches of their own.
    let mut bench = Bench::start(&["-", "-", "-", "-", "-", "-", "-", "-", "-", "x"], &[], vec![], vec![]).await;
    assert_eq!(bench.take(1).await, names("raw", [9]));
    let (ledger, _metrics, _dir) = bench.stop().await;
    let cursor = row(&ledger, Log::Raw);
    assert_eq!((cursor.next, cursor.delivered, cursor.quarantined), (QueueSeq(10), 10, 0));

    let mut bench = Bench::start(&["-", "x", "-"], &[], vec![], vec![]).await;
    assert_eq!(bench.take(1).await, names("raw", [1]));
    let (ledger, _metrics, _dir) = bench.stop().await;
    assert_eq!(row(&ledger, Log::Raw).delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_at_its_limit_of_records_or_bytes() {
    let mut bench = Bench::start(&["x"; 8], &[], vec![], vec![]).await;
    assert_eq!(bench.batch().await.len(), 4);
    // The encoder counts a record as one byte.
    let config = DeliveryConfig { batch_max_bytes: 3, ..DeliveryConfig::default() };
    let mut bench = Bench::start_with(config, &["x"; 8], &[], vec![], vec![]).await;
    assert_eq!(bench.batch().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stop_abandons_a_hanging_batch_after_the_grace_and_it_stays_in_the_queue() {
    let bench = Bench::start(&["x"; 4], &[], vec![Next::Hang], vec![]).await;
    // The attempt is under way once the task has run.
    tokio::task::yield_now().await;
    let started_at = Instant::now();
    let (ledger, _, _dir) = bench.stop().await;
    assert!(started_at.elapsed() <= GRACE);
    assert!(ledger.iter().all(|row| row.cursor == Cursor::default() && row.balances()), "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_is_not_to_get_is_passed_and_in_the_ledger() {
    let mut bench = Bench::start(&["x", "not for this sink", "not for this sink", "x"], &[], vec![], vec![]).await;
    assert_eq!(bench.take(2).await, names("raw", [0, 3]));
    let (ledger, _metrics, _dir) = bench.stop().await;
    let cursor = row(&ledger, Log::Raw);
    assert_eq!((cursor.delivered, cursor.filtered), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn after_a_start_with_a_backlog_the_present_goes_first_and_the_books_know_what_is_ahead() {
    // The sink takes one batch of the backlog, and no more while the backlog's next one hangs.
    let config =
        DeliveryConfig { batch_records_max: 4, order: Order::LiveFirst, inflight: 2, ..DeliveryConfig::default() };
    let mut bench = Bench::start_with(config, &["x"; 40], &[], vec![Next::Hang], vec![]).await;
    let live = Transaction { raw: vec![record("t", b"x"); 4], ..Transaction::default() };
    tokio::task::yield_now().await;
    bench.appender.commit(live).await.unwrap().await.unwrap().unwrap();
    assert_eq!(bench.take(44).await.into_iter().collect::<std::collections::BTreeSet<_>>().len(), 44);
    let (ledger, metrics, _dir) = bench.stop().await;
    assert_eq!(row(&ledger, Log::Raw), Cursor { next: QueueSeq(44), delivered: 44, ..Cursor::default() });
    let label = SinkLabel { sink: "sink".into() };
    assert_eq!(metrics.forward.backlog_records.get_or_create(&label).get(), 0);
}
