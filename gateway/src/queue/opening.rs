//! Opens a queue: what the watermark vouches for, what the generations hold, what is missing between the two.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ballast::Ballast;
use super::books::Books;
use super::cache::Cache;
use super::files::{self, DirLock};
use super::gate::HeldFrom;
use super::generations::contents::Contents;
use super::generations::{Generations, generation, quarantine, recovery};
use super::inbox::Inbox;
use super::runs::{Run, Runs};
use super::shared::{LOSSES_MAX, Shared, report_lost};
use super::store::Engine;
use super::watermark::{Found, Mark, Watermark};
use super::writer::{Gate, Patience, Usage, Writer};
use super::{Config, Error, Log, Monitor, Queue, QueueSeq, Seams};
use crate::metrics;

impl Queue {
    /// Begins to work on what the engine's generations hold.
    pub(super) fn start(
        config: &Config,
        metrics: metrics::Queue,
        seams: Seams,
        engine: Arc<dyn Engine>,
        lock: DirLock,
        patience: Patience,
    ) -> Result<Self, Error> {
        let ballast = Ballast::new(&config.dir, config.ballast_bytes);
        if files::free_bytes(&config.dir)? < config.ballast_bytes / 2 && ballast.throw_overboard()? {
            tracing::error!("Disk is full: the queue opens with its reserve.");
        }
        let (mut watermark, found) = Watermark::open(&config.dir)?;
        let mark = vouched(found, &config.dir)?;
        let Opened { store, contents, next, lost } = open_store(config, engine, mark.as_ref())?;
        for (log, runs) in Log::ALL.into_iter().zip(&lost) {
            for run in runs.iter() {
                report_lost(&metrics, log, run.count(), run, &"the store no longer holds what was once durable in it");
            }
        }
        let losses = Log::ALL.into_iter().zip(&lost).flat_map(|(log, runs)| runs.iter().map(move |run| (log, run)));
        let mut losses: Vec<_> = losses.take(LOSSES_MAX).collect();
        if mark.is_none() && (next != [QueueSeq(0); 2] || !contents.quarantined.is_empty()) {
            // Nobody knows how many of the newest are gone: an empty run stands for them.
            losses.extend(Log::ALL.map(|log| (log, Run::new(next[log as usize], next[log as usize]))));
        }
        let books = Books::new(&contents, mark.as_ref(), next, lost);
        watermark.write(&books.mark(next, Log::ALL.map(|log| books.oldest(log)), store.newest_number()))?;
        quarantine::trim(&config.dir, config.quarantine_max_bytes)?;
        let shared = Arc::new(Shared {
            inbox: Inbox::new(config.inbox_records_max, config.inbox_bytes_max),
            books: Mutex::new(books),
            caches: Log::ALL.map(|_| Mutex::new(Cache::new(config.cache_bytes))),
            view: store.view(),
            changed: watch::Sender::default(),
            pressure: watch::Sender::default(),
            retention: Mutex::default(),
            suspects: Mutex::default(),
            held_from: HeldFrom::nothing(),
            losses: Mutex::new(losses),
            moves: AtomicU64::new(0),
            is_starved: AtomicBool::new(false),
            config: config.clone(),
            patience,
            metrics: metrics.clone(),
        });
        let Seams { mut gaps, admission } = seams;
        gaps.opened(&Monitor::new(shared.clone()));
        let gate = Gate::open(admission, &shared.view)?;
        shared.books_changed(Duration::ZERO);
        let now = Instant::now();
        let writer = Writer {
            store,
            watermark,
            ballast,
            gaps,
            gate,
            shared: shared.clone(),
            config: config.clone(),
            metrics,
            next,
            opened_at: now,
            usage: Usage::new(now),
        };
        let run = move || {
            let result = writer.run();
            drop(lock);
            result
        };
        let writer = std::thread::Builder::new().name("queue-writer".into()).spawn(run);
        let writer = writer.map_err(|e| Error::Storage(format!("no thread for the writer: {e}")))?;
        Ok(Self { shared, writer: Some(writer) })
    }
}

/// What the watermark vouches for, if it can be read.
fn vouched(found: Found, dir: &Path) -> Result<Option<Mark>, Error> {
    let is_new = found == Found::Missing && !files::entries(dir)?.iter().any(|p| generation::is_one(p));
    match found {
        Found::Mark(mark) => return Ok(Some(mark)),
        Found::Missing if is_new => {}
        Found::Missing | Found::Unreadable => {
            tracing::error!("Queue has no readable watermark: whether its newest records were lost cannot be told.");
        }
    }
    Ok(None)
}

struct Opened {
    store: Generations,
    contents: Contents,
    next: [QueueSeq; 2],
    lost: [Runs; 2],
}

/// Opens the generations, and looks for what they lack.
fn open_store(config: &Config, engine: Arc<dyn Engine>, mark: Option<&Mark>) -> Result<Opened, Error> {
    let (ends, newest) = mark.map_or_else(Default::default, |m| (m.ends, m.newest_generation));
    let (mut store, mut contents) = Generations::open(&config.dir, engine, config.generation_max_bytes, ends, newest)?;
    let mut lost = contents.missing(mark);
    if mark.is_none() && !contents.quarantined.is_empty() {
        // Nobody knows how much there was.
        for log in Log::ALL.map(|log| log as usize) {
            lost[log].add(Run::new(contents.end[log], QueueSeq(u64::MAX)));
        }
    }
    if contents.is_of_an_earlier_moment(mark) {
        store.roll_next();
    }
    let ends = |contents: &Contents| Log::ALL.map(|log| contents.end[log as usize].max(ends[log as usize]));
    store.go_on_at(ends(&contents));
    recovery::salvage(&mut store, &mut contents, &mut lost)?;
    let next = ends(&contents);
    store.go_on_at(next);
    for log in Log::ALL.map(|log| log as usize) {
        lost[log].remove(Run::new(next[log], QueueSeq(u64::MAX)));
    }
    Ok(Opened { store, contents, next, lost })
}
