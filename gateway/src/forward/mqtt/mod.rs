//! An MQTT broker as a sink: derived records as JSON under topics of their own, raw payloads as they came under a prefix.
//!
//! # Invariants
//! - A batch is confirmed once the broker has acknowledged each of its messages (QoS 1).
//! - One connection at a time: a batch that was given up takes its connection with it, and the broker ends the old one
//!   when the same client comes again, so nothing overtakes.
//!
//! # Flow
//! ```text
//! encoder ─batch─▶ send ─▶ connected: publishes, pings between batches ─▶ broker
//!                    ▲ └─ dials, if nothing is connected
//!                    └─── what became of the batch
//! ```

mod connected;
mod encoder;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rumqttc::mqttbytes::v4::ConnectReturnCode;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{DeliveryConfig, Kind, Sink, SinkError};
use crate::publisher::{Broker, Fault, Message, Presence};
use connected::Connected;
pub(super) use encoder::MqttEncoder;
pub use template::{TemplateFault, TopicTemplate};

/// What is published at least so often, be it a ping: behind most firewalls a connection is kept for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// One `[[mqtt_sink]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSinkConfig {
    pub name: String,
    pub broker: Broker,
    /// Of derived records.
    pub topic: TopicTemplate,
    pub raw_topic: TopicTemplate,
    /// Of these the broker keeps the last one of each topic.
    pub retain: Vec<Kind>,
    /// Longest payload that is published, bytes: brokers close the connection at what they think too long.
    pub payload_max_bytes: usize,
    /// Where it is said, retained, whether the sink is there; empty: nowhere.
    pub status_topic: String,
    pub delivery: DeliveryConfig,
}

pub(super) struct MqttSink {
    broker: Broker,
    status_topic: Option<String>,
    timeout: Duration,
    connected: Mutex<Option<Connected>>,
}

/// Messages in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    messages: Arc<[Message]>,
    bytes: u64,
}

impl MqttSink {
    /// Does not connect yet.
    pub(super) fn new(config: &MqttSinkConfig) -> Self {
        Self {
            broker: config.broker.clone(),
            status_topic: Some(config.status_topic.clone()).filter(|topic| !topic.is_empty()),
            timeout: config.delivery.timeout,
            connected: Mutex::default(),
        }
    }

    async fn connect(&self) -> Result<Connected, Fault> {
        let presence = Presence { keep_alive: KEEP_ALIVE, status_topic: self.status_topic.as_deref() };
        Ok(Connected::new(self.broker.connect(presence).await?, KEEP_ALIVE, self.status_topic.clone()))
    }

    /// Dials if it must. Whoever stops waiting for this leaves no connection behind.
    async fn publish(&self, batch: &Batch) -> Result<(), Fault> {
        let mut place = self.connected.lock().await;
        let connected = match place.take().filter(Connected::is_alive) {
            Some(connected) => connected,
            None => self.connect().await?,
        };
        connected.publish(batch.messages.clone()).await?;
        *place = Some(connected);
        Ok(())
    }
}

impl Sink for MqttSink {
    type Batch = Batch;

    fn wire_bytes(batch: &Batch) -> u64 {
        batch.bytes
    }

    async fn send(&self, batch: &Batch) -> Result<(), SinkError> {
        match timeout(self.timeout, self.publish(batch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err(verdict(&fault)),
            Err(_elapsed) => {
                let reason = format!("not acknowledged within {:?}", self.timeout);
                Err(SinkError::Retry { reason, after: None })
            }
        }
    }
}

fn verdict(fault: &Fault) -> SinkError {
    let reason = fault.to_string();
    match fault {
        Fault::Refused(ConnectReturnCode::ServiceUnavailable) => SinkError::Retry { reason, after: None },
        Fault::Refused(_) => SinkError::Misconfigured { reason },
        Fault::Io(_) | Fault::Closed | Fault::Protocol(_) | Fault::Unexpected => {
            SinkError::Retry { reason, after: None }
        }
    }
}
