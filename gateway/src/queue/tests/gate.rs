//! What is held back is there, and comes when the gate opens.

use super::*;

#[test]
fn held_records_are_queued_and_not_read_and_what_came_before_flows() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config(dir.path()));
    let reader = queue.reader("sink");
    append(&queue, (0..3).map(record));
    queue.gate().hold(QueueSeq(3));
    append(&queue, (3..7).map(record));
    commit(&queue, Transaction { derived: vec![record(0)], ..Transaction::default() }).unwrap();
    assert!(reader.is_held());
    assert_eq!(read_all(&reader, Log::Raw, QueueSeq(0)).len(), 3);
    assert_eq!(read_all(&reader, Log::Derived, QueueSeq(0)).len(), 1, "derived records are not held");
    assert_eq!((reader.end(Log::Raw), queue.monitor().end(Log::Raw)), (QueueSeq(3), QueueSeq(7)));
    assert_eq!(row(&queue, "sink", Log::Raw).queued, 7);
    queue.gate().open();
    assert!(!reader.is_held());
    assert_eq!(read_all(&reader, Log::Raw, QueueSeq(3)).len(), 4);
}

#[test]
fn readers_hear_of_the_end_of_a_hold() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config(dir.path()));
    queue.gate().hold(QueueSeq(0));
    append(&queue, (0..3).map(record));
    let mut reader = queue.reader("sink");
    assert!(reader.read(Log::Raw, QueueSeq(0)).unwrap().is_none());
    queue.gate().open();
    runtime().block_on(reader.changed()).unwrap();
    assert!(reader.read(Log::Raw, QueueSeq(0)).unwrap().is_some());
}

#[test]
fn the_newest_record_tells_when_it_was_received_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config(dir.path()));
    assert_eq!(queue.monitor().newest_received().unwrap(), None);
    append(&queue, (0..3).map(record));
    drop(queue);
    assert_eq!(open(&config(dir.path())).monitor().newest_received().unwrap(), Some(record(2).received));
}
