//! HTTP/1.1 as far as fake servers need it: requests with headers and a body of a known length, one after the other.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest body that is taken, bytes.
const BODY_MAX_BYTES: usize = 4 << 20;

/// A server on loopback. Dropping it closes it; connections that stand are served to their end.
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Each request is answered with what `answer` makes of it; an error ends the connection. `name` is for messages.
    ///
    /// # Errors
    /// No port is left.
    pub async fn start(
        name: &'static str,
        answer: impl Fn(Request) -> Result<String> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, answer) = (listener.local_addr()?, Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    // A client that dies in the middle has sent nothing.
                    if let Err(e) = serve(stream, &*answer).await {
                        eprintln!("{name}: {e:#}");
                    }
                });
            }
        });
        Ok(Self { address, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, answer: &(impl Fn(Request) -> Result<String> + Sync)) -> Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream).await? {
        stream.write_all(answer(request)?.as_bytes()).await?;
    }
    Ok(())
}

/// An answer with a body; `head` is the status, and perhaps headers behind it.
pub fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// `None`: the client is done.
    async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
        let mut request = Self::default();
        for n in 0.. {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            if line.is_empty() && n > 0 {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let length = request.header("content-length").map_or(Ok(0), str::parse)?;
        ensure!(length <= BODY_MAX_BYTES, "a body of {length} bytes");
        request.body.resize(length, 0);
        stream.read_exact(&mut request.body).await.context("a body that ends too early")?;
        Ok(Some(request))
    }

    /// By its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
