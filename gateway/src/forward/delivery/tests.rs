use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::link::MISCONFIGURED_PAUSE;
use super::*;
use crate::clock::Stamp;
use crate::forward::SinkError;
use crate::queue::{AHEAD_MAX, Cursor, Door, Flags};

mod bench;
mod lanes;
mod simulated;

use bench::{Bench, RECORD_BYTES, misconfigured, reject, retry};

const GRACE: Duration = Duration::from_secs(5);

#[test]
fn derived_goes_first() {
    let mut bench = Bench::new(100, 3);
    bench.run();
    assert_eq!(bench.under_way[0].sent.log, Log::Derived);
    assert_eq!(bench.ready()[0].log, Log::Raw, "raw is encoded while derived is under way");
}

#[test]
fn raw_has_its_turn_in_a_flood_of_derived_records() {
    let mut bench = Bench::new(100_000, 100_000);
    for _ in 0..100 {
        bench.run();
        bench.answer(Ok(()));
    }
    let raw = bench.confirmed.iter().filter(|sent| sent.log == Log::Raw).count();
    assert!((10..=12).contains(&raw), "{raw} of 100 batches were raw");
}

#[test]
fn a_few_raw_records_wait_for_company_and_no_longer() {
    let mut bench = Bench::new(3, 0);
    assert_eq!(bench.run(), Some(bench.now + LINGER));
    bench.pass(LINGER);
    bench.run();
    assert_eq!(bench.under_way[0].sent.seqs.len(), 3);
}

#[test]
fn a_full_batch_does_not_wait() {
    let mut bench = Bench::new(8, 0);
    bench.run();
    assert_eq!(bench.under_way[0].sent.seqs.len(), 8);
}

#[test]
fn the_rest_of_a_backlog_does_not_wait_again() {
    let mut bench = Bench::new(11, 0);
    bench.pass(LINGER);
    bench.run();
    bench.pass(LINGER);
    bench.run();
    assert_eq!(bench.ready()[0].seqs, vec![8, 9, 10]);
}

#[test]
fn one_batch_is_under_way_and_one_is_ready_and_no_more() {
    let mut bench = Bench::new(1_000, 0);
    assert_eq!(bench.run(), None, "there is nothing to do before an answer");
    assert_eq!(bench.under_way.len(), 1);
    assert_eq!(bench.under_way[0].sent.seqs[0], 0);
    assert_eq!(bench.ready().iter().map(|sent| sent.seqs[0]).collect::<Vec<_>>(), [8]);
}

#[test]
fn the_cursor_never_passes_an_unconfirmed_record() {
    let mut bench = Bench::new(20, 0);
    bench.run();
    assert_eq!(bench.places.raw, Place::default(), "under way");
    bench.answer(retry());
    bench.run();
    assert_eq!(bench.places.raw, Place::default(), "after a failure");
    bench.pass_until_due();
    bench.run();
    bench.answer(Ok(()));
    bench.run();
    assert_eq!(bench.places.raw.cursor, Cursor { next: QueueSeq(8), delivered: 8, ..Cursor::default() });
}

#[test]
fn a_failed_batch_is_sent_again_as_it_was_after_a_pause() {
    let mut bench = Bench::new(20, 0);
    bench.run();
    let first = bench.under_way[0].sent.clone();
    let Verdict::Again { pause, failures: 1 } = bench.answer(retry()) else { panic!("not repeated") };
    assert_eq!(bench.run(), Some(bench.now + pause));
    bench.pass(pause);
    bench.run();
    assert_eq!(bench.under_way[0].sent, first);
}

#[test]
fn a_pause_that_the_sink_asks_for_holds_for_all_batches() {
    let mut bench = Bench::new(20, 5);
    bench.run();
    let after = Duration::from_secs(120);
    let busy = Err(SinkError::Retry { reason: "busy".into(), after: Some(after) });
    assert_eq!(bench.answer(busy), Verdict::Again { pause: after, failures: 1 });
    assert_eq!(bench.run(), Some(bench.now + after));
    assert!(bench.under_way.is_empty());
    bench.pass(after);
    bench.run();
    assert_eq!(bench.under_way.len(), 1);
}

#[test]
fn what_a_person_must_mend_is_tried_slowly_and_nothing_is_lost() {
    let mut bench = Bench::new(8, 0);
    bench.run();
    for _ in 0..10 {
        assert_eq!(bench.answer(misconfigured()), Verdict::Misconfigured { pause: MISCONFIGURED_PAUSE });
        assert_eq!(bench.run(), Some(bench.now + MISCONFIGURED_PAUSE));
        bench.pass(MISCONFIGURED_PAUSE);
        bench.run();
    }
    bench.answer(Ok(()));
    bench.run();
    assert_eq!(bench.places.raw.cursor.delivered, 8);
}

#[test]
fn a_rejected_batch_is_split_down_to_the_bad_record() {
    for bad in 0..16 {
        let mut bench = Bench::new(16, 0);
        let mut sends = 0;
        for _ in 0..20 {
            bench.pass(LINGER);
            bench.run();
            if let Some(under_way) = bench.under_way.first() {
                let outcome = if under_way.sent.seqs.contains(&bad) { reject() } else { Ok(()) };
                bench.answer(outcome);
                sends += 1;
            }
        }
        assert_eq!(bench.quarantined, [(Log::Raw, bad)]);
        assert_eq!(bench.sequence(Log::Raw), (0..16).filter(|s| *s != bad).collect::<Vec<_>>());
        let cursor = bench.places.raw.cursor;
        assert_eq!((cursor.delivered, cursor.quarantined), (15, 1));
        // Two batches, and two sends at most for each of the three halvings.
        assert!(sends <= 8, "{sends} sends for bad record {bad}");
    }
}

#[test]
fn a_rejected_batch_of_one_log_leaves_the_other_logs_ready_batch() {
    let mut bench = Bench::new(100, 2);
    bench.run();
    let ready = bench.ready();
    assert_eq!(bench.answer(reject()), Verdict::Split);
    bench.run();
    assert_eq!(vec![bench.under_way[0].sent.clone()], ready);
}

#[test]
fn what_cannot_be_encoded_is_kept_aside_once_though_its_batch_is_split() {
    let mut bench = Bench::new(8, 0);
    bench.undeliverable.raw.insert(2);
    bench.run();
    bench.answer(reject());
    for _ in 0..5 {
        bench.pass(LINGER);
        bench.run();
        if !bench.under_way.is_empty() {
            bench.answer(Ok(()));
        }
    }
    assert_eq!(bench.quarantined, [(Log::Raw, 2)]);
    let cursor = bench.places.raw.cursor;
    assert_eq!((cursor.delivered, cursor.quarantined), (7, 1));
}

#[test]
fn a_batch_with_nothing_to_send_is_settled_in_its_turn() {
    let mut bench = Bench::new(24, 0);
    bench.undeliverable.raw.extend(8..16);
    bench.run();
    assert_eq!(bench.places.raw.cursor.next, QueueSeq(0), "the batch before is still under way");
    bench.answer(Ok(()));
    bench.run();
    let cursor = bench.places.raw.cursor;
    assert_eq!((cursor.next, cursor.quarantined), (QueueSeq(16), 8));
}

#[test]
fn what_a_sink_is_not_to_get_is_passed_and_counted() {
    let mut bench = Bench::new(16, 0);
    bench.filtered.raw.extend(2..10);
    bench.pass(LINGER);
    bench.run();
    // What only the encoder sees to be for others took places of the first batch.
    bench.answer(Ok(()));
    bench.pass(LINGER);
    bench.run();
    bench.answer(Ok(()));
    bench.run();
    assert_eq!(bench.sequence(Log::Raw), [0, 1, 10, 11, 12, 13, 14, 15]);
    let expected = Cursor { next: QueueSeq(16), delivered: 8, filtered: 8, ..Cursor::default() };
    assert_eq!(bench.places.raw.cursor, expected);
}

#[test]
fn a_hole_in_the_log_is_passed_and_left_to_the_queues_books() {
    let mut bench = Bench::new(8, 0);
    bench.gone.raw.extend(2..5);
    bench.pass(LINGER);
    bench.run();
    bench.pass(LINGER);
    bench.run();
    bench.answer(Ok(()));
    bench.run();
    assert_eq!(bench.places.raw.cursor, Cursor { next: QueueSeq(8), delivered: 5, ..Cursor::default() });
}

#[test]
fn a_hole_at_the_end_is_asked_for_again_only_when_something_has_changed() {
    let mut bench = Bench::new(8, 0);
    bench.gone.raw.extend(0..8);
    bench.run();
    let reads = bench.reads;
    bench.run();
    assert_eq!(bench.reads, reads);
    bench.core.on_changed();
    bench.run();
    assert_eq!(bench.reads, reads + 1);
    bench.ends.raw = QueueSeq(16);
    bench.run();
    assert_eq!(bench.under_way[0].sent.seqs, (8..16).collect::<Vec<_>>());
}

#[test]
fn a_hole_of_any_size_is_passed_at_once_and_within_bounded_memory() {
    let mut bench = Bench::new(10_000_000, 0);
    bench.first_record = 9_999_990;
    bench.run();
    assert!(bench.reads < 10, "{}", bench.reads);
    assert_eq!(bench.under_way[0].sent.seqs[0], 9_999_990);
}

#[test]
fn a_log_that_cannot_be_read_is_left_alone_for_a_moment() {
    let mut bench = Bench::new(8, 1);
    bench.unreadable = vec![Log::Raw];
    bench.run();
    assert_eq!(bench.under_way[0].sent.log, Log::Derived, "the other log goes on");
    bench.unreadable = vec![Log::Raw, Log::Derived];
    bench.answer(Ok(()));
    assert_eq!(bench.run(), Some(bench.now + DISK_PAUSE));
    bench.unreadable.clear();
    bench.pass(DISK_PAUSE);
    bench.run();
    assert_eq!(bench.under_way[0].sent.log, Log::Raw);
}

#[test]
fn nothing_moves_on_while_the_quarantine_cannot_be_written() {
    let mut bench = Bench::new(16, 0);
    bench.run();
    bench.answer(Ok(()));
    assert_eq!(bench.run_with(&mut || false), Some(bench.now + DISK_PAUSE));
    assert_eq!(bench.places.raw.cursor.next, QueueSeq(0));
    bench.pass(DISK_PAUSE);
    bench.run();
    assert_eq!(bench.places.raw.cursor.next, QueueSeq(8));
}

#[test]
fn a_stop_waits_for_the_batch_under_way_and_starts_nothing_new() {
    let mut bench = Bench::new(100, 0);
    bench.run();
    bench.core.on_stop(bench.now, GRACE);
    assert_eq!(bench.run(), Some(bench.now + GRACE));
    bench.answer(Ok(()));
    bench.run();
    assert!(bench.is_finished);
    assert_eq!(bench.places.raw.cursor.next, QueueSeq(8));
}

#[test]
fn a_stop_abandons_the_batch_after_the_grace() {
    let mut bench = Bench::new(100, 0);
    bench.run();
    bench.core.on_stop(bench.now, GRACE);
    bench.pass(GRACE);
    bench.run();
    assert!(bench.is_finished);
    assert_eq!(bench.places.raw.cursor.next, QueueSeq(0), "it comes again after the next start");
}

#[test]
fn a_stop_does_not_wait_for_a_sink_that_is_away() {
    let mut bench = Bench::new(100, 0);
    bench.run();
    bench.answer(retry());
    bench.core.on_stop(bench.now, GRACE);
    bench.run();
    assert!(bench.is_finished);
}

/// One turn of fate.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Answer,
    /// The second of those under way is answered, if there is one.
    AnswerSecond,
    Retry,
    TimeOut,
    Misconfigured,
    DiskFails,
    Append {
        raw: u64,
        derived: u64,
    },
    Pass(u64),
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => Just(Turn::Answer),
        3 => Just(Turn::AnswerSecond),
        2 => Just(Turn::Retry),
        1 => Just(Turn::TimeOut),
        1 => Just(Turn::Misconfigured),
        1 => Just(Turn::DiskFails),
        4 => (0_u64..40, 0_u64..6).prop_map(|(raw, derived)| Turn::Append { raw, derived }),
        2 => (1_u64..400).prop_map(Turn::Pass),
        3 => (1_000_u64..40_000).prop_map(Turn::Pass),
        1 => Just(Turn::Restart),
    ]
}

fn seqs(max: u64) -> impl Strategy<Value = BTreeSet<u64>> {
    prop::collection::btree_set(0..max, 0..12)
}

fn config() -> impl Strategy<Value = DeliveryConfig> {
    (prop_oneof![Just(Order::LiveFirst), Just(Order::Strict)], 1_usize..5)
        .prop_map(|(order, inflight)| DeliveryConfig { order, inflight, ..Bench::config() })
}

proptest! {
    /// Whatever happens, each record is delivered or quarantined exactly once in the books; per device and lane in order.
    #[test]
    fn the_books_balance_and_the_order_holds_whatever_the_sink_says(
        config in config(),
        turns in prop::collection::vec(turn(), 0..200),
        (undeliverable, gone, poison, filtered) in (seqs(400), seqs(400), seqs(400), seqs(400)),
    ) {
        let mut bench = Bench::with(config.clone(), 10, 2);
        bench.devices = 5;
        bench.undeliverable.raw = undeliverable.difference(&gone).copied().collect();
        bench.filtered.raw = filtered.difference(&gone).copied().collect();
        bench.gone.raw = gone;
        let answer = |bench: &mut Bench, at: usize| {
            if let Some(under_way) = bench.under_way.get(at) {
                let bad = under_way.sent.log == Log::Raw && under_way.sent.seqs.iter().any(|s| poison.contains(s));
                bench.answer_at(at, if bad { reject() } else { Ok(()) });
            }
        };
        for turn in turns {
            bench.run();
            prop_assert!(bench.under_way.len() <= config.inflight);
            prop_assert!(bench.places.raw.ahead.len() <= AHEAD_MAX);
            let is_inflight = !bench.under_way.is_empty();
            match turn {
                Turn::Answer if is_inflight => answer(&mut bench, 0),
                Turn::AnswerSecond => answer(&mut bench, 1),
                Turn::Retry if is_inflight => drop(bench.answer(retry())),
                Turn::TimeOut if is_inflight => {
                    bench.pass(config.timeout);
                    bench.answer(retry());
                }
                Turn::Misconfigured if is_inflight => drop(bench.answer(misconfigured())),
                Turn::DiskFails if is_inflight => {
                    answer(&mut bench, 0);
                    bench.run_with(&mut || false);
                }
                Turn::Append { raw, derived } => {
                    bench.ends.raw = bench.ends.raw.plus(raw);
                    bench.ends.derived = bench.ends.derived.plus(derived);
                }
                Turn::Pass(millis) => bench.pass(Duration::from_millis(millis)),
                Turn::Restart => bench.restart(),
                Turn::Answer | Turn::Retry | Turn::TimeOut | Turn::Misconfigured | Turn::DiskFails => {
                    bench.pass(Duration::from_secs(40));
                }
            }
        }
        // A hole at the end of the log waits for a record behind it.
        bench.ends.raw = bench.ends.raw.max(QueueSeq(401));
        for _ in 0..4_000 {
            bench.pass(Duration::from_secs(40));
            bench.run();
            if Log::ALL.into_iter().all(|log| bench.places.of(log).cursor.next == *bench.ends.of(log)) {
                break;
            }
            answer(&mut bench, 0);
        }
        for log in Log::ALL {
            let (place, end) = (bench.places.of(log), *bench.ends.of(log));
            let cursor = place.cursor;
            prop_assert_eq!(cursor.next, end, "all is settled: {:?}", bench.core.tracks.of(log));
            prop_assert!(place.ahead.is_empty());
            let gone = bench.gone.of(log).range(..end.0).count() as u64;
            prop_assert_eq!(cursor.delivered + cursor.filtered + cursor.quarantined + gone, end.0);
            let aside = |seq: &u64| {
                let bad = log == Log::Raw && poison.contains(seq);
                let never = [&bench.undeliverable, &bench.filtered, &bench.gone];
                bad || never.iter().any(|set| set.of(log).contains(seq))
            };
            let wanted: BTreeSet<u64> = (0..end.0).filter(|seq| !aside(seq)).collect();
            prop_assert_eq!(cursor.delivered as usize, wanted.len());
            prop_assert_eq!(bench.sequence(log).into_iter().collect::<BTreeSet<_>>(), wanted);
        }
        prop_assert_eq!(&bench.out_of_order, &[] as &[String]);
        prop_assert!(config.order == Order::LiveFirst || !bench.has_been_split);
    }
}
