//! Live first: what goes when, and what the books are told of it.

use super::*;
use crate::queue::Run;

fn live_first() -> DeliveryConfig {
    DeliveryConfig { order: Order::LiveFirst, ..Bench::config() }
}

fn run(first: u64, end: u64) -> Run {
    Run::new(QueueSeq(first), QueueSeq(end))
}

#[test]
fn more_than_a_batch_at_the_start_is_backlog_and_what_comes_in_goes_first() {
    let mut bench = Bench::with(live_first(), 100, 0);
    bench.run();
    assert_eq!((bench.under_way[0].sent.lane, bench.under_way[0].sent.seqs[0]), (Lane::Backlog, 0));
    bench.ends.raw = QueueSeq(108);
    bench.run();
    bench.answer(Ok(()));
    bench.run();
    assert_eq!((bench.under_way[0].sent.lane, bench.under_way[0].sent.seqs[0]), (Lane::Live, 100));
    bench.answer(Ok(()));
    bench.run();
    assert_eq!(bench.places.raw.ahead, [run(100, 108)]);
    assert_eq!((bench.places.raw.cursor.next, bench.places.raw.cursor.delivered), (QueueSeq(8), 16));
}

#[test]
fn a_batch_at_the_start_is_no_backlog() {
    let mut bench = Bench::with(live_first(), 8, 0);
    bench.run();
    assert_eq!(bench.under_way[0].sent.lane, Lane::Live);
}

#[test]
fn after_an_outage_what_waits_is_backlog_and_lanes_melt_together_when_it_is_drained() {
    let mut bench = Bench::with(live_first(), 8, 0);
    bench.run();
    bench.answer(retry());
    for second in 1..60 {
        bench.pass(Duration::from_secs(1));
        bench.ends.raw = QueueSeq(8 + second * 4);
        bench.run();
        if !bench.under_way.is_empty() {
            bench.answer(retry());
        }
    }
    assert!(bench.core.tracks.raw.is_split());
    assert!(bench.places.raw.ahead.is_empty(), "nothing was delivered ahead, nothing is to be remembered");
    let end = bench.ends.raw.0;
    for _ in 0..200 {
        bench.pass_until_due_or(Duration::from_secs(1));
        bench.run();
        if !bench.under_way.is_empty() {
            bench.answer(Ok(()));
        }
    }
    assert!(!bench.core.tracks.raw.is_split());
    assert_eq!(
        bench.places.raw,
        Place { cursor: Cursor { next: QueueSeq(end), delivered: end, ..Cursor::default() }, ahead: vec![] }
    );
    assert_eq!(bench.out_of_order, [] as [String; 0]);
}

#[test]
fn with_all_runs_in_use_what_is_live_goes_on_in_order() {
    let mut bench = Bench::with(live_first(), 1_000, 0);
    // The backlog never gets an answer; live records do, and fall behind again and again.
    for _ in 0..200 {
        bench.ends.raw = bench.ends.raw.plus(20);
        bench.run();
        bench.pass(Duration::from_millis(1_100));
        bench.run();
        if let Some(live) = bench.under_way.iter().position(|u| u.sent.lane == Lane::Live) {
            bench.answer_at(live, Ok(()));
        } else if !bench.under_way.is_empty() {
            bench.answer(retry());
        }
        assert!(bench.places.raw.ahead.len() <= AHEAD_MAX);
    }
    assert_eq!(bench.out_of_order, [] as [String; 0]);
}

#[test]
fn a_restart_goes_on_with_the_gaps_and_repeats_no_run_that_is_in_the_books() {
    let mut bench = Bench::with(live_first(), 100, 0);
    bench.places.raw = Place {
        cursor: Cursor { next: QueueSeq(10), delivered: 50, ..Cursor::default() },
        ahead: vec![run(40, 60), run(70, 90)],
    };
    bench.restart();
    for _ in 0..100 {
        bench.pass(LINGER);
        bench.run();
        if !bench.under_way.is_empty() {
            bench.answer(Ok(()));
        }
    }
    let sent: BTreeSet<u64> = bench.sequence(Log::Raw).into_iter().collect();
    assert_eq!(sent, (10..40).chain(60..70).chain(90..100).collect());
    assert_eq!(bench.places.raw.cursor, Cursor { next: QueueSeq(100), delivered: 100, ..Cursor::default() });
}

#[test]
fn gaps_left_by_live_first_are_drained_in_order_by_a_sink_that_is_strict_now() {
    let mut bench = Bench::new(100, 0);
    bench.places.raw =
        Place { cursor: Cursor { next: QueueSeq(10), delivered: 50, ..Cursor::default() }, ahead: vec![run(20, 60)] };
    bench.restart();
    for _ in 0..20 {
        bench.pass(LINGER);
        bench.run();
        if !bench.under_way.is_empty() {
            bench.answer(Ok(()));
        }
    }
    assert_eq!(bench.sequence(Log::Raw), (10..20).chain(60..100).collect::<Vec<_>>());
}

#[test]
fn a_batch_that_is_too_large_for_its_time_is_halved() {
    let config = DeliveryConfig { batch_records_max: 1_000, ..live_first() };
    let mut bench = Bench::with(config.clone(), 1_000, 0);
    let mut sizes = Vec::new();
    for _ in 0..6 {
        bench.pass(LINGER);
        bench.run();
        if bench.under_way.is_empty() {
            bench.pass_until_due();
            bench.run();
        }
        sizes.push(bench.under_way[0].sent.seqs.len());
        bench.pass(config.timeout);
        bench.answer(retry());
    }
    assert_eq!(sizes, [1_000, 500, 250, 125, 62, 62]);
}

#[test]
fn the_wire_carries_no_more_than_its_rate() {
    let config = DeliveryConfig { rate_max: 100, ..Bench::config() };
    let mut bench = Bench::with(config, 1_000, 0);
    let start = bench.now;
    while bench.now < start + Duration::from_secs(60) {
        bench.run();
        if bench.under_way.is_empty() {
            bench.pass_until_due();
        } else {
            bench.answer(Ok(()));
        }
    }
    let bytes = bench.sequence(Log::Raw).len() as u64 * RECORD_BYTES;
    assert!((5_900..=6_200).contains(&bytes), "{bytes} in 60 s");
}
