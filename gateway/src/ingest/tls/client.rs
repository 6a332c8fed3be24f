//! The side that dials. Its files are read anew for each connection, so that renewed ones are used at once.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use super::certificate::{self, Validity};
use super::{BUFFER_MAX_BYTES, Error, VERSIONS, explained, files, provider};
use crate::text::in_one_line;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientConfig {
    /// `None`: the CAs that this machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Shown to a server that asks for it.
    pub certificate: Option<KeyPair>,
    /// The name that the server's certificate must have; `None`: the host that is dialled.
    pub server_name: Option<String>,
    /// Protocols offered by ALPN; empty: the extension is left out.
    pub alpn: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// Makes TLS connections of dialled ones; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    pub fn new(config: ClientConfig) -> Self {
        Self(Arc::new(config))
    }

    /// Reads the files, then shakes hands with `host` over `stream`.
    ///
    /// # Errors
    /// Files that cannot be used, or what the handshake ended with; [`super::Fault::of`] tells the latter.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let unusable = |error: Error| io::Error::other(in_one_line(&error));
        let name = server_name(self.0.server_name.as_deref().unwrap_or(host)).map_err(unusable)?;
        let config = self.0.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&config)).await.map_err(io::Error::other)?;
        let (client, _) = loaded.map_err(unusable)?;
        let limit = |connection: &mut rustls::ClientConnection| connection.set_buffer_limit(Some(BUFFER_MAX_BYTES));
        TlsConnector::from(Arc::new(client)).connect_with(name, stream, limit).await.map_err(explained)
    }
}

impl ClientConfig {
    /// Proves that the files can be used; until when the certificate, if there is one, is valid.
    ///
    /// # Errors
    /// They cannot.
    pub fn check(&self) -> Result<Option<Validity>, Error> {
        if let Some(name) = &self.server_name {
            server_name(name)?;
        }
        load(self).map(|(_, validity)| validity)
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(|_| Error::BadName { name: name.to_owned() })
}

fn load(config: &ClientConfig) -> Result<(rustls::ClientConfig, Option<Validity>), Error> {
    let roots = match &config.ca_file {
        Some(ca_file) => files::authorities(ca_file)?,
        None => files::system_authorities()?,
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&VERSIONS).map_err(Error::Setup)?.with_root_certificates(roots);
    let (mut client, validity) = match &config.certificate {
        None => (builder.with_no_client_auth(), None),
        Some(KeyPair { cert_file, key_file }) => {
            let pair = files::pair(cert_file, key_file)?;
            let validity = pair.cert.first().and_then(|own| certificate::validity(own));
            (builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair))), validity)
        }
    };
    client.alpn_protocols = config.alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect();
    // A configuration serves one connection.
    client.resumption = Resumption::disabled();
    Ok((client, validity))
}
