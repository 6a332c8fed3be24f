use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firmware_protocol::derived::{Anomaly, AnomalyState, IncidentState, Status, Window};
use firmware_protocol::measurement::{FrameIdentity, Reading};
use firmware_protocol::{BootId, DeviceSeq};

use super::super::past::InMemory as Store;
use super::*;

mod fast;

/// A day of 48 windows: all stages of learning happen within some thousand records.
fn config() -> Config {
    Config {
        window: Duration::from_secs(1_800),
        learn: Duration::from_secs(4 * 86_400),
        out_of_order: Duration::from_secs(300),
        idle_timeout: Duration::from_secs(7_200),
        ..Config::default()
    }
}

const START_MS: i64 = 1_700_006_400_000;

/// Two devices of two channels, a message each 90 s with some disorder, repeats, poison, late ones, a silence, a fault.
fn record(seq: u64) -> Option<(Measurement, EventTime)> {
    if seq % 97 == 5 {
        return None;
    }
    let seq_of_frame = if seq % 41 == 7 { seq - 2 } else { seq };
    let noise = |salt: u64| ((seq_of_frame * 7_919 + salt * 104_729) % 1_009) as f64 / 1_009.0;
    let turn = seq_of_frame / 2;
    let behind_s = if seq_of_frame % 29 == 3 { 40_000.0 } else { 200.0 * noise(1) };
    let at = EventTime::from_millis(START_MS + turn as i64 * 90_000 - (behind_s * 1_000.0) as i64);
    let mut m = Measurement::default();
    m.set_device(if seq_of_frame % 2 == 0 { "pump" } else { "fan" });
    m.identity = Some(FrameIdentity { boot: BootId(1), seq: DeviceSeq(seq_of_frame as u32) });
    let is_faulty = (4_900..5_000).contains(&turn);
    for (channel, salt) in [("flow", 2), ("heat", 3)] {
        if channel == "heat" && (4_500..4_560).contains(&turn) {
            continue;
        }
        let index = m.push_channel(channel);
        for i in 0..3 {
            let value = 10.0 + noise(salt + i) + if is_faulty { 25.0 * noise(9 + i) } else { 0.0 };
            m.readings.push(Reading { channel: index, at: EventTime(at.0 + i as i64 * 30_000_000_000), value });
        }
    }
    Some((m, EventTime::from_millis(START_MS + turn as i64 * 90_000 + 60_000)))
}

fn feed(engine: &mut Engine, seq: u64, store: &Store) {
    match record(seq) {
        Some((measurement, received_at)) => {
            engine.on_measurement(QueueSeq(seq), &measurement, Received::known(received_at), store);
        }
        None => engine.on_undecodable(QueueSeq(seq)),
    }
}

/// What is durable.
#[derive(Clone)]
pub(super) struct Durable {
    config: Config,
    pub(super) store: Store,
    pub(super) cursor: Cursor,
    pub(super) derived: Vec<Vec<u8>>,
}

impl Default for Durable {
    fn default() -> Self {
        Self::new(config())
    }
}

impl Durable {
    pub(super) fn new(config: Config) -> Self {
        Self { config, store: Store::default(), cursor: Cursor::default(), derived: Vec::new() }
    }

    pub(super) fn commit(&mut self, changes: Changes) {
        self.cursor = changes.cursor;
        self.derived.extend(changes.derived.iter().map(Derived::to_json));
        self.store.commit(changes.state, changes.past);
    }

    pub(super) fn restore(&self) -> Engine {
        Engine::restore(&self.config, &self.store, self.cursor)
    }
}

const RECORDS: u64 = 11_000;

/// What befalls the process at a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    LivesOn,
    /// Once the past has what belongs to it; it is made again.
    DiesBefore,
    DiesAfter,
}

/// Takes all records; `commit` is what becomes of each transaction, and of the engine, at the record that it came with.
fn run_with(mut commit: impl FnMut(u64, Changes, &mut Durable, &mut Engine)) -> Durable {
    let mut durable = Durable::default();
    let mut engine = durable.restore();
    while engine.next().0 < RECORDS {
        let seq = engine.next().0;
        feed(&mut engine, seq, &durable.store);
        let is_due = (seq + 1) % 16 == 0 || seq + 1 == RECORDS;
        if let Some(changes) = is_due.then(|| engine.changes()).flatten() {
            commit(seq, changes, &mut durable, &mut engine);
        }
    }
    durable
}

/// Runs all records with that fate at each transaction.
fn run(fate: Fate) -> (Durable, Counts) {
    let mut counts = Counts::default();
    let mut died_at = None;
    let durable = run_with(|seq, changes, durable, engine| {
        if fate == Fate::DiesBefore && died_at != Some(seq) {
            died_at = Some(seq);
            durable.store.keep(changes.past);
            *engine = durable.restore();
            return;
        }
        counts.add(engine.take_counts().0);
        durable.commit(changes);
        if fate == Fate::DiesAfter {
            *engine = durable.restore();
        }
    });
    (durable, counts)
}

#[test]
fn a_death_before_or_after_every_transaction_gives_the_same_bytes_as_none() {
    let (straight, counted) = run(Fate::LivesOn);
    assert!(straight.derived.len() > 400);
    assert!(straight.store.past.len() > 10, "{} sealed chunks", straight.store.past.len());
    assert!(counted.late > 0 && counted.duplicate > 0);
    for fate in [Fate::DiesBefore, Fate::DiesAfter] {
        let (killed, recounted) = run(fate);
        let first_other = straight.derived.iter().zip(&killed.derived).find(|(a, b)| a != b);
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(first_other.map(|(a, b)| (text(a), text(b))), None, "{fate:?}");
        assert_eq!(straight.derived.len(), killed.derived.len());
        assert_eq!(straight.store, killed.store, "{fate:?}");
        assert_eq!(straight.cursor.next, killed.cursor.next);
        assert_eq!(counted, recounted, "nothing is counted twice");
    }
}

#[test]
fn rows_that_a_caller_cannot_seal_stay_in_named_state_with_the_same_results() {
    let (straight, _) = run(Fate::LivesOn);
    let durable = run_with(|seq, mut changes, durable, engine| {
        changes.unseal();
        durable.commit(changes);
        if seq % 64 == 31 {
            *engine = durable.restore();
        }
    });
    assert_eq!(straight.derived, durable.derived);
    assert!(durable.store.past.is_empty());
}

#[test]
fn a_lost_past_changes_no_window_and_crashes_nothing() {
    let (straight, _) = run(Fate::LivesOn);
    let durable = run_with(|_, changes, durable, _| {
        durable.commit(changes);
        durable.store.past.clear();
    });
    let windows = |durable: &Durable| {
        let records = durable.derived.iter().map(|b| Derived::from_json(b).unwrap());
        records.filter_map(|d| if let Derived::Window(w) = d { Some((w.id, w.count, w.stats)) } else { None }).collect()
    };
    let (expected, actual): (Vec<_>, Vec<_>) = (windows(&straight), windows(&durable));
    assert_eq!(expected, actual);
}

#[test]
fn work_that_was_not_committed_is_done_again_with_the_same_result() {
    let (straight, _) = run(Fate::LivesOn);
    let mut durable = Durable::default();
    // Killed 200 records after each restart: mostly between two transactions.
    loop {
        let mut engine = durable.restore();
        let from = engine.processed().0;
        let until = RECORDS.min(from + 200);
        while engine.next().0 < until {
            let seq = engine.next().0;
            feed(&mut engine, seq, &durable.store);
            let is_due = (seq + 1) % 16 == 0 || seq + 1 == RECORDS;
            if let Some(changes) = is_due.then(|| engine.changes()).flatten() {
                durable.commit(changes);
            }
        }
        if until == RECORDS {
            break;
        }
        assert!(durable.restore().processed().0 > from, "there is a transaction in 200 records");
    }
    assert_eq!(straight.derived, durable.derived);
}

#[test]
fn the_story_has_learning_normal_and_anomalous_windows_with_their_explanations() {
    let (durable, _) = run(Fate::LivesOn);
    let derived: Vec<Derived> = durable.derived.iter().map(|b| Derived::from_json(b).unwrap()).collect();
    let windows: Vec<&Window> =
        derived.iter().filter_map(|d| if let Derived::Window(w) = d { Some(w) } else { None }).collect();
    let anomalies: Vec<&Anomaly> =
        derived.iter().filter_map(|d| if let Derived::Anomaly(a) = d { Some(a) } else { None }).collect();
    for status in [Status::Learning, Status::Normal, Status::Anomalous] {
        assert!(windows.iter().any(|w| w.status == status), "{status:?}");
    }
    let of_a_window = |a: &&&Anomaly| a.state == AnomalyState::Confirmed && !a.channel.is_empty();
    for window in windows.iter().filter(|w| w.status == Status::Anomalous) {
        assert!(anomalies.iter().filter(of_a_window).any(|a| a.id == window.id), "{window:?}");
    }
    assert!(anomalies.iter().filter(of_a_window).all(|a| windows.iter().any(|w| w.id == a.id)));
    let incidents: BTreeSet<&String> =
        derived.iter().filter_map(|d| if let Derived::Incident(i) = d { Some(&i.id) } else { None }).collect();
    assert!(anomalies.iter().all(|a| incidents.contains(&a.incident)), "each anomaly is of an incident that was told");
    let mut ids: Vec<&String> = windows.iter().map(|w| &w.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), windows.len(), "each window once");
    assert!(windows.iter().any(|w| w.channel == "heat" && w.count == 0), "the dropout has empty windows");
    assert!(anomalies.iter().any(|a| a.channel == "heat" && a.kind == "dropout"));
}

#[test]
fn the_cursors_books_balance_at_every_transaction() {
    let mut durable = Durable::default();
    let mut engine = durable.restore();
    while engine.next().0 < 3_000 {
        let seq = engine.next().0;
        feed(&mut engine, seq, &durable.store);
        if let Some(changes) = engine.changes() {
            let c = changes.cursor;
            assert_eq!(c.next.0, c.delivered + c.quarantined + c.duplicate);
            assert!(c.next.0 <= seq + 1);
            durable.commit(changes);
            engine = durable.restore();
        }
    }
    let Cursor { next, quarantined, duplicate, .. } = durable.cursor;
    assert!(next.0 > 2_500 && quarantined > 20 && duplicate > 50, "{:?}", durable.cursor);
}

#[test]
fn records_lost_from_the_store_are_passed_and_left_to_its_books() {
    let mut engine = Durable::default().restore();
    engine.on_undecodable(QueueSeq(0));
    engine.on_undecodable(QueueSeq(10));
    let cursor = engine.changes().unwrap().cursor;
    assert_eq!((cursor.next, cursor.quarantined), (QueueSeq(11), 2));
}

#[test]
fn damage_to_any_value_of_the_state_or_the_past_relearns_and_does_not_crash() {
    let (whole, _) = run(Fate::LivesOn);
    let goes_on = |damaged: &Durable, what: &dyn std::fmt::Debug| {
        let mut engine = damaged.restore();
        for seq in engine.next().0..RECORDS + 200 {
            feed(&mut engine, seq, &damaged.store);
        }
        assert!(engine.changes().is_some(), "{what:?}");
    };
    let damage = |value: &mut Vec<u8>| {
        let middle = value.len() / 2;
        value[middle] ^= 0x10;
    };
    for key in whole.store.state.keys() {
        let mut damaged = whole.clone();
        damage(damaged.store.state.get_mut(key).unwrap());
        goes_on(&damaged, key);
    }
    let mut damaged = whole.clone();
    damaged.store.past.values_mut().for_each(damage);
    goes_on(&damaged, &"past");
}

#[test]
fn another_length_of_windows_forgets_everything() {
    let (mut durable, _) = run(Fate::LivesOn);
    let changed = Config { window: Duration::from_secs(3_600), ..config() };
    let mut engine = Engine::restore(&changed, &durable.store, durable.cursor);
    assert_eq!(engine.channels(), 0);
    durable.commit(engine.changes().unwrap());
    assert_eq!(durable.store.state.keys().collect::<Vec<_>>(), [ROOT_KEY]);
    assert!(durable.store.past.is_empty());
}

#[test]
fn values_of_the_state_stay_small_enough_to_lie_inline() {
    let (durable, _) = run(Fate::LivesOn);
    let largest = durable.store.state.iter().max_by_key(|(_, v)| v.len()).unwrap();
    assert!(largest.1.len() < 16 * 1024, "{}: {} bytes", largest.0, largest.1.len());
}

#[test]
fn incidents_are_known_after_a_restart_as_they_were_told_last() {
    let mut durable = Durable::default();
    let mut engine = durable.restore();
    let mut told = BTreeMap::new();
    let mut open = 0;
    while engine.next().0 < RECORDS {
        let seq = engine.next().0;
        feed(&mut engine, seq, &durable.store);
        let is_due = (seq + 1) % 16 == 0 || seq + 1 == RECORDS;
        let Some(changes) = is_due.then(|| engine.changes()).flatten() else { continue };
        for record in &changes.derived {
            if let Derived::Incident(incident) = record {
                told.insert(incident.id.clone(), incident.clone());
            }
        }
        durable.commit(changes);
        for known in durable.restore().incidents() {
            let last = &told[&known.id];
            assert_eq!((known.revision, known.state, known.severity), (last.revision, last.state, last.severity));
            assert_eq!((&known.title, known.start_at_ms), (&last.title, last.start_at_ms));
            open += usize::from(known.state == IncidentState::Open);
        }
        let known: BTreeSet<String> = durable.restore().incidents().map(|incident| incident.id).collect();
        let is_open = |incident: &&Incident| incident.state == IncidentState::Open;
        assert!(told.values().filter(is_open).all(|incident| known.contains(&incident.id)));
    }
    assert!(open > 0 && told.len() > 1, "{open} looks at open ones of {} incidents", told.len());
}

/// Channels of one device that move together, six messages a window; from `new_from` on there is one more.
fn related(windows: i64, new_from: i64) -> Durable {
    let mut durable = Durable::default();
    let mut engine = durable.restore();
    for seq in 0..windows * 6 {
        let at = EventTime::from_millis(START_MS + seq * 300_000);
        let mut m = Measurement::default();
        m.set_device("pump");
        let common = (seq * 7_919 % 1_009) as f64;
        let names = ["flow", "heat", "speed"].into_iter().chain((seq / 6 >= new_from).then_some("amps"));
        for (i, name) in (0..).zip(names) {
            let channel = m.push_channel(name);
            let own = ((seq + i) * 104_729 % 1_013) as f64;
            m.readings.push(Reading { channel, at, value: common + 0.1 * own });
        }
        engine.on_measurement(QueueSeq(seq as u64), &m, Received::known(at), &durable.store);
        if let Some(changes) = engine.changes() {
            durable.commit(changes);
        }
    }
    durable
}

#[test]
fn the_relation_of_channels_is_learned_again_when_there_is_one_of_a_new_name() {
    let relation = |windows, new_from| {
        let durable = related(windows, new_from);
        ["detect/0/relation", "detect/0/relation/names"].map(|key| durable.store.state.get(key).cloned())
    };
    // Four days are learned from; by the next half day nothing is due of itself.
    let [model, names] = relation(200, i64::MAX);
    assert!(model.is_some() && names.is_some());
    assert_eq!(relation(220, i64::MAX), [model.clone(), names.clone()]);
    let [other_model, other_names] = relation(220, 205);
    assert!(other_model != model && other_names != names);
    assert_eq!(relation(230, 205), [other_model, other_names], "once, not with each window");
}
