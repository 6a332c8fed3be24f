//! Files by which a server is known to a sink, and the sink to the server.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Largest PEM file, bytes: a bundle of all well-known authorities takes 250 KB.
const PEM_MAX_BYTES: u64 = 1 << 20;
const CERTIFICATE_BEGINS: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// PEM files, read when a connection is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust besides the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate, for servers that ask for one.
    pub certificate: Option<CertificateFiles>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

impl TlsFiles {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A file of this module that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    #[error("{key} {} cannot be read: {error}", path.display())]
    Unreadable { key: &'static str, path: PathBuf, error: io::Error },
    #[error("{key} {} is {bytes} bytes, the limit is {PEM_MAX_BYTES}: name a PEM file", path.display())]
    TooLarge { key: &'static str, path: PathBuf, bytes: u64 },
    #[error("{key} {} holds no certificate: name a PEM file", path.display())]
    NoCertificate { key: &'static str, path: PathBuf },
}

/// `key`: what the configuration calls it.
pub(super) fn read_certificates(key: &'static str, path: &Path) -> Result<Vec<u8>, PemError> {
    let pem = read(key, path)?;
    if !pem.windows(CERTIFICATE_BEGINS.len()).any(|bytes| bytes == CERTIFICATE_BEGINS) {
        return Err(PemError::NoCertificate { key, path: path.to_owned() });
    }
    Ok(pem)
}

pub(super) fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, PemError> {
    let unreadable = |error| PemError::Unreadable { key, path: path.to_owned(), error };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > PEM_MAX_BYTES {
        return Err(PemError::TooLarge { key, path: path.to_owned(), bytes });
    }
    fs::read(path).map_err(unreadable)
}
