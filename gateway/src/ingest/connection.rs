//! The shell around one session: a stream, a timer and the queue's receipts, in one task.
//!
//! # Invariants
//! - It never waits for one thing alone: while the queue is full or the peer does not read, pings and time-outs go on.
//! - A quiet connection holds no buffers: they are made when bytes are there, and go with the records.
//!
//! # Not here
//! Any rule of MQTT: `session`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::time::{Sleep, sleep_until, timeout};

use super::Error;
use super::access::Denied;
use super::budget::Share;
use super::intake::{Intake, Moved};
use super::meters::Meters;
use super::session::{Action, Admission, Claim, Close, Decoded, Kept, Opened, Refused, Session};
use super::stream::Stream;
use crate::clock::Clock;
use crate::queue::Record;

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
    /// Answer with `admit` or `turn_away`.
    Admit(Box<Claim>),
    Opened(Opened),
    Subscribed {
        refused: Vec<(String, u8)>,
    },
    Listens,
    Refused(Refused),
    Closed(Close),
}

/// What the socket has done.
enum Moves {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Flushed(io::Result<()>),
}

/// What a connection leaves behind.
pub(super) struct Rest {
    pub(super) kept: Option<Kept>,
    pub(super) late_will: Option<(Record, Duration)>,
}

pub(super) struct Connection {
    session: Session,
    stream: Stream,
    buffer: BytesMut,
    /// Whole packets may be left in `buffer`.
    has_rest: bool,
    read_bytes: usize,
    /// The stream may hold back bytes that were written.
    unflushed: bool,
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
        stream: Stream,
        session: Session,
        intake: Intake,
        share: Share,
        clock: Clock,
        meters: Meters,
    ) -> io::Result<Self> {
        // PUBACKs are small and waited for.
        stream.tcp().set_nodelay(true)?;
        Ok(Self {
            session,
            stream,
            buffer: BytesMut::new(),
            has_rest: false,
            read_bytes: READ_MIN_BYTES,
            unflushed: false,
            broken: false,
            intake,
            share,
            timer: Box::pin(sleep_until((now() + FAR).into())),
            clock,
            meters,
        })
    }

    /// PUBLISHes read so far.
    pub(super) fn messages(&self) -> u64 {
        self.session.messages()
    }

    /// Asks the session to end; `next` tells when it has.
    pub(super) fn end(&mut self, why: Close) {
        self.session.observe(self.clock.stamp());
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
                Some(Action::Append { ticket, records, state }) => self.intake.append(ticket, records, state),
                Some(Action::Admit(claim)) => return Ok(Event::Admit(claim)),
                Some(Action::Opened(opened)) => return Ok(Event::Opened(opened)),
                Some(Action::Subscribed { refused }) => return Ok(Event::Subscribed { refused }),
                Some(Action::Listens) => return Ok(Event::Listens),
                Some(Action::Refused(refused)) => return Ok(Event::Refused(refused)),
                Some(Action::Closed(why)) => return Ok(Event::Closed(why)),
                None => self.wait().await?,
            }
        }
    }

    /// Lets the client in; what changes in its session is kept under `state_name` from now on.
    pub(super) fn admit(&mut self, admission: Admission, state_name: String) {
        self.intake.keep_state_as(state_name);
        self.session.admit(admission, now());
    }

    pub(super) fn turn_away(&mut self, why: Denied) {
        self.session.turn_away(why, now());
    }

    /// A result of the gateway; `false`: the client does not take it now.
    pub(super) fn tell(&mut self, topic: &str, payload: &[u8], retained: bool) -> bool {
        self.session.tell(topic, payload, retained, now())
    }

    /// Sends what is left, then waits a moment for the peer to close, so that the last bytes are not lost to a reset.
    pub(super) async fn close(mut self) -> Rest {
        if !self.broken
            && let Ok(Err(e)) = timeout(GOODBYE_MAX, self.say_goodbye()).await
        {
            tracing::debug!(error = %e, "connection failed while it was closed");
        }
        let late_will = self.session.take_late_will();
        Rest { kept: self.session.into_kept(), late_will }
    }

    async fn say_goodbye(&mut self) -> io::Result<()> {
        self.stream.finish(self.session.output()).await?;
        self.buffer.clear();
        while poll_fn(|cx| self.stream.poll_read(cx, &mut self.buffer, READ_MIN_BYTES)).await? > 0 {
            self.buffer.clear();
        }
        Ok(())
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
        self.set_timer();
        let reads = self.session.takes_bytes() && !self.has_rest;
        let Self { stream, session, buffer, intake, timer, broken, unflushed, read_bytes, .. } = self;
        let (output, has_news) = (session.output(), !intake.is_idle());
        let moves = poll_fn(|cx| poll_socket(stream, cx, output, *unflushed, buffer, reads.then_some(*read_bytes)));
        tokio::select! {
            moved = intake.next(), if has_news => self.on_moved(moved?)?,
            moves = moves, if !*broken => match moves {
                Moves::Read(read) => self.on_read(read),
                Moves::Wrote(Ok(bytes)) => {
                    self.unflushed = self.stream.holds_back();
                    self.session.on_written(bytes, now());
                }
                Moves::Flushed(Ok(())) => self.unflushed = false,
                Moves::Wrote(Err(e)) | Moves::Flushed(Err(e)) => self.on_lost(&e),
            },
            () = timer => {
                self.session.observe(self.clock.stamp());
                self.session.on_tick(now());
            }
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
            Ok(0) => self.end(Close::PeerClosed),
            Ok(bytes) => {
                self.has_rest = true;
                self.read_bytes = next_read_bytes(self.read_bytes, bytes);
            }
            Err(e) => self.on_lost(&e),
        }
    }

    fn on_lost(&mut self, error: &io::Error) {
        self.broken = true;
        self.end(Close::Io(error.to_string()));
    }

    /// The timer is moved only to an earlier tick or once it has fired: a tick too early does no harm.
    fn set_timer(&mut self) {
        let due = self.session.next_tick().unwrap_or_else(|| now() + FAR).into();
        if self.timer.is_elapsed() || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
    }
}

/// Answers leave before more is read.
fn poll_socket(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    output: &[u8],
    unflushed: bool,
    buffer: &mut BytesMut,
    read_bytes: Option<usize>,
) -> Poll<Moves> {
    if !output.is_empty() {
        if let Poll::Ready(wrote) = stream.poll_write(cx, output) {
            return Poll::Ready(Moves::Wrote(wrote));
        }
    } else if unflushed && let Poll::Ready(flushed) = stream.poll_flush(cx) {
        return Poll::Ready(Moves::Flushed(flushed));
    }
    match read_bytes {
        Some(bytes) => stream.poll_read(cx, buffer, bytes).map(Moves::Read),
        None => Poll::Pending,
    }
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
