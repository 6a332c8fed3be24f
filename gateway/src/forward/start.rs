//! From settings to running tasks: one for each sink.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use firmware_protocol::decode::Decoder;
use tokio::task::JoinHandle;

use super::file::{FileEncoder, FileSink};
use super::influx::{InfluxEncoder, InfluxError, InfluxSink};
use super::kafka::{KafkaEncoder, KafkaSink};
use super::lines::Lines;
use super::quarantine::Quarantine;
use super::task::{Parts, Task};
use super::{DeliveryConfig, Encoder, Sink, SinkConfig};
use crate::clock::SharedClockMap;
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
    pub labels: Labels,
    pub decoder: Arc<Decoder>,
    pub clock: SharedClockMap,
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
    #[error("sink {name:?}: kafka producer cannot be made: {error}")]
    Kafka { name: String, error: rdkafka::error::KafkaError },
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
    let lines = || Lines::new(context.decoder.clone(), context.clock.clone(), &context.labels);
    match sink {
        SinkConfig::Influx(c) => {
            let made = InfluxSink::new(c).map_err(|error| Error::Influx { name: c.name.clone(), error })?;
            ready(&c.name, InfluxEncoder::new(lines()), made, &c.delivery, context, reader)
        }
        SinkConfig::Kafka(c) => {
            let made = KafkaSink::new(c, &context.labels.gateway)
                .map_err(|error| Error::Kafka { name: c.name.clone(), error })?;
            let encoder = KafkaEncoder::new(context.decoder.clone(), context.clock.clone(), &context.labels);
            ready(&c.name, encoder, made, &c.delivery, context, reader)
        }
        SinkConfig::File(c) => {
            let made = FileSink::open(c).map_err(|error| directory_error(&c.name, c.dir.clone(), error))?;
            let encoder = FileEncoder::new(c.format, lines(), context.clock.clone());
            ready(&c.name, encoder, made, &c.delivery, context, reader)
        }
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
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Error::Name { name: name.to_owned() });
    }
    let quarantine = Quarantine::open(&context.quarantine_dir, name)
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

fn directory_error(name: &str, dir: PathBuf, error: io::Error) -> Error {
    Error::Directory { name: name.to_owned(), dir, error }
}
