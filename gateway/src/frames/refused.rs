//! What is refused, on its way to where its bytes are kept.

use tokio::sync::mpsc;

use crate::queue::Record;

/// Refused frames that wait to be written down; more are counted alone. A frame is at most 4 KiB.
const PENDING_MAX: usize = 256;

/// A record that is not stored, for it is not proven to be the device's, or may be a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// One of few words.
    pub reason: &'static str,
    pub record: Record,
}

/// From the queue's writer to who keeps them. The default one keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    sender: Option<mpsc::Sender<Refused>>,
}

impl Refusals {
    pub fn channel() -> (Self, mpsc::Receiver<Refused>) {
        let (sender, receiver) = mpsc::channel(PENDING_MAX);
        (Self { sender: Some(sender) }, receiver)
    }

    /// Whether it is kept: the writer never waits.
    pub(super) fn keep(&self, refused: Refused) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.try_send(refused).is_ok())
    }
}
