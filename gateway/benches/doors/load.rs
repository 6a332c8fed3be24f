//! Publishers: each writes a window of messages that were encoded once, reads its acknowledgements, and goes on.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::{Result, Tell};

pub(crate) const CONNECTIONS: u64 = 10;
pub(crate) const WINDOW: u64 = 100;
const PAYLOAD_BYTES: usize = 100;
const TOPIC: &str = "sensors/pump-7/telemetry";
const CONN_ACK_BYTES: usize = 4;
pub(crate) const PUB_ACK_BYTES: usize = 4;

pub(crate) type Tls = Option<Arc<ClientConfig>>;

pub(crate) struct Load {
    target: SocketAddr,
    messages: u64,
}

/// What happened.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) messages: u64,
    pub(crate) took: Duration,
    /// One for each window.
    pub(crate) windows: Vec<Duration>,
}

impl Load {
    pub(crate) fn new(target: SocketAddr, messages: u64) -> Self {
        Self { target, messages }
    }

    pub(crate) fn run(&self, tls: Tls) -> Result<Outcome> {
        let windows_each = self.messages / CONNECTIONS / WINDOW;
        let connections: Vec<Box<dyn Stream>> = (0..CONNECTIONS)
            .map(|n| connect(self.target, &format!("bench-{n}"), tls.clone()))
            .collect::<Result<_>>()?;
        let began = Instant::now();
        let threads: Vec<_> = connections
            .into_iter()
            .map(|mut stream| {
                std::thread::spawn(move || {
                    let window = window(WINDOW);
                    let mut acks = vec![0; PUB_ACK_BYTES * WINDOW as usize];
                    (0..windows_each).map(|_| round(&mut *stream, &window, &mut acks)).collect::<io::Result<Vec<_>>>()
                })
            })
            .collect();
        let mut windows = Vec::new();
        for thread in threads {
            windows.extend(thread.join().map_err(|_| "a publisher panicked")??);
        }
        Ok(Outcome { messages: windows_each * CONNECTIONS * WINDOW, took: began.elapsed(), windows })
    }
}

impl Outcome {
    pub(crate) fn tell(mut self, tell: Tell<'_>) {
        self.windows.sort_unstable();
        let quantile = |share: f64| {
            let place = ((self.windows.len() as f64 * share) as usize).min(self.windows.len().saturating_sub(1));
            self.windows.get(place).map_or(0.0, |d| d.as_secs_f64() * 1e3)
        };
        tell("rate", self.messages as f64 / self.took.as_secs_f64());
        tell("p50_ms", quantile(0.5));
        tell("p99_ms", quantile(0.99));
    }
}

/// Writes a window and waits until all of it is acknowledged.
pub(crate) fn round(stream: &mut dyn Stream, window: &[u8], acks: &mut [u8]) -> io::Result<Duration> {
    let began = Instant::now();
    stream.write_all(window)?;
    stream.flush()?;
    stream.read_exact(acks)?;
    if acks.chunks(PUB_ACK_BYTES).any(|ack| ack[0] != 0x40) {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a PUBACK"));
    }
    Ok(began.elapsed())
}

pub(crate) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// Connects and waits to be let in.
pub(crate) fn connect(target: SocketAddr, client_id: &str, tls: Tls) -> Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(target)?;
    tcp.set_nodelay(true)?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(tcp),
        Some(config) => {
            let name = ServerName::try_from("localhost")?;
            Box::new(StreamOwned::new(ClientConnection::new(config, name)?, tcp))
        }
    };
    let id = client_id.as_bytes();
    let mut packet = vec![0x10, 12 + id.len() as u8, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, id.len() as u8];
    packet.extend_from_slice(id);
    stream.write_all(&packet)?;
    stream.flush()?;
    let mut answer = [0; CONN_ACK_BYTES];
    stream.read_exact(&mut answer)?;
    if answer != [0x20, 2, 0, 0] {
        return Err(format!("not let in: {answer:02x?}").into());
    }
    Ok(stream)
}

pub(crate) fn connect_many(target: SocketAddr, count: usize, tls: Tls) -> Result<Vec<Box<dyn Stream>>> {
    (0..count).map(|n| connect(target, &format!("idle-{n}"), tls.clone())).collect()
}

/// PUBLISHes of QoS 1 with packet ids from 1 on.
pub(crate) fn window(messages: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in 1..=messages as u16 {
        let length = 2 + TOPIC.len() + 2 + PAYLOAD_BYTES;
        bytes.extend([0x32, length as u8 | 0x80, (length >> 7) as u8, 0, TOPIC.len() as u8]);
        bytes.extend_from_slice(TOPIC.as_bytes());
        bytes.extend(id.to_be_bytes());
        bytes.extend_from_slice(&payload(id));
    }
    bytes
}

fn payload(id: u16) -> Vec<u8> {
    let n = f64::from(id);
    let mut text = format!(
        r#"{{"ts":17952688000{id:02},"temperature":{:.3},"vibration":{:.4},"pressure":{:.2},"state":""#,
        40.0 + n.sin(),
        0.5 + 0.1 * n.cos(),
        1013.0 + n / 100.0
    );
    while text.len() < PAYLOAD_BYTES - 2 {
        text.push('r');
    }
    text.push_str("\"}");
    text.into_bytes()
}
