//! The least of an MQTT client: QoS 1, and each message is acknowledged before the next.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Sensor {
    stream: TcpStream,
    topic: String,
    packet_id: u16,
}

impl Sensor {
    pub(crate) async fn connect(door: SocketAddr, name: &str) -> Self {
        let mut stream = TcpStream::connect(door).await.unwrap();
        // MQTT 3.1.1, clean session, no keep-alive.
        let variable = [&[0, 4], &b"MQTT"[..], &[4, 2, 0, 0, 0, name.len() as u8], name.as_bytes()].concat();
        stream.write_all(&packet(0x10, &variable)).await.unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await.unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0]);
        Self { stream, topic: format!("sensors/{name}/telemetry"), packet_id: 0 }
    }

    pub(crate) async fn publish(&mut self, payload: &str) {
        self.packet_id = self.packet_id % 1_000 + 1;
        let id = self.packet_id.to_be_bytes();
        let topic = self.topic.as_bytes();
        let variable = [&[0, topic.len() as u8], topic, &id, payload.as_bytes()].concat();
        self.stream.write_all(&packet(0x32, &variable)).await.unwrap();
        let mut puback = [0; 4];
        self.stream.read_exact(&mut puback).await.unwrap();
        assert_eq!(puback, [0x40, 2, id[0], id[1]]);
    }
}

fn packet(kind: u8, rest: &[u8]) -> Vec<u8> {
    assert!(rest.len() < 128, "one byte tells the length");
    [&[kind, rest.len() as u8], rest].concat()
}
