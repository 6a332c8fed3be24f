//! From settings to running tasks: one for each sink.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::influx::InfluxError;
use super::kafka::KafkaFault;
use super::made::{Encoding, Use, directory_error, make};
use super::quarantine::Quarantine;
use super::task::{Parts, Task};
use super::{DeliveryConfig, Encoder, Sink, SinkConfig, WebhookError};
use crate::metrics;
use crate::queue::Reader;
use crate::shutdown::Stop;

/// Constant tags of all points, and the gateway's name in Kafka's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    pub gateway: String,
    /// Left out if empty.
    pub site: String,
}

/// What all sinks share.
#[derive(Clone, Debug)]
pub struct Context {
    pub encoding: Encoding,
    /// Each sink has a directory of its name in it.
    pub quarantine_dir: PathBuf,
    /// After the word to stop, the batch under way may be answered for this long.
    pub grace: Duration,
    pub metrics: metrics::Forward,
    pub stop: Stop,
}

/// A sink's task: it ends after the word to stop, or when the queue is closed.
#[derive(Debug)]
pub struct Running {
    pub name: String,
    pub task: JoinHandle<()>,
}

/// A sink that cannot be started; all others would start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("sink name {name:?} names directories and metrics: use letters, digits, `-` and `_`")]
    Name { name: String },
    #[error("sink {name:?}: {error}")]
    Influx { name: String, error: InfluxError },
    #[error("sink {name:?}: {error}")]
    Kafka { name: String, error: KafkaFault },
    #[error("sink {name:?}: {error}")]
    Webhook { name: String, error: WebhookError },
    #[error("sink {name:?}: {} cannot be written: {error}", dir.display())]
    Directory { name: String, dir: PathBuf, error: io::Error },
}

/// Starts a task for each sink, or none if one of them cannot be made. `reader` gives a sink its queue reader.
/// Connects to nothing yet: a sink that is away is waited for by its task.
///
/// # Errors
/// See [`Error`].
///
/// # Panics
/// Outside a tokio runtime.
pub fn start(sinks: &[SinkConfig], context: &Context, reader: impl Fn(&str) -> Reader) -> Result<Vec<Running>, Error> {
    let ready = sinks.iter().map(|sink| prepare(sink, context, &reader)).collect::<Result<Vec<_>, _>>()?;
    Ok(ready.into_iter().map(|start| start()).collect())
}

/// A sink whose parts are all made, waiting to be spawned.
type Ready = Box<dyn FnOnce() -> Running>;

fn prepare(sink: &SinkConfig, context: &Context, reader: &impl Fn(&str) -> Reader) -> Result<Ready, Error> {
    check_name(sink.name())?;
    make(sink, &context.encoding, &context.metrics, Prepare { name: sink.name(), context, reader })?
}

struct Prepare<'a, R> {
    name: &'a str,
    context: &'a Context,
    reader: &'a R,
}

impl<R: Fn(&str) -> Reader> Use for Prepare<'_, R> {
    type Out = Result<Ready, Error>;

    fn with<E: Encoder, S: Sink<Batch = E::Batch>>(self, encoder: E, sink: S, delivery: &DeliveryConfig) -> Self::Out {
        let Self { name, context, reader } = self;
        ready(name, encoder, sink, delivery, context, reader)
    }
}

fn ready<E: Encoder, S: Sink<Batch = E::Batch>>(
    name: &str,
    encoder: E,
    sink: S,
    delivery: &DeliveryConfig,
    context: &Context,
    reader: &impl Fn(&str) -> Reader,
) -> Result<Ready, Error> {
    let Encoding { decoder, clock, .. } = &context.encoding;
    let quarantine = Quarantine::open(&context.quarantine_dir, name, decoder.clone(), clock.clone())
        .map_err(|error| directory_error(name, context.quarantine_dir.join(name), error))?;
    let name = name.to_owned();
    let task = Task::new(Parts {
        name: name.clone(),
        encoder,
        sink,
        config: delivery.clone(),
        reader: reader(&name),
        quarantine,
        metrics: context.metrics.clone(),
        stop: context.stop.clone(),
        grace: context.grace,
        // Gateways that lost the same sink together must not come back together.
        seed: RandomState::new().hash_one(&name),
    });
    Ok(Box::new(move || Running { name, task: tokio::spawn(task.run()) }))
}

fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let usable = !name.is_empty() && name.chars().all(plain);
    if usable { Ok(()) } else { Err(Error::Name { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::SharedClockMap;
    use crate::forward::testing::{decoder, labels, record};
    use crate::forward::{FileConfig, FileFormat, HttpConfig, InfluxConfig};
    use crate::metrics::Metrics;
    use crate::queue::{Log, Queue, Transaction};
    use crate::secret::{Secret, SecretSource};
    use crate::shutdown;

    fn context(dir: &Path, stop: Stop) -> Context {
        Context {
            encoding: Encoding {
                labels: labels(),
                decoder: decoder(),
                clock: SharedClockMap::default(),
                future_max: Duration::from_secs(3_600),
            },
            quarantine_dir: dir.join("quarantine"),
            grace: Duration::from_secs(5),
            metrics: Metrics::default().forward,
            stop,
        }
    }

    fn file(dir: &Path, name: &str) -> SinkConfig {
        SinkConfig::File(FileConfig {
            name: name.into(),
            dir: dir.join("out"),
            format: FileFormat::LineProtocol,
            rotate_bytes: 1 << 20,
            files_max: 3,
            delivery: DeliveryConfig::default(),
        })
    }

    fn queue(dir: &Path) -> Queue {
        Queue::open(&crate::queue::Config::new(dir.join("queue")), crate::metrics::Queue::default()).unwrap()
    }

    #[tokio::test]
    async fn a_sink_runs_from_settings_to_disk_and_stops_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(dir.path());
        let (trigger, stop) = shutdown::channel();
        let running = start(&[file(dir.path(), "archive")], &context(dir.path(), stop), |n| queue.reader(n)).unwrap();
        let raw = vec![record("sensors/a", br#"{"x":1,"ts":1700000000123}"#), record("sensors/a", b"?")];
        let appender = queue.appender();
        appender.commit(Transaction { raw, ..Transaction::default() }).await.unwrap().await.unwrap().unwrap();
        let reader = queue.reader("archive");
        let settled = async {
            while reader.cursor(Log::Raw).next < reader.end(Log::Raw) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), settled).await.expect("the sink takes two records");
        trigger.stop();
        for sink in running {
            assert_eq!(sink.name, "archive");
            sink.task.await.unwrap();
        }
        let text = std::fs::read_to_string(dir.path().join("out/archive-00000001.lp.part")).unwrap();
        assert_eq!(text, "sensor,device=a,gateway=edge-1 x=1 1700000000123000000\n");
        let cursor = reader.cursor(Log::Raw);
        assert_eq!((cursor.delivered, cursor.quarantined), (1, 1));
    }

    #[tokio::test]
    async fn one_sink_that_cannot_be_made_keeps_all_from_starting_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(dir.path());
        let (_trigger, stop) = shutdown::channel();
        let bad = SinkConfig::Influx(InfluxConfig {
            name: "cloud".into(),
            url: "influx.example".into(),
            org: String::new(),
            bucket: String::new(),
            token: SecretSource::fixed(Secret::new("")),
            http: HttpConfig::default(),
            series_max: 0,
            delivery: DeliveryConfig::default(),
        });
        let sinks = [file(dir.path(), "archive"), bad];
        let error = start(&sinks, &context(dir.path(), stop), |n| queue.reader(n)).unwrap_err().to_string();
        assert!(error.contains("\"cloud\"") && error.contains("influx.example"), "{error}");
    }

    #[tokio::test]
    async fn a_name_that_would_leave_its_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(dir.path());
        let (_trigger, stop) = shutdown::channel();
        let context = context(dir.path(), stop);
        for name in ["", "../x", "a/b", "a b"] {
            let outcome = start(&[file(dir.path(), name)], &context, |n| queue.reader(n));
            assert!(matches!(outcome, Err(Error::Name { .. })), "{name:?}");
        }
    }
}
