//! What every client of this program is set to; what protects the connections has its one place here.

use rdkafka::ClientConfig;

use crate::config::Kafka;

/// Settings that consumers, producers and admin clients share.
pub fn settings(kafka: &Kafka) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &kafka.bootstrap);
    settings
}
