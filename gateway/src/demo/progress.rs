//! What a person sees while the demo runs: one line a second.

use std::io::{IsTerminal, Write};

use firmware_protocol::derived::Severity;

use crate::metrics::{DoorLabel, Metrics, SeverityLabel, StatusLabel};
use crate::queue::{LedgerRow, Log};
use crate::text::grouped;

/// Labels of `metrics.detect.windows`: the names of `firmware_protocol::derived::Status`.
const WINDOW_STATUSES: [&str; 3] = ["learning", "normal", "anomalous"];

/// The gateway's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub messages: u64,
    pub readings: u64,
    /// Raw records that the slowest consumer has before it.
    pub queued: u64,
    pub windows: u64,
    /// Opened so far.
    pub incidents: u64,
}

impl Snapshot {
    pub fn take(metrics: &Metrics, ledger: &[LedgerRow]) -> Self {
        let incidents = |severity: Severity| {
            metrics.detect.incidents.get_or_create(&SeverityLabel { severity: severity.name() }).get()
        };
        let windows = |status| metrics.detect.windows.get_or_create(&StatusLabel { status }).get();
        Self {
            messages: metrics.ingest.messages.get_or_create(&DoorLabel { door: "listen" }).get(),
            readings: metrics.detect.readings.get(),
            queued: ledger.iter().filter(|r| r.log == Log::Raw).map(|r| r.queued).max().unwrap_or(0),
            windows: WINDOW_STATUSES.into_iter().map(windows).sum(),
            incidents: Severity::ALL.into_iter().map(incidents).sum(),
        }
    }
}

/// The progress line: rewritten in place on a terminal, one plain line each time otherwise.
#[derive(Debug)]
pub struct Progress {
    in_place: bool,
    shown: bool,
    before: Snapshot,
}

impl Progress {
    pub fn new(start: Snapshot) -> Self {
        Self { in_place: std::io::stdout().is_terminal(), shown: false, before: start }
    }

    /// Shows where we are; `elapsed_s` since the last call.
    pub fn show(&mut self, label: &str, now: Snapshot, elapsed_s: f64) {
        let text = line(label, self.before, now, elapsed_s);
        self.before = now;
        self.shown = true;
        let mut out = std::io::stdout().lock();
        // In place, wrapping is off meanwhile: what a narrow terminal breaks in two cannot be overwritten.
        let (before, after) = if self.in_place { ("\r\x1b[K\x1b[?7l", "\x1b[?7h") } else { ("", "\n") };
        // A closed pipe is no reason to stop measuring.
        write!(out, "{before}{text}{after}").and_then(|()| out.flush()).unwrap_or_default();
    }

    /// Leaves the last line standing.
    pub fn end(&self) {
        if self.in_place && self.shown {
            println!();
        }
    }
}

fn line(label: &str, before: Snapshot, now: Snapshot, elapsed_s: f64) -> String {
    let rate = |before: u64, now: u64| (now.saturating_sub(before) as f64 / elapsed_s.max(0.001)).round() as u64;
    format!(
        "{label}  {} messages/s  {} readings/s  queue {}  windows {}  incidents {}",
        grouped(rate(before.messages, now.messages)),
        grouped(rate(before.readings, now.readings)),
        grouped(now.queued),
        grouped(now.windows),
        grouped(now.incidents),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_rates_since_the_last_one_and_totals() {
        let before = Snapshot { messages: 1_000, readings: 10_000, queued: 5, windows: 10, incidents: 0 };
        let now = Snapshot { messages: 1_700, readings: 17_000, queued: 1_500, windows: 25, incidents: 2 };
        assert_eq!(
            line("12 s", before, now, 2.0),
            "12 s  350 messages/s  3 500 readings/s  queue 1 500  windows 25  incidents 2"
        );
    }
}
