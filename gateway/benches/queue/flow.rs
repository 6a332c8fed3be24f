//! Append, read along and advance: all that the queue does in a healthy gateway.

use std::collections::VecDeque;

use gateway::metrics;
use gateway::queue::{Appender, Config, Cursor, Log, Queue, Reader, Receipt, Transaction};
use tokio::runtime::Runtime;

use crate::Result;
use crate::meter::Meter;
use crate::records::{Payload, batches};

/// Commits under way at a time: the next group gathers while one is synced.
const UNDER_WAY: usize = 4;

pub(crate) fn run(config: Config, payload: Payload, batch: u64, records: u64) -> Result<()> {
    // Groups would grow with the load otherwise, and a batch would not be a commit.
    let config = Config { commit_records_max: batch as usize, ..config };
    std::fs::create_dir_all(&config.dir)?;
    let batches = batches(payload, records, batch);
    let meter = Meter::start(&config.dir)?;
    let queue = Queue::open(&config, metrics::Queue::default())?;
    let reader = queue.reader("sink");
    let consumer = std::thread::spawn(move || consume(reader, records));
    append(&queue.appender(), batches)?;
    let payload_bytes = consumer.join().map_err(|_| "the consumer panicked")?;
    queue.close()?;
    meter.stop(records, payload_bytes)
}

/// Commits all; gives the payload's bytes.
pub(crate) fn append(appender: &Appender, batches: impl Iterator<Item = Vec<gateway::queue::Record>>) -> Result<u64> {
    let runtime = runtime();
    let (mut under_way, mut payload_bytes) = (VecDeque::<Receipt>::new(), 0);
    for raw in batches {
        payload_bytes += raw.iter().map(|r| r.payload.len() as u64).sum::<u64>();
        under_way.push_back(runtime.block_on(appender.commit(Transaction { raw, ..Transaction::default() }))?);
        if under_way.len() == UNDER_WAY
            && let Some(receipt) = under_way.pop_front()
        {
            receipt.blocking_recv()??;
        }
    }
    for receipt in under_way {
        receipt.blocking_recv()??;
    }
    Ok(payload_bytes)
}

/// Reads until it has passed `records`; gives the payload's bytes.
fn consume(mut reader: Reader, records: u64) -> u64 {
    let (runtime, mut cursor, mut payload_bytes) = (runtime(), Cursor::default(), 0);
    loop {
        payload_bytes += drain(&reader, &mut cursor);
        if cursor.next.0 >= records || runtime.block_on(reader.changed()).is_err() {
            return payload_bytes;
        }
    }
}

/// Reads all that is there and lets go of it; gives the payload's bytes.
pub(crate) fn drain(reader: &Reader, cursor: &mut Cursor) -> u64 {
    let mut payload_bytes = 0;
    while let Some(block) = reader.read(Log::Raw, cursor.next).expect("what was written can be read") {
        payload_bytes += block.records_from(cursor.next).map(|(_, r)| r.payload.len() as u64).sum::<u64>();
        *cursor = Cursor { next: block.end(), delivered: block.end().0, ..*cursor };
        reader.advance(Log::Raw, *cursor);
    }
    payload_bytes
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers asks the system for nothing")
}
