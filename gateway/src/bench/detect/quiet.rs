//! Plain signals stay quiet for four weeks after the week in which they were learned, judged as they are live.

use std::f64::consts::TAU;

use firmware_protocol::derived::Derived;
use firmware_protocol::ids::{BootId, DeviceSeq};
use firmware_protocol::measurement::{EventTime, FrameIdentity, Measurement, Reading, Received};

use crate::detect::synthetic::Chance;
use crate::detect::{Changes, Config, Engine, InMemory};
use crate::queue::{Cursor, QueueSeq};

/// Monday, 2023-11-13 00:00 UTC.
const START_MS: i64 = 1_699_833_600_000;
/// One reading in ten seconds, sixty to a message and to a window.
const STEP_S: u64 = 10;
const MESSAGE_STEPS: u64 = 60;
const STEPS_PER_DAY: u64 = 86_400 / STEP_S;
const DAYS: u64 = 35;

/// Windows judged and incidents told of, of a device that sends what `signal` makes of the seconds since its start.
fn weeks_of(mut signal: impl FnMut(f64, &mut Chance) -> f64) -> (usize, Vec<String>) {
    let mut store = InMemory::default();
    let mut engine = Engine::restore(&Config::default(), &store, Cursor::default());
    let mut chance = Chance::new(7);
    let (mut judged, mut incidents) = (0, Vec::new());
    for message in 0..DAYS * STEPS_PER_DAY / MESSAGE_STEPS {
        let mut measurement = Measurement::default();
        measurement.set_device("device");
        measurement.identity = Some(FrameIdentity { boot: BootId(1), seq: DeviceSeq(message as u32) });
        let channel = measurement.push_channel("value");
        let steps = message * MESSAGE_STEPS..(message + 1) * MESSAGE_STEPS;
        for at_s in steps.map(|step| step * STEP_S) {
            let value = signal(at_s as f64, &mut chance);
            measurement.readings.push(Reading {
                channel,
                at: EventTime::from_millis(START_MS + at_s as i64 * 1_000),
                value,
            });
        }
        let sent_s = ((message + 1) * MESSAGE_STEPS * STEP_S) as i64;
        let received_at = Received::known(EventTime::from_millis(START_MS + sent_s * 1_000));
        engine.on_measurement(QueueSeq(message), &measurement, received_at, &store);
        let Some(Changes { derived, state, past, .. }) = engine.changes() else { continue };
        store.commit(state, past);
        for record in derived {
            match record {
                Derived::Window(window) => judged += usize::from(window.score.is_some()),
                Derived::Incident(incident) => incidents.push(incident.title),
                Derived::Anomaly(_) | Derived::Gap(_) => {}
            }
        }
    }
    (judged, incidents)
}

fn assert_quiet(signal: impl FnMut(f64, &mut Chance) -> f64) {
    let (judged, incidents) = weeks_of(signal);
    assert_eq!(incidents, Vec::<String>::new());
    // A counter is known as one after an hour, and its week begins then; the last window is still open.
    assert!(judged >= 4 * 7 * 144 - 7, "{judged} windows were judged");
}

/// Hours since midnight.
fn hour(at_s: f64) -> f64 {
    at_s / 3_600.0 % 24.0
}

#[test]
fn a_constant_is_quiet_for_four_weeks() {
    assert_quiet(|_, _| 21.5);
}

#[test]
fn a_daily_cycle_is_quiet_for_four_weeks() {
    assert_quiet(|at_s, chance| 20.0 + 3.0 * libm::sin(TAU * hour(at_s) / 24.0) + 0.1 * chance.normal());
}

#[test]
fn a_weekly_cycle_is_quiet_for_four_weeks() {
    assert_quiet(|at_s, chance| {
        let is_workday = at_s / 86_400.0 % 7.0 < 5.0;
        let off = (hour(at_s) - 13.0) / 3.0;
        1.0 + if is_workday { 5.0 * libm::exp(-off * off) } else { 0.0 } + 0.1 * chance.normal()
    });
}

#[test]
fn a_duty_cycle_is_quiet_for_four_weeks() {
    // Half an hour, on for 40 % of it: no whole number of windows.
    assert_quiet(|at_s, chance| if at_s / 1_900.0 % 1.0 < 0.4 { 5.0 } else { 0.2 } + 0.05 * chance.normal());
}

#[test]
fn a_load_that_steps_every_few_hours_is_quiet_for_four_weeks() {
    let mut load = 1.0;
    assert_quiet(|_, chance| {
        if chance.unit() < STEP_S as f64 / (3.0 * 3_600.0) {
            load = [1.0, 2.0, 3.5][chance.below(3)];
        }
        load + 0.05 * chance.normal()
    });
}

#[test]
fn an_integer_counter_is_quiet_for_four_weeks() {
    let mut pulses = 0.0;
    assert_quiet(|at_s, chance| {
        pulses += chance.poisson(STEP_S as f64 * (1.0 + 0.5 * libm::sin(TAU * hour(at_s) / 24.0)));
        pulses
    });
}
