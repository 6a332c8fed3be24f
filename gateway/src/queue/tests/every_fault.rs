//! Whatever the n-th operation of the engine is, the queue's promises hold if it fails.

use super::faults::{CrashEngine, Fault, Faults, FaultyEngine, Kind, Moment, Power};
use super::log_engine::LogEngine;
use super::workload::{State, Told, judge, quick_dir, small_config, work, work_without_sink};
use super::*;

pub(super) const MOMENTS: [Moment; 2] = [Moment::Before, Moment::After];
const KINDS: [Kind; 3] = [Kind::Full, Kind::Io, Kind::Damaged];
const PATIENCE: Patience = Patience { attempt_pause: Duration::from_micros(1), space_poll: Duration::from_micros(1) };

fn start(config: &Config, engine: impl Engine + 'static) -> Result<Queue, Error> {
    start_with(config, engine, None)
}

pub(super) fn start_with(
    config: &Config,
    engine: impl Engine + 'static,
    admission: Option<Box<dyn Admission>>,
) -> Result<Queue, Error> {
    let lock = DirLock::take(&config.dir).unwrap().expect("nobody else has it");
    let seams = Seams { gaps: Box::new(NoGaps), admission };
    Queue::start(config, metrics::Queue::default(), seams, Arc::new(engine), lock, PATIENCE)
}

/// Runs `case` for 0, 1, 2… until it says that nothing failed any more; on two threads, evens and odds.
pub(super) fn for_every_operation(case: impl Fn(u64) -> bool + Sync) -> u64 {
    let run = |first: u64| (first..).step_by(2).find(|n| !case(*n)).expect("a workload has an end");
    std::thread::scope(|scope| {
        let odds = scope.spawn(|| run(1));
        let evens = run(0);
        evens.max(odds.join().expect("see its message above"))
    })
}

/// What the last run left: some generations with records that the sink has yet to read.
fn with_backlog(config: &Config, engine: impl Engine + 'static) -> Told {
    let mut told = Told::default();
    let queue = start(config, engine).unwrap();
    drop(queue.reader("sink"));
    (0..5).for_each(|_| work_without_sink(&queue, &mut told).unwrap());
    queue.close().unwrap();
    told
}

fn every_kind_and_moment() -> impl Iterator<Item = (Kind, Moment)> {
    KINDS.into_iter().flat_map(|kind| MOMENTS.map(|moment| (kind, moment)))
}

/// Whether the fault came to pass.
fn passes(config: &Config, engine: impl Engine + Clone + 'static, fault: Fault) -> bool {
    println!("{fault:?}");
    let faults = Faults::new(fault);
    let mut told = with_backlog(config, engine.clone());
    let (queue, fails_at_open) = match start(config, FaultyEngine { engine: engine.clone(), faults: faults.clone() }) {
        Ok(queue) => (queue, faults.failed() > 0),
        // What is damaged is dealt with; for the rest a supervisor tries again.
        Err(error) if fault.kind == Kind::Damaged => panic!("{error}"),
        Err(_) => (start(config, engine.clone()).unwrap(), true),
    };
    let state = if fails_at_open && fault.kind == Kind::Damaged { State::MayBeOlder } else { State::Kept };
    told.begins_again(&queue);
    work(&queue, &mut told).unwrap();
    queue.close().unwrap();
    judge(&start(config, engine).unwrap(), &told, state);
    faults.failed() > 0
}

#[test]
fn after_a_fault_that_passes_the_queue_goes_on_by_itself_and_nothing_is_lost() {
    for (kind, moment) in every_kind_and_moment() {
        let operations = for_every_operation(|at| {
            let dir = quick_dir();
            passes(&small_config(dir.path()), LogEngine, Fault { at, moment, kind, lasts: false })
        });
        assert!(operations > 50, "{operations}");
    }
}

on_each_engine! {
    after_a_fault_that_passes_an_engine_is_opened_anew_and_nothing_is_lost,
}

/// As above, on real files; they take longer, so each kind and moment has its own operations.
fn after_a_fault_that_passes_an_engine_is_opened_anew_and_nothing_is_lost(engine: EngineKind) {
    for_every_operation(|round| {
        let (kind, moment) = every_kind_and_moment().nth(round as usize % 6).expect("there are six");
        let dir = quick_dir();
        let config = Config { generation_max_bytes: 1 << 20, ..small_config(dir.path()) };
        passes(&config, Engines { kind: engine }, Fault { at: 4 * round, moment, kind, lasts: false })
    });
}

#[test]
fn after_a_fault_that_stays_nothing_is_acknowledged_and_everything_that_was_is_there() {
    for (kind, moment) in every_kind_and_moment() {
        let operations = for_every_operation(|at| {
            let fault = Fault { at, moment, kind, lasts: true };
            println!("{fault:?}");
            let dir = quick_dir();
            let config = small_config(dir.path());
            let faults = Faults::new(fault);
            let mut told = with_backlog(&config, LogEngine);
            // Found damaged while it was opened, it is set aside, and so is the one before.
            let mut state = State::Kept;
            match start(&config, FaultyEngine { engine: LogEngine, faults: faults.clone() }) {
                Ok(queue) => {
                    // A full disk is waited for until somebody ends it.
                    let shared = queue.shared.clone();
                    faults.once_failed(10, move || shared.inbox.close());
                    match work(&queue, &mut told) {
                        Ok(()) => assert_eq!(queue.close().is_err(), faults.failed() > 0),
                        Err(error) => {
                            assert!(faults.failed() > 0, "{error}");
                            let refused = commit(&queue, Transaction::default()).unwrap_err();
                            assert_eq!(refused, "queue is closed");
                        }
                    }
                }
                Err(_) if kind == Kind::Full => {}
                Err(_) => state = State::MayBeOlder,
            }
            judge(&start(&config, LogEngine).unwrap(), &told, state);
            faults.failed() > 0
        });
        assert!(operations > 50, "{operations}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_change_of_the_store() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    for (moment, draw) in MOMENTS.into_iter().flat_map(|moment| [1, 2, 3].map(|draw| (moment, draw))) {
        let changes = for_every_operation(|at| {
            println!("change {at}, {moment:?}, draw {draw}");
            let (dir, survivor) = (quick_dir(), quick_dir());
            let power = Power::new(dir.path(), survivor.path(), at, moment, seed * 10_000 + draw * 1_000 + at);
            let mut told = Told::default();
            if let Ok(queue) = start(&small_config(dir.path()), CrashEngine { power: power.clone() }) {
                let worked = work(&queue, &mut told);
                let closed = queue.close();
                if !power.is_off() {
                    worked.unwrap();
                    closed.unwrap();
                    return false;
                }
            }
            judge(&start(&small_config(survivor.path()), LogEngine).unwrap(), &told, State::Kept);
            true
        });
        assert!(changes > 30, "{changes}");
    }
}
