//! A sink that was away: fill, reopen after a clean close and after a kill, drain, see the disk come back.

use std::io::Write;
use std::time::{Duration, Instant};

use gateway::metrics;
use gateway::queue::{Config, Cursor, Log, Queue};

use crate::Result;
use crate::cases::Step;
use crate::flow::{append, drain};
use crate::meter::{self, Meter, figure};
use crate::records::{Payload, batches};

/// The line that asks for SIGKILL.
pub(crate) const KILL_ME: &str = "kill me";
const BATCH: u64 = 1_024;
/// Committed before the kill; it comes amid the commits that follow.
const BEFORE_KILL: u64 = 64 * BATCH;
/// More than can be committed before the signal comes.
const UNTIL_KILLED: u64 = 10_000 * BATCH;
/// The disk counts as free again below this share of its peak.
const FREED_PERCENT: f64 = 10.0;
/// How long it may take.
const FREED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) fn run(config: Config, step: Step, records: u64) -> Result<()> {
    std::fs::create_dir_all(&config.dir)?;
    let config = Config { commit_records_max: BATCH as usize, ..config };
    match step {
        Step::Once | Step::Fill => fill(&config, records),
        Step::ReopenClosed => reopen(&config, "reopen_closed", records),
        Step::Kill => work_until_killed(&config),
        Step::ReopenKilled => reopen(&config, "reopen_killed", records + BEFORE_KILL),
        Step::Drain => empty(&config, records + BEFORE_KILL),
    }
}

fn open(config: &Config) -> Result<Queue> {
    Ok(Queue::open(config, metrics::Queue::default())?)
}

fn fill(config: &Config, records: u64) -> Result<()> {
    let batches = batches(Payload::Json, records, BATCH);
    let meter = Meter::start(&config.dir)?;
    let queue = open(config)?;
    drop(queue.reader("sink"));
    let payload_bytes = append(&queue.appender(), batches)?;
    queue.close()?;
    meter.stop(records, payload_bytes)?;
    figure("disk_per_record", meter::disk_bytes(&config.dir)? as f64 / records as f64);
    Ok(())
}

fn reopen(config: &Config, name: &str, records: u64) -> Result<()> {
    meter::forget(&config.dir)?;
    let at = Instant::now();
    let queue = open(config)?;
    figure(name, at.elapsed().as_secs_f64() * 1e3);
    let reader = queue.reader("sink");
    if reader.end(Log::Raw).0 < records {
        return Err(format!("{} of {records} records came back", reader.end(Log::Raw).0).into());
    }
    Ok(queue.close()?)
}

fn work_until_killed(config: &Config) -> Result<()> {
    let queue = open(config)?;
    drop(queue.reader("sink"));
    append(&queue.appender(), batches(Payload::Json, BEFORE_KILL, BATCH))?;
    println!("{KILL_ME}");
    std::io::stdout().flush()?;
    append(&queue.appender(), batches(Payload::Json, UNTIL_KILLED, BATCH))?;
    Err("nobody killed it".into())
}

fn empty(config: &Config, records: u64) -> Result<()> {
    let queue = open(config)?;
    let reader = queue.reader("sink");
    let peak = meter::disk_bytes(&config.dir)? as f64;
    let (meter, mut cursor) = (Meter::start(&config.dir)?, Cursor::default());
    drain(&reader, &mut cursor);
    if cursor.next.0 < records {
        return Err(format!("{} of {records} records came back", cursor.next.0).into());
    }
    meter.stop_draining(cursor.next.0)?;
    let at = Instant::now();
    let left_percent = loop {
        let left_percent = meter::disk_bytes(&config.dir)? as f64 / peak * 100.0;
        if left_percent < FREED_PERCENT || at.elapsed() >= FREED_WITHIN {
            break left_percent;
        }
        std::thread::sleep(LOOK_INTERVAL);
    };
    figure("left_percent", left_percent);
    figure("left_mib", left_percent / 100.0 * peak / f64::from(1 << 20));
    figure("freed_after", at.elapsed().as_secs_f64());
    Ok(queue.close()?)
}
