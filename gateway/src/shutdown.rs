//! The word to stop, from one place to all tasks.

use tokio::sync::watch;

/// Held by the pipeline; dropping it stops all listeners too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Held by each task.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

pub fn channel() -> (Trigger, Stop) {
    let (tx, rx) = watch::channel(false);
    (Trigger(tx), Stop(rx))
}

impl Trigger {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Resolves once the stop was requested; at once if it was already. Safe to cancel.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone: the same as a stop.
        self.0.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
