//! Why a TLS connection came to nothing, in words that say what to do.

#![expect(clippy::wildcard_enum_match_arm, reason = "enums of libraries, which may add to them")]

use std::{fmt, io};

use firmware_protocol::measurement::EventTime;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, InvalidMessage};

use crate::text::utc;

/// "It" is the other side, or its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Seconds since 1970, by the certificate and by our clock.
    NotYetValid {
        from_s: u64,
        now_s: u64,
    },
    Expired {
        until_s: u64,
        now_s: u64,
    },
    UnknownIssuer,
    /// It was issued for these names.
    WrongName {
        wanted: String,
        names: Vec<String>,
    },
    /// A CA's own certificate in place of one that it issued.
    IsAuthority,
    NoCertificate,
    /// The other side does not take ours.
    Refused(&'static str),
    NotTls,
    Other(String),
}

/// The same error with words of ours, if it came from TLS.
pub fn explained(error: io::Error) -> io::Error {
    match Fault::of(&error) {
        Some(fault) => io::Error::new(error.kind(), fault),
        None => error,
    }
}

impl Fault {
    pub fn of(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref()?;
        if let Some(fault) = inner.downcast_ref::<Self>() {
            return Some(fault.clone());
        }
        inner.downcast_ref::<rustls::Error>().map(Self::of_tls)
    }

    /// For counters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotYetValid { .. } => "tls_not_yet_valid",
            Self::Expired { .. } => "tls_expired",
            Self::UnknownIssuer => "tls_unknown_issuer",
            Self::WrongName { .. } => "tls_wrong_name",
            Self::IsAuthority => "tls_is_authority",
            Self::NoCertificate => "tls_no_certificate",
            Self::Refused(_) => "tls_refused",
            Self::NotTls => "tls_not_tls",
            Self::Other(_) => "tls_other",
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            rustls::Error::AlertReceived(alert) => match refusal(*alert) {
                Some(why) => Self::Refused(why),
                None => Self::Other(error.to_string()),
            },
            _ => Self::Other(error.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        let now = || UnixTime::now().as_secs();
        match error {
            CertificateError::NotValidYet => Self::NotYetValid { from_s: 0, now_s: now() },
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { from_s: not_before.as_secs(), now_s: time.as_secs() }
            }
            CertificateError::Expired => Self::Expired { until_s: 0, now_s: now() },
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { until_s: not_after.as_secs(), now_s: time.as_secs() }
            }
            // The second one is of a CA with the same name and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::NotValidForName => Self::WrongName { wanted: String::new(), names: Vec::new() },
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::WrongName { wanted: expected.to_str().into_owned(), names: presented.clone() }
            }
            // The only way to tell it: the library wraps an error of another one.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Self::IsAuthority,
            _ => Self::Other(rustls::Error::from(error.clone()).to_string()),
        }
    }
}

/// What the other side has against our certificate.
fn refusal(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => "it finds fault with it",
        AlertDescription::UnsupportedCertificate => "it cannot use one of this kind",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::CertificateExpired => "it has expired, or its clock is wrong",
        AlertDescription::UnknownCA => "it does not know the CA",
        AlertDescription::AccessDenied => "it is not on its list",
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => "it wants one, and there was none",
        // The other alerts are about the connection.
        _ => return None,
    })
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYetValid { from_s, now_s } => write!(
                f,
                "its certificate is not valid before {}, and this machine's clock shows {}; set the clock (NTP) if that is wrong",
                time(*from_s),
                time(*now_s)
            ),
            Self::Expired { until_s, now_s } => write!(
                f,
                "its certificate expired at {}, and this machine's clock shows {}; renew the certificate, or set the clock",
                time(*until_s),
                time(*now_s)
            ),
            Self::UnknownIssuer => f.write_str(
                "its certificate was issued by an unknown CA; name the file of that CA, and let it send its intermediate certificates",
            ),
            Self::WrongName { wanted, names } => write!(
                f,
                "its certificate is not for {wanted:?} but for {}; use one of its names, or set `tls_server_name`",
                if names.is_empty() { "no host at all (it has no subjectAltName)".to_owned() } else { names.join(", ") }
            ),
            Self::IsAuthority => f.write_str(
                "its certificate is that of a CA, not of a host; issue one for the host, signed by that CA",
            ),
            Self::NoCertificate => f.write_str("it has sent no certificate, and one is required; give it one of the CA's"),
            Self::Refused(why) => write!(
                f,
                "the other side refuses our certificate: {why}; check the certificate's CA and dates, and the other side's log"
            ),
            Self::NotTls => f.write_str("it does not speak TLS; check port and scheme on both sides"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

fn time(at_s: u64) -> String {
    let at = i64::try_from(at_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    let text = utc(EventTime(at));
    format!("{}Z", text.split('.').next().unwrap_or(&text))
}
