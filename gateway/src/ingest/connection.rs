//! The shell around one session: a TCP stream, a timer and the queue's receipts, in one task.
//!
//! # Invariants
//! - It never waits for one thing alone: while the queue is full or the peer does not read, pings and time-outs go on.
//! - A quiet connection holds no buffers: they are made when bytes are there, and go with the records.
//!
//! # Not here
//! Any rule of MQTT: `session`.

use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Sleep, sleep_until, timeout};

use super::Error;
use super::budget::Share;
use super::intake::{Intake, Moved};
use super::meters::Meters;
use super::session::{Action, Close, Decoded, Opened, Session};
use crate::clock::Clock;
use crate::queue::Appender;

/// First read of a quiet connection; a busy one grows up to `READ_MAX_BYTES`, some 500 messages a system call.
const READ_MIN_BYTES: usize = 4 * 1024;
const READ_MAX_BYTES: usize = 64 * 1024;
/// The last bytes and the peer's goodbye may take this long.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Stands for "no tick is due".
const FAR: Duration = Duration::from_secs(3600);

/// What the owner of a connection needs to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Opened(Opened),
    Subscribed { refused: Vec<(String, u8)> },
    Closed(Close),
}

pub(super) struct Connection {
    session: Session,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    buffer: BytesMut,
    /// Whole packets may be left in `buffer`.
    has_rest: bool,
    read_bytes: usize,
    /// The socket takes no more bytes now.
    blocked: bool,
    /// The socket has failed: nothing is written any more.
    broken: bool,
    intake: Intake,
    share: Share,
    timer: Pin<Box<Sleep>>,
    clock: Clock,
    meters: Meters,
}

impl Connection {
    /// # Errors
    /// The socket is gone already.
    pub(super) fn new(
        stream: TcpStream,
        session: Session,
        appender: Appender,
        share: Share,
        clock: Clock,
        meters: Meters,
    ) -> io::Result<Self> {
        // PUBACKs are small and waited for.
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self {
            session,
            reader,
            writer,
            buffer: BytesMut::new(),
            has_rest: false,
            read_bytes: READ_MIN_BYTES,
            blocked: false,
            broken: false,
            intake: Intake::new(appender),
            share,
            timer: Box::pin(sleep_until((now() + FAR).into())),
            clock,
            meters,
        })
    }

    /// Asks the session to end; `next` tells when it has.
    pub(super) fn end(&mut self, why: Close) {
        self.session.close(why, now());
    }

    /// Works until something is worth telling. Safe to cancel.
    ///
    /// # Errors
    /// The queue is closed or has failed: no door can go on.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        loop {
            let limit = self.share.update(self.session.in_flight_bytes());
            self.session.limit_in_flight(limit, now());
            self.decode();
            match self.session.poll() {
                Some(Action::Append { ticket, records }) => self.intake.append(ticket, records),
                Some(Action::Opened(opened)) => return Ok(Event::Opened(opened)),
                Some(Action::Subscribed { refused }) => return Ok(Event::Subscribed { refused }),
                Some(Action::Closed(why)) => return Ok(Event::Closed(why)),
                None => self.wait().await?,
            }
        }
    }

    /// Sends what is left, then waits a moment for the peer to close, so that the last bytes are not lost to a reset.
    pub(super) async fn close(mut self) {
        if self.broken {
            return;
        }
        let goodbye = async {
            self.writer.write_all(self.session.output()).await?;
            self.writer.shutdown().await?;
            let mut scrap = [0u8; 1024];
            while self.reader.read(&mut scrap).await? > 0 {}
            io::Result::Ok(())
        };
        if let Ok(Err(e)) = timeout(GOODBYE_MAX, goodbye).await {
            tracing::debug!(error = %e, "connection failed while it was closed");
        }
    }

    fn decode(&mut self) {
        if !self.has_rest || !self.session.takes_bytes() {
            return;
        }
        self.has_rest = self.session.on_bytes(&mut self.buffer, self.clock.stamp(), now()) == Decoded::HasRest;
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    async fn wait(&mut self) -> Result<(), Error> {
        self.flush();
        self.set_timer();
        let reads = self.session.takes_bytes() && !self.has_rest;
        tokio::select! {
            moved = self.intake.next(), if !self.intake.is_idle() => self.on_moved(moved?)?,
            read = read(&mut self.reader, &mut self.buffer, self.read_bytes), if reads => self.on_read(read),
            ready = self.writer.writable(), if self.blocked && !self.broken => {
                self.blocked = false;
                if let Err(e) = ready {
                    self.on_lost(&e);
                }
            }
            () = &mut self.timer => self.session.on_tick(now()),
        }
        Ok(())
    }

    fn on_moved(&mut self, moved: Moved) -> Result<(), Error> {
        let now = now();
        match moved {
            Moved::Taken => self.session.on_appended(now),
            Moved::Durable(ticket) => {
                let mut durable = Some(ticket);
                // All receipts that are in make one write.
                while let Some(ticket) = durable {
                    self.meters.settled(self.session.on_receipt(ticket, now));
                    durable = self.intake.try_durable()?;
                }
            }
        }
        Ok(())
    }

    fn on_read(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) => self.session.close(Close::PeerClosed, now()),
            Ok(bytes) => {
                self.has_rest = true;
                self.read_bytes = next_read_bytes(self.read_bytes, bytes);
            }
            Err(e) => self.on_lost(&e),
        }
    }

    fn on_lost(&mut self, error: &io::Error) {
        self.broken = true;
        self.session.close(Close::Io(error.to_string()), now());
    }

    fn flush(&mut self) {
        while !self.blocked && !self.broken && !self.session.output().is_empty() {
            match self.writer.try_write(self.session.output()) {
                Ok(bytes) => self.session.on_written(bytes, now()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(e) => self.on_lost(&e),
            }
        }
    }

    /// The timer is moved only to an earlier tick or once it has fired: a tick too early does no harm.
    fn set_timer(&mut self) {
        let due = self.session.next_tick().unwrap_or_else(|| now() + FAR).into();
        if self.timer.is_elapsed() || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
    }
}

/// Waits until bytes are there and only then makes room for them. Safe to cancel.
async fn read(reader: &mut OwnedReadHalf, buffer: &mut BytesMut, bytes: usize) -> io::Result<usize> {
    reader.readable().await?;
    // A long packet doubles the buffer as it comes in, so that its announced length alone costs nothing.
    buffer.reserve(bytes.max(buffer.len()));
    reader.read_buf(buffer).await
}

fn next_read_bytes(asked: usize, came: usize) -> usize {
    let next = if came >= asked {
        asked * 2
    } else if came < asked / 4 {
        asked / 2
    } else {
        asked
    };
    next.clamp(READ_MIN_BYTES, READ_MAX_BYTES)
}

/// Tokio's clock, so that tests can stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
