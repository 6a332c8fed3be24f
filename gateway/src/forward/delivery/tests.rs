use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const GRACE: Duration = Duration::from_secs(5);

/// Drives a [`Delivery`] as the task does, with a clock of its own.
struct Bench {
    core: Delivery,
    now: Instant,
    ends: PerLog<QueueSeq>,
    cursors: PerLog<Cursor>,
    /// Sequences that cannot be encoded, and those that a policy took out of the queue.
    undeliverable: PerLog<BTreeSet<u64>>,
    gone: PerLog<BTreeSet<u64>>,
    ready: Option<Sent>,
    under_way: Option<Sent>,
    quarantined: Vec<(Log, u64)>,
    confirmed: Vec<(Log, Vec<u64>)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sent {
    log: Log,
    seqs: Vec<u64>,
}

impl Bench {
    fn new(raw: u64, derived: u64) -> Self {
        let config = DeliveryConfig { batch_records_max: 8, ..DeliveryConfig::default() };
        Self {
            core: Delivery::new(&config, PerLog::default(), 1),
            now: Instant::now(),
            ends: PerLog { raw: QueueSeq(raw), derived: QueueSeq(derived) },
            cursors: PerLog::default(),
            undeliverable: PerLog::default(),
            gone: PerLog::default(),
            ready: None,
            under_way: None,
            quarantined: Vec::new(),
            confirmed: Vec::new(),
        }
    }

    fn restart(&mut self) {
        let config = DeliveryConfig { batch_records_max: 8, ..DeliveryConfig::default() };
        self.core = Delivery::new(&config, self.cursors, 2);
        (self.ready, self.under_way) = (None, None);
    }

    fn poll(&mut self) -> Action {
        self.core.poll(self.now, self.ends)
    }

    /// Does all that needs no outcome and no time; returns what is waited for.
    fn run(&mut self) -> Action {
        self.run_with(&mut || true)
    }

    fn run_with(&mut self, disk_works: &mut impl FnMut() -> bool) -> Action {
        for _ in 0..10_000 {
            match self.poll() {
                Action::Encode(span) => self.encode(span),
                Action::Send => self.under_way = self.ready.take(),
                Action::Resend => assert!(self.under_way.is_some()),
                Action::Quarantine { .. } | Action::Settle { .. } if !disk_works() => {
                    self.core.on_disk_failed(self.now)
                }
                Action::Quarantine { log, seq, .. } => {
                    self.quarantined.push((log, seq.0));
                    self.core.on_quarantined(Aside::Kept);
                }
                Action::Settle { log, cursor } => {
                    *self.cursors.of_mut(log) = cursor;
                    self.core.on_settled();
                }
                wait @ (Action::Wait { .. } | Action::Finish) => return wait,
            }
        }
        panic!("the core never waits");
    }

    fn encode(&mut self, span: Span) {
        let mut books = Books { to: span.to, ..Books::empty(span.log, span.from) };
        let mut seqs = Vec::new();
        for seq in span.from.0..span.to.0 {
            if self.gone.of(span.log).contains(&seq) {
                books.missing += 1;
            } else if self.undeliverable.of(span.log).contains(&seq) {
                books.quarantined += 1;
                if seq >= span.fresh_from.0 {
                    self.quarantined.push((span.log, seq));
                }
            } else {
                books.deliver += 1;
                seqs.push(seq);
            }
        }
        self.core.on_encoded(books);
        self.ready = Some(Sent { log: span.log, seqs });
    }

    fn answer(&mut self, outcome: Result<(), SinkError>) -> Verdict {
        let sent = self.under_way.clone().expect("a batch is under way");
        let ok = outcome.is_ok();
        let verdict = self.core.on_outcome(outcome, self.now);
        if ok {
            self.confirmed.push((sent.log, sent.seqs));
        }
        if !matches!(verdict, Verdict::Again { .. } | Verdict::Misconfigured { .. }) {
            self.under_way = None;
        }
        verdict
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Passes the time up to what the core waits for.
    fn pass_until_due(&mut self) {
        let Action::Wait { until: Some(until), .. } = self.run() else { panic!("nothing is due") };
        self.now = self.now.max(until);
    }

    fn sequence(&self, log: Log) -> Vec<u64> {
        self.confirmed.iter().filter(|(l, _)| *l == log).flat_map(|(_, seqs)| seqs).copied().collect()
    }
}

fn retry() -> Result<(), SinkError> {
    Err(SinkError::Retry { reason: "away".into() })
}

fn reject() -> Result<(), SinkError> {
    Err(SinkError::Reject { reason: "bad line".into() })
}

fn misconfigured() -> Result<(), SinkError> {
    Err(SinkError::Misconfigured { reason: "no such bucket".into() })
}

#[test]
fn derived_goes_first() {
    let mut bench = Bench::new(100, 3);
    bench.run();
    assert_eq!(bench.under_way.as_ref().map(|s| s.log), Some(Log::Derived));
    assert_eq!(bench.ready.as_ref().map(|s| s.log), Some(Log::Raw), "raw is encoded while derived is under way");
}

#[test]
fn raw_has_its_turn_in_a_flood_of_derived_records() {
    let mut bench = Bench::new(100_000, 100_000);
    for _ in 0..100 {
        bench.run();
        bench.answer(Ok(()));
    }
    let raw = bench.confirmed.iter().filter(|(log, _)| *log == Log::Raw).count();
    assert!((10..=12).contains(&raw), "{raw} of 100 batches were raw");
}

#[test]
fn a_few_raw_records_wait_for_company_and_no_longer() {
    let mut bench = Bench::new(3, 0);
    let Action::Wait { until, for_records: true } = bench.run() else { panic!("sent at once") };
    assert_eq!(until, Some(bench.now + LINGER));
    bench.pass(LINGER);
    bench.run();
    assert_eq!(bench.under_way.as_ref().map(|s| s.seqs.len()), Some(3));
}

#[test]
fn a_full_batch_does_not_wait() {
    let mut bench = Bench::new(8, 0);
    bench.run();
    assert_eq!(bench.under_way.as_ref().map(|s| s.seqs.len()), Some(8));
}

#[test]
fn the_rest_of_a_backlog_does_not_wait_again() {
    let mut bench = Bench::new(11, 0);
    bench.pass(LINGER);
    bench.run();
    bench.pass(LINGER);
    bench.run();
    assert_eq!(bench.ready.as_ref().map(|s| s.seqs.clone()), Some(vec![8, 9, 10]));
}

#[test]
fn one_batch_is_under_way_and_one_is_ready_and_no_more() {
    let mut bench = Bench::new(1_000, 0);
    assert_eq!(bench.run(), Action::Wait { until: None, for_records: false });
    assert_eq!(bench.under_way.as_ref().map(|s| s.seqs[0]), Some(0));
    assert_eq!(bench.ready.as_ref().map(|s| s.seqs[0]), Some(8));
}

#[test]
fn the_cursor_never_passes_an_unconfirmed_record() {
    let mut bench = Bench::new(20, 0);
    bench.run();
    assert_eq!(bench.cursors.raw, Cursor::default(), "under way");
    bench.answer(retry());
    bench.run();
    assert_eq!(bench.cursors.raw, Cursor::default(), "after a failure");
    bench.pass_until_due();
    bench.run();
    bench.answer(Ok(()));
    bench.run();
    assert_eq!(bench.cursors.raw, Cursor { next: QueueSeq(8), delivered: 8, ..Cursor::default() });
}

#[test]
fn a_failed_batch_is_sent_again_as_it_was_after_a_pause() {
    let mut bench = Bench::new(20, 0);
    bench.run();
    let first = bench.under_way.clone();
    let Verdict::Again { pause, failures: 1 } = bench.answer(retry()) else { panic!("not repeated") };
    assert_eq!(bench.poll(), Action::Wait { until: Some(bench.now + pause), for_records: false });
    bench.pass(pause);
    assert_eq!(bench.poll(), Action::Resend);
    assert_eq!(bench.under_way, first);
}

#[test]
fn what_a_person_must_mend_is_tried_slowly_and_nothing_is_lost() {
    let mut bench = Bench::new(8, 0);
    bench.run();
    for _ in 0..10 {
        assert_eq!(bench.answer(misconfigured()), Verdict::Misconfigured { pause: MISCONFIGURED_PAUSE });
        assert_eq!(bench.poll(), Action::Wait { until: Some(bench.now + MISCONFIGURED_PAUSE), for_records: true });
        bench.pass(MISCONFIGURED_PAUSE);
        assert_eq!(bench.poll(), Action::Resend);
    }
    bench.answer(Ok(()));
    bench.run();
    assert_eq!(bench.cursors.raw.delivered, 8);
}

#[test]
fn a_rejected_batch_is_split_down_to_the_bad_record() {
    for bad in 0..16 {
        let mut bench = Bench::new(16, 0);
        let mut sends = 0;
        for _ in 0..20 {
            bench.pass(LINGER);
            bench.run();
            if let Some(sent) = &bench.under_way {
                let outcome = if sent.seqs.contains(&bad) { reject() } else { Ok(()) };
                bench.answer(outcome);
                sends += 1;
            }
        }
        assert_eq!(bench.quarantined, [(Log::Raw, bad)]);
        assert_eq!(bench.sequence(Log::Raw), (0..16).filter(|s| *s != bad).collect::<Vec<_>>());
        assert_eq!((bench.cursors.raw.delivered, bench.cursors.raw.quarantined), (15, 1));
        // Two batches, and two sends at most for each of the three halvings.
        assert!(sends <= 8, "{sends} sends for bad record {bad}");
    }
}

#[test]
fn a_rejected_batch_of_one_log_leaves_the_other_logs_ready_batch() {
    let mut bench = Bench::new(100, 2);
    bench.run();
    let ready = bench.ready.clone();
    assert_eq!(bench.answer(reject()), Verdict::Split);
    bench.run();
    assert_eq!(bench.under_way, ready);
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
        if bench.under_way.is_some() {
            bench.answer(Ok(()));
        }
    }
    assert_eq!(bench.quarantined, [(Log::Raw, 2)]);
    assert_eq!((bench.cursors.raw.delivered, bench.cursors.raw.quarantined), (7, 1));
}

#[test]
fn a_batch_with_nothing_to_send_is_settled_in_its_turn() {
    let mut bench = Bench::new(24, 0);
    bench.undeliverable.raw.extend(8..16);
    bench.run();
    assert_eq!(bench.cursors.raw.next, QueueSeq(0), "the batch before is still under way");
    bench.answer(Ok(()));
    bench.run();
    assert_eq!((bench.cursors.raw.next, bench.cursors.raw.quarantined), (QueueSeq(16), 8));
}

#[test]
fn a_hole_in_the_log_is_passed_and_left_to_the_queues_books() {
    let mut bench = Bench::new(8, 0);
    bench.gone.raw.extend(2..5);
    bench.run();
    bench.answer(Ok(()));
    bench.run();
    assert_eq!(bench.cursors.raw, Cursor { next: QueueSeq(8), delivered: 5, ..Cursor::default() });
}

#[test]
fn a_hole_at_the_end_is_not_asked_for_again_and_again() {
    let mut bench = Bench::new(8, 0);
    let Action::Encode(span) = bench.poll() else { panic!("not encoded") };
    bench.core.on_encoded(Books::empty(Log::Raw, span.from));
    assert_eq!(bench.poll(), Action::Wait { until: None, for_records: true });
    bench.ends.raw = QueueSeq(16);
    assert!(matches!(bench.poll(), Action::Encode(_)), "a new record is a reason to look again");
}

#[test]
fn a_log_that_cannot_be_read_is_left_alone_for_a_moment() {
    let mut bench = Bench::new(8, 1);
    let Action::Encode(span) = bench.poll() else { panic!("not encoded") };
    bench.core.on_read_failed(span.log, bench.now);
    assert!(matches!(bench.poll(), Action::Encode(Span { log: Log::Raw, .. })), "the other log goes on");
    bench.core.on_read_failed(Log::Raw, bench.now);
    assert_eq!(bench.poll(), Action::Wait { until: Some(bench.now + DISK_PAUSE), for_records: true });
}

#[test]
fn nothing_moves_on_while_the_quarantine_cannot_be_written() {
    let mut bench = Bench::new(16, 0);
    bench.run();
    bench.answer(Ok(()));
    let wait = bench.run_with(&mut || false);
    assert_eq!(wait, Action::Wait { until: Some(bench.now + DISK_PAUSE), for_records: false });
    assert_eq!(bench.cursors.raw.next, QueueSeq(0));
    bench.pass(DISK_PAUSE);
    bench.run();
    assert_eq!(bench.cursors.raw.next, QueueSeq(8));
}

#[test]
fn a_stop_waits_for_the_batch_under_way_and_starts_nothing_new() {
    let mut bench = Bench::new(100, 0);
    bench.run();
    bench.core.on_stop(bench.now, GRACE);
    assert_eq!(bench.run(), Action::Wait { until: Some(bench.now + GRACE), for_records: false });
    bench.answer(Ok(()));
    assert_eq!(bench.run(), Action::Finish);
    assert_eq!(bench.cursors.raw.next, QueueSeq(8));
}

#[test]
fn a_stop_abandons_the_batch_after_the_grace() {
    let mut bench = Bench::new(100, 0);
    bench.run();
    bench.core.on_stop(bench.now, GRACE);
    bench.pass(GRACE);
    assert_eq!(bench.run(), Action::Finish);
    assert_eq!(bench.cursors.raw.next, QueueSeq(0), "it comes again after the next start");
}

#[test]
fn a_stop_does_not_wait_for_a_sink_that_is_away() {
    let mut bench = Bench::new(100, 0);
    bench.run();
    bench.answer(retry());
    bench.core.on_stop(bench.now, GRACE);
    assert_eq!(bench.run(), Action::Finish);
}

/// One turn of fate.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Answer,
    Retry,
    Misconfigured,
    DiskFails,
    Append { raw: u64, derived: u64 },
    Pass,
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => Just(Turn::Answer),
        2 => Just(Turn::Retry),
        1 => Just(Turn::Misconfigured),
        1 => Just(Turn::DiskFails),
        2 => (0_u64..20, 0_u64..6).prop_map(|(raw, derived)| Turn::Append { raw, derived }),
        3 => Just(Turn::Pass),
        1 => Just(Turn::Restart),
    ]
}

fn seqs(max: u64) -> impl Strategy<Value = BTreeSet<u64>> {
    prop::collection::btree_set(0..max, 0..12)
}

proptest! {
    /// Whatever happens, each record is delivered or quarantined exactly once in the books, in order.
    #[test]
    fn the_books_balance_and_the_order_holds_whatever_the_sink_says(
        turns in prop::collection::vec(turn(), 0..200),
        (undeliverable, gone, poison) in (seqs(120), seqs(120), seqs(120)),
    ) {
        let mut bench = Bench::new(10, 2);
        bench.undeliverable.raw = undeliverable.difference(&gone).copied().collect();
        bench.gone.raw = gone;
        let answer = |bench: &mut Bench| {
            if let Some(sent) = &bench.under_way {
                let bad = sent.log == Log::Raw && sent.seqs.iter().any(|s| poison.contains(s));
                bench.answer(if bad { reject() } else { Ok(()) });
            }
        };
        for turn in turns {
            bench.run();
            let in_flight = matches!(bench.core.state, State::Inflight(_));
            match turn {
                Turn::Answer if in_flight => answer(&mut bench),
                Turn::Retry if in_flight => drop(bench.answer(retry())),
                Turn::Misconfigured if in_flight => drop(bench.answer(misconfigured())),
                Turn::DiskFails if in_flight => {
                    answer(&mut bench);
                    bench.run_with(&mut || false);
                }
                Turn::Append { raw, derived } => {
                    bench.ends.raw = bench.ends.raw.plus(raw);
                    bench.ends.derived = bench.ends.derived.plus(derived);
                }
                Turn::Restart => bench.restart(),
                Turn::Answer | Turn::Retry | Turn::Misconfigured | Turn::DiskFails | Turn::Pass => {
                    bench.pass(Duration::from_secs(40));
                }
            }
        }
        for _ in 0..2_000 {
            bench.pass(Duration::from_secs(40));
            bench.run();
            answer(&mut bench);
        }
        for log in Log::ALL {
            let (cursor, end) = (bench.cursors.of(log), *bench.ends.of(log));
            prop_assert_eq!(cursor.next, end, "all is settled");
            let gone = bench.gone.of(log).range(..end.0).count() as u64;
            prop_assert_eq!(cursor.delivered + cursor.quarantined + gone, end.0);
            let aside = |seq: &u64| {
                let bad = log == Log::Raw && poison.contains(seq);
                bad || bench.undeliverable.of(log).contains(seq) || bench.gone.of(log).contains(seq)
            };
            let wanted: Vec<u64> = (0..end.0).filter(|seq| !aside(seq)).collect();
            prop_assert_eq!(cursor.delivered as usize, wanted.len());
            // Only a restart between confirmation and settling repeats: nothing new overtakes.
            let mut seen = BTreeSet::new();
            let first_deliveries: Vec<u64> = bench.sequence(log).into_iter().filter(|seq| seen.insert(*seq)).collect();
            prop_assert_eq!(first_deliveries, wanted);
        }
    }
}
