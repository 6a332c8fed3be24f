//! The shell around [`Engine`]: reads the raw log, decodes, commits, feeds the view.
//!
//! It runs on a thread of its own: learning a model takes a tenth of a second of computing, which would hold up whatever
//! else shares a worker of the runtime, and reading a block may wait for the disk. The thread waits on the runtime only
//! for commits and for news.
//!
//! # Invariants
//! - One transaction is under way at a time; the engine goes on only once it is durable.
//! - Ticks of the gateway's clock reach the engine only when all records have: a backlog is not silence, and neither are
//!   records that wait for the clock to be set.

mod news;
mod past;
mod points;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tracing::info;

use firmware_protocol::decode::{DecodeError, Decoder, Incoming, latest_believable};
use firmware_protocol::derived::Derived;
use firmware_protocol::measurement::{EventTime, Measurement};

use self::news::News;
pub use self::past::key as chunk_key;
use self::past::{DurablePast, Source};
use self::points::Points;
use super::Config;
use super::engine::{Changes, DERIVED_MAX, Due, Engine};
use crate::clock::{Clock, SharedClockMap, Stamp};
use crate::metrics::{self, ReasonLabel};
use crate::queue::{self, Annex, Appender, Door, Flags, Log, QueueSeq, Reader, Record, Transaction};
use crate::shutdown::Stop;
use crate::view::View;

/// How often silent devices are looked for, and how long a finished window waits for company in its transaction.
const TICK: Duration = Duration::from_secs(1);
/// Records received less than this ago may still be on their way through the group commit.
const SETTLE: Duration = Duration::from_secs(1);
/// Charts get new points this often under load: to find a series in the view costs more than to remember its points.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// A transaction is cut after this many raw records, so that a restart has little to do again.
const RECORDS_MAX: u64 = 50_000;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error("results of detection could not be made durable: {0}")]
    Commit(Arc<queue::Error>),
    #[error("the thread of detection could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the thread of detection panicked")]
    Panicked,
}

/// What detection works with, all made by the pipeline.
pub struct Task {
    pub config: Config,
    pub decoder: Decoder,
    pub reader: Reader,
    pub appender: Appender,
    /// The queue's, of the name [`super::PAST`].
    pub past: Annex,
    pub clock: Clock,
    pub clock_map: SharedClockMap,
    pub view: Arc<View>,
    pub metrics: metrics::Detect,
    /// Told the raw record up to which all are in results and state.
    pub processed: watch::Sender<QueueSeq>,
}

/// Detects until it is told to stop, or the queue fails.
///
/// # Errors
/// The queue is closed or cannot be read or written: nothing is lost, but detection has ended.
pub async fn run(task: Task, stop: Stop) -> Result<(), Error> {
    let (finished, outcome) = oneshot::channel();
    let runtime = Handle::current();
    std::thread::Builder::new().name("detect".into()).spawn(move || {
        let result = Running::new(task, stop, runtime).run();
        // The other side is gone only if the pipeline no longer waits: then nobody wants to know.
        finished.send(result).unwrap_or_default();
    })?;
    outcome.await.map_err(|_| Error::Panicked)?
}

struct Running {
    task: Task,
    stop: Stop,
    runtime: Handle,
    engine: Engine,
    past: DurablePast,
    /// When this run began, and the newest message that an earlier one left: between the two nobody listened.
    started: Stamp,
    left: Option<Stamp>,
    measurement: Measurement,
    points: Points,
    news: News,
    /// Since the last transaction.
    records: u64,
    committed_at: Instant,
    /// When the charts last got their points.
    shown_at: Instant,
}

impl Running {
    fn new(task: Task, stop: Stop, runtime: Handle) -> Self {
        let past = DurablePast::new(task.past.clone(), task.metrics.clone());
        let source = Source { reader: &task.reader, past: &past };
        let engine = Engine::restore(&task.config, &source, task.reader.cursor(Log::Raw));
        info!(channels = engine.channels(), from = engine.next().0, "Detection starts.");
        let points = Points::new(task.config.window);
        let mut news = News::new(task.view.clone(), task.metrics.clone());
        news.remember(engine.incidents());
        let measurement = Measurement::default();
        let (now, started) = (Instant::now(), task.clock.stamp());
        let left = newest(&task.reader);
        Self {
            task,
            stop,
            runtime,
            engine,
            past,
            started,
            left,
            measurement,
            points,
            news,
            records: 0,
            committed_at: now,
            shown_at: now,
        }
    }

    fn run(mut self) -> Result<(), Error> {
        self.set_absence();
        while !self.stop.is_requested() {
            // Asked first: what a hold sets free between this and the look at the end must not be taken for silence.
            let is_held = self.task.reader.is_held();
            if let Some(block) = self.task.reader.read(Log::Raw, self.engine.next())? {
                for (seq, record) in block.records_from(self.engine.next()) {
                    self.take(seq, record);
                }
                self.report();
                if self.engine.derived_waiting() >= DERIVED_MAX
                    || self.records >= RECORDS_MAX
                    || self.committed_at.elapsed() >= TICK
                {
                    self.commit()?;
                }
                continue;
            }
            if !is_held {
                let now = self.task.clock_map.resolve(self.task.clock.stamp()).at;
                let now = EventTime(now.0.saturating_sub(SETTLE.as_nanos() as i64));
                while self.look(now) == Due::More {
                    self.commit()?;
                }
                self.report();
            }
            self.commit()?;
            self.wait()?;
        }
        self.show_points();
        self.commit()
    }

    fn look(&mut self, now: EventTime) -> Due {
        self.set_absence();
        self.engine.on_idle(now, &Source { reader: &self.task.reader, past: &self.past })
    }

    /// Each time anew: when that was may be known better since the clock was set.
    fn set_absence(&mut self) {
        let at = |stamp| self.task.clock_map.resolve(stamp).at;
        self.engine.set_absence(self.left.map_or(EventTime(i64::MIN), at), at(self.started));
    }

    fn take(&mut self, seq: QueueSeq, record: &Record) {
        self.records += 1;
        let received = self.task.clock_map.resolve(record.received);
        let decoded = match std::str::from_utf8(&record.topic) {
            Ok(topic) => {
                let content_type = record.content_type();
                let message = Incoming {
                    topic,
                    payload: &record.payload,
                    content_type,
                    received_at: received.at,
                    is_replay: record.is_replay(),
                    table: record.table(),
                };
                self.task.decoder.decode(message, &mut self.measurement).map(drop)
            }
            Err(_) => Err(DecodeError::NotUtf8),
        };
        match decoded {
            Ok(()) => {
                for (reason, readings) in self.measurement.dropped.by_reason().into_iter().filter(|(_, n)| *n > 0) {
                    self.task.metrics.refused.get_or_create(&ReasonLabel { reason }).inc_by(u64::from(readings));
                }
                self.points.add(&self.measurement, latest_believable(received, self.task.config.future_max));
                let source = Source { reader: &self.task.reader, past: &self.past };
                self.engine.on_measurement(seq, &self.measurement, received, &source);
            }
            Err(error) => {
                self.task.metrics.undecodable.get_or_create(&ReasonLabel { reason: error.reason() }).inc();
                self.engine.on_undecodable(seq);
            }
        }
    }

    /// Counts and charts what happened since the last call.
    fn report(&mut self) {
        let (counts, models_fitted) = self.engine.take_counts();
        let metrics = &self.task.metrics;
        metrics.readings.inc_by(counts.used + counts.revised);
        for (reason, readings) in counts.refused().into_iter().filter(|(_, n)| *n > 0) {
            metrics.refused.get_or_create(&ReasonLabel { reason }).inc_by(readings);
        }
        metrics.models_fitted.inc_by(models_fitted);
        metrics.channels.set(self.engine.channels() as i64);
        if self.points.is_full() || self.shown_at.elapsed() >= SHOW_EVERY {
            self.show_points();
        }
        self.task.processed.send_replace(self.engine.processed());
    }

    fn show_points(&mut self) {
        self.shown_at = Instant::now();
        self.points.flush(&self.task.view);
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.records = 0;
        self.committed_at = Instant::now();
        let Some(mut changes) = self.engine.changes() else { return Ok(()) };
        self.past.keep(&mut changes);
        let Changes { derived, cursor, state, .. } = changes;
        let received = self.task.clock.stamp();
        let transaction = Transaction {
            raw: Vec::new(),
            derived: derived.iter().map(|d| derived_record(d, received)).collect(),
            cursors: vec![(self.task.reader.name().to_owned(), Log::Raw, cursor)],
            state,
        };
        self.runtime.block_on(async {
            let receipt = self.task.appender.commit(transaction).await?;
            match receipt.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(Error::Commit(error)),
                Err(_) => Err(Error::Queue(queue::Error::Closed)),
            }
        })?;
        for record in derived {
            self.news.tell(record);
        }
        Ok(())
    }

    /// Sleeps until there is news, a tick, or the word to stop.
    fn wait(&mut self) -> Result<(), Error> {
        let Self { task, stop, runtime, .. } = self;
        runtime.block_on(async {
            tokio::select! {
                changed = task.reader.changed() => changed,
                () = tokio::time::sleep(TICK) => Ok(()),
                () = stop.requested() => Ok(()),
            }
        })?;
        Ok(())
    }
}

/// When the newest record in the queue was received; `None` if none is left.
fn newest(reader: &Reader) -> Option<Stamp> {
    let newest = QueueSeq(reader.end(Log::Raw).0.checked_sub(1)?);
    // A queue that cannot be read ends detection soon: it reads on itself.
    let block = reader.read(Log::Raw, newest).ok()??;
    block.records_from(newest).last().map(|(_, record)| record.received)
}

/// As it lies in the derived log.
pub(crate) fn derived_record(derived: &Derived, received: Stamp) -> Record {
    Record {
        door: Door::Detect,
        flags: Flags::default(),
        received,
        topic: Bytes::from_static(topic(derived).as_bytes()),
        payload: derived.to_json().into(),
        content_type: Bytes::from_static(b"application/json"),
        table: Bytes::new(),
    }
}

fn topic(record: &Derived) -> &'static str {
    match record {
        Derived::Window(_) => "window",
        Derived::Anomaly(_) => "anomaly",
        Derived::Incident(_) => "incident",
        Derived::Gap(_) => "gap",
    }
}
