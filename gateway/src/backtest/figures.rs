//! How good the alarms of a run were, against labels and time. Pure.
//!
//! # What
//! An **alarm** is a run of alarmed windows without an hour between them, or six windows if that is longer: what an
//! incident joins. It is right if it
//! overlaps a label, else false. A label is **found** if an alarm overlaps it; the **delay** is from its begin to the end
//! of the first alarmed window that overlaps it. Labels that end before the first verdict count for nothing.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use firmware_protocol::measurement::EventTime;

use super::labels::Span;
use super::outcome::Outcome;
use super::run::Spans;

/// Quiet for so many lengths of a window, and for so long, an alarm is over.
const QUIET_WINDOWS: i64 = 6;
const QUIET_NS: i64 = 3_600_000_000_000;
const MONTH_S: f64 = 30.0 * 86_400.0;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub alarms: u64,
    /// Of them, those that overlap a label.
    pub right: u64,
    /// That could be found.
    pub labels: u64,
    pub found: u64,
    /// Of labels that were found, seconds.
    pub delays_s: Vec<f64>,
    /// Of all devices together, without labelled time, months of 30 days.
    pub device_months: f64,
}

impl Figures {
    /// `None` where there is nothing to divide by.
    pub fn precision(&self) -> Option<f64> {
        (self.alarms > 0).then(|| self.right as f64 / self.alarms as f64)
    }

    pub fn recall(&self) -> Option<f64> {
        (self.labels > 0).then(|| self.found as f64 / self.labels as f64)
    }

    pub fn median_delay_s(&self) -> Option<f64> {
        let mut delays = self.delays_s.clone();
        delays.sort_by(f64::total_cmp);
        delays.get(delays.len().checked_sub(1)? / 2).copied()
    }

    pub fn false_per_device_month(&self) -> Option<f64> {
        (self.device_months > 0.0).then(|| (self.alarms - self.right) as f64 / self.device_months)
    }
}

impl AddAssign<&Self> for Figures {
    fn add_assign(&mut self, other: &Self) {
        let Self { alarms, right, labels, found, delays_s, device_months } = other;
        self.alarms += alarms;
        self.right += right;
        self.labels += labels;
        self.found += found;
        self.delays_s.extend_from_slice(delays_s);
        self.device_months += device_months;
    }
}

/// The alarms of a run, in order of time.
pub(super) fn alarms(outcome: &Outcome, windows: Spans) -> Vec<Span> {
    let window_ns = nanos(windows.window);
    let quiet_ns = QUIET_WINDOWS.saturating_mul(window_ns).max(QUIET_NS);
    let mut alarms: Vec<Span> = Vec::new();
    for (end, _) in outcome.scores.iter().filter(|(_, score)| score.is_alarm) {
        let begin = EventTime(end.0.saturating_sub(window_ns));
        match alarms.last_mut() {
            Some((_, last)) if begin.0.saturating_sub(last.0) < quiet_ns => *last = *end,
            Some(_) | None => alarms.push((begin, *end)),
        }
    }
    alarms
}

/// Against `labels`; none: every alarm is false.
pub fn figures(outcome: &Outcome, windows: Spans, labels: &[Span]) -> Figures {
    let window_ns = nanos(windows.window);
    let alarms = alarms(outcome, windows);
    let overlap = |a: &Span, b: &Span| a.0 <= b.1 && b.0 < a.1;
    let first_verdict = outcome.scores.iter().find(|(_, score)| score.decades.is_some()).map(|(end, _)| *end);
    let known: Vec<&Span> = labels.iter().filter(|label| first_verdict.is_some_and(|first| label.1 >= first)).collect();
    let mut figures = Figures {
        alarms: alarms.len() as u64,
        right: alarms.iter().filter(|alarm| labels.iter().any(|label| overlap(alarm, label))).count() as u64,
        labels: known.len() as u64,
        ..Figures::default()
    };
    for label in known {
        let alarmed = outcome.scores.iter().filter(|(_, score)| score.is_alarm);
        let mut closed = alarmed.map(|(end, _)| (EventTime(end.0.saturating_sub(window_ns)), *end));
        if let Some((_, end)) = closed.find(|window| overlap(window, label)) {
            figures.found += 1;
            figures.delays_s.push((end.0.saturating_sub(label.0.0)).max(0) as f64 / 1e9);
        }
    }
    figures.device_months = judged_s(outcome, windows, labels) / MONTH_S;
    figures
}

/// What judged windows outside of labels cover, of all devices together, seconds.
fn judged_s(outcome: &Outcome, windows: Spans, labels: &[Span]) -> f64 {
    if !outcome.samples.is_empty() {
        return outcome.devices as f64 * judged_span_s(outcome, labels);
    }
    let mut judged: BTreeMap<(&str, i64), ()> = BTreeMap::new();
    for ((device, _, start_at_ms), closed) in &outcome.windows {
        let span = (EventTime::from_millis(*start_at_ms), EventTime::from_millis(closed.end_at_ms));
        if closed.score.is_some() && !labels.iter().any(|label| span.0 <= label.1 && label.0 < span.1) {
            judged.insert((device, *start_at_ms), ());
        }
    }
    judged.len() as f64 * windows.hop.as_secs_f64()
}

/// From the first judged sample to the last, without labels.
fn judged_span_s(outcome: &Outcome, labels: &[Span]) -> f64 {
    let mut judged = outcome.scores.iter().filter(|(_, score)| score.decades.is_some()).map(|(at, _)| at.0);
    let Some(first) = judged.next() else { return 0.0 };
    let last = judged.next_back().unwrap_or(first);
    let within = |label: &Span| (label.1.0.min(last).saturating_sub(label.0.0.max(first))).max(0);
    let labelled: i64 = labels.iter().map(within).sum();
    last.saturating_sub(first).saturating_sub(labelled).max(0) as f64 / 1e9
}

fn nanos(window: Duration) -> i64 {
    i64::try_from(window.as_nanos()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use firmware_protocol::derived::{Status, Window};

    use super::super::outcome::Score;
    use super::*;

    const WINDOW: Spans = Spans { window: Duration::from_secs(600), hop: Duration::from_secs(600) };

    fn at(window: i64) -> EventTime {
        EventTime::from_millis(window * 600_000)
    }

    /// Windows from the tenth on are judged.
    fn outcome(windows: i64, alarmed: &[i64]) -> Outcome {
        let mut outcome = Outcome::default();
        for index in 0..windows {
            let is_alarm = alarmed.contains(&index);
            let decades = (index >= 10).then_some(if is_alarm { 1.0 } else { -1.0 });
            outcome.scores.insert(at(index + 1), Score { decades, is_alarm });
            let window = Window {
                id: String::new(),
                device: "d".into(),
                channel: "c".into(),
                start_at_ms: at(index).as_millis(),
                end_at_ms: at(index + 1).as_millis(),
                revision: 0,
                count: 1,
                gap_s: 0.0,
                stats: None,
                status: Status::Normal,
                score: decades,
            };
            outcome.windows.insert(("d".into(), "c".into(), window.start_at_ms), window);
        }
        outcome
    }

    #[test]
    fn alarmed_windows_near_each_other_are_one_alarm() {
        let outcome = outcome(100, &[20, 21, 27, 40]);
        assert_eq!(alarms(&outcome, WINDOW), [(at(20), at(28)), (at(40), at(41))]);
    }

    #[test]
    fn labels_are_found_by_what_overlaps_them_and_the_rest_is_false() {
        let outcome = outcome(4_330, &[20, 21, 50, 300]);
        let labels = [(at(2), at(5)), (at(20), at(30)), (at(49), at(50)), (at(100), at(105))];
        let figures = figures(&outcome, WINDOW, &labels);
        assert_eq!((figures.alarms, figures.right), (3, 2), "at a label's end is at it");
        assert_eq!((figures.labels, figures.found), (3, 2), "the first one was in the time of learning");
        assert_eq!(figures.delays_s, [600.0, 1_200.0]);
        assert_eq!(figures.median_delay_s(), Some(600.0));
        let judged = 4_320.0 - 11.0 - 2.0 - 6.0;
        assert!((figures.device_months - judged / 4_320.0).abs() < 1e-9, "{}", figures.device_months * 4_320.0);
        assert_eq!(figures.precision(), Some(2.0 / 3.0));
    }

    #[test]
    fn without_labels_and_alarms_nothing_is_divided() {
        let figures = figures(&outcome(5, &[]), WINDOW, &[]);
        assert_eq!((figures.precision(), figures.recall(), figures.median_delay_s()), (None, None, None));
        assert_eq!(figures.false_per_device_month(), None);
    }
}
