//! SIGKILL at random moments while frames come in, some of them again and again: in the end each was stored once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use firmware_protocol::frame::{self, BaseTime, Channel, Frame, Header, Samples};
use firmware_protocol::{BootId, DeviceSeq};
use gateway::clock::{Clock, ClockBoot, SharedClockMap, Stamp};
use gateway::frames::{self, Frames};
use gateway::metrics;
use gateway::queue::{Door, EngineKind, Flags, Log, NoGaps, Queue, QueueSeq, Reader, Record, Transaction};

use crate::oracle::{commit, wait_for_change};
use crate::setting::{self, Chance};
use crate::workload::delivered;

const DEVICES: u64 = 7;
const SINK: &str = "sink";
/// The sink stays so far behind.
const LAG: u64 = 300;
/// Frames of one transaction: new ones, and of those before.
const NEW: u64 = 40;
const AGAIN: u64 = 20;

const TEST: &str = "once::frames_are_stored_once_whenever_the_gateway_is_killed";
const DIR_VARIABLE: &str = "GATEWAY_QUEUE_ONCE_DIR";
const FIRST_VARIABLE: &str = "GATEWAY_QUEUE_ONCE_FIRST";

#[test]
fn frames_are_stored_once_whenever_the_gateway_is_killed() {
    if let Some(dir) = std::env::var_os(DIR_VARIABLE) {
        let first = std::env::var(FIRST_VARIABLE).expect("set together").parse().expect("a number");
        return work(Path::new(&dir), first);
    }
    let mut chance = Chance::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("queue");
    // What the sink has read, by sequence; and how many frames were handed over.
    let (mut read, mut handed_over) = (BTreeMap::new(), 0);
    for _ in 0..setting::rounds(12, 200) {
        let mut child = Kill(spawn(&dir, handed_over));
        let (commits, pause) = (chance.below(60), Duration::from_micros(chance.below(10_000)));
        let stdout = child.0.stdout.take().expect("piped");
        let (mut lines, mut seen) = (BufReader::new(stdout).lines().map_while(Result::ok), 0);
        while seen < commits {
            seen += u64::from(note(&lines.next().expect("it works until it is killed"), &mut read, &mut handed_over));
        }
        std::thread::park_timeout(pause);
        drop(child);
        for line in lines {
            note(&line, &mut read, &mut handed_over);
        }
    }
    // Everything comes once more, and what nobody has read yet is read.
    let queue = open(&dir);
    let raw = (0..handed_over).map(nth).collect();
    commit(&queue, Transaction { raw, ..Transaction::default() }).unwrap();
    let mut sink = queue.reader(SINK);
    let end = sink.end(Log::Raw).0;
    drain(&mut sink, end, &mut |seq, nth| put(&mut read, seq, nth));
    let mut stored: Vec<u64> = read.into_values().collect();
    stored.sort_unstable();
    println!("{handed_over} frames");
    assert!(stored.iter().copied().eq(0..handed_over), "{} stored of {handed_over}", stored.len());
    assert!(!dir.join("gen-00000001").exists(), "the first generation was read and deleted");
}

/// What a child does: commits, reads and advances until it is killed, and tells it beforehand.
fn work(dir: &Path, mut first: u64) {
    let queue = open(dir);
    let (mut sink, mut chance) = (queue.reader(SINK), Chance::new());
    loop {
        let new = first..first + NEW;
        first = new.end;
        println!("over {}", new.end);
        let again = (0..AGAIN).map(|_| chance.below(new.end)).collect::<Vec<_>>();
        let raw = new.chain(again).map(nth).collect();
        commit(&queue, Transaction { raw, ..Transaction::default() }).expect("commits");
        println!("done");
        let end = sink.end(Log::Raw).0.saturating_sub(LAG);
        drain(&mut sink, end, &mut |seq, nth| println!("read {seq} {nth}"));
    }
}

/// Takes what a child told; says whether a commit is done.
fn note(line: &str, read: &mut BTreeMap<u64, u64>, handed_over: &mut u64) -> bool {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    match *words {
        ["over", end] => *handed_over = end.parse().expect("a number"),
        ["read", seq, nth] => put(read, seq.parse().expect("a number"), nth.parse().expect("a number")),
        // Others are the harness's own.
        _ => return line == "done",
    }
    false
}

fn put(read: &mut BTreeMap<u64, u64>, seq: u64, nth: u64) {
    let before = read.insert(seq, nth);
    assert!(before.is_none_or(|before| before == nth), "{seq} was {before:?} and is {nth}");
}

fn drain(sink: &mut Reader, end: u64, tell: &mut dyn FnMut(u64, u64)) {
    let mut at = sink.cursor(Log::Raw).next.0;
    while at < end {
        let Some(block) = sink.read(Log::Raw, QueueSeq(at)).expect("reads") else {
            wait_for_change(sink).expect("there are more");
            continue;
        };
        for (seq, record) in block.records_from(QueueSeq(at)) {
            let header = Header::peek(&record.payload).expect("a frame");
            let device: u64 = header.device.parse().expect("a number");
            tell(seq.0, u64::from(header.seq.0) * DEVICES + device);
        }
        at = block.end().0;
        sink.advance(Log::Raw, delivered(at));
    }
}

fn open(dir: &Path) -> Queue {
    let (clock, metrics) = (Clock::system(), metrics::Frames::default());
    let outlets = frames::Outlets::default();
    let frames = Frames::new(&frames::Config::default(), clock, SharedClockMap::default(), metrics, outlets);
    let config = setting::config(EngineKind::Sled, dir);
    Queue::open_with(&config, metrics::Queue::default(), Box::new(NoGaps), Some(Box::new(frames))).expect("opens")
}

/// The devices send in turn.
fn nth(nth: u64) -> Record {
    let samples: Vec<_> = (0..40).map(|i| (i * 1_000, (nth * 40) as f64 + i as f64)).collect();
    let channels = [Channel { name: "flow", samples: Samples::F64(&samples) }];
    let frame = Frame {
        device: &(nth % DEVICES).to_string(),
        boot: BootId(1),
        seq: DeviceSeq((nth / DEVICES) as u32),
        base: BaseTime::UnixMicros(1_772_366_400_000_000),
        channels: &channels,
    };
    let mut bytes = [0; 1_024];
    let length = frame::encode(&frame, &mut bytes).expect("it fits");
    Record {
        door: Door::Listen,
        flags: Flags::default(),
        received: Stamp { boot: ClockBoot(1), since_boot_ns: nth * 1_000_000 },
        topic: Bytes::from_static(b"sensors/frames"),
        payload: Bytes::copy_from_slice(&bytes[..length]),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

/// Killed at the latest when it is dropped.
struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        self.0.kill().expect("it is a child");
        self.0.wait().expect("it is a child");
    }
}

fn spawn(dir: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().expect("a path"))
        .args([TEST, "--exact", "--nocapture"])
        .env(DIR_VARIABLE, dir)
        .env(FIRST_VARIABLE, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawns")
}
