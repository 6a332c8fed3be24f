//! Certificates, keys and CAs from PEM files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore};

use super::{Error, provider};

/// Bundles of a whole system's CAs are 200 to 300 KB.
const FILE_MAX_BYTES: u64 = 2 << 20;

/// A certificate with its chain, and the key that belongs to it.
///
/// # Errors
/// A file cannot be read, or the two are no pair.
pub(super) fn pair(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
    let chain = certificates(certificate)?;
    let secret = match PrivateKeyDer::from_pem_slice(&read(key)?) {
        Ok(secret) => secret,
        Err(pem::Error::NoItemsFound) => return Err(Error::NoKey { path: key.to_owned() }),
        Err(error) => return Err(not_pem(key, &error)),
    };
    match CertifiedKey::from_der(chain, secret, &provider()) {
        Ok(pair) => Ok(Arc::new(pair)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(Error::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() })
        }
        Err(error) => Err(Error::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), error }),
    }
}

/// The CAs that a file names.
///
/// # Errors
/// The file cannot be read, or holds something that is no CA.
pub(super) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| Error::BadCa { path: path.to_owned(), error: error.to_string() })?;
    }
    Ok(Arc::new(roots))
}

/// The CAs that this machine trusts. What it has of unreadable ones does not matter as long as there are others.
///
/// # Errors
/// There is none.
pub(super) fn system_authorities() -> Result<Arc<RootCertStore>, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unusable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(Error::NoRoots { errors: found.errors.iter().map(ToString::to_string).collect() });
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| not_pem(path, &error))?;
    if found.is_empty() { Err(Error::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::Unreadable { path: path.to_owned(), error };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_MAX_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), bytes, limit: FILE_MAX_BYTES });
    }
    fs::read(path).map_err(unreadable)
}

/// The decoder's own words may repeat lines of a key.
fn not_pem(path: &Path, error: &pem::Error) -> Error {
    let error = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section has a broken first line",
        pem::Error::Base64Decode(_) => "a section is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        pem::Error::NoItemsFound => "there is no section of the kind wanted",
        pem::Error::Io(_) => "it cannot be read",
        // The library may add more.
        _ => "a section is broken",
    };
    Error::NotPem { path: path.to_owned(), error: error.to_owned() }
}
