//! What a person sees while the demo runs: one line a second, and colour where there is a terminal.

use std::io::{IsTerminal, Write};

use crate::metrics::{DoorLabel, Metrics, StatusLabel};
use crate::queue::{LedgerRow, Log};

/// Labels of `metrics.detect.windows`: the names of `firmware_protocol::derived::Status`.
const WINDOW_STATUSES: [&str; 3] = ["learning", "normal", "anomalous"];

/// How to write to this output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A file or pipe, or a person who asked for no colour.
    Plain,
    Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

impl Style {
    /// For standard output: colour on a terminal unless `NO_COLOR` is set.
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        if std::io::stdout().is_terminal() && !refused { Self::Colour } else { Self::Plain }
    }

    pub fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Bold => 1,
            Colour::Dim => 2,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// The gateway's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub messages: u64,
    pub readings: u64,
    /// Raw records that the slowest consumer has before it.
    pub queued: u64,
    pub windows: u64,
    pub anomalies: u64,
}

impl Snapshot {
    pub fn take(metrics: &Metrics, ledger: &[LedgerRow]) -> Self {
        let windows = |status| metrics.detect.windows.get_or_create(&StatusLabel { status }).get();
        Self {
            messages: metrics.ingest.messages.get_or_create(&DoorLabel { door: "listen" }).get(),
            readings: metrics.detect.readings.get(),
            queued: ledger.iter().filter(|r| r.log == Log::Raw).map(|r| r.queued).max().unwrap_or(0),
            windows: WINDOW_STATUSES.into_iter().map(windows).sum(),
            anomalies: metrics.detect.anomalies.get(),
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
        "{label}  {} messages/s  {} readings/s  queue {}  windows {}  anomalies {}",
        grouped(rate(before.messages, now.messages)),
        grouped(rate(before.readings, now.readings)),
        grouped(now.queued),
        grouped(now.windows),
        grouped(now.anomalies),
    )
}

/// `1 device`, `1 200 devices`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// 1234567 → `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn one_of_a_thing_is_no_plural() {
        assert_eq!([1, 2_000].map(|n| counted(n, "device")), ["1 device", "2 000 devices"]);
    }

    #[test]
    fn the_line_shows_rates_since_the_last_one_and_totals() {
        let before = Snapshot { messages: 1_000, readings: 10_000, queued: 5, windows: 10, anomalies: 0 };
        let now = Snapshot { messages: 1_700, readings: 17_000, queued: 1_500, windows: 25, anomalies: 2 };
        assert_eq!(
            line("12 s", before, now, 2.0),
            "12 s  350 messages/s  3 500 readings/s  queue 1 500  windows 25  anomalies 2"
        );
    }

    #[test]
    fn plain_style_adds_no_escape_sequences() {
        assert_eq!(Style::Plain.paint(Colour::Red, "no"), "no");
        assert_eq!(Style::Colour.paint(Colour::Red, "no"), "\x1b[31mno\x1b[0m");
    }
}
