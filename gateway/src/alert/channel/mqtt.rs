//! MQTT 3.1.1: a connection for each message, published with QoS 1, gone when the broker has acknowledged it.
//!
//! The message's id is in the payload, so that whoever subscribes can tell a repeat.

use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Login, Packet, Publish};
use rumqttc::mqttbytes::{self, QoS};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Outcome, Said};
use crate::alert::message::Message;
use crate::alert::settings::Mqtt;

/// A broker has little to say to a publisher.
const ANSWER_MAX_BYTES: usize = 4_096;
/// Of the one message of a connection.
const PACKET_ID: u16 = 1;

#[derive(Debug)]
pub(in crate::alert) struct MqttChannel {
    mqtt: Mqtt,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the broker closed the connection")]
    Closed,
    #[error("what the broker sent is not MQTT 3.1.1: {0}")]
    Protocol(#[from] mqttbytes::Error),
    #[error("the broker refused the connection: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("the broker sent something else than its acknowledgement")]
    Unexpected,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

struct Connection {
    stream: Box<dyn Stream>,
    input: BytesMut,
}

impl MqttChannel {
    pub(super) fn new(mqtt: &Mqtt, timeout: Duration) -> Self {
        Self { mqtt: mqtt.clone(), timeout }
    }

    pub(super) async fn send(&self, message: &Message) -> Outcome {
        let mut connection = match timeout(self.timeout, self.connect()).await {
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
        match timeout(self.timeout, connection.publish(&self.mqtt.topic, payload)).await {
            Ok(Ok(())) => Outcome::Sent(Said(format!("acknowledged on {}", self.mqtt.topic))),
            Ok(Err(fault)) => Outcome::unknown(fault),
            Err(_elapsed) => Outcome::unknown(format!("no acknowledgement within {:?}", self.timeout)),
        }
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let Mqtt { host, port, tls, client_id, login, .. } = &self.mqtt;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(tcp),
            Some(client) => Box::new(client.connect(host, tcp).await?),
        };
        let mut connection = Connection { stream, input: BytesMut::new() };
        let mut connect = Connect::new(client_id);
        // It lives for one message, which has a timeout of its own.
        connect.keep_alive = 0;
        connect.login = login.as_ref().map(|(username, password)| {
            Login::new(username.as_str(), password.as_ref().map_or("", |password| password.expose()))
        });
        connection.write(&Packet::Connect(connect)).await?;
        let Packet::ConnAck(ack) = connection.read().await? else { return Err(Fault::Unexpected) };
        if ack.code == ConnectReturnCode::Success { Ok(connection) } else { Err(Fault::Refused(ack.code)) }
    }
}

impl Connection {
    async fn publish(&mut self, topic: &str, payload: String) -> Result<(), Fault> {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = PACKET_ID;
        self.write(&Packet::Publish(publish)).await?;
        let Packet::PubAck(ack) = self.read().await? else { return Err(Fault::Unexpected) };
        if ack.pkid != PACKET_ID {
            return Err(Fault::Unexpected);
        }
        // It has the message; how the connection ends changes nothing.
        self.write(&Packet::Disconnect).await.or(Ok(()))
    }

    async fn write(&mut self, packet: &Packet) -> Result<(), Fault> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX)?;
        self.stream.write_all(&bytes).await?;
        Ok(self.stream.flush().await?)
    }

    async fn read(&mut self) -> Result<Packet, Fault> {
        loop {
            match Packet::read(&mut self.input, ANSWER_MAX_BYTES) {
                Ok(packet) => return Ok(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(Fault::Closed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
