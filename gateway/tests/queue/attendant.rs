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
                Pressure::None => tell(&Told::Open),
                Pressure::DiskFull => tell(&Told::HeldUp { failed_commits: metrics.failed_commits.get() }),
                Pressure::OverBudget => panic!("the budget is far larger than the disk"),
            }
        }
    });
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            let ends = read(&monitor, &mut sink);
            if order == format!("{:?}", Order::Drain) {
                Log::ALL.into_iter().for_each(|log| sink.advance(log, workload::delivered(ends[log as usize])));
                tell(&Told::Drained { ends });
            } else {
                tell(&Told::Read { ends });
            }
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
