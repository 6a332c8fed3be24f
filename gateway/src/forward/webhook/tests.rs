//! The sink against servers on loopback.

use std::io::Read;
use std::ops::Range;

use super::*;
use crate::clock::SharedClockMap;
use crate::forward::Encoder;
use crate::forward::file::FileEncoder;
use crate::forward::http::Via;
use crate::forward::http::testing::{Answer, Seen, Server, TlsServer, says};
use crate::forward::lines::Lines;
use crate::forward::testing::{decoder, labels, record};
use crate::forward::tls::TlsFiles;
use crate::queue::{Log, QueueSeq};
use crate::secret::Secret;

fn config(url: &str) -> WebhookConfig {
    WebhookConfig {
        name: "hook".into(),
        url: url.into(),
        format: FileFormat::Ndjson,
        gzip: false,
        headers: Headers::default(),
        token: None,
        token_header: TokenHeader::parse("Authorization: Bearer {token}").unwrap(),
        http: HttpConfig { via: Via::Direct, ..HttpConfig::default() },
        delivery: DeliveryConfig::default(),
    }
}

fn batch(config: &WebhookConfig, seqs: Range<u64>) -> Batch {
    let clock = SharedClockMap::default();
    let lines = Lines::new(decoder(), clock.clone(), Duration::from_secs(3_600), &labels());
    let mut encoder = WebhookEncoder::new(FileEncoder::new(config.format, lines, clock), config.gzip, "edge 1", "hook");
    for seq in seqs {
        let record = record("sensors/a", br#"{"x":1,"ts":1700000000123}"#);
        encoder.push(Log::Raw, QueueSeq(seq), &record).unwrap();
    }
    let batch = encoder.take().unwrap();
    assert!(encoder.take().is_none(), "a batch is taken once");
    batch
}

/// What the sink says to these answers, and what the server saw.
async fn deliver(script: &[Answer], change: impl Fn(&mut WebhookConfig)) -> (Vec<Result<(), SinkError>>, Vec<Seen>) {
    let (server, url) = Server::start(script).await;
    let mut config = config(&format!("{url}/in/here?key=1"));
    change(&mut config);
    let (sink, batch) = (WebhookSink::new(&config).unwrap(), batch(&config, 3..5));
    let mut outcomes = Vec::new();
    for _ in 0..script.len() {
        outcomes.push(sink.send(&batch).await);
    }
    (outcomes, server.seen())
}

#[tokio::test]
async fn a_batch_is_one_post_of_ndjson_and_a_repeat_has_the_same_key() {
    let (outcomes, seen) = deliver(&[says(503, "busy"), says(201, "")], |_| {}).await;
    assert!(matches!(&outcomes[..], [Err(SinkError::Retry { .. }), Ok(())]), "{outcomes:?}");
    for request in &seen {
        assert_eq!((request.method.as_str(), request.uri.as_str()), ("POST", "/in/here?key=1"));
        assert_eq!(request.headers["content-type"], "application/x-ndjson");
        assert_eq!(request.body.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count(), 2);
    }
    let keys: Vec<_> = seen.iter().map(|request| request.headers["idempotency-key"].to_str().unwrap()).collect();
    assert!(keys[0].starts_with("edge_1/hook/raw-3-4-"), "{keys:?}");
    assert_eq!(keys[0], keys[1]);
    let config = config("http://127.0.0.1:1");
    assert_ne!(batch(&config, 3..5).key, batch(&config, 3..6).key);
}

#[tokio::test]
async fn lines_headers_gzip_and_token_are_as_configured() {
    let (_, seen) = deliver(&[says(204, "")], |config| {
        config.format = FileFormat::LineProtocol;
        config.gzip = true;
        config.headers = Headers::parse(&["X-Site: hall 3".to_owned()]).unwrap();
        config.token = Some(SecretSource::fixed(Secret::new("t0ken")));
    })
    .await;
    let headers = &seen[0].headers;
    let of = |name: &str| headers[name].to_str().unwrap();
    assert_eq!((of("content-type"), of("content-encoding")), ("text/plain; charset=utf-8", "gzip"));
    assert_eq!((of("x-site"), of("authorization")), ("hall 3", "Bearer t0ken"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&seen[0].body[..]).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("sensor,device=a,gateway=edge-1 x=1 1700000000123"), "{text}");
}

#[tokio::test]
async fn an_answer_tells_whether_to_wait_to_halve_or_to_call_somebody() {
    for (status, wanted) in [
        (200, "taken"),
        (202, "taken"),
        (204, "taken"),
        (302, "misconfigured"),
        (400, "rejected"),
        (401, "misconfigured"),
        (403, "misconfigured"),
        (404, "misconfigured"),
        (408, "retry"),
        (413, "rejected"),
        (415, "misconfigured"),
        (422, "rejected"),
        (425, "retry"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
    ] {
        let (outcomes, _) = deliver(&[says(status, "the third one is bad")], |_| {}).await;
        let found = match &outcomes[0] {
            Ok(()) => "taken",
            Err(SinkError::Retry { .. }) => "retry",
            Err(SinkError::Reject { reason }) => {
                assert_eq!(*reason, format!("{status}: the third one is bad"));
                "rejected"
            }
            Err(SinkError::Misconfigured { .. }) => "misconfigured",
        };
        assert_eq!(found, wanted, "{status}");
    }
}

#[tokio::test]
async fn the_pause_that_the_server_asks_for_is_passed_on() {
    let busy = Answer { header: Some(("retry-after", "7")), ..says(503, "busy") };
    let (outcomes, _) = deliver(&[busy], |_| {}).await;
    let Err(SinkError::Retry { after, reason }) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!((*after, reason.as_str()), (Some(Duration::from_secs(7)), "503: busy"));
}

#[tokio::test]
async fn a_token_that_was_mended_in_its_file_is_taken_up_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "old").unwrap();
    let (server, url) = Server::start(&[says(401, "no")]).await;
    let mut config = config(&url);
    config.token = Some(SecretSource::file(path.clone(), Secret::new("old")));
    config.token_header = TokenHeader::parse("X-Api-Key: {token}").unwrap();
    let (sink, batch) = (WebhookSink::new(&config).unwrap(), batch(&config, 0..1));
    let outcome = sink.send(&batch).await;
    assert!(matches!(outcome, Err(SinkError::Misconfigured { .. })), "{outcome:?}");
    std::fs::write(&path, "new\n").unwrap();
    sink.send(&batch).await.unwrap();
    let keys: Vec<_> =
        server.seen().iter().map(|seen| seen.headers["x-api-key"].to_str().unwrap().to_owned()).collect();
    assert_eq!(keys, ["old", "new"]);
}

#[tokio::test]
async fn a_server_with_a_private_authority_is_reached_once_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = TlsServer::start(dir.path(), false).await;
    let mut config = config(&server.url);
    let batch = batch(&config, 0..1);
    let outcome = WebhookSink::new(&config).unwrap().send(&batch).await;
    assert!(matches!(outcome, Err(SinkError::Retry { .. })), "{outcome:?}");
    config.http.tls = TlsFiles { ca_file: Some(server.ca_file.clone()), ..TlsFiles::default() };
    WebhookSink::new(&config).unwrap().send(&batch).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_its_address_is_not_told() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let config = config(&format!("http://127.0.0.1:{port}/?key=hunter2"));
    let outcome = WebhookSink::new(&config).unwrap().send(&batch(&config, 0..1)).await;
    let Err(SinkError::Retry { reason, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(!reason.contains("hunter2"), "{reason}");
}
