//! A fake receiver of webhooks on loopback: takes NDJSON, refuses what it does not like, or says that it is busy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::request::Request;

/// A body with this in it is refused.
pub const POISON: &str = "poison";
/// With these words.
pub const REFUSAL: &str = "no poison, please";

/// Dropping it closes it.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    is_busy: AtomicBool,
    turned_away: AtomicUsize,
    /// Bodies that were taken, by their idempotency key.
    taken: Mutex<BTreeMap<String, String>>,
}

impl Receiver {
    /// # Errors
    /// No port is left.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// While it is, each request is answered 503 and to come again after a second.
    pub fn set_busy(&self, is_busy: bool) {
        self.shared.is_busy.store(is_busy, Ordering::SeqCst);
    }

    /// Requests that were answered 503.
    pub fn turned_away(&self) -> usize {
        self.shared.turned_away.load(Ordering::SeqCst)
    }

    /// The lines of all bodies that it took; of those with the same key one.
    pub fn lines(&self) -> Vec<String> {
        self.shared.taken().values().flat_map(|body| body.lines().map(str::to_owned)).collect()
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: Request) -> Result<String> {
        if self.is_busy.load(Ordering::SeqCst) {
            self.turned_away.fetch_add(1, Ordering::SeqCst);
            return Ok(answer("503 Service Unavailable\r\nRetry-After: 1", "busy"));
        }
        let key = request.header("idempotency-key").context("no key")?.to_owned();
        let body = String::from_utf8(request.body)?;
        if body.contains(POISON) {
            return Ok(answer("400 Bad Request", REFUSAL));
        }
        let mut taken = self.taken();
        let known = taken.entry(key).or_insert_with(|| body.clone());
        anyhow::ensure!(*known == body, "one key for two bodies");
        Ok(answer("200 OK", "thanks"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A client that dies in the middle has sent no batch.
            if let Err(e) = serve(stream, &shared).await {
                eprintln!("fake receiver: {e:#}");
            }
        });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream).await? {
        let answer = shared.answer(request)?;
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
