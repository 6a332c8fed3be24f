//! Tells how far behind the sink is: on the metrics, and in the log while there is a backlog.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tracing::info;

use crate::forward::delivery::{Delivery, Progress};
use crate::metrics::{self, SinkLabel};

const LOG_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Teller {
    sink: String,
    records: Gauge,
    seconds: Gauge<f64, AtomicU64>,
    /// When the log told of the backlog last; `None` while there is none.
    told_at: Option<Instant>,
}

impl Teller {
    pub(super) fn new(sink: &str, metrics: &metrics::Forward) -> Self {
        let label = SinkLabel { sink: sink.to_owned() };
        Self {
            sink: sink.to_owned(),
            records: metrics.backlog_records.get_or_create(&label).clone(),
            seconds: metrics.drain_seconds.get_or_create(&label).clone(),
            told_at: None,
        }
    }

    /// Cheap when called often.
    pub(super) fn tell(&mut self, now: Instant, delivery: &mut Delivery) {
        let Progress { waiting, remaining, has_backlog } = delivery.progress(now);
        self.records.set(waiting as i64);
        self.seconds.set(remaining.as_secs_f64());
        match (has_backlog, self.told_at) {
            (true, None) => {
                info!(
                    sink = self.sink,
                    records = waiting,
                    "Sink is behind: what comes in goes first, the rest drains beside it."
                );
                self.told_at = Some(now);
            }
            (true, Some(at)) if now >= at + LOG_EVERY => {
                let ready_in_s = remaining.as_secs();
                info!(sink = self.sink, records = waiting, ready_in_s, "Backlog drains.");
                self.told_at = Some(now);
            }
            (false, Some(_)) => {
                info!(sink = self.sink, "Backlog is drained.");
                self.told_at = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
}
