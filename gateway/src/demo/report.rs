//! What was injected against what was found. Pure: truth and anomalies in, table and figures out.
//!
//! # Invariants
//! - A fault is found only by an anomaly of its own device whose window overlaps the fault or the one window after it.
//! - An anomaly that was taken back finds nothing.
//! - An incident that lies on no fault of its device, and next to none, is a false alarm, taken back or not.
//!
//! # Not here
//! Thresholds, and mercy: what was not found is in the table too.

use std::collections::BTreeMap;

use firmware_protocol::derived::{Anomaly, AnomalyState, Incident};

use super::fault::Fault;
use crate::text::{Colour, Style, counted};

/// How a fault was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    Missed,
    Found(Evidence),
}

/// The anomaly that speaks for a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Whether any anomaly named the faulty channel itself.
    pub same_channel: bool,
    /// Windows from the one in which the fault began to the first anomalous one.
    pub delay_windows: i64,
    /// Kind and summary of the anomaly with the highest score, the faulty channel first.
    pub kind: String,
    pub summary: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub fault: Fault,
    pub finding: Finding,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// In order of time.
    pub rows: Vec<Row>,
    /// Device → incidents that no fault explains.
    pub false_alarms: BTreeMap<String, usize>,
}

/// Windows before and after a fault in which an incident is neither its finding nor a false alarm: baselines that look
/// back see the fault's edges there.
const BESIDE_WINDOWS: i64 = 2;

impl Report {
    pub fn new(faults: &[Fault], anomalies: &[Anomaly], incidents: &[Incident], window_ms: i64) -> Self {
        let mut rows: Vec<Row> = faults
            .iter()
            .map(|fault| Row { fault: fault.clone(), finding: find(fault, anomalies, window_ms) })
            .collect();
        rows.sort_by_key(|row| row.fault.start_at_ms);
        Self { rows, false_alarms: false_alarms(faults, incidents, window_ms) }
    }

    pub fn found(&self) -> usize {
        self.rows.iter().filter(|row| row.finding != Finding::Missed).count()
    }

    pub fn false_alarm_count(&self) -> usize {
        self.false_alarms.values().sum()
    }

    /// The table for a person, without the ledger.
    pub fn table(&self, style: Style) -> String {
        let mut text = style.paint(Colour::Bold, "Injected faults and what was found (UTC)");
        text.push('\n');
        let channel_width = self.rows.iter().map(|r| place(&r.fault).len()).max().unwrap_or(0).max(14);
        text += &style.paint(
            Colour::Dim,
            &format!(
                "{:<9}  {:<channel_width$}  {:<8}  {:>6}  {:<5}  {:>9}",
                "fault", "device/channel", "start", "length", "found", "delay"
            ),
        );
        text.push('\n');
        for row in &self.rows {
            text += &self.line(row, channel_width, style);
            text.push('\n');
        }
        let (found, all) = (self.found(), self.rows.len());
        text += &match all {
            0 => "no fault had time to be noticed: give more --seconds\n".to_owned(),
            _ => format!("found {found} of {all} ({:.0} %)\n", 100.0 * found as f64 / all as f64),
        };
        text += &self.false_alarm_line();
        text
    }

    fn line(&self, row: &Row, channel_width: usize, style: Style) -> String {
        let fault = &row.fault;
        let minutes = (fault.end_at_ms - fault.start_at_ms) / 60_000;
        let (found, delay, explanation) = match &row.finding {
            Finding::Missed => (style.paint(Colour::Red, "no"), String::new(), None),
            Finding::Found(e) => {
                let unit = if e.delay_windows == 1 { "window" } else { "windows" };
                let elsewhere = if e.same_channel { "" } else { "on another channel: " };
                let delay = format!("{} {unit}", e.delay_windows);
                let explanation = format!("{elsewhere}{}: {}", e.kind, briefly(&e.summary, fault.channel));
                (style.paint(Colour::Green, "yes  "), delay, Some(explanation))
            }
        };
        let line = format!(
            "{:<9}  {:<channel_width$}  {:<8}  {:>6}  {found}  {delay:>9}",
            fault.kind.name(),
            place(fault),
            clock(fault.start_at_ms),
            format!("{minutes} min"),
        );
        let line = line.trim_end();
        match explanation {
            // On a line of its own: beside the figures it would not fit on a terminal.
            Some(explanation) => format!("{line}\n  {}", style.paint(Colour::Dim, &explanation)),
            None => line.to_owned(),
        }
    }

    fn false_alarm_line(&self) -> String {
        if self.false_alarms.is_empty() {
            return "false alarms: none\n".to_owned();
        }
        let each: Vec<String> = self.false_alarms.iter().map(|(device, n)| format!("{device} {n}")).collect();
        format!("false alarms: {} ({})\n", counted(self.false_alarm_count() as u64, "incident"), each.join(", "))
    }
}

/// What the row beside it says already, channel and window, left out.
fn briefly(summary: &str, channel: &str) -> String {
    let summary = summary.strip_prefix(channel).and_then(|s| s.strip_prefix(": ")).unwrap_or(summary);
    let without_window = summary.split_once(" in the ").and_then(|(what, rest)| {
        let (_, figures) = rest.split_once(" UTC: ")?;
        Some(format!("{what}: {figures}"))
    });
    without_window.unwrap_or_else(|| summary.to_owned())
}

fn find(fault: &Fault, anomalies: &[Anomaly], window_ms: i64) -> Finding {
    let ours: Vec<&Anomaly> = anomalies
        .iter()
        .filter(|a| a.device == fault.device && a.state != AnomalyState::Withdrawn)
        .filter(|a| a.start_at_ms < fault.end_at_ms + window_ms && a.end_at_ms > fault.start_at_ms)
        .collect();
    let names = |a: &Anomaly| a.channel == fault.channel || a.channels.iter().any(|c| c.channel == fault.channel);
    let same_channel = ours.iter().any(|a| names(a));
    let telling = ours.iter().filter(|a| names(a) == same_channel);
    let Some(top) = telling.clone().max_by(|a, b| a.score.total_cmp(&b.score)) else { return Finding::Missed };
    let first_at_ms = telling.map(|a| a.start_at_ms).min().unwrap_or(top.start_at_ms);
    let fault_window = fault.start_at_ms.div_euclid(window_ms);
    Finding::Found(Evidence {
        same_channel,
        delay_windows: (first_at_ms.div_euclid(window_ms) - fault_window).max(0),
        kind: top.kind.clone(),
        summary: top.summary.clone(),
    })
}

fn false_alarms(faults: &[Fault], incidents: &[Incident], window_ms: i64) -> BTreeMap<String, usize> {
    let beside_ms = BESIDE_WINDOWS * window_ms;
    let explained = |i: &Incident| {
        faults
            .iter()
            .filter(|f| f.device == i.device)
            .any(|f| i.start_at_ms < f.end_at_ms + beside_ms && i.end_at_ms > f.start_at_ms - beside_ms)
    };
    let mut counts = BTreeMap::new();
    for incident in incidents.iter().filter(|i| !explained(i)) {
        *counts.entry(incident.device.clone()).or_insert(0) += 1;
    }
    counts
}

fn place(fault: &Fault) -> String {
    format!("{}/{}", fault.device, fault.channel)
}

/// Time of day, UTC.
fn clock(at_ms: i64) -> String {
    let second = at_ms.div_euclid(1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests;
