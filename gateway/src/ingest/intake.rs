//! From a connection to the queue: at most one commit waits to be taken, the receipts of the others are awaited in order.
//!
//! # Invariants
//! - Batches enter the queue in the order in which they were read.
//! - Dropping an intake forgets its receipts: nobody can acknowledge with them any more.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Error;
use super::session::{StateChange, Ticket};
use crate::queue::{self, Appender, Committed, Receipt, Record, Transaction};

/// A batch has moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The queue has taken the last batch.
    Taken,
    Durable(Ticket),
}

type Commit = Pin<Box<dyn Future<Output = Result<Receipt, queue::Error>> + Send>>;

pub(super) struct Intake {
    appender: Appender,
    /// Under which name the session is kept.
    state_name: Option<String>,
    commit: Option<(Ticket, Commit)>,
    /// Oldest first. Bounded by the session's bytes in flight.
    receipts: VecDeque<(Ticket, Receipt)>,
}

impl Intake {
    pub(super) fn new(appender: Appender) -> Self {
        Self { appender, state_name: None, commit: None, receipts: VecDeque::new() }
    }

    /// From now on changes of the session's state are kept under this name.
    pub(super) fn keep_state_as(&mut self, name: String) {
        self.state_name = Some(name);
    }

    /// Starts a commit. Only after the one before was taken.
    pub(super) fn append(&mut self, ticket: Ticket, records: Vec<Record>, state: Option<StateChange>) {
        debug_assert!(self.commit.is_none(), "the session hands out one batch at a time");
        let appender = self.appender.clone();
        let state = state.and_then(|change| Some((self.state_name.clone()?, change))).into_iter().collect();
        let transaction = Transaction { raw: records, state, ..Transaction::default() };
        self.commit = Some((ticket, Box::pin(async move { appender.commit(transaction).await })));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.commit.is_none() && self.receipts.is_empty()
    }

    /// The next move; never, if idle. Safe to cancel.
    ///
    /// # Errors
    /// The queue is closed or has failed.
    pub(super) async fn next(&mut self) -> Result<Moved, Error> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// A receipt that is in already.
    ///
    /// # Errors
    /// The queue has failed.
    pub(super) fn try_durable(&mut self) -> Result<Option<Ticket>, Error> {
        let Some((ticket, receipt)) = self.receipts.front_mut() else { return Ok(None) };
        let ticket = *ticket;
        match receipt.try_recv() {
            Ok(outcome) => {
                self.receipts.pop_front();
                durable(outcome).map(|()| Some(ticket))
            }
            Err(tokio::sync::oneshot::error::TryRecvError::Empty) => Ok(None),
            Err(tokio::sync::oneshot::error::TryRecvError::Closed) => Err(closed()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Moved, Error>> {
        if let Some((ticket, commit)) = &mut self.commit
            && let Poll::Ready(taken) = commit.as_mut().poll(cx)
        {
            let ticket = *ticket;
            self.commit = None;
            return Poll::Ready(match taken {
                Ok(receipt) => {
                    self.receipts.push_back((ticket, receipt));
                    Ok(Moved::Taken)
                }
                Err(e) => Err(Error::Queue(Arc::new(e))),
            });
        }
        let Some((ticket, receipt)) = self.receipts.front_mut() else { return Poll::Pending };
        let ticket = *ticket;
        let Poll::Ready(outcome) = Pin::new(receipt).poll(cx) else { return Poll::Pending };
        self.receipts.pop_front();
        if self.receipts.is_empty() {
            // Gives the memory back; an idle connection holds no buffers.
            self.receipts = VecDeque::new();
        }
        Poll::Ready(match outcome {
            Ok(outcome) => durable(outcome).map(|()| Moved::Durable(ticket)),
            Err(_dropped) => Err(closed()),
        })
    }
}

fn durable(outcome: Result<Committed, Arc<queue::Error>>) -> Result<(), Error> {
    outcome.map(drop).map_err(Error::Queue)
}

fn closed() -> Error {
    Error::Queue(Arc::new(queue::Error::Closed))
}
