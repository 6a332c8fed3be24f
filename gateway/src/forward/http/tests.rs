use std::path::PathBuf;

use super::testing::{Server, TlsServer, says};
use super::*;
use crate::forward::tls::CertificateFiles;

const TIMEOUT: Duration = Duration::from_secs(20);

async fn get(config: &HttpConfig, url: &str) -> Result<u16, SinkError> {
    let client = builder(config, TIMEOUT).unwrap().build().unwrap();
    client.get(url).send().await.map(|response| response.status().as_u16()).map_err(transport_error)
}

#[tokio::test]
async fn a_server_of_a_private_authority_is_known_by_its_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = TlsServer::start(dir.path(), false).await;
    let tls = TlsFiles { ca_file: Some(server.ca_file.clone()), certificate: None };
    let config = HttpConfig { tls, via: Via::Direct };
    assert_eq!(get(&config, &server.url).await.unwrap(), 204);
    let outcome = get(&HttpConfig { via: Via::Direct, ..HttpConfig::default() }, &server.url).await;
    let Err(SinkError::Retry { reason, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("certificate"), "the reason names the cause: {reason}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = TlsServer::start(dir.path(), true).await;
    let certificate = CertificateFiles { cert_file: server.cert_file.clone(), key_file: server.key_file.clone() };
    let with = |certificate| {
        let tls = TlsFiles { ca_file: Some(server.ca_file.clone()), certificate };
        HttpConfig { tls, via: Via::Direct }
    };
    assert_eq!(get(&with(Some(certificate)), &server.url).await.unwrap(), 204);
    assert!(matches!(get(&with(None), &server.url).await, Err(SinkError::Retry { .. })));
}

#[tokio::test]
async fn a_proxy_gets_the_request_for_a_server_that_it_alone_can_reach() {
    let (proxy, url) = Server::start(&[says(200, "")]).await;
    let via = Via::Proxy(Url::parse(&url).unwrap());
    let config = HttpConfig { via, ..HttpConfig::default() };
    assert_eq!(get(&config, "http://influx.invalid/api/v2/write").await.unwrap(), 200);
    assert_eq!(proxy.seen()[0].uri, "http://influx.invalid/api/v2/write");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let fault = |path: &PathBuf| {
        let tls = TlsFiles { ca_file: Some(path.clone()), certificate: None };
        builder(&HttpConfig { tls, via: Via::Direct }, TIMEOUT).unwrap_err().to_string()
    };
    assert!(fault(&path).contains("ca.pem cannot be read"), "{}", fault(&path));
    std::fs::write(&path, "no certificate").unwrap();
    assert!(fault(&path).contains("holds no certificate"), "{}", fault(&path));
    let certificate = Some(CertificateFiles { cert_file: path.clone(), key_file: path });
    let config = HttpConfig { tls: TlsFiles { ca_file: None, certificate }, via: Via::Direct };
    assert!(builder(&config, TIMEOUT).unwrap_err().to_string().contains("tls_cert_file"));
}

#[test]
fn a_long_answer_is_quoted_in_part() {
    let text = format!("{}é{}", "x".repeat(QUOTE_MAX_BYTES - 1), "y".repeat(1_000));
    assert_eq!(quote(&text), "x".repeat(QUOTE_MAX_BYTES - 1));
}
