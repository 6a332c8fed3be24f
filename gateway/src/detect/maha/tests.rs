use std::time::Duration;

use proptest::prelude::*;

use super::super::calendar::{Calendar, WindowIndex};
use super::super::order;
use super::machine::{DAY, Fault, Load, Machine};
use super::*;

const LEARNED: std::ops::Range<usize> = 0..7 * DAY;

fn calendar() -> Calendar {
    Calendar::new(Duration::from_secs(600))
}

fn model_of(machine: &Machine) -> DeviceModel {
    DeviceModel::fit(&machine.rows(LEARNED), &calendar()).unwrap()
}

/// Each window's score and whether the device is alarmed.
fn judged(model: &DeviceModel, rows: &[DeviceRow]) -> Vec<(DeviceScore, bool)> {
    let mut memory = DeviceMemory::default();
    let judge = |row| {
        let score = model.score(row, &memory, (1.0, &calendar())).unwrap();
        let is_alarmed = memory.follow(model, &score);
        (score, is_alarmed)
    };
    rows.iter().map(judge).collect()
}

#[test]
fn the_channel_that_breaks_the_relation_is_named_first() {
    let mut named = 0;
    for seed in 0..20 {
        let (channels, broken) = (3 + seed as usize % 6, seed as usize % 3);
        let load = Load::ALL[seed as usize % 4];
        for fault in [Fault::Level(2.0), Fault::Gain(2.5), Fault::Lag(24)] {
            let when = 8 * DAY..10 * DAY;
            let machine = Machine::run(seed, (load, channels, when.end), Some((broken, fault, when.clone())));
            let alarms = judged(&model_of(&machine), &machine.rows(when));
            let first = alarms.iter().find(|(_, is_alarmed)| *is_alarmed);
            named += usize::from(first.is_some_and(|(score, _)| score.contributions[0].channel == broken));
        }
    }
    assert!(named >= 57, "{named} of 60");
}

#[test]
fn machines_that_keep_their_relation_stay_quiet_for_four_weeks() {
    let mut alarmed = 0;
    for seed in 0..12 {
        let (load, channels) = (Load::ALL[seed as usize % 4], 2 + seed as usize % 7);
        let machine = Machine::run(100 + seed, (load, channels, 35 * DAY), None);
        let judged = judged(&model_of(&machine), &machine.rows(LEARNED.end..35 * DAY));
        alarmed += judged.iter().filter(|(_, is_alarmed)| *is_alarmed).count();
    }
    assert!(alarmed <= 1, "{alarmed} windows");
}

#[test]
fn a_fault_on_one_day_of_the_learning_time_does_not_blind() {
    let run = |fault| Machine::run(3, (Load::Daily, 4, 9 * DAY), fault);
    let clean = run(None);
    let faulty = run(Some((1, Fault::Level(4.0), 2 * DAY + 20..3 * DAY - 20)));
    let broken = run(Some((1, Fault::Level(1.5), 7 * DAY..9 * DAY)));
    let rows = broken.rows(7 * DAY..9 * DAY);
    let alarms = |machine: &Machine| judged(&model_of(machine), &rows).iter().filter(|(_, alarm)| *alarm).count();
    assert!(alarms(&clean) > 250);
    assert!(alarms(&faulty) > 250, "{} windows", alarms(&faulty));
}

#[test]
fn a_load_higher_than_ever_that_all_channels_follow_is_no_broken_relation() {
    let mut machine = Machine::run(5, (Load::Wander, 5, 8 * DAY), None);
    let (low, high) = (60, 7 * DAY + 10);
    // Twice as far from an ordinary window as the load of that window takes them.
    for levels in &mut machine.levels {
        let mean = levels[..7 * DAY].iter().sum::<f64>() / (7 * DAY) as f64;
        levels[high] = mean + 2.0 * (levels[low] - mean);
    }
    let score = model_of(&machine).score(&machine.row(high), &DeviceMemory::default(), (1.0, &calendar())).unwrap();
    assert!(score.decades < 0.0, "{score:?}");
}

#[test]
fn a_channel_that_never_moved_while_learning_is_not_judged() {
    let mut machine = Machine::run(6, (Load::Daily, 3, 8 * DAY), None);
    machine.levels.push(vec![21.5; 8 * DAY]);
    let model = model_of(&machine);
    machine.levels[3].iter_mut().skip(LEARNED.end).for_each(|level| *level += 1e6);
    let judged = judged(&model, &machine.rows(LEARNED.end..8 * DAY));
    assert!(judged.iter().all(|(score, is_alarmed)| !is_alarmed && score.contributions.len() == 3));
}

#[test]
fn a_device_of_constants_has_no_relation_to_learn() {
    let machine = Machine { levels: vec![vec![1.0; 7 * DAY], vec![-4.0; 7 * DAY]] };
    assert_eq!(DeviceModel::fit(&machine.rows(LEARNED), &calendar()), None);
}

#[test]
fn too_few_windows_or_channels_teach_nothing() {
    let machine = Machine::run(7, (Load::Daily, 3, 7 * DAY), None);
    assert!(DeviceModel::fit(&machine.rows(0..11), &calendar()).is_none());
    assert!(DeviceModel::fit(&machine.rows(0..12), &calendar()).is_some());
    let single = Machine { levels: machine.levels[..1].to_vec() };
    assert!(DeviceModel::fit(&single.rows(LEARNED), &calendar()).is_none());
}

#[test]
fn the_others_are_judged_without_a_missing_channel() {
    let broken = Some((1, Fault::Level(4.0), 7 * DAY..8 * DAY));
    let machine = Machine::run(8, (Load::Daily, 4, 8 * DAY), broken);
    let model = model_of(&machine);
    let levels = (0..4).map(|c| (c != 2).then_some(machine.levels[c][7 * DAY]));
    let row = DeviceRow::of_levels(WindowIndex(7 * DAY as i64), levels);
    let score = model.score(&row, &DeviceMemory::default(), (1.0, &calendar())).unwrap();
    assert!(score.decades > 0.0);
    assert_eq!(score.contributions[0].channel, 1);
    assert!(score.contributions.iter().all(|c| c.channel != 2));
    let alone = DeviceRow::of_levels(row.window, [Some(1.0), None, None, None]);
    assert_eq!(model.score(&alone, &DeviceMemory::default(), (1.0, &calendar())), None);
}

#[test]
fn an_alarm_is_exactly_a_value_outside_of_the_expected_band() {
    let broken = Some((0, Fault::Gain(2.0), 8 * DAY..9 * DAY));
    let machine = Machine::run(9, (Load::Daily, 5, 9 * DAY), broken);
    let (mut inside, mut outside) = (0, 0);
    for (score, _) in judged(&model_of(&machine), &machine.rows(7 * DAY..9 * DAY)) {
        for c in &score.contributions {
            let is_inside = (c.expected_low..=c.expected_high).contains(&c.value);
            assert_eq!(is_inside, c.ratio <= 1.0, "{c:?}");
            inside += usize::from(is_inside);
            outside += usize::from(!is_inside);
        }
        let shares: f64 = score.contributions.iter().map(|c| c.share).sum();
        assert!((shares - 1.0).abs() < 1e-9);
        assert_eq!(score.decades >= 0.0, score.ratio >= 1.0);
    }
    assert!(inside > 1000 && outside > 20, "{inside} inside, {outside} outside");
}

#[test]
fn what_a_fault_leaves_behind_is_no_new_fault() {
    let mut machine = Machine::run(10, (Load::Daily, 4, 10 * DAY), None);
    let spread = 1.0 + machine.levels[2].iter().take(DAY).fold(0.0, |m: f64, l| m.max(l.abs()));
    for (w, level) in machine.levels[2].iter_mut().enumerate().skip(8 * DAY) {
        // A day of fault, then a tenth of it for good.
        *level += if w < 9 * DAY { spread } else { 0.1 * spread };
    }
    let alarms = judged(&model_of(&machine), &machine.rows(7 * DAY..10 * DAY));
    let starts = alarms.windows(2).filter(|pair| !pair[0].1 && pair[1].1).count();
    assert_eq!(starts, 1);
    assert!(alarms[DAY..2 * DAY].iter().all(|(_, alarm)| *alarm));
    assert!(!alarms[2 * DAY].1);
}

#[test]
fn slow_drift_is_followed_and_a_fast_one_is_not() {
    let drifting = |per_day: f64| {
        let mut machine = Machine::run(14, (Load::Daily, 4, 35 * DAY), None);
        let spread = order::std(&machine.levels[1][..7 * DAY]);
        for (w, level) in machine.levels[1].iter_mut().enumerate().skip(8 * DAY) {
            *level += per_day * spread * (w - 8 * DAY) as f64 / DAY as f64;
        }
        let model = model_of(&machine);
        judged(&model, &machine.rows(7 * DAY..35 * DAY)).iter().filter(|(_, alarm)| *alarm).count()
    };
    assert_eq!(drifting(0.01), 0);
    assert!(drifting(1.0) > 0);
}

#[test]
fn what_a_backtest_shows_is_above_zero_exactly_while_the_alarm_lasts() {
    let broken = Some((0, Fault::Level(1.5), 7 * DAY + 50..8 * DAY));
    let machine = Machine::run(15, (Load::Daily, 4, 9 * DAY), broken);
    let (model, mut memory, mut alarms) = (model_of(&machine), DeviceMemory::default(), 0);
    for row in machine.rows(7 * DAY..9 * DAY) {
        let score = model.score(&row, &memory, (1.0, &calendar())).unwrap();
        let is_alarmed = memory.follow(&model, &score);
        assert_eq!(told_decades(score.decades, memory.is_alarmed()) >= 0.0, is_alarmed);
        alarms += usize::from(is_alarmed);
    }
    assert!((80..100).contains(&alarms), "{alarms} windows");
}

#[test]
fn a_lower_knob_raises_the_threshold() {
    let machine = Machine::run(11, (Load::Daily, 4, 8 * DAY), None);
    let model = model_of(&machine);
    let ratio = |per_month: f64| {
        model.score(&machine.row(7 * DAY), &DeviceMemory::default(), (per_month, &calendar())).unwrap().ratio
    };
    assert!(ratio(0.3) < ratio(1.0) && ratio(1.0) < ratio(3.0));
}

#[test]
fn a_model_of_eight_channels_takes_less_than_4_kilobytes_and_survives_a_restart() {
    let machine = Machine::run(12, (Load::Duty, 8, 7 * DAY), None);
    let model = model_of(&machine);
    let bytes = postcard::to_stdvec(&model).unwrap();
    assert!(bytes.len() < 4096, "{} bytes", bytes.len());
    assert_eq!(postcard::from_bytes::<DeviceModel>(&bytes).unwrap(), model);
}

#[test]
fn sixteen_channels_of_which_some_are_copies_are_judged_without_a_blow_up() {
    let mut machine = Machine::run(13, (Load::Shifts, 10, 8 * DAY), None);
    for copy in 0..6 {
        let twin = machine.levels[copy].clone();
        machine.levels.push(twin);
    }
    let judged = judged(&model_of(&machine), &machine.rows(7 * DAY..8 * DAY));
    assert!(judged.iter().all(|(score, alarm)| !alarm && score.decades.is_finite()));
}

proptest! {
    #[test]
    fn any_levels_give_finite_scores(
        learned in prop::collection::vec(prop::array::uniform3(any::<f32>()), 12..40),
        judged in prop::collection::vec(prop::array::uniform3(prop::option::of(any::<f32>())), 1..20),
    ) {
        let row = |(w, levels): (usize, [Option<f32>; 3])| {
            DeviceRow::of_levels(WindowIndex(w as i64), levels.map(|level| level.map(f64::from)))
        };
        let learned: Vec<DeviceRow> = learned.iter().map(|levels| levels.map(Some)).enumerate().map(row).collect();
        if let Some(model) = DeviceModel::fit(&learned, &calendar()) {
            let mut memory = DeviceMemory::default();
            for judged in judged.into_iter().enumerate().map(row) {
                if let Some(score) = model.score(&judged, &memory, (1.0, &calendar())) {
                    memory.follow(&model, &score);
                    prop_assert!(score.decades.is_finite() && score.ratio.is_finite());
                    for c in &score.contributions {
                        prop_assert!(c.share.is_finite() && c.expected_low <= c.expected_high);
                    }
                }
            }
        }
    }
}
