//! Work that reads the disk or computes for milliseconds, on a thread that may.

use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

/// What `work` gives; its panic is the caller's.
pub(super) async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // The runtime ends, and the caller with it.
        Err(_) => std::future::pending().await,
    }
}
