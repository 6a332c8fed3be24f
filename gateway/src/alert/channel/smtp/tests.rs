//! Mail against a small server that speaks the protocol.

use std::sync::{Arc, Mutex};

use firmware_protocol::derived::IncidentState;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, rustls};

use super::*;
use crate::alert::outbox::Kind;
use crate::alert::settings::{Config, Target};
use crate::alert::testing::{config, incident, letter as of, sender};
use crate::secret::Secret;

/// What the server does with the message itself.
#[derive(Clone, Copy)]
enum End {
    Takes,
    Answers(&'static str),
    /// It reads all and closes.
    Hangs,
}

/// What the server was told: commands, then lines of the message.
type Heard = Arc<Mutex<Vec<String>>>;

struct Server {
    port: u16,
    heard: Heard,
}

async fn server(end: End, tls: Option<(Arc<rustls::ServerConfig>, MailTls)>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Heard::default());
    let told = heard.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp, end, tls.clone(), told.clone()));
        }
    });
    Server { port, heard }
}

async fn serve(mut tcp: TcpStream, end: End, tls: Option<(Arc<rustls::ServerConfig>, MailTls)>, heard: Heard) {
    match tls {
        None => talk(tcp, end, &heard, true).await,
        Some((config, MailTls::Implicit)) => {
            let Ok(stream) = TlsAcceptor::from(config).accept(tcp).await else { return };
            talk(stream, end, &heard, true).await;
        }
        Some((config, MailTls::Starttls | MailTls::None)) => {
            tcp.write_all(b"220 fake\r\n").await.unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(tcp);
            for answer in ["250-fake\r\n250 STARTTLS\r\n", "220 go\r\n"] {
                line.clear();
                reader.read_line(&mut line).await.unwrap();
                heard.lock().unwrap().push(line.trim_end().to_owned());
                reader.write_all(answer.as_bytes()).await.unwrap();
            }
            let Ok(stream) = TlsAcceptor::from(config).accept(reader.into_inner()).await else { return };
            talk(stream, end, &heard, false).await;
        }
    }
}

async fn talk<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: S, end: End, heard: &Heard, greets: bool) {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.write_all(b"220 fake\r\n").await.unwrap();
    }
    let (mut line, mut in_data) = (String::new(), false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let text = line.trim_end().to_owned();
        heard.lock().unwrap().push(text.clone());
        let answer = match text.split(' ').next().unwrap_or_default() {
            "." if in_data => match end {
                End::Hangs => return,
                End::Takes => "250 2.0.0 queued as 42\r\n",
                End::Answers(answer) => answer,
            },
            _ if in_data => continue,
            "EHLO" => "250-fake\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n",
            "AUTH" if text.ends_with("AGNhcm9sAGh1bnRlcjI=") => "235 welcome\r\n",
            "AUTH" => "535 5.7.8 no\r\n",
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        in_data = answer.starts_with("354");
        if stream.write_all(answer.as_bytes()).await.is_err() || answer.starts_with("221") {
            return;
        }
    }
}

fn mail(port: u16) -> Mail {
    Mail {
        host: "127.0.0.1".into(),
        port,
        tls: MailTls::None,
        ca_file: None,
        login: Some(("carol".into(), Secret::new("hunter2"))),
        from: "Gateway <gateway@example.com>".into(),
        to: vec!["ops@example.com".into(), "carol@example.com".into()],
    }
}

fn message(config: &Config) -> Message {
    let letter = of(vec![(Kind::Resolved, incident(7, 1, IncidentState::Closed))]);
    Message {
        svg: Some("<svg xmlns=\"http://www.w3.org/2000/svg\"/>".into()),
        ..Message::of(letter, config, &sender())
    }
}

async fn send(mail: Mail) -> Outcome {
    let config = config("mail", Target::Smtp(mail.clone()));
    SmtpChannel::new(&mail, Duration::from_secs(20)).send(&message(&config)).await
}

#[tokio::test]
async fn a_mail_has_a_stable_id_answers_the_first_one_and_brings_the_plot() {
    let server = server(End::Takes, None).await;
    assert_eq!(send(mail(server.port)).await, Outcome::Sent(Said("250 2.0.0 queued as 42".into())));
    let heard = server.heard.lock().unwrap().join("\n");
    for expected in [
        "MAIL FROM:<gateway@example.com>",
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<carol@example.com>",
        "Subject: [resolved] pump-7: an unusual level in current",
        "Message-ID: <edge-1.mail.0000000000000007-resolved@alerts.gateway.invalid>",
        "In-Reply-To: <edge-1.mail.0000000000000007-opened@alerts.gateway.invalid>",
        "Auto-Submitted: auto-generated",
        "It lasted 10 min",
        "filename=\"incident.svg\"",
        "image/svg+xml",
    ] {
        assert!(heard.contains(expected), "no {expected} in\n{heard}");
    }
}

#[tokio::test]
async fn what_the_server_says_decides_what_becomes_of_the_mail() {
    let refused = send(mail(server(End::Answers("554 5.6.0 no such content\r\n"), None).await.port)).await;
    assert!(matches!(&refused, Outcome::Refused { reason } if reason.contains("no such content")), "{refused:?}");
    let later = send(mail(server(End::Answers("451 4.7.1 greylisted\r\n"), None).await.port)).await;
    assert!(matches!(&later, Outcome::NotSent { reason, .. } if reason.contains("greylisted")), "{later:?}");
    let hung = send(mail(server(End::Hangs, None).await.port)).await;
    assert!(matches!(hung, Outcome::Unknown { .. }), "{hung:?}");
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let away = send(mail(port)).await;
    assert!(matches!(away, Outcome::NotSent { .. }), "{away:?}");
}

#[tokio::test]
async fn a_wrong_password_is_a_setting_to_mend_and_is_not_told() {
    let server = server(End::Takes, None).await;
    let login = Some(("carol".into(), Secret::new("swordfish")));
    let outcome = send(Mail { login, ..mail(server.port) }).await;
    let Outcome::Misconfigured { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("login of carol") && !reason.contains("swordfish"), "{reason}");
}

#[tokio::test]
async fn tls_is_asked_for_or_there_from_the_beginning_and_its_ca_counts() {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    fs::write(&ca_file, signed.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    for tls in [MailTls::Implicit, MailTls::Starttls] {
        let server = server(End::Takes, Some((config.clone(), tls))).await;
        let mail = Mail { host: "localhost".into(), tls, ..mail(server.port) };
        let known = send(Mail { ca_file: Some(ca_file.clone()), ..mail.clone() }).await;
        assert!(matches!(known, Outcome::Sent(_)), "{tls:?}: {known:?}");
        let unknown = send(mail).await;
        assert!(matches!(unknown, Outcome::NotSent { .. }), "{tls:?}: {unknown:?}");
    }
    let plain = server(End::Takes, None).await;
    let outcome = send(Mail { tls: MailTls::Starttls, ..mail(plain.port) }).await;
    assert!(matches!(&outcome, Outcome::Misconfigured { reason } if reason.contains("STARTTLS")), "{outcome:?}");
    assert!(!plain.heard.lock().unwrap().iter().any(|line| line.starts_with("AUTH")), "no password in the clear");
}
