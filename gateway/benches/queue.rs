//! What the queue costs: encode + commit + read + delete, against plain segment files with one fdatasync per batch.
//!
//! `cargo bench -p gateway --bench queue` ; CPU seconds and bytes are steady, rates are the disk's. The records are
//! 100-byte JSON of 1000 devices. `-- --dir PATH` puts the files onto another disk, `-- --records N` changes the length.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gateway::clock::{ClockBoot, Stamp};
use gateway::metrics;
use gateway::queue::{Config, Cursor, Door, Flags, Log, Queue, QueueSeq, Record, Transaction};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RECORDS: u64 = 1_000_000;
/// Commits under way at a time: the next group gathers while one is synced.
const UNDER_WAY: usize = 4;
/// Kernel clock ticks per second in `/proc/self/stat`, the same on all Linux ports.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one process measures: memory that one case leaves behind must not count for the next.
#[derive(Clone, Copy)]
enum Case {
    Segments(u64),
    Live(u64),
    Backlog,
    OneByOne,
}

impl Case {
    const ALL: [Self; 8] = [
        Self::Segments(256),
        Self::Live(256),
        Self::Segments(1024),
        Self::Live(1024),
        Self::Segments(4096),
        Self::Live(4096),
        Self::Backlog,
        Self::OneByOne,
    ];

    fn run(self, dir: &Path, records: u64) -> Result<()> {
        match self {
            Self::Segments(batch) => {
                row(&format!("segment files, {batch} a batch"), records, || segment_files(dir, records, batch))
            }
            Self::Live(batch) => row(&format!("queue, {batch} a batch"), records, || live(dir, records, batch)),
            Self::Backlog => backlog(dir, 2 * records),
            Self::OneByOne => one_by_one(dir),
        }
    }
}

fn main() -> Result<()> {
    let (mut dir, mut records, mut case) = (std::env::temp_dir(), RECORDS, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().ok_or("--dir needs a path")?.into(),
            "--records" => records = arguments.next().ok_or("--records needs a number")?.parse()?,
            "--case" => case = Some(arguments.next().ok_or("--case needs a number")?.parse::<usize>()?),
            // cargo's own.
            "--bench" => {}
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    // Whole batches of every size.
    let records = records.next_multiple_of(4096);
    let dir = dir.join(format!("queue-bench-{}", std::process::id()));
    if let Some(case) = case {
        return Case::ALL.get(case).ok_or("no such case")?.run(&dir, records);
    }
    println!("{records} records of 100-byte JSON, files under {}\n", dir.display());
    println!("| what | records/s | CPU s per million | bytes written per record | peak RSS MiB |");
    println!("|---|---|---|---|---|");
    for case in 0..Case::ALL.len() {
        let case = ["--case".into(), case.to_string(), "--records".into(), records.to_string()];
        let parent = dir.parent().unwrap_or(&dir);
        let status = Command::new(std::env::current_exe()?).args(case).arg("--dir").arg(parent).status()?;
        if !status.success() {
            return Err(format!("a case ended with {status}").into());
        }
    }
    Ok(())
}

/// Runs one case and prints its line; the case gives the bytes written.
fn row(name: &str, records: u64, case: impl FnOnce() -> Result<u64>) -> Result<()> {
    let (cpu, at) = (cpu_seconds()?, Instant::now());
    let written_bytes = case()?;
    let (cpu, wall) = (cpu_seconds()? - cpu, at.elapsed().as_secs_f64());
    let millions = records as f64 / 1e6;
    let (rate, cpu, bytes) = (records as f64 / wall, cpu / millions, written_bytes as f64 / records as f64);
    println!("| {name} | {rate:.0} | {cpu:.2} | {bytes:.1} | {} |", status_mib("VmHWM")?);
    Ok(())
}

fn record(n: u64) -> Record {
    let (device, t) = (n % 1_000, 1_700_000_000_000 + n * 3);
    let (a, b, c) = (n * 7_919 % 1_000, n * 104_729 % 10_000, n * 31 % 977);
    let payload = format!(
        r#"{{"device":"press-{device:04}","time":{t},"temperature":{}.{a:03},"vibration":0.{b:04},"current":{c}.5}}"#,
        20 + n % 5
    );
    Record {
        door: Door::Listen,
        flags: Flags { qos: 1, ..Flags::default() },
        received: Stamp { boot: ClockBoot(1), since_boot_ns: n * 3_017 },
        topic: format!("plant/press-{device:04}/state").into(),
        payload: payload.into(),
        content_type: bytes::Bytes::new(),
    }
}

/// Records made before the clock runs: a door has its bytes from the network.
fn batches(records: u64, batch: u64) -> impl Iterator<Item = Vec<Record>> {
    let some: Vec<Record> = (0..8_192).map(record).collect();
    (0..records.div_ceil(batch)).map(move |i| {
        let first = (i * batch) as usize;
        (first..first + batch as usize).map(|n| some[n % some.len()].clone()).collect()
    })
}

/// Append and read along and advance: all the queue does in a healthy gateway.
fn live(dir: &Path, records: u64, batch: u64) -> Result<u64> {
    let metrics = metrics::Queue::default();
    let queue = Queue::open(&Config::new(dir), metrics.clone())?;
    let mut reader = queue.reader("sink");
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let appender = queue.appender();
    let consumer = std::thread::spawn(move || -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        let (mut cursor, mut payload_bytes) = (Cursor::default(), 0);
        loop {
            while let Some(block) = reader.read(Log::Raw, cursor.next).expect("own block") {
                payload_bytes += block.records_from(cursor.next).map(|(_, r)| r.payload.len() as u64).sum::<u64>();
                cursor = Cursor { next: block.end(), delivered: block.end().0, ..cursor };
                reader.advance(Log::Raw, cursor);
            }
            if cursor.next.0 >= records || runtime.block_on(reader.changed()).is_err() {
                return payload_bytes;
            }
        }
    });
    let mut under_way = std::collections::VecDeque::new();
    for raw in batches(records, batch) {
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
    consumer.join().map_err(|_| "the consumer panicked")?;
    queue.close()?;
    fs::remove_dir_all(dir)?;
    Ok(metrics.written_bytes.get())
}

/// The yardstick: length, payload and topic into files of 64 MiB, one fdatasync a batch, read back, deleted.
fn segment_files(dir: &Path, records: u64, batch: u64) -> Result<u64> {
    fs::create_dir_all(dir)?;
    let (mut disk_bytes, mut paths) = (0, Vec::new());
    let mut segment: Option<(File, u64)> = None;
    for records in batches(records, batch) {
        let mut bytes = Vec::new();
        for r in records {
            for text in [&r.topic, &r.payload] {
                bytes.extend((text.len() as u32).to_le_bytes());
                bytes.extend_from_slice(text);
            }
        }
        if segment.as_ref().is_none_or(|(_, len)| *len >= 64 << 20) {
            paths.push(dir.join(format!("{:08}", paths.len())));
            segment = Some((File::create(&paths[paths.len() - 1])?, 0));
        }
        if let Some((file, len)) = &mut segment {
            file.write_all(&bytes)?;
            file.sync_data()?;
            *len += bytes.len() as u64;
            disk_bytes += bytes.len() as u64;
        }
    }
    let read: u64 = paths.iter().map(|p| fs::read(p).map(|b| b.len() as u64)).sum::<std::io::Result<u64>>()?;
    assert_eq!(read, disk_bytes);
    fs::remove_dir_all(dir)?;
    Ok(disk_bytes)
}

/// A sink that was away: fill, close, reopen, drain.
fn backlog(dir: &Path, records: u64) -> Result<()> {
    let config = Config::new(dir);
    let queue = Queue::open(&config, metrics::Queue::default())?;
    drop(queue.reader("sink"));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for raw in batches(records, 1024) {
        runtime.block_on(queue.appender().commit(Transaction { raw, ..Transaction::default() }))?;
    }
    queue.close()?;
    let peak = status_mib("VmHWM")?;
    // Sets the peak back to what is in use now.
    fs::write("/proc/self/clear_refs", "5")?;

    let at = Instant::now();
    let queue = Queue::open(&config, metrics::Queue::default())?;
    let opened = at.elapsed();
    let reader = queue.reader("sink");
    let disk_bytes = queue.monitor().disk_bytes();
    println!("\n{records} records queued:");
    println!("- bytes on disk per record: {:.1}", disk_bytes as f64 / records as f64);
    println!("- peak RSS while filling: {peak} MiB");
    println!(
        "- reopened in {} ms, RSS then {} MiB (the allocator keeps what filling took)",
        opened.as_millis(),
        status_mib("VmRSS")?
    );

    let (cpu, at) = (cpu_seconds()?, Instant::now());
    let mut cursor = Cursor::default();
    while let Some(block) = reader.read(Log::Raw, cursor.next)? {
        cursor = Cursor { next: block.end(), delivered: block.end().0, ..cursor };
        reader.advance(Log::Raw, cursor);
    }
    assert_eq!(cursor.next, QueueSeq(records));
    let (cpu, rate) = (cpu_seconds()? - cpu, records as f64 / at.elapsed().as_secs_f64());
    let millions = records as f64 / 1e6;
    println!(
        "- drained at {rate:.0} records/s, {:.2} CPU s per million, peak RSS {} MiB",
        cpu / millions,
        status_mib("VmHWM")?
    );
    queue.close()?;
    fs::remove_dir_all(dir)?;
    Ok(())
}

/// What a small commit takes, and an fdatasync of a few bytes in place alone: the watermark's share of it.
fn one_by_one(dir: &Path) -> Result<()> {
    let queue = Queue::open(&Config::new(dir), metrics::Queue::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut commits = Vec::new();
    for n in 0..500 {
        let at = Instant::now();
        let t = Transaction { raw: vec![record(n)], ..Transaction::default() };
        runtime.block_on(queue.appender().commit(t))?.blocking_recv()??;
        commits.push(at.elapsed());
    }
    queue.close()?;
    let file = File::create(dir.join("probe"))?;
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 1024], 0)?;
    file.sync_all()?;
    let mut syncs = Vec::new();
    for n in 0..500u64 {
        let at = Instant::now();
        std::os::unix::fs::FileExt::write_all_at(&file, &[n as u8; 32], n % 2 * 512)?;
        file.sync_data()?;
        syncs.push(at.elapsed());
    }
    println!(
        "\none record a commit: median {:?}; a watermark's write and sync alone: median {:?}",
        median(commits),
        median(syncs)
    );
    fs::remove_dir_all(dir)?;
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// User and system time of this process.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

fn status_mib(field: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix(field)).ok_or("no such field in /proc/self/status")?;
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>()? / 1024)
}
