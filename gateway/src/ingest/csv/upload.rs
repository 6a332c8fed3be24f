//! `POST /v1/upload`: a CSV file as the body of a request; `GET /v1/imports`: how far imports are.
//!
//! # Invariants
//! - 200 goes out after the last row is durable; 202 after the file is, which is then imported whatever happens.
//! - Bounded: uploads that come in, uploads that wait, the size of each, and the pauses in it. The disk keeps a reserve.
//! - Held up with the queue: while doors wait for room, no upload is begun.
//!
//! # Flow
//! ```text
//! body ─▶ spool (fsync) ─▶ UploadTask, one after the other ─▶ Importer ─▶ answer; the spooled file is deleted
//! ```
//!
//! # Not here
//! Who may upload: the caller lays that over [`routes`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::board::{Board, ImportId, Snapshot};
use super::importer::{Importer, Job};
use super::mapping::Mapping;
use super::receive::{self, Refused, Uploads};
use super::report::{Failure, Report};
use super::spool::{LeftOver, Note, Spool};
use crate::queue::Pressure;
use crate::shutdown::Stop;

/// Uploads on disk that wait to be imported.
pub(super) const WAITING_MAX: usize = 32;
/// Uploads that are imported at the same time, so that a long one holds up no short one.
const IMPORTING_MAX: usize = 2;
/// The `[upload]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadConfig {
    /// Where uploads lie until they are imported.
    pub dir: PathBuf,
    pub max_bytes: u64,
    /// What queries override.
    pub mapping: Mapping,
}

/// An upload on disk, and who waits for it.
pub(super) struct Spooled {
    pub(super) job: Job,
    pub(super) done: oneshot::Sender<Result<Report, Failure>>,
}

/// The receiving end of the door: imports what was uploaded.
pub struct UploadTask {
    importer: Importer,
    spool: Spool,
    waiting: mpsc::Receiver<Spooled>,
}

/// Opens the door: what answers requests, and the task that imports.
///
/// # Errors
/// The directory cannot be made or written.
pub fn open(
    config: UploadConfig,
    importer: &Importer,
    pressure: watch::Receiver<Pressure>,
) -> std::io::Result<(Router, UploadTask)> {
    let spool = Spool::open(config.dir.clone())?;
    let (tx, rx) = mpsc::channel(WAITING_MAX);
    let uploads = Uploads::new(config, spool.clone(), pressure, tx, importer.board().clone());
    let routes = Router::new().route("/v1/upload", post(receive::upload)).with_state(Arc::new(uploads));
    Ok((routes, UploadTask { importer: importer.clone(), spool, waiting: rx }))
}

/// `GET /v1/imports` and `GET /v1/imports/{id}`: for uploads and watched folders alike.
pub fn progress_routes(importer: &Importer) -> Router {
    Router::new()
        .route("/v1/imports", get(list))
        .route("/v1/imports/{id}", get(one))
        .with_state(importer.board().clone())
}

impl UploadTask {
    /// Imports until the stop; first what an earlier run left.
    ///
    /// # Errors
    /// The queue has failed, or the directory cannot be read.
    pub async fn run(mut self, mut stop: Stop) -> Result<(), Failure> {
        let mut left_over = self.left_over().await?.into_iter();
        let mut imports = JoinSet::new();
        loop {
            while imports.len() < IMPORTING_MAX
                && let Some(spooled) = left_over.next()
            {
                imports.spawn(import(self.importer.clone(), self.spool.clone(), spooled, stop.clone()));
            }
            tokio::select! {
                Some(spooled) = self.waiting.recv(), if imports.len() < IMPORTING_MAX => {
                    imports.spawn(import(self.importer.clone(), self.spool.clone(), spooled, stop.clone()));
                }
                Some(ended) = imports.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(failure)) => return Err(failure),
                    Err(panic) => error!(reason = %panic, "An import panicked; its file is taken up again at the next start."),
                },
                () = stop.requested() => break,
            }
        }
        while imports.join_next().await.is_some() {}
        Ok(())
    }

    async fn left_over(&self) -> Result<Vec<Spooled>, Failure> {
        let spool = self.spool.clone();
        let found = tokio::task::spawn_blocking(move || spool.left_over()).await.map_err(std::io::Error::other)??;
        let job = |LeftOver { id, note: Note { file, mapping }, bytes }| {
            self.importer.board().add(id, &file, "upload", bytes);
            let job = Job { id, path: self.spool.path(id), file, mapping: Arc::new(mapping) };
            // Who uploaded it has gone with the last run.
            Spooled { job, done: oneshot::channel().0 }
        };
        Ok(found.into_iter().map(job).collect())
    }
}

/// # Errors
/// The queue has failed: nothing can be imported any more.
async fn import(importer: Importer, spool: Spool, spooled: Spooled, stop: Stop) -> Result<(), Failure> {
    let Spooled { job, done } = spooled;
    let outcome = importer.import(&job, &stop).await;
    let (is_kept, ended) = match &outcome {
        Ok(_) | Err(Failure::Refused(_)) => (false, Ok(())),
        // Its rows may be stored in part; the next start goes on.
        Err(Failure::Stopped | Failure::Unreadable(_) | Failure::Changed) => (true, Ok(())),
        Err(Failure::Queue(reason)) => (true, Err(Failure::Queue(reason.clone()))),
    };
    if !is_kept {
        let removed = tokio::task::spawn_blocking(move || spool.remove(job.id)).await;
        if let Err(error) = removed.map_err(std::io::Error::other).flatten() {
            warn!(path = %job.path.display(), %error, "An upload that was imported cannot be deleted.");
        }
    }
    // An error means that nobody waits any more.
    drop(done.send(outcome));
    ended
}

async fn list(State(board): State<Board>) -> Response {
    #[derive(Serialize)]
    struct Imports {
        imports: Vec<Snapshot>,
    }
    Json(Imports { imports: board.list(Instant::now()) }).into_response()
}

async fn one(State(board): State<Board>, Path(id): Path<String>) -> Response {
    match ImportId::parse(&id).and_then(|id| board.get(id, Instant::now())) {
        Some(snapshot) => Json(snapshot).into_response(),
        None => {
            let hint = "it ended long ago or in an earlier run; send the file again: what was imported adds nothing";
            Refused::new(StatusCode::NOT_FOUND, "no such import is known", hint).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
