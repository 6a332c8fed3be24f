//! Which wall time each boot began at, as far as that is known; corrected when the clock is set.

mod stored;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use firmware_protocol::measurement::{ClockTrust, EventTime, Received};

use super::state::BELIEVABLE_FROM;
use super::{ClockBoot, KernelWord, Reading, Stamp, State};

/// What the wall clock showed at each boot: stamps of that boot plus this give wall time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockMap {
    /// Oldest first, at most [`ClockMap::BOOTS_MAX`].
    boots: Vec<Boot>,
    /// The newest wall time that was ever believed. A clock that shows an earlier one when the machine starts is wrong,
    /// and all that is received under it is later than this.
    newest: EventTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Boot {
    id: ClockBoot,
    /// Wall time at the boot's zero: what is believed, or as long as that is `Unsynchronised` what was shown.
    at_ns: i64,
    trust: ClockTrust,
    /// Time since boot of its newest record, as far as that was noted.
    until_ns: u64,
}

/// What came of a look at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// All times stay as they were.
    Nothing,
    /// This boot was met for the first time, and its time is believed, or is not.
    New,
    /// From now on it is known when this boot's records were received: until now that was not.
    Known,
    /// The clock was set: times of this boot have moved by so much.
    Moved(Duration),
}

impl ClockMap {
    /// Stamps of older boots than this many are resolved by the oldest one kept.
    pub const BOOTS_MAX: usize = 64;
    /// Smaller differences between wall and monotonic clock are slewing, not setting, and are not noted.
    const MOVED_MIN: Duration = Duration::from_millis(50);
    /// A battery clock may lag behind the time service that kept it before the machine was started anew.
    const LAG_MAX: Duration = Duration::from_secs(60);

    /// One that knows this stamp alone, and resolves it to that time.
    pub fn of(stamp: Stamp, received: Received) -> Self {
        let at_ns = received.at.0.saturating_sub_unsigned(stamp.since_boot_ns);
        let boot = Boot { id: stamp.boot, at_ns, trust: received.clock, until_ns: stamp.since_boot_ns };
        Self { boots: vec![boot], newest: EventTime(i64::MIN) }
    }

    /// This boot began at that wall time.
    pub fn set(&mut self, boot: ClockBoot, wall_at_boot_ns: i64) {
        self.put(boot, wall_at_boot_ns, ClockTrust::Set);
    }

    /// This boot is there; its time is not known.
    pub fn note(&mut self, boot: ClockBoot, shown_at_boot_ns: i64) {
        self.put(boot, shown_at_boot_ns, ClockTrust::Unsynchronised);
    }

    /// A record of this boot was received then; none is newer.
    pub fn note_newest(&mut self, stamp: Stamp) {
        if let Some(boot) = self.boots.iter_mut().find(|b| b.id == stamp.boot) {
            boot.until_ns = boot.until_ns.max(stamp.since_boot_ns);
        }
        self.estimate();
    }

    /// What the wall clock is worth.
    pub fn judge(&self, boot: ClockBoot, reading: &Reading) -> State {
        let lag_ns = Self::LAG_MAX.as_nanos() as i64;
        let is_behind = reading.wall().0.saturating_add(lag_ns) < self.newest.0;
        if reading.wall() < BELIEVABLE_FROM {
            State::Wrong
        } else if reading.kernel == KernelWord::Synchronised {
            State::Synchronised
        } else if is_behind && !self.is_known(boot) && !self.was_set(boot, reading) {
            State::Wrong
        } else {
            State::Unverified
        }
    }

    /// Takes over what the clock shows, which is in `state`, if that is `believed`.
    pub fn observe(&mut self, boot: ClockBoot, reading: &Reading, state: State, believed: bool) -> Observed {
        let known = self.find(boot).copied();
        let observed = match (believed, known) {
            (true, Some(b)) if b.trust == ClockTrust::Set => {
                let moved_by = Duration::from_nanos(reading.wall_at_boot_ns.abs_diff(b.at_ns));
                if moved_by < Self::MOVED_MIN { Observed::Nothing } else { Observed::Moved(moved_by) }
            }
            (true, Some(_)) => Observed::Known,
            (_, None) => Observed::New,
            (false, Some(_)) => Observed::Nothing,
        };
        match (believed, observed) {
            (true, Observed::Nothing) => {}
            (true, Observed::New | Observed::Known | Observed::Moved(_)) => self.set(boot, reading.wall_at_boot_ns),
            (false, _) if self.is_known(boot) => {}
            // Somebody has set it, though perhaps not well: that is newer knowledge than ours.
            (false, Observed::Nothing) if state == State::Unverified => {
                self.newest = self.newest.min(EventTime(reading.wall_at_boot_ns));
                self.note(boot, reading.wall_at_boot_ns);
            }
            (false, Observed::New) => self.note(boot, reading.wall_at_boot_ns),
            (false, Observed::Nothing | Observed::Known | Observed::Moved(_)) => {}
        }
        if believed {
            self.newest = reading.wall();
        }
        self.estimate();
        observed
    }

    /// The newest wall time that was ever believed.
    pub fn newest(&self) -> EventTime {
        self.newest
    }

    /// Whether this boot's time is believed.
    pub fn is_known(&self, boot: ClockBoot) -> bool {
        self.find(boot).is_some_and(|b| b.trust == ClockTrust::Set)
    }

    /// When the stamp was taken: as well as that is known.
    pub fn resolve(&self, stamp: Stamp) -> Received {
        let (at_boot_ns, clock) = match self.find(stamp.boot) {
            Some(boot) => match boot.trust {
                // Whatever was shown: it is later than all that was known before.
                ClockTrust::Unsynchronised => (boot.at_ns.max(self.newest.0), boot.trust),
                ClockTrust::Set | ClockTrust::Estimated => (boot.at_ns, boot.trust),
            },
            None => (self.boots.first().map_or(0, |b| b.at_ns), ClockTrust::Estimated),
        };
        Received { at: EventTime(at_boot_ns.saturating_add_unsigned(stamp.since_boot_ns)), clock }
    }

    /// How long before `now` the stamp was taken. Within one boot the monotonic clock alone counts, so that setting the
    /// wall clock makes nothing older or younger. `None` if it cannot be told: one of the two boots is not known, never
    /// had its clock set, or the stamp would lie in the future.
    pub fn age(&self, stamp: Stamp, now: Stamp) -> Option<Duration> {
        if stamp.boot == now.boot {
            return now.since_boot_ns.checked_sub(stamp.since_boot_ns).map(Duration::from_nanos);
        }
        let age_ns = self.resolve_known(now)?.0.checked_sub(self.resolve_known(stamp)?.0)?;
        u64::try_from(age_ns).ok().map(Duration::from_nanos)
    }

    /// As [`Self::resolve`], of a boot whose time is known or could be estimated.
    pub fn resolve_known(&self, stamp: Stamp) -> Option<EventTime> {
        let boot = self.find(stamp.boot).filter(|b| b.trust != ClockTrust::Unsynchronised)?;
        Some(EventTime(boot.at_ns.saturating_add_unsigned(stamp.since_boot_ns)))
    }

    fn find(&self, boot: ClockBoot) -> Option<&Boot> {
        self.boots.iter().find(|b| b.id == boot)
    }

    /// Whether the clock has been set since this boot, whose time is not known, was first looked at.
    fn was_set(&self, boot: ClockBoot, reading: &Reading) -> bool {
        let jumped_by = |b: &Boot| Duration::from_nanos(b.at_ns.abs_diff(reading.wall_at_boot_ns));
        self.find(boot).is_some_and(|b| jumped_by(b) >= Self::MOVED_MIN)
    }

    fn put(&mut self, id: ClockBoot, at_ns: i64, trust: ClockTrust) {
        match self.boots.iter_mut().find(|b| b.id == id) {
            Some(boot) => (boot.at_ns, boot.trust) = (at_ns, trust),
            None => {
                if self.boots.len() == Self::BOOTS_MAX {
                    self.boots.remove(0);
                }
                self.boots.push(Boot { id, at_ns, trust, until_ns: 0 });
            }
        }
    }

    /// A boot that is over and never had its clock set lies right before the next one whose time is known: its newest
    /// record was not received later than that.
    fn estimate(&mut self) {
        let mut next_at_ns = None;
        for boot in self.boots.iter_mut().rev() {
            if let (Some(next_at_ns), true) = (next_at_ns, boot.trust != ClockTrust::Set) {
                boot.trust = ClockTrust::Estimated;
                boot.at_ns = i64::saturating_sub_unsigned(next_at_ns, boot.until_ns);
            }
            next_at_ns = (boot.trust != ClockTrust::Unsynchronised).then_some(boot.at_ns);
        }
    }
}

/// The one clock map of a gateway: written by the pipeline's clock task, read by whoever resolves stamps.
#[derive(Clone, Debug, Default)]
pub struct SharedClockMap(Arc<RwLock<ClockMap>>);

impl SharedClockMap {
    /// Takes over the boots of earlier runs as they were stored; of this boot they know more than was noted before.
    pub fn restore(&self, bytes: &[u8]) {
        let mut map = self.write();
        let noted = std::mem::replace(&mut *map, ClockMap::from_bytes(bytes));
        for boot in noted.boots {
            if map.find(boot.id).is_none() {
                map.put(boot.id, boot.at_ns, boot.trust);
            }
        }
        map.estimate();
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.read().to_bytes()
    }

    /// See [`ClockMap::resolve`].
    pub fn resolve(&self, stamp: Stamp) -> Received {
        self.read().resolve(stamp)
    }

    /// See [`ClockMap::age`].
    pub fn age(&self, stamp: Stamp, now: Stamp) -> Option<Duration> {
        self.read().age(stamp, now)
    }

    /// For more than one step at a time.
    pub fn read(&self) -> RwLockReadGuard<'_, ClockMap> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, ClockMap> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
