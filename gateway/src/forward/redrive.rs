//! Re-drive: quarantined records are decoded once more, by the configuration of today, and sent to the sink that did not
//! get them.
//!
//! # Invariants
//! - A record leaves the quarantine only after the sink confirmed it. What still fails stays, with its new reason.
//! - It goes out under the log and sequence that it had: written twice, after a crash, it is one and the same point.
//! - One file is in hand at a time; a gateway that runs beside goes on with its own.
//! - A record that was set aside under a later version of its decoder is not decoded by an earlier one.
//!
//! # Not here
//! Detection, which has passed these records, and the books of the queue: there they stay counted as quarantined.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use firmware_protocol::decode::{DecoderFault, DecoderName};

use super::made::{Encoding, Use, make};
use super::quarantine::{Held, Kept, Line, Shelf};
use super::{DeliveryConfig, Encoder, Error, FileConfig, MqttSinkConfig, Sink, SinkConfig, SinkError, Undeliverable};
use crate::backoff::Backoff;
use crate::clock::ClockMap;
use crate::metrics;
use crate::publisher::Broker;
use crate::queue::{Log, QueueSeq};
use crate::shutdown::Stop;

/// A sink that does not take a batch so often is away: a person waits here, and can come back later.
const ATTEMPTS_MAX: u32 = 5;
const PAUSE_FIRST_MAX: Duration = Duration::from_secs(1);
/// Sinks have a time-out of their own and say better what is wrong; this one is behind it.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(1);

/// What became of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The sink confirmed them.
    pub sent: u64,
    /// They were in twice, and went once.
    pub repeated: u64,
    /// They still cannot be encoded, or the sink refuses them: by reason.
    pub failed: BTreeMap<String, u64>,
    /// Another reason was asked for.
    pub passed_over: u64,
    /// Lines that hold no record which could be encoded once more.
    pub unreadable: u64,
}

/// Why a re-drive ended before its end. Nothing is lost: what was not confirmed is where it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedriveError {
    #[error(transparent)]
    Sink(#[from] Error),
    #[error("{} cannot be read or written: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{} is in the hands of another re-drive\nhint: wait until that has ended", path.display())]
    Busy { path: PathBuf },
    #[error("sink {name:?} did not take a batch in {ATTEMPTS_MAX} attempts: {reason}\nhint: come back when it does")]
    Away { name: String, reason: String },
    #[error("sink {name:?} needs its settings mended: {reason}")]
    Misconfigured { name: String, reason: String },
    #[error("stopped by a signal")]
    Stopped,
}

/// Sends what is in the quarantine of a sink, of one reason or of all. `outcome` tells how far it came, in any case.
///
/// # Errors
/// See [`RedriveError`].
pub async fn redrive(
    sink: &SinkConfig,
    encoding: &Encoding,
    shelf: &Shelf,
    reason: Option<&str>,
    stop: Stop,
    outcome: &mut Outcome,
) -> Result<(), RedriveError> {
    let io = |error| RedriveError::Io { path: shelf.dir().to_owned(), error };
    shelf.complete_part().map_err(io)?;
    let files = shelf.complete().map_err(io)?;
    if files.is_empty() {
        return Ok(());
    }
    let work = Work { name: sink.name().to_owned(), encoding: encoding.clone(), reason, stop, outcome };
    let files = Files { shelf, files };
    // Nobody looks at the metrics of a process that ends.
    let metrics = metrics::Forward::default();
    make(&beside_the_gateway(sink), encoding, &metrics, Start { work, files })?.await
}

/// The gateway appends to its files itself: a re-drive writes to others, in the same directory. A broker ends a connection
/// when another one has its client id, and only the gateway says whether it is there.
fn beside_the_gateway(sink: &SinkConfig) -> SinkConfig {
    match sink {
        SinkConfig::File(c) => SinkConfig::File(FileConfig { name: format!("{}-redriven", c.name), ..c.clone() }),
        SinkConfig::Mqtt(c) => {
            let client_id = format!("{}-redrive", c.broker.client_id);
            let broker = Broker { client_id, ..c.broker.clone() };
            SinkConfig::Mqtt(MqttSinkConfig { broker, status_topic: String::new(), ..c.clone() })
        }
        SinkConfig::Influx(_) | SinkConfig::Kafka(_) | SinkConfig::Webhook(_) => sink.clone(),
    }
}

struct Files<'a> {
    shelf: &'a Shelf,
    files: Vec<PathBuf>,
}

struct Work<'a> {
    name: String,
    encoding: Encoding,
    reason: Option<&'a str>,
    stop: Stop,
    outcome: &'a mut Outcome,
}

struct Start<'a> {
    work: Work<'a>,
    files: Files<'a>,
}

impl<'a> Use for Start<'a> {
    type Out = std::pin::Pin<Box<dyn Future<Output = Result<(), RedriveError>> + 'a>>;

    fn with<E: Encoder, S: Sink<Batch = E::Batch>>(self, encoder: E, sink: S, delivery: &DeliveryConfig) -> Self::Out {
        let Self { work, files } = self;
        let redrive = Redrive { work, encoder, sink, delivery: delivery.clone(), seen: HashSet::new() };
        Box::pin(redrive.run(files))
    }
}

struct Redrive<'a, E, S> {
    work: Work<'a>,
    encoder: E,
    sink: S,
    delivery: DeliveryConfig,
    /// Records met so far; the quarantine's bound is theirs.
    seen: HashSet<(Log, QueueSeq)>,
}

/// A line of the file in hand.
enum Fate {
    /// As it is, or with a new reason.
    Stays(Vec<u8>),
    /// To be sent, as soon as it is its turn; the line as it was.
    Waits(Box<(Kept, Line)>, Vec<u8>),
    Gone,
}

/// What the sink said to a batch.
enum Answer {
    Taken,
    Refused(String),
}

impl<E: Encoder, S: Sink<Batch = E::Batch>> Redrive<'_, E, S> {
    async fn run(mut self, Files { shelf, files }: Files<'_>) -> Result<(), RedriveError> {
        for path in files {
            let held = match shelf.hold(&path) {
                Ok(Some(held)) => held,
                Ok(None) => continue,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Err(RedriveError::Busy { path }),
                Err(error) => return Err(RedriveError::Io { path, error }),
            };
            let mut fates = self.sort(&held);
            let delivered = self.deliver(&mut fates).await;
            put_back(held, fates).map_err(|error| RedriveError::Io { path, error })?;
            delivered?;
        }
        Ok(())
    }

    /// Which lines are wanted.
    fn sort(&mut self, held: &Held) -> Vec<Fate> {
        let Self { work: Work { reason, outcome, .. }, seen, .. } = self;
        let sort = |text: &[u8]| {
            let stays = Fate::Stays(text.to_vec());
            let Ok(line) = Line::parse(text) else {
                outcome.unreadable += 1;
                return stays;
            };
            if reason.is_some_and(|reason| reason != line.reason) {
                outcome.passed_over += 1;
                return stays;
            }
            match line.kept() {
                Err(_) => {
                    outcome.unreadable += 1;
                    stays
                }
                Ok(kept) if !seen.insert((kept.log, kept.seq)) => {
                    outcome.repeated += 1;
                    Fate::Gone
                }
                Ok(kept) => Fate::Waits(Box::new((kept, line)), text.to_vec()),
            }
        };
        held.lines().map(sort).collect()
    }

    /// Sends all that waits, batch by batch; a batch that is refused goes in halves, down to the record to blame.
    async fn deliver(&mut self, fates: &mut [Fate]) -> Result<(), RedriveError> {
        let waiting = (0..fates.len()).filter(|i| matches!(fates[*i], Fate::Waits(..))).collect();
        let mut parts: Vec<Vec<usize>> = vec![waiting];
        while let Some(mut part) = parts.pop() {
            let (pushed, encoded) = self.encode(&part, fates);
            let rest = part.split_off(pushed);
            if !rest.is_empty() {
                parts.push(rest);
            }
            let Some(batch) = self.encoder.take() else {
                // What can be read by now and leaves nothing to send.
                self.work.outcome.sent += encoded.len() as u64;
                encoded.into_iter().for_each(|i| fates[i] = Fate::Gone);
                continue;
            };
            match self.send(&batch).await? {
                Answer::Taken => {
                    self.work.outcome.sent += encoded.len() as u64;
                    encoded.into_iter().for_each(|i| fates[i] = Fate::Gone);
                }
                Answer::Refused(detail) => match encoded.as_slice() {
                    [i] => self.fail(&mut fates[*i], &Undeliverable { reason: "rejected", detail }),
                    _ => {
                        let (first, second) = encoded.split_at(encoded.len() / 2);
                        parts.extend([second.to_vec(), first.to_vec()]);
                    }
                },
            }
        }
        Ok(())
    }

    /// Encodes as many as make a batch: how many were looked at, and which of them are in it.
    fn encode(&mut self, part: &[usize], fates: &mut [Fate]) -> (usize, Vec<usize>) {
        let mut encoded = Vec::new();
        for (looked_at, i) in part.iter().enumerate() {
            let is_full = self.encoder.pending_bytes() >= self.delivery.batch_max_bytes;
            if is_full || encoded.len() >= self.delivery.batch_records_max {
                return (looked_at, encoded);
            }
            let Fate::Waits(waiting, _) = &fates[*i] else { continue };
            match self.push(&waiting.0, &waiting.1) {
                Ok(()) => encoded.push(*i),
                Err(why) => self.fail(&mut fates[*i], &why),
            }
        }
        (part.len(), encoded)
    }

    fn push(&mut self, kept: &Kept, line: &Line) -> Result<(), Undeliverable> {
        let Encoding { decoder, clock, .. } = &self.work.encoding;
        let meant = line.decoder.as_deref().and_then(DecoderName::parse);
        let here = decoder.name_for(&line.topic).filter(|_| kept.log == Log::Raw);
        if let (Some(meant), Some(here)) = (meant, here)
            && meant.id() == here.id()
            && meant.version() > here.version()
        {
            let (id, version) = (meant.id().to_owned(), meant.version());
            let fault = DecoderFault::Later { id, version, here: here.version() };
            return Err(Undeliverable { reason: fault.reason(), detail: fault.to_string() });
        }
        *clock.write() = ClockMap::of(kept.record.received, kept.received);
        self.encoder.push(kept.log, kept.seq, &kept.record).map(drop)
    }

    /// The record stays, with the reason of today.
    fn fail(&mut self, fate: &mut Fate, why: &Undeliverable) {
        *self.work.outcome.failed.entry(why.reason.to_owned()).or_default() += 1;
        if let Fate::Waits(waiting, _) = fate {
            let mut line = waiting.1.clone();
            (line.reason, line.detail) = (why.reason.to_owned(), why.detail.clone());
            let mut text = Vec::new();
            line.write(&mut text);
            text.pop();
            *fate = Fate::Stays(text);
        }
    }

    async fn send(&mut self, batch: &E::Batch) -> Result<Answer, RedriveError> {
        let name = || self.work.name.clone();
        let timeout = self.delivery.timeout + TIMEOUT_MARGIN;
        // One person at a time does this: there is nobody to keep out of step with.
        let mut backoff = Backoff::new(PAUSE_FIRST_MAX, self.delivery.retry_max, 0);
        loop {
            let sent = tokio::select! {
                sent = tokio::time::timeout(timeout, self.sink.send(batch)) => sent,
                () = self.work.stop.requested() => return Err(RedriveError::Stopped),
            };
            let reason = match sent {
                Ok(Ok(())) => return Ok(Answer::Taken),
                Ok(Err(SinkError::Reject { reason })) => return Ok(Answer::Refused(reason)),
                Ok(Err(SinkError::Misconfigured { reason })) => {
                    return Err(RedriveError::Misconfigured { name: name(), reason });
                }
                Ok(Err(SinkError::Retry { reason, .. })) => reason,
                Err(_) => format!("no answer within {timeout:?}"),
            };
            let pause = backoff.next();
            if backoff.failures() >= ATTEMPTS_MAX {
                return Err(RedriveError::Away { name: name(), reason });
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.work.stop.requested() => return Err(RedriveError::Stopped),
            }
        }
    }
}

/// What was not sent stays.
fn put_back(held: Held, fates: Vec<Fate>) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for fate in fates {
        match fate {
            Fate::Stays(text) | Fate::Waits(_, text) => {
                lines.extend_from_slice(&text);
                lines.push(b'\n');
            }
            Fate::Gone => {}
        }
    }
    held.replace(&lines)
}

#[cfg(test)]
mod tests;
