use std::collections::BTreeMap;

use firmware_protocol::measurement::EventTime;

use super::super::features::{Nature, Sample, Scratch, Series, summarise};
use super::super::synthetic::{Chance, DAY, Fault, Kind, Signal, WINDOW};
use super::*;

/// Monday 1970-01-05.
const FIRST_DAY: i64 = 4;
const LEARN_DAYS: usize = 4;

/// One channel's detector with its rows, fed by seconds of a signal.
#[derive(Clone)]
struct Channel {
    detector: WindowDetector,
    rows: Vec<Row>,
    at: usize,
}

impl Channel {
    fn new(learn_days: usize) -> Self {
        let learn = std::time::Duration::from_secs((learn_days * DAY) as u64);
        let horizon = Horizon::new(&Config { learn, ..Config::default() });
        Self { detector: WindowDetector::new(horizon), rows: Vec::new(), at: 0 }
    }

    /// Goes on to window number `until` of the signal.
    fn observe(&mut self, signal: &Signal, until: usize) -> Vec<Verdict> {
        let mut scratch = Scratch::default();
        let mut verdicts = Vec::new();
        while self.at < until {
            let start = (FIRST_DAY * DAY as i64 + (self.at * WINDOW) as i64) * 1_000_000_000;
            let seconds = self.at * WINDOW..(self.at + 1) * WINDOW;
            let samples: Vec<Sample> = seconds
                .clone()
                .filter(|i| signal.is_there[*i])
                .map(|i| Sample {
                    at: EventTime(start + (i - seconds.start) as i64 * 1_000_000_000),
                    value: signal.values[i],
                })
                .collect();
            let span = (EventTime(start), EventTime(start + 600_000_000_000));
            let summary = summarise(Series::Samples(&samples), samples.len() as u32, span, Nature::Level, &mut scratch);
            let window = WindowIndex(start / 600_000_000_000);
            verdicts.push(self.detector.observe(window, &summary.features, &mut self.rows));
            self.at += 1;
        }
        verdicts
    }
}

/// Alarms that lie less than an hour apart are one episode.
fn episodes(verdicts: &[Verdict]) -> usize {
    let alarms: Vec<usize> =
        verdicts.iter().enumerate().filter(|(_, v)| v.status == Status::Anomalous).map(|(i, _)| i).collect();
    alarms.len().min(1) + alarms.windows(2).filter(|pair| pair[1] - pair[0] > 6).count()
}

/// Alarms of such devices, one per seed, in two weeks after a week of learning.
fn false_alarms_of(kind: Kind, seeds: std::ops::RangeInclusive<u64>) -> usize {
    let alarms_of = |seed| {
        let signal = Signal::new(kind, 7 + 14, seed);
        let verdicts = Channel::new(7).observe(&signal, 21 * 144);
        assert_eq!(verdicts.iter().filter(|v| v.status != Status::Learning).count(), 14 * 144);
        episodes(&verdicts)
    };
    seeds.map(alarms_of).sum()
}

#[test]
fn a_constant_stays_quiet_for_two_weeks() {
    assert_eq!(false_alarms_of(Kind::Constant, 1..=2), 0);
}

#[test]
fn a_daily_cycle_stays_quiet_for_two_weeks() {
    assert_eq!(false_alarms_of(Kind::DailyTemperature, 1..=2), 0);
}

#[test]
fn a_duty_cycle_that_wanders_keeps_to_the_one_alarm_a_month_that_was_asked_for() {
    // Four devices for two weeks: two device-months.
    assert!(false_alarms_of(Kind::Compressor, 1..=4) <= 2);
}

#[test]
fn each_fault_on_each_of_three_kinds_of_device_is_found_while_it_lasts() {
    let mut missed = BTreeMap::new();
    for kind in [Kind::DailyTemperature, Kind::OscillatingPressure, Kind::Compressor] {
        let clean = Signal::new(kind, LEARN_DAYS + 2, 11);
        let mut learned = Channel::new(LEARN_DAYS);
        let onset = LEARN_DAYS * 144 + 100;
        learned.observe(&clean, onset);
        for fault in Fault::ALL.into_iter().filter(|f| kind.can_have(*f)) {
            let mut faulty = clean.clone();
            faulty.inject(fault, onset * WINDOW + 60, 1.0, &mut Chance::new(5));
            let verdicts = learned.clone().observe(&faulty, onset + fault.windows() + 1);
            if episodes(&verdicts) == 0 {
                missed.insert((kind, fault), verdicts.iter().filter_map(|v| v.score).fold(f64::MIN, f64::max));
            }
        }
    }
    assert!(missed.is_empty(), "not found, with the highest score: {missed:?}");
}

#[test]
fn each_fault_is_named_by_its_kind() {
    let clean = Signal::new(Kind::OscillatingPressure, LEARN_DAYS + 2, 3);
    let mut learned = Channel::new(LEARN_DAYS);
    let onset = LEARN_DAYS * 144 + 50;
    learned.observe(&clean, onset);
    for (fault, named) in [
        (Fault::Spike, &[Group::Spike][..]),
        (Fault::Dropout, &[Group::Dropout]),
        (Fault::Stuck, &[Group::Stuck]),
        (Fault::Noise, &[Group::Noise, Group::Spike]),
        (Fault::Level, &[Group::Step, Group::Range, Group::Novel, Group::Joint]),
        (Fault::Frequency, &[Group::Noise, Group::Spectrum, Group::Joint, Group::Step]),
    ] {
        let mut faulty = clean.clone();
        faulty.inject(fault, onset * WINDOW + 60, 1.0, &mut Chance::new(5));
        let verdicts = learned.clone().observe(&faulty, onset + fault.windows() + 1);
        let found: Vec<Group> = verdicts.iter().filter_map(|v| v.finding).map(|f| f.group).collect();
        assert!(found.iter().any(|g| named.contains(g)), "{fault:?}: {found:?}");
    }
}

#[test]
fn an_explanation_lies_outside_its_band() {
    let mut signal = Signal::new(Kind::DailyTemperature, LEARN_DAYS + 1, 8);
    let onset = LEARN_DAYS * 144 + 30;
    signal.inject(Fault::Spike, onset * WINDOW + 60, 1.0, &mut Chance::new(2));
    let verdicts = Channel::new(LEARN_DAYS).observe(&signal, onset + 2);
    let finding = verdicts.iter().find_map(|v| v.finding).expect("the spike is found");
    assert_eq!((finding.group, finding.feature), (Group::Spike, Feature::Impulse));
    assert!(finding.value > 3.0 * finding.expected_high, "{finding:?}");
}

#[test]
fn learning_is_announced_and_two_days_are_enough() {
    let mut signal = Signal::new(Kind::OscillatingPressure, 3, 4);
    signal.inject(Fault::Stuck, (2 * 144 + 40) * WINDOW, 1.0, &mut Chance::new(1));
    let verdicts = Channel::new(2).observe(&signal, 2 * 144 + 60);
    assert!(verdicts[..288].iter().all(|v| v.status == Status::Learning && v.score.is_none()));
    assert!(verdicts[288..].iter().all(|v| v.status != Status::Learning && v.score.is_some()));
    assert_eq!(episodes(&verdicts[288..328]), 0);
    assert!(episodes(&verdicts[328..]) > 0);
}

#[test]
fn nothing_is_learned_from_alarmed_windows() {
    let mut signal = Signal::new(Kind::OscillatingPressure, LEARN_DAYS + 1, 6);
    let onset = LEARN_DAYS * 144 + 20;
    signal.inject(Fault::Noise, onset * WINDOW, 1.0, &mut Chance::new(3));
    let mut channel = Channel::new(LEARN_DAYS);
    channel.observe(&signal, onset + 12);
    let standing: Vec<Standing> = channel.rows[onset..].iter().map(|r| r.standing).collect();
    assert!(standing.iter().all(|s| *s != Standing::Trusted), "{standing:?}");
}

#[test]
fn a_new_set_point_is_adopted_after_about_a_day_and_faults_in_it_are_found() {
    let mut signal = Signal::new(Kind::OscillatingPressure, LEARN_DAYS + 7, 9);
    let onset = (LEARN_DAYS + 1) * 144;
    signal.values[onset * WINDOW..].iter_mut().for_each(|v| *v += 2.0);
    let fault_at = onset + 5 * 144;
    signal.inject(Fault::Noise, fault_at * WINDOW, 1.0, &mut Chance::new(3));
    let verdicts = Channel::new(LEARN_DAYS).observe(&signal, fault_at + 13);
    assert!(episodes(&verdicts[onset..onset + 3]) > 0, "the change is told");
    let adopted = verdicts[onset..].iter().position(|v| v.learned && v.status == Status::Anomalous);
    assert!(adopted.is_some_and(|after| (140..320).contains(&after)), "{adopted:?}");
    assert_eq!(episodes(&verdicts[onset + 3 * 144..fault_at]), 0, "then it is normal");
    assert!(episodes(&verdicts[fault_at..]) > 0);
}

#[test]
fn a_channel_of_one_reading_a_minute_is_judged_by_count_and_level() {
    let mut signal = Signal::new(Kind::DailyTemperature, LEARN_DAYS + 2, 2);
    let onset = LEARN_DAYS * 144 + 30;
    let mut level = signal.clone();
    level.values[onset * WINDOW..(onset + 12) * WINDOW].iter_mut().for_each(|v| *v += 12.0);
    for s in [&mut signal, &mut level] {
        s.is_there.iter_mut().enumerate().for_each(|(i, there)| *there = i % 60 == 0);
    }
    let mut learned = Channel::new(LEARN_DAYS);
    learned.observe(&signal, onset);
    let mut mute = signal.clone();
    mute.is_there[onset * WINDOW..].fill(false);
    assert!(episodes(&learned.clone().observe(&level, onset + 12)) > 0);
    assert!(episodes(&learned.clone().observe(&mute, onset + 3)) > 0);
    assert_eq!(episodes(&learned.observe(&signal, onset + 100)), 0);
}

#[test]
fn false_alarms_over_many_devices_are_few() {
    let mut alarms = BTreeMap::new();
    for (i, kind) in Kind::ALL.into_iter().enumerate() {
        let signal = Signal::new(kind, 7 + 7, 100 + i as u64);
        let verdicts = Channel::new(7).observe(&signal, 14 * 144);
        alarms.insert(kind, episodes(&verdicts));
    }
    // Nine devices for a week are two device-months: at a knob of one alarm a month, six would be a surprise.
    assert!(alarms.values().sum::<usize>() <= 5, "{alarms:?}");
}
