//! What was acknowledged is there after SIGKILL: a child process writes and tells its acknowledgements, and is killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::*;

/// Tells the test binary that it is the writer, and where.
const DIR_VARIABLE: &str = "GATEWAY_QUEUE_CRASH_TEST_DIR";
const ROUNDS: u64 = 24;
const NAME: &str = "queue::tests::crash::what_was_acknowledged_survives_sigkill_at_any_moment";

fn crash_config(dir: &Path) -> Config {
    // Small generations, so that many of the kills hit their making and deleting.
    Config { generation_max_bytes: 4 << 20, cursor_delay: Duration::ZERO, ..config(dir) }
}

#[test]
fn what_was_acknowledged_survives_sigkill_at_any_moment() {
    if let Some(dir) = std::env::var_os(DIR_VARIABLE) {
        return write_until_killed(Path::new(&dir));
    }
    let seed = std::process::id().into();
    println!("seed {seed}");
    let randomness = noise(2 * ROUNDS as usize, seed);
    let dir = tempfile::tempdir().unwrap();
    let (mut acked, mut settled) = (0, 0);
    for round in 0..ROUNDS as usize {
        let lines = u16::from_le_bytes([randomness[2 * round], randomness[2 * round + 1]]) % 300;
        let (acked_now, settled_now) = kill_after(spawn(dir.path()), lines);
        acked = acked_now.max(acked);
        settled = settled_now.max(settled);
        verify(dir.path(), acked, settled, round);
    }
    assert!(acked > 1_000, "only {acked} records in all rounds");
    assert_eq!(files_in_blobs(dir.path()), 0);
}

fn spawn(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(DIR_VARIABLE, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads acknowledgements, kills, reads the rest of what was told before: (records acked, cursor acked).
fn kill_after(mut child: Child, lines: u16) -> (u64, u64) {
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let acks = |line: std::io::Result<String>| {
        let line = line.unwrap();
        let (acked, settled) = line.strip_prefix("acked ")?.split_once(' ')?;
        Some((acked.parse().unwrap(), settled.parse().unwrap()))
    };
    let mut last = (0, 0);
    // The first lines are the test harness's own.
    for ack in told.by_ref().take(usize::from(lines) + 3).filter_map(acks) {
        last = ack;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    told.filter_map(acks).last().unwrap_or(last)
}

/// Every record's payload says its sequence; the consumer follows closely, so that generations are deleted, too.
fn write_until_killed(dir: &Path) {
    let queue = open(&crash_config(dir));
    let reader = queue.reader("sink");
    let runtime = runtime();
    let mut next = reader.end(Log::Raw).0;
    loop {
        let mut receipts = Vec::new();
        for size in [1, 30, 200] {
            let raw = (next..next + size).map(|n| large_record(n, 300)).collect();
            let settled = delivered(next.saturating_sub(500));
            let cursors = vec![("sink".into(), Log::Raw, settled)];
            let state = vec![("s".into(), Some((next + size).to_le_bytes().repeat(4_000)))];
            let t = Transaction { raw, cursors, state, ..Transaction::default() };
            receipts.push((next + size, settled.next.0, runtime.block_on(queue.appender().commit(t)).unwrap()));
            next += size;
        }
        for (acked, settled, receipt) in receipts {
            receipt.blocking_recv().unwrap().unwrap();
            writeln!(std::io::stdout(), "acked {acked} {settled}").unwrap();
        }
    }
}

fn verify(dir: &Path, acked: u64, settled: u64, round: usize) {
    let metrics = metrics::Queue::default();
    let queue = Queue::open(&crash_config(dir), metrics.clone()).unwrap();
    let reader = queue.reader("sink");
    let (end, cursor) = (reader.end(Log::Raw).0, reader.cursor(Log::Raw));
    assert!(end >= acked, "round {round}: {acked} acknowledged, {end} there");
    assert!(cursor.next.0 >= settled, "round {round}: cursor {settled} acknowledged, {cursor:?} there");
    let found = read_all(&reader, Log::Raw, cursor.next);
    assert_eq!(found.len() as u64, end - cursor.next.0, "round {round}");
    for (seq, found) in &found {
        assert_eq!(found, &large_record(seq.0, 300), "round {round}");
    }
    if end > 0 {
        let state = reader.state("s").unwrap().unwrap();
        assert_eq!(state, end.to_le_bytes().repeat(4_000), "round {round}: state and records of one transaction");
    }
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
    assert_eq!(metrics.lost.get_or_create(&LogLabel { log: "raw" }).get(), 0);
    queue.close().unwrap();
}
