//! What a person has to mend: asked of the server itself, through the influxdb2 client.
//!
//! # Invariants
//! - The server is asked once in [`ASK_EVERY`] at most; what it said is repeated until then.
//! - Whatever comes of it, the batch waits: this only finds words.
//!
//! # Not here
//! Servers behind a path: the client knows no paths, so there the answer to the write has to do.

use std::time::Duration;

use influxdb2::api::buckets::ListBucketsRequest;
use influxdb2::api::organization::ListOrganizationRequest;
use influxdb2::{Client, ClientBuilder, RequestError};
use reqwest::Url;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connection::Recipe;
use crate::forward::http::{builder, quote};
use crate::secret::Secret;

/// While settings are wrong there is an attempt each half minute; three more requests then and when are no load.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// Names that are told; a server with more is told of by their number.
const NAMES_MAX: usize = 10;
/// The API's own limit for a page.
const BUCKETS_MAX: u8 = 100;
/// Buckets of the server itself begin so.
const INTERNAL: char = '_';

/// What the settings name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) url: &'a Url,
    pub(super) org: &'a str,
    pub(super) bucket: &'a str,
    pub(super) token_is_file: bool,
}

/// What the server said. `Err`: its words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// Name and version, if it is well.
    health: Result<String, String>,
    organisations: Result<Vec<String>, Refusal>,
    buckets: Result<Vec<String>, Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// 401: the token is not known.
    Unknown,
    Other(String),
}

#[derive(Debug, Default)]
pub(super) struct Diagnosis {
    last: Mutex<Option<Told>>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    status: u16,
    words: String,
}

impl Diagnosis {
    /// A sentence on what is wrong and what to do, for a write that was answered with `status`.
    pub(super) async fn of(&self, status: u16, wanted: Wanted<'_>, recipe: &Recipe, token: &Secret) -> String {
        let mut last = self.last.lock().await;
        if let Some(told) = &*last
            && told.status == status
            && told.at.elapsed() < ASK_EVERY
        {
            return told.words.clone();
        }
        let words = match ask(wanted, recipe, token).await {
            Ok(found) => words(status, wanted, &found),
            Err(why) => format!("the server could not be asked what is wrong: {why}"),
        };
        *last = Some(Told { at: Instant::now(), status, words: words.clone() });
        words
    }

    /// What was found no longer holds.
    pub(super) async fn forget(&self) {
        *self.last.lock().await = None;
    }
}

async fn ask(wanted: Wanted<'_>, recipe: &Recipe, token: &Secret) -> Result<Found, String> {
    if wanted.url.path() != "/" {
        return Err(format!("it is behind the path {}", wanted.url.path()));
    }
    let (http, timeout) = (recipe.http.clone(), recipe.timeout);
    let builder = tokio::task::spawn_blocking(move || builder(&http, timeout)).await.map_err(|e| e.to_string())?;
    let client = ClientBuilder::with_builder(
        builder.map_err(|e| e.to_string())?,
        wanted.url.as_str(),
        wanted.org,
        token.expose(),
    );
    let client = client.build().map_err(|e| e.to_string())?;
    Ok(Found {
        health: health(&client).await,
        organisations: organisations(&client).await,
        buckets: buckets(&client, wanted.org).await,
    })
}

async fn health(client: &Client) -> Result<String, String> {
    let health = client.health().await.map_err(|error| said(&error))?;
    let version = health.version.unwrap_or_default();
    match health.status {
        influxdb2::models::health::Status::Pass => Ok(format!("{} {version}", health.name).trim_end().to_owned()),
        influxdb2::models::health::Status::Fail => Err(health.message.unwrap_or_else(|| "it is not well".to_owned())),
    }
}

async fn organisations(client: &Client) -> Result<Vec<String>, Refusal> {
    let found = client.list_organizations(ListOrganizationRequest::new()).await.map_err(|e| refusal(&e))?;
    Ok(found.orgs.into_iter().map(|org| org.name).collect())
}

async fn buckets(client: &Client, org: &str) -> Result<Vec<String>, Refusal> {
    let request = ListBucketsRequest { org: Some(org.to_owned()), limit: Some(BUCKETS_MAX), ..Default::default() };
    let found = client.list_buckets(Some(request)).await.map_err(|e| refusal(&e))?;
    Ok(found.buckets.into_iter().map(|bucket| bucket.name).filter(|name| !name.starts_with(INTERNAL)).collect())
}

fn refusal(error: &RequestError) -> Refusal {
    if matches!(error, RequestError::Http { status, .. } if status.as_u16() == 401) {
        return Refusal::Unknown;
    }
    Refusal::Other(said(error))
}

fn said(error: &RequestError) -> String {
    if let RequestError::Http { status, text } = error {
        return format!("{} {}", status.as_u16(), quote(text)).trim_end().to_owned();
    }
    quote(&error.to_string()).to_owned()
}

/// What is wrong, and what to do.
fn words(status: u16, wanted: Wanted<'_>, found: &Found) -> String {
    let Wanted { url, org, bucket, token_is_file } = wanted;
    let server = match &found.health {
        Ok(server) => server,
        Err(why) => {
            return format!("what answers at {url} does not say that it is a healthy InfluxDB ({why}): correct `url`");
        }
    };
    let replace = if token_is_file {
        "replace it in `token_file`, which is read again by itself"
    } else {
        "give the gateway another one and restart it"
    };
    let organisations = match &found.organisations {
        Err(Refusal::Unknown) => return format!("{server} does not know the token: {replace}"),
        Err(Refusal::Other(why)) => return format!("{server} does not tell which organisations there are: {why}"),
        Ok(organisations) => organisations,
    };
    if !organisations.iter().any(|name| name == org) {
        let names = list(organisations);
        return format!(
            "the token sees no organisation \"{org}\" at {server}, but {names}: correct `org`, or {replace}"
        );
    }
    match &found.buckets {
        Err(Refusal::Unknown) => format!("{server} does not know the token: {replace}"),
        Err(Refusal::Other(why)) => format!("{server} does not tell which buckets there are: {why}"),
        Ok(buckets) if !buckets.iter().any(|name| name == bucket) => format!(
            "the token sees no bucket \"{bucket}\" in \"{org}\", but {}: create it, correct `bucket`, or let the token write to it",
            list(buckets)
        ),
        Ok(_) if matches!(status, 401 | 403) => {
            format!("the token sees the bucket \"{bucket}\", but may not write to it: give it that right, or {replace}")
        }
        Ok(_) => format!("organisation, bucket and token are known to {server}"),
    }
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(|name| format!("\"{name}\"")).collect();
    match names.len() {
        0 => "none at all".to_owned(),
        n if n > NAMES_MAX => format!("{} and {} more", shown.join(", "), n - NAMES_MAX),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, change: impl FnOnce(&mut Found)) -> String {
        let mut found = Found {
            health: Ok("influxdb v2.7.1".into()),
            organisations: Ok(vec!["plant".into()]),
            buckets: Ok(vec!["sensors".into(), "other".into()]),
        };
        change(&mut found);
        let url = Url::parse("http://127.0.0.1:8086").unwrap();
        let wanted = Wanted { url: &url, org: "plant", bucket: "sensors", token_is_file: true };
        words(status, wanted, &found)
    }

    #[test]
    fn each_mistake_is_named_with_what_to_do() {
        /// Status, what is found, a part of the words.
        type Case = (u16, fn(&mut Found), &'static str);
        let cases: [Case; 6] = [
            (404, |f| f.health = Err("302".into()), "correct `url`"),
            (401, |f| f.organisations = Err(Refusal::Unknown), "does not know the token: replace it in `token_file`"),
            (
                404,
                |f| f.organisations = Ok(vec!["Plant".into()]),
                "no organisation \"plant\" at influxdb v2.7.1, but \"Plant\"",
            ),
            (
                404,
                |f| f.buckets = Ok(vec!["other".into()]),
                "no bucket \"sensors\" in \"plant\", but \"other\": create it",
            ),
            (404, |f| f.buckets = Ok(vec![]), "but none at all"),
            (403, |_| (), "may not write to it"),
        ];
        for (status, change, part) in cases {
            let words = told(status, change);
            assert!(words.contains(part), "{words}");
        }
    }

    #[test]
    fn a_long_list_of_buckets_is_cut_and_counted() {
        let words = told(404, |f| f.buckets = Ok((0..14).map(|i| format!("b{i}")).collect()));
        assert!(words.contains("\"b9\" and 4 more") && !words.contains("b10"), "{words}");
    }
}
