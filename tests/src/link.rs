//! A TCP proxy on loopback that can be cut, slowed, left half-open or made to corrupt: what is behind it is away or hard to
//! reach, without being touched.
//!
//! Kafka has to advertise the link's address: a client goes on to what the broker names ([`crate::stack::Kafka::start_behind`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Bytes that are carried at a time.
const CHUNK: usize = 4 * 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Carries,
    /// Connections are closed, new ones at once.
    Cut,
    /// So many bytes a second towards the far side, of all connections together.
    Slow(u32),
    /// Connections are accepted, and nothing is carried.
    HalfOpen,
    /// One bit of each chunk towards the far side is another one.
    Corrupts,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// A connection lives until the next cut, however soon the link is restored.
    cuts: u64,
    /// What is behind it, once that is known.
    far: Option<SocketAddr>,
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
        let link = Self::to_nowhere().await?;
        link.lead_to(far);
        Ok(link)
    }

    /// For what has to know the link's address before it has one of its own. Until then connections are closed at once.
    ///
    /// # Errors
    /// No port is left.
    pub async fn to_nowhere() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State { mode: Mode::Carries, cuts: 0, far: None });
        let task = tokio::spawn(accept(listener, state.subscribe()));
        Ok(Self { address, state, task })
    }

    pub fn lead_to(&self, far: SocketAddr) {
        self.state.send_modify(|s| s.far = Some(far));
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.state.send_modify(|s| *s = State { mode: Mode::Cut, cuts: s.cuts + 1, ..*s });
    }

    pub fn restore(&self) {
        self.set(Mode::Carries);
    }

    /// Carries no more than this towards the far side.
    pub fn slow(&self, bytes_per_second: u32) {
        self.set(Mode::Slow(bytes_per_second.max(1)));
    }

    /// Takes connections, and carries nothing: neither side hears of the other, or of an end.
    pub fn half_open(&self) {
        self.set(Mode::HalfOpen);
    }

    /// Changes bits on their way to the far side.
    pub fn corrupt(&self) {
        self.set(Mode::Corrupts);
    }

    fn set(&self, mode: Mode) {
        self.state.send_modify(|s| s.mode = mode);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>) {
    let free_at = Arc::new(Mutex::new(Instant::now()));
    while let Ok((near, _)) = listener.accept().await {
        let (mut state, free_at) = (state.clone(), free_at.clone());
        let State { mode, cuts, far } = *state.borrow();
        if let (true, Some(far)) = (mode != Mode::Cut, far) {
            tokio::spawn(async move {
                let carried = state.clone();
                tokio::select! {
                    _ = forward(near, far, carried, free_at) => {}
                    _ = state.wait_for(|s| s.cuts > cuts) => {}
                }
            });
        }
    }
}

/// Until either side closes. An error here is an end like any other: both sides see their connection close.
async fn forward(
    near: TcpStream,
    far: SocketAddr,
    state: watch::Receiver<State>,
    free_at: Arc<Mutex<Instant>>,
) -> std::io::Result<()> {
    let far = TcpStream::connect(far).await?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let towards = carry(near_read, far_write, state.clone(), Some(free_at));
    let back = carry(far_read, near_write, state, None);
    tokio::try_join!(towards, back).map(drop)
}

/// One direction; towards the far side with the place on the link that all connections share.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    towards_far: Option<Arc<Mutex<Instant>>>,
) -> std::io::Result<()> {
    let mut chunk = [0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        if state.wait_for(|s| s.mode != Mode::HalfOpen).await.is_err() {
            return Ok(());
        }
        let mode = state.borrow().mode;
        match (mode, &towards_far) {
            (Mode::Slow(bytes_per_second), Some(free_at)) => {
                let mut free_at = free_at.lock().await;
                let time = Duration::from_secs_f64(read as f64 / f64::from(bytes_per_second));
                *free_at = (*free_at).max(Instant::now()) + time;
                sleep_until(*free_at).await;
            }
            (Mode::Corrupts, Some(_)) => chunk[read / 2] ^= 1,
            (Mode::Carries | Mode::Cut | Mode::HalfOpen | Mode::Slow(_) | Mode::Corrupts, _) => {}
        }
        to.write_all(&chunk[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn a_half_open_link_takes_connections_and_carries_nothing_until_it_is_restored() -> Result<()> {
        let link = Link::to(far_side().await?).await?;
        link.half_open();
        let mut stream = TcpStream::connect(link.address()).await?;
        let waits = tokio::time::timeout(Duration::from_millis(50), echo(&mut stream)).await;
        assert!(waits.is_err(), "nothing comes back, and nothing fails");
        link.restore();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"ping", "what was under way arrives");
        Ok(())
    }

    #[tokio::test]
    async fn a_corrupting_link_changes_what_it_carries_and_a_slow_one_takes_its_time() -> Result<()> {
        let link = Link::to(far_side().await?).await?;
        let mut stream = TcpStream::connect(link.address()).await?;
        link.corrupt();
        assert_eq!(&echo(&mut stream).await?, b"piog");
        link.slow(40);
        let began = Instant::now();
        assert_eq!(&echo(&mut stream).await?, b"ping");
        assert!(began.elapsed() >= Duration::from_millis(100), "four bytes at 40 a second");
        Ok(())
    }
}
