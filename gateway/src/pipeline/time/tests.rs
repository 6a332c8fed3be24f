use bytes::Bytes;
use firmware_protocol::measurement::{ClockTrust, EventTime};

use super::*;
use crate::clock::{ClockBoot, Simulated};
use crate::queue::{Door, Flags, Record};
use crate::shutdown;

const MIB: u64 = 1 << 20;
const IN_2026: EventTime = EventTime(1_772_366_400_000_000_000);
const NINETEEN_SEVENTY: EventTime = EventTime(0);
const MINUTE: Duration = Duration::from_secs(60);

/// A queue whose generations are soon full.
fn queue(dir: &std::path::Path) -> (Queue, queue::Config) {
    let config = queue::Config { generation_max_bytes: 4 * MIB, ballast_bytes: 0, ..queue::Config::new(dir) };
    (Queue::open(&config, crate::metrics::Queue::default()).unwrap(), config)
}

fn keeper(machine: &'static Simulated, queue: &Queue, limits: &queue::Config) -> Keeper {
    let (clock, map) = (Clock::simulated(machine), SharedClockMap::default());
    map.write().note(clock.boot(), clock.read().wall_at_boot_ns);
    Keeper::start(&Config::default(), clock, map, queue, limits, metrics::Clock::default())
}

fn status(keeper: &Keeper) -> Status {
    *keeper.status().borrow()
}

async fn append(queue: &Queue, machine: &'static Simulated, records: usize, payload_bytes: usize) {
    let mut noise = 1_u64;
    for _ in 0..records {
        let payload = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 56) as u8
        });
        let record = Record {
            door: Door::Listen,
            flags: Flags::default(),
            received: Clock::simulated(machine).stamp(),
            topic: Bytes::from_static(b"sensors/a"),
            payload: payload.take(payload_bytes).collect(),
            content_type: Bytes::new(),
            table: Bytes::new(),
        };
        let transaction = Transaction { raw: vec![record], ..Transaction::default() };
        queue.appender().commit(transaction).await.unwrap().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_may_be_right_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, config) = queue(dir.path());
    let machine = Simulated::boot_at(ClockBoot(1), IN_2026);
    let keeper = keeper(machine, &queue, &config);
    assert_eq!(status(&keeper), Status { state: State::Unverified, phase: Phase::Free, held_records: 0 });
    assert!(!queue.reader("sink").is_held());
}

#[tokio::test]
async fn held_records_that_take_up_the_queues_room_are_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, config) = queue(dir.path());
    let limits = queue::Config { max_bytes: 4 * MIB, ..config };
    let machine = Simulated::boot_at(ClockBoot(1), NINETEEN_SEVENTY);
    let (reader, mut keeper) = (queue.reader("sink"), keeper(machine, &queue, &limits));
    append(&queue, machine, 1, 10).await;
    keeper.look();
    assert_eq!((status(&keeper).phase, status(&keeper).held_records), (Phase::Held, 1));
    assert_eq!(reader.end(Log::Raw), QueueSeq(0));
    append(&queue, machine, 10, MIB as usize - 1).await;
    keeper.look();
    assert_eq!((status(&keeper).phase, status(&keeper).held_records), (Phase::Released, 0));
    assert_eq!(reader.end(Log::Raw), QueueSeq(11));
    assert_eq!(keeper.map.resolve(Clock::simulated(machine).stamp()).clock, ClockTrust::Unsynchronised);
}

#[tokio::test]
async fn nothing_is_held_for_longer_than_half_its_time_to_live() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, config) = queue(dir.path());
    let limits = queue::Config { ttl: [Some(20 * MINUTE), None], ..config };
    let machine = Simulated::boot_at(ClockBoot(1), NINETEEN_SEVENTY);
    let mut keeper = keeper(machine, &queue, &limits);
    machine.pass(10 * MINUTE - Duration::from_nanos(1));
    keeper.look();
    assert_eq!(status(&keeper).phase, Phase::Held);
    machine.pass(Duration::from_nanos(1));
    keeper.look();
    assert_eq!(status(&keeper).phase, Phase::Released);
}

#[tokio::test]
async fn the_next_boot_knows_that_its_clock_is_behind_what_was_seen_before() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, config) = queue(dir.path());
    let first = keeper(Simulated::boot_at(ClockBoot(1), IN_2026), &queue, &config);
    let (trigger, stop) = shutdown::channel();
    trigger.stop();
    first.run(stop).await.unwrap();
    queue.close().unwrap();

    let (queue, config) = self::queue(dir.path());
    let two_minutes_earlier = EventTime(IN_2026.0 - 120_000_000_000);
    let clock = Clock::simulated(Simulated::boot_at(ClockBoot(2), two_minutes_earlier));
    let map = SharedClockMap::default();
    map.restore(&queue.monitor().state(CLOCK_STATE).unwrap().unwrap());
    let second = Keeper::start(&Config::default(), clock, map, &queue, &config, metrics::Clock::default());
    assert_eq!((status(&second).state, status(&second).phase), (State::Wrong, Phase::Held));
    assert!(second.map.resolve(clock.stamp()).at >= IN_2026, "later than all that was known before");
}
