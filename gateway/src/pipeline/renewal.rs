//! Looks after files that others replace: certificates, users.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use crate::ingest::Guard;
use crate::shutdown::Stop;

/// Two looks pass before a change counts: it is in force after ten seconds at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Lets the guard look at its files until the stop.
pub(super) async fn keep(guard: Guard, mut stop: Stop) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = stop.requested() => return Ok(()),
        }
        let guard = guard.clone();
        // A slow disk must not hold up the doors. Its end is awaited, so that looks never pile up.
        if let Err(error) = tokio::task::spawn_blocking(move || guard.refresh()).await {
            tracing::error!(%error, "Certificates and users could not be looked at.");
        }
    }
}
