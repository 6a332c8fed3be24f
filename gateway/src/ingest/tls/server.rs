//! The side that accepts, with certificates that can be renewed while connections stand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::server::TlsStream;
use tracing::{error, info};

use super::certificate::{self, Validity};
use super::{BUFFER_MAX_BYTES, Error, VERSIONS, explained, files, provider};
use crate::ingest::watched::Watched;
use crate::metrics::{DoorLabel, DoorOutcome, Security};
use crate::text::in_one_line;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub client_auth: ClientAuth,
}

/// Whether clients have to show a certificate, and of which CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// None is asked for.
    None,
    /// One that is shown must be of this CA.
    Optional {
        ca_file: PathBuf,
    },
    Required {
        ca_file: PathBuf,
    },
}

impl ClientAuth {
    fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Optional { ca_file } | Self::Required { ca_file } => Some(ca_file),
        }
    }
}

/// Takes TLS connections.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    door: &'static str,
    metrics: Security,
    /// For the next connection.
    current: RwLock<Arc<rustls::ServerConfig>>,
    watched: Mutex<Watched>,
}

impl Server {
    /// # Errors
    /// Certificate, key or CA cannot be used.
    pub fn new(config: ServerConfig, door: &'static str, metrics: Security) -> Result<Self, Error> {
        let paths = [&*config.cert_file, &*config.key_file].into_iter().chain(config.client_auth.ca_file());
        let watched = Mutex::new(Watched::new(paths));
        let (current, validity) = load(&config)?;
        let server = Self { config, door, metrics, current: RwLock::new(current), watched };
        server.note(validity);
        Ok(server)
    }

    /// The handshake with an accepted connection.
    ///
    /// # Errors
    /// What the handshake ended with; [`super::Fault::of`] tells which kind it is.
    pub fn accept(&self, stream: TcpStream) -> impl Future<Output = io::Result<TlsStream<TcpStream>>> + Send + use<> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let limit = |connection: &mut rustls::ServerConnection| connection.set_buffer_limit(Some(BUFFER_MAX_BYTES));
        let accepted = TlsAcceptor::from(current).accept_with(stream, limit);
        async move { accepted.await.map_err(explained) }
    }

    /// Reads the files again if they have changed; what cannot be used is told, and what was in force stays.
    /// Blocks for as long as that takes.
    pub fn refresh(&self) {
        if !self.watched.lock().unwrap_or_else(PoisonError::into_inner).has_changed() {
            return;
        }
        let certificate = self.config.cert_file.display();
        match load(&self.config) {
            Ok((renewed, validity)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
                self.note(validity);
                self.reloaded("renewed");
                info!(door = self.door, %certificate, "Certificates were renewed; connections that stand keep the old ones.");
            }
            Err(why) => {
                self.reloaded("refused");
                error!(
                    door = self.door,
                    why = in_one_line(&why),
                    "New certificates cannot be used; the old ones stay in force."
                );
            }
        }
    }

    fn reloaded(&self, outcome: &'static str) {
        self.metrics.tls_reloads.get_or_create(&DoorOutcome { door: self.door, outcome }).inc();
    }

    fn note(&self, validity: Option<Validity>) {
        if let Some(validity) = validity {
            let label = DoorLabel { door: self.door };
            self.metrics.certificate_expires.get_or_create(&label).set(validity.not_after_s);
        }
    }
}

impl ServerConfig {
    /// Proves that the files can be used; until when the certificate is valid.
    ///
    /// # Errors
    /// They cannot.
    pub fn check(&self) -> Result<Option<Validity>, Error> {
        load(self).map(|(_, validity)| validity)
    }
}

/// Whose certificate the client has shown.
pub fn peer_identity(stream: &TlsStream<TcpStream>) -> Option<String> {
    certificate::identity(stream.get_ref().1.peer_certificates()?.first()?)
}

fn load(config: &ServerConfig) -> Result<(Arc<rustls::ServerConfig>, Option<Validity>), Error> {
    let pair = files::pair(&config.cert_file, &config.key_file)?;
    let validity = pair.cert.first().and_then(|own| certificate::validity(own));
    let builder = rustls::ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&VERSIONS).map_err(Error::Setup)?;
    let builder = match config.client_auth.ca_file() {
        None => builder.with_no_client_auth(),
        Some(ca_file) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(files::authorities(ca_file)?, provider());
            let verifier = match config.client_auth {
                ClientAuth::Optional { .. } => verifier.allow_unauthenticated(),
                ClientAuth::Required { .. } | ClientAuth::None => verifier,
            };
            let bad = |error: rustls::server::VerifierBuilderError| Error::BadCa {
                path: ca_file.to_owned(),
                error: error.to_string(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(bad)?)
        }
    };
    let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    // Sessions go on with tickets that the clients keep, so a thousand sensors cost no memory for it. The keys are new
    // with each configuration: nobody goes on with a session that a former CA has let in.
    server.ticketer = Ticketer::new().map_err(Error::Setup)?;
    server.send_tls13_tickets = 1;
    Ok((Arc::new(server), validity))
}
