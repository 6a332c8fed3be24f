//! A broker that sends as fast as it is acknowledged, with as many unacknowledged messages as real ones allow at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use crate::Result;
use crate::load::{Outcome, PUB_ACK_BYTES, WINDOW, round, window};

pub(crate) struct Broker(TcpListener);

impl Broker {
    pub(crate) fn bind() -> Result<Self> {
        Ok(Self(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?))
    }

    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.0.local_addr()?.port())
    }

    /// Answers CONNECT and SUBSCRIBE of the door.
    pub(crate) fn accept(&self) -> Result<Connection> {
        let (mut stream, _) = self.0.accept()?;
        stream.set_nodelay(true)?;
        read_packet(&mut stream, 0x10)?;
        stream.write_all(&[0x20, 2, 0, 0])?;
        let subscribe = read_packet(&mut stream, 0x82)?;
        stream.write_all(&[0x90, 3, subscribe[0], subscribe[1], 1])?;
        Ok(Connection(stream))
    }
}

/// The body of the next packet, which is of this type and short.
fn read_packet(stream: &mut TcpStream, first: u8) -> Result<Vec<u8>> {
    let mut header = [0; 2];
    stream.read_exact(&mut header)?;
    if header[0] != first || header[1] & 0x80 != 0 {
        return Err(format!("expected a short packet {first:#x}, not {header:02x?}").into());
    }
    let mut body = vec![0; header[1].into()];
    stream.read_exact(&mut body)?;
    Ok(body)
}

pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn send(&mut self, messages: u64) -> Result<Outcome> {
        // Ten clients of `listen` have as many on their way together.
        let in_flight = 10 * WINDOW;
        let window = window(in_flight);
        let mut acks = vec![0; PUB_ACK_BYTES * in_flight as usize];
        let began = Instant::now();
        let windows: Vec<_> = (0..messages / in_flight)
            .map(|_| round(&mut self.0, &window, &mut acks))
            .collect::<std::io::Result<_>>()?;
        Ok(Outcome { messages: windows.len() as u64 * in_flight, took: began.elapsed(), windows })
    }
}
