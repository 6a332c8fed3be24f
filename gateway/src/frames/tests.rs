//! Frames that name their channels; numbered ones, hellos and keys are in the modules below.

mod edges;
mod keys;
mod tables;

use std::collections::HashSet;

use bytes::Bytes;
use firmware_protocol::derived::Derived;
use firmware_protocol::frame::{self, BaseTime, Channel, Frame, Samples};
use firmware_protocol::{BootId, DeviceSeq};
use proptest::prelude::*;

use firmware_protocol::measurement::EventTime;

use super::*;
use crate::clock::{ClockBoot, Simulated};
use crate::queue::{Admission, Door, Flags};

const SECOND_NS: u64 = 1_000_000_000;

/// It stands still: how time passes the stamps of the records tell.
fn clock() -> Clock {
    Clock::simulated(Simulated::boot_at(ClockBoot(1), EventTime(0)))
}

fn config() -> Config {
    Config { gap_after: Duration::from_secs(80), devices_max: 100, ..Config::default() }
}

fn frames(config: &Config) -> Frames {
    Frames::new(config, clock(), SharedClockMap::default(), metrics::Frames::default(), Outlets::default())
}

fn at(seconds: u64) -> Stamp {
    Stamp { boot: ClockBoot(1), since_boot_ns: seconds * SECOND_NS }
}

fn framed(device: &str, boot: u32, seq: u32, value: f32) -> Bytes {
    let channels = [Channel { name: "flow", samples: Samples::F32(&[(0, value)]) }];
    let base = BaseTime::UnixMicros(1_772_366_400_000_000);
    let frame = Frame { device, boot: BootId(boot), seq: DeviceSeq(seq), base, channels: &channels };
    let mut bytes = [0; 256];
    let length = frame::encode(&frame, &mut bytes).unwrap();
    Bytes::copy_from_slice(&bytes[..length])
}

fn record(payload: Bytes, seconds: u64) -> Record {
    Record {
        door: Door::Mqtt,
        flags: Flags::default(),
        received: at(seconds),
        topic: Bytes::from_static(b"sensors/a"),
        payload,
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

/// Frame `seq` of boot 1 of `a`.
fn nth(seq: u32, seconds: u64) -> Record {
    record(framed("a", 1, seq, 1.0), seconds)
}

fn admit_all(frames: &mut Frames, records: impl IntoIterator<Item = Record>) -> Vec<bool> {
    records.into_iter().map(|record| is_stored(frames, record)).collect()
}

fn is_stored(frames: &mut Frames, record: Record) -> bool {
    let mut log = Vec::new();
    frames.admit(record.clone(), &mut log);
    assert!(log.iter().all(|stored| *stored == record), "as it came");
    !log.is_empty()
}

/// Device, count, from and to of the gap records.
fn gaps(frames: &mut Frames) -> Vec<(String, u64, i64, i64)> {
    let gap = |record: Record| match Derived::from_json(&record.payload).unwrap() {
        Derived::Gap(gap) => {
            assert_eq!((&*gap.reason, gap.at_least), ("missing", false));
            (gap.device, gap.count, gap.from_at_ms, gap.to_at_ms)
        }
        other @ (Derived::Window(_) | Derived::Anomaly(_) | Derived::Incident(_)) => panic!("{other:?}"),
    };
    frames.take().derived.into_iter().map(gap).collect()
}

#[test]
fn a_frame_is_stored_once_whatever_door_it_comes_through_and_however_late() {
    let mut frames = frames(&config());
    let other_door = |record: Record| Record { door: Door::Listen, ..record };
    assert_eq!(
        admit_all(&mut frames, [nth(0, 0), nth(1, 0), other_door(nth(0, 0)), nth(1, 0)]),
        [true, true, false, false]
    );
    assert!(admit_all(&mut frames, (2..100_000).map(|seq| nth(seq, 1))).into_iter().all(|is_new| is_new));
    assert!(admit_all(&mut frames, (0..100_000).map(|seq| nth(seq, 2))).into_iter().all(|is_new| !is_new));
    let repeats = |door| frames.metrics.repeats.get_or_create(&DoorLabel { door }).get();
    assert_eq!((repeats("mqtt"), repeats("listen")), (100_001, 1));
}

#[test]
fn boots_and_devices_count_each_for_themselves() {
    let mut frames = frames(&config());
    let all = || [("a", 1), ("a", 2), ("b", 1)].map(|(device, boot)| record(framed(device, boot, 7, 1.0), 0));
    assert_eq!(admit_all(&mut frames, all()), [true; 3]);
    assert_eq!(admit_all(&mut frames, all()), [false; 3]);
}

#[test]
fn what_is_no_sound_frame_is_always_stored_and_teaches_nothing() {
    let mut frames = frames(&config());
    let mut broken = framed("a", 1, 0, 1.0).to_vec();
    broken[20] ^= 1;
    let records = [broken.into(), Bytes::from_static(b"SG"), Bytes::from_static(b"7"), Bytes::new()];
    for _ in 0..2 {
        assert_eq!(admit_all(&mut frames, records.clone().map(|payload| record(payload, 0))), [true; 4]);
    }
    assert_eq!(admit_all(&mut frames, [nth(0, 0)]), [true]);
}

#[test]
fn a_hole_is_told_once_when_it_has_stayed_open_long_enough() {
    let mut frames = frames(&config());
    admit_all(&mut frames, [nth(5, 1), nth(9, 3), nth(7, 70), nth(10, 82)]);
    assert_eq!(gaps(&mut frames), [], "80 s since the hole showed are not over");
    // Any record tells the time.
    admit_all(&mut frames, [record(Bytes::from_static(b"7"), 95)]);
    assert_eq!(gaps(&mut frames), [("a".to_owned(), 2, 1_000, 3_000)]);
    admit_all(&mut frames, [nth(11, 500)]);
    assert_eq!(gaps(&mut frames), [], "what was before the first frame nobody knows");
    assert_eq!(frames.metrics.missing.get(), 2);
}

#[test]
fn what_comes_after_it_was_told_missing_is_stored_once_and_counted() {
    let mut frames = frames(&config());
    admit_all(&mut frames, [nth(0, 0), nth(3, 0), nth(4, 100)]);
    assert_eq!(gaps(&mut frames).len(), 1);
    assert_eq!(admit_all(&mut frames, [nth(2, 101), nth(2, 102), nth(1, 103)]), [true, false, true]);
    assert_eq!(frames.metrics.after_all.get(), 2);
    assert_eq!(gaps(&mut frames), []);
}

#[test]
fn a_boot_that_begins_late_misses_its_first_frames_but_an_earlier_one_does_not() {
    let mut frames = frames(&config());
    let of_boot = |boot, seq, seconds| record(framed("a", boot, seq, 1.0), seconds);
    admit_all(&mut frames, [of_boot(7, 40, 0), of_boot(8, 3, 10), of_boot(6, 99, 20), of_boot(8, 4, 200)]);
    assert_eq!(gaps(&mut frames), [("a".to_owned(), 3, 0, 10_000)]);
}

#[test]
fn a_device_that_begins_anew_under_its_old_boot_id_loses_nothing() {
    let mut frames = frames(&config());
    admit_all(&mut frames, (0..50).map(|seq| nth(seq, 0)));
    let again = (0..60).map(|seq| record(framed("a", 1, seq, 2.0), 10));
    assert_eq!(admit_all(&mut frames, again), [true; 60]);
    assert_eq!((frames.metrics.reused.get(), gaps(&mut frames)), (1, vec![]));
}

#[test]
fn two_devices_of_one_name_that_count_in_step_lose_nothing() {
    let mut frames = frames(&config());
    let both = (0..50).flat_map(|seq| [1.0, 2.0].map(|value| record(framed("a", 0, seq, value), 0)));
    assert_eq!(admit_all(&mut frames, both), [true; 100]);
}

#[test]
fn a_device_of_which_half_goes_elsewhere_is_told_in_few_records_and_remembered_within_bounds() {
    let mut frames = frames(&config());
    let even = |seqs: std::ops::Range<u32>| seqs.step_by(2).map(|seq| nth(seq, 0));
    admit_all(&mut frames, even(0..10_000));
    let told = gaps(&mut frames);
    assert!(told.len() < 20, "{}", told.len());
    assert_eq!(admit_all(&mut frames, even(9_600..10_000)), [false; 200]);
    assert_eq!(admit_all(&mut frames, even(0..10)), [true; 5], "too far back to tell");
    assert_eq!(frames.metrics.unknown.get(), 5);
    admit_all(&mut frames, [nth(9_999, 0), nth(10_000, 1_000)]);
    let told: u64 = told.into_iter().chain(gaps(&mut frames)).map(|(_, count, ..)| count).sum();
    assert_eq!(told, 4_999, "each missing one is told once");
}

#[test]
fn devices_beyond_the_bound_are_forgotten_by_when_they_were_heard_and_what_they_miss_is_told() {
    let mut frames = frames(&config());
    admit_all(&mut frames, [nth(0, 0), nth(2, 0)]);
    let others = |range: std::ops::Range<u32>| range.map(|d| record(framed(&format!("d{d}"), 1, 0, 1.0), 1));
    admit_all(&mut frames, others(0..99));
    assert_eq!((frames.devices.len(), gaps(&mut frames)), (100, vec![]));
    admit_all(&mut frames, others(1_000..1_001));
    assert_eq!(gaps(&mut frames), [("a".to_owned(), 1, 0, 0)]);
    assert_eq!(admit_all(&mut frames, others(50..99)), [false; 49]);
    admit_all(&mut frames, others(2_000..5_000));
    assert!(frames.devices.len() <= 100);
}

#[test]
fn time_between_two_starts_of_the_machine_does_not_count() {
    let mut frames = frames(&config());
    let rebooted = |record: Record, seconds| Record {
        received: Stamp { boot: ClockBoot(2), since_boot_ns: seconds * SECOND_NS },
        ..record
    };
    admit_all(&mut frames, [nth(0, 0), nth(2, 0), nth(3, 40), rebooted(nth(4, 0), 5_000)]);
    assert_eq!(gaps(&mut frames), []);
    admit_all(&mut frames, [rebooted(nth(5, 0), 5_060)]);
    assert_eq!(gaps(&mut frames).len(), 1);
}

#[test]
fn a_snapshot_that_cannot_be_read_teaches_nothing() {
    let mut frames = frames(&config());
    admit_all(&mut frames, [nth(0, 0)]);
    let sound = frames.snapshot();
    for bytes in [&[][..], &[99], &sound[..sound.len() - 1]] {
        assert!(frames.restore(bytes).is_err());
        assert_eq!(admit_all(&mut frames, [nth(0, 0)]), [false], "what is known stays");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Device, boot and sequence of a frame that comes; the gateway's clock goes on by so many seconds.
    Frame(u8, u32, u32, u64),
    Other(u64),
    /// What was stored since the last snapshot is learned anew.
    Crash,
    Snapshot,
}

fn step(seqs: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..3u8, 0..3u32, 0..seqs, 0..20u64).prop_map(|(d, b, s, t)| Step::Frame(d, b, s, t)),
        1 => (0..60u64).prop_map(Step::Other),
        1 => Just(Step::Crash),
        1 => Just(Step::Snapshot),
    ]
}

/// Runs the steps beside a set of all that was stored; says how many frames of the set were stored again.
fn run(config: &Config, steps: Vec<Step>) -> Result<usize, TestCaseError> {
    let mut frames = frames(config);
    let (mut snapshot, mut since) = (frames.snapshot(), Vec::new());
    let (mut stored, mut again, mut seconds) = (HashSet::new(), 0, 0);
    for step in steps {
        let record = match step {
            Step::Frame(device, boot, seq, after) => {
                seconds += after;
                let is_new = !stored.contains(&(device, boot, seq));
                let record = record(framed(&format!("d{device}"), boot, seq, 1.0), seconds);
                if is_stored(&mut frames, record.clone()) {
                    again += usize::from(!stored.insert((device, boot, seq)));
                    since.push(record);
                } else {
                    prop_assert!(!is_new, "dropped: {device} {boot} {seq}");
                }
                continue;
            }
            Step::Other(after) => {
                seconds += after;
                record(Bytes::from_static(b"1"), seconds)
            }
            Step::Crash => {
                let mut anew = self::frames(config);
                anew.restore(&snapshot).unwrap();
                since.iter().for_each(|record| anew.learn(record));
                prop_assert!(anew.snapshot() == frames.snapshot(), "a crash makes a difference");
                prop_assert!(anew.take().derived.is_empty(), "what was told is told again");
                frames = anew;
                continue;
            }
            Step::Snapshot => {
                (snapshot, since) = (frames.snapshot(), Vec::new());
                continue;
            }
        };
        prop_assert!(is_stored(&mut frames, record.clone()));
        since.push(record);
        frames.take();
    }
    Ok(again)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_set_of_all_identities_whatever_comes_in_whatever_order(steps in prop::collection::vec(step(300), 1..400)) {
        prop_assert_eq!(run(&config(), steps)?, 0);
    }

    #[test]
    fn beyond_its_bounds_it_drops_nothing_that_is_new(steps in prop::collection::vec(step(u32::MAX), 1..400)) {
        // One device alone fits.
        run(&Config { devices_max: 1, ..config() }, steps)?;
    }
}
