//! What is decided by a request's head alone: who it is from, where its records go, how its body is to be read, and
//! whether it may come in now.
//!
//! # Invariants
//! - Nothing of the body is read before the gate is passed.
//! - Whoever has no valid token learns nothing but that.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use firmware_protocol::content_type::{self, ContentType};
use firmware_protocol::line::Precision;
use serde::Deserialize;
use tokio::sync::watch;

use super::Config;
use super::answer::Refusal;
use super::rate::{Clients, Rates, TooMuch};
use super::split::Format;
use super::topic;
use crate::ingest::access::tokens::Tokens;
use crate::queue::Pressure;
use crate::shutdown::Stop;

pub(super) struct Gate {
    tokens: Arc<Tokens>,
    pressure: watch::Receiver<Pressure>,
    stop: Stop,
    body_max_bytes: usize,
    clients: Mutex<Clients>,
}

/// A request that may come in.
#[derive(Debug)]
pub(super) struct Admitted {
    /// For the rates: a token's holder, else the address.
    pub(super) client: String,
    pub(super) topic: String,
    pub(super) format: Format,
    pub(super) encoding: Encoding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// Of the query; other keys are passed over.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    topic: Option<String>,
    precision: Option<String>,
}

impl Gate {
    pub(super) fn new(config: &Config, tokens: Arc<Tokens>, pressure: watch::Receiver<Pressure>, stop: Stop) -> Self {
        let rates = Rates { requests: config.client_requests_per_second, bytes: config.client_bytes_per_second };
        let clients = Mutex::new(Clients::new(rates, config.requests_max));
        Self { tokens, pressure, stop, body_max_bytes: config.body_max_bytes, clients }
    }

    /// Who is admitted has to leave.
    ///
    /// # Errors
    /// Why the request is refused.
    pub(super) fn admit(
        &self,
        head: &Parts,
        topic_in_path: Option<String>,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<Admitted, Refusal> {
        if self.stop.is_requested() {
            return Err(Refusal::Stopping);
        }
        let token = if self.tokens.is_empty() {
            None
        } else {
            let presented = presented_token(&head.headers).ok_or(Refusal::NoToken)?;
            Some(self.tokens.verify(&presented).ok_or(Refusal::WrongToken)?)
        };
        if is_from_another_site(&head.headers) {
            return Err(Refusal::AnotherSite);
        }
        let Query(asked) = Query::<Asked>::try_from_uri(&head.uri).map_err(|e| Refusal::Query(e.body_text()))?;
        let topic = match (topic_in_path, asked.topic) {
            (Some(_), Some(_)) => return Err(Refusal::Query("the topic is in the path and in the query".into())),
            (Some(topic), None) | (None, Some(topic)) => topic,
            (None, None) => topic::DEFAULT.to_owned(),
        };
        topic::check(&topic).map_err(Refusal::Topic)?;
        if token.is_some_and(|token| !token.may_publish(topic.as_bytes())) {
            return Err(Refusal::TopicNotAllowed);
        }
        let format = format(&head.headers, asked.precision.as_deref())?;
        let encoding = encoding(&head.headers)?;
        if let Some(bytes) = announced(&head.headers).filter(|bytes| *bytes > self.body_max_bytes as u64) {
            return Err(Refusal::TooLarge { bytes: Some(bytes), limit: self.body_max_bytes });
        }
        match *self.pressure.borrow() {
            Pressure::None => {}
            pressure @ (Pressure::OverBudget | Pressure::DiskFull) => return Err(Refusal::HeldUp(pressure)),
        }
        let client = token.map_or_else(|| peer.ip().to_string(), |token| format!("token {}", token.name()));
        self.clients().admit(&client, now).map_err(|too_much| match too_much {
            TooMuch::Rate(wait) => Refusal::Rate { wait },
            TooMuch::UnderWay => Refusal::TooManyOfOne,
        })?;
        Ok(Admitted { client, topic, format, encoding })
    }

    /// Counts a body into its client's rate.
    pub(super) fn charge(&self, client: &str, bytes: usize, now: Instant) {
        self.clients().charge(client, bytes, now);
    }

    /// A request that was admitted is over.
    pub(super) fn leave(&self, client: &str) {
        self.clients().leave(client);
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token that a request brings: `Bearer`, InfluxDB's `Token`, or the password of `Basic`, which browsers ask for.
pub fn presented_token(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        return Some(Cow::Borrowed(rest));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    decoded.split_once(':').map(|(_user, password)| Cow::Owned(password.to_owned()))
}

/// A page of another site can make a browser send texts to us, and browsers say so.
pub fn is_from_another_site(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let theirs = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_scheme, host)| host);
    theirs.is_none() || theirs != own
}

fn format(headers: &HeaderMap, precision: Option<&str>) -> Result<Format, Refusal> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked = match precision {
        Some(unit) => Some(Precision::of(unit).ok_or_else(|| Refusal::Precision(unit.to_owned()))?),
        None => None,
    };
    match ContentType::of(text) {
        ContentType::Json => return Ok(Format::Json),
        ContentType::JsonLines => return Ok(Format::NdJson),
        ContentType::Frame => return Ok(Format::Frames),
        ContentType::LineProtocol(named) => return Ok(Format::Lines(asked.unwrap_or(named))),
        // A packet of readings, whose parts mean nothing alone. Files of CSV have a door of their own.
        ContentType::Csv | ContentType::Senml | ContentType::Cbor => {
            let essence = text.split(';').next().unwrap_or_default().trim();
            let packs = [content_type::CSV, content_type::SENML_JSON, content_type::SENML_CBOR, content_type::CBOR];
            if let Some(known) = packs.into_iter().find(|known| essence.eq_ignore_ascii_case(known)) {
                return Ok(Format::Whole(known));
            }
        }
        ContentType::Other => {}
    }
    match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "text/plain" => Ok(Format::Text(asked.unwrap_or_default())),
        _ => Err(Refusal::ContentType(text.to_owned())),
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "identity" | "" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => Err(Refusal::Encoding(other.to_owned())),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_token_is_taken_from_each_scheme_that_can_carry_one() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Token abc", Some("abc")),
            ("Basic YW55Ym9keTphOmJj", Some("a:bc")),
            ("Basic YWJj", None),
            ("Basic !", None),
            ("Digest abc", None),
            ("abc", None),
        ] {
            let headers = headers(&[(header::AUTHORIZATION, value)]);
            assert_eq!(presented_token(&headers).as_deref(), token, "{value}");
        }
        assert_eq!(presented_token(&HeaderMap::new()), None);
    }

    #[test]
    fn pages_of_other_sites_are_told_from_our_own() {
        let from = |origin| headers(&[(header::HOST, "gw:8080"), (header::ORIGIN, origin)]);
        assert!(!is_from_another_site(&from("http://gw:8080")));
        assert!(!is_from_another_site(&headers(&[(header::HOST, "gw:8080")])));
        for origin in ["http://evil.example", "https://gw", "null", "gw:8080"] {
            assert!(is_from_another_site(&from(origin)), "{origin}");
        }
    }

    #[test]
    fn the_content_type_decides_how_a_body_is_read() {
        let of = |text| format(&headers(&[(header::CONTENT_TYPE, text)]), None);
        for (text, expected) in [
            ("application/json; charset=utf-8", Format::Json),
            ("Application/X-NDJSON", Format::NdJson),
            ("text/plain;charset=utf-8", Format::Text(Precision::Ns)),
            ("application/vnd.influx.line-protocol; precision=s", Format::Lines(Precision::S)),
            ("application/vnd.sensor-frame", Format::Frames),
            ("Application/SenML+JSON", Format::Whole("application/senml+json")),
            ("application/senml+cbor", Format::Whole("application/senml+cbor")),
            ("application/cbor", Format::Whole("application/cbor")),
            ("text/csv; header=present", Format::Whole("text/csv")),
        ] {
            assert_eq!(of(text).unwrap(), expected, "{text}");
        }
        let plain = headers(&[(header::CONTENT_TYPE, "text/plain")]);
        assert_eq!(format(&plain, Some("ms")).unwrap(), Format::Text(Precision::Ms));
        assert_eq!(format(&plain, Some("h")).unwrap_err().reason(), "precision");
        for text in ["application/x-www-form-urlencoded", "application/octet-stream", ""] {
            assert_eq!(of(text).unwrap_err().reason(), "content_type", "{text}");
        }
    }
}
