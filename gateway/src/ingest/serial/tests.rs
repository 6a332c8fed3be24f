//! Over pairs of pseudo terminals: the test is the device. The rules are tested in `line`; here it is the tty.

use std::os::fd::OwnedFd;
use std::path::Path;

use firmware_protocol::accumulator::Accumulator;
use firmware_protocol::cobs::{ENCODED_MAX_BYTES, encode_cobs};
use firmware_protocol::frame::{self, BaseTime, Channel, FRAME_MAX_BYTES, Frame, Samples, parse_ack};
use firmware_protocol::{BootId, DeviceSeq};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, LocalModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::frames::Requests;
use crate::metrics::{DoorLabel, DoorReason, LineLabel};
use crate::queue::{self, Log, Queue, QueueSeq, Record};
use crate::shutdown::{self, Trigger};

/// No step takes longer, even on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("the step is done before its deadline")
}

/// A device with the adapter that it is plugged in with.
struct Device {
    master: AsyncFd<OwnedFd>,
    /// Held open and raw, so that what is written before the door opens waits for it unchanged.
    slave: OwnedFd,
}

impl Device {
    /// Plugs the device in under the name `path`.
    fn plug_in(path: &Path) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&name, flags, Mode::empty()).unwrap();
        let mut termios = tcgetattr(&slave).unwrap();
        termios.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
        fcntl_setfl(&master, fcntl_getfl(&master).unwrap() | OFlags::NONBLOCK).unwrap();
        std::os::unix::fs::symlink(name.to_str().unwrap(), path).unwrap();
        #[expect(deprecated, reason = "as in `port`")]
        let master = AsyncFd::new(master).unwrap();
        Self { master, slave }
    }

    fn unplug(self, path: &Path) {
        std::fs::remove_file(path).unwrap();
    }

    async fn send(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut ready = within(self.master.writable()).await.unwrap();
            if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
                bytes = &bytes[written.unwrap()..];
            }
        }
    }

    /// The sequences of the next `count` frames that are acknowledged.
    async fn acknowledged(&self, count: usize) -> Vec<u32> {
        let mut accumulator: Accumulator = Accumulator::new();
        let mut named = Vec::new();
        while named.len() < count {
            let mut buffer = [0; 256];
            let mut ready = within(self.master.readable()).await.unwrap();
            let Ok(read) = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut buffer)?)) else { continue };
            let mut read = &buffer[..read.unwrap()];
            while let Some(packet) = accumulator.next(&mut read) {
                named.push(parse_ack(packet.unwrap()).unwrap().seq.0);
            }
        }
        named
    }

    /// Whether anything waits to be read by the device.
    fn hears_nothing(&self) -> bool {
        rustix::io::read(self.master.get_ref(), &mut [0; 16]) == Err(Errno::AGAIN)
    }
}

struct Rig {
    path: PathBuf,
    queue: Queue,
    metrics: Metrics,
    stop: Trigger,
    task: JoinHandle<Result<(), Error>>,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new(change: impl FnOnce(&mut SerialConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sensor");
        let mut config =
            SerialConfig { name: "hall".into(), reopen_max: Duration::from_millis(20), ..SerialConfig::new(&path) };
        change(&mut config);
        let queue_config = queue::Config::new(dir.path().join("queue"));
        let queue = Queue::open(&queue_config, crate::metrics::Queue::default()).unwrap();
        let metrics = Metrics::default();
        let (stop, stopped) = shutdown::channel();
        let task = tokio::spawn(run(
            config,
            queue.appender(),
            Clock::system(),
            metrics.clone(),
            Requests::default().listen(),
            stopped,
        ));
        Self { path, queue, metrics, stop, task, _dir: dir }
    }

    async fn records(&self, count: u64) -> Vec<Record> {
        let mut reader = self.queue.reader("test");
        within(async {
            while reader.end(Log::Raw) < QueueSeq(count) {
                reader.changed().await.unwrap();
            }
        })
        .await;
        let mut records = Vec::new();
        while let Some(block) = reader.read(Log::Raw, QueueSeq(records.len() as u64)).unwrap() {
            records.extend(block.records_from(QueueSeq(records.len() as u64)).map(|(_, record)| record.clone()));
        }
        records
    }

    async fn payloads(&self, count: usize) -> Vec<Vec<u8>> {
        self.records(count as u64).await.iter().map(|record| record.payload.to_vec()).collect()
    }

    /// Waits until `seen` is true; the runtime goes on meanwhile.
    async fn until(&self, what: &str, seen: impl Fn(&Metrics) -> bool) {
        let waited = async {
            while !seen(&self.metrics) {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, waited).await.unwrap_or_else(|_| panic!("{what} did not come about"));
    }

    async fn stopped(self) -> Metrics {
        self.stop.stop();
        within(self.task).await.unwrap().unwrap();
        self.metrics
    }
}

fn refused(metrics: &Metrics, reason: &'static str) -> u64 {
    metrics.ingest.refused.get_or_create(&DoorReason { door: "serial", reason }).get()
}

fn disconnects(metrics: &Metrics, reason: &'static str) -> u64 {
    metrics.ingest.disconnects.get_or_create(&DoorReason { door: "serial", reason }).get()
}

fn is_open(metrics: &Metrics) -> bool {
    metrics.serial.open.get_or_create(&LineLabel { line: "hall".into() }).get() == 1
}

fn discarded(metrics: &Metrics) -> u64 {
    metrics.serial.discarded_bytes.get_or_create(&LineLabel { line: "hall".into() }).get()
}

fn frame(seq: u32) -> Vec<u8> {
    let samples: Vec<_> = (0..seq % 50).map(|i| (i64::from(i), i as i32 - 25)).collect();
    let channels = [Channel { name: "level", samples: Samples::I32(&samples) }];
    let (boot, seq, base) = (BootId(1), DeviceSeq(seq), BaseTime::SinceBootMicros(5));
    let mut out = [0; FRAME_MAX_BYTES];
    let length = frame::encode(&Frame { device: "pump-7", boot, seq, base, channels: &channels }, &mut out).unwrap();
    out[..length].to_vec()
}

fn frames(seqs: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    seqs.map(frame).collect()
}

fn on_wire(packet: &[u8]) -> Vec<u8> {
    let mut out = [0; ENCODED_MAX_BYTES];
    let length = encode_cobs(packet, &mut out).unwrap();
    out[..length].to_vec()
}

#[tokio::test]
async fn frames_arrive_in_order_byte_for_byte() {
    let rig = Rig::new(|_| {});
    let device = Device::plug_in(&rig.path);
    let sent = frames(0..500);
    device.send(&sent.iter().flat_map(|frame| on_wire(frame)).collect::<Vec<_>>()).await;
    assert_eq!(rig.payloads(sent.len()).await, sent);
    let records = rig.records(1).await;
    assert_eq!((&records[0].topic[..], records[0].door), (&b"serial/hall"[..], crate::queue::Door::Serial));
    assert!(device.hears_nothing(), "nobody asked for acknowledgements");
    let metrics = rig.stopped().await;
    let door = DoorLabel { door: "serial" };
    assert_eq!(metrics.ingest.messages.get_or_create(&door).get(), 500);
    let bytes: usize = sent.iter().map(Vec::len).sum();
    assert_eq!(metrics.ingest.payload_bytes.get_or_create(&door).get(), bytes as u64);
    assert_eq!((discarded(&metrics), metrics.ingest.connections.get_or_create(&door).get()), (0, 0));
}

#[tokio::test]
async fn noise_and_halves_cost_themselves_alone_and_are_counted() {
    let rig = Rig::new(|_| {});
    let device = Device::plug_in(&rig.path);
    let [first, second, third] = [frame(1), frame(2), frame(3)].map(|frame| on_wire(&frame));
    device.send(b"U-Boot 2026.01 (Nov 21 2026)\r\n\x03\x03\x11").await;
    device.send(&first).await;
    device.send(&second[..second.len() / 2]).await;
    device.send(&third[..7]).await;
    device.send(&second).await;
    let mut damaged = third.clone();
    damaged[8] ^= 0x40;
    device.send(&damaged).await;
    device.send(&third).await;
    assert_eq!(rig.payloads(3).await, [frame(1), frame(2), frame(3)]);
    let metrics = rig.stopped().await;
    assert_eq!(
        ["cut_short", "damaged", "overlong", "not_a_frame"].map(|reason| refused(&metrics, reason)),
        [3, 1, 0, 0]
    );
    assert!(discarded(&metrics) > 50, "{}", discarded(&metrics));
}

#[tokio::test]
async fn a_device_that_is_unplugged_in_the_middle_of_a_frame_is_used_again_when_it_returns() {
    let rig = Rig::new(|_| {});
    rig.until("a first attempt", |m| disconnects(m, "not_opened") > 0).await;
    let device = Device::plug_in(&rig.path);
    device.send(&on_wire(&frame(1))).await;
    assert_eq!(rig.payloads(1).await, [frame(1)]);
    let wire = on_wire(&frame(49));
    device.send(&wire[..wire.len() / 2]).await;
    assert!(is_open(&rig.metrics));
    device.unplug(&rig.path);
    rig.until("the loss", |m| disconnects(m, "hung_up") == 1).await;
    rig.until("the closing", |m| !is_open(m)).await;
    let device = Device::plug_in(&rig.path);
    device.send(&on_wire(&frame(49))[1..]).await;
    assert_eq!(rig.payloads(2).await, [frame(1), frame(49)]);
    let metrics = rig.stopped().await;
    assert_eq!(metrics.ingest.connects.get_or_create(&DoorLabel { door: "serial" }).get(), 2);
    assert!(refused(&metrics, "cut_short") <= 1);
    drop(device);
}

#[tokio::test]
async fn acknowledgements_come_after_the_records_and_for_repeats_too() {
    let rig = Rig::new(|config| config.ack = true);
    let device = Device::plug_in(&rig.path);
    for seqs in [0..3, 2..4] {
        let sent = frames(seqs.clone());
        device.send(&sent.iter().flat_map(|frame| on_wire(frame)).collect::<Vec<_>>()).await;
        assert_eq!(device.acknowledged(sent.len()).await, seqs.collect::<Vec<_>>());
    }
    assert!(rig.queue.monitor().end(Log::Raw) >= QueueSeq(4), "what is acknowledged is stored");
    let metrics = rig.stopped().await;
    assert_eq!(metrics.ingest.acks.get_or_create(&DoorLabel { door: "serial" }).get(), 5);
}

#[tokio::test]
async fn what_was_read_is_stored_before_the_door_closes() {
    let rig = Rig::new(|config| config.ack = true);
    let device = Device::plug_in(&rig.path);
    device.send(&on_wire(&frame(0))).await;
    assert_eq!(device.acknowledged(1).await, [0]);
    device.send(&frames(1..200).iter().flat_map(|frame| on_wire(frame)).collect::<Vec<_>>()).await;
    rig.until("another frame", |m| m.ingest.messages.get_or_create(&DoorLabel { door: "serial" }).get() > 1).await;
    let monitor = rig.queue.monitor();
    let Rig { stop, task, metrics, queue, .. } = rig;
    stop.stop();
    within(task).await.unwrap().unwrap();
    let stored = metrics.ingest.messages.get_or_create(&DoorLabel { door: "serial" }).get();
    assert_eq!(monitor.end(Log::Raw), QueueSeq(stored));
    assert_eq!(refused(&metrics, "not_stored"), 0);
    drop(queue);
}

#[tokio::test]
async fn the_line_is_set_to_raw_bytes_8n1_at_the_configured_rate() {
    let rig = Rig::new(|config| {
        config.baud = 9_600;
        config.rtscts = true;
    });
    let device = Device::plug_in(&rig.path);
    rig.until("the opening", is_open).await;
    let termios = tcgetattr(&device.slave).unwrap();
    assert_eq!((termios.input_speed(), termios.output_speed()), (9_600, 9_600));
    let size = termios.control_modes & (ControlModes::CSIZE | ControlModes::PARENB | ControlModes::CSTOPB);
    assert_eq!(size, ControlModes::CS8);
    let switches = ControlModes::CREAD | ControlModes::CLOCAL | ControlModes::CRTSCTS | ControlModes::HUPCL;
    assert_eq!(termios.control_modes & switches, switches - ControlModes::HUPCL);
    assert!(!termios.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
    rig.stopped().await;
}

#[tokio::test]
async fn what_is_no_tty_is_told_with_what_to_do_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let error = Port::open(&SerialConfig::new(&file)).await.err().unwrap().to_string();
    assert_eq!(error, "is no serial device: correct `path`");
    let error = Port::open(&SerialConfig::new(dir.path().join("none"))).await.err().unwrap().to_string();
    assert_eq!(error, "is not there: plug the device in, or correct `path`");
    let rig = Rig::new(|_| {});
    std::fs::write(&rig.path, "text").unwrap();
    rig.until("an attempt", |m| disconnects(m, "not_opened") > 0).await;
    std::fs::remove_file(&rig.path).unwrap();
    let device = Device::plug_in(&rig.path);
    device.send(&on_wire(&frame(7))).await;
    assert_eq!(rig.payloads(1).await, [frame(7)]);
    rig.stopped().await;
}

#[tokio::test]
async fn a_queue_that_has_failed_ends_the_door() {
    let rig = Rig::new(|_| {});
    let device = Device::plug_in(&rig.path);
    let Rig { queue, task, metrics, stop, .. } = rig;
    queue.close().unwrap();
    device.send(&on_wire(&frame(1))).await;
    within(task).await.unwrap().unwrap_err();
    assert_eq!(refused(&metrics, "not_stored"), 1);
    drop(stop);
}
