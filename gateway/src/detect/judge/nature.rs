//! Whether a channel is a counter: decided within its first hour, and anew if what it does later tells otherwise.
//!
//! A counter rises and never falls but to start over. What rises for an hour and falls later was none: the channel is
//! then learned anew, as a level.

use serde::{Deserialize, Serialize};

use super::super::features::{Movement, Nature};

/// Windows that decide: an hour of ten minutes,
const WINDOWS_MIN: u32 = 6;
/// or as many as bring this many pairs of readings.
const PAIRS_MIN: u32 = 30;
/// Least share of pairs that rise: a counter of pieces stands still for most of the time.
const RISES_MIN: f64 = 0.05;
/// A counter starts over at most this often: 2 in a day of seconds.
const RESETS_MAX: f64 = 2.0 / 86_400.0;
/// Falls that are none of a reset, as a share of pairs, beyond which it is no counter: one in a thousand may be an error.
const FALLS_MAX: f64 = 0.001;
/// Counts are halved here, so that a change shows within days: 2^20 pairs are twelve days of seconds.
const PAIRS_MAX: u32 = 1 << 20;

/// What was seen of a channel's movement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Naturalist {
    windows: u32,
    seen: Movement,
    nature: Nature,
}

impl Naturalist {
    pub(super) fn nature(&self) -> Nature {
        self.nature
    }

    /// `None` while it is not decided.
    pub(super) fn decided(&self) -> Option<Nature> {
        (self.windows >= WINDOWS_MIN && self.seen.of >= PAIRS_MIN).then_some(self.nature)
    }

    /// Takes a window's movement into account. True if the channel's nature is another one from here on.
    pub(super) fn observe(&mut self, movement: Movement) -> bool {
        self.windows = self.windows.saturating_add(1);
        let Movement { rises, falls, resets, of } = &mut self.seen;
        *rises = rises.saturating_add(movement.rises);
        *falls = falls.saturating_add(movement.falls);
        *resets = resets.saturating_add(movement.resets);
        *of = of.saturating_add(movement.of);
        if *of > PAIRS_MAX {
            for count in [rises, falls, resets, of] {
                *count /= 2;
            }
        }
        let before = self.nature;
        if self.windows >= WINDOWS_MIN && self.seen.of >= PAIRS_MIN {
            self.nature = self.seen_nature();
        }
        self.nature != before
    }

    fn seen_nature(&self) -> Nature {
        let Movement { rises, falls, resets, of } = self.seen;
        let pairs = f64::from(of);
        let real_falls = f64::from(falls.saturating_sub(resets));
        let rises_enough = f64::from(rises) >= RISES_MIN * pairs;
        // A counter is not given up for a fault, and nothing that has fallen in its first hour becomes one by a quiet day.
        let falls_allowed = match self.nature {
            Nature::Counter => FALLS_MAX * pairs,
            Nature::Level => 0.0,
        };
        let resets_allowed = 1.0 + RESETS_MAX * pairs;
        let keeps_rising = match self.nature {
            Nature::Counter => true,
            Nature::Level => rises_enough,
        };
        if keeps_rising && real_falls <= falls_allowed && f64::from(resets) <= resets_allowed.max(2.0) {
            Nature::Counter
        } else {
            Nature::Level
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISING: Movement = Movement { rises: 300, falls: 0, resets: 0, of: 599 };
    const WAVERING: Movement = Movement { rises: 300, falls: 290, resets: 0, of: 599 };
    const STILL: Movement = Movement { rises: 0, falls: 0, resets: 0, of: 599 };

    fn changes(windows: &[Movement]) -> (Nature, usize) {
        let mut naturalist = Naturalist::default();
        let changes = windows.iter().filter(|w| naturalist.observe(**w)).count();
        (naturalist.nature(), changes)
    }

    #[test]
    fn what_only_rises_for_an_hour_is_a_counter_through_resets_and_standstill() {
        let reset = Movement { falls: 1, resets: 1, ..RISING };
        let windows = [vec![RISING; 6], vec![STILL; 300], vec![reset], vec![RISING; 300]].concat();
        assert_eq!(changes(&windows), (Nature::Counter, 1));
        assert_eq!(changes(&windows[..5]), (Nature::Level, 0));
    }

    #[test]
    fn what_wavers_or_stands_still_is_a_level() {
        assert_eq!(changes(&[WAVERING; 20]), (Nature::Level, 0));
        assert_eq!(changes(&[STILL; 20]), (Nature::Level, 0));
    }

    #[test]
    fn what_rose_for_an_hour_and_falls_later_is_a_level_after_all() {
        let falling = Movement { rises: 0, falls: 300, resets: 0, of: 599 };
        let windows = [vec![RISING; 12], vec![falling; 6], vec![RISING; 144]].concat();
        assert_eq!(changes(&windows), (Nature::Level, 2));
    }

    #[test]
    fn one_reading_that_falls_by_mistake_leaves_a_counter_a_counter() {
        let mistaken = Movement { falls: 1, ..RISING };
        assert_eq!(changes(&[vec![RISING; 6], vec![mistaken], vec![RISING; 10]].concat()), (Nature::Counter, 1));
    }
}
