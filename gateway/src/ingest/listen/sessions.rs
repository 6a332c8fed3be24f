//! Who is connected under which id, and what is kept for those who are away.
//!
//! # Invariants
//! - One client id, one connection: a new one tells the old one to go, and waits until it has handed over what is kept.
//! - What is kept was made durable by the connection that changed it; here it is only remembered, and forgotten durably
//!   when its time has come.
//! - At most `sessions_max` clients are kept while they are away; beyond it the one away for longest is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::ingest::connection::Rest;
use crate::ingest::meters::{Connected, Meters};
use crate::ingest::session::{Epoch, Kept};
use crate::queue::{Record, Transaction};

/// Names of the queue's states begin with it.
pub(super) const STATE_PREFIX: &str = "listen/";

pub(super) fn state_name(client_id: &str) -> String {
    format!("{STATE_PREFIX}{client_id}")
}

pub(super) struct Sessions {
    away_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    present: HashMap<String, Present>,
    away: HashMap<String, Away>,
}

/// A client that is connected; it answers the word to leave once it has gone.
struct Present {
    epoch: Epoch,
    leave: oneshot::Sender<oneshot::Sender<()>>,
}

struct Away {
    kept: Kept,
    since: Instant,
    late_will: Option<(Record, Instant)>,
}

impl Away {
    fn until(&self) -> Option<Instant> {
        // For ever is for as long as there is room.
        (self.kept.expiry_s < u32::MAX).then(|| self.since + Duration::from_secs(self.kept.expiry_s.into()))
    }
}

impl Sessions {
    /// With what was kept before the start: those clients are away from now on.
    pub(super) fn new(away_max: usize, kept: Vec<(String, Kept)>, now: Instant) -> Self {
        let away = kept.into_iter().map(|(id, kept)| (id, Away { kept, since: now, late_will: None })).collect();
        Self { away_max, state: Mutex::new(State { away, ..State::default() }) }
    }

    /// Takes the place of `client_id`, once whoever had it has gone.
    pub(super) async fn seat(self: &Arc<Self>, client_id: String, epoch: Epoch, meters: &Meters) -> Seat {
        let (leave, told) = oneshot::channel();
        let former = self.lock().present.insert(client_id.clone(), Present { epoch, leave });
        let seat = Seat {
            client_id,
            epoch,
            told: Some(told),
            gone: None,
            sessions: self.clone(),
            _connected: meters.connected(),
        };
        if let Some(former) = former {
            let (gone, has_gone) = oneshot::channel();
            // An error means that it is just going by itself, or has gone.
            if former.leave.send(gone).is_ok() {
                has_gone.await.unwrap_or_default();
            }
        }
        seat
    }

    /// What is to be committed because time has passed: sessions that have expired, wills that are due.
    pub(super) fn sweep(&self, received: impl Fn(Record) -> Record, now: Instant) -> Transaction {
        let mut state = self.lock();
        let mut due = Transaction::default();
        let mut ended: Vec<String> = Vec::new();
        for (id, away) in &mut state.away {
            let is_over = away.until().is_some_and(|until| now >= until);
            if is_over {
                ended.push(id.clone());
            }
            // A will does not wait longer than its session.
            due.raw.extend(away.late_will.take_if(|(_, at)| is_over || now >= *at).map(|(will, _)| received(will)));
        }
        let surplus = (state.away.len() - ended.len()).saturating_sub(self.away_max);
        if surplus > 0 {
            let mut others: Vec<(Instant, String)> =
                state.away.iter().filter(|(id, _)| !ended.contains(id)).map(|(id, a)| (a.since, id.clone())).collect();
            others.sort();
            for (_, id) in others.drain(..surplus) {
                let will = state.away.get_mut(&id).and_then(|away| away.late_will.take());
                due.raw.extend(will.map(|(will, _)| received(will)));
                ended.push(id);
            }
        }
        for id in ended {
            state.away.remove(&id);
            due.state.push((state_name(&id), None));
        }
        due
    }

    pub(super) fn kept(&self) -> usize {
        self.lock().away.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place; given back when dropped.
pub(super) struct Seat {
    pub(super) client_id: String,
    epoch: Epoch,
    told: Option<oneshot::Receiver<oneshot::Sender<()>>>,
    /// Whom to tell that the place is free; dropping it tells.
    gone: Option<oneshot::Sender<()>>,
    sessions: Arc<Sessions>,
    _connected: Connected,
}

impl Seat {
    /// Takes what is kept for the client; whoever has it may change it.
    pub(super) fn take_kept(&self) -> Option<Kept> {
        // A will that was still waiting is not said: the client is back.
        self.sessions.lock().away.remove(&self.client_id).map(|away| away.kept)
    }

    /// Gives back what outlives the connection.
    pub(super) fn leave(self, rest: Rest, now: Instant) {
        let Some(kept) = rest.kept else { return };
        let late_will = rest.late_will.map(|(will, delay)| (will, now + delay));
        self.sessions.lock().away.insert(self.client_id.clone(), Away { kept, since: now, late_will });
    }

    /// Resolves once, when another connection wants the seat.
    pub(super) async fn wanted(&mut self) {
        let Some(told) = &mut self.told else { return std::future::pending().await };
        let gone = told.await;
        self.told = None;
        match gone {
            Ok(gone) => self.gone = Some(gone),
            // The place is nobody's any more.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.sessions.lock();
        // It may be another's by now.
        if state.present.get(&self.client_id).is_some_and(|present| present.epoch == self.epoch) {
            state.present.remove(&self.client_id);
        }
    }
}

#[cfg(test)]
mod tests;
