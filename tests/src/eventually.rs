//! Waiting for something to become true, with a deadline instead of a fixed sleep.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

/// Between two looks: short enough not to slow a test down, long enough not to load the machine it measures.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again for as long as `time`: what must not happen does not.
///
/// # Errors
/// Those of the first look that has any.
pub async fn throughout(what: &str, time: Duration, mut look: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        look().await.with_context(|| format!("{what}: not for {} s", time.as_secs_f64()))?;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Looks again and again until `look` succeeds; after the deadline the last look's error is the test's.
///
/// # Errors
/// `look` did not succeed in time.
pub async fn eventually<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(e) if Instant::now() >= end => {
                return Err(e).with_context(|| format!("{what}: not within {} s", deadline.as_secs_f64()));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
