//! The door that reads frames from a serial line.
//!
//! # Invariants
//! - Only packets with a good CRC become records, and only if they begin like a frame; all else is counted by reason.
//! - A device that is not there is no failure: it is opened again for as long as the gateway runs.
//! - An acknowledgement, where they are on, is written only after the receipt of the record.
//! - Memory is bounded: while [`line::UNSTORED_MAX_BYTES`] wait for the queue, the line is not read.
//!
//! # Flow
//! ```text
//! tty ─bytes─▶ port ─▶ line (pure: bytes in, records, counts and acknowledgements out) ─▶ queue::Appender
//!  ▲                     │  ▲─── receipt
//!  └── acknowledgements ─┘
//! ```
//!
//! # Not here
//! The format: see `firmware_protocol::accumulator` and section 6 of `SPEC.md`.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod line;
mod meters;
mod port;
mod serve;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::Error;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::frames::Asking;
use crate::metrics::Metrics;
use crate::queue::Appender;
use crate::shutdown::Stop;

use meters::Meters;
use port::Port;
use serve::Door;

/// Bound of the pause after the first failure to open the device.
const PAUSE_FIRST_MAX: Duration = Duration::from_millis(250);

/// One `[[serial]]` table: a line to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialConfig {
    /// For logs, metrics and the topic `serial/NAME`; unique among the lines.
    pub name: String,
    /// The device; best a name that stays when it is plugged in again.
    pub path: PathBuf,
    pub baud: u32,
    /// Hardware flow control.
    pub rtscts: bool,
    /// Whether frames are acknowledged on the line.
    pub ack: bool,
    /// Longest pause between two attempts to open the device (full jitter).
    pub reopen_max: Duration,
}

impl SerialConfig {
    /// What the common adapters and boards can do, and Linux has names for.
    pub const BAUDS: [u32; 20] = [
        1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600,
        1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 4_000_000,
    ];

    /// The line of the device at `path`, with the defaults of all else.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            name: "serial".into(),
            path: path.into(),
            baud: 115_200,
            rtscts: false,
            ack: false,
            reopen_max: Duration::from_secs(5),
        }
    }
}

/// Runs until the stop.
///
/// # Errors
/// The queue is closed or has failed.
pub async fn run(
    config: SerialConfig,
    appender: Appender,
    clock: Clock,
    metrics: Metrics,
    asking: Asking,
    mut stop: Stop,
) -> Result<(), Error> {
    let meters = Meters::new(&metrics, &config.name);
    let mut backoff = Backoff::new(PAUSE_FIRST_MAX, config.reopen_max, RandomState::new().hash_one(&config.name));
    let mut door = Door::new(&config, appender, clock, meters, asking);
    // What was said last of a device that cannot be opened: it is said once.
    let mut told = None;
    while !stop.is_requested() {
        let opened = tokio::select! {
            opened = Port::open(&config) => opened,
            () = stop.requested() => break,
        };
        let pause = match opened {
            Ok(port) => {
                info!(line = %config.name, path = %config.path.display(), baud = config.baud, "Serial line is open.");
                told = None;
                let served = door.serve(port, &mut stop).await?;
                backoff.next_after(served)
            }
            Err(error) => {
                door.not_opened(&error);
                let message = error.to_string();
                if told.as_ref() != Some(&message) {
                    warn!(
                        line = %config.name, path = %config.path.display(), %error,
                        "Serial line cannot be opened; it is tried again until it can."
                    );
                    told = Some(message);
                }
                backoff.next()
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.requested() => {}
        }
    }
    Ok(())
}
