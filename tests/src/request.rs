//! Requests of HTTP/1.1, as far as fake servers need them: headers and a body of a known length.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

/// Longest body that is taken, bytes.
const BODY_MAX_BYTES: usize = 4 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// `None`: the client is done.
    ///
    /// # Errors
    /// It ended in the middle, or sent something else.
    pub async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
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
