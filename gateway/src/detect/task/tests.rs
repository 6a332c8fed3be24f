use firmware_protocol::decode::Route;

use super::*;
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
