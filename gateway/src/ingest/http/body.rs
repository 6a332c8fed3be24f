//! A request's body, whole and unpacked, within bounds of size, memory and time.
//!
//! # Invariants
//! - What is kept is never longer than the limit and is accounted for before it is kept, so a bomb of gzip bursts there.
//! - Nobody waits for memory: whoever finds none is refused, so requests cannot wait for each other.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Config;
use super::answer::Refusal;
use super::gate::Encoding;

/// What a body must bring within its time-out: a modem brings it in a tenth of that, one that only holds a place does not.
pub(super) const PROGRESS_BYTES: usize = 4 * 1024;
/// Memory is accounted for in units of this.
const UNIT_BYTES: usize = 4 * 1024;

/// A request's share of the memory for bodies; given back when dropped.
pub(super) struct Room {
    memory: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn semaphore(bytes: usize) -> Semaphore {
        Semaphore::new(bytes.div_ceil(UNIT_BYTES))
    }

    pub(super) fn new(memory: Arc<Semaphore>) -> Self {
        Self { memory, taken: None }
    }

    /// Makes it at least `bytes`; says whether there was memory for that.
    fn grow(&mut self, bytes: usize) -> bool {
        let units = bytes.div_ceil(UNIT_BYTES);
        let missing = units.saturating_sub(self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if missing == 0 {
            return true;
        }
        let Ok(missing) = u32::try_from(missing) else { return false };
        let Ok(permit) = self.memory.clone().try_acquire_many_owned(missing) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        true
    }
}

/// # Errors
/// It is too large, too slow, broken, or there is no memory for it.
pub(super) async fn read(
    mut body: Body,
    encoding: Encoding,
    config: &Config,
    room: &mut Room,
) -> Result<Bytes, Refusal> {
    let mut unpacked =
        Unpacked::new(encoding, Bounded { out: Vec::new(), limit: config.body_max_bytes, room, full: None });
    let mut progress = Progress::new(config.body_timeout);
    loop {
        let frame =
            timeout_at(progress.deadline, body.frame()).await.map_err(|_| Refusal::Slow(config.body_timeout))?;
        let Some(frame) = frame else { return unpacked.finish() };
        let frame = frame.map_err(|e| Refusal::BrokenOff(e.to_string()))?;
        // Trailers have nothing to say here.
        let Ok(chunk) = frame.into_data() else { continue };
        progress.on_bytes(chunk.len());
        unpacked.write(&chunk)?;
    }
}

/// When the next bytes must be here.
struct Progress {
    timeout: Duration,
    deadline: Instant,
    bytes: usize,
}

impl Progress {
    fn new(timeout: Duration) -> Self {
        Self { timeout, deadline: Instant::now() + timeout, bytes: 0 }
    }

    fn on_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= PROGRESS_BYTES {
            *self = Self::new(self.timeout);
        }
    }
}

/// The body so far.
enum Unpacked<'r> {
    Identity(Bounded<'r>),
    Gzip(Box<MultiGzDecoder<Bounded<'r>>>),
}

impl<'r> Unpacked<'r> {
    fn new(encoding: Encoding, out: Bounded<'r>) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity(out),
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(out))),
        }
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Identity(out) => out.write_all(chunk).map_err(|e| out.refusal(&e)),
            Self::Gzip(decoder) => decoder.write_all(chunk).map_err(|e| decoder.get_ref().refusal(&e)),
        }
    }

    fn finish(self) -> Result<Bytes, Refusal> {
        match self {
            Self::Identity(out) => Ok(out.out.into()),
            Self::Gzip(mut decoder) => {
                decoder.try_finish().map_err(|e| decoder.get_ref().refusal(&e))?;
                Ok(std::mem::take(&mut decoder.get_mut().out).into())
            }
        }
    }
}

/// Why no more is kept.
#[derive(Clone, Copy)]
enum Full {
    Limit,
    Memory,
}

/// Keeps what is written to it up to the limit.
struct Bounded<'r> {
    out: Vec<u8>,
    limit: usize,
    room: &'r mut Room,
    full: Option<Full>,
}

impl Bounded<'_> {
    fn refusal(&self, error: &io::Error) -> Refusal {
        match self.full {
            Some(Full::Limit) => Refusal::TooLarge { bytes: None, limit: self.limit },
            Some(Full::Memory) => Refusal::Memory,
            None => Refusal::Gzip(error.to_string()),
        }
    }

    fn fill(&mut self, full: Full) -> io::Result<usize> {
        self.full = Some(full);
        Err(io::Error::other("no room"))
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        let bytes = self.out.len() + chunk.len();
        if bytes > self.limit {
            return self.fill(Full::Limit);
        }
        if bytes > self.out.capacity() {
            // As a vector grows by itself, but known beforehand.
            let capacity = bytes.next_power_of_two().min(self.limit);
            if !self.room.grow(capacity) {
                return self.fill(Full::Memory);
            }
            self.out.reserve_exact(capacity - self.out.len());
        }
        self.out.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
