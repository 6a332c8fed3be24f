//! What the gateway tells about itself over MQTT: its status, windows, anomalies and incidents, for clients that subscribe at
//! `listen`.
//!
//! Results are told with QoS 0 and not kept for anyone: they are in the derived log, and on their way to the sinks.
//!
//! # Topics
//! | topic | payload |
//! |---|---|
//! | `gateway/NAME/status` | `{"status":"online"}`, told first to each subscriber |
//! | `gateway/NAME/windows/DEVICE/CHANNEL` | a window, JSON |
//! | `gateway/NAME/anomalies/DEVICE/CHANNEL` | an anomaly, JSON; without CHANNEL if it is about the device as a whole |
//! | `gateway/NAME/incidents/DEVICE` | an incident, JSON, each time that it changes |
//! | `gateway/requests/DEVICE` | the device is asked for its hello: the packet that serial lines have for it |
//! | `spBv1.0/GROUP/NCMD/NODE` | a Sparkplug edge node is asked for its births |

use std::sync::Arc;

use tokio::sync::broadcast;

/// Results that a slow client may lag behind; what is older it does not get.
const LAG_MAX: usize = 256;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Results {
    gateway: Arc<str>,
    sender: broadcast::Sender<Arc<Message>>,
}

impl Results {
    pub fn new(gateway: &str) -> Self {
        Self { gateway: level(gateway).into(), sender: broadcast::Sender::new(LAG_MAX) }
    }

    /// Whether it is worth putting a result into words.
    pub fn has_listeners(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// `kind` is `windows`, `anomalies` or `incidents`, `payload` JSON; no channel if it is about the device as a whole.
    pub fn publish(&self, kind: &str, device: &str, channel: &str, payload: String) {
        let mut topic = format!("gateway/{}/{kind}/{}", self.gateway, level(device));
        if !channel.is_empty() {
            topic.push('/');
            topic.push_str(&level(channel));
        }
        self.tell(topic, payload.into_bytes());
    }

    /// Tells any message of the gateway's.
    pub fn tell(&self, topic: String, payload: Vec<u8>) {
        // Nobody listens: that is no failure.
        self.sender.send(Arc::new(Message { topic, payload })).unwrap_or_default();
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<Message>> {
        self.sender.subscribe()
    }

    /// Where the gateway tells whether it is there, here and at brokers.
    pub fn status_topic(&self) -> String {
        format!("gateway/{}/status", self.gateway)
    }

    pub(super) fn status(&self) -> Message {
        Message { topic: self.status_topic(), payload: super::wire::Status::ONLINE.into() }
    }
}

/// A name as part of a topic: without what is a wildcard there. Names with `/` take several levels.
fn level(name: &str) -> String {
    name.replace(['+', '#', '\0'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_is_told_and_names_cannot_make_wildcards() {
        let results = Results::new("edge+1");
        assert!(!results.has_listeners());
        results.publish("windows", "a", "b", "{}".into());
        let mut listener = results.listen();
        assert!(results.has_listeners());
        results.publish("anomalies", "plant/pump#7", "temperature", "{}".into());
        let told = listener.recv().await.unwrap();
        assert_eq!(told.topic, "gateway/edge_1/anomalies/plant/pump_7/temperature");
        results.publish("incidents", "plant/pump#7", "", "{}".into());
        assert_eq!(listener.recv().await.unwrap().topic, "gateway/edge_1/incidents/plant/pump_7");
        assert_eq!(results.status().topic, "gateway/edge_1/status");
    }
}
