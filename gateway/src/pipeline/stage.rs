//! A group of tasks that start and stop together.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{error, warn};

use crate::shutdown::{self, Stop, Trigger};

/// Tasks with one word to stop them.
pub(super) struct Stage {
    trigger: Trigger,
    stop: Stop,
    tasks: JoinSet<Ended>,
}

/// How a task ended, and which.
struct Ended {
    name: String,
    reason: Option<String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let (trigger, stop) = shutdown::channel();
        Self { trigger, stop, tasks: JoinSet::new() }
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
        self.tasks.spawn(async move {
            let reason = task.await.err().map(|e| e.to_string());
            Ended { name, reason }
        });
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
    pub(super) async fn stop(&mut self, what: &str, grace: Duration) {
        self.trigger.stop();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok(Ended { name, reason: Some(reason) }) => warn!(task = %name, %reason, "Stopped with an error."),
                    Ok(Ended { reason: None, .. }) => {}
                    Err(join) => error!(stage = what, reason = %join, "A task panicked."),
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
    }
}
