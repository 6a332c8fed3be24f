//! Keeps the map from boots to wall time right and durable, and holds raw records back until their time is known.
//!
//! # Invariants
//! - Before a door opens it is durable that, and from where, this boot's records are held: a restart holds the same ones.
//! - The map is right before a hold ends, so whoever reads a record that was held resolves it right.
//! - Doors never wait for the clock.
//!
//! # Not here
//! What to think of a clock, and how long to hold: `clock`.

mod held;

use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{CLOCK_STATE, HOLD_STATE};
use crate::clock::{Clock, Config, Hold, Observed, Phase, Reading, SharedClockMap, State, Status};
use crate::metrics::{self, StateLabel};
use crate::queue::{self, Appender, Gate, Log, Monitor, Pressure, Queue, QueueSeq, Receipt, Transaction};
use crate::shutdown::Stop;

use held::Held;

/// How often the wall clock is compared with the monotonic one.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same while records wait for it to be set.
const LOOK_EVERY_UNSET: Duration = Duration::from_secs(1);
/// How often it is stored how late it is, an hour of the monotonic clock: the next boot tells by it that its clock is
/// wrong.
const STORE_EVERY_NS: u64 = 3_600_000_000_000;
/// Held records may take this part of the queue's budget, as stored; the rest is for what the sinks are behind.
const HELD_PART: u64 = 2;

/// What a look gave.
struct Seen {
    reading: Reading,
    state: State,
    observed: Observed,
    is_known: bool,
}

/// What keeps time.
pub(super) struct Keeper {
    clock: Clock,
    map: SharedClockMap,
    hold: Hold,
    /// Where this boot's records begin, while their time is not known.
    from: QueueSeq,
    gate: Gate,
    monitor: Monitor,
    appender: Appender,
    /// Held records may take this much.
    held_max_bytes: u64,
    metrics: metrics::Clock,
    status: watch::Sender<Status>,
    is_to_be_stored: bool,
    stored_at_ns: u64,
}

impl Keeper {
    /// Takes a first look, and shuts the gate if this boot's time is not known. The map has been restored.
    pub(super) fn start(
        config: &Config,
        clock: Clock,
        map: SharedClockMap,
        queue: &Queue,
        limits: &queue::Config,
        metrics: metrics::Clock,
    ) -> Self {
        let monitor = queue.monitor();
        match monitor.newest_received() {
            Ok(newest) => newest.into_iter().for_each(|stamp| map.write().note_newest(stamp)),
            Err(error) => warn!(%error, "When the last record was received cannot be read."),
        }
        let (now, end) = (clock.stamp(), monitor.end(Log::Raw));
        let stored = Held::restore(&monitor, HOLD_STATE);
        let held = Held::after_start(stored, now, end);
        let ttl = limits.ttl[Log::Raw as usize];
        // Records that wait must not outlive their time to live.
        let hold_max = ttl.map_or(config.hold_max, |ttl| config.hold_max.min(ttl / 2));
        let config = Config { hold_max, ..config.clone() };
        let phase = if held.is_released { Phase::Released } else { Phase::Held };
        let mut keeper = Self {
            hold: Hold::new(config, phase, held.began.since_boot_ns, clock.will_be_set()),
            clock,
            map,
            from: held.from,
            gate: queue.gate(),
            monitor,
            appender: queue.stage_appender(),
            held_max_bytes: limits.max_bytes / HELD_PART,
            metrics,
            status: watch::Sender::default(),
            is_to_be_stored: true,
            stored_at_ns: now.since_boot_ns,
        };
        let Seen { state, is_known, .. } = keeper.observe();
        let phase = keeper.hold.look(is_known, false, now.since_boot_ns);
        if phase == Phase::Held {
            keeper.gate.hold(keeper.from);
            keeper.tell_hold(state);
        } else if phase == Phase::Released {
            warn!("The clock is still not set: records go out marked, with the best time known. Set the clock.");
        } else if stored.is_some_and(|held| held.began.boot != now.boot && !held.is_released) {
            let (from, end) = (keeper.from.0, end.0);
            warn!(
                from,
                end, "The machine went down before its clock was set: these records go out marked `estimated`."
            );
        }
        keeper.show(state, phase);
        keeper
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Makes a hold durable. Without one there is nothing to wait for: the clock can be looked at again.
    ///
    /// # Errors
    /// The queue cannot write.
    pub(super) async fn settle(&mut self) -> Result<(), queue::Error> {
        if self.hold.phase() != Phase::Held {
            return Ok(());
        }
        match self.store().await?.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(queue::Error::Storage(error.to_string())),
            Err(_) => Err(queue::Error::Closed),
        }
    }

    /// Looks at the clock until the stop.
    ///
    /// # Errors
    /// The queue is closed.
    pub(super) async fn run(mut self, mut stop: Stop) -> Result<(), queue::Error> {
        let mut ticks = self.clock.ticks();
        loop {
            self.look();
            if self.is_to_be_stored {
                // The receipt is not awaited: what is lost in a crash is observed again at the next start.
                drop(self.store().await?);
            }
            let pause = match self.hold.phase() {
                Phase::Held | Phase::Released => LOOK_EVERY_UNSET,
                Phase::Free => LOOK_EVERY,
            };
            tokio::select! {
                () = ticks.next(pause) => {}
                () = stop.requested() => break,
            }
        }
        self.look();
        drop(self.store().await?);
        Ok(())
    }

    fn observe(&mut self) -> Seen {
        let (boot, reading) = (self.clock.boot(), self.clock.read());
        let mut map = self.map.write();
        let state = map.judge(boot, &reading);
        let believed = self.hold.believes(state, reading.since_boot_ns);
        let observed = map.observe(boot, &reading, state, believed);
        Seen { reading, state, observed, is_known: map.is_known(boot) }
    }

    fn look(&mut self) {
        let before = *self.status.borrow();
        let Seen { reading, state, observed, is_known } = self.observe();
        let now_ns = reading.since_boot_ns;
        let is_tight = self.is_tight();
        let phase = self.hold.look(is_known, is_tight, now_ns);
        if before.phase != phase {
            self.tell_phase(before.phase, phase, is_tight);
            self.gate.open();
        }
        if let Observed::Moved(by) = observed {
            self.metrics.moves.inc();
            warn!(moved_by_s = by.as_secs_f64(), "The wall clock was set; times of this boot follow it.");
        }
        if state == State::Wrong && before.state != state && phase == Phase::Free {
            warn!(
                shown_at_ms = reading.wall().as_millis(),
                "The wall clock was set to a time that cannot be right; times go on as before. Set it, or mend the time service."
            );
        }
        let is_due = now_ns.saturating_sub(self.stored_at_ns) >= STORE_EVERY_NS;
        self.is_to_be_stored |= observed != Observed::Nothing || before.phase != phase || is_due;
        self.show(state, phase);
    }

    /// Whether what is held takes room that is needed otherwise.
    fn is_tight(&self) -> bool {
        self.hold.phase() == Phase::Held
            && (*self.monitor.pressure().borrow() != Pressure::None
                || self.monitor.raw_bytes_from(self.from) > self.held_max_bytes)
    }

    fn held_records(&self) -> u64 {
        match self.hold.phase() {
            Phase::Held => self.from.count_to(self.monitor.end(Log::Raw)),
            Phase::Released | Phase::Free => 0,
        }
    }

    fn show(&self, state: State, phase: Phase) {
        let status = Status { state, phase, held_records: self.held_records() };
        for state in State::ALL {
            self.metrics.state.get_or_create(&StateLabel { state: state.name() }).set(i64::from(state == status.state));
        }
        self.metrics.held_records.set(i64::try_from(status.held_records).unwrap_or(i64::MAX));
        self.status.send_if_modified(|shown| std::mem::replace(shown, status) != status);
    }

    fn tell_hold(&self, state: State) {
        let (from, shown_at_ms) = (self.from.0, self.clock.shows().as_millis());
        let seen_before_ms = self.map.read().newest().as_millis();
        match state {
            State::Wrong => warn!(
                from,
                shown_at_ms,
                seen_before_ms,
                "The clock is not set: records are taken in, and held until it is. Connect a time service, or set it with `date`."
            ),
            State::Unverified | State::Synchronised => {
                info!(from, shown_at_ms, "Records are held for a moment: a time service is about to set the clock.");
            }
        }
    }

    fn tell_phase(&self, before: Phase, phase: Phase, is_tight: bool) {
        let (from, end) = (self.from.0, self.monitor.end(Log::Raw).0);
        match (before, phase) {
            (Phase::Held, Phase::Free) => info!(from, end, "The clock is set: records are not held any more."),
            (Phase::Released, Phase::Free) => warn!(
                from,
                end,
                "The clock is set. What sinks got of these records until now is marked, and stays where it is; the rest goes out with the right times."
            ),
            (Phase::Held, Phase::Released) if is_tight => error!(
                from,
                "The clock is still not set, and held records take up the queue's room: they go out marked, with the best time known. Set the clock."
            ),
            (Phase::Held, Phase::Released) => error!(
                from,
                "The clock is still not set after `clock.hold_max`: records go out marked, with the best time known. Set the clock."
            ),
            (_, Phase::Held) | (Phase::Free | Phase::Released, Phase::Released) | (Phase::Free, Phase::Free) => {}
        }
    }

    async fn store(&mut self) -> Result<Receipt, queue::Error> {
        self.is_to_be_stored = false;
        self.stored_at_ns = self.clock.stamp().since_boot_ns;
        let held = match self.hold.phase() {
            Phase::Free => None,
            phase @ (Phase::Held | Phase::Released) => {
                let mut began = self.clock.stamp();
                began.since_boot_ns = self.hold.began_ns();
                Some(Held { from: self.from, began, is_released: phase == Phase::Released })
            }
        };
        let state = vec![
            (CLOCK_STATE.to_owned(), Some(self.map.to_bytes())),
            (HOLD_STATE.to_owned(), held.map(Held::to_bytes)),
        ];
        self.appender.commit(Transaction { state, ..Transaction::default() }).await
    }
}

#[cfg(test)]
mod tests;
