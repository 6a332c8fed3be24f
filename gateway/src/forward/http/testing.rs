//! Servers on loopback for the tests of sinks that speak HTTP.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// What the server says next.
#[derive(Clone, Copy, Debug)]
pub(in crate::forward) struct Answer {
    pub(in crate::forward) status: u16,
    pub(in crate::forward) text: &'static str,
    pub(in crate::forward) header: Option<(&'static str, &'static str)>,
}

/// A status that is never answered.
pub(in crate::forward) const SILENCE: u16 = 0;

pub(in crate::forward) fn says(status: u16, text: &'static str) -> Answer {
    Answer { status, text, header: None }
}

/// A server that answers as the script says, then 204, and notes what it was sent.
#[derive(Clone, Default)]
pub(in crate::forward) struct Server {
    script: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Clone, Debug)]
pub(in crate::forward) struct Seen {
    pub(in crate::forward) method: String,
    pub(in crate::forward) uri: String,
    pub(in crate::forward) headers: HeaderMap,
    pub(in crate::forward) body: Bytes,
}

impl Server {
    /// Returns its address, too.
    pub(in crate::forward) async fn start(script: &[Answer]) -> (Self, String) {
        let server = Self { script: Arc::new(Mutex::new(script.iter().copied().collect())), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let handler = server.clone();
        let app = Router::new().fallback(move |request: Request| handler.clone().answer(request));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (server, url)
    }

    async fn answer(self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let (method, uri) = (head.method.to_string(), head.uri.to_string());
        self.seen.lock().unwrap().push(Seen { method, uri, headers: head.headers, body });
        let Answer { status, text, header } = self.script.lock().unwrap().pop_front().unwrap_or(says(204, ""));
        if status == SILENCE {
            std::future::pending::<()>().await;
        }
        let mut response = (StatusCode::from_u16(status).unwrap(), text).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }

    pub(in crate::forward) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An authority that no client knows, and a server with a certificate of it, which answers 204 to any request.
pub(in crate::forward) struct TlsServer {
    pub(in crate::forward) ca_file: PathBuf,
    /// Of a client, signed by the same authority.
    pub(in crate::forward) cert_file: PathBuf,
    pub(in crate::forward) key_file: PathBuf,
    pub(in crate::forward) url: String,
}

impl TlsServer {
    /// `asks`: clients must have a certificate.
    pub(in crate::forward) async fn start(dir: &Path, asks: bool) -> Self {
        let names = || CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        let mut params = names();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let signed = || {
            let key = KeyPair::generate().unwrap();
            (names().signed_by(&key, &issuer).unwrap(), key)
        };
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (client, client_key) = signed();
        let ca_file = write("ca.pem", ca.pem());
        let cert_file = write("client.pem", client.pem());
        let key_file = write("client.key", client_key.serialize_pem());

        let (own, own_key) = signed();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config(ca.der(), own.der(), &own_key, asks)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = [0; 4_096];
                    while let Ok(1..) = stream.read(&mut request).await {
                        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                        if stream.write_all(answer).await.is_err() || stream.shutdown().await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { ca_file, cert_file, key_file, url }
    }
}

fn config(ca: &CertificateDer<'static>, own: &CertificateDer<'static>, key: &KeyPair, asks: bool) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    builder.with_single_cert(vec![own.clone()], key).unwrap()
}
