//! What is written: every record and every state follows from its place alone, so that it can be judged anywhere.

use bytes::Bytes;
use gateway::clock::{ClockBoot, Stamp};
use gateway::queue::{Cursor, Door, Flags, Log, QueueSeq, Record};

use crate::setting::Chance;

/// Sizes of the transactions, one after the other: raw records, derived records.
const TRANSACTIONS: [(u64, u64); 5] = [(1, 0), (30, 2), (200, 3), (3, 1), (64, 0)];
/// The name of the state that each transaction replaces.
pub(crate) const STATE: &str = "windows";
/// Follows the logs with `advance`.
pub(crate) const SINK: &str = "sink";
/// Moves its cursor of the raw log within transactions, as detection does.
pub(crate) const DETECT: &str = "detect";
/// Joins late, stands before the oldest record, and stays there.
pub(crate) const AUDITOR: &str = "auditor";

pub(crate) fn transaction_size(nth: u64) -> (u64, u64) {
    TRANSACTIONS[(nth % TRANSACTIONS.len() as u64) as usize]
}

/// The record at this place; its bytes are noise that no compression makes smaller.
pub(crate) fn record(log: Log, seq: u64) -> Record {
    let mut chance = Chance::of(seq * 2 + log as u64);
    let len = match chance.below(1_000) {
        // Longer than what a value of an engine holds, and than a block.
        0 => 70_000,
        1..10 => 20_000,
        10..100 => 2_000,
        _ => 40 + chance.below(400),
    };
    let mut payload = format!("{} {seq} ", log.name()).into_bytes();
    payload.extend(chance.bytes(len as usize));
    Record {
        door: match log {
            Log::Raw => Door::Listen,
            Log::Derived => Door::Detect,
        },
        flags: Flags { qos: 1, retained: false, redelivered: seq.is_multiple_of(7) },
        received: Stamp { boot: ClockBoot(seq / 1_000), since_boot_ns: seq * 1_000_000 },
        topic: format!("plant/device-{:02}/state", seq % 40).into(),
        payload: payload.into(),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

pub(crate) fn records(log: Log, from: u64, count: u64) -> Vec<Record> {
    (from..from + count).map(|seq| record(log, seq)).collect()
}

/// The state that belongs to these ends of the logs and this cursor of [`DETECT`]. Now and then it is a long one.
pub(crate) fn state(ends: [u64; 2], detect: u64) -> Vec<u8> {
    let len = if (ends[0] / 64).is_multiple_of(8) { 60_000 } else { 200 };
    let mut state: Vec<u8> = [ends[0], ends[1], detect].into_iter().flat_map(u64::to_le_bytes).collect();
    state.extend(Chance::of(ends[0]).bytes(len));
    state
}

/// The ends and the cursor that a state speaks of, if it is one that was written.
pub(crate) fn parse_state(bytes: &[u8]) -> Option<([u64; 2], u64)> {
    let words = bytes.get(..24)?.as_chunks::<8>().0;
    let [raw, derived, detect] = [0, 1, 2].map(|n| u64::from_le_bytes(words[n]));
    (state([raw, derived], detect) == bytes).then_some(([raw, derived], detect))
}

/// The cursor of one who has delivered everything before `next`.
pub(crate) fn delivered(next: u64) -> Cursor {
    Cursor { next: QueueSeq(next), delivered: next, ..Cursor::default() }
}
