//! When windows alarm, and for how long an alarm keeps them from being learned.

use serde::{Deserialize, Serialize};

use crate::detect::history::Standing;

/// A window this far below the threshold is trusted, and two in a row above it alarm, decades.
pub(super) const GUARD: f64 = 1.0;
const LONG_AGO: f64 = -9.0;

/// Whether the channel is in alarm, from one score to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarm {
    previous: [f64; 2],
    pub(super) is_on: bool,
    quiet: u32,
    clear: u32,
}

impl Alarm {
    pub(super) fn new(clear: u32) -> Self {
        Self { previous: [LONG_AGO; 2], is_on: false, quiet: clear + 1, clear }
    }

    /// Takes in a score, decades above the threshold; says whether the window is anomalous.
    pub(super) fn judge(&mut self, score: f64) -> (Standing, bool) {
        let is_anomalous = score >= 0.0 || (score >= -GUARD && self.previous.iter().any(|p| *p >= -GUARD));
        self.previous = [self.previous[1], score];
        if is_anomalous {
            self.is_on = true;
            self.quiet = 0;
        } else {
            self.quiet = self.quiet.saturating_add(1);
            if self.quiet > self.clear {
                self.is_on = false;
            }
        }
        let standing = match (self.is_on, score < -GUARD) {
            (true, _) => Standing::Alarmed,
            (false, true) => Standing::Trusted,
            (false, false) => Standing::Doubtful,
        };
        (standing, is_anomalous)
    }
}
