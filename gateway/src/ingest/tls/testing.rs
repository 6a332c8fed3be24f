//! Certificates for tests, made on the spot.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType};

/// What a certificate says.
#[derive(Clone, Copy)]
pub(in crate::ingest) struct Leaf<'a> {
    pub(in crate::ingest) common_name: &'a str,
    pub(in crate::ingest) names: &'a [&'a str],
    pub(in crate::ingest) uri: &'a str,
    /// From, until; seconds since 1970.
    pub(in crate::ingest) valid_s: (i64, i64),
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        // Until 2100.
        Self { common_name: "", names: &[], uri: "", valid_s: (0, 4_102_444_800) }
    }
}

pub(in crate::ingest) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(in crate::ingest) struct Issued {
    pub(in crate::ingest) der: Vec<u8>,
    pub(in crate::ingest) pem: String,
    pub(in crate::ingest) key_pem: String,
}

impl Authority {
    pub(in crate::ingest) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test CA {}", MADE.fetch_add(1, Ordering::Relaxed));
        let mut params = params(Leaf { common_name: &name, ..Leaf::default() });
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA"))
    }

    /// Its own certificate, as if it were a host's.
    pub(in crate::ingest) fn own(&self) -> Issued {
        Issued { der: self.0.der().to_vec(), pem: self.0.pem(), key_pem: self.0.key().serialize_pem() }
    }

    pub(in crate::ingest) fn issue(&self, leaf: Leaf<'_>) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(leaf).signed_by(&key, &self.0).expect("a certificate");
        Issued { der: certificate.der().to_vec(), pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key`.
    pub(in crate::ingest) fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.pem).expect("writable");
        std::fs::write(&key, &self.key_pem).expect("writable");
        (certificate, key)
    }
}

fn params(leaf: Leaf<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !leaf.common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, leaf.common_name);
    }
    let names = leaf.names.iter().map(|name| match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(Ia5String::try_from(*name).expect("ascii")),
    });
    let uri = (!leaf.uri.is_empty()).then(|| SanType::URI(Ia5String::try_from(leaf.uri).expect("ascii")));
    params.subject_alt_names = names.chain(uri).collect();
    let at = |seconds: i64| {
        let (zero, by) = (rcgen::date_time_ymd(1970, 1, 1), Duration::from_secs(seconds.unsigned_abs()));
        if seconds < 0 { zero - by } else { zero + by }
    };
    (params.not_before, params.not_after) = (at(leaf.valid_s.0), at(leaf.valid_s.1));
    params
}
