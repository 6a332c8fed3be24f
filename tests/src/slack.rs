//! A fake Slack on loopback: takes webhooks, or says that it is away.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::http::{Request, Server, answer};

/// Dropping it closes it.
pub struct Slack {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_away: AtomicBool,
    attempts: AtomicUsize,
    texts: Mutex<Vec<String>>,
}

impl Slack {
    /// # Errors
    /// No port is left.
    pub async fn start() -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let answering = shared.clone();
        let server = Server::start("fake Slack", move |request| answering.answer(&request)).await?;
        Ok(Self { server, shared })
    }

    pub fn url(&self) -> String {
        format!("http://{}/services/T0/B0/secret", self.server.address())
    }

    /// While it is, each message is answered 503.
    pub fn set_away(&self, is_away: bool) {
        self.shared.is_away.store(is_away, Ordering::SeqCst);
    }

    /// Messages that came, taken or not.
    pub fn attempts(&self) -> usize {
        self.shared.attempts.load(Ordering::SeqCst)
    }

    /// The texts of the messages that it took, in order.
    pub fn texts(&self) -> Vec<String> {
        self.shared.texts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn answer(&self, request: &Request) -> Result<String> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        if self.is_away.load(Ordering::SeqCst) {
            return Ok(answer("503 Service Unavailable", "away"));
        }
        let body: serde_json::Value = serde_json::from_slice(&request.body)?;
        let text = body["text"].as_str().context("no text in the message")?.to_owned();
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        Ok(answer("200 OK", "ok"))
    }
}
