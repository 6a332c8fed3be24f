//! Delivers one batch: writes with retries, splits what is refused, and puts single bad records aside.

use rdkafka::message::OwnedMessage;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, warn};

use super::batch::{Batch, halves};
use super::writer::{WriteError, Writer};
use crate::dead_letters::{DeadLetters, Undeliverable};
use crate::metrics::{Metrics, RoleLabel};
use crate::roles::{Health, Role, backoff};

pub(super) struct Delivery {
    pub(super) writer: Writer,
    pub(super) dead_letters: DeadLetters,
    pub(super) metrics: Metrics,
    pub(super) health: watch::Sender<Health>,
}

impl Delivery {
    /// Resolves once each record of the batch is in InfluxDB or in the dead-letter topic, however long it takes.
    pub(super) async fn deliver(&self, batch: &Batch<OwnedMessage>) {
        for (message, why) in batch.undeliverable() {
            self.bury(message, why).await;
        }
        let mut stack = vec![batch.all()];
        while let Some(range) = stack.pop() {
            let lines = batch.lines(&range);
            if lines.is_empty() {
                continue;
            }
            let Err(reason) = self.write(lines).await else {
                self.metrics.written.inc_by(range.len() as u64);
                self.metrics.lines.inc_by(lines.iter().filter(|b| **b == b'\n').count() as u64);
                continue;
            };
            match halves(&range) {
                Some([first, second]) => stack.extend([second, first]),
                None => {
                    self.bury(batch.record(range.start), &Undeliverable { reason: "refused", detail: reason }).await
                }
            }
        }
    }

    /// Writes with retries; `Err` is InfluxDB's word that something in these lines will never be taken.
    async fn write(&self, lines: &[u8]) -> Result<(), String> {
        let mut attempt = 0;
        loop {
            let started = Instant::now();
            let outcome = self.writer.write(lines).await;
            self.metrics.write_seconds.observe(started.elapsed().as_secs_f64());
            let (pause, reason) = match outcome {
                Ok(()) => {
                    self.metrics.influx_up.set(1);
                    self.health.send_modify(|health| health.sink_away = false);
                    return Ok(());
                }
                Err(WriteError::Reject(reason)) => return Err(reason),
                Err(WriteError::Retry(reason)) => (backoff::pause(attempt), reason),
                Err(WriteError::Misconfigured(reason)) => {
                    error!(%reason, "InfluxDB refuses everything; check token, organisation and bucket. Nothing is lost meanwhile.");
                    (backoff::MISCONFIGURED, reason)
                }
            };
            attempt += 1;
            self.metrics.retries.get_or_create(&RoleLabel { role: Role::Influx.name() }).inc();
            self.metrics.influx_up.set(0);
            self.health.send_modify(|health| health.sink_away = true);
            warn!(%reason, next_try_in_ms = pause.as_millis() as u64, "Batch not written.");
            tokio::time::sleep(pause).await;
        }
    }

    async fn bury(&self, message: &OwnedMessage, why: &Undeliverable) {
        let mut attempt = 0;
        while let Err(e) = self.dead_letters.put(message, why).await {
            let pause = backoff::pause(attempt);
            attempt += 1;
            warn!(reason = format!("{e:#}"), next_try_in_ms = pause.as_millis() as u64, "Dead letter not stored.");
            tokio::time::sleep(pause).await;
        }
    }
}
