//! Threads of the writer's process that watch its queue and take its parent's orders, while the writer may be held up.

use std::io::Write;

use gateway::metrics;
use gateway::queue::{Log, Monitor, Pressure, Queue, QueueSeq, Reader};

use crate::oracle;
use crate::told::Told;
use crate::workload::{self, SINK};

/// What a parent may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Read all that the sink has not passed.
    Read,
    /// And pass it.
    Drain,
}

/// Not `println!`: each line is to leave at once, past the test harness.
pub(crate) fn tell(told: &Told) {
    writeln!(std::io::stdout(), "{told}").expect("the parent listens");
}

pub(crate) fn start(queue: &Queue, metrics: metrics::Queue) {
    let (monitor, mut sink) = (queue.monitor(), queue.reader(SINK));
    let mut pressure = monitor.pressure();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        while runtime.block_on(pressure.changed()).is_ok() {
            match *pressure.borrow_and_update() {
                Pressure::None => {}
                Pressure::DiskFull => tell(&Told::HeldUp { failed_commits: metrics.failed_commits.get() }),
                Pressure::OverBudget => panic!("the budget is far larger than the disk"),
            }
        }
    });
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            let told = if order == format!("{:?}", Order::Drain) {
                Told::Drained { ends: drain(&monitor, &mut sink) }
            } else {
                Told::Read { ends: read(&monitor, &mut sink) }
            };
            tell(&told);
        }
    });
}

/// Byte for byte, without a hole.
fn read(monitor: &Monitor, sink: &mut Reader) -> [u64; 2] {
    Log::ALL.map(|log| {
        let QueueSeq(from) = sink.cursor(log).next;
        let read =
            oracle::read_all(monitor, sink, log).unwrap_or_else(|fault| panic!("while the disk is full: {fault}"));
        let end = from + read.len() as u64;
        assert!(read.into_iter().eq(from..end), "{log:?} has a hole between {from} and {end}");
        end
    })
}

/// Block by block, as a sink does: what it has passed makes room for the rest.
fn drain(monitor: &Monitor, sink: &mut Reader) -> [u64; 2] {
    Log::ALL.map(|log| {
        let (mut at, end) = (sink.cursor(log).next, monitor.end(log));
        while at < end {
            let Some(block) = sink.read(log, at).expect("reads") else {
                oracle::wait_for_change(sink).expect("goes on reading once the store is mended");
                continue;
            };
            for (expected, (seq, record)) in (at.0..).zip(block.records_from(at)) {
                assert_eq!((seq.0, record), (expected, &workload::record(log, expected)));
            }
            at = block.end();
            sink.advance(log, workload::delivered(at.0));
        }
        at.0
    })
}
