//! What librdkafka tells: delivery reports of a batch, errors and logs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

/// The reports of one batch that are still out, and the first error among those that came.
#[derive(Debug)]
pub(super) struct Reports {
    outstanding: AtomicUsize,
    first_error: Mutex<Option<KafkaError>>,
    changed: Notify,
}

impl Reports {
    pub(super) fn new(messages: usize) -> Self {
        Self { outstanding: AtomicUsize::new(messages), first_error: Mutex::default(), changed: Notify::new() }
    }

    /// Resolves once all messages are confirmed, or the first failed: then the rest is to be purged, lest it overtakes.
    pub(super) async fn all(&self) -> Result<(), KafkaError> {
        loop {
            if let Some(error) = self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(error);
            }
            if self.outstanding.load(Ordering::Acquire) == 0 {
                return Ok(());
            }
            self.changed.notified().await;
        }
    }

    pub(super) fn on_not_taken(&self, error: KafkaError, messages: usize) {
        self.on_reported(Err(error), messages);
    }

    fn on_reported(&self, result: Result<(), KafkaError>, messages: usize) {
        let failed = result.is_err();
        if let Err(error) = result {
            self.first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        let before = self.outstanding.fetch_sub(messages, Ordering::AcqRel);
        if failed || before == messages {
            self.changed.notify_one();
        }
    }
}

/// Where librdkafka's threads report to.
#[derive(Debug)]
pub(super) struct Context {
    sink: String,
    last_error: Mutex<Option<LastError>>,
}

/// What the connection broke by last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastError {
    pub(super) code: Option<RDKafkaErrorCode>,
    pub(super) text: String,
}

impl Context {
    pub(super) fn new(sink: &str) -> Self {
        Self { sink: sink.to_owned(), last_error: Mutex::default() }
    }

    /// The latest error of the connection, for the message of a time-out. librdkafka tells the same one only once.
    pub(super) fn last_error(&self) -> Option<LastError> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection is sound.
    pub(super) fn forget_error(&self) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let sink = &self.sink;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                warn!(sink, facility, message, "librdkafka");
            }
            // Connections lost, each attempt: the sink's own log tells of them once an attempt has failed.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                info!(sink, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => debug!(sink, facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(sink = self.sink, %error, reason, "librdkafka reports an error.");
        let code = error.rdkafka_error_code();
        // "All brokers are down" follows the error that says why.
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if code != Some(RDKafkaErrorCode::AllBrokersDown) || last.is_none() {
            *last = Some(LastError { code, text: reason.to_owned() });
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Reports>;

    fn delivery(&self, result: &DeliveryResult<'_>, reports: Arc<Reports>) {
        let result = result.as_ref().map(drop).map_err(|(error, _)| error.clone());
        // Reports of purged messages belong to a batch that nobody waits for any more.
        let purged = [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight];
        if let Err(error) = &result
            && error.rdkafka_error_code().is_some_and(|code| purged.contains(&code))
        {
            return;
        }
        reports.on_reported(result, 1);
    }
}
