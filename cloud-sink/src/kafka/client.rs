//! What every client of this program is set to: where the brokers are, and what protects the connections.

use rdkafka::ClientConfig;

use crate::config::{Kafka, Login, Mechanism, Security, Tls};

/// Settings that consumers, producers and admin clients share.
pub fn settings(kafka: &Kafka) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &kafka.bootstrap);
    protect(&kafka.security, &mut settings);
    settings
}

fn protect(security: &Security, settings: &mut ClientConfig) {
    let protocol = match (&security.tls, &security.login) {
        (None, None) => "plaintext",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), None) => "ssl",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    settings.set("security.protocol", protocol);
    if let Some(Tls { ca_file, certificate }) = &security.tls {
        // The OpenSSL inside knows of no directory of this system: it has to look for one.
        let ca = ca_file.as_ref().map_or("probe".into(), |path| path.to_string_lossy());
        settings.set("ssl.ca.location", ca);
        if let Some((cert_file, key_file)) = certificate {
            settings.set("ssl.certificate.location", cert_file.to_string_lossy());
            settings.set("ssl.key.location", key_file.to_string_lossy());
        }
    }
    if let Some(Login { mechanism, username, password }) = &security.login {
        let mechanism = match mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        };
        settings.set("sasl.mechanism", mechanism).set("sasl.username", username);
        settings.set("sasl.password", password.expose());
    }
}
