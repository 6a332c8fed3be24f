//! Certificates for one scenario: an authority of its own, and what it has signed.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::gateway::Home;

/// An authority; its certificate lies in a file.
pub struct Authority {
    name: &'static str,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pub file: String,
}

/// Files of a certificate and of its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub file: String,
    pub key_file: String,
}

impl Authority {
    /// # Errors
    /// The file cannot be written.
    pub fn new(home: &Home, name: &'static str) -> Result<Self> {
        let mut params = named(name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let own = params.self_signed(&key)?;
        let file = home.write(&format!("{name}.pem"), &own.pem())?;
        Ok(Self { name, issuer: Issuer::new(params, key), der: own.der().clone(), file })
    }

    /// For clients that trust it alone.
    ///
    /// # Errors
    /// Its certificate cannot be used.
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// A certificate for this name, good for servers on loopback and for clients.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn sign(&self, home: &Home, name: &str) -> Result<Certificate> {
        let key = KeyPair::generate()?;
        let certificate = named(name)?.signed_by(&key, &self.issuer)?;
        let stem = format!("{}-{name}", self.name);
        Ok(Certificate {
            file: home.write(&format!("{stem}.pem"), &certificate.pem())?,
            key_file: home.write(&format!("{stem}.key"), &key.serialize_pem())?,
        })
    }
}

fn named(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
