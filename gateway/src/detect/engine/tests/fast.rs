//! Channels of more readings than are kept.

use std::f64::consts::TAU;

use firmware_protocol::measurement::ChannelLimits;

use super::*;

/// A machine that is listened to for the first minute of ten, 100 readings a second.
const RATE: u64 = 100;
const SECONDS: u64 = 60;
const WINDOW_S: u64 = 600;
const LEARNED: u64 = 288;
const QUIET: u64 = 144;

fn listening() -> Config {
    Config { samples_max: 4_096, learn: Duration::from_secs(LEARNED * WINDOW_S), ..Config::default() }
}

/// What is wrong with the machine, from a window on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    /// Three times as strong.
    Stronger,
    /// A knock now and then.
    Knocks,
    /// The same strength at another pitch.
    OtherTone,
}

fn noise(i: u64) -> f64 {
    let mut x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x ^ (x >> 29)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

fn vibration(i: u64, wrong: Wrong) -> f64 {
    let tone = |period: f64| libm::sin(i as f64 * TAU / period);
    // The load wanders a little from window to window.
    let load = 1.0 + 0.2 * noise(i / (RATE * SECONDS) + 7);
    let (strength, period) = match wrong {
        Wrong::Nothing | Wrong::Knocks => (1.0, 12.5),
        Wrong::Stronger => (3.0, 12.5),
        Wrong::OtherTone => (1.0, 4.0),
    };
    // There and back: a second's mean tells nothing of it, nor of tones that fit into it.
    let knock = match i % (7 * RATE) {
        350 if wrong == Wrong::Knocks => 12.0,
        351 if wrong == Wrong::Knocks => -12.0,
        _other => 0.0,
    };
    5.0 + load * (strength * tone(period) + 0.6 * noise(i)) + knock
}

/// One second of the machine.
fn heard(seq: u64, wrong: Wrong) -> (Measurement, EventTime) {
    let start_ms = START_MS + ((seq / SECONDS) * WINDOW_S + seq % SECONDS) as i64 * 1_000;
    let mut m = Measurement::default();
    m.set_device("mill");
    m.identity = Some(FrameIdentity { boot: BootId(1), seq: DeviceSeq(seq as u32) });
    let channel = m.push_channel("bearing");
    m.readings.extend((0..RATE).map(|i| Reading {
        channel,
        at: EventTime::from_millis(start_ms + (i * 1_000 / RATE) as i64),
        value: vibration(seq * RATE + i, wrong),
    }));
    (m, EventTime::from_millis(start_ms + 1_000))
}

/// Goes on to window `until`; the machine is as `wrong` says from window `from` on.
fn listen(durable: &mut Durable, until: u64, from: u64, wrong: Wrong) {
    let mut engine = durable.restore();
    while engine.next().0 < until * SECONDS {
        let seq = engine.next().0;
        let (m, received_at) = heard(seq, if seq >= from * SECONDS { wrong } else { Wrong::Nothing });
        engine.on_measurement(QueueSeq(seq), &m, Received::known(received_at), &durable.store);
        if engine.derived_waiting() >= DERIVED_MAX || engine.next().0 == until * SECONDS {
            durable.commit(engine.changes().unwrap());
        }
    }
}

fn anomalies(durable: &Durable) -> Vec<Anomaly> {
    let derived = durable.derived.iter().map(|b| Derived::from_json(b).unwrap());
    derived.filter_map(|d| if let Derived::Anomaly(a) = d { Some(a) } else { None }).collect()
}

#[test]
fn faults_within_seconds_are_found_in_their_first_window_and_named() {
    let mut durable = Durable::new(listening());
    let quiet = LEARNED + QUIET;
    listen(&mut durable, quiet, u64::MAX / SECONDS, Wrong::Nothing);
    assert_eq!(anomalies(&durable), [], "a quiet day");
    for (wrong, features) in [
        (Wrong::Stronger, &["rms", "burst", "band_4", "band_16", "band_64", "peak_to_peak"][..]),
        (Wrong::Knocks, &["crest", "peak_to_peak", "burst"][..]),
        (Wrong::OtherTone, &["band_4", "band_16", "band_64", "band_256"][..]),
    ] {
        let mut faulty = durable.clone();
        faulty.derived.clear();
        listen(&mut faulty, quiet + 2, quiet, wrong);
        let found = anomalies(&faulty);
        let first = found.iter().find(|a| a.state == AnomalyState::Confirmed).unwrap_or_else(|| panic!("{wrong:?}"));
        assert_eq!((first.start_at_ms - START_MS) / (WINDOW_S as i64 * 1_000), quiet as i64, "{wrong:?}");
        assert_eq!((first.channel.as_str(), first.kind.as_str()), ("bearing", "vibration"), "{first:?}");
        assert!(features.contains(&first.feature.as_str()), "{wrong:?}: {}", first.feature);
    }
}

#[test]
fn a_gross_vibration_is_told_while_its_window_is_open() {
    let mut durable = Durable::new(Config { out_of_order: Duration::from_secs(5), ..listening() });
    listen(&mut durable, LEARNED + 1, u64::MAX / SECONDS, Wrong::Nothing);
    let mut engine = durable.restore();
    while engine.next().0 < (LEARNED + 2) * SECONDS {
        let seq = engine.next().0;
        let (mut m, received_at) = heard(seq, Wrong::Nothing);
        if seq >= (LEARNED + 1) * SECONDS {
            m.readings.iter_mut().for_each(|r| r.value = 5.0 + 20.0 * (r.value - 5.0));
        }
        engine.on_measurement(QueueSeq(seq), &m, Received::known(received_at), &durable.store);
    }
    durable.commit(engine.changes().unwrap());
    let found = anomalies(&durable);
    let told: Vec<_> = found.iter().map(|a| (a.state, a.kind.as_str(), a.feature.as_str())).collect();
    assert_eq!(told, [(AnomalyState::Early, "vibration", "burst")]);
}

/// A second of a channel that reads once a second for a day, and ten times from then on.
fn hastening(seq: u64, limits: Option<ChannelLimits>) -> (Measurement, EventTime) {
    let rate = if seq < LEARNED * WINDOW_S { 1 } else { 10 };
    let start_ms = START_MS + seq as i64 * 1_000;
    let mut m = Measurement::default();
    m.set_device("mill");
    let channel = m.push_channel("bearing");
    m.limits.extend(limits.map(|limits| (channel, limits)));
    m.readings.extend((0..rate).map(|i| Reading {
        channel,
        at: EventTime::from_millis(start_ms + (i * 1_000 / rate) as i64),
        value: vibration(seq * rate + i, Wrong::Nothing),
    }));
    (m, EventTime::from_millis(start_ms + 1_000))
}

#[test]
fn a_channel_whose_readings_become_too_many_is_learned_anew_and_alarms_nobody() {
    let mut durable = Durable::new(listening());
    let mut engine = durable.restore();
    for seq in 0..(LEARNED + 12) * WINDOW_S {
        let (m, received_at) = hastening(seq, None);
        engine.on_measurement(QueueSeq(seq), &m, Received::known(received_at), &durable.store);
        if seq % WINDOW_S == 300
            && let Some(changes) = engine.changes()
        {
            durable.commit(changes);
        }
    }
    assert_eq!(anomalies(&durable), []);
    let derived = durable.derived.iter().map(|b| Derived::from_json(b).unwrap());
    let windows: Vec<Window> =
        derived.filter_map(|d| if let Derived::Window(w) = d { Some(w) } else { None }).collect();
    assert!(windows[LEARNED as usize..].iter().all(|w| w.count == 6_000 && w.status == Status::Learning));
    let learning = windows.iter().filter(|w| w.status == Status::Learning).count();
    assert_eq!(learning, windows.len(), "the last of the first learning time is the last before the change");
}

#[test]
fn a_reading_out_of_the_sensors_range_is_told_with_its_second() {
    let mut durable = Durable::new(Config { samples_max: 256, ..listening() });
    let mut engine = durable.restore();
    let limits = ChannelLimits { range: Some((-10.0, 20.0)), interval_micros: 0 };
    for seq in 0..700 {
        let (mut m, received_at) = hastening(LEARNED * WINDOW_S + seq, Some(limits));
        if seq == 345 {
            m.readings[4].value = 33.0;
        }
        engine.on_measurement(QueueSeq(seq), &m, Received::known(received_at), &durable.store);
    }
    durable.commit(engine.changes().unwrap());
    let found = anomalies(&durable);
    let told: Vec<(&str, f64, Option<i64>, Option<i64>)> =
        found.iter().map(|a| (a.kind.as_str(), a.value, a.peak_from_ms, a.peak_to_ms)).collect();
    let at_ms = START_MS + ((LEARNED * WINDOW_S + 345) * 1_000) as i64;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0, told[0].2, told[0].3), ("out_of_range", Some(at_ms), Some(at_ms + 1_000)));
    assert!((told[0].1 - 33.0).abs() < 1e-6, "{told:?}");
}

/// Windows of a minute, 100 readings a second: with disorder, late ones, and a second from ahead.
fn disordered(seq: u64) -> (Measurement, EventTime) {
    let second = match seq {
        97 => 20,
        160 => 190,
        200.. => seq - seq % 5 + (4 - seq % 5),
        _ => seq,
    };
    let (mut m, _) = heard(seq, Wrong::Nothing);
    for (i, reading) in m.readings.iter_mut().enumerate() {
        reading.at = EventTime::from_millis(START_MS + second as i64 * 1_000 + i as i64 * 10);
    }
    (m, EventTime::from_millis(START_MS + seq as i64 * 1_000 + 1_000))
}

#[test]
fn a_restart_in_the_middle_of_a_fast_channels_windows_changes_no_byte() {
    let config = Config {
        window: Duration::from_secs(60),
        out_of_order: Duration::from_secs(5),
        samples_max: 500,
        ..listening()
    };
    let run = |restarts: bool| {
        let mut durable = Durable::new(config.clone());
        let mut engine = durable.restore();
        while engine.next().0 < 400 {
            let seq = engine.next().0;
            let (m, received_at) = disordered(seq);
            engine.on_measurement(QueueSeq(seq), &m, Received::known(received_at), &durable.store);
            if seq % 7 != 3 {
                continue;
            }
            if let Some(changes) = engine.changes() {
                durable.commit(changes);
                if restarts {
                    engine = durable.restore();
                }
            }
        }
        durable
    };
    let (straight, restarted) = (run(false), run(true));
    assert!(straight.derived.len() >= 6);
    assert_eq!(straight.derived, restarted.derived);
    assert_eq!(straight.store, restarted.store);
}
