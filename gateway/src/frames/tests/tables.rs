//! Records that number their channels, and the hellos that name them.

use std::collections::BTreeMap;

use firmware_protocol::frame::{ChannelInfo, ChannelTable, Hello, Kind, Numbered, NumberedFrame, TableId};

use super::*;

/// The gateway's side with what the queue keeps for it; commits are whole, and a crash may come between any two.
pub(super) struct Site {
    config: Config,
    pub(super) frames: Frames,
    requests: Asking,
    clock: &'static Simulated,
    snapshot: Vec<u8>,
    since: Vec<Record>,
    waiting: BTreeMap<u64, Record>,
    log: Vec<Record>,
    /// Changes of what waits.
    writes: usize,
}

impl Site {
    pub(super) fn new() -> Self {
        Self::on(config(), Simulated::boot_at(ClockBoot(1), EventTime(0)))
    }

    fn on(config: Config, clock: &'static Simulated) -> Self {
        let outlets = Outlets::default();
        let requests = outlets.requests.listen();
        let (map, metrics) = (SharedClockMap::default(), metrics::Frames::default());
        let frames = Frames::new(&config, Clock::simulated(clock), map, metrics, outlets);
        let snapshot = frames.snapshot();
        let (since, waiting, log) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { config, frames, requests, clock, snapshot, since, waiting, log, writes: 0 }
    }

    /// What enters the log by it.
    pub(super) fn commit(&mut self, records: impl IntoIterator<Item = Record>) -> Vec<Record> {
        let mut log = Vec::new();
        self.frames.release(&mut log);
        records.into_iter().for_each(|record| self.frames.admit(record, &mut log));
        for (number, record) in self.frames.take().waiting {
            self.writes += 1;
            match record {
                Some(record) => drop(self.waiting.insert(number, record)),
                None => drop(self.waiting.remove(&number)),
            }
        }
        self.since.extend(log.iter().cloned());
        self.log.extend(log.iter().cloned());
        log
    }

    pub(super) fn snapshot(&mut self) {
        self.snapshot = self.frames.snapshot();
        self.since.clear();
    }

    pub(super) fn crash(&mut self) {
        self.crash_onto(self.clock);
    }

    fn crash_onto(&mut self, clock: &'static Simulated) {
        let before = self.frames.snapshot();
        let mut anew = Self::on(self.config.clone(), clock);
        anew.frames.restore(&self.snapshot).unwrap();
        self.since.iter().for_each(|record| anew.frames.learn(record));
        assert!(anew.frames.snapshot() == before, "a crash makes a difference");
        self.waiting.iter().for_each(|(number, record)| anew.frames.recall(*number, record.clone()));
        (self.frames, self.requests, self.clock) = (anew.frames, anew.requests, clock);
    }

    pub(super) fn asked(&mut self) -> Vec<Wish> {
        std::iter::from_fn(|| self.requests.take()).map(|request| request.wish).collect()
    }

    fn waited(&self, outcome: &'static str) -> u64 {
        self.frames.metrics.waited.get_or_create(&OutcomeLabel { outcome }).get()
    }
}

const fn channel(name: &'static str, unit: &'static str) -> ChannelInfo<'static> {
    ChannelInfo { name, unit, kind: Kind::F32, range: None, interval_micros: 0 }
}

const CHANNELS: [ChannelInfo<'static>; 3] = [channel("flow", "l/min"), channel("level", ""), channel("door", "")];
const OTHERS: [ChannelInfo<'static>; 1] = [channel("temperature", "degC")];

fn table_of(channels: &'static [ChannelInfo<'static>]) -> ChannelTable<'static> {
    ChannelTable::new(channels).unwrap()
}

fn hello(device: &str, seq: u32) -> Record {
    hello_of(device, seq, &CHANNELS)
}

fn hello_of(device: &str, seq: u32, channels: &'static [ChannelInfo<'static>]) -> Record {
    let (boot, seq, base) = (BootId(1), DeviceSeq(seq), BaseTime::SinceBootMicros(0));
    let mut bytes = [0; 512];
    let length = frame::encode(&Hello { device, boot, seq, base, table: table_of(channels) }, &mut bytes).unwrap();
    record(Bytes::copy_from_slice(&bytes[..length]), 0)
}

fn numbered_of(device: &str, seq: u32, table: TableId, numbers: &[u8]) -> Record {
    let channel = |number: &u8| Numbered { number: *number, samples: Samples::F32(&[(0, 1.5)]) };
    let channels: Vec<_> = numbers.iter().map(channel).collect();
    let base = BaseTime::UnixMicros(1_772_366_400_000_000);
    let frame = NumberedFrame { device, boot: BootId(1), seq: DeviceSeq(seq), base, table, channels: &channels };
    let mut bytes = [0; 512];
    let length = frame::encode(&frame, &mut bytes).unwrap();
    record(Bytes::copy_from_slice(&bytes[..length]), 0)
}

fn numbered(device: &str, seq: u32, numbers: &[u8]) -> Record {
    numbered_of(device, seq, table_of(&CHANNELS).id(), numbers)
}

fn with(record: Record, table: &'static str) -> Record {
    Record { table: Bytes::from_static(table.as_bytes()), ..record }
}

#[test]
fn a_frame_goes_with_what_its_own_numbers_mean() {
    let mut site = Site::new();
    site.commit([hello("a", 0)]);
    let log = site.commit([numbered("a", 1, &[0, 1, 2]), numbered("a", 2, &[1]), numbered("a", 3, &[0, 2])]);
    assert_eq!(log[0], with(numbered("a", 1, &[0, 1, 2]), "0\tflow\tl/min\n1\tlevel\n2\tdoor\n"));
    assert_eq!(log[1].table(), "1\tlevel\n");
    assert_eq!(log[2].table(), "0\tflow\tl/min\n2\tdoor\n");
    assert_eq!(site.commit([numbered("a", 4, &[9])])[0].table(), "", "the hello has no such number: decoding tells");
    assert_eq!((site.asked(), site.writes), (vec![], 0));
}

#[test]
fn frames_before_their_hello_wait_and_enter_the_log_right_after_it_in_their_order() {
    let mut site = Site::new();
    assert_eq!(site.commit([numbered("a", 1, &[0]), numbered("a", 2, &[1]), numbered("b", 0, &[0])]), []);
    assert_eq!(site.waiting.len(), 3);
    assert_eq!(site.commit([hello_of("a", 3, &OTHERS)]), [hello_of("a", 3, &OTHERS)], "of another table");
    let other = record(framed("c", 1, 5, 1.0), 0);
    let log = site.commit([other.clone(), hello("a", 4), numbered("a", 6, &[2])]);
    let expected = [
        other,
        hello("a", 4),
        with(numbered("a", 1, &[0]), "0\tflow\tl/min\n"),
        with(numbered("a", 2, &[1]), "1\tlevel\n"),
        with(numbered("a", 6, &[2]), "2\tdoor\n"),
    ];
    assert_eq!(log, expected);
    assert_eq!((site.waiting.len(), site.waited("released")), (1, 2));
}

#[test]
fn what_waits_is_there_after_a_crash_and_its_repeats_are_known() {
    let mut site = Site::new();
    site.commit([numbered("a", 1, &[0]), numbered("a", 2, &[1])]);
    site.crash();
    site.commit([numbered("a", 3, &[0]), numbered("a", 1, &[0])]);
    site.crash();
    assert_eq!(site.waiting.len(), 3, "a repeat waits once");
    let log = site.commit([hello("a", 4)]);
    assert_eq!(log.len(), 4);
    site.crash();
    assert_eq!(site.commit([numbered("a", 1, &[0]), numbered("a", 3, &[0]), hello("a", 4)]), []);
    assert_eq!(site.commit([numbered("a", 5, &[1])])[0].table(), "1\tlevel\n", "the table is known again");
    site.snapshot();
    site.crash();
    assert_eq!(site.commit([numbered("a", 6, &[1])])[0].table(), "1\tlevel\n");
}

#[test]
fn what_no_hello_comes_for_enters_the_log_after_a_time_as_it_is_and_once() {
    let mut site = Site::new();
    site.commit([numbered("a", 1, &[0])]);
    assert_eq!(site.frames.release_in(), Some(Duration::from_secs(600)));
    site.clock.pass(Duration::from_secs(599));
    assert_eq!(site.commit([]), []);
    assert_eq!(site.frames.release_in(), Some(Duration::from_secs(1)));
    site.clock.pass(Duration::from_secs(1));
    assert_eq!(site.commit([]), [numbered("a", 1, &[0])]);
    assert_eq!((site.frames.release_in(), site.waited("timed_out"), site.waiting.len()), (None, 1, 0));
    assert_eq!(site.commit([numbered("a", 1, &[0]), hello("a", 2)]), [hello("a", 2)]);
}

#[test]
fn after_a_restart_of_the_machine_waiting_begins_anew() {
    let mut site = Site::new();
    site.clock.pass(Duration::from_secs(10_000));
    site.commit([Record { received: at(10_000), ..numbered("a", 1, &[0]) }]);
    let rebooted = Simulated::boot_at(ClockBoot(2), EventTime(0));
    rebooted.pass(Duration::from_secs(30));
    site.crash_onto(rebooted);
    assert_eq!(site.frames.release_in(), Some(Duration::from_secs(600)));
    rebooted.pass(Duration::from_secs(600));
    assert_eq!(site.commit([]).len(), 1);
}

#[test]
fn what_waits_is_bounded_for_each_device_and_for_all_and_the_oldest_goes_first() {
    let mut site = Site::new();
    let mut log = site.commit((0..1_000).map(|seq| numbered("a", seq, &[0, 1, 2])));
    assert!((100..1_000).contains(&log.len()), "{}", log.len());
    assert!(log.iter().all(|record| record.table.is_empty()));
    assert_eq!(log.len() + site.waiting.len(), 1_000);
    for device in 0..20 {
        log.extend(site.commit((0..100).map(|seq| numbered(&device.to_string(), seq, &[0]))));
    }
    let bytes: usize = site.waiting.values().map(|record| record.payload.len() + record.topic.len()).sum();
    assert!(bytes < waiting::BYTES_MAX, "{bytes}");
    let headers = log.iter().filter_map(|record| Header::peek(&record.payload).ok());
    let of_a = headers.filter(|header| header.device == "a").map(|header| header.seq.0);
    assert!(of_a.eq(0..1_000), "in their order, all of them before the others");
    assert_eq!(site.waited("no_room"), log.len() as u64);
    site.crash();
    assert_eq!(log.len() + site.waiting.len(), 3_000, "none is lost");
}

#[test]
fn the_device_is_asked_for_its_hello_but_not_each_time() {
    let mut site = Site::new();
    site.commit((0..10).map(|seq| numbered("a", seq, &[0])));
    assert_eq!(site.asked(), [Wish::Hello { device: "a".into() }]);
    site.clock.pass(requests::ASK_EVERY);
    site.commit([numbered("a", 11, &[0]), numbered("b", 11, &[0])]);
    assert_eq!(site.asked(), ["a", "b"].map(|device| Wish::Hello { device: device.into() }));
    site.commit([hello("a", 12), numbered("a", 13, &[0])]);
    site.clock.pass(requests::ASK_EVERY);
    site.commit([numbered("a", 14, &[0])]);
    assert_eq!(site.asked(), []);
}

#[test]
fn a_snapshot_of_the_first_version_is_still_read() {
    let mut site = Site::new();
    site.commit([nth(0, 0), nth(1, 0)]);
    let first = site.frames.devices.snapshot();
    let mut later = Site::new();
    later.frames.restore(&first).unwrap();
    assert_eq!(later.commit([nth(1, 0), nth(2, 0)]), [nth(2, 0)]);
}

#[derive(Clone, Debug)]
enum Step {
    /// Device, sequence and which table.
    Numbered(u8, u32, bool),
    Hello(u8, u32, bool),
    Named(u32),
    Commit,
    Crash,
    Snapshot,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3u8, 0..60u32, any::<bool>()).prop_map(|(d, s, t)| Step::Numbered(d, s, t)),
        2 => (0..3u8, 100..120u32, any::<bool>()).prop_map(|(d, s, t)| Step::Hello(d, s, t)),
        2 => (0..20u32).prop_map(Step::Named),
        4 => Just(Step::Commit),
        2 => Just(Step::Crash),
        1 => Just(Step::Snapshot),
        1 => (0..700u64).prop_map(Step::Pass),
    ]
}

/// Of the two tables the sequence says which, so that each identity has one content.
fn table_by(seq: u32, is_other: bool) -> (u32, &'static [ChannelInfo<'static>]) {
    if is_other { (2 * seq + 1, &OTHERS) } else { (2 * seq, &CHANNELS) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_whatever_order_each_frame_enters_the_log_once_and_complete(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut site = Site::new();
        let (mut handed_over, mut pending) = (HashSet::new(), Vec::new());
        let mut waited_long = false;
        for step in steps {
            match step {
                Step::Numbered(device, seq, is_other) => {
                    let (seq, channels) = table_by(seq, is_other);
                    let id = table_of(channels).id();
                    pending.push(numbered_of(&format!("d{device}"), 1_000 + seq, id, &[0]));
                }
                Step::Hello(device, seq, is_other) => {
                    let (seq, channels) = table_by(seq, is_other);
                    pending.push(hello_of(&format!("d{device}"), seq, channels));
                }
                Step::Named(seq) => pending.push(nth(seq, 0)),
                Step::Commit => {
                    handed_over.extend(pending.iter().map(|record| record.payload.clone()));
                    site.commit(std::mem::take(&mut pending));
                }
                Step::Crash => {
                    pending.clear();
                    site.crash();
                }
                Step::Snapshot => site.snapshot(),
                Step::Pass(seconds) => {
                    waited_long |= seconds > 0;
                    site.clock.pass(Duration::from_secs(seconds));
                }
            }
        }
        for device in ["d0", "d1", "d2"] {
            site.commit([hello_of(device, 300, &CHANNELS), hello_of(device, 301, &OTHERS)]);
        }
        prop_assert!(site.waiting.is_empty());
        let mut stored = HashSet::new();
        for record in &site.log {
            prop_assert!(stored.insert(record.payload.clone()), "twice");
            let is_numbered = Body::of(&record.payload) == Ok(Body::Numbered);
            prop_assert!(waited_long || is_numbered != record.table.is_empty(), "complete");
        }
        prop_assert!(handed_over.is_subset(&stored), "lost");
    }
}
