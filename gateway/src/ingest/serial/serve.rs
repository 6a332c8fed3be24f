//! One open line: reads, stores, acknowledges, until it is hung up or the gateway stops.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::line::{Batch, Line, Refused};
use super::meters::Meters;
use super::port::{self, Port};
use super::{Error, SerialConfig};
use crate::clock::Clock;
use crate::frames::Asking;
use crate::queue::{self, Appender, Transaction};
use crate::shutdown::Stop;

/// Most taken in one read: four of the largest frames. The kernel itself keeps 4 KiB, so more never comes at once.
const READ_BYTES: usize = 16 * 1024;
/// So much of what was refused is in the log: enough to see text, another protocol, or a wrong baud rate.
const HEAD_BYTES: usize = 32;

/// A line's state over all its openings.
pub(super) struct Door {
    name: String,
    line: Line,
    appender: Appender,
    clock: Clock,
    meters: Meters,
    storing: Option<Storing>,
    asking: Asking,
    buffer: Vec<u8>,
}

/// A batch on its way to the disk: one at a time, so that what comes meanwhile goes together.
struct Storing {
    frames: Vec<Bytes>,
    durable: Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>,
}

/// Why a line is served no longer.
enum Ended {
    Stopped,
    HungUp,
    Failed(io::Error),
}

impl Door {
    pub(super) fn new(config: &SerialConfig, appender: Appender, clock: Clock, meters: Meters, asking: Asking) -> Self {
        let line = Line::new(&config.name, config.ack);
        let buffer = vec![0; READ_BYTES];
        Self { name: config.name.clone(), line, appender, clock, meters, storing: None, asking, buffer }
    }

    pub(super) fn not_opened(&self, error: &port::Error) {
        debug!(line = %self.name, %error, "Serial line cannot be opened.");
        self.meters.disconnected("not_opened");
    }

    /// Serves the line to its end, and stores all that came; for how long it was open.
    ///
    /// # Errors
    /// The queue is closed or has failed.
    pub(super) async fn serve(&mut self, port: Port, stop: &mut Stop) -> Result<Duration, Error> {
        let open = self.meters.opened();
        let opened_at = Instant::now();
        let ended = self.exchange(&port, stop).await?;
        let held_for = opened_at.elapsed();
        match ended {
            Ended::Stopped => {
                self.store_all().await?;
                let written = port.try_write(self.line.outbox());
                self.line.on_written(written);
                self.meters.disconnected("stopping");
                info!(line = %self.name, ?held_for, "Serial line is closed.");
            }
            Ended::HungUp => self.lost("hung_up", held_for, &"it was hung up: unplugged, or switched off"),
            Ended::Failed(error) => self.lost("io", held_for, &error),
        }
        drop((port, open));
        self.store_all().await?;
        let Self { line, name, meters, .. } = self;
        line.on_end(|refused| refuse(name, meters, refused));
        self.count();
        Ok(held_for)
    }

    async fn exchange(&mut self, port: &Port, stop: &mut Stop) -> Result<Ended, Error> {
        loop {
            self.store_next();
            tokio::select! {
                read = port.read(&mut self.buffer), if self.line.has_room() => match read {
                    Ok(0) => return Ok(Ended::HungUp),
                    Ok(length) => self.on_read(length),
                    Err(error) => return Ok(Ended::Failed(error)),
                },
                stored = durable(&mut self.storing) => {
                    stored?;
                    self.on_stored();
                }
                written = port.write(self.line.outbox()), if !self.line.outbox().is_empty() => match written {
                    Ok(length) => self.on_written(length),
                    Err(error) => return Ok(Ended::Failed(error)),
                },
                request = self.asking.next() => self.line.ask(&request),
                () = stop.requested() => return Ok(Ended::Stopped),
            }
        }
    }

    fn on_read(&mut self, length: usize) {
        let Self { line, buffer, clock, name, meters, .. } = self;
        let read = buffer.get(..length).unwrap_or_default();
        line.on_bytes(read, clock.stamp(), |refused| refuse(name, meters, refused));
        self.count();
    }

    fn on_written(&mut self, length: usize) {
        self.line.on_written(length);
        self.count();
    }

    /// Hands over what waits, if nothing is on its way.
    fn store_next(&mut self) {
        if self.storing.is_some() {
            return;
        }
        let Some(Batch { records, .. }) = self.line.take_unstored() else { return };
        let frames = records.iter().map(|record| record.payload.clone()).collect();
        let appender = self.appender.clone();
        let durable = Box::pin(async move {
            let transaction = Transaction { raw: records, ..Transaction::default() };
            let receipt = appender.commit(transaction).await.map_err(|e| Error::Queue(Arc::new(e)))?;
            let outcome = receipt.await.map_err(|_| Error::Queue(Arc::new(queue::Error::Closed)))?;
            outcome.map(drop).map_err(Error::Queue)
        });
        self.storing = Some(Storing { frames, durable });
    }

    fn on_stored(&mut self) {
        let Some(Storing { frames, .. }) = self.storing.take() else { return };
        self.meters.stored(frames.len(), frames.iter().map(Bytes::len).sum());
        self.line.on_durable(&frames);
        self.count();
    }

    async fn store_all(&mut self) -> Result<(), Error> {
        self.store_next();
        while self.storing.is_some() {
            durable(&mut self.storing).await?;
            self.on_stored();
            self.store_next();
        }
        Ok(())
    }

    fn lost(&self, reason: &'static str, held_for: Duration, why: &dyn std::fmt::Display) {
        warn!(line = %self.name, ?held_for, %why, "Serial line was lost.");
        self.meters.disconnected(reason);
    }

    fn count(&mut self) {
        self.meters.line(self.line.take_counts());
    }
}

/// Frames that were read and could not be stored before the gateway gave up waiting.
impl Drop for Door {
    fn drop(&mut self) {
        let frames = self.line.unstored() + self.storing.as_ref().map_or(0, |storing| storing.frames.len());
        if frames > 0 {
            warn!(line = %self.name, frames, "Frames were read and not stored before the gateway stopped.");
            self.meters.refused("not_stored", frames as u64);
        }
    }
}

/// Resolves when the batch is durable; never, if there is none. Safe to cancel.
async fn durable(storing: &mut Option<Storing>) -> Result<(), Error> {
    match storing {
        Some(storing) => storing.durable.as_mut().await,
        None => pending().await,
    }
}

fn refuse(line: &str, meters: &Meters, refused: Refused<'_>) {
    let Refused { reason, head } = refused;
    meters.refused(reason, 1);
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    debug!(line, reason, begins = %head.escape_ascii(), "Bytes on the serial line were thrown away.");
}
