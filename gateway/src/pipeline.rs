//! Builds, connects and stops the stages. Read this second.
//!
//! # Invariants
//! - Consumers are registered before the doors open, so no record can pass one unseen.
//! - Shutdown goes with the stream: doors, then consumers, then the queue; each step is a line of [`Pipeline::shutdown`].
//! - A stage that ends by itself is a failure of the whole: [`Pipeline::failed`] resolves and the process exits non-zero.
//!
//! # Not here
//! Business rules: what a record means, when it is acknowledged, where it goes.

mod addresses;
mod doors;
mod refused;
mod renewal;
mod results;
mod retention;
mod stage;
mod time;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use firmware_protocol::decode::Decoder;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::clock::{self, Clock, SharedClockMap};
use crate::config::Config;
use crate::frames::{self, Frames, Refusals, Refused};
use crate::http::Readiness;
use crate::losses::Losses;
use crate::metrics::Metrics;
use crate::queue::{self, LedgerRow, Log, Monitor, Queue, QueueSeq};
use crate::view::View;
use crate::{alert, detect, forward, http, ingest, wear};

use stage::Stage;
use time::Keeper;

/// Name of detect's cursor in the queue.
pub(crate) const DETECT: &str = "detect";
/// Named state that holds the clock map.
pub(crate) const CLOCK_STATE: &str = "clock";
/// Named state that tells from where records are held until the clock is set.
const HOLD_STATE: &str = "clock/hold";
/// How often `drained` looks at the cursors.
const DRAIN_CHECK_EVERY: Duration = Duration::from_millis(50);

/// Sinks give up what is under way after the grace themselves; this is for writing down where they stand.
const GRACE_MARGIN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Ingest(#[from] ingest::Error),
    #[error(transparent)]
    Forward(#[from] forward::Error),
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("decoder: {0}")]
    Decode(String),
    #[error("data directory {} cannot be written: {error}", dir.display())]
    DataDir { dir: PathBuf, error: std::io::Error },
    #[error("{stage} stopped: {reason}")]
    Stopped { stage: String, reason: String },
}

/// A running gateway.
pub struct Pipeline {
    clock: Clock,
    clock_map: SharedClockMap,
    clock_status: watch::Receiver<clock::Status>,
    metrics: Metrics,
    view: Arc<View>,
    listen_addr: Option<SocketAddr>,
    http_addr: Option<SocketAddr>,
    readiness: watch::Sender<Readiness>,
    grace: Duration,
    detect_progress: Option<watch::Receiver<QueueSeq>>,
    doors: Stage,
    consumers: Stage,
    services: Stage,
    /// From the queue's writer to the doors.
    requests: frames::Requests,
    monitor: Monitor,
    queue: Queue,
}

/// What is known when everything has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub ledger: Vec<LedgerRow>,
}

impl Pipeline {
    /// Opens the queue, starts detect and the sinks, then opens the doors. Resolves once the doors are open.
    ///
    /// # Errors
    /// What cannot be opened, bound or built, with what to do. Unreachable brokers and sinks are no errors: they are retried.
    pub async fn start(config: Config) -> Result<Self, Error> {
        Self::start_with(config, Clock::system()).await
    }

    /// As [`Self::start`], by another clock.
    ///
    /// # Errors
    /// As there.
    pub async fn start_with(mut config: Config, clock: Clock) -> Result<Self, Error> {
        let decoder = Decoder::new(config.decode.clone()).map_err(Error::Decode)?;
        let (mut pipeline, mut keeper) = Self::open(&config, &decoder, clock)?;
        pipeline.watch_disk();
        pipeline.start_detect(&config, &decoder);
        pipeline.start_sinks(&config, decoder)?;
        pipeline.start_alerts(&config);
        keeper.settle().await?;
        pipeline.keep_time(&config, keeper);
        let imports = pipeline.open_imports(&mut config)?;
        pipeline.serve_http(&config, imports).await?;
        pipeline.open_doors(config)?;
        pipeline.readiness.send_replace(Readiness::Ready);
        Ok(pipeline)
    }

    /// The queue and all that is there before any stage runs.
    fn open(config: &Config, decoder: &Decoder, clock: Clock) -> Result<(Self, Keeper), Error> {
        let metrics = Metrics::default();
        let clock_map = SharedClockMap::default();
        clock_map.write().note(clock.boot(), clock.read().wall_at_boot_ns);
        let losses = Losses::new(decoder.clone(), clock, clock_map.clone(), CLOCK_STATE);
        let (refusals, refused) = Refusals::channel();
        let outlets = frames::Outlets { refusals, ..frames::Outlets::default() };
        let requests = outlets.requests.clone();
        let frames = Frames::new(&config.frames, clock, clock_map.clone(), metrics.frames.clone(), outlets);
        let queue = Queue::open_with(&config.queue, metrics.queue.clone(), Box::new(losses), Some(Box::new(frames)))?;
        let monitor = queue.monitor();
        let (map, limits) = (clock_map.clone(), &config.queue);
        let keeper = Keeper::start(&config.clock, clock, map, &queue, limits, metrics.clock.clone());
        let mut pipeline = Self {
            clock,
            clock_map,
            clock_status: keeper.status(),
            metrics,
            view: Arc::default(),
            listen_addr: None,
            http_addr: None,
            readiness: watch::Sender::new(Readiness::Starting),
            grace: config.gateway.shutdown_grace,
            detect_progress: None,
            doors: Stage::new(),
            consumers: Stage::new(),
            services: Stage::new(),
            requests,
            monitor,
            queue,
        };
        pipeline.keep_refused(config, refused)?;
        Ok((pipeline, keeper))
    }

    fn keep_time(&mut self, config: &Config, keeper: Keeper) {
        self.services.spawn("clock", keeper.run(self.services.stop_signal()));
        if retention::is_wanted(&config.queue) {
            let (map, sweeper) = (self.clock_map.clone(), self.queue.sweeper());
            self.services.spawn("retention", retention::keep(self.clock, map, sweeper, self.services.stop_signal()));
        }
    }

    /// Without keys nothing is refused.
    fn keep_refused(&mut self, config: &Config, refused: mpsc::Receiver<Refused>) -> Result<(), Error> {
        if config.frames.keys.is_empty() {
            return Ok(());
        }
        let dir = config.quarantine_dir();
        let file = refused::open(&dir).map_err(|error| Error::DataDir { dir, error })?;
        self.services.spawn("refused frames", refused::keep(file, refused, self.services.stop_signal()));
        Ok(())
    }

    fn watch_disk(&mut self) {
        self.services.spawn("disk", wear::watch(self.metrics.clone(), self.services.stop_signal()));
    }

    fn start_detect(&mut self, config: &Config, decoder: &Decoder) {
        let Some(detect) = config.detect.clone() else { return };
        let (processed, seen) = watch::channel(QueueSeq::default());
        self.detect_progress = Some(seen);
        let task = detect::Task {
            config: detect,
            decoder: decoder.clone(),
            reader: self.queue.stage_reader(DETECT, Log::Raw),
            appender: self.queue.stage_appender(),
            past: self.queue.annex(detect::PAST),
            clock: self.clock,
            clock_map: self.clock_map.clone(),
            view: self.view.clone(),
            metrics: self.metrics.detect.clone(),
            processed,
        };
        self.consumers.spawn(DETECT, detect::run(task, self.consumers.stop_signal()));
    }

    fn start_sinks(&mut self, config: &Config, decoder: Decoder) -> Result<(), Error> {
        let context = forward::Context {
            encoding: config.encoding(Arc::new(decoder), self.clock_map.clone()),
            quarantine_dir: config.quarantine_dir(),
            grace: self.grace,
            metrics: self.metrics.forward.clone(),
            stop: self.consumers.stop_signal(),
        };
        for sink in forward::start(&config.sinks, &context, |name| self.queue.reader(name))? {
            self.consumers.spawn(sink.name, sink.task);
        }
        Ok(())
    }

    fn start_alerts(&mut self, config: &Config) {
        if config.alerts.is_empty() {
            return;
        }
        let task = alert::Task {
            channels: config.alerts.clone(),
            sender: config.alert_sender(),
            reader: self.queue.reader_of(alert::CONSUMER, &[Log::Derived]),
            appender: self.queue.stage_appender(),
            clock: self.clock,
            clock_map: self.clock_map.clone(),
            metrics: self.metrics.alert.clone(),
            grace: self.grace,
        };
        self.consumers.spawn(alert::CONSUMER, alert::run(task, self.consumers.stop_signal()));
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Where `listen` really listens: the configuration may say port 0.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        self.listen_addr
    }

    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// How the clock stands, and how many records wait for it.
    pub fn clock_status(&self) -> watch::Receiver<clock::Status> {
        self.clock_status.clone()
    }

    pub fn ledger(&self) -> Vec<LedgerRow> {
        self.monitor.ledger()
    }

    /// Resolves once every sink has settled, and detect has read, every record that was in the queue at the call.
    pub async fn drained(&self) {
        let goal = [self.monitor.end(Log::Raw), self.monitor.end(Log::Derived)];
        loop {
            let sinks = self.monitor.ledger().iter().filter(|row| row.consumer != DETECT).all(|row| {
                let end = match row.log {
                    Log::Raw => goal[0],
                    Log::Derived => goal[1],
                };
                row.cursor.next >= end
            });
            let detect = self.detect_progress.as_ref().is_none_or(|seen| *seen.borrow() >= goal[0]);
            if sinks && detect {
                return;
            }
            tokio::time::sleep(DRAIN_CHECK_EVERY).await;
        }
    }

    /// Whether [`Self::failed`] would resolve at once.
    pub fn has_failed(&self) -> bool {
        [&self.doors, &self.consumers, &self.services].into_iter().any(Stage::has_ended)
    }

    /// Resolves when a stage has ended by itself: the process must stop and say so.
    pub async fn failed(&mut self) -> Error {
        let (stage, reason) = tokio::select! {
            ended = self.doors.ended() => ended,
            ended = self.consumers.ended() => ended,
            ended = self.services.ended() => ended,
        };
        self.readiness.send_replace(Readiness::Failed(format!("{stage}: {reason}")));
        Error::Stopped { stage, reason }
    }

    /// Stops intake, sends the last acknowledgements, lets sinks finish, makes cursors durable.
    ///
    /// # Errors
    /// The queue could not make its last state durable, or a stage failed on its way out.
    pub async fn shutdown(mut self) -> Result<Summary, Error> {
        info!("Stopping.");
        self.readiness.send_replace(Readiness::Stopping);
        let grace = self.grace;
        let doors = self.doors.stop("doors", grace).await;
        let consumers = self.consumers.stop("consumers", grace + GRACE_MARGIN).await;
        let services = self.services.stop("services", grace).await;
        self.queue.close()?;
        match doors.or(consumers).or(services) {
            Some((stage, reason)) => Err(Error::Stopped { stage, reason }),
            None => Ok(Summary { ledger: self.monitor.ledger() }),
        }
    }
}
