//! What the gateway asks of senders: to tell again what their channel numbers mean.
//!
//! One bounded channel leads from the writer to all doors; each takes what concerns its own connections. A request that
//! a busy door misses is made again, for the next record that cannot be read asks again.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;

use super::waiting::Sender;
use crate::clock::Stamp;
use crate::queue::Door;

/// Each sender is asked at most once in this time: a hello takes a while on a slow line.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(30);
/// Senders remembered as asked; while there are as many, no others are.
const ASKED_MAX: usize = 1_024;
/// Requests that a busy door may lag behind.
const LAG_MAX: usize = 256;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The hello of this device.
    Hello { device: String },
    /// The births of this Sparkplug edge node and of its devices.
    Rebirth { group: String, node: String },
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub wish: Wish,
    /// Through which door, and under which topic, the record came that makes it necessary.
    pub door: Door,
    pub topic: Bytes,
}

/// From the queue's writer to the doors. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Requests {
    sender: broadcast::Sender<Request>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(LAG_MAX) }
    }
}

impl Requests {
    /// For a door.
    pub fn listen(&self) -> broadcast::Receiver<Request> {
        self.sender.subscribe()
    }

    pub(super) fn make(&self, request: Request) {
        // No door that could ask: the sender tells at its next start.
        self.sender.send(request).unwrap_or_default();
    }
}

/// Who was asked, and when.
#[derive(Debug, Default)]
pub(super) struct Asked {
    at: HashMap<Sender, Stamp>,
}

impl Asked {
    /// Whether the sender is to be asked now; it counts as asked then.
    pub(super) fn is_due(&mut self, sender: Sender, now: Stamp) -> bool {
        let is_recent = |at: &Stamp| {
            let passed_ns = now.since_boot_ns.saturating_sub(at.since_boot_ns);
            at.boot == now.boot && u128::from(passed_ns) < ASK_EVERY.as_nanos()
        };
        if self.at.get(&sender).is_some_and(is_recent) {
            return false;
        }
        if self.at.len() >= ASKED_MAX {
            self.at.retain(|_, at| is_recent(at));
        }
        let has_room = self.at.len() < ASKED_MAX;
        if has_room {
            self.at.insert(sender, now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ClockBoot;

    fn at(seconds: u64) -> Stamp {
        Stamp { boot: ClockBoot(1), since_boot_ns: seconds * 1_000_000_000 }
    }

    #[test]
    fn each_sender_is_asked_once_in_a_while_and_their_number_is_bounded() {
        let mut asked = Asked::default();
        let device = |n: usize| Sender::Device(n.to_string());
        assert!(asked.is_due(device(0), at(0)) && asked.is_due(Sender::Edge("0".into()), at(0)));
        assert!(!asked.is_due(device(0), at(29)));
        assert!(asked.is_due(device(0), at(30)));
        let due = (1..10_000).filter(|n| asked.is_due(device(*n), at(31))).count();
        assert!((ASKED_MAX - 2..=ASKED_MAX).contains(&due), "{due}");
        assert!(asked.is_due(device(10_000), at(90)));
    }
}
