use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::*;
use crate::clock::SharedClockMap;
use crate::forward::DeliveryConfig;
use crate::forward::testing::{decoder, labels, record};
use crate::secret::Secret;

/// A server that answers as the script says, then 204, and notes what it was sent.
#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Clone, Debug)]
struct Seen {
    method: String,
    uri: String,
    headers: axum::http::HeaderMap,
    body: Bytes,
}

/// A status that is never answered.
const SILENCE: u16 = 0;

impl Server {
    async fn start(script: &[(u16, &'static str)]) -> (Self, String) {
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
        let next = self.script.lock().unwrap().pop_front().unwrap_or((204, ""));
        match next {
            (SILENCE, _) => std::future::pending().await,
            (302, target) => (axum::http::StatusCode::FOUND, [("location", target)]).into_response(),
            (status, text) => (axum::http::StatusCode::from_u16(status).unwrap(), text).into_response(),
        }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn config(url: &str) -> InfluxConfig {
    InfluxConfig {
        name: "influx".into(),
        url: url.into(),
        org: "plant 1".into(),
        bucket: "sensors".into(),
        token: Secret::new("t0ken"),
        delivery: DeliveryConfig::default(),
    }
}

fn batch() -> Bytes {
    let mut encoder =
        InfluxEncoder::new(Lines::new(decoder(), SharedClockMap::default(), Duration::from_secs(3_600), &labels()));
    let record = record("sensors/a", br#"{"x":1,"ts":1700000000123}"#);
    encoder.push(Log::Raw, QueueSeq(0), &record).unwrap();
    assert!(encoder.pending_bytes() > 0);
    encoder.take().unwrap()
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
    let mut text = String::new();
    flate2::read::GzDecoder::new(&seen.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "sensor,device=a,gateway=edge-1 x=1 1700000000123000000\n");
}

#[tokio::test]
async fn each_answer_means_what_it_should() {
    let cases = [
        (204, "", "ok"),
        (200, "", "ok"),
        (400, r#"{"code":"invalid","message":"unable to parse 'x': missing fields"}"#, "reject"),
        (400, r#"{"code":"invalid","message":"failed to decode id"}"#, "misconfigured"),
        (401, r#"{"code":"unauthorized"}"#, "misconfigured"),
        (403, "", "misconfigured"),
        (404, r#"{"code":"not found","message":"bucket \"sensors\" not found"}"#, "misconfigured"),
        (413, "", "reject"),
        (422, "partial write: field type conflict", "reject"),
        (429, "", "retry"),
        (500, "", "retry"),
        (503, "", "retry"),
        (202, "", "misconfigured"),
    ];
    let script: Vec<_> = cases.iter().map(|(status, text, _)| (*status, *text)).collect();
    let (_server, url) = Server::start(&script).await;
    let sink = InfluxSink::new(&config(&url)).unwrap();
    for (status, text, wanted) in cases {
        let found = match sink.send(&batch()).await {
            Ok(()) => "ok",
            Err(SinkError::Retry { .. }) => "retry",
            Err(SinkError::Reject { .. }) => "reject",
            Err(SinkError::Misconfigured { .. }) => "misconfigured",
        };
        assert_eq!(found, wanted, "{status} {text}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_because_its_200_would_confirm_what_nobody_stored() {
    let (server, url) = Server::start(&[(302, "/login"), (200, "please log in")]).await;
    let outcome = InfluxSink::new(&config(&url)).unwrap().send(&batch()).await;
    assert!(matches!(outcome, Err(SinkError::Misconfigured { .. })), "{outcome:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn silence_and_absence_are_repeated() {
    let (_server, url) = Server::start(&[(SILENCE, "")]).await;
    let mut impatient = config(&url);
    impatient.delivery.timeout = Duration::from_millis(50);
    let outcome = InfluxSink::new(&impatient).unwrap().send(&batch()).await;
    assert!(matches!(outcome, Err(SinkError::Retry { .. })), "{outcome:?}");

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = InfluxSink::new(&config(&format!("http://{free}"))).unwrap().send(&batch()).await;
    let Err(SinkError::Retry { reason, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("refused"), "the reason names the cause: {reason}");
}

#[test]
fn a_url_that_would_make_the_client_panic_or_err_is_refused() {
    for bad in ["", "/3242/23", "localhost:8086", "ftp://h", "http://h/influx", "http://h?org=x", "http://"] {
        assert!(matches!(InfluxSink::new(&config(bad)), Err(InfluxError::Url { .. })), "{bad:?}");
    }
    for good in ["http://127.0.0.1:8086", "https://influx.example/"] {
        InfluxSink::new(&config(good)).map(drop).unwrap();
    }
}

#[test]
fn a_long_answer_is_quoted_in_part() {
    let text = format!("{}é{}", "x".repeat(QUOTE_MAX_BYTES - 1), "y".repeat(1_000));
    assert_eq!(quote(&text), "x".repeat(QUOTE_MAX_BYTES - 1));
}
