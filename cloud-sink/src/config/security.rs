//! Keys of `[kafka]` that say how the brokers are known, and who cloud-sink says it is; as in the gateways' `[[kafka]]`.

use std::path::PathBuf;

use super::Fault;
use super::secret::{Secret, read_secret};

/// Whether this build has what TLS and SCRAM need: the feature `kafka-tls`.
const HAS_TLS: bool = cfg!(feature = "kafka-tls");
const LEAN_HINT: &str = "use a cloud-sink that was built with the feature `kafka-tls`, as it is by default";

/// Of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// `None`: plain TCP.
    pub tls: Option<Tls>,
    /// `None`: nobody in particular, or whom the certificate names.
    pub login: Option<Login>,
}

/// PEM files, which librdkafka reads when a client is made.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The only authority that is trusted; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key of this client.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// SASL.
#[derive(Clone, Debug)]
pub struct Login {
    pub mechanism: Mechanism,
    pub username: String,
    pub password: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password crosses the connection (RFC 4616).
    Plain,
    /// A proof of it does (RFC 5802, RFC 7677).
    ScramSha256,
    ScramSha512,
}

/// The keys as they are in the file.
pub(super) struct SecurityKeys {
    pub tls: bool,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub sasl: String,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub password_env: Option<String>,
}

impl SecurityKeys {
    pub(super) fn resolve(self) -> Result<Security, Fault> {
        let Self { tls, ca_file, cert_file, key_file, sasl, username, password_file, password_env } = self;
        let certificate = match (cert_file, key_file) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(Fault::new("kafka.tls_key_file", "is wanted beside tls_cert_file")),
            (None, Some(_)) => return Err(Fault::new("kafka.tls_cert_file", "is wanted beside tls_key_file")),
        };
        if !tls && (ca_file.is_some() || certificate.is_some()) {
            return Err(Fault::new(
                "kafka.tls",
                "is false, but there are certificates: set it to true, or take them out",
            ));
        }
        if tls && !HAS_TLS {
            return Err(Fault::new("kafka.tls", format!("this cloud-sink was built without TLS: {LEAN_HINT}")));
        }
        let password = read_secret("kafka.password", password_file, password_env)?;
        let login = login(mechanism(&sasl)?, username, password)?;
        Ok(Security { tls: tls.then_some(Tls { ca_file, certificate }), login })
    }
}

fn mechanism(sasl: &str) -> Result<Option<Mechanism>, Fault> {
    match sasl {
        "none" => Ok(None),
        "plain" => Ok(Some(Mechanism::Plain)),
        "scram-sha-256" | "scram-sha-512" if !HAS_TLS => {
            Err(Fault::new("kafka.sasl", format!("this cloud-sink was built without SCRAM: {LEAN_HINT}")))
        }
        "scram-sha-256" => Ok(Some(Mechanism::ScramSha256)),
        "scram-sha-512" => Ok(Some(Mechanism::ScramSha512)),
        other => {
            let fault = format!("is \"{other}\": wanted \"none\", \"plain\", \"scram-sha-256\" or \"scram-sha-512\"");
            Err(Fault::new("kafka.sasl", fault))
        }
    }
}

fn login(
    mechanism: Option<Mechanism>,
    username: Option<String>,
    password: Option<Secret>,
) -> Result<Option<Login>, Fault> {
    match (mechanism, username, password) {
        (None, None, None) => Ok(None),
        (None, _, _) => Err(Fault::new("kafka.sasl", "is \"none\", but there is a login: name the brokers' mechanism")),
        (Some(mechanism), Some(username), Some(password)) if !username.is_empty() => {
            Ok(Some(Login { mechanism, username, password }))
        }
        (Some(_), _, _) => Err(Fault::new("kafka.sasl", "wants a username, and one of password_file and password_env")),
    }
}
