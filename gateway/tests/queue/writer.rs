//! The writer: appends, reads and advances until it is ended, and tells each acknowledgement.

use std::collections::VecDeque;

use gateway::metrics;
use gateway::queue::{Appender, Committed, Config, EngineKind, Log, Queue, QueueSeq, Reader, Receipt, Transaction};
use tokio::runtime::Runtime;

use crate::attendant;
use crate::job::{Consumers, Job};
use crate::oracle;
use crate::setting;
use crate::told::{Acked, Told};
use crate::workload::{self, AUDITOR, DETECT, SINK, STATE};

/// Receipts that are waited for at a time.
const UNDER_WAY: usize = 4;
/// Consumers stay this many records behind, per log, so that a fault finds some that nobody has read.
const LAG: [u64; 2] = [1_500, 20];

/// This test is also the child process of the others.
pub(crate) const TEST: &str = "writer::without_a_fault_everything_is_there_and_balanced";

#[test]
fn without_a_fault_everything_is_there_and_balanced() {
    if let Some(job) = Job::from_variables() {
        return write_attended(&job, u64::MAX, attendant::start, &mut |acked| attendant::tell(&Told::Acked(acked)));
    }
    let dir = tempfile::tempdir().unwrap();
    let job = Job { engine: EngineKind::Sled, dir: dir.path().join("queue"), consumers: Consumers::Follow };
    let mut acked = Acked::default();
    write(&job, 200, &mut |now| acked = now);
    assert!(acked.ends[0] > 10_000 && acked.sink[0] > 0 && acked.sink[1] > 0 && acked.detect > 0, "{acked:?}");
    oracle::judge(job.engine, &job.dir, &acked).unwrap();
    assert!(!job.dir.join("gen-00000001").exists(), "the first generation was read and deleted");
}

/// Commits so many transactions, waits for them and closes.
pub(crate) fn write(job: &Job, transactions: u64, tell: &mut dyn FnMut(Acked)) {
    write_attended(job, transactions, |_, _| (), tell);
}

fn write_attended(
    job: &Job,
    transactions: u64,
    attend: impl FnOnce(&Queue, metrics::Queue),
    tell: &mut dyn FnMut(Acked),
) {
    let metrics = metrics::Queue::default();
    let mut writer = Writer::open(job, metrics.clone());
    attend(&writer.queue, metrics);
    if job.consumers == Consumers::Hold {
        writer.queue.reader(AUDITOR);
    }
    let mut under_way = VecDeque::new();
    for nth in 0..transactions {
        if job.consumers == Consumers::Follow {
            writer.consume();
        }
        under_way.push_back(writer.append(nth, job.consumers));
        if under_way.len() == UNDER_WAY {
            tell(wait(under_way.pop_front().expect("just pushed")));
        }
    }
    under_way.into_iter().for_each(|waiting| tell(wait(waiting)));
    writer.queue.close().expect("closes cleanly");
}

struct Writer {
    queue: Queue,
    appender: Appender,
    runtime: Runtime,
    sink: Reader,
    /// Where everything ends once all is committed, and how far the consumers are.
    told: Acked,
}

struct Waiting {
    receipt: Receipt,
    expected: Committed,
    then: Acked,
}

impl Writer {
    fn open(job: &Job, metrics: metrics::Queue) -> Self {
        let mut config = setting::config(job.engine, &job.dir);
        if job.consumers == Consumers::AwaitOrders {
            // As it is in use: an engine may need space to open a generation for reading, some for each.
            let Config { ballast_bytes, generation_max_bytes, .. } = Config::new(&job.dir);
            config = Config { ballast_bytes, generation_max_bytes, ..config };
        }
        let queue = Queue::open(&config, metrics).expect("opens");
        let sink = queue.reader(SINK);
        let detect = queue.reader_of(DETECT, &[Log::Raw]);
        let told = Acked {
            ends: Log::ALL.map(|log| sink.end(log).0),
            sink: Log::ALL.map(|log| sink.cursor(log).next.0),
            detect: detect.cursor(Log::Raw).next.0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        Self { appender: queue.appender(), queue, runtime, sink, told }
    }

    /// Reads on where there is enough, and passes some or all of each block.
    fn consume(&mut self) {
        for log in Log::ALL {
            while self.told.sink[log as usize] + LAG[log as usize] < self.sink.end(log).0 {
                let at = self.told.sink[log as usize];
                let block = self.sink.read(log, QueueSeq(at)).expect("reads").expect("there are more");
                for (expected, (seq, record)) in (at..).zip(block.records_from(QueueSeq(at))) {
                    assert_eq!((seq.0, record), (expected, &workload::record(log, expected)));
                }
                let is_half = at.is_multiple_of(3);
                let next = if is_half { at.midpoint(block.end().0).max(at + 1) } else { block.end().0 };
                self.sink.advance(log, workload::delivered(next));
                self.told.sink[log as usize] = next;
            }
        }
    }

    fn append(&mut self, nth: u64, consumers: Consumers) -> Waiting {
        let [raw_first, derived_first] = self.told.ends;
        let (raw, derived) = workload::transaction_size(nth);
        self.told.ends = [raw_first + raw, derived_first + derived];
        if consumers != Consumers::Hold {
            self.told.detect = self.told.detect.max(raw_first.saturating_sub(LAG[0] / 2));
        }
        let t = Transaction {
            raw: workload::records(Log::Raw, raw_first, raw),
            derived: workload::records(Log::Derived, derived_first, derived),
            cursors: vec![(DETECT.into(), Log::Raw, workload::delivered(self.told.detect))],
            state: vec![(STATE.into(), Some(workload::state(self.told.ends, self.told.detect)))],
        };
        let receipt = self.runtime.block_on(self.appender.commit(t)).expect("the queue is open");
        let expected = Committed { raw_first: QueueSeq(raw_first), derived_first: QueueSeq(derived_first) };
        Waiting { receipt, expected, then: self.told }
    }
}

fn wait(waiting: Waiting) -> Acked {
    let committed = waiting.receipt.blocking_recv().expect("every receipt is answered").expect("committed");
    assert_eq!(committed, waiting.expected, "sequences go on, none is given twice");
    waiting.then
}
