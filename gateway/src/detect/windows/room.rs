//! How much is kept of a pane.

use std::time::Duration;

/// Samples kept of a window: 13 a second for ten minutes.
pub(in crate::detect) const SAMPLES_MAX: usize = 8_192;
/// Seconds of a longer window would take more than 170 KB.
const SECONDS_WINDOW_MAX_NS: i64 = 3_600_000_000_000;

/// What becomes of a pane with more samples than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect) enum Beyond {
    /// It becomes one of seconds.
    Seconds,
    /// As many as there is room for are drawn by hash: seconds of a window of hours would be too many, and with a few
    /// readings each would tell little.
    Drawn,
}

/// All follows from the samples kept of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect) struct Room {
    /// Samples of a pane, and, of those drawn, of a window.
    pub(in crate::detect) samples: usize,
    pub(in crate::detect) beyond: Beyond,
    /// Samples of one second; of more, as many are drawn by hash.
    pub(in crate::detect) of_second: usize,
    /// Samples that wait for their second to be folded: those of 30 s at 1 kHz.
    pub(in crate::detect) waiting: usize,
    /// A second is folded when it ended so long before the newest reading.
    pub(in crate::detect) out_of_order_ns: i64,
}

impl Room {
    /// For panes of windows that consist of `hops` of them.
    pub(in crate::detect) fn new(samples_max: usize, window_ns: i64, hops: i64, out_of_order: Duration) -> Self {
        let beyond = if window_ns <= SECONDS_WINDOW_MAX_NS { Beyond::Seconds } else { Beyond::Drawn };
        // A window of seconds is one of seconds throughout, so that each pane has its share of the samples.
        let panes = match beyond {
            Beyond::Seconds => usize::try_from(hops).unwrap_or(1).max(1),
            Beyond::Drawn => 1,
        };
        Self {
            samples: (samples_max / panes).max(1),
            beyond,
            of_second: (samples_max / 4).max(1),
            waiting: samples_max.saturating_mul(4),
            out_of_order_ns: i64::try_from(out_of_order.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}
