//! A TCP proxy on loopback that can be cut: what is behind it is away, without being touched.
//!
//! Not for Kafka: a client goes on to the address that the broker advertises, past any proxy.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug)]
struct State {
    up: bool,
    /// A connection lives until the next cut, however soon the link is restored.
    cuts: u64,
}

/// An open link; dropping it closes it.
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Link {
    /// # Errors
    /// No port is left.
    pub async fn to(far: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State { up: true, cuts: 0 });
        let task = tokio::spawn(accept(listener, far, state.subscribe()));
        Ok(Self { address, state, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.state.send_modify(|s| *s = State { up: false, cuts: s.cuts + 1 });
    }

    pub fn restore(&self) {
        self.state.send_modify(|s| s.up = true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, far: SocketAddr, state: watch::Receiver<State>) {
    while let Ok((near, _)) = listener.accept().await {
        let mut state = state.clone();
        let State { up, cuts } = *state.borrow();
        if up {
            tokio::spawn(async move {
                tokio::select! {
                    _ = forward(near, far) => {}
                    _ = state.wait_for(|s| s.cuts > cuts) => {}
                }
            });
        }
    }
}

/// Until either side closes. An error here is an end like any other: both sides see their connection close.
async fn forward(mut near: TcpStream, far: SocketAddr) -> std::io::Result<(u64, u64)> {
    let mut far = TcpStream::connect(far).await?;
    copy_bidirectional(&mut near, &mut far).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Echoes what it receives.
    async fn far_side() -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        Ok(address)
    }

    async fn echo(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_cut_link_closes_connections_and_a_restored_one_carries_again() -> Result<()> {
        let link = Link::to(far_side().await?).await?;
        let mut before = TcpStream::connect(link.address()).await?;
        assert_eq!(&echo(&mut before).await?, b"ping");

        link.cut();
        assert!(echo(&mut before).await.is_err(), "the open connection is closed");
        let mut during = TcpStream::connect(link.address()).await?;
        assert!(echo(&mut during).await.is_err(), "a new connection is closed");

        link.restore();
        let mut after = TcpStream::connect(link.address()).await?;
        assert_eq!(&echo(&mut after).await?, b"ping");
        Ok(())
    }
}
