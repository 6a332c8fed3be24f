//! The least of an HTTP server, for far sides that are played: requests come in one after the other, bodies have a length.

use anyhow::{Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

/// Longest body that is taken, bytes.
const BODY_MAX_BYTES: usize = 64 << 20;

/// The body of the next request; `None`: there is none.
///
/// # Errors
/// The client dies in the middle, or it is no request.
pub async fn request(stream: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>> {
    let mut length = 0;
    for n in 0.. {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() && n > 0 {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    ensure!(length <= BODY_MAX_BYTES, "a body of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}
