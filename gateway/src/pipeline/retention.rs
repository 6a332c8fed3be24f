//! Tells the queue how old its records are: it applies times to live, and knows no time itself.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use crate::clock::{Clock, SharedClockMap};
use crate::queue::{self, Sweeper};
use crate::shutdown::Stop;

/// A sixth of the shortest time to live: nothing is kept much longer than asked.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Whether records go, or stay, by their age at all.
pub(super) fn is_wanted(config: &queue::Config) -> bool {
    config.ttl.iter().any(Option::is_some) || config.keep_delivered.is_some()
}

/// Sweeps until the stop.
pub(super) async fn keep(
    clock: Clock,
    map: SharedClockMap,
    sweeper: Sweeper,
    mut stop: Stop,
) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = sleep(SWEEP_EVERY) => {}
            () = stop.requested() => return Ok(()),
        }
        let now = clock.stamp();
        sweeper.sweep(&|stamp| map.age(stamp, now));
    }
}
