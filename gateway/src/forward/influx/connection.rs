//! What is needed to reach the server: a client, and a token. Both come from files that a person may mend or a service may
//! renew, so both are made anew once the server did not take them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, Url};

use super::InfluxError;
use crate::forward::http::{HttpConfig, builder};
use crate::secret::{Secret, SecretSource};

/// How connections are made.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) write_url: Url,
    pub(super) http: HttpConfig,
    pub(super) token: SecretSource,
    pub(super) timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    write_url: Url,
    authorization: HeaderValue,
    pub(super) token: Secret,
}

impl Recipe {
    /// Reads the files, which blocks for a moment.
    fn connection(&self) -> Result<Connection, InfluxError> {
        let token = self.token.read().map_err(|fault| InfluxError::Token(format!("token_file {fault}")))?;
        let mut authorization = HeaderValue::from_str(&format!("Token {}", token.expose()))
            .map_err(|_| InfluxError::Token("the token cannot be sent in an HTTP header".to_owned()))?;
        authorization.set_sensitive(true);
        let client = builder(&self.http, self.timeout)?;
        let client = client.build().map_err(|e| InfluxError::Client(e.without_url().to_string()))?;
        Ok(Connection { client, write_url: self.write_url.clone(), authorization, token })
    }

    /// Whether another attempt to make one can have another outcome.
    fn can_change(&self) -> bool {
        self.token.is_file() || !self.http.tls.is_empty()
    }
}

impl Connection {
    /// Sends gzipped lines.
    pub(super) async fn write(&self, lines: Bytes) -> reqwest::Result<Response> {
        let request = self.client.post(self.write_url.clone()).header(AUTHORIZATION, self.authorization.clone());
        let request = request.header(CONTENT_ENCODING, "gzip").header(CONTENT_TYPE, "text/plain; charset=utf-8");
        request.body(lines).send().await
    }
}

/// The connection in use.
#[derive(Debug)]
pub(super) struct Slot {
    recipe: Recipe,
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Slot {
    pub(super) fn new(recipe: Recipe) -> Result<Self, InfluxError> {
        let connection = Mutex::new(Some(Arc::new(recipe.connection()?)));
        Ok(Self { recipe, connection })
    }

    pub(super) async fn get(&self) -> Result<Arc<Connection>, InfluxError> {
        if let Some(connection) = self.lock().clone() {
            return Ok(connection);
        }
        let recipe = self.recipe.clone();
        let made = tokio::task::spawn_blocking(move || recipe.connection()).await;
        let made = Arc::new(made.map_err(|e| InfluxError::Client(e.to_string()))??);
        *self.lock() = Some(made.clone());
        Ok(made)
    }

    /// The next attempt is to read the files again.
    pub(super) fn give_up(&self, failed: &Arc<Connection>) {
        let mut slot = self.lock();
        if self.recipe.can_change() && slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, failed)) {
            *slot = None;
        }
    }

    pub(super) fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connection>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
