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
mod renewal;
mod results;
mod retention;
mod stage;
mod time;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use firmware_protocol::decode::Decoder;
use tokio::sync::watch;
use tracing::info;

use crate::clock::{self, Clock, SharedClockMap};
use crate::config::{self, Config};
use crate::frames::Frames;
use crate::http::{Login, Readiness};
use crate::ingest::access::{self, tokens::Tokens};
use crate::ingest::csv;
use crate::ingest::listen::{Doorway, Listener};
use crate::ingest::{Guard, Results};
use crate::losses::Losses;
use crate::metrics::Metrics;
use crate::queue::{self, LedgerRow, Log, Monitor, Queue, QueueSeq};
use crate::view::View;
use crate::{detect, forward, http, ingest, wear};

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
        let frames = Frames::new(&config.frames, clock_map.clone(), metrics.frames.clone());
        let queue = Queue::open_with(&config.queue, metrics.queue.clone(), Box::new(losses), Some(Box::new(frames)))?;
        let monitor = queue.monitor();
        let (map, limits) = (clock_map.clone(), &config.queue);
        let keeper = Keeper::start(&config.clock, clock, map, &queue, limits, metrics.clock.clone());
        let pipeline = Self {
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
            monitor,
            queue,
        };
        Ok((pipeline, keeper))
    }

    fn keep_time(&mut self, config: &Config, keeper: Keeper) {
        self.services.spawn("clock", keeper.run(self.services.stop_signal()));
        if retention::is_wanted(&config.queue) {
            let (map, sweeper) = (self.clock_map.clone(), self.queue.sweeper());
            self.services.spawn("retention", retention::keep(self.clock, map, sweeper, self.services.stop_signal()));
        }
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
            labels: forward::Labels { gateway: config.gateway.name.clone(), site: config.gateway.site.clone() },
            decoder: Arc::new(decoder),
            clock: self.clock_map.clone(),
            future_max: config.clock.future_max,
            quarantine_dir: config.gateway.data_dir.join("quarantine"),
            grace: self.grace,
            metrics: self.metrics.forward.clone(),
            stop: self.consumers.stop_signal(),
        };
        for sink in forward::start(&config.sinks, &context, |name| self.queue.reader(name))? {
            self.consumers.spawn(sink.name, sink.task);
        }
        Ok(())
    }

    /// Starts the doors for CSV files; gives what of them is answered by HTTP.
    fn open_imports(&mut self, config: &mut Config) -> Result<Router, Error> {
        let (folders, upload) = (std::mem::take(&mut config.csv), config.upload.take());
        if folders.is_empty() && upload.is_none() {
            return Ok(Router::new());
        }
        let (ingest, imports) = (self.metrics.ingest.clone(), self.metrics.imports.clone());
        let importer = csv::Importer::open(self.queue.appender(), &self.monitor, self.clock, ingest, imports)?;
        let mut routes = csv::progress_routes(&importer);
        for folder in folders {
            let name = format!("csv {}", folder.dir.display());
            self.doors.spawn(name, csv::watch(folder, importer.clone(), self.doors.stop_signal()));
        }
        if let Some(upload) = upload {
            let dir = upload.dir.clone();
            let opened = csv::open_upload(upload, &importer, self.monitor.pressure());
            let (upload, task) = opened.map_err(|error| Error::DataDir { dir, error })?;
            routes = routes.merge(upload);
            self.doors.spawn("upload", task.run(self.doors.stop_signal()));
        }
        Ok(routes)
    }

    async fn serve_http(&mut self, config: &Config, imports: Router) -> Result<(), Error> {
        if let Some(http) = &config.http {
            let server = http::Server::bind(http.bind).await?;
            self.http_addr = Some(server.addr());
            let tokens = Arc::new(Tokens::new(&http.tokens));
            // Without tokens on a public address the configuration has been asked whether that is wanted.
            let is_open = http.open_reading || http.tokens.is_empty() || server.addr().ip().is_loopback();
            let guard = Guard::new("http", http.tls.as_ref(), &access::Config::default(), &self.metrics.security)?;
            let tls = guard.tls.clone();
            self.services.spawn("http renewal", renewal::keep(guard, self.services.stop_signal()));
            let doors = self.open_http_door(http, tokens.clone()).merge(http::for_files(imports, tokens.clone()));
            let books = self.monitor.clone();
            let sources = http::Sources {
                gateway: config.gateway.name.clone(),
                view: self.view.clone(),
                metrics: self.metrics.clone(),
                ledger: Arc::new(move || books.ledger()),
                readiness: self.readiness.subscribe(),
                pressure: self.monitor.pressure(),
                clock: self.clock_status.clone(),
            };
            let login = if is_open { Login::Open } else { Login::Token(tokens) };
            let site = http::Site { sources, doors, login, tls, limits: http.limits.clone() };
            self.services.spawn("http", server.run(site, self.services.stop_signal()));
        }
        note_address(config, "http", self.http_addr)
    }

    /// Its routes; the door itself stops with the others, while the server still gives its last answers.
    fn open_http_door(&mut self, http: &config::Http, tokens: Arc<Tokens>) -> Router {
        let Some(ingest) = &http.ingest else { return Router::new() };
        let parts = ingest::http::Parts {
            config: ingest.clone(),
            tokens,
            appender: self.queue.appender(),
            clock: self.clock,
            pressure: self.monitor.pressure(),
            metrics: self.metrics.ingest.clone(),
        };
        let door = ingest::http::Door::new(parts, self.doors.stop_signal());
        let routes = door.routes();
        self.doors.spawn("http door", door.run());
        routes
    }

    fn open_doors(&mut self, mut config: Config) -> Result<(), Error> {
        let (clock, metrics, stop) = (self.clock, &self.metrics.ingest, self.doors.stop_signal());
        if let Some(listen) = config.listen.take() {
            let guard = Guard::new("listen", listen.tls.as_ref(), &listen.access, &self.metrics.security)?;
            self.services.spawn("renewal", renewal::keep(guard.clone(), self.services.stop_signal()));
            let listener = Listener::bind(listen)?;
            self.listen_addr = Some(listener.local_addr());
            let results = Results::new(&config.gateway.name);
            let doorway = Doorway {
                appender: self.queue.appender(),
                monitor: self.monitor.clone(),
                clock,
                metrics: metrics.clone(),
                results: results.clone(),
                guard,
            };
            self.doors.spawn("listen", listener.run(doorway, stop.clone()));
            self.doors.spawn("results", results::tell(self.view.clone(), results, stop.clone()));
        }
        for mqtt in std::mem::take(&mut config.mqtt) {
            let name = mqtt.name.clone();
            let (appender, monitor) = (self.queue.appender(), self.monitor.clone());
            let run = ingest::mqtt::run(mqtt, appender, monitor, clock, metrics.clone(), stop.clone());
            self.doors.spawn(name, run);
        }
        for serial in std::mem::take(&mut config.serial) {
            let name = serial.name.clone();
            let run = ingest::serial::run(serial, self.queue.appender(), clock, self.metrics.clone(), stop.clone());
            self.doors.spawn(name, run);
        }
        note_address(&config, "listen", self.listen_addr)
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

fn note_address(config: &Config, door: &str, address: Option<SocketAddr>) -> Result<(), Error> {
    let dir = &config.gateway.data_dir;
    addresses::note(dir, door, address).map_err(|error| Error::DataDir { dir: dir.clone(), error })
}
