//! From a sink's settings to its encoder and its connection, which are of types of their own for each kind of sink.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use firmware_protocol::decode::Decoder;

use super::file::{FileEncoder, FileSink};
use super::filter::Filtered;
use super::influx::{InfluxEncoder, InfluxSink, SeriesCap};
use super::kafka::{KafkaEncoder, KafkaSink};
use super::lines::Lines;
use super::mqtt::{MqttEncoder, MqttSink};
use super::webhook::{WebhookEncoder, WebhookSink};
use super::{DeliveryConfig, Encoder, Error, Labels, Sink, SinkConfig};
use crate::clock::SharedClockMap;
use crate::metrics::{self, SinkLabel};

/// What all encoders work with.
#[derive(Clone, Debug)]
pub struct Encoding {
    pub labels: Labels,
    pub decoder: Arc<Decoder>,
    pub clock: SharedClockMap,
    /// See `clock::Config`.
    pub future_max: Duration,
}

/// What is done with encoder and sink, whatever their types.
pub(super) trait Use {
    type Out;

    fn with<E: Encoder, S: Sink<Batch = E::Batch>>(self, encoder: E, sink: S, delivery: &DeliveryConfig) -> Self::Out;
}

/// Connects to nothing yet.
///
/// # Errors
/// The settings cannot be used, or the directory not be written.
pub(super) fn make<U: Use>(
    sink: &SinkConfig,
    encoding: &Encoding,
    metrics: &metrics::Forward,
    then: U,
) -> Result<U::Out, Error> {
    let Encoding { labels, decoder, clock, future_max } = encoding;
    let lines = |delivery: &DeliveryConfig| {
        Lines::new(decoder.clone(), clock.clone(), *future_max, labels).of_channels(&delivery.filter.channels)
    };
    Ok(match sink {
        SinkConfig::Influx(c) => {
            let made = InfluxSink::new(c).map_err(|error| Error::Influx { name: c.name.clone(), error })?;
            let label = SinkLabel { sink: c.name.clone() };
            let let_in = metrics.series.get_or_create_owned(&label);
            let turned_down = metrics.overflowed.get_or_create_owned(&label);
            let series = SeriesCap::new(&c.name, c.series_max, let_in, turned_down);
            let encoder = InfluxEncoder::new(lines(&c.delivery), series);
            then.with(Filtered::new(&c.delivery.filter, decoder, encoder), made, &c.delivery)
        }
        SinkConfig::Kafka(c) => {
            let made =
                KafkaSink::new(c, &labels.gateway).map_err(|error| Error::Kafka { name: c.name.clone(), error })?;
            let encoder = KafkaEncoder::new(decoder.clone(), clock.clone(), labels);
            then.with(Filtered::new(&c.delivery.filter, decoder, encoder), made, &c.delivery)
        }
        SinkConfig::File(c) => {
            let made = FileSink::open(c).map_err(|error| directory_error(&c.name, c.dir.clone(), error))?;
            let encoder = FileEncoder::new(c.format, lines(&c.delivery), clock.clone());
            then.with(Filtered::new(&c.delivery.filter, decoder, encoder), made, &c.delivery)
        }
        SinkConfig::Webhook(c) => {
            let made = WebhookSink::new(c).map_err(|error| Error::Webhook { name: c.name.clone(), error })?;
            let encoder = FileEncoder::new(c.format, lines(&c.delivery), clock.clone());
            let encoder = WebhookEncoder::new(encoder, c.gzip, &labels.gateway, &c.name);
            then.with(Filtered::new(&c.delivery.filter, decoder, encoder), made, &c.delivery)
        }
        SinkConfig::Mqtt(c) => {
            let encoder = MqttEncoder::new(c, decoder.clone(), clock.clone(), labels);
            then.with(Filtered::new(&c.delivery.filter, decoder, encoder), MqttSink::new(c), &c.delivery)
        }
    })
}

pub(super) fn directory_error(name: &str, dir: PathBuf, error: io::Error) -> Error {
    Error::Directory { name: name.to_owned(), dir, error }
}
