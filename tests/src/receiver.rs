//! A fake receiver of webhooks on loopback: takes NDJSON, refuses what it does not like, or says that it is busy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use crate::http::{Request, Server, answer};

/// A body with this in it is refused.
pub const POISON: &str = "poison";
/// With these words.
pub const REFUSAL: &str = "no poison, please";

/// Dropping it closes it.
pub struct Receiver {
    server: Server,
    shared: Arc<Shared>,
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
        let shared = Arc::<Shared>::default();
        let answering = shared.clone();
        let server = Server::start("fake receiver", move |request| answering.answer(request)).await?;
        Ok(Self { server, shared })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
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
