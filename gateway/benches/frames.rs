//! What it costs to know each frame again: processor time per million records at the queue's door, bytes of a snapshot,
//! memory.
//!
//! `cargo bench -p gateway --bench frames` prints a line for each case.

use std::hint::black_box;

use bytes::Bytes;
use firmware_protocol::frame::{self, BaseTime, Channel, Frame, Samples};
use firmware_protocol::{BootId, DeviceSeq};
use gateway::clock::{Clock, ClockBoot, SharedClockMap, Stamp};
use gateway::frames::{Config, Frames, Outlets};
use gateway::metrics;
use gateway::queue::{Admission, Door, Flags, Record};
use rustix::time::{ClockId, clock_gettime};

/// As many as the queue takes in one commit.
const GROUP: usize = 4_096;
const RECORDS: usize = 1_000_000 / GROUP * GROUP;

fn main() {
    let (before, mut frames) = (rss_kib(), known());
    println!("{} KiB of memory for 10000 devices", rss_kib() - before);
    println!("{} bytes a snapshot of 10000 devices", frames.snapshot().len());
    let json = Record { payload: Bytes::from_static(br#"{"ts":1772366400000,"temperature":21.5}"#), ..record("", 0) };
    let records: Vec<_> = (0..GROUP).map(|_| json.clone()).collect();
    measure("no frame", RECORDS / GROUP, &records, &mut frames, true);
    for devices in [10, 10_000] {
        let of = |n: usize| record(&format!("device-{:05}", n % devices), 1_000 + (n / devices) as u32);
        let new: Vec<_> = (0..RECORDS).map(of).collect();
        measure(&format!("new frame of {devices} devices"), 1, &new, &mut frames, true);
        measure(&format!("repeat of {devices} devices"), 1, &new, &mut frames, false);
        frames = known();
    }
    let before = cpu_micros();
    for _ in 0..10 {
        black_box(frames.snapshot());
    }
    println!("{} µs a snapshot of 10000 devices", (cpu_micros() - before) / 10);
}

/// 10 000 devices, each of which has sent 20 frames and lost one of them.
fn known() -> Frames {
    let mut frames = {
        let (clock, metrics) = (Clock::system(), metrics::Frames::default());
        Frames::new(&Config::default(), clock, SharedClockMap::default(), metrics, Outlets::default())
    };
    for n in 0..10_000 {
        let device = format!("device-{n:05}");
        for seq in (0..20).filter(|seq| *seq != 7) {
            frames.learn(&record(&device, seq));
        }
    }
    frames
}

fn measure(case: &str, times: usize, records: &[Record], frames: &mut Frames, is_stored: bool) {
    let mut log = Vec::with_capacity(GROUP);
    let before = cpu_micros();
    for _ in 0..times {
        for group in records.chunks(GROUP) {
            group.iter().for_each(|record| frames.admit(record.clone(), &mut log));
            assert_eq!(log.len(), if is_stored { group.len() } else { 0 });
            log.clear();
            black_box(frames.take());
        }
    }
    let million = (times * records.len()) as f64 / 1e6;
    println!("{case}: {:.3} CPU s per million", (cpu_micros() - before) as f64 / 1e6 / million);
}

fn record(device: &str, seq: u32) -> Record {
    let channels = [Channel { name: "temperature", samples: Samples::F32(&[(0, 21.5), (1_000_000, 21.625)]) }];
    let base = BaseTime::UnixMicros(1_772_366_400_000_000);
    let device = if device.is_empty() { "device" } else { device };
    let frame = Frame { device, boot: BootId(3), seq: DeviceSeq(seq), base, channels: &channels };
    let mut bytes = [0; 256];
    let length = frame::encode(&frame, &mut bytes).expect("it fits");
    Record {
        door: Door::Listen,
        flags: Flags::default(),
        received: Stamp { boot: ClockBoot(1), since_boot_ns: u64::from(seq) * 1_000_000 },
        topic: Bytes::from_static(b"sensors/frames"),
        payload: Bytes::copy_from_slice(&bytes[..length]),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

fn cpu_micros() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}
