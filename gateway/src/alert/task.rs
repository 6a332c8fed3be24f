//! The shell around [`Outbox`]: reads the derived log, makes state durable, sends, tells what happened.
//!
//! # Invariants
//! - What an incident changes is durable together with the cursor that passes it; a message goes out only after the state
//!   that calls it going out is durable.
//! - Windows, anomalies and gaps move the cursor alone, so a quiet log writes nothing of its own.
//! - One attempt at a time in each channel; channels do not wait for each other.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use firmware_protocol::derived::Derived;
use firmware_protocol::measurement::ClockTrust;

use super::CONSUMER;
use super::channel::{Channel, Outcome};
use super::history::History;
use super::message::Message;
use super::outbox::{Letter, Now, Outbox};
use super::plot::plot;
use super::settings::{Config, Sender};
use crate::clock::{Clock, SharedClockMap};
use crate::metrics::{self, AlertLabel};
use crate::queue::{self, Appender, Cursor, Log, QueueSeq, Reader, Transaction};
use crate::shutdown::Stop;

/// How often held and delayed messages are looked at, while there are any.
const TICK: Duration = Duration::from_secs(1);
/// Derived records that are read again at the start, for the plots: some hours of a middling fleet, read in less than a
/// second.
const REREAD_MAX: u64 = 50_000;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error("what alerts have told could not be made durable: {0}")]
    Commit(Arc<queue::Error>),
}

/// What alerts work with, all made by the pipeline.
pub struct Task {
    /// At least one.
    pub channels: Vec<Config>,
    pub sender: Sender,
    /// Of the derived log, under [`CONSUMER`].
    pub reader: Reader,
    pub appender: Appender,
    pub clock: Clock,
    pub clock_map: SharedClockMap,
    pub metrics: metrics::Alert,
    /// After the word to stop, messages on their way may be answered for this long.
    pub grace: Duration,
}

/// Tells until it is told to stop, or the queue fails. No error of a channel ends it.
///
/// # Errors
/// The queue is closed, or cannot be read or written: nothing is lost, but alerts have ended.
pub async fn run(task: Task, stop: Stop) -> Result<(), Error> {
    // It reads some of the log.
    match tokio::task::spawn_blocking(move || Running::new(task)).await {
        Ok(running) => running?.run(stop).await,
        Err(reason) if reason.is_panic() => std::panic::resume_unwind(reason.into_panic()),
        Err(_) => Err(Error::Queue(queue::Error::Closed)),
    }
}

struct Running {
    task: Task,
    outbox: Outbox,
    /// `None`: no channel shows plots.
    history: Option<History>,
    channels: Vec<Arc<Channel>>,
    /// Attempts on their way: which channel's.
    attempts: JoinSet<(usize, Outcome)>,
    /// Failed attempts in a row, by channel.
    failures: Vec<u32>,
    cursor: Cursor,
    since: Instant,
}

impl Running {
    fn new(task: Task) -> Result<Self, Error> {
        let (cursor, end) = (task.reader.cursor(Log::Derived), task.reader.end(Log::Derived));
        let seed = RandomState::new().hash_one(CONSUMER);
        let rules = || task.channels.iter().map(|config| (config.name.clone(), config.rules.clone())).collect();
        let places = (cursor.next.0, end.0);
        let kept = task.reader.state(CONSUMER)?;
        let outbox = Outbox::restore(kept.as_deref(), rules(), places, seed).or_else(|reason| {
            error!(%reason, "What alerts have told is forgotten: open incidents are told once more.");
            Outbox::restore(None, rules(), places, seed)
        });
        let outbox = outbox.expect("nothing kept is always readable");
        let history = task.channels.iter().any(|config| config.target.shows_plots()).then(History::default);
        let channels = task.channels.iter().map(|config| Arc::new(Channel::new(config))).collect();
        let failures = vec![0; task.channels.len()];
        let attempts = JoinSet::new();
        let mut running = Self { task, outbox, history, channels, attempts, failures, cursor, since: Instant::now() };
        running.read_again()?;
        Ok(running)
    }

    async fn run(mut self, mut stop: Stop) -> Result<(), Error> {
        while !stop.is_requested() {
            while !stop.is_requested()
                && let ControlFlow::Continue(()) = self.read()?
            {
                self.commit().await?;
            }
            self.send().await?;
            self.tell_standing();
            let is_waiting = self.outbox.is_waiting();
            tokio::select! {
                changed = self.task.reader.changed() => changed?,
                Some(ended) = self.attempts.join_next() => self.settle(ended).await?,
                () = sleep(TICK), if is_waiting => {}
                () = stop.requested() => {}
            }
        }
        self.finish().await
    }

    /// Takes one block in; `Break`: there is none.
    fn read(&mut self) -> Result<ControlFlow<()>, Error> {
        let from = self.cursor.next;
        let Some(block) = self.task.reader.read(Log::Derived, from)? else { return Ok(ControlFlow::Break(())) };
        let now = self.now();
        for (seq, record) in block.records_from(from) {
            match Derived::from_json(&record.payload) {
                Ok(derived) => {
                    self.cursor.delivered += 1;
                    self.remember(&derived);
                    if let Derived::Incident(incident) = derived {
                        self.outbox.on_incident(seq.0, &incident, now);
                    }
                }
                Err(reason) => {
                    self.cursor.quarantined += 1;
                    warn!(seq = seq.0, %reason, "A derived record cannot be read; alerts pass it over.");
                }
            }
        }
        self.cursor.next = block.end();
        self.outbox.read_to(block.end().0);
        Ok(ControlFlow::Continue(()))
    }

    fn remember(&mut self, derived: &Derived) {
        let Some(history) = &mut self.history else { return };
        match derived {
            Derived::Window(window) => history.on_window(window),
            Derived::Anomaly(anomaly) => history.on_anomaly(anomaly),
            Derived::Incident(_) | Derived::Gap(_) => {}
        }
    }

    /// Plots begin before the restart.
    fn read_again(&mut self) -> Result<(), Error> {
        if self.history.is_none() {
            return Ok(());
        }
        let end = self.cursor.next;
        let mut at = QueueSeq(end.0.saturating_sub(REREAD_MAX));
        while at < end
            && let Some(block) = self.task.reader.read(Log::Derived, at)?
        {
            for (_, record) in block.records_from(at).take_while(|(seq, _)| *seq < end) {
                // What cannot be read was told of when it was first read.
                if let Ok(derived) = Derived::from_json(&record.payload) {
                    self.remember(&derived);
                }
            }
            at = block.end();
        }
        Ok(())
    }

    /// Starts what may go out now, after it is durable that it does.
    async fn send(&mut self) -> Result<(), Error> {
        let now = self.now();
        let lanes = 0..self.channels.len();
        let letters: Vec<(usize, Letter)> =
            lanes.filter_map(|lane| Some((lane, self.outbox.take(lane, now)?))).collect();
        self.commit().await?;
        for (lane, letter) in letters {
            let message = self.message(lane, letter);
            let channel = self.channels[lane].clone();
            self.attempts.spawn(async move { (lane, channel.send(&message).await) });
        }
        Ok(())
    }

    fn message(&self, lane: usize, letter: Letter) -> Message {
        let config = &self.task.channels[lane];
        let is_summary = letter.is_summary;
        let mut message = Message::of(letter, config, &self.task.sender);
        if let (Some(history), [(_, subject)]) = (&self.history, message.incidents.as_slice())
            && config.target.shows_plots()
            && !is_summary
        {
            message.svg = plot(history, subject);
        }
        message
    }

    async fn settle(&mut self, ended: Result<(usize, Outcome), tokio::task::JoinError>) -> Result<(), Error> {
        let (lane, outcome) = match ended {
            Ok(ended) => ended,
            Err(reason) if reason.is_panic() => std::panic::resume_unwind(reason.into_panic()),
            // Nobody aborts attempts but the end of this task.
            Err(_) => return Ok(()),
        };
        let pause = self.outbox.on_outcome(lane, &outcome, self.now());
        self.tell(lane, &outcome, pause);
        self.commit().await
    }

    /// To people, and to the metrics.
    fn tell(&mut self, lane: usize, outcome: &Outcome, pause: Option<Duration>) {
        let channel = &self.task.channels[lane].name;
        let label = AlertLabel { channel: channel.clone() };
        let metrics = &self.task.metrics;
        if let Outcome::Sent(said) = outcome {
            metrics.sent.get_or_create(&label).inc();
            if std::mem::take(&mut self.failures[lane]) > 0 {
                info!(%channel, %said, "Alerts go out again.");
            }
            return;
        }
        metrics.failed.get_or_create(&label).inc();
        self.failures[lane] += 1;
        let attempts = self.failures[lane];
        let retry_in_s = pause.map(|pause| pause.as_secs_f64());
        // A channel that stays away is named, not shouted about.
        let is_news = attempts.is_power_of_two();
        match outcome {
            Outcome::Refused { reason } if pause.is_none() => {
                error!(%channel, reason, attempts, "An alert is given up: the other side does not take it. Try the channel with `gateway alert test`.");
            }
            Outcome::Misconfigured { reason } if is_news => {
                error!(%channel, reason, attempts, retry_in_s, "Alerts do not go out: mend the address, the login or the certificate; `gateway alert test` tries it.");
            }
            Outcome::NotSent { reason, .. } | Outcome::Unknown { reason } | Outcome::Refused { reason } if is_news => {
                warn!(%channel, reason, attempts, retry_in_s, "An alert did not go out; it is tried again.");
            }
            Outcome::Sent(_)
            | Outcome::NotSent { .. }
            | Outcome::Unknown { .. }
            | Outcome::Refused { .. }
            | Outcome::Misconfigured { .. } => {}
        }
    }

    fn tell_standing(&mut self) {
        for (lane, config) in self.task.channels.iter().enumerate() {
            let (standing, label) = (self.outbox.standing(lane), AlertLabel { channel: config.name.clone() });
            let metrics = &self.task.metrics;
            metrics.pending.get_or_create(&label).set(standing.pending as i64);
            metrics.held.get_or_create(&label).inc_by(standing.held);
            metrics.dropped.get_or_create(&label).inc_by(standing.dropped);
        }
    }

    /// The state and the cursor together, if there is news for people; else the cursor alone, when it suits the queue.
    async fn commit(&mut self) -> Result<(), Error> {
        let reader = &self.task.reader;
        if !self.outbox.is_dirty() {
            if reader.cursor(Log::Derived).next < self.cursor.next {
                reader.advance(Log::Derived, self.cursor);
            }
            return Ok(());
        }
        let transaction = Transaction {
            cursors: vec![(CONSUMER.to_owned(), Log::Derived, self.cursor)],
            state: vec![(CONSUMER.to_owned(), Some(self.outbox.to_bytes()))],
            ..Transaction::default()
        };
        let receipt = self.task.appender.commit(transaction).await?;
        match receipt.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Error::Commit(error)),
            Err(_) => return Err(Error::Queue(queue::Error::Closed)),
        }
        self.outbox.saved();
        Ok(())
    }

    /// An answer that is waited for now is a repeat that is not sent after the restart.
    async fn finish(mut self) -> Result<(), Error> {
        let grace = self.task.grace;
        let answers = async {
            while let Some(ended) = self.attempts.join_next().await {
                self.settle(ended).await?;
            }
            Ok::<(), Error>(())
        };
        match timeout(grace, answers).await {
            Ok(settled) => settled?,
            Err(_elapsed) => {
                warn!("An alert was on its way at the end of `shutdown_grace`: it is sent again at the start.")
            }
        }
        self.commit().await
    }

    fn now(&self) -> Now {
        let received = self.task.clock_map.resolve(self.task.clock.stamp());
        Now { wall: received.at, is_known: received.clock == ClockTrust::Set, running: self.since.elapsed() }
    }
}
