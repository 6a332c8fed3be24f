//! Keys that sinks have in common which dial a server: certificates, and the way through a proxy.

use std::path::PathBuf;

use reqwest::Url;

use super::{Named, security};
use crate::config::reader::Section;
use crate::config::values::Wrong;
use crate::config::{Credentials, CredentialsOf};
use crate::forward::{CertificateFiles, HttpConfig, TlsFiles, Via};
use crate::ingest::tls::{ClientConfig, KeyPair};

/// What a sink says HTTP with; `url` is the server's.
pub(super) fn http(s: &mut Section<'_, '_>, sink: &str, url: &str, named: &mut Named) -> HttpConfig {
    let is_tls = url.starts_with("https:");
    HttpConfig { tls: tls(s, sink, is_tls.then_some("url"), named), via: via(s) }
}

/// `tls_ca_file`, `tls_cert_file` and `tls_key_file`; `asked_by`: the key that asks for TLS.
pub(super) fn tls(s: &mut Section<'_, '_>, sink: &str, asked_by: Option<&'static str>, named: &mut Named) -> TlsFiles {
    let ca_file = Some(s.value("tls_ca_file", PathBuf::new())).filter(|path| !path.as_os_str().is_empty());
    let pair = security::pair(s);
    if let Some(key) = asked_by
        && (ca_file.is_some() || pair.is_some())
    {
        let tls = ClientConfig { ca_file: ca_file.clone(), certificate: pair.clone(), ..ClientConfig::default() };
        let of = CredentialsOf::Sink { name: sink.to_owned(), tls };
        named.credentials.push(Credentials { place: s.place(key), of });
    }
    let certificate = pair.map(|KeyPair { cert_file, key_file }| CertificateFiles { cert_file, key_file });
    let files = TlsFiles { ca_file, certificate };
    if asked_by.is_none() && !files.is_empty() {
        let hint = "write \"https://…\" or, for Kafka, `tls = true`; or take the certificates out";
        s.fault(None, "keys of TLS are set, but the connection is a plain one", hint);
    }
    files
}

fn via(s: &mut Section<'_, '_>) -> Via {
    let text = s.checked("proxy", String::new(), |text: &String| parse(text).map(drop));
    parse(&text).unwrap_or_default()
}

fn parse(text: &str) -> Result<Via, Wrong> {
    const FORM: &str = "write \"http://host:port\", \"none\", or \"\" to follow HTTPS_PROXY, HTTP_PROXY and NO_PROXY";
    match text {
        "" => return Ok(Via::Environment),
        "none" => return Ok(Via::Direct),
        _ => {}
    }
    let url = Url::parse(text).map_err(|why| Wrong::new(format!("is no address: {why}"), FORM))?;
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "put the whole address into the variable HTTPS_PROXY or HTTP_PROXY, and leave `proxy` out";
        return Err(Wrong::new("holds credentials", hint));
    }
    match url.scheme() {
        "http" | "https" if url.path() == "/" && url.query().is_none() => Ok(Via::Proxy(url)),
        "http" | "https" => Err(Wrong::new("has more than a host and a port", FORM)),
        other => Err(Wrong::new(format!("has the scheme {other:?}, not http or https"), FORM)),
    }
}
