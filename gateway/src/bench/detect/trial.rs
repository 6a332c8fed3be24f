//! One device of the benchmark: its clean weeks, its faults, a learning week with a fault, a benign change.

use std::time::Duration;

use super::Settings;
use super::device::{Delivery, Device};
use crate::detect::synthetic::{Chance, DAY_S, Fault, Kind, Regime, Stream, WINDOWS_PER_DAY};

const LEARN_DAYS: usize = 7;
/// At 100 readings a second a week is 60 million of them.
const FAST_LEARN_DAYS: usize = 2;
const FAST_DAYS: usize = 4;
/// Within this time after a benign change it may be told, days.
const NOTICE_DAYS: usize = 3;

/// What came of one fault.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hit {
    pub(super) fault: Fault,
    /// Windows from its first to the first alarm; `None`: not found.
    pub(super) delay: Option<usize>,
    /// The channel that the first alarm named is the one that had it.
    pub(super) right_channel: bool,
}

/// What came of one device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trial {
    pub(super) kind: Kind,
    /// Judged time of the clean stream, months.
    pub(super) months: f64,
    /// By knob: false alarms.
    pub(super) false_alarms: Vec<usize>,
    /// At the first knob, the kind of deviation that began each.
    pub(super) causes: Vec<String>,
    /// By severity.
    pub(super) hits: Vec<Vec<Hit>>,
    /// Two faults at once, each counted as found if any alarm comes.
    pub(super) both: Option<Hit>,
    /// After a learning week with a fault: the same fault first, then others.
    pub(super) after_faulty_learning: Vec<(bool, Hit)>,
    pub(super) regime: Option<(Regime, Change)>,
    /// The clock jumped: told or not. Disordered messages: windows equal to those of plain ones or not.
    pub(super) clock_jump: Option<bool>,
    pub(super) disorder: Option<bool>,
}

/// What came of a benign change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Incidents in the first days after it.
    pub(super) notices: usize,
    /// And from then on.
    pub(super) later: usize,
}

struct Plan<'a> {
    settings: &'a Settings,
    kind: Kind,
    number: usize,
    learn: usize,
    days: usize,
    seed: u64,
}

impl Trial {
    pub(super) fn run(settings: &Settings, kind: Kind, number: usize) -> Self {
        let is_fast = kind == Kind::FastVibration;
        let plan = Plan {
            settings,
            kind,
            number,
            learn: if is_fast { FAST_LEARN_DAYS } else { LEARN_DAYS },
            days: if is_fast { FAST_DAYS } else { settings.days },
            seed: settings.seed.wrapping_mul(1_000).wrapping_add(number as u64),
        };
        let mut trial = Self {
            kind,
            months: (plan.days - plan.learn) as f64 / 30.0,
            false_alarms: Vec::new(),
            causes: Vec::new(),
            hits: Vec::new(),
            both: None,
            after_faulty_learning: Vec::new(),
            regime: None,
            clock_jump: None,
            disorder: None,
        };
        plan.clean_and_faults(&mut trial);
        if !is_fast {
            for knob in settings.knobs.iter().skip(1) {
                let mut device = plan.device(*knob, Delivery::Plain);
                device.run_to(plan.days * WINDOWS_PER_DAY);
                trial.false_alarms.push(device.told().len());
            }
            plan.faulty_learning(&mut trial);
            // A few devices tell what messages on the way do.
            if number == 0 {
                plan.deliveries(&mut trial);
            }
        }
        trial
    }
}

impl Plan<'_> {
    fn device(&self, knob: f64, delivery: Delivery) -> Device {
        let learn = Duration::from_secs((self.learn * DAY_S) as u64);
        Device::new(Stream::new(self.kind, self.seed), learn, knob, delivery)
    }

    fn knob(&self) -> f64 {
        self.settings.knobs.first().copied().unwrap_or(1.0)
    }

    fn channel(&self) -> usize {
        self.number % self.kind.channels().len()
    }

    fn faults(&self) -> impl Iterator<Item = Fault> + use<> {
        let kind = self.kind;
        Fault::CLASSIC.into_iter().chain(Fault::MORE).filter(move |f| kind.can_have(*f))
    }

    fn clean_and_faults(&self, trial: &mut Trial) {
        let mut chance = Chance::of(self.seed, 3_000);
        let (first, end) = (self.learn * WINDOWS_PER_DAY, self.days * WINDOWS_PER_DAY);
        let mut onset = |f: Fault| first + chance.below(end - first - f.windows() - 3);
        let mut marks: Vec<(usize, Mark)> = self.faults().map(|f| (onset(f), Mark::Fault(f))).collect();
        marks.push((onset(Fault::Drift), Mark::Both));
        // From the second week on, so that a week is left to see whether it is normal then.
        let regime_at = first + (end - first) / 4 + chance.below(WINDOWS_PER_DAY);
        if self.kind != Kind::FastVibration {
            marks.push((regime_at, Mark::Regime));
        }
        marks.sort_by_key(|(window, _)| *window);
        trial.hits = vec![Vec::new(); self.settings.severities.len()];
        let mut device = self.device(self.knob(), Delivery::Plain);
        for (window, mark) in marks {
            device.run_to(window);
            match mark {
                Mark::Fault(fault) => {
                    let seed = self.seed.wrapping_mul(31).wrapping_add(fault as u64);
                    for (severity, hits) in self.settings.severities.iter().zip(&mut trial.hits) {
                        hits.push(self.suffer(&mut device, &[fault], *severity, seed));
                    }
                }
                Mark::Both if self.kind.can_have(Fault::Noise) => {
                    let seed = self.seed.wrapping_mul(37);
                    trial.both = Some(self.suffer(&mut device, &[Fault::Noise, Fault::Dropout], 1.0, seed));
                }
                Mark::Both => {}
                Mark::Regime => trial.regime = Some(self.change(&mut device, end)),
            }
        }
        device.run_to(end);
        trial.causes = device.told().iter().map(|t| t.kind.clone()).collect();
        trial.false_alarms.push(device.told().len());
    }

    /// The first of the faults names the result.
    fn suffer(&self, device: &mut Device, faults: &[Fault], severity: f64, seed: u64) -> Hit {
        let mut copy = device.copy();
        let first = copy.stream().windows();
        let mut last = first;
        for (i, fault) in faults.iter().enumerate() {
            let mut chance = Chance::of(seed, i as u64);
            let offset_s = fault.offset_s(&mut chance);
            copy.stream().inject(*fault, self.channel(), offset_s, severity, chance);
            last = last.max(first + fault.windows());
        }
        copy.run_to(last + 3);
        let during = copy.alarms.iter().filter(|a| (first..=last).contains(&a.window));
        let found = during.min_by(|a, b| a.window.cmp(&b.window).then(b.score.total_cmp(&a.score)));
        let right = self.kind.channels()[self.channel()];
        Hit {
            fault: faults[0],
            delay: found.map(|a| a.window - first),
            right_channel: found.is_some_and(|a| a.channel == right),
        }
    }

    fn change(&self, device: &mut Device, end: usize) -> (Regime, Change) {
        let regime = Regime::of(self.kind, self.number + self.kind as usize);
        let mut copy = device.copy();
        let at = copy.stream().windows();
        copy.stream().change(regime, self.channel());
        copy.run_to(end);
        let notice_until = at + NOTICE_DAYS * WINDOWS_PER_DAY;
        let notices = copy.told().iter().filter(|t| (at..notice_until).contains(&t.window)).count();
        let later = copy.told().iter().filter(|t| t.window >= notice_until).count();
        (regime, Change { notices, later })
    }

    fn faulty_learning(&self, trial: &mut Trial) {
        let faults: Vec<Fault> = self.faults().filter(|f| Fault::CLASSIC.contains(f)).collect();
        let learned = faults[(self.number + self.kind as usize) % faults.len()];
        let mut chance = Chance::of(self.seed, 4_000);
        let mut device = self.device(self.knob(), Delivery::Plain);
        device.run_to(WINDOWS_PER_DAY / 2 + chance.below((self.learn - 1) * WINDOWS_PER_DAY - learned.windows()));
        device.stream().inject(learned, self.channel(), 0, 1.0, Chance::of(self.seed, 4_001));
        device.run_to(self.learn * WINDOWS_PER_DAY + chance.below(WINDOWS_PER_DAY));
        for (i, fault) in std::iter::once(learned).chain(faults).enumerate() {
            let hit = self.suffer(&mut device, &[fault], 1.0, self.seed.wrapping_mul(41).wrapping_add(i as u64));
            trial.after_faulty_learning.push((i == 0, hit));
        }
    }

    fn deliveries(&self, trial: &mut Trial) {
        let until = (self.learn + 1) * WINDOWS_PER_DAY;
        let mut plain = self.device(self.knob(), Delivery::Plain);
        let mut disordered = self.device(self.knob(), Delivery::Disordered);
        plain.run_to(until);
        disordered.run_to(until);
        // Late data made revisions; what counts is each window's last state.
        let last = |device: &Device| {
            let mut windows: Vec<Option<f64>> = Vec::new();
            for (_, revision, score) in &device.windows {
                if *revision == 0 {
                    windows.push(*score);
                }
            }
            windows
        };
        trial.disorder = Some(last(&plain) == last(&disordered));
        let jump_at = until - 20;
        let mut jumping = self.device(self.knob(), Delivery::ClockJump { from: jump_at });
        jumping.run_to(until);
        trial.clock_jump = Some(jumping.alarms.iter().any(|a| a.window >= jump_at));
    }
}

#[derive(Clone, Copy, Debug)]
enum Mark {
    Fault(Fault),
    Both,
    Regime,
}
