//! A connection between batches: a task has it, publishes what it is handed and pings while nothing comes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::publisher::{Connection, Fault, Message};

/// Saying good-bye must not hold up the program's end.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Dropping it ends the connection, after a good-bye.
pub(super) struct Connected {
    orders: mpsc::Sender<Order>,
}

struct Order {
    messages: Arc<[Message]>,
    done: oneshot::Sender<Result<(), Fault>>,
}

/// Why the task ends.
enum End {
    /// Nobody wants it any more, and nothing is under way.
    Unwanted,
    /// What is under way was given up, or the connection is of no more use.
    Broken,
}

impl Connected {
    pub(super) fn new(connection: Connection, keep_alive: Duration, status_topic: Option<String>) -> Self {
        let (orders, ordered) = mpsc::channel(1);
        tokio::spawn(run(connection, ordered, keep_alive, status_topic));
        Self { orders }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Whoever stops waiting for this ends the connection.
    pub(super) async fn publish(&self, messages: Arc<[Message]>) -> Result<(), Fault> {
        let (done, outcome) = oneshot::channel();
        self.orders.send(Order { messages, done }).await.map_err(|_| Fault::Closed)?;
        outcome.await.unwrap_or(Err(Fault::Closed))
    }
}

async fn run(
    mut connection: Connection,
    mut orders: mpsc::Receiver<Order>,
    keep_alive: Duration,
    status_topic: Option<String>,
) {
    let end = serve(&mut connection, &mut orders, keep_alive).await;
    // From here on `is_alive` is false.
    drop(orders);
    if let End::Unwanted = end
        && let Ok(Err(fault)) = timeout(LEAVE_TIMEOUT, connection.leave(status_topic.as_deref())).await
    {
        tracing::debug!(%fault, "The broker did not hear the end of a connection.");
    }
}

async fn serve(connection: &mut Connection, orders: &mut mpsc::Receiver<Order>, keep_alive: Duration) -> End {
    let mut waits_for_pong = false;
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(Order { messages, mut done }) = order else { return End::Unwanted };
                let outcome = tokio::select! {
                    outcome = connection.publish(&messages) => outcome,
                    () = done.closed() => return End::Broken,
                };
                let is_broken = outcome.is_err();
                // Nobody listens any more: the same messages come again, which the connection has to be gone for.
                if done.send(outcome).is_err() || is_broken {
                    return End::Broken;
                }
                // A pong from before has come by now, or comes while nothing is published.
                waits_for_pong = false;
            }
            pong = connection.pong() => match pong {
                Ok(()) => waits_for_pong = false,
                Err(_) => return End::Broken,
            },
            () = sleep(keep_alive / 2) => {
                if waits_for_pong || connection.ping().await.is_err() {
                    return End::Broken;
                }
                waits_for_pong = true;
            }
        }
    }
}
