//! Time that survives a wrong clock: a [`Stamp`] is taken from the monotonic clock and resolved to wall time later.
//!
//! # Invariants
//! - A stamp never goes backwards within one boot, whatever happens to the wall clock.
//! - The only place, besides `main` shells, that asks the operating system for the time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use firmware_protocol::measurement::EventTime;

/// One start of the machine, from the kernel's boot id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClockBoot(pub u64);

/// When the gateway received something: the boot and the time since it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    pub boot: ClockBoot,
    /// Time since boot, suspend included, nanoseconds.
    pub since_boot_ns: u64,
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot: ClockBoot,
}

impl Clock {
    /// Reads the kernel's boot id; on a system without one the boot is told apart by its wall-clock start.
    pub fn system() -> Self {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        let boot =
            u64::from_str_radix(&digits, 16).unwrap_or_else(|_| wall_since_boot_ns().unsigned_abs() / 10_000_000_000);
        Self { boot: ClockBoot(boot) }
    }

    pub fn boot(&self) -> ClockBoot {
        self.boot
    }

    pub fn stamp(&self) -> Stamp {
        Stamp { boot: self.boot, since_boot_ns: since_boot().as_nanos() as u64 }
    }
}

/// What the wall clock showed at each boot: stamps of that boot plus this give wall time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockMap {
    /// (boot, wall time at that boot's zero in ns), oldest first, at most [`ClockMap::BOOTS_MAX`].
    boots: Vec<(ClockBoot, i64)>,
}

impl ClockMap {
    /// Stamps of older boots than this many are resolved by the oldest one kept.
    pub const BOOTS_MAX: usize = 64;
    /// 2024-01-01, before any gateway ran: a clock that shows an earlier day has not been set since power came.
    const BELIEVABLE_FROM_NS: i64 = 1_704_067_200_000_000_000;

    pub fn set(&mut self, boot: ClockBoot, wall_at_boot_ns: i64) {
        match self.boots.iter_mut().find(|(b, _)| *b == boot) {
            Some(entry) => entry.1 = wall_at_boot_ns,
            None => {
                if self.boots.len() == Self::BOOTS_MAX {
                    self.boots.remove(0);
                }
                self.boots.push((boot, wall_at_boot_ns));
            }
        }
    }

    pub fn resolve(&self, stamp: Stamp) -> EventTime {
        let at_boot = self.boots.iter().find(|(b, _)| *b == stamp.boot).or(self.boots.first()).map_or(0, |(_, at)| *at);
        EventTime(at_boot.saturating_add_unsigned(stamp.since_boot_ns))
    }

    /// How long before `now` the stamp was taken. Within one boot the monotonic clock alone counts, so that setting the
    /// wall clock makes nothing older or younger. `None` if it cannot be told: one of the two boots is not known, never
    /// had its clock set, or the stamp would lie in the future.
    pub fn age(&self, stamp: Stamp, now: Stamp) -> Option<Duration> {
        if stamp.boot == now.boot {
            return now.since_boot_ns.checked_sub(stamp.since_boot_ns).map(Duration::from_nanos);
        }
        let at = |s: Stamp| Some(self.believable(s.boot)?.saturating_add_unsigned(s.since_boot_ns));
        let age_ns = at(now)?.checked_sub(at(stamp)?)?;
        u64::try_from(age_ns).ok().map(Duration::from_nanos)
    }

    /// Wall time at the boot's zero, if it is known and not that of a clock that nobody has set.
    fn believable(&self, boot: ClockBoot) -> Option<i64> {
        self.boots.iter().find(|(b, at)| *b == boot && *at >= Self::BELIEVABLE_FROM_NS).map(|(_, at)| *at)
    }

    /// As [`Self::resolve`], of a boot that the map knows.
    pub fn resolve_known(&self, stamp: Stamp) -> Option<EventTime> {
        let (_, at) = self.boots.iter().find(|(b, _)| *b == stamp.boot)?;
        Some(EventTime(at.saturating_add_unsigned(stamp.since_boot_ns)))
    }

    /// For the store: 16 bytes a boot, little endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.boots.iter().flat_map(|(b, at)| [b.0.to_le_bytes(), at.to_le_bytes()].concat()).collect()
    }

    pub fn from_bytes(bytes: &[u8]) -> Self {
        let word = |b: &[u8]| b.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let boots = bytes.chunks_exact(16).map(|c| (ClockBoot(word(&c[..8])), word(&c[8..]) as i64)).collect();
        Self { boots }
    }
}

/// The one clock map of a gateway: written by the pipeline's clock task, read by whoever resolves stamps.
#[derive(Clone, Debug, Default)]
pub struct SharedClockMap(Arc<RwLock<ClockMap>>);

impl SharedClockMap {
    /// Smaller differences between wall and monotonic clock are slewing, not setting, and are not noted.
    const MOVED_MIN: Duration = Duration::from_millis(50);

    /// Takes over the boots of earlier runs as they were stored; what was observed since stays.
    pub fn restore(&self, bytes: &[u8]) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let observed = std::mem::replace(&mut *map, ClockMap::from_bytes(bytes));
        observed.boots.into_iter().for_each(|(boot, at)| map.set(boot, at));
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).to_bytes()
    }

    pub fn resolve(&self, stamp: Stamp) -> EventTime {
        self.0.read().unwrap_or_else(PoisonError::into_inner).resolve(stamp)
    }

    /// See [`ClockMap::age`].
    pub fn age(&self, stamp: Stamp, now: Stamp) -> Option<Duration> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).age(stamp, now)
    }

    /// Compares the wall clock with the map. Returns how far this boot's time moved if the map changed by it:
    /// zero for a boot seen for the first time.
    pub fn observe(&self, clock: &Clock) -> Option<Duration> {
        let now = wall_since_boot_ns();
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = map.boots.iter().find(|(b, _)| *b == clock.boot).map(|(_, at)| *at);
        let moved_by = known.map(|at| Duration::from_nanos(now.abs_diff(at)));
        if moved_by.is_some_and(|d| d < Self::MOVED_MIN) {
            return None;
        }
        map.set(clock.boot, now);
        Some(moved_by.unwrap_or_default())
    }
}

fn since_boot() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Of a few readings the one with the least time between the two clocks: a busy machine may take the processor away in
/// between, which must not look like a clock that was set.
fn wall_since_boot_ns() -> i64 {
    const READINGS: usize = 3;
    let reading = || {
        let before = since_boot();
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let took = since_boot().saturating_sub(before);
        (took, (t.tv_sec as i64) * 1_000_000_000 + t.tv_nsec as i64 - (before + took / 2).as_nanos() as i64)
    };
    std::array::from_fn::<_, READINGS, _>(|_| reading()).into_iter().min().map_or(0, |(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_of_1970_resolves_to_the_time_that_was_learned_later() {
        let (boot, stamp) = (ClockBoot(7), Stamp { boot: ClockBoot(7), since_boot_ns: 5 });
        let mut map = ClockMap::default();
        map.set(boot, 0);
        assert_eq!(map.resolve(stamp), EventTime(5));
        map.set(boot, 1_700_000_000_000_000_000);
        assert_eq!(map.resolve(stamp), EventTime(1_700_000_000_000_000_005));
        assert_eq!(ClockMap::from_bytes(&map.to_bytes()), map);
    }

    #[test]
    fn a_boot_is_noted_once_and_again_only_when_its_time_moved() {
        let (clock, map) = (Clock::system(), SharedClockMap::default());
        assert_eq!(map.observe(&clock), Some(Duration::ZERO));
        assert_eq!(map.observe(&clock), None);
        map.0.write().unwrap().set(clock.boot(), 0);
        assert!(map.observe(&clock).unwrap() > Duration::from_secs(3600));
    }

    const HOUR_NS: u64 = 3_600_000_000_000;
    const HOUR: Duration = Duration::from_secs(3_600);
    /// In 2026.
    const NOON_NS: i64 = 1_795_262_400_000_000_000;

    fn stamp(boot: u64, hours: u64) -> Stamp {
        Stamp { boot: ClockBoot(boot), since_boot_ns: hours * HOUR_NS }
    }

    fn map_of(boots: &[(u64, i64)]) -> ClockMap {
        let mut map = ClockMap::default();
        boots.iter().for_each(|(boot, at)| map.set(ClockBoot(*boot), *at));
        map
    }

    #[test]
    fn between_two_boots_age_is_what_the_wall_clocks_tell() {
        let map = map_of(&[(1, NOON_NS), (2, NOON_NS + 10 * HOUR_NS as i64)]);
        assert_eq!(map.age(stamp(1, 3), stamp(2, 2)), Some(9 * HOUR));
    }

    #[test]
    fn a_wall_clock_that_is_set_makes_nothing_of_this_boot_older_or_younger() {
        for wall_at_boot in [0, NOON_NS, NOON_NS + 10_000 * HOUR_NS as i64, i64::MAX] {
            let map = map_of(&[(1, wall_at_boot)]);
            assert_eq!(map.age(stamp(1, 3), stamp(1, 5)), Some(2 * HOUR), "{wall_at_boot}");
            assert_eq!(map.age(stamp(1, 5), stamp(1, 3)), None, "{wall_at_boot}");
        }
        assert_eq!(ClockMap::default().age(stamp(1, 3), stamp(1, 5)), Some(2 * HOUR), "not even noted");
    }

    #[test]
    fn an_age_that_cannot_be_told_is_none() {
        let known = map_of(&[(1, NOON_NS), (2, NOON_NS)]);
        assert_eq!(known.age(stamp(7, 0), stamp(2, 1)), None, "its boot is not known");
        assert_eq!(known.age(stamp(1, 0), stamp(7, 1)), None, "this boot is not known");
        assert_eq!(known.age(stamp(1, 5), stamp(2, 1)), None, "it lies in the future: the clock was set back");
        let unset = map_of(&[(1, NOON_NS), (2, 0), (3, NOON_NS)]);
        assert_eq!(unset.age(stamp(1, 0), stamp(2, 1)), None, "the clock is not set yet");
        assert_eq!(unset.age(stamp(2, 0), stamp(3, 1)), None, "the clock was never set in that boot");
    }

    #[test]
    fn what_was_stored_is_taken_over_and_what_was_observed_since_stays() {
        let (clock, map) = (Clock::system(), SharedClockMap::default());
        map.observe(&clock);
        let now = map.resolve(clock.stamp());
        map.restore(&map_of(&[(7, NOON_NS), (clock.boot().0, 5)]).to_bytes());
        assert_eq!(map.resolve(stamp(7, 0)), EventTime(NOON_NS));
        assert!(map.resolve(clock.stamp()) >= now);
    }

    #[test]
    fn the_map_is_bounded() {
        let mut map = ClockMap::default();
        for i in 0..1_000 {
            map.set(ClockBoot(i), 0);
        }
        assert_eq!(map.boots.len(), ClockMap::BOOTS_MAX);
    }
}
