//! Whether raw records wait until it is known when they were received. Pure: time is an argument.

use std::time::Duration;

use super::State;

/// The `[clock]` table, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Records wait no longer than this for the clock to be set; then they go out marked.
    pub hold_max: Duration,
    /// A clock that may be right is waited for this long, where a time service is about to set it.
    pub wait_for_sync: Duration,
    /// A reading further ahead of the received time than this has its time from a device whose clock is wrong.
    pub future_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hold_max: Duration::from_secs(86_400),
            wait_for_sync: Duration::from_secs(60),
            future_max: Duration::from_secs(3_600),
        }
    }
}

/// What becomes of raw records of this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// They wait: when they were received is not known.
    Held,
    /// They have waited for long enough, or there is no room for more: they go out, marked.
    Released,
    /// It is known when they were received.
    #[default]
    Free,
}

/// Decides between the phases for one boot: `Held` → `Released` → `Free`, never back.
#[derive(Clone, Debug)]
pub struct Hold {
    config: Config,
    phase: Phase,
    /// Since boot, nanoseconds: when holding began.
    began_ns: u64,
    /// A time service is expected to set the clock.
    will_be_set: bool,
    /// When the clock first showed a time that may be right.
    plausible_ns: Option<u64>,
}

impl Hold {
    pub fn new(config: Config, phase: Phase, began_ns: u64, will_be_set: bool) -> Self {
        Self { config, phase, began_ns, will_be_set, plausible_ns: None }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// Whether a clock in this state is to be believed.
    pub fn believes(&mut self, state: State, now_ns: u64) -> bool {
        match state {
            State::Wrong => false,
            State::Synchronised => true,
            State::Unverified => {
                let since = *self.plausible_ns.get_or_insert(now_ns);
                !self.will_be_set || has_passed(since, self.config.wait_for_sync, now_ns)
            }
        }
    }

    /// `is_known`: this boot's time is believed. `is_tight`: what is held takes room that others need.
    pub fn look(&mut self, is_known: bool, is_tight: bool, now_ns: u64) -> Phase {
        self.phase = match self.phase {
            Phase::Free => Phase::Free,
            Phase::Held | Phase::Released if is_known => Phase::Free,
            Phase::Held if is_tight || has_passed(self.began_ns, self.config.hold_max, now_ns) => Phase::Released,
            Phase::Held => Phase::Held,
            Phase::Released => Phase::Released,
        };
        self.phase
    }
}

fn has_passed(since_ns: u64, time: Duration, now_ns: u64) -> bool {
    u128::from(now_ns.saturating_sub(since_ns)) >= time.as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: u64 = 60_000_000_000;

    fn hold(will_be_set: bool) -> Hold {
        Hold::new(Config::default(), Phase::Held, 5 * MINUTE_NS, will_be_set)
    }

    #[test]
    fn records_are_held_until_the_time_is_known() {
        let mut hold = hold(false);
        assert_eq!(hold.look(false, false, 60 * MINUTE_NS), Phase::Held);
        assert_eq!(hold.look(true, false, 61 * MINUTE_NS), Phase::Free);
        assert_eq!(hold.look(false, false, 62 * MINUTE_NS), Phase::Free, "what is known stays known");
    }

    #[test]
    fn after_the_longest_hold_records_go_and_stay_released_until_the_time_is_known() {
        let mut hold = hold(false);
        let a_day = 24 * 60 * MINUTE_NS;
        assert_eq!(hold.look(false, false, 5 * MINUTE_NS + a_day - 1), Phase::Held);
        assert_eq!(hold.look(false, false, 5 * MINUTE_NS + a_day), Phase::Released);
        assert_eq!(hold.look(false, false, 6 * MINUTE_NS), Phase::Released);
        assert_eq!(hold.look(true, false, 2 * a_day), Phase::Free);
    }

    #[test]
    fn a_queue_without_room_ends_the_hold() {
        assert_eq!(hold(false).look(false, true, 6 * MINUTE_NS), Phase::Released);
        assert_eq!(hold(false).look(true, true, 6 * MINUTE_NS), Phase::Free, "known is better than marked");
    }

    #[test]
    fn a_plausible_clock_is_waited_for_only_where_a_service_will_set_it_and_not_for_long() {
        assert!(hold(false).believes(State::Unverified, 0), "nobody is there to wait for");
        let mut waits = hold(true);
        assert!(!waits.believes(State::Wrong, 0));
        assert!(!waits.believes(State::Unverified, 7 * MINUTE_NS), "the wait begins here");
        assert!(!waits.believes(State::Unverified, 8 * MINUTE_NS - 1));
        assert!(waits.believes(State::Unverified, 8 * MINUTE_NS));
        assert!(hold(true).believes(State::Synchronised, 0));
    }
}
