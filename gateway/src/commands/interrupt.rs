//! Ctrl-C and SIGTERM: the first asks to stop, the second Ctrl-C quits at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::shutdown::{self, Stop};

/// Exit code of a shell for a program that SIGINT ended.
pub(crate) const INTERRUPTED: i32 = 130;

/// A stop that the first signal requests, or the end of `limit`.
///
/// # Errors
/// The operating system does not let us listen to signals.
pub(crate) fn stop_on_signal(limit: Option<Duration>) -> std::io::Result<Stop> {
    let (trigger, stop) = shutdown::channel();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = sleep(limit.unwrap_or_default()), if limit.is_some() => {}
        }
        trigger.stop();
        interrupt.recv().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}
