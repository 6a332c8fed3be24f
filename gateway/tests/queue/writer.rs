//! The writer: appends, reads and advances until it is ended, and tells each acknowledgement.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use gateway::metrics;
use gateway::queue::{Appender, Committed, EngineKind, Log, Queue, QueueSeq, Reader, Receipt, Transaction};
use tokio::runtime::Runtime;

use crate::oracle;
use crate::setting;
use crate::workload::{self, AUDITOR, DETECT, SINK, STATE};

/// Receipts that are waited for at a time.
const UNDER_WAY: usize = 4;
/// Consumers stay this many records behind, per log, so that a fault finds some that nobody has read.
const LAG: [u64; 2] = [1_500, 20];

/// What was acknowledged: all of it is to be there after a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    /// Sequences after the last acknowledged records.
    pub(crate) ends: [u64; 2],
    /// Cursors that became durable with them.
    pub(crate) sink: [u64; 2],
    pub(crate) detect: u64,
}

impl fmt::Display for Acked {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { ends: [raw, derived], sink: [sink_raw, sink_derived], detect } = self;
        write!(f, "acked {raw} {derived} {sink_raw} {sink_derived} {detect}")
    }
}

impl FromStr for Acked {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let numbers = line.strip_prefix("acked ").ok_or(())?.split(' ').map(|n| n.parse().map_err(|_| ()));
        let numbers: Vec<u64> = numbers.collect::<Result<_, ()>>()?;
        let [raw, derived, sink_raw, sink_derived, detect] = numbers[..] else { return Err(()) };
        Ok(Self { ends: [raw, derived], sink: [sink_raw, sink_derived], detect })
    }
}

/// What a writer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Acked(Acked),
    /// Doors are held up, for the disk is full; so many commits had failed by then.
    HeldUp { failed_commits: u64 },
    /// Doors are open again.
    Open,
    /// Asked to, it has read all that the sink had not passed, byte for byte: up to these ends.
    Read { ends: [u64; 2] },
    /// Asked to, it has moved the sink to these ends.
    Drained { ends: [u64; 2] },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Acked(acked) => acked.fmt(f),
            Self::HeldUp { failed_commits } => write!(f, "held up {failed_commits}"),
            Self::Open => write!(f, "open"),
            Self::Read { ends: [raw, derived] } => write!(f, "read {raw} {derived}"),
            Self::Drained { ends: [raw, derived] } => write!(f, "drained {raw} {derived}"),
        }
    }
}

impl FromStr for Told {
    type Err = ();

    /// What the test harness says itself is none.
    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words[at].parse().map_err(|_| ());
        match words[..] {
            ["open"] => Ok(Self::Open),
            ["held", "up", _] => Ok(Self::HeldUp { failed_commits: number(2)? }),
            ["read", _, _] => Ok(Self::Read { ends: [number(1)?, number(2)?] }),
            ["drained", _, _] => Ok(Self::Drained { ends: [number(1)?, number(2)?] }),
            _ => line.parse().map(Self::Acked),
        }
    }
}

/// What the consumers do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumers {
    /// They follow closely, so that generations are deleted, too.
    Follow,
    /// They are there and stay where they are, and [`AUDITOR`] joins them.
    Hold,
}

pub(crate) struct Job {
    pub(crate) engine: EngineKind,
    pub(crate) dir: PathBuf,
    pub(crate) consumers: Consumers,
}

const ENGINE_VARIABLE: &str = "GATEWAY_QUEUE_WRITER_ENGINE";
const DIR_VARIABLE: &str = "GATEWAY_QUEUE_WRITER_DIR";
const HOLD_VARIABLE: &str = "GATEWAY_QUEUE_WRITER_HOLDS";

impl Job {
    /// For a child process.
    pub(crate) fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let mut variables = vec![(ENGINE_VARIABLE, self.engine.name().into()), (DIR_VARIABLE, self.dir.clone())];
        if self.consumers == Consumers::Hold {
            variables.push((HOLD_VARIABLE, "1".into()));
        }
        variables
    }

    /// `None` if this process is not a child.
    fn from_variables() -> Option<Self> {
        let name = std::env::var(ENGINE_VARIABLE).ok()?;
        let engine = EngineKind::ALL.into_iter().find(|e| e.name() == name).expect("the parent knows its engines");
        let dir = std::env::var_os(DIR_VARIABLE).expect("set together").into();
        let consumers = if std::env::var_os(HOLD_VARIABLE).is_some() { Consumers::Hold } else { Consumers::Follow };
        Some(Self { engine, dir, consumers })
    }
}

/// This test is also the child process of the others.
pub(crate) const TEST: &str = "writer::without_a_fault_everything_is_there_and_balanced";

#[test]
fn without_a_fault_everything_is_there_and_balanced() {
    if let Some(job) = Job::from_variables() {
        // Not `println!`: each line is to leave at once.
        return write(&job, u64::MAX, &mut |acked| writeln!(std::io::stdout(), "{acked}").expect("the parent listens"));
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
    let mut writer = Writer::open(job.engine, &job.dir);
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
    fn open(engine: EngineKind, dir: &Path) -> Self {
        let queue = Queue::open(&setting::config(engine, dir), metrics::Queue::default()).expect("opens");
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
        if consumers == Consumers::Follow {
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
