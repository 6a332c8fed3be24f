//! TLS 1.2 and 1.3 for the doors, on rustls with ring.
//!
//! # Invariants
//! - The crypto provider is named at each place: nothing depends on a default of the process.
//! - What is in force works: a new certificate, key or CA takes over only once it is proven, and connections that stand
//!   keep theirs.
//! - No early data: what is sent before the handshake is over could be sent again by anyone.
//! - A connection buffers at most [`BUFFER_MAX_BYTES`] of what we send; an idle one costs 8 KiB
//!   (measured; plain TCP 1), and one with a client certificate hardly more.
//!
//! # Flow
//! ```text
//! accepted TCP ─▶ Server::accept ─▶ stream, and who it is by its certificate
//! dialled TCP ──▶ Client::connect ─▶ stream
//! every few seconds ─▶ Server::refresh ─▶ files read again if they have changed
//! ```
//!
//! # Not here
//! Time-outs, and how many handshakes run at once: the doors hold those.

mod certificate;
mod client;
mod fault;
mod files;
mod server;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::{self, SupportedProtocolVersion, crypto};

pub use certificate::Validity;
pub use client::{Client, ClientConfig, KeyPair};
pub use fault::{Fault, explained};
pub use server::{ClientAuth, Server, ServerConfig, peer_identity};

/// What rustls holds back of what we send while the peer does not read: one record.
const BUFFER_MAX_BYTES: usize = 16 * 1024;

/// Older versions are broken.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

fn provider() -> Arc<crypto::CryptoProvider> {
    Arc::new(crypto::ring::default_provider())
}

/// Why certificates, keys or CAs cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{} cannot be read: {error}\nhint: the file must exist and be readable by the gateway's user", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{} is {bytes} bytes, the limit is {limit}\nhint: name a PEM file with certificates or a key", path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("{} is not PEM: {error}\nhint: PEM files have lines such as -----BEGIN CERTIFICATE-----", path.display())]
    NotPem { path: PathBuf, error: String },
    #[error("{} holds no certificate\nhint: name a PEM file with the certificate first, then its chain", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no private key\nhint: name a PEM file with an unencrypted key: PKCS#8, PKCS#1 or SEC1", path.display())]
    NoKey { path: PathBuf },
    #[error(
        "private key {} does not belong to the certificate in {}\nhint: replace both files together",
        key.display(), certificate.display()
    )]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("certificate {} with key {} cannot be used: {error}", certificate.display(), key.display())]
    Unusable { certificate: PathBuf, key: PathBuf, error: rustls::Error },
    #[error("{} cannot be used as CA: {error}\nhint: name a PEM file with the CA's own certificate", path.display())]
    BadCa { path: PathBuf, error: String },
    #[error(
        "no root certificates found on this machine{}\nhint: install `ca-certificates`, or name `tls_ca_file`",
        told(errors)
    )]
    NoRoots { errors: Vec<String> },
    #[error(
        "{name:?} is neither a host name nor an ip address\nhint: set `tls_server_name` to the name in the certificate"
    )]
    BadName { name: String },
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

fn told(errors: &[String]) -> String {
    errors.first().map(|first| format!(": {first}")).unwrap_or_default()
}
