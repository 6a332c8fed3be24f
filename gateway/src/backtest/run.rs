//! One file through the engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use firmware_protocol::measurement::{EventTime, Measurement, Received};

use super::input::{Error, Formats, Item, Source};
use super::outcome::Outcome;
use super::samples::Samples;
use super::survey::Survey;
use crate::config;
use crate::detect::{self, Changes, Due, Engine, InMemory};
use crate::queue::{Cursor, QueueSeq};

/// A transaction is cut at this many derived records,
const DERIVED_MAX: usize = 256;
/// or after this many rows.
const ROWS_MAX: u64 = 50_000;
/// How often, by the times of receipt, silent devices are looked for.
const TICK_NS: i64 = 60_000_000_000;

/// When verdicts begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    For(Duration),
    /// This many rows of the file, whatever time they span.
    Rows(usize),
}

/// More rows than this are no beginning of a file.
const LEARN_ROWS_MAX: usize = 10_000_000;

impl std::str::FromStr for Learn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rows = text.strip_suffix("rows").or_else(|| text.strip_suffix("row"));
        if let Some(rows) = rows {
            let rows = rows.trim_end().parse().ok().filter(|rows| (1..=LEARN_ROWS_MAX).contains(rows));
            return rows.map(Self::Rows).ok_or_else(|| format!("is not from 1rows to {LEARN_ROWS_MAX}rows"));
        }
        let span = config::duration(text).map_err(|why| format!("{why}, or a number of rows such as 400rows"))?;
        if span.is_zero() { Err("is nothing to learn from".to_owned()) } else { Ok(Self::For(span)) }
    }
}

impl std::fmt::Display for Learn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::For(span) => f.write_str(&config::shown(*span)),
            Self::Rows(rows) => write!(f, "{rows} rows"),
        }
    }
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Windows,
    /// Each sample by itself.
    Samples,
}

/// How files are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub by: By,
    pub detect: detect::Config,
    pub learn: Learn,
    /// Whether signals are kept for a drawing.
    pub draw: bool,
}

impl Settings {
    pub fn spans(&self) -> Spans {
        let detect::Config { window, hop, .. } = self.detect;
        match self.by {
            By::Windows => Spans { window, hop: if hop.is_zero() { window } else { hop } },
            By::Samples => Spans { window: Duration::ZERO, hop: Duration::ZERO },
        }
    }
}

/// How windows lie in time; both zero where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    pub window: Duration,
    /// From one's begin to that of the next: `window` where they lie side by side.
    pub hop: Duration,
}

/// Runs a file through an engine of its own, after a look at its first rows, which tell when learning ends. `read` counts
/// the bytes that went through.
///
/// # Errors
/// The file cannot be read, or holds nothing that can be.
pub fn run(path: &Path, formats: &Formats, settings: &Settings, read: Arc<AtomicU64>) -> Result<Outcome, Error> {
    let survey = survey(&mut Source::open(path, formats, Arc::default())?, settings.learn)?;
    let mut detect = settings.detect.clone();
    if let Learn::Rows(rows) = settings.learn {
        let hop_ns = i64::try_from(settings.spans().hop.as_nanos()).unwrap_or(i64::MAX);
        let windows = survey.windows_in(rows, hop_ns);
        detect.learn = Duration::from_nanos(windows.saturating_mul(hop_ns).unsigned_abs());
        detect.novel_after = detect.learn;
    } else if let Learn::For(span) = settings.learn {
        detect.learn = span;
    }
    let spacing_ns = survey.spacing_ns();
    let mut source = Source::open(path, formats, read)?;
    let samples = || Samples::new(&detect, settings, spacing_ns);
    let mut driver = Driver::new(&detect, (settings.by == By::Samples).then(samples));
    let mut measurement = Measurement::default();
    loop {
        match source.next(&mut measurement)? {
            Item::Row { at, received, seq } => {
                driver.take(at, received, seq, &measurement);
                if settings.draw {
                    driver.outcome.draw(&measurement, spacing_ns);
                }
            }
            Item::Bad { line, reason, seq } => {
                driver.outcome.bad.add(line, reason);
                if let Some(seq) = seq {
                    driver.engine.on_undecodable(seq);
                }
            }
            Item::Passed => {}
            Item::End => break,
        }
    }
    let outcome = driver.finish(detect.idle_timeout, spacing_ns);
    if outcome.rows == 0 { Err(source.nothing(&outcome.bad)) } else { Ok(outcome) }
}

fn survey(source: &mut Source, learn: Learn) -> Result<Survey, Error> {
    let mut survey = Survey::of_rows(match learn {
        Learn::For(_) => 0,
        Learn::Rows(rows) => rows,
    });
    let mut measurement = Measurement::default();
    loop {
        match source.next(&mut measurement)? {
            Item::Row { at, .. } => {
                if survey.add(at) {
                    return Ok(survey);
                }
            }
            Item::Bad { .. } | Item::Passed => {}
            Item::End => return Ok(survey),
        }
    }
}

/// An engine, what it made durable, and what came of it.
struct Driver {
    /// In place of the engine.
    samples: Option<Samples>,
    engine: Engine,
    store: InMemory,
    outcome: Outcome,
    /// Since the last transaction.
    rows: u64,
    newest_at: EventTime,
    received_at: EventTime,
    ticked_at: EventTime,
}

impl Driver {
    fn new(config: &detect::Config, samples: Option<Samples>) -> Self {
        let store = InMemory::default();
        let never = EventTime(i64::MIN);
        Self {
            samples,
            engine: Engine::restore(config, &store, Cursor::default()),
            store,
            outcome: Outcome::default(),
            rows: 0,
            newest_at: never,
            received_at: never,
            ticked_at: never,
        }
    }

    fn take(&mut self, at: EventTime, received: Received, seq: Option<QueueSeq>, measurement: &Measurement) {
        self.newest_at = self.newest_at.max(at);
        self.received_at = self.received_at.max(received.at);
        self.outcome.rows += 1;
        if let Some(samples) = &mut self.samples {
            samples.take(at, measurement, &mut self.outcome);
            return;
        }
        self.rows += 1;
        let seq = seq.unwrap_or_else(|| self.engine.next());
        self.engine.on_measurement(seq, measurement, received, &self.store);
        if self.received_at.0.saturating_sub(self.ticked_at.0) >= TICK_NS {
            self.ticked_at = self.received_at;
            self.idle_until(self.received_at, EventTime(i64::MAX));
        }
        if self.rows >= ROWS_MAX || self.engine.derived_waiting() >= DERIVED_MAX {
            self.commit(EventTime(i64::MAX));
        }
    }

    /// Closes what the file has filled: a window counts if the readings reach its end, to the distance of one.
    fn finish(mut self, idle_timeout: Duration, spacing_ns: i64) -> Outcome {
        self.commit(EventTime(i64::MAX));
        let idle_ns = i64::try_from(idle_timeout.as_nanos()).unwrap_or(i64::MAX);
        let reach = EventTime(self.newest_at.0.saturating_add(spacing_ns));
        self.idle_until(EventTime(self.received_at.0.saturating_add(idle_ns)), reach);
        self.commit(reach);
        self.outcome
    }

    fn idle_until(&mut self, now: EventTime, reach: EventTime) {
        while self.engine.on_idle(now, &self.store) == Due::More {
            self.commit(reach);
        }
    }

    fn commit(&mut self, reach: EventTime) {
        self.rows = 0;
        let (counts, _) = self.engine.take_counts();
        self.outcome.counts.add(counts);
        let Some(Changes { derived, state, past, .. }) = self.engine.changes() else { return };
        self.store.commit(state, past);
        derived.into_iter().for_each(|record| self.outcome.take(record, reach));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_is_a_span_or_a_number_of_rows() {
        assert_eq!("7d".parse(), Ok(Learn::For(Duration::from_secs(7 * 86_400))));
        assert_eq!("400rows".parse(), Ok(Learn::Rows(400)));
        assert_eq!("400 rows".parse(), Ok(Learn::Rows(400)));
        for text in ["", "0rows", "-1rows", "rows", "7", "0s", "400 lines", "99999999999rows"] {
            assert!(text.parse::<Learn>().is_err(), "{text:?}");
        }
    }
}
