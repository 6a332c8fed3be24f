//! Whose turn it is on the link while two lanes wait: by the time that each has kept it busy, as in fair queueing.
//!
//! # Invariants
//! - While both wait, the backlog has at least its share of the busy time, within one batch.
//! - Who did not wait has no claim on what the other one had meanwhile.

use std::time::Duration;

use super::Lane;

/// Virtual time: busy time over the weight of the lane.
#[derive(Debug)]
pub(super) struct Share {
    backlog_share: f64,
    live: f64,
    backlog: f64,
}

impl Share {
    /// `backlog_share` lies between 0 and 1, both excluded.
    pub(super) fn new(backlog_share: f64) -> Self {
        Self { backlog_share, live: 0.0, backlog: 0.0 }
    }

    /// Which of the two is next, if both wait.
    pub(super) fn next(&self) -> Lane {
        if self.backlog < self.live { Lane::Backlog } else { Lane::Live }
    }

    /// A lane begins to keep the link busy, for about so long. `other_waits` tells whether the other one would have had
    /// something to send.
    pub(super) fn begin(&mut self, lane: Lane, expected: Duration, other_waits: bool) {
        self.charge(lane, expected.as_secs_f64());
        if !other_waits {
            match lane {
                Lane::Live => self.backlog = self.backlog.max(self.live),
                Lane::Backlog => self.live = self.live.max(self.backlog),
                Lane::Derived => {}
            }
        }
    }

    /// It took so long in fact.
    pub(super) fn end(&mut self, lane: Lane, expected: Duration, took: Duration) {
        self.charge(lane, took.as_secs_f64() - expected.as_secs_f64());
        // Only the difference means something: the sums stay small.
        let least = self.live.min(self.backlog);
        (self.live, self.backlog) = (self.live - least, self.backlog - least);
    }

    fn charge(&mut self, lane: Lane, seconds: f64) {
        match lane {
            Lane::Live => self.live += seconds / (1.0 - self.backlog_share),
            Lane::Backlog => self.backlog += seconds / self.backlog_share,
            Lane::Derived => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUESS: Duration = Duration::from_millis(100);

    proptest! {
        #[test]
        fn the_backlog_has_its_share_of_the_busy_time_however_long_batches_take(
            share in 0.1..0.9_f64,
            took in prop::collection::vec(1..2_000_u64, 200..400),
        ) {
            let mut sut = Share::new(share);
            let mut busy = [0.0; 2];
            for millis in took {
                let (lane, took) = (sut.next(), Duration::from_millis(millis));
                sut.begin(lane, GUESS, true);
                sut.end(lane, GUESS, took);
                busy[usize::from(lane == Lane::Backlog)] += took.as_secs_f64();
            }
            let (live, backlog) = (busy[0], busy[1]);
            // Within the longest batch.
            prop_assert!(backlog + 2.0 >= share * (live + backlog), "{} of {}", backlog, live + backlog);
            prop_assert!(live + 2.0 >= (1.0 - share) * (live + backlog));
        }
    }

    #[test]
    fn who_did_not_wait_saves_nothing_up() {
        let mut share = Share::new(0.5);
        for _ in 0..100 {
            share.begin(Lane::Backlog, GUESS, false);
            share.end(Lane::Backlog, GUESS, Duration::from_secs(1));
        }
        let mut live_in_a_row = 0;
        while share.next() == Lane::Live {
            share.begin(Lane::Live, GUESS, true);
            share.end(Lane::Live, GUESS, Duration::from_secs(1));
            live_in_a_row += 1;
        }
        assert!(live_in_a_row <= 2, "{live_in_a_row}");
    }
}
