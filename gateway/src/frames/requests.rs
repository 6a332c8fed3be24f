//! What the gateway asks of senders: to tell again what their channel numbers mean.
//!
//! One bounded channel leads from the writer to all doors; each takes what concerns its own connections. A request that
//! a busy door misses is made again, for the next record that cannot be read asks again.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use firmware_protocol::frame::{HELLO_REQUEST_MAX_BYTES, encode_hello_request};
use firmware_protocol::measurement::EventTime;
use firmware_protocol::sparkplug::{self, EdgeNode};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

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
    pub fn listen(&self) -> Asking {
        Asking { receiver: self.sender.subscribe() }
    }

    pub(super) fn make(&self, request: Request) {
        // No door that could ask: the sender tells at its next start.
        self.sender.send(request).unwrap_or_default();
    }
}

impl Request {
    /// As an MQTT message with QoS 0: topic and payload. `now` is what the wall clock shows.
    pub fn message(&self, now: EventTime) -> (String, Vec<u8>) {
        match &self.wish {
            Wish::Hello { device } => (hello_topic(device), hello_packet(device)),
            Wish::Rebirth { group, node } => (EdgeNode { group, node }.command_topic(), sparkplug::rebirth(now)),
        }
    }
}

/// Without what is a wildcard in topics. Names with `/` take several levels.
fn hello_topic(device: &str) -> String {
    format!("gateway/requests/{}", device.replace(['+', '#', '\0'], "_"))
}

/// The packet by which a device is asked for its hello, as it goes over MQTT; empty for a name that no device has.
pub fn hello_packet(device: &str) -> Vec<u8> {
    let mut packet = [0; HELLO_REQUEST_MAX_BYTES];
    let length = encode_hello_request(device, &mut packet).unwrap_or_default();
    packet.get(..length).unwrap_or_default().to_vec()
}

/// A door's end of the channel.
#[derive(Debug)]
pub struct Asking {
    receiver: broadcast::Receiver<Request>,
}

impl Asking {
    /// The next request; those that came too fast are left out. Safe to cancel.
    pub async fn next(&mut self) -> Request {
        loop {
            match self.receiver.recv().await {
                Ok(request) => return request,
                Err(RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "Requests came faster than they could be made.")
                }
                // The queue is closed: the doors are about to be.
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    /// The next request that is there already.
    pub fn take(&mut self) -> Option<Request> {
        loop {
            match self.receiver.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
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

    #[test]
    fn a_request_is_a_message_that_no_name_makes_a_wildcard() {
        let request = |wish| Request { wish, door: Door::Listen, topic: Bytes::new() };
        let (topic, payload) = request(Wish::Hello { device: "hall/pump#7".into() }).message(EventTime(0));
        assert_eq!(topic, "gateway/requests/hall/pump_7");
        assert_eq!(firmware_protocol::frame::parse_hello_request(&payload), Ok("hall/pump#7"));
        let (topic, payload) = request(Wish::Rebirth { group: "g".into(), node: "n".into() }).message(EventTime(0));
        assert_eq!(topic, "spBv1.0/g/NCMD/n");
        assert!(sparkplug::Payload::parse(&payload).is_ok());
    }
}
