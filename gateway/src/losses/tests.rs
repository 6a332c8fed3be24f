use bytes::Bytes;
use firmware_protocol::decode::Route;
use firmware_protocol::frame::{self, BaseTime, Channel, Frame, Samples};
use firmware_protocol::{BootId, DeviceSeq};

use super::*;
use crate::clock::{ClockBoot, Stamp};
use crate::queue::{Door, Flags};

const SECOND_NS: u64 = 1_000_000_000;

/// With an empty clock map: every machine started at the beginning of 1970.
fn losses(routes: Vec<Route>) -> Losses {
    Losses::new(Decoder::new(routes).unwrap(), Clock::system(), SharedClockMap::default(), "clock")
}

fn record(topic: &str, payload: &[u8], seconds: u64) -> Record {
    Record {
        door: Door::Mqtt,
        flags: Flags::default(),
        received: Stamp { boot: ClockBoot(1), since_boot_ns: seconds * SECOND_NS },
        topic: Bytes::copy_from_slice(topic.as_bytes()),
        payload: Bytes::copy_from_slice(payload),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

fn gaps(losses: &mut Losses) -> Vec<Gap> {
    let gap = |record: Record| {
        assert_eq!((record.door, &*record.topic), (Door::Detect, &b"gap"[..]));
        match Derived::from_json(&record.payload).unwrap() {
            Derived::Gap(gap) => gap,
            other @ (Derived::Window(_) | Derived::Anomaly(_) | Derived::Incident(_)) => panic!("{other:?}"),
        }
    };
    losses.take().into_iter().map(gap).collect()
}

fn named(gaps: &[Gap]) -> Vec<(&str, u64, i64, i64)> {
    gaps.iter().map(|g| (&*g.device, g.count, g.from_at_ms, g.to_at_ms)).collect()
}

#[test]
fn a_loss_names_devices_times_and_counts() {
    let mut losses = losses(Route::defaults());
    let first = [record("sensors/a/telemetry", b"{}", 1), record("sensors/b/flow", b"7", 2)];
    let second = [record("sensors/a/flow", b"8", 5), record("sensors/a/telemetry", b"broken", 3)];
    losses.note(Fate::Dropped, &mut first.iter());
    losses.note(Fate::Dropped, &mut second.iter());
    let gaps = gaps(&mut losses);
    assert_eq!(named(&gaps), [("a", 3, 1_000, 5_000), ("b", 1, 2_000, 2_000)]);
    assert!(gaps.iter().all(|g| g.reason == "dropped" && !g.at_least));
    assert_eq!(losses.take(), [], "each loss is told once");
}

#[test]
fn a_device_that_only_the_payload_names_is_found_there() {
    let route = Route { topic: "plant/#".into(), device_field: Some("id".into()), ..Route::default() };
    let mut losses = losses(vec![route]);
    let records = [br#"{"id":"a","v":1}"#, br#"{"id":"b","v":1}"#, br#"{"id":"a","v":2}"#];
    let records = records.map(|payload| record("plant/7", payload, 1));
    losses.note(Fate::Expired, &mut records.iter());
    let gaps = gaps(&mut losses);
    assert_eq!(named(&gaps), [("a", 2, 1_000, 1_000), ("b", 1, 1_000, 1_000)]);
    assert!(gaps.iter().all(|g| g.reason == "expired"));
}

#[test]
fn a_frame_counts_for_its_own_device_even_on_a_topic_that_names_another() {
    let mut losses = losses(Route::defaults());
    let channels = [Channel { name: "flow", samples: Samples::F32(&[(0, 1.0)]) }];
    let framed = Frame {
        device: "pump-7",
        boot: BootId(3),
        seq: DeviceSeq(9),
        base: BaseTime::UnixMicros(1),
        channels: &channels,
    };
    let mut bytes = [0; 256];
    let length = frame::encode(&framed, &mut bytes).unwrap();
    let records = [&b"1"[..], &bytes[..length], b"2"].map(|payload| record("sensors/a/x", payload, 1));
    losses.note(Fate::Dropped, &mut records.iter());
    assert_eq!(named(&gaps(&mut losses)), [("a", 2, 1_000, 1_000), ("pump-7", 1, 1_000, 1_000)]);
}

#[test]
fn devices_beyond_the_bound_and_those_without_a_name_share_one_gap_and_none_is_left_out() {
    let mut losses = losses(Route::defaults());
    let many = DEVICES_MAX as u64 + 5;
    let records = (0..2 * many).map(|i| record(&format!("sensors/d{}/x", i % many), b"1", 1));
    let mut records: Vec<_> = records.collect();
    records.push(Record { topic: Bytes::from_static(b"\xff"), ..records[0].clone() });
    losses.note(Fate::Dropped, &mut records.iter());
    let gaps = gaps(&mut losses);
    assert_eq!(gaps.len(), DEVICES_MAX + 1);
    assert_eq!((&*gaps[DEVICES_MAX].device, gaps[DEVICES_MAX].count), (UNNAMED, 11));
    assert_eq!(gaps.iter().map(|g| g.count).sum::<u64>(), 2 * many + 1);
}

#[test]
fn what_cannot_be_read_has_no_device_and_an_unknown_number_says_so() {
    let mut losses = losses(Route::defaults());
    losses.note_unread(Fate::Lost, Log::Raw, 3);
    losses.note_unread(Fate::Lost, Log::Derived, 4);
    let exact = gaps(&mut losses);
    assert_eq!((&*exact[0].device, exact[0].count, &*exact[0].reason, exact[0].at_least), (UNNAMED, 7, "lost", false));
    losses.note_unread(Fate::Lost, Log::Raw, 3);
    losses.note_unread(Fate::Lost, Log::Raw, 0);
    let open = gaps(&mut losses);
    assert_eq!((open.len(), open[0].count, open[0].at_least), (1, 3, true));
}

#[test]
fn a_line_counts_for_the_device_that_its_tags_name_whatever_came_before_on_its_topic() {
    let mut losses = losses(Route::defaults());
    let content_type = Bytes::from_static(b"application/vnd.influx.line-protocol");
    let line = |payload: &[u8]| Record { content_type: content_type.clone(), ..record("http/ingest", payload, 1) };
    let records = [record("http/ingest", b"1", 1), line(b"m,device=a x=1"), line(b"m,device=b x=1")];
    losses.note(Fate::Dropped, &mut records.iter());
    let gaps = gaps(&mut losses);
    let devices: Vec<_> = gaps.iter().map(|g| (&*g.device, g.count)).collect();
    assert_eq!(devices, [("http/ingest", 1), ("a", 1), ("b", 1)]);
}
