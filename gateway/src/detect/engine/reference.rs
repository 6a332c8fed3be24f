//! The engine against a plain reference that keeps all readings in maps and computes each window anew: over shuffled,
//! delayed, repeated records, with kills at every step of the transaction.

mod pane;
mod plain;
mod story;

use std::collections::BTreeMap;

use firmware_protocol::derived::{Status, Window};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::tests::Durable;
use super::*;
use plain::Plain;
use story::{Kill, Step, record_of, story};

/// Records as JSON by device, in order: only that order is promised.
type Records = BTreeMap<String, Vec<String>>;

fn by_device(records: impl IntoIterator<Item = Vec<u8>>) -> Records {
    let mut devices = Records::new();
    for bytes in records {
        let device = Derived::from_json(&bytes).unwrap().device().to_owned();
        devices.entry(device).or_default().push(String::from_utf8(bytes).unwrap());
    }
    devices
}

/// The reference knows windows, but no verdicts.
fn windows(records: &Records) -> Records {
    let without_verdict = |record: &String| match Derived::from_json(record.as_bytes()).unwrap() {
        Derived::Window(window) => {
            let bytes = Derived::Window(Window { status: Status::Learning, score: None, ..window }).to_json();
            Some(String::from_utf8(bytes).unwrap())
        }
        Derived::Anomaly(_) | Derived::Incident(_) | Derived::Gap(_) => None,
    };
    records.iter().map(|(device, of)| (device.clone(), of.iter().filter_map(without_verdict).collect())).collect()
}

fn same(actual: &Records, expected: &Records) -> Result<(), TestCaseError> {
    for (device, expected) in expected {
        let actual = actual.get(device).map_or(&[][..], |r| r.as_slice());
        for i in 0..expected.len().max(actual.len()) {
            prop_assert_eq!(actual.get(i), expected.get(i), "record {} of {}", i, device);
        }
    }
    prop_assert_eq!(actual.len(), expected.len());
    Ok(())
}

/// What the reference gives, and how it counted.
fn plainly(config: &Config, steps: &[Step]) -> (Records, Counts) {
    let mut plain = Plain::new(config);
    for i in 0..steps.len() {
        if let Some((measurement, received)) = record_of(steps, i) {
            plain.on_measurement(&measurement, received);
        }
        if let Some(now) = steps[i].tick() {
            plain.on_idle(now);
        }
    }
    plain.on_idle(story::end_of(steps));
    let counts = plain.counts;
    (by_device(plain.derived.iter().map(Derived::to_json)), counts)
}

/// What the engine gives, killed as the steps say.
fn killed(config: &Config, steps: &[Step], may_kill: bool) -> (Records, Counts) {
    let mut durable = Durable::new(config.clone());
    let mut engine = durable.restore();
    let (mut kills, mut counts) =
        (steps.iter().map(|s| may_kill.then_some(s.kill)).collect::<Vec<_>>(), Counts::default());
    while let Some(i) = Some(engine.next().0 as usize).filter(|i| *i < steps.len()) {
        match record_of(steps, i) {
            Some((measurement, received)) => {
                engine.on_measurement(QueueSeq(i as u64), &measurement, received, &durable.store);
            }
            None => engine.on_undecodable(QueueSeq(i as u64)),
        }
        if let Some(now) = steps[i].tick() {
            look(&mut engine, now, &mut durable);
        }
        // Each kill strikes once: what is done again gets through.
        match kills[i].take().unwrap_or(Kill::AfterCommit) {
            Kill::Never => {}
            Kill::NoCommit if may_kill => engine = durable.restore(),
            Kill::LostCommit if may_kill => {
                engine.changes();
                engine = durable.restore();
            }
            Kill::BetweenStores if may_kill => {
                durable.store.keep(engine.changes().unwrap_or_default().past);
                engine = durable.restore();
            }
            Kill::NoCommit | Kill::LostCommit | Kill::BetweenStores => {}
            Kill::AfterCommit => {
                if let Some(changes) = engine.changes() {
                    durable.commit(changes);
                    if may_kill {
                        engine = durable.restore();
                    }
                }
            }
        }
        counts.add(engine.take_counts().0);
    }
    look(&mut engine, story::end_of(steps), &mut durable);
    counts.add(engine.take_counts().0);
    durable.commit(engine.changes().unwrap_or_default());
    (by_device(durable.derived), counts)
}

fn look(engine: &mut Engine, now: EventTime, durable: &mut Durable) {
    while engine.on_idle(now, &durable.store) == Due::More {
        durable.commit(engine.changes().expect("a full transaction"));
    }
}

fn agree(config: &Config, steps: &[Step]) -> Result<(), TestCaseError> {
    let (expected, counted) = plainly(config, steps);
    let (straight, recounted) = killed(config, steps, false);
    same(&windows(&straight), &expected)?;
    prop_assert_eq!(recounted, counted);
    same(&killed(config, steps, true).0, &straight)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn windows_side_by_side_are_those_of_the_reference_through_all_kills(steps in story()) {
        agree(&story::config(0), &steps)?;
    }

    #[test]
    fn hopping_windows_are_those_of_the_reference_through_all_kills(steps in story()) {
        agree(&story::config(20), &steps)?;
    }
}

/// Windows of few samples: most channels become ones of seconds, at some time or other.
fn of_seconds(hop_s: u64) -> Config {
    Config { samples_max: 8, ..story::config(hop_s) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn windows_of_seconds_are_those_of_the_reference_through_all_kills(steps in story()) {
        agree(&of_seconds(0), &steps)?;
    }

    #[test]
    fn hopping_windows_of_seconds_are_those_of_the_reference_through_all_kills(steps in story()) {
        agree(&of_seconds(20), &steps)?;
    }
}

#[test]
fn the_stories_have_revisions_and_every_kind_of_refusal() {
    let mut runner = TestRunner::deterministic();
    let (mut counts, mut newest) = (Counts::default(), 0);
    for _ in 0..40 {
        let steps = story().new_tree(&mut runner).unwrap().current();
        let (devices, counted) = plainly(&story::config(0), &steps);
        counts.add(counted);
        for bytes in devices.values().flatten() {
            if let Derived::Window(window) = Derived::from_json(bytes.as_bytes()).unwrap() {
                newest = newest.max(window.revision);
            }
        }
    }
    assert!(newest >= 2, "revision {newest}");
    assert!(counts.used > 1_000 && counts.revised > 100, "{counts:?}");
    assert!(counts.late > 20 && counts.duplicate > 20 && counts.future > 5, "{counts:?}");
}
