use firmware_protocol::measurement::{Measurement, Reading, Received};

use super::super::{Config, Engine, InMemory as Store, PastChanges};
use super::*;
use crate::queue::{Cursor, QueueSeq};

/// What a gateway has stored after `hours` of two devices with a reading a minute.
fn store(devices: &[&str], hours: i64) -> Store {
    let config = Config { learn: std::time::Duration::from_secs(86_400), ..Config::default() };
    let mut store = Store::default();
    let mut engine = Engine::restore(&config, &store, Cursor::default());
    let mut measurement = Measurement::default();
    for minute in 0..hours * 60 {
        for device in devices {
            measurement.clear();
            measurement.set_device(device);
            let at = EventTime::from_millis(minute * 60_000);
            for (name, factor) in [("level", 7_919), ("flow", 104_729)] {
                let channel = measurement.push_channel(name);
                let value = (minute * factor % 101) as f64;
                measurement.readings.push(Reading { channel, at, value });
            }
            let seq = QueueSeq(engine.next().0);
            engine.on_measurement(seq, &measurement, Received::known(at), &store);
        }
        if let Some(changes) = engine.changes() {
            store.commit(changes.state, changes.past);
        }
    }
    store
}

fn apply(store: &mut Store, changes: StoredChanges) {
    store.commit(changes.state, PastChanges { dropped: changes.dropped, ..PastChanges::default() });
}

fn names(store: &Store) -> Vec<String> {
    store.state.keys().cloned().collect()
}

fn view(store: &Store, device: &str, channel: &str) -> ModelView {
    let names = names(store);
    Stored::new(store, &names).unwrap().view(device, channel, 1.0).unwrap()
}

#[test]
fn a_store_tells_what_was_learned_of_each_channel() {
    let store = store(&["pump", "fan"], 48);
    let names = names(&store);
    let stored = Stored::new(&store, &names).unwrap();
    let all = [("pump", "level"), ("pump", "flow"), ("fan", "level"), ("fan", "flow")];
    assert_eq!(stored.channels(), all.map(|(d, c)| (d.to_owned(), c.to_owned())));
    let view = stored.view("fan", "flow", 1.0).unwrap();
    assert!(view.model.is_some() && view.windows_to_learn == 0 && view.windows > 200, "{view:?}");
    assert_eq!(view.from_ms, Some(0));
    assert!(view.model_bytes > 100 && view.bytes > view.model_bytes);
    assert_eq!(stored.view("fan", "x", 1.0), Err(StoredFault::Unknown("fan x".to_owned())));
}

#[test]
fn a_channel_that_is_taken_to_another_store_is_known_there() {
    let from = store(&["pump"], 48);
    let from_names = names(&from);
    let stored = Stored::new(&from, &from_names).unwrap();
    let channel = stored.channel("pump", "level").unwrap();
    let learned = view(&from, "pump", "level");
    for mut to in [Store::default(), store(&["fan", "pump"], 3)] {
        let changes = import(stored.head(), &channel, &to, &names(&to)).unwrap();
        apply(&mut to, changes);
        // The relation is another matter, and the threshold follows the channels that share it.
        let taken = view(&to, "pump", "level");
        assert_eq!(ModelView { relation: learned.relation.clone(), threshold: learned.threshold, ..taken }, learned);
        let config = Config::default();
        let mut engine = Engine::restore(&config, &to, Cursor::default());
        assert!(engine.channels() >= 1);
        assert!(engine.changes().is_none_or(|changes| changes.state.iter().all(|(_, value)| value.is_some())));
    }
}

#[test]
fn what_cannot_be_used_is_refused() {
    let store = store(&["pump"], 30);
    let all = names(&store);
    let stored = Stored::new(&store, &all).unwrap();
    let (head, channel) = (stored.head(), stored.channel("pump", "level").unwrap());
    let refused = |head: StoredHead, channel: &StoredChannel| import(head, channel, &store, &all).unwrap_err();
    assert_eq!(refused(StoredHead { state_version: 1, ..head }, &channel), StoredFault::Version { found: 1 });
    let other = StoredHead { window_ns: head.window_ns / 2, ..head };
    assert!(matches!(refused(other, &channel), StoredFault::Windows { .. }));
    let mut damaged = channel.clone();
    damaged.states.get_mut("judge").unwrap()[3] ^= 1;
    assert!(matches!(refused(head, &damaged), StoredFault::Damaged { .. }));
    let mut foreign = channel.clone();
    foreign.states.insert("../0/name".to_owned(), encode(&1_u8));
    assert!(matches!(refused(head, &foreign), StoredFault::Damaged { .. }));
    let long = StoredChannel { device: "x".repeat(NAME_BYTES_MAX + 1), ..channel };
    assert!(matches!(refused(head, &long), StoredFault::LongName { .. }));
    assert_eq!(Stored::new(&Store::default(), &[]).err(), Some(StoredFault::Empty));
}

#[test]
fn a_channel_that_is_reset_learns_anew_and_the_others_go_on() {
    let mut store = store(&["pump", "fan"], 48);
    let all = names(&store);
    let changes = Stored::new(&store, &all).unwrap().reset("pump", Some("level")).unwrap();
    apply(&mut store, changes);
    let reset = view(&store, "pump", "level");
    assert_eq!((reset.model, reset.windows, reset.bytes), (None, 0, 0));
    assert!(store.past.keys().all(|name| (name.device, name.channel) != (0, 0)), "nothing is left in the past");
    assert!(view(&store, "pump", "flow").model.is_some());
    let all = names(&store);
    let stored = Stored::new(&store, &all).unwrap();
    assert!(stored.reset("pump", Some("x")).is_err() && stored.reset("x", None).is_err());
    assert!(store.past.keys().any(|name| (name.device, name.channel) == (0, 1)));
    let changes = stored.reset("fan", None).unwrap();
    apply(&mut store, changes);
    assert_eq!(view(&store, "fan", "flow").model, None);
}

#[test]
fn a_relation_that_is_taken_to_another_store_goes_on_there_under_the_places_of_that_store() {
    let from = store(&["pump"], 48);
    let from_names = names(&from);
    let stored = Stored::new(&from, &from_names).unwrap();
    let (head, relation) = (stored.head(), stored.relation("pump").unwrap().expect("learned within two days"));
    assert_eq!(relation.channels, ["flow", "level"]);
    let mut to = Store::default();
    assert!(matches!(import_relation(head, &relation, &to), Err(StoredFault::Unknown(_))));
    for channel in ["flow", "level"] {
        let channel = stored.channel("pump", channel).unwrap();
        let changes = import(head, &channel, &to, &names(&to)).unwrap();
        apply(&mut to, changes);
    }
    let changes = import_relation(head, &relation, &to).unwrap();
    apply(&mut to, changes);
    assert_eq!(view(&to, "pump", "level"), view(&from, "pump", "level"));
    let to_names = names(&to);
    let again = Stored::new(&to, &to_names).unwrap().relation("pump").unwrap().unwrap();
    assert_eq!((again.channels, again.model), (relation.channels.clone(), relation.model.clone()));
    let mut damaged = relation;
    damaged.model[5] ^= 1;
    assert!(matches!(check_relation(head, &damaged), Err(StoredFault::Damaged { .. })));
}

#[test]
fn a_channel_is_undecided_first_and_tells_its_nature_and_rate_later() {
    let early = view(&store(&["pump"], 1), "pump", "level");
    assert_eq!((early.nature, early.rate), (Kind::Undecided, Rate::Sparse));
    let later = store(&["pump"], 3);
    let later = view(&later, "pump", "level");
    assert_eq!((later.nature, later.rate), (Kind::Level, Rate::Sparse));
    assert!((4.0..5.0).contains(&later.threshold), "{later:?}");
}
