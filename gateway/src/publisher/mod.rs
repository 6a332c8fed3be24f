//! MQTT 3.1.1 for those who publish and do not subscribe: alerts and sinks. On rumqttc's codec.
//!
//! # Invariants
//! - Messages go out with QoS 1; they count as published once the broker has acknowledged each of them.
//! - At most [`IN_FLIGHT_MAX`] wait for that at a time, so that neither side can be stuck with its answers.
//!
//! # Not here
//! Repeats: a connection that failed is thrown away, and what was not acknowledged is its user's to send again.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, LastWill, Login, Packet, Publish};
use rumqttc::mqttbytes::{self, QoS};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ingest::tls;
use crate::secret::Secret;

/// Messages that wait for their acknowledgement: their packet ids are the numbers from 1 on. Acknowledgements of so many
/// take 1 KiB, which lies in the sockets' buffers however long the broker writes before it reads.
pub(crate) const IN_FLIGHT_MAX: usize = 256;
/// A broker has little to say to a publisher.
const ANSWER_MAX_BYTES: usize = 4_096;

/// What a gateway says of itself, retained, and by last will.
pub(crate) const ONLINE: &str = r#"{"status":"online"}"#;
pub(crate) const OFFLINE: &str = r#"{"status":"offline"}"#;

/// Where a broker is, and as whom it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    /// `None`: plain TCP.
    pub tls: Option<tls::Client>,
    pub client_id: String,
    pub login: Option<(String, Option<Secret>)>,
}

/// What a connection tells the broker of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence<'a> {
    /// Without a packet for one and a half times as long the broker takes the publisher for gone; zero: never.
    pub(crate) keep_alive: Duration,
    /// Where it says that it is there, and the broker that it is gone.
    pub(crate) status_topic: Option<&'a str>,
}

/// One message, without what a packet adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) retain: bool,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Fault {
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

pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    input: BytesMut,
    output: BytesMut,
}

impl Broker {
    /// # Errors
    /// It is not there, or does not let this client in.
    pub(crate) async fn connect(&self, presence: Presence<'_>) -> Result<Connection, Fault> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(client) => Box::new(client.connect(&self.host, tcp).await?),
        };
        let mut connection = Connection { stream, input: BytesMut::new(), output: BytesMut::new() };
        let mut connect = Connect::new(&self.client_id);
        connect.keep_alive = presence.keep_alive.as_secs().min(u64::from(u16::MAX)) as u16;
        connect.last_will = presence.status_topic.map(|topic| LastWill::new(topic, OFFLINE, QoS::AtLeastOnce, true));
        connect.login = self.login.as_ref().map(|(username, password)| {
            Login::new(username.as_str(), password.as_ref().map_or("", |password| password.expose()))
        });
        connection.write(&Packet::Connect(connect)).await?;
        let Packet::ConnAck(ack) = connection.read().await? else { return Err(Fault::Unexpected) };
        if ack.code != ConnectReturnCode::Success {
            return Err(Fault::Refused(ack.code));
        }
        if let Some(topic) = presence.status_topic {
            connection.say(topic, ONLINE).await?;
        }
        Ok(connection)
    }
}

impl Connection {
    /// Returns once the broker has acknowledged all of them.
    ///
    /// # Errors
    /// Some may have arrived, others not: the connection is of no more use.
    pub(crate) async fn publish(&mut self, messages: &[Message]) -> Result<(), Fault> {
        for group in messages.chunks(IN_FLIGHT_MAX) {
            for (message, id) in group.iter().zip(1..) {
                let mut publish = Publish::from_bytes(&message.topic, QoS::AtLeastOnce, message.payload.clone());
                (publish.pkid, publish.retain) = (id, message.retain);
                Packet::Publish(publish).write(&mut self.output, usize::MAX)?;
            }
            self.flush().await?;
            self.acknowledged(group.len()).await?;
        }
        Ok(())
    }

    /// Retained.
    async fn say(&mut self, topic: &str, text: &'static str) -> Result<(), Fault> {
        let message = Message { topic: topic.to_owned(), payload: Bytes::from_static(text.as_bytes()), retain: true };
        self.publish(&[message]).await
    }

    /// All of the packet ids from 1 on, each once.
    async fn acknowledged(&mut self, count: usize) -> Result<(), Fault> {
        let mut waiting = [false; IN_FLIGHT_MAX];
        waiting.iter_mut().take(count).for_each(|waits| *waits = true);
        let mut left = count;
        while left > 0 {
            let packet = self.read().await?;
            // Of a ping from before.
            if packet == Packet::PingResp {
                continue;
            }
            let Packet::PubAck(ack) = packet else { return Err(Fault::Unexpected) };
            let place = usize::from(ack.pkid).checked_sub(1).and_then(|at| waiting.get_mut(at));
            if !place.is_some_and(|waits| std::mem::replace(waits, false)) {
                return Err(Fault::Unexpected);
            }
            left -= 1;
        }
        Ok(())
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Fault> {
        self.write(&Packet::PingReq).await
    }

    /// Waits for what the broker says while nothing is published: answers to pings, or its end. May be dropped while it
    /// waits.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) async fn pong(&mut self) -> Result<(), Fault> {
        if self.read().await? == Packet::PingResp { Ok(()) } else { Err(Fault::Unexpected) }
    }

    /// Says so, where `status_topic` is, and leaves: all that was published was acknowledged.
    ///
    /// # Errors
    /// The broker was not there to hear it; it will find out.
    pub(crate) async fn leave(mut self, status_topic: Option<&str>) -> Result<(), Fault> {
        if let Some(topic) = status_topic {
            self.say(topic, OFFLINE).await?;
        }
        self.write(&Packet::Disconnect).await
    }

    async fn write(&mut self, packet: &Packet) -> Result<(), Fault> {
        packet.write(&mut self.output, usize::MAX)?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        let written = self.stream.write_all(&self.output).await;
        self.output.clear();
        written?;
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
pub(crate) mod testing;
