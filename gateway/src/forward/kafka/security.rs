//! How the brokers are known, and who the gateway says it is.
//!
//! # Not here
//! TLS and SCRAM need librdkafka with OpenSSL: the feature `kafka-tls`. Without it the configuration refuses them.

use rdkafka::config::ClientConfig;

use crate::forward::TlsFiles;
use crate::secret::{SecretFault, SecretSource};

/// Whether this build has what TLS and SCRAM need.
pub const HAS_TLS: bool = cfg!(feature = "kafka-tls");

/// Of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// `None`: plain TCP. With a `ca_file` that authority alone is trusted.
    pub tls: Option<TlsFiles>,
    /// `None`: nobody in particular, or whom the certificate names.
    pub login: Option<KafkaLogin>,
}

/// SASL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaLogin {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: SecretSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password crosses the connection (RFC 4616).
    Plain,
    /// A proof of it does (RFC 5802, RFC 7677).
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl KafkaSecurity {
    /// Sets librdkafka's options for it. The password's file is read, those of certificates by librdkafka when a client is
    /// made.
    ///
    /// # Errors
    /// The password cannot be read.
    pub fn apply(&self, settings: &mut ClientConfig) -> Result<(), SecretFault> {
        let protocol = match (&self.tls, &self.login) {
            (None, None) => "plaintext",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), None) => "ssl",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        settings.set("security.protocol", protocol);
        if let Some(TlsFiles { ca_file, certificate }) = &self.tls {
            // The OpenSSL inside knows of no directory of this system: it has to look for one.
            let ca = ca_file.as_ref().map_or("probe".into(), |path| path.to_string_lossy());
            settings.set("ssl.ca.location", ca);
            if let Some(files) = certificate {
                settings.set("ssl.certificate.location", files.cert_file.to_string_lossy());
                settings.set("ssl.key.location", files.key_file.to_string_lossy());
            }
        }
        if let Some(KafkaLogin { mechanism, username, password }) = &self.login {
            settings.set("sasl.mechanism", mechanism.name()).set("sasl.username", username);
            settings.set("sasl.password", password.read()?.expose());
        }
        Ok(())
    }

    /// Whether another attempt to connect with files read again can have another outcome.
    pub(super) fn can_change(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.is_empty())
            || self.login.as_ref().is_some_and(|login| login.password.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::CertificateFiles;
    use crate::secret::Secret;

    fn settings(security: &KafkaSecurity) -> ClientConfig {
        let mut settings = ClientConfig::new();
        security.apply(&mut settings).unwrap();
        settings
    }

    #[test]
    fn the_protocol_follows_from_what_is_asked_for() {
        let login = || Some(login(SaslMechanism::Plain));
        for (tls, login, protocol) in [
            (None, None, "plaintext"),
            (None, login(), "sasl_plaintext"),
            (Some(TlsFiles::default()), None, "ssl"),
            (Some(TlsFiles::default()), login(), "sasl_ssl"),
        ] {
            let settings = settings(&KafkaSecurity { tls, login });
            assert_eq!(settings.get("security.protocol"), Some(protocol));
        }
    }

    fn login(mechanism: SaslMechanism) -> KafkaLogin {
        KafkaLogin { mechanism, username: "gw".into(), password: SecretSource::fixed(Secret::new("pw")) }
    }

    #[test]
    fn a_private_authority_and_a_certificate_are_handed_over_and_without_one_the_systems_are_looked_for() {
        let files = CertificateFiles { cert_file: "/c".into(), key_file: "/k".into() };
        let tls = TlsFiles { ca_file: Some("/ca".into()), certificate: Some(files) };
        let given = settings(&KafkaSecurity { tls: Some(tls), login: Some(login(SaslMechanism::ScramSha512)) });
        assert_eq!(given.get("ssl.ca.location"), Some("/ca"));
        assert_eq!((given.get("ssl.certificate.location"), given.get("ssl.key.location")), (Some("/c"), Some("/k")));
        assert_eq!((given.get("sasl.mechanism"), given.get("sasl.password")), (Some("SCRAM-SHA-512"), Some("pw")));
        let none = settings(&KafkaSecurity { tls: Some(TlsFiles::default()), login: None });
        assert_eq!(none.get("ssl.ca.location"), Some("probe"));
    }
}
