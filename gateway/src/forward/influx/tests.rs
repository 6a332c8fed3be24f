use std::io::Read;
use std::time::Duration;

use axum::http::HeaderMap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;

use super::*;
use crate::clock::SharedClockMap;
use crate::forward::http::testing::{Answer, SILENCE, Server, says};
use crate::forward::lines::Lines;
use crate::forward::testing::{decoder, gap, labels, record};
use crate::forward::{DeliveryConfig, Encoder, HttpConfig, Via};
use crate::queue::{Log, QueueSeq};
use crate::secret::{Secret, SecretSource};

fn config(url: &str) -> InfluxConfig {
    InfluxConfig {
        name: "influx".into(),
        url: url.into(),
        org: "plant 1".into(),
        bucket: "sensors".into(),
        token: SecretSource::fixed(Secret::new("t0ken")),
        http: HttpConfig { via: Via::Direct, ..HttpConfig::default() },
        series_max: 0,
        delivery: DeliveryConfig::default(),
    }
}

fn encoder(series_max: usize) -> InfluxEncoder {
    let lines = Lines::new(decoder(), SharedClockMap::default(), Duration::from_secs(3_600), &labels());
    InfluxEncoder::new(lines, SeriesCap::new("influx", series_max, Gauge::default(), Counter::default()))
}

fn batch() -> Bytes {
    let mut encoder = encoder(0);
    let record = record("sensors/a", br#"{"x":1,"ts":1700000000123}"#);
    encoder.push(Log::Raw, QueueSeq(0), &record).unwrap();
    assert!(encoder.pending_bytes() > 0);
    encoder.take().unwrap()
}

fn lines_of(batch: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(batch).read_to_string(&mut text).unwrap();
    text
}

async fn outcome(answer: Answer) -> Result<(), SinkError> {
    let (_server, url) = Server::start(&[answer]).await;
    InfluxSink::new(&config(&url)).unwrap().send(&batch()).await
}

#[tokio::test]
async fn a_batch_arrives_gzipped_with_org_bucket_and_token() {
    let (server, url) = Server::start(&[]).await;
    InfluxSink::new(&config(&url)).unwrap().send(&batch()).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.uri.as_str()),
        ("POST", "/api/v2/write?bucket=sensors&org=plant+1&precision=ns")
    );
    assert_eq!(seen.headers["authorization"], "Token t0ken");
    assert_eq!(seen.headers["content-encoding"], "gzip");
    assert_eq!(lines_of(&seen.body), "sensor,device=a,gateway=edge-1 x=1 1700000000123000000\n");
}

#[tokio::test]
async fn the_path_of_a_reverse_proxy_stays_before_that_of_the_api() {
    for path in ["/influx", "/a/b/"] {
        let (server, url) = Server::start(&[]).await;
        InfluxSink::new(&config(&format!("{url}{path}"))).unwrap().send(&batch()).await.unwrap();
        let uri = server.seen()[0].uri.clone();
        assert!(uri.starts_with(&format!("{}/api/v2/write?", path.trim_end_matches('/'))), "{uri}");
    }
}

#[tokio::test]
async fn each_answer_means_what_it_should() {
    let cases = [
        (204, "", "ok"),
        (200, "<html>please log in", "misconfigured"),
        (202, "", "misconfigured"),
        (302, "", "misconfigured"),
        (400, r#"{"code":"invalid","message":"unable to parse 'x': missing fields"}"#, "reject"),
        (400, r#"{"code":"invalid","message":"failed to decode id"}"#, "misconfigured"),
        (401, r#"{"code":"unauthorized"}"#, "misconfigured"),
        (403, "", "misconfigured"),
        (404, r#"{"code":"not found","message":"bucket \"sensors\" not found"}"#, "misconfigured"),
        (408, "", "retry"),
        (413, "", "reject"),
        (422, "partial write: field type conflict", "reject"),
        (429, "", "retry"),
        (500, "", "retry"),
        (503, "", "retry"),
    ];
    for (status, text, wanted) in cases {
        let found = match outcome(says(status, text)).await {
            Ok(()) => "ok",
            Err(SinkError::Retry { .. }) => "retry",
            Err(SinkError::Reject { .. }) => "reject",
            Err(SinkError::Misconfigured { .. }) => "misconfigured",
        };
        assert_eq!(found, wanted, "{status} {text}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_own_words() {
    let text = r#"{"code":"unprocessable entity","message":"partial write: field type conflict: input field \"x\""}"#;
    let Err(SinkError::Reject { reason }) = outcome(says(422, text)).await else { panic!("not refused") };
    assert_eq!(reason, "422: partial write: field type conflict: input field \"x\"");
}

#[tokio::test]
async fn the_pause_that_the_server_asks_for_is_passed_on() {
    for (header, wanted) in [
        (("retry-after", "120"), Some(Duration::from_secs(120))),
        (("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO)),
        (("retry-after", "soon"), None),
        (("x-other", "120"), None),
    ] {
        let answer = Answer { header: Some(header), ..says(429, "too many") };
        let Err(SinkError::Retry { after, .. }) = outcome(answer).await else { panic!("{header:?}") };
        assert_eq!(after, wanted, "{header:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_because_its_200_would_confirm_what_nobody_stored() {
    let redirect = Answer { header: Some(("location", "/login")), ..says(302, "") };
    let (server, url) = Server::start(&[redirect]).await;
    let outcome = InfluxSink::new(&config(&url)).unwrap().send(&batch()).await;
    assert!(matches!(outcome, Err(SinkError::Misconfigured { .. })), "{outcome:?}");
    assert!(server.seen().iter().all(|seen| seen.uri != "/login"));
}

#[tokio::test]
async fn silence_and_absence_are_repeated() {
    let (_server, url) = Server::start(&[says(SILENCE, "")]).await;
    let mut impatient = config(&url);
    impatient.delivery.timeout = Duration::from_millis(50);
    let outcome = InfluxSink::new(&impatient).unwrap().send(&batch()).await;
    assert!(matches!(outcome, Err(SinkError::Retry { .. })), "{outcome:?}");

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = InfluxSink::new(&config(&format!("http://{free}"))).unwrap().send(&batch()).await;
    let Err(SinkError::Retry { reason, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("refused"), "the reason names the cause: {reason}");
}

const HEALTHY: Answer = Answer {
    status: 200,
    text: r#"{"name":"influxdb","message":"ready","status":"pass","version":"v2.7.1"}"#,
    header: Some(("content-type", "application/json")),
};

#[tokio::test]
async fn what_is_missing_is_asked_of_the_server_and_named_and_not_asked_with_each_attempt() {
    let missing = says(404, r#"{"code":"not found","message":"bucket \"sensors\" not found"}"#);
    let organisations = says(200, r#"{"orgs":[{"name":"plant 1"}]}"#);
    let buckets =
        says(200, r#"{"buckets":[{"name":"_tasks","retentionRules":[]},{"name":"sensor","retentionRules":[]}]}"#);
    let (server, url) = Server::start(&[missing, HEALTHY, organisations, buckets, missing]).await;
    let sink = InfluxSink::new(&config(&url)).unwrap();
    for _ in 0..2 {
        let outcome = sink.send(&batch()).await;
        let Err(SinkError::Misconfigured { reason }) = outcome else { panic!("{outcome:?}") };
        assert!(reason.starts_with("404: bucket \"sensors\" not found; "), "{reason}");
        assert!(reason.contains("no bucket \"sensors\" in \"plant 1\", but \"sensor\": create it"), "{reason}");
    }
    let uris: Vec<String> = server.seen().into_iter().map(|seen| seen.uri).collect();
    let asked: Vec<&str> = uris.iter().map(|uri| uri.split('?').next().unwrap()).collect();
    assert_eq!(asked, ["/api/v2/write", "/health", "/api/v2/orgs", "/api/v2/buckets", "/api/v2/write"]);
    sink.send(&batch()).await.unwrap();
}

#[tokio::test]
async fn a_token_that_was_mended_in_its_file_is_used_without_a_restart() {
    let (server, url) = Server::start(&[says(401, ""), HEALTHY, says(401, ""), says(401, "")]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let settings = InfluxConfig { token: SecretSource::file(path.clone(), Secret::new("w0rn")), ..config(&url) };
    std::fs::write(&path, "w0rn\n").unwrap();
    let sink = InfluxSink::new(&settings).unwrap();
    let outcome = sink.send(&batch()).await;
    let Err(SinkError::Misconfigured { reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("does not know the token: replace it in `token_file`"), "{reason}");
    std::fs::remove_file(&path).unwrap();
    let outcome = sink.send(&batch()).await;
    let Err(SinkError::Misconfigured { reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("cannot be read"), "{reason}");
    std::fs::write(&path, "fre5h\n").unwrap();
    sink.send(&batch()).await.unwrap();
    let token = |headers: &HeaderMap| headers["authorization"].to_str().unwrap().to_owned();
    let tokens: Vec<String> = server.seen().iter().map(|seen| token(&seen.headers)).collect();
    assert_eq!((tokens[0].as_str(), tokens.last().unwrap().as_str()), ("Token w0rn", "Token fre5h"));
}

#[test]
fn devices_above_the_cap_share_a_series_and_keep_their_points_apart() {
    let mut encoder = encoder(1);
    for (seq, device) in ["a", "b", "c"].into_iter().enumerate() {
        let record = record(&format!("sensors/{device}"), br#"{"x":1,"ts":1700000000000}"#);
        encoder.push(Log::Raw, QueueSeq(seq as u64), &record).unwrap();
    }
    encoder.push(Log::Derived, QueueSeq(0), &gap("d")).unwrap();
    let text = lines_of(&encoder.take().unwrap());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "sensor,device=a,gateway=edge-1 x=1 1700000000000000000",
            "sensor,device=overflow,gateway=edge-1 overflow_series=\"device=b\",x=1 1700000000000000001",
            "sensor,device=overflow,gateway=edge-1 overflow_series=\"device=c\",x=1 1700000000000000002",
        ]
    );
    assert!(
        lines[3].starts_with("sensor_gap,device=overflow,gateway=edge-1 overflow_series=\"device=d,reason=lost\",")
    );
}

#[test]
fn a_url_that_no_request_can_be_sent_to_is_refused() {
    for bad in ["", "/3242/23", "localhost:8086", "ftp://h", "http://h?org=x", "http://h/#x", "http://"] {
        assert!(matches!(InfluxSink::new(&config(bad)), Err(InfluxError::Url { .. })), "{bad:?}");
    }
    for good in ["http://127.0.0.1:8086", "https://influx.example/", "https://proxy.example/influx"] {
        InfluxSink::new(&config(good)).map(drop).unwrap();
    }
}
