//! A group of tasks that start and stop together.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tracing::{error, warn};

use crate::shutdown::{self, Stop, Trigger};

/// Tasks with one word to stop them.
pub(super) struct Stage {
    trigger: Trigger,
    stop: Stop,
    tasks: JoinSet<Ended>,
    handles: Vec<AbortHandle>,
}

/// How a task ended, and which.
struct Ended {
    name: String,
    reason: Option<String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let (trigger, stop) = shutdown::channel();
        Self { trigger, stop, tasks: JoinSet::new(), handles: Vec::new() }
    }

    pub(super) fn stop_signal(&self) -> Stop {
        self.stop.clone()
    }

    pub(super) fn spawn<E: Display>(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let name = name.into();
        let handle = self.tasks.spawn(async move {
            let reason = task.await.err().map(|e| e.to_string());
            Ended { name, reason }
        });
        self.handles.push(handle);
    }

    /// Whether a task has ended: before the word to stop, by itself.
    pub(super) fn has_ended(&self) -> bool {
        self.handles.iter().any(AbortHandle::is_finished)
    }

    /// Resolves when a task ends although nobody asked it to: (its name, why).
    pub(super) async fn ended(&mut self) -> (String, String) {
        match self.tasks.join_next().await {
            Some(Ok(Ended { name, reason })) => (name, reason.unwrap_or_else(|| "ended by itself".into())),
            Some(Err(join)) => ("a task".into(), join.to_string()),
            None => std::future::pending().await,
        }
    }

    /// Asks all tasks to stop and waits for them up to `grace`; then abandons the rest, which is safe by design.
    /// Gives the first failure among them: (the task's name, why).
    pub(super) async fn stop(&mut self, what: &str, grace: Duration) -> Option<(String, String)> {
        self.trigger.stop();
        let mut failed = None;
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok(Ended { name, reason: Some(reason) }) => {
                        warn!(task = %name, %reason, "Stopped with an error.");
                        failed.get_or_insert((name, reason));
                    }
                    Ok(Ended { reason: None, .. }) => {}
                    Err(join) => {
                        error!(stage = what, reason = %join, "A task panicked.");
                        failed.get_or_insert((what.to_owned(), join.to_string()));
                    }
                }
            }
        };
        if tokio::time::timeout(grace, all).await.is_err() {
            warn!(
                stage = what,
                grace_s = grace.as_secs_f64(),
                abandoned = self.tasks.len(),
                "Grace is over; abandoning what is under way, it is sent again at the next start."
            );
            self.tasks.shutdown().await;
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ended_by_itself_is_seen_without_waiting_for_it() {
        let mut stage = Stage::new();
        let mut stop = stage.stop_signal();
        stage.spawn("stays", async move {
            stop.requested().await;
            Ok::<(), &str>(())
        });
        tokio::task::yield_now().await;
        assert!(!stage.has_ended());
        stage.spawn("leaves", async { Err("no space left") });
        tokio::task::yield_now().await;
        assert!(stage.has_ended());
        assert_eq!(stage.ended().await, ("leaves".to_owned(), "no space left".to_owned()));
    }

    const GRACE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_task_that_ends_or_panics_by_itself_is_a_failure() {
        let mut stage = Stage::new();
        stage.spawn("sink", async { Ok::<(), String>(()) });
        assert_eq!(stage.ended().await, ("sink".to_owned(), "ended by itself".to_owned()));
        stage.spawn("sink", async { panic!("a bug") as Result<(), String> });
        assert!(stage.ended().await.1.contains("a bug"));
    }

    #[tokio::test]
    async fn what_fails_while_it_stops_is_told() {
        let mut stage = Stage::new();
        let mut stop = stage.stop_signal();
        stage.spawn("door", async move {
            stop.requested().await;
            Err("disk is gone")
        });
        assert_eq!(stage.stop("doors", GRACE).await, Some(("door".to_owned(), "disk is gone".to_owned())));
        assert_eq!(Stage::new().stop("doors", GRACE).await, None);
    }
}
