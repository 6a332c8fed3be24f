use firmware_protocol::decode::Route;

use super::*;
use crate::clock::{ClockBoot, ClockMap, Simulated};
use crate::queue::Queue;
use crate::shutdown;
use crate::view::Limits;

#[tokio::test]
async fn undecodable_records_are_counted_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(&queue::Config::new(dir.path().to_owned()), crate::metrics::Queue::default()).unwrap();
    let clock = Clock::system();
    let metrics = metrics::Detect::default();
    let (processed, mut at) = watch::channel(QueueSeq(0));
    let task = Task {
        config: Config::default(),
        // A route that matches nothing: each record is poison to it.
        decoder: Decoder::new(vec![Route { topic: "nobody/sends/here".into(), ..Route::default() }]).unwrap(),
        reader: queue.reader("detect"),
        appender: queue.appender(),
        past: queue.annex(crate::detect::PAST),
        clock,
        clock_map: SharedClockMap::default(),
        view: Arc::new(View::new(Limits::default())),
        metrics: metrics.clone(),
        processed,
    };
    let record = Record {
        door: Door::Mqtt,
        flags: Flags::default(),
        received: clock.stamp(),
        topic: Bytes::from_static(b"\xff"),
        payload: Bytes::from_static(b"{"),
        content_type: Bytes::new(),
        table: Bytes::new(),
    };
    let transaction = Transaction { raw: vec![record; 3], ..Transaction::default() };
    queue.appender().commit(transaction).await.unwrap().await.unwrap().unwrap();

    let (trigger, stop) = shutdown::channel();
    let running = tokio::spawn(run(task, stop));
    at.wait_for(|seq| *seq == QueueSeq(3)).await.unwrap();
    trigger.stop();
    running.await.unwrap().unwrap();

    let undecodable = metrics.undecodable.get_or_create(&ReasonLabel { reason: "not_utf8" }).get();
    assert_eq!(undecodable, 3);
    let row = queue.monitor().ledger().into_iter().find(|r| r.consumer == "detect").unwrap();
    assert_eq!((row.cursor.quarantined, row.cursor.delivered), (3, 0));
    assert!(row.balances());
}

/// 2023-11-14 22:13:20 UTC.
const START: EventTime = EventTime(1_700_000_000_000_000_000);

fn listening(queue: &Queue, clock: Clock) -> Task {
    let mut map = ClockMap::default();
    map.set(clock.boot(), START.0);
    let clock_map = SharedClockMap::default();
    clock_map.restore(&map.to_bytes());
    Task {
        config: Config { idle_timeout: Duration::from_secs(60), ..Config::default() },
        decoder: Decoder::new(vec![Route::default()]).unwrap(),
        reader: queue.reader("detect"),
        appender: queue.appender(),
        past: queue.annex(crate::detect::PAST),
        clock,
        clock_map,
        view: Arc::new(View::new(Limits::default())),
        metrics: metrics::Detect::default(),
        processed: watch::channel(QueueSeq(0)).0,
    }
}

/// Runs detection until the derived log holds a record that is wanted; gives all that it holds then.
async fn told_until(queue: &Queue, clock: Clock, wanted: impl Fn(&Derived) -> bool) -> Vec<Derived> {
    let (trigger, stop) = shutdown::channel();
    let running = tokio::spawn(run(listening(queue, clock), stop));
    let mut derived = queue.reader_of("test", &[Log::Derived]);
    let mut told: Vec<Derived> = Vec::new();
    while !told.iter().any(&wanted) {
        match derived.read(Log::Derived, QueueSeq(told.len() as u64)).unwrap() {
            Some(block) => {
                let from = QueueSeq(told.len() as u64);
                told.extend(block.records_from(from).map(|(_, r)| Derived::from_json(&r.payload).unwrap()));
            }
            None => derived.changed().await.unwrap(),
        }
    }
    trigger.stop();
    running.await.unwrap().unwrap();
    told
}

fn is_silence(record: &Derived) -> bool {
    matches!(record, Derived::Anomaly(anomaly) if anomaly.kind == "silent")
}

#[tokio::test]
async fn an_hour_without_a_gateway_is_no_silence_of_its_devices() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(&queue::Config::new(dir.path().to_owned()), crate::metrics::Queue::default()).unwrap();
    let simulated = Simulated::boot_at(ClockBoot(1), START);
    let clock = Clock::simulated(simulated);
    for _ in 0..6 {
        simulated.pass(Duration::from_secs(5));
        let raw = vec![Record {
            door: Door::Mqtt,
            flags: Flags::default(),
            received: clock.stamp(),
            topic: Bytes::from_static(b"sensors/pump"),
            payload: Bytes::from_static(br#"{"level":1.5}"#),
            content_type: Bytes::new(),
            table: Bytes::new(),
        }];
        let transaction = Transaction { raw, ..Transaction::default() };
        queue.appender().commit(transaction).await.unwrap().await.unwrap().unwrap();
    }
    // Its windows have been over for long when the gateway comes back: they close at once, by the clock.
    simulated.pass(Duration::from_secs(3_600));
    let told = told_until(&queue, clock, |record| matches!(record, Derived::Window(_))).await;
    assert!(!told.iter().any(is_silence), "{told:?}");
}
