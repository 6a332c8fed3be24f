//! A fake Slack on loopback: takes webhooks, or says that it is away.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::request::Request;

/// Dropping it closes it.
pub struct Slack {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
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
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, task })
    }

    pub fn url(&self) -> String {
        format!("http://{}/services/T0/B0/secret", self.address)
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

impl Drop for Slack {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A client that dies in the middle has sent no message.
            if let Err(e) = serve(stream, &shared).await {
                eprintln!("fake Slack: {e:#}");
            }
        });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(Request { body, .. }) = Request::read(&mut stream).await? {
        shared.attempts.fetch_add(1, Ordering::SeqCst);
        let answer = if shared.is_away.load(Ordering::SeqCst) {
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\naway"
        } else {
            let body: serde_json::Value = serde_json::from_slice(&body)?;
            let text = body["text"].as_str().context("no text in the message")?.to_owned();
            shared.texts.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        };
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
