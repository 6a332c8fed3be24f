//! Both sides against each other, over loopback, with certificates made on the spot.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion, RootCertStore};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};

use super::testing::{Authority, Issued, Leaf};
use super::*;
use crate::metrics::{DoorLabel, DoorOutcome, Security};

const HOST: &str = "gateway.example";
const NAMED: Leaf<'_> = Leaf { common_name: "", names: &[HOST], uri: "", valid_s: (0, 4_102_444_800) };

/// A place for files, with one CA.
struct Place {
    dir: TempDir,
    authority: Authority,
    metrics: Security,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let authority = Authority::new();
        fs::write(dir.path().join("ca.pem"), authority.own().pem).expect("writable");
        Self { dir, authority, metrics: Security::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, issued: &Issued) -> KeyPair {
        let (cert_file, key_file) = issued.write(self.dir.path(), name);
        KeyPair { cert_file, key_file }
    }

    fn server(&self, leaf: Leaf<'_>, client_auth: ClientAuth) -> Server {
        let KeyPair { cert_file, key_file } = self.write("server", &self.authority.issue(leaf));
        Server::new(ServerConfig { cert_file, key_file, client_auth }, "listen", self.metrics.clone()).expect("valid")
    }

    fn client(&self) -> ClientConfig {
        ClientConfig { ca_file: Some(self.path("ca.pem")), ..ClientConfig::default() }
    }

    fn client_as(&self, issued: &Issued) -> ClientConfig {
        ClientConfig { certificate: Some(self.write("client", issued)), ..self.client() }
    }

    fn asks(&self, asked: fn(PathBuf) -> ClientAuth) -> ClientAuth {
        asked(self.path("ca.pem"))
    }

    fn reloads(&self, outcome: &'static str) -> u64 {
        self.metrics.tls_reloads.get_or_create(&DoorOutcome { door: "listen", outcome }).get()
    }
}

fn required(ca_file: PathBuf) -> ClientAuth {
    ClientAuth::Required { ca_file }
}

fn optional(ca_file: PathBuf) -> ClientAuth {
    ClientAuth::Optional { ca_file }
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.expect("connected"), accepted.expect("accepted").0)
}

type Sides = (io::Result<client::TlsStream<TcpStream>>, io::Result<server::TlsStream<TcpStream>>);

async fn meet(config: &ClientConfig, server: &Server) -> Sides {
    let (dialled, accepted) = tcp().await;
    let client = Client::new(config.clone());
    let dial = async {
        let mut stream = client.connect(HOST, dialled).await?;
        // What a server has against a certificate comes after the handshake in TLS 1.3.
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        let mut pong = [0; 4];
        stream.read_exact(&mut pong).await.map_err(explained)?;
        Ok(stream)
    };
    let accept = async {
        let mut stream = server.accept(accepted).await?;
        let mut ping = [0; 4];
        stream.read_exact(&mut ping).await?;
        stream.write_all(b"pong").await?;
        stream.flush().await?;
        Ok(stream)
    };
    tokio::join!(dial, accept)
}

async fn talk(client: &mut client::TlsStream<TcpStream>, server: &mut server::TlsStream<TcpStream>) {
    client.write_all(b"more").await.expect("stands");
    client.flush().await.expect("stands");
    let mut heard = [0; 4];
    server.read_exact(&mut heard).await.expect("stands");
    assert_eq!(&heard, b"more");
}

fn fault<T>(result: io::Result<T>) -> Fault {
    let error = result.map(drop).expect_err("a fault");
    Fault::of(&error).unwrap_or_else(|| panic!("{error}"))
}

fn shown_by(stream: &client::TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().expect("shown")[0].to_vec()
}

#[tokio::test]
async fn a_client_comes_in_and_is_known_by_its_certificate() {
    let place = Place::new();
    let server = place.server(NAMED, place.asks(required));
    let issued = place.authority.issue(Leaf { common_name: "pump-7", ..NAMED });
    let (client, accepted) = meet(&place.client_as(&issued), &server).await;
    client.expect("comes in");
    assert_eq!(peer_identity(&accepted.expect("comes in")).as_deref(), Some("pump-7"));
}

#[tokio::test]
async fn a_certificate_that_is_optional_may_be_left_out_but_not_be_wrong() {
    let place = Place::new();
    let server = place.server(NAMED, place.asks(optional));
    let (client, accepted) = meet(&place.client(), &server).await;
    client.expect("comes in");
    assert_eq!(peer_identity(&accepted.expect("comes in")), None);
    let (client, accepted) = meet(&place.client_as(&Authority::new().issue(NAMED)), &server).await;
    assert_eq!(fault(accepted), Fault::UnknownIssuer);
    assert_eq!(fault(client), Fault::Refused("it does not know the CA"));
}

#[tokio::test]
async fn both_versions_are_spoken_and_no_older_one() {
    let place = Place::new();
    let server = place.server(NAMED, ClientAuth::None);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let connector = TlsConnector::from(Arc::new(plain_client(&place, version)));
        let (dialled, accepted) = tcp().await;
        let name = ServerName::try_from(HOST).expect("a name");
        let (client, accepted) = tokio::join!(connector.connect(name, dialled), server.accept(accepted));
        client.expect("comes in");
        let spoken: ProtocolVersion = accepted.expect("comes in").get_ref().1.protocol_version().expect("agreed");
        assert_eq!(spoken, version.version);
    }
}

fn plain_client(place: &Place, version: &'static SupportedProtocolVersion) -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(place.authority.own().der.into()).expect("a CA");
    let builder = rustls::ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[version]).expect("supported");
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[tokio::test]
async fn certificates_are_renewed_while_a_connection_stands() {
    let place = Place::new();
    let server = place.server(Leaf { valid_s: (0, now_s() + 100), ..NAMED }, ClientAuth::None);
    let expires = || place.metrics.certificate_expires.get_or_create(&DoorLabel { door: "listen" }).get();
    let first_until = expires();
    let (client, accepted) = meet(&place.client(), &server).await;
    let (mut client, mut accepted) = (client.expect("comes in"), accepted.expect("comes in"));

    let renewed = place.authority.issue(NAMED);
    place.write("server", &renewed);
    server.refresh();
    assert_eq!(place.reloads("renewed"), 0, "the files may still be written");
    server.refresh();
    assert_eq!((place.reloads("renewed"), expires()), (1, 4_102_444_800));
    assert!(first_until < expires());

    talk(&mut client, &mut accepted).await;
    assert_ne!(shown_by(&client), renewed.der);
    let (newcomer, _accepted) = meet(&place.client(), &server).await;
    assert_eq!(shown_by(&newcomer.expect("comes in")), renewed.der);
}

#[tokio::test]
async fn a_broken_new_pair_keeps_the_old_one_in_force() {
    let place = Place::new();
    let server = place.server(NAMED, ClientAuth::None);
    let in_force = fs::read(place.path("server.pem")).expect("readable");
    for broken in [place.authority.issue(NAMED).pem, "no certificate".to_owned()] {
        fs::write(place.path("server.pem"), broken).expect("writable");
        server.refresh();
        server.refresh();
        meet(&place.client(), &server).await.0.expect("comes in");
    }
    fs::remove_file(place.path("server.pem")).expect("there");
    server.refresh();
    server.refresh();
    meet(&place.client(), &server).await.0.expect("comes in");
    assert_eq!((place.reloads("refused"), place.reloads("renewed")), (3, 0));

    fs::write(place.path("server.pem"), in_force).expect("writable");
    server.refresh();
    server.refresh();
    assert_eq!((place.reloads("refused"), place.reloads("renewed")), (3, 1));
}

#[tokio::test]
async fn another_ca_lets_in_its_clients_and_those_of_the_former_no_more() {
    let place = Place::new();
    fs::copy(place.path("ca.pem"), place.path("clients.pem")).expect("writable");
    let server = place.server(NAMED, required(place.path("clients.pem")));
    let former = place.client_as(&place.authority.issue(NAMED));
    meet(&former, &server).await.0.expect("comes in");
    let other = Authority::new();
    fs::write(place.path("clients.pem"), other.own().pem).expect("writable");
    server.refresh();
    server.refresh();
    assert_eq!(fault(meet(&former, &server).await.1), Fault::UnknownIssuer);
    meet(&place.client_as(&other.issue(NAMED)), &server).await.0.expect("comes in");
}

#[tokio::test]
async fn a_session_goes_on_with_a_ticket_until_certificates_are_renewed() {
    let place = Place::new();
    let server = place.server(NAMED, ClientAuth::None);
    let connector = TlsConnector::from(Arc::new(plain_client(&place, &rustls::version::TLS13)));
    let handshake = async || {
        let (dialled, accepted) = tcp().await;
        let name = ServerName::try_from(HOST).expect("a name");
        let (client, accepted) = tokio::join!(connector.connect(name, dialled), server.accept(accepted));
        let (mut client, mut accepted) = (client.expect("comes in"), accepted.expect("comes in"));
        // The ticket comes with the first bytes.
        accepted.write_all(b"more").await.expect("stands");
        accepted.flush().await.expect("stands");
        client.read_exact(&mut [0; 4]).await.expect("stands");
        accepted.get_ref().1.handshake_kind().expect("over")
    };
    assert_eq!(handshake().await, HandshakeKind::Full);
    assert_eq!(handshake().await, HandshakeKind::Resumed);
    place.write("server", &place.authority.issue(NAMED));
    server.refresh();
    server.refresh();
    assert_eq!(handshake().await, HandshakeKind::Full);
}

#[tokio::test]
async fn what_is_wrong_with_a_servers_certificate_is_told() {
    let place = Place::new();
    let of = async |leaf: Leaf<'static>| fault(meet(&place.client(), &place.server(leaf, ClientAuth::None)).await.0);
    let now = now_s();
    let not_yet = of(Leaf { valid_s: (now + 90_000, now + 99_000), ..NAMED }).await;
    let Fault::NotYetValid { from_s, now_s } = not_yet else { panic!("{not_yet}") };
    assert!(from_s as i64 == now + 90_000 && now_s as i64 >= now);
    let text = Fault::NotYetValid { from_s: 1_795_262_400, now_s: 305 }.to_string();
    assert!(
        text.contains("before 2026-11-21T12:00:00Z, and this machine's clock shows 1970-01-01T00:05:05Z; set"),
        "{text}"
    );

    let expired = of(Leaf { valid_s: (1_000, 2_000), ..NAMED }).await;
    assert!(matches!(expired, Fault::Expired { until_s: 2_000, .. }), "{expired}");
    assert!(expired.to_string().contains("expired at 1970-01-01T00:33:20Z") && expired.to_string().contains("renew"));

    let wrong = of(Leaf { names: &["other.example"], ..NAMED }).await;
    let text = wrong.to_string();
    assert!(text.contains("not for \"gateway.example\" but for") && text.contains("other.example"), "{text}");
    let nameless = of(Leaf { common_name: HOST, names: &[], ..NAMED }).await.to_string();
    assert!(nameless.contains("no host at all") && nameless.contains("tls_server_name"), "{nameless}");

    let server = place.server(NAMED, ClientAuth::None);
    place.write("server", &place.authority.own());
    server.refresh();
    server.refresh();
    assert_eq!(fault(meet(&place.client(), &server).await.0), Fault::IsAuthority);

    let stranger = ClientConfig { ca_file: Some(place.path("server.pem")), ..ClientConfig::default() };
    let server = place.server(NAMED, ClientAuth::None);
    place.write("server", &Authority::new().issue(NAMED));
    assert_eq!(fault(meet(&stranger, &server).await.0), Fault::UnknownIssuer);
}

#[tokio::test]
async fn the_name_asked_for_may_be_another_than_the_host() {
    let place = Place::new();
    let server = place.server(Leaf { names: &["other.example", "127.0.0.1"], ..NAMED }, ClientAuth::None);
    for name in ["other.example", "127.0.0.1"] {
        let config = ClientConfig { server_name: Some(name.to_owned()), ..place.client() };
        meet(&config, &server).await.0.expect(name);
    }
    let config = ClientConfig { server_name: Some("not a name".to_owned()), ..place.client() };
    assert!(config.check().expect_err("no name").to_string().contains("tls_server_name"));
}

#[tokio::test]
async fn a_client_without_a_certificate_and_one_without_tls_are_told_apart() {
    let place = Place::new();
    let server = place.server(NAMED, place.asks(required));
    let (client, accepted) = meet(&place.client(), &server).await;
    assert_eq!(fault(accepted), Fault::NoCertificate);
    assert_eq!(fault(client), Fault::Refused("it wants one, and there was none"));

    let (mut dialled, accepted) = tcp().await;
    dialled.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00").await.expect("written");
    let accepted = server.accept(accepted).await;
    assert_eq!(fault(accepted), Fault::NotTls);
}

#[tokio::test]
async fn protocols_asked_for_are_offered() {
    let place = Place::new();
    let config = ClientConfig { alpn: vec!["x-amzn-mqtt-ca".into()], ..place.client() };
    let (dialled, accepted) = tcp().await;
    let client = Client::new(config);
    let hello = async {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), accepted).await.expect("a hello");
        let hello = start.client_hello();
        assert_eq!(hello.server_name(), Some(HOST));
        hello.alpn().expect("offered").map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let (client, offered) = tokio::join!(client.connect(HOST, dialled), hello);
    assert_eq!(offered, [b"x-amzn-mqtt-ca".to_vec()]);
    assert!(client.is_err(), "the server has gone");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let place = Place::new();
    let KeyPair { cert_file, key_file } = place.write("one", &place.authority.issue(NAMED));
    let other = place.write("other", &place.authority.issue(NAMED));
    fs::write(place.path("text"), "no PEM").expect("writable");
    fs::write(place.path("half"), "-----BEGIN CERTIFICATE-----\nAAAA\n").expect("writable");
    let told = |cert_file: &PathBuf, key_file: &PathBuf, client_auth: ClientAuth| {
        let config = ServerConfig { cert_file: cert_file.clone(), key_file: key_file.clone(), client_auth };
        config.check().expect_err("a fault").to_string()
    };
    for (text, parts) in [
        (told(&cert_file, &other.key_file, ClientAuth::None), ["other.key does not belong to", "one.pem"]),
        (told(&place.path("none"), &key_file, ClientAuth::None), ["none cannot be read", "hint"]),
        (told(&place.path("text"), &key_file, ClientAuth::None), ["text holds no certificate", "hint"]),
        (told(&place.path("half"), &key_file, ClientAuth::None), ["half is not PEM: a section has no end", "hint"]),
        (told(&cert_file, &cert_file, ClientAuth::None), ["one.pem holds no private key", "hint"]),
        (told(&cert_file, &key_file, required(place.path("text"))), ["text holds no certificate", "hint"]),
    ] {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[tokio::test]
async fn a_dialler_reads_its_files_for_each_connection() {
    let place = Place::new();
    let server = place.server(NAMED, place.asks(required));
    let config = place.client_as(&place.authority.issue(Leaf { common_name: "one", ..NAMED }));
    let who = async || peer_identity(&meet(&config, &server).await.1.expect("comes in"));
    assert_eq!(who().await.as_deref(), Some("one"));
    place.write("client", &place.authority.issue(Leaf { common_name: "two", ..NAMED }));
    assert_eq!(who().await.as_deref(), Some("two"));
}

#[tokio::test]
async fn a_dialler_without_its_files_tells_which_in_one_line() {
    let place = Place::new();
    let config = ClientConfig { ca_file: Some(place.path("nowhere.pem")), ..ClientConfig::default() };
    let (dialled, _accepted) = tcp().await;
    let told = Client::new(config).connect(HOST, dialled).await.map(drop).expect_err("no CA").to_string();
    assert!(told.contains("nowhere.pem cannot be read") && told.contains("; the file must"), "{told}");
    assert!(!told.contains('\n'), "{told}");
}

#[tokio::test]
async fn no_key_is_shown() {
    let place = Place::new();
    let issued = place.authority.issue(NAMED);
    let config = place.client_as(&issued);
    let server = place.server(NAMED, place.asks(required));
    let key = fs::read_to_string(place.path("server.key")).expect("readable");
    let shown = format!("{server:?} {config:?} {:?}", Client::new(config.clone()));
    for pem in [&key, &issued.key_pem] {
        let line = pem.lines().nth(1).expect("base64");
        assert!(!shown.contains(line), "{shown}");
        let der =
            <rustls::pki_types::PrivateKeyDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(pem.as_bytes());
        let der = der.expect("a key");
        let bytes = format!("{:?}", &der.secret_der()[40..48]);
        assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
}
