//! MQTT 3.1.1: a connection for each message, published with QoS 1, gone when the broker has acknowledged it.
//!
//! The message's id is in the payload, so that whoever subscribes can tell a repeat.

use std::time::Duration;

use rumqttc::mqttbytes::v4::ConnectReturnCode;
use tokio::time::timeout;

use super::{Outcome, Said};
use crate::alert::message::Message;
use crate::alert::settings::Mqtt;
use crate::publisher::{self, Connection, Fault, Presence};

#[derive(Debug)]
pub(in crate::alert) struct MqttChannel {
    mqtt: Mqtt,
    timeout: Duration,
}

impl MqttChannel {
    pub(super) fn new(mqtt: &Mqtt, timeout: Duration) -> Self {
        Self { mqtt: mqtt.clone(), timeout }
    }

    pub(super) async fn send(&self, message: &Message) -> Outcome {
        // It lives for one message, which has a timeout of its own.
        let mut connection = match timeout(self.timeout, self.mqtt.broker.connect(Presence::default())).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(fault @ Fault::Refused(ConnectReturnCode::ServiceUnavailable))) => return Outcome::not_sent(fault),
            Ok(Err(fault @ Fault::Refused(_))) => return Outcome::Misconfigured { reason: fault.to_string() },
            Ok(Err(fault)) => return Outcome::not_sent(fault),
            Err(_elapsed) => return Outcome::not_sent(format!("no connection within {:?}", self.timeout)),
        };
        let payload = match &self.mqtt.template {
            Some(template) => template.render(message),
            None => message.to_json().to_string(),
        };
        let topic = &self.mqtt.topic;
        let message = publisher::Message { topic: topic.clone(), payload: payload.into(), retain: false };
        match timeout(self.timeout, connection.publish(&[message])).await {
            Ok(Ok(())) => {
                self.part(connection).await;
                Outcome::Sent(Said(format!("acknowledged on {topic}")))
            }
            Ok(Err(fault)) => Outcome::unknown(fault),
            Err(_elapsed) => Outcome::unknown(format!("no acknowledgement within {:?}", self.timeout)),
        }
    }

    /// The broker has the message; how the connection ends changes nothing.
    async fn part(&self, connection: Connection) {
        if let Ok(Err(fault)) = timeout(self.timeout, connection.leave(None)).await {
            tracing::debug!(%fault, "The broker did not hear the end of a connection.");
        }
    }
}

#[cfg(test)]
mod tests;
