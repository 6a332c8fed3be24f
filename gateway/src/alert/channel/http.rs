//! Webhooks: one POST with a JSON body. Slack's form is `{"text": …}`, which Mattermost, Rocket.Chat and others take too.
//!
//! # Invariants
//! - Only 2xx is taken for an arrival; redirects are not followed: a POST that becomes a GET would be answered 200 and lost.
//! - `Idempotency-Key` is the message's id, so that a receiver that looks can tell a repeat.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use serde_json::json;
use tokio::sync::OnceCell;

use super::{Outcome, Said, quote};
use crate::alert::message::Message;
use crate::alert::settings::{Headers, Http};
use crate::alert::template::Template;
use crate::retry_after;
use crate::secret::Secret;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Read of an answer; the rest is not of interest.
const ANSWER_MAX_BYTES: usize = 4 * 1024;
/// By the draft of the HTTP working group (Idempotency-Key header field).
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

#[derive(Clone, Debug)]
pub(super) enum Body {
    Slack,
    /// Without a template: all that is known.
    Json(Option<Template>),
}

#[derive(Debug)]
pub(in crate::alert) struct HttpChannel {
    http: Http,
    body: Body,
    timeout: Duration,
    /// Made at the first message, for the CA's file is read then.
    client: OnceCell<Client>,
}

impl HttpChannel {
    pub(super) fn new(http: &Http, body: Body, timeout: Duration) -> Self {
        Self { http: http.clone(), body, timeout, client: OnceCell::new() }
    }

    pub(super) async fn send(&self, message: &Message) -> Outcome {
        let client = match self.client.get_or_try_init(|| client(self.http.ca_file.clone(), self.timeout)).await {
            Ok(client) => client,
            Err(reason) => return Outcome::Misconfigured { reason },
        };
        let Http { url, token, headers, .. } = &self.http;
        let request = client.post(url.expose()).headers(with(headers)).header(CONTENT_TYPE, "application/json");
        let request = match token.as_ref().map(Secret::expose) {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        match request.header(IDEMPOTENCY_KEY, &message.id).body(self.body.of(message)).send().await {
            Ok(response) => answered(response).await,
            Err(error) => failed(error),
        }
    }
}

impl Body {
    fn of(&self, message: &Message) -> String {
        match self {
            Self::Slack => json!({ "text": slack(&message.text) }).to_string(),
            Self::Json(Some(template)) => template.render(message),
            Self::Json(None) => message.to_json().to_string(),
        }
    }
}

/// Slack's three control characters (Slack API, "Escaping text").
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

async fn client(ca_file: Option<PathBuf>, timeout: Duration) -> Result<Client, String> {
    let mut builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(timeout).redirect(Policy::none());
    if let Some(path) = ca_file {
        let shown = path.display().to_string();
        let read = tokio::task::spawn_blocking(move || fs::read(path)).await.map_err(|e| e.to_string())?;
        let pem = read.map_err(|e| format!("tls_ca_file {shown} cannot be read: {e}"))?;
        let ca = Certificate::from_pem(&pem).map_err(|e| format!("tls_ca_file {shown} is no certificate: {e}"))?;
        builder = builder.add_root_certificate(ca);
    }
    builder.build().map_err(|e| e.to_string())
}

/// Names and values were proven when the configuration was read.
fn with(headers: &Headers) -> HeaderMap {
    headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
}

async fn answered(mut response: Response) -> Outcome {
    let (status, after) = (response.status(), retry_after::of(response.headers(), SystemTime::now()));
    let mut answer = Vec::new();
    // What it said is for people; that it did not finish saying it changes nothing.
    while let Ok(Some(chunk)) = response.chunk().await
        && answer.len() < ANSWER_MAX_BYTES
    {
        answer.extend_from_slice(&chunk);
    }
    verdict(status, &String::from_utf8_lossy(&answer), after)
}

fn verdict(status: StatusCode, answer: &str, after: Option<Duration>) -> Outcome {
    let said = format!("{} {}", status.as_u16(), quote(answer)).trim_end().to_owned();
    match status.as_u16() {
        200..=299 => Outcome::Sent(Said(said)),
        400 | 406 | 413 | 415 | 422 => Outcome::Refused { reason: said },
        408 | 425 | 429 | 503 => Outcome::NotSent { reason: said, after },
        // It broke on the way, or behind a proxy: the message may have got through.
        500..=599 => Outcome::Unknown { reason: said },
        _ => Outcome::Misconfigured { reason: said },
    }
}

fn failed(error: reqwest::Error) -> Outcome {
    let (is_ours, never_left) = (error.is_builder(), error.is_connect());
    // The address may be the secret.
    let reason = told(&error.without_url());
    match (is_ours, never_left) {
        (true, _) => Outcome::Misconfigured { reason },
        (false, true) => Outcome::not_sent(reason),
        (false, false) => Outcome::unknown(reason),
    }
}

/// With its causes, where they say more.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_whether_to_wait_to_give_up_or_to_call_somebody() {
        let of = |status: u16| verdict(StatusCode::from_u16(status).unwrap(), "no", None);
        assert_eq!(of(200), Outcome::Sent(Said("200 no".into())));
        assert!(matches!(of(400), Outcome::Refused { .. }));
        assert!(matches!(of(429), Outcome::NotSent { .. }));
        assert!(matches!(of(502), Outcome::Unknown { .. }));
        for status in [301, 401, 403, 404, 410] {
            assert!(matches!(of(status), Outcome::Misconfigured { .. }), "{status}");
        }
    }

    #[test]
    fn slack_gets_its_control_characters_escaped() {
        assert_eq!(slack("a & <b>"), "a &amp; &lt;b&gt;");
    }

    #[tokio::test]
    async fn nobody_there_is_known_not_to_have_got_it_and_the_address_is_not_told() {
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let url = Secret::new(format!("http://127.0.0.1:{port}/services/T0/hunter2"));
        let http = Http { url, token: None, headers: Vec::new(), ca_file: None };
        let channel = HttpChannel::new(&http, Body::Slack, Duration::from_secs(5));
        let target = crate::alert::Target::Slack(http);
        let (config, sender) = (crate::alert::testing::config("team", target), crate::alert::testing::sender());
        let outcome = channel.send(&Message::test(&config, &sender)).await;
        let Outcome::NotSent { reason, .. } = outcome else { panic!("{outcome:?}") };
        assert!(!reason.contains("hunter2") && reason.contains("refused"), "{reason}");
    }
}
