//! One upload: from the request to a file on disk, and the answer.
//!
//! # Invariants
//! - What can be refused by the head of a request is refused before the body is asked for.
//! - Nothing stays of an upload that is not whole.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tracing::error;

use super::board::{Board, ImportId};
use super::importer::Job;
use super::mapping::Mapping;
use super::report::Failure;
use super::spool::{Note, Spool, SpoolError};
use super::upload::{Spooled, UploadConfig, WAITING_MAX};
use crate::queue::Pressure;

/// Uploads that come in at the same time: each has a thread.
const RECEIVING_MAX: usize = 4;
/// Pieces of a body between the network and the disk.
const PIECES_MAX: usize = 4;
/// A body in which nothing comes for this long is given up.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// For those who are to come again.
const RETRY_AFTER_S: &str = "10";
/// Longest name of a file that is repeated, bytes: that of file systems.
const FILE_NAME_MAX: usize = 255;
/// A file without a name of its own.
const NAMELESS: &str = "upload.csv";

/// What handlers share.
pub(super) struct Uploads {
    config: UploadConfig,
    spool: Spool,
    pressure: watch::Receiver<Pressure>,
    receiving: Semaphore,
    waiting: mpsc::Sender<Spooled>,
    board: Board,
}

/// What a query says beside the mapping.
struct Wanted {
    note: Note,
    /// Answer after the import; else after the upload.
    wait: bool,
}

pub(super) async fn upload(
    State(uploads): State<Arc<Uploads>>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match uploads.take(&query, &headers, body).await {
        Ok(answer) => answer,
        Err(refused) => refused.into_response(),
    }
}

/// Why an upload was not taken.
pub(super) struct Refused {
    status: StatusCode,
    error: String,
    hint: &'static str,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, hint: &'static str) -> Self {
        Self { status, error: error.into(), hint }
    }

    fn busy(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, "come again after the time in Retry-After")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.error, "hint": self.hint }))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

impl Uploads {
    pub(super) fn new(
        config: UploadConfig,
        spool: Spool,
        pressure: watch::Receiver<Pressure>,
        waiting: mpsc::Sender<Spooled>,
        board: Board,
    ) -> Self {
        Self { config, spool, pressure, receiving: Semaphore::new(RECEIVING_MAX), waiting, board }
    }

    async fn take(&self, query: &[(String, String)], headers: &HeaderMap, body: Body) -> Result<Response, Refused> {
        let Wanted { note, wait } = self.wanted(query)?;
        check_form(headers)?;
        self.check_size(headers)?;
        self.check_room()?;
        let receiving = self.receiving.try_acquire();
        let _receiving =
            receiving.map_err(|_| Refused::busy(format!("{RECEIVING_MAX} uploads are coming in already")))?;
        let place = self.waiting.try_reserve();
        let place = place.map_err(|why| match why {
            TrySendError::Full(()) => Refused::busy(format!("{WAITING_MAX} uploads wait to be imported")),
            TrySendError::Closed(()) => refused(&Failure::Stopped),
        })?;
        let id = ImportId::random();
        let bytes = self.receive(id, &note, body).await?;
        self.board.add(id, &note.file, "upload", bytes);
        let (done, outcome) = oneshot::channel();
        let job = Job { id, path: self.spool.path(id), file: note.file, mapping: Arc::new(note.mapping) };
        place.send(Spooled { job, done });
        let progress = format!("/v1/imports/{id}");
        if !wait {
            let accepted = Json(json!({ "id": id.to_string(), "progress": progress }));
            return Ok((StatusCode::ACCEPTED, [(header::LOCATION, progress)], accepted).into_response());
        }
        match outcome.await {
            Ok(Ok(report)) => Ok(Json(report).into_response()),
            Ok(Err(failure)) => Err(refused(&failure)),
            Err(_gone) => Err(refused(&Failure::Stopped)),
        }
    }

    fn wanted(&self, query: &[(String, String)]) -> Result<Wanted, Refused> {
        let mut note = Note { file: NAMELESS.to_owned(), mapping: self.config.mapping.clone() };
        let mut wait = true;
        let bad = |key: &str, why: &str| {
            let keys = "the keys are file, wait and those of the [upload] table; lists are separated by commas";
            Refused::new(StatusCode::BAD_REQUEST, format!("`{}` {why}", key.escape_debug()), keys)
        };
        for (key, value) in query {
            match key.as_str() {
                "wait" => wait = value.parse().map_err(|_| bad(key, "is neither true nor false"))?,
                "file" if value.is_empty() || value.len() > FILE_NAME_MAX => {
                    return Err(bad(key, &format!("is {} bytes long, outside 1 to {FILE_NAME_MAX}", value.len())));
                }
                "file" if value.chars().any(char::is_control) => return Err(bad(key, "has control characters")),
                "file" => note.file.clone_from(value),
                list if Mapping::LISTS.contains(&list) => {
                    let values: Vec<String> = value.split(',').map(str::to_owned).collect();
                    note.mapping.set_list(list, &values).map_err(|why| bad(key, &why))?;
                }
                _ => note.mapping.set(key, value).map_err(|why| bad(key, &why))?,
            }
        }
        note.mapping.check().map_err(|(key, why)| bad(key, why))?;
        Ok(Wanted { note, wait })
    }

    fn check_size(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        let length = length.unwrap_or_default();
        if length > self.config.max_bytes {
            return Err(self.too_large());
        }
        self.spool.check_free(length).map_err(spool_refused)
    }

    fn too_large(&self) -> Refused {
        let error = format!("the file is larger than {} bytes", self.config.max_bytes);
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, error, "cut it in parts, or raise upload.max_size")
    }

    fn check_room(&self) -> Result<(), Refused> {
        match *self.pressure.borrow() {
            Pressure::None => Ok(()),
            Pressure::OverBudget => Err(Refused::busy("the queue has used up its disk budget")),
            Pressure::DiskFull => Err(Refused::busy("the disk is full")),
        }
    }

    /// Brings the body to disk.
    async fn receive(&self, id: ImportId, note: &Note, body: Body) -> Result<u64, Refused> {
        let (tx, mut rx) = mpsc::channel(PIECES_MAX);
        let (spool, note) = (self.spool.clone(), note.clone());
        let writing = tokio::task::spawn_blocking(move || spool.receive(id, &note, &mut rx));
        let received = self.forward(body, &tx).await;
        // Without the word that it is whole, the writer keeps nothing.
        drop(tx);
        let written = writing.await.map_err(|e| SpoolError::Io(std::io::Error::other(e))).flatten();
        match (received, written) {
            // The disk's reason comes first: it is why nobody takes the rest.
            (_, Err(error @ (SpoolError::Full { .. } | SpoolError::Io(_)))) => Err(spool_refused(error)),
            (Err(refused), _) => Err(refused),
            (Ok(()), written) => written.map_err(spool_refused),
        }
    }

    async fn forward(&self, mut body: Body, to: &mpsc::Sender<Option<Bytes>>) -> Result<(), Refused> {
        let bad = |error: String| Refused::new(StatusCode::BAD_REQUEST, error, "send the file again");
        let mut bytes = 0;
        loop {
            let frame = tokio::time::timeout(PAUSE_MAX, body.frame()).await;
            let frame = frame.map_err(|_| {
                let error = format!("nothing came for {} s", PAUSE_MAX.as_secs());
                Refused::new(StatusCode::REQUEST_TIMEOUT, error, "send the file again")
            })?;
            let piece = match frame {
                None => None,
                Some(frame) => match frame.map_err(|error| bad(format!("the body is broken: {error}")))?.into_data() {
                    Ok(data) => Some(data),
                    Err(_trailers) => continue,
                },
            };
            bytes += piece.as_ref().map_or(0, |data| data.len() as u64);
            if bytes > self.config.max_bytes {
                return Err(self.too_large());
            }
            let is_last = piece.is_none();
            // An error means that the disk took no more: its reason is told.
            if to.send(piece).await.is_err() || is_last {
                return Ok(());
            }
        }
    }
}

/// What is not the file itself.
fn check_form(headers: &HeaderMap) -> Result<(), Refused> {
    let starts_with = |name, start: &str| {
        let value = headers.get(name).and_then(|v| v.to_str().ok());
        value.is_some_and(|v: &str| v.trim_start().to_ascii_lowercase().starts_with(start))
    };
    let unsupported = |error| {
        let hint = "send the file itself as the body: curl --data-binary @FILE, or curl -X POST -T FILE";
        Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, hint))
    };
    if starts_with(header::CONTENT_TYPE, "multipart/") {
        return unsupported("multipart forms are not taken");
    }
    if headers.contains_key(header::CONTENT_ENCODING) && !starts_with(header::CONTENT_ENCODING, "identity") {
        return unsupported("compressed files are not taken");
    }
    Ok(())
}

fn spool_refused(error: SpoolError) -> Refused {
    match error {
        SpoolError::Full { .. } => {
            Refused::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string(), "free some, or cut the file in parts")
        }
        SpoolError::CutOff => Refused::new(StatusCode::BAD_REQUEST, error.to_string(), "send the file again"),
        SpoolError::Io(_) => {
            error!(%error, "An upload cannot be kept.");
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "see the gateway's log")
        }
    }
}

fn refused(failure: &Failure) -> Refused {
    let error = failure.to_string();
    match failure {
        Failure::Refused(_) => {
            Refused::new(StatusCode::BAD_REQUEST, error, "nothing was stored; send the file again with other options")
        }
        Failure::Stopped => Refused::busy(error),
        Failure::Unreadable(_) | Failure::Changed | Failure::Queue(_) => {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error, "the import goes on at the gateway's next start")
        }
    }
}
