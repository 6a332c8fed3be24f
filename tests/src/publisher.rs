//! One MQTT 3.1.1 connection that publishes with QoS 1 and knows what was acknowledged.
//!
//! Built on rumqttc's packets alone: its client would hide which message a PUBACK was for, and when it repeats one.
//!
//! # Not here
//! QoS 2: [`crate::once`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Packet, Publish};
use rumqttc::mqttbytes::{Error as PacketError, QoS};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Far above any packet that the tests send or receive.
const PACKET_MAX_BYTES: usize = 1 << 20;

/// Where to publish.
#[derive(Clone, Debug)]
pub enum Target {
    Broker(SocketAddr),
    /// A gateway's own door; its address is in this file, and another one after each start.
    Listen(PathBuf),
    /// The same, over TLS.
    ListenTls(PathBuf, Arc<ClientConfig>),
}

impl Target {
    /// # Errors
    /// The gateway has not written its address yet.
    pub fn address(&self) -> Result<SocketAddr> {
        match self {
            Self::Broker(address) => Ok(*address),
            Self::Listen(file) | Self::ListenTls(file, _) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
                text.trim().parse().with_context(|| format!("{} holds no address: {text:?}", file.display()))
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection. Dropping it closes it without a word, as a sensor out of reach does.
pub struct Connection {
    stream: Box<dyn Stream>,
    received: BytesMut,
    unsent: BytesMut,
    /// Packet ids under way, in the order in which they were sent.
    inflight: VecDeque<u16>,
    last_id: u16,
}

/// A PUBACK and how it fits the order of the PUBLISHes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Place of the message among those under way: 0 is the oldest, anything else came out of order.
    pub position: usize,
}

impl Connection {
    /// # Errors
    /// Nobody answers there, or the client is refused.
    pub async fn open(target: &Target, client_id: &str) -> Result<Self> {
        // Without keep-alive: a test may hold back acknowledgements for as long as it likes.
        let (connection, _) = Self::open_as(target, Connect { keep_alive: 0, ..Connect::new(client_id) }).await?;
        Ok(connection)
    }

    /// The connection, and whether the other side has kept the client's session.
    ///
    /// # Errors
    /// Nobody answers there, or the client is refused.
    pub async fn open_as(target: &Target, connect: Connect) -> Result<(Self, bool)> {
        let tcp = TcpStream::connect(target.address()?).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match target {
            Target::Broker(_) | Target::Listen(_) => Box::new(tcp),
            Target::ListenTls(_, config) => {
                let name = ServerName::try_from("localhost")?;
                Box::new(TlsConnector::from(config.clone()).connect(name, tcp).await?)
            }
        };
        let (received, unsent) = (BytesMut::new(), BytesMut::new());
        let mut connection = Self { stream, received, unsent, inflight: VecDeque::new(), last_id: 0 };
        connection.add(&Packet::Connect(connect))?;
        connection.flush().await?;
        let answer = connection.read_packet().await?;
        let Packet::ConnAck(ack) = answer else { bail!("CONNECT was answered with {answer:?}") };
        ensure!(ack.code == ConnectReturnCode::Success, "refused: {:?}", ack.code);
        Ok((connection, ack.session_present))
    }

    pub fn inflight(&self) -> usize {
        self.inflight.len()
    }

    /// Adds a PUBLISH to what the next [`Self::flush`] sends.
    ///
    /// # Errors
    /// It is too large.
    pub fn push(&mut self, topic: String, payload: impl Into<Vec<u8>>, redelivery: bool) -> Result<()> {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = self.last_id;
        publish.dup = redelivery;
        self.add(&Packet::Publish(publish))?;
        self.inflight.push_back(self.last_id);
        Ok(())
    }

    /// Adds any packet to what the next [`Self::flush`] sends.
    pub(crate) fn add(&mut self, packet: &Packet) -> Result<()> {
        packet.write(&mut self.unsent, PACKET_MAX_BYTES)?;
        Ok(())
    }

    /// # Errors
    /// The connection is lost.
    pub async fn flush(&mut self) -> Result<()> {
        self.stream.write_all_buf(&mut self.unsent).await.context("connection lost while publishing")
    }

    /// The next PUBACK. Safe to cancel.
    ///
    /// # Errors
    /// The connection is lost, or the other side said something else.
    pub async fn next_ack(&mut self) -> Result<Ack> {
        let packet = self.read_packet().await?;
        let Packet::PubAck(ack) = packet else { bail!("expected a PUBACK, received {packet:?}") };
        let position = self.inflight.iter().position(|id| *id == ack.pkid);
        let position = position.with_context(|| format!("PUBACK for {}, which is not under way", ack.pkid))?;
        self.inflight.remove(position);
        Ok(Ack { position })
    }

    /// PINGREQ and its answer; nothing else may be due.
    ///
    /// # Errors
    /// The connection is lost, or the other side said something else.
    pub async fn ping(&mut self) -> Result<()> {
        self.add(&Packet::PingReq)?;
        self.flush().await?;
        let packet = self.read_packet().await?;
        ensure!(packet == Packet::PingResp, "expected a PINGRESP, received {packet:?}");
        Ok(())
    }

    /// Waits for the next PUBACK and pings meanwhile, as a sensor does that wants to stay.
    ///
    /// # Errors
    /// The connection is lost, or the other side said something else.
    pub async fn next_ack_while_pinging(&mut self, every: Duration) -> Result<()> {
        let mut ticks = interval(every);
        loop {
            tokio::select! {
                packet = self.read_packet() => {
                    let packet = packet?;
                    if packet == Packet::PingResp {
                        continue;
                    }
                    ensure!(matches!(packet, Packet::PubAck(_)), "expected a PUBACK, received {packet:?}");
                    return Ok(());
                }
                _ = ticks.tick() => {
                    self.add(&Packet::PingReq)?;
                    self.flush().await?;
                }
            }
        }
    }

    /// Safe to cancel.
    pub(crate) async fn read_packet(&mut self) -> Result<Packet> {
        loop {
            match Packet::read(&mut self.received, PACKET_MAX_BYTES) {
                Ok(packet) => return Ok(packet),
                Err(PacketError::InsufficientBytes(_)) => {
                    let read = self.stream.read_buf(&mut self.received).await?;
                    ensure!(read > 0, "the other side closed the connection");
                }
                Err(e) => return Err(e).context("unreadable packet"),
            }
        }
    }
}

/// Publishes over one connection, in order, and returns once all are acknowledged.
///
/// # Errors
/// The connection is lost before.
pub async fn publish_all(target: &Target, client_id: &str, messages: &[(&str, &[u8])]) -> Result<()> {
    let mut connection = Connection::open(target, client_id).await?;
    for (topic, payload) in messages {
        connection.push((*topic).to_owned(), *payload, false)?;
    }
    connection.flush().await?;
    while connection.inflight() > 0 {
        connection.next_ack().await?;
    }
    Ok(())
}
