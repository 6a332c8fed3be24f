//! A TCP connection, plain or inside TLS, read and written by polling so that both directions can wait at once.
//!
//! # Invariants
//! - Room to read into is made only when bytes are there: a quiet connection costs no buffer of ours.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// Most that one TLS record holds, bytes.
const TLS_RECORD_BYTES: usize = 16 * 1024;

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether what was written may need `poll_flush`.
    pub(super) fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(_) => true,
        }
    }

    /// Appends what is there, about `bytes` at most; 0: the peer has closed.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => loop {
                ready!(tcp.poll_read_ready(cx))?;
                // A long packet doubles the buffer as it comes in, so that its announced length alone costs nothing.
                buffer.reserve(bytes.max(buffer.len()));
                match tcp.try_read_buf(buffer) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    read => return Poll::Ready(read),
                }
            },
            Self::Tls(tls) => {
                let mut total = 0;
                while total < bytes {
                    let mut room = [const { MaybeUninit::<u8>::uninit() }; TLS_RECORD_BYTES];
                    let mut record = ReadBuf::uninit(&mut room);
                    match Pin::new(&mut **tls).poll_read(cx, &mut record) {
                        Poll::Ready(Ok(())) if record.filled().is_empty() => break,
                        Poll::Ready(Ok(())) => {
                            buffer.extend_from_slice(record.filled());
                            total += record.filled().len();
                        }
                        // Many clients close without TLS's goodbye; whether they meant it MQTT's own packets have told.
                        Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => break,
                        Poll::Ready(Err(e)) if total == 0 => return Poll::Ready(Err(e)),
                        Poll::Pending if total == 0 => return Poll::Pending,
                        // What was read comes first; the error is met again.
                        Poll::Ready(Err(_)) | Poll::Pending => break,
                    }
                }
                Poll::Ready(Ok(total))
            }
        }
    }

    /// Writes some of `bytes`; what TLS holds back goes out with `poll_flush`.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    /// Sends the last bytes and tells the peer that no more will come.
    pub(super) async fn finish(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => {
                tcp.write_all(bytes).await?;
                tcp.shutdown().await
            }
            Self::Tls(tls) => {
                tls.write_all(bytes).await?;
                tls.shutdown().await
            }
        }
    }
}
