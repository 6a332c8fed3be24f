//! The table.

use std::collections::BTreeMap;
use std::fmt;

use super::Settings;
use super::trial::{Hit, Trial};
use crate::detect::synthetic::{Fault, Kind, Regime};

/// Sums over all devices; prints itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    settings: Settings,
    trials: Vec<Trial>,
}

impl Tally {
    pub(super) fn of(settings: &Settings, trials: impl Iterator<Item = Trial>) -> Self {
        Self { settings: settings.clone(), trials: trials.collect() }
    }

    fn classic(&self) -> Vec<&Trial> {
        self.trials.iter().filter(|t| Kind::CLASSIC.contains(&t.kind)).collect()
    }

    fn more(&self) -> Vec<&Trial> {
        self.trials.iter().filter(|t| !Kind::CLASSIC.contains(&t.kind)).collect()
    }

    fn faults(&self, f: &mut fmt::Formatter<'_>, title: &str, trials: &[&Trial]) -> fmt::Result {
        if trials.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n{title}\n{:<14}{}  delay at {}, windows",
            "fault",
            columns("recall at", &self.settings.severities),
            first(&self.settings.severities)
        )?;
        let all: Vec<Fault> = Fault::CLASSIC.into_iter().chain(Fault::MORE).collect();
        let mut total: Vec<Vec<&Hit>> = vec![Vec::new(); self.settings.severities.len()];
        for fault in all {
            let mut by_severity: Vec<Vec<&Hit>> = vec![Vec::new(); self.settings.severities.len()];
            for trial in trials {
                for (hits, of) in trial.hits.iter().zip(&mut by_severity) {
                    of.extend(hits.iter().filter(|h| h.fault == fault));
                }
            }
            if by_severity.iter().all(Vec::is_empty) {
                continue;
            }
            write!(f, "{:<14}", fault.name())?;
            for (of, total) in by_severity.iter().zip(&mut total) {
                write!(f, "{:>16.3}", recall(of))?;
                total.extend(of);
            }
            let delays = by_severity.first().map(|h| delays(h)).unwrap_or_default();
            writeln!(f, "  {:>4} median, {:>4} of nine in ten", at(&delays, 0.5), at(&delays, 0.9))?;
        }
        write!(f, "{:<14}", "all")?;
        for of in &total {
            write!(f, "{:>16.3}", recall(of))?;
        }
        writeln!(f)
    }

    fn false_alarms(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<22}{}", "false alarms", columns("a month at knob", &self.settings.knobs))?;
        let mut by_kind: BTreeMap<Kind, Vec<&Trial>> = BTreeMap::new();
        for trial in &self.trials {
            by_kind.entry(trial.kind).or_default().push(trial);
        }
        for (kind, trials) in by_kind {
            self.rates(f, kind.name(), &trials)?;
        }
        self.rates(f, "all of the first ten", &self.classic())?;
        self.rates(f, "all of the others", &self.more())?;
        self.rates(f, "all", &self.trials.iter().collect::<Vec<_>>())
    }

    fn rates(&self, f: &mut fmt::Formatter<'_>, name: &str, trials: &[&Trial]) -> fmt::Result {
        write!(f, "{name:<22}")?;
        for knob in 0..self.settings.knobs.len() {
            let judged: Vec<&&Trial> = trials.iter().filter(|t| t.false_alarms.len() > knob).collect();
            let months: f64 = judged.iter().map(|t| t.months).sum();
            let alarms: usize = judged.iter().map(|t| t.false_alarms[knob]).sum();
            if months > 0.0 { write!(f, "{:>22.2}", alarms as f64 / months)? } else { write!(f, "{:>22}", "-")? }
        }
        let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
        trials.iter().flat_map(|t| &t.causes).for_each(|c| *causes.entry(c).or_default() += 1);
        let causes: Vec<String> = causes.iter().map(|(cause, n)| format!("{n} {cause}")).collect();
        writeln!(f, "  {}", causes.join(", "))
    }

    fn rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |same: bool| -> Vec<&Hit> {
            let hits = self.trials.iter().flat_map(|t| &t.after_faulty_learning);
            hits.filter(|(is_same, _)| *is_same == same).map(|(_, hit)| hit).collect()
        };
        let (same, others) = (of(true), of(false));
        writeln!(f, "\nafter a fault within the learning week")?;
        writeln!(f, "  the same fault again   recall {:.3} of {}", recall(&same), same.len())?;
        writeln!(f, "  each fault             recall {:.3} of {}", recall(&others), others.len())?;
        let both: Vec<&Hit> = self.trials.iter().filter_map(|t| t.both.as_ref()).collect();
        writeln!(f, "two faults at once       recall {:.3} of {}", recall(&both), both.len())?;

        let of_several = self.trials.iter().filter(|t| t.kind.channels().len() > 1);
        let found: Vec<&Hit> =
            of_several.filter_map(|t| t.hits.first()).flatten().filter(|h| h.delay.is_some()).collect();
        let right = found.iter().filter(|h| h.right_channel).count();
        writeln!(f, "right channel of several  named first {:.3} of {}", share(right, found.len()), found.len())?;

        let changes: Vec<_> = self.trials.iter().filter_map(|t| t.regime).collect();
        let with = |n: usize| changes.iter().filter(|(_, c)| c.notices == n).count();
        let later: usize = changes.iter().map(|(_, c)| c.later).sum();
        writeln!(
            f,
            "benign changes           one notice {:.2}, none {:.2}, more {:.2} of {}; {later} alarms later",
            share(with(1), changes.len()),
            share(with(0), changes.len()),
            share(changes.len() - with(0) - with(1), changes.len()),
            changes.len()
        )?;
        let mut by_regime: BTreeMap<Regime, Vec<usize>> = BTreeMap::new();
        changes.iter().for_each(|(regime, change)| by_regime.entry(*regime).or_default().push(change.notices));
        for (regime, notices) in by_regime {
            let once = notices.iter().filter(|n| **n == 1).count();
            writeln!(f, "  {:<22} one notice {:.2} of {}", regime.name(), share(once, notices.len()), notices.len())?;
        }
        let is = |results: Vec<bool>| format!("{} of {}", results.iter().filter(|r| **r).count(), results.len());
        let jumps = self.trials.iter().filter_map(|t| t.clock_jump).collect();
        let disorder = self.trials.iter().filter_map(|t| t.disorder).collect();
        writeln!(f, "a clock jumps an hour    told {}", is(jumps))?;
        writeln!(f, "messages out of order and twice: scores as without in {}", is(disorder))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seed, days, .. } = self.settings;
        let months: f64 = self.trials.iter().map(|t| t.months).sum();
        writeln!(f, "seed {seed}, {} devices of {days} days, {months:.1} device-months judged", self.trials.len())?;
        self.faults(f, "the first ten kinds", &self.classic())?;
        self.faults(f, "the other kinds", &self.more())?;
        self.faults(f, "all kinds", &self.trials.iter().collect::<Vec<_>>())?;
        self.false_alarms(f)?;
        self.rest(f)
    }
}

fn columns(name: &str, values: &[f64]) -> String {
    values
        .iter()
        .map(|v| format!("{:>width$}", format!("{name} {v}"), width = if name.len() > 10 { 22 } else { 16 }))
        .collect()
}

fn first(values: &[f64]) -> f64 {
    values.first().copied().unwrap_or(1.0)
}

fn share(part: usize, of: usize) -> f64 {
    part as f64 / of.max(1) as f64
}

fn recall(hits: &[&Hit]) -> f64 {
    share(hits.iter().filter(|h| h.delay.is_some()).count(), hits.len())
}

fn delays(hits: &[&Hit]) -> Vec<usize> {
    let mut delays: Vec<usize> = hits.iter().filter_map(|h| h.delay).collect();
    delays.sort_unstable();
    delays
}

fn at(sorted: &[usize], share: f64) -> String {
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64).round() as usize).map_or_else(|| "-".to_owned(), ToString::to_string)
}
