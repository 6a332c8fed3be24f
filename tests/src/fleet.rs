//! Seeded devices that publish at a steady rate, survive a gateway that dies, and remember what was acknowledged.
//!
//! # Invariants
//! - A message counts as acknowledged from its PUBACK on, never before: each one is a debt of the gateway.
//! - Per device, messages are sent in the order of their counters; after a reconnect the unacknowledged ones go first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::eventually::eventually;
use crate::message::Device;
use crate::publisher::{Connection, Target};

/// Devices share this many connections.
const CONNECTIONS: usize = 4;
/// Messages under way on one connection.
const INFLIGHT_MAX: usize = 200;
/// What is due is sent this often.
const TICK: Duration = Duration::from_millis(10);
/// Between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// What a fleet is to send.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Devices are `{name}-0`, `{name}-1`, …: unique among the fleets of a scenario.
    pub name: &'static str,
    pub seed: u64,
    pub devices: u64,
    /// Of the whole fleet, rounded down to the same number for each device.
    pub messages: u64,
    /// Of the whole fleet.
    pub messages_per_second: u64,
}

impl Plan {
    pub fn devices(&self) -> Vec<Device> {
        (0..self.devices).map(|i| Device::new(format!("{}-{i}", self.name), self.seed.wrapping_add(i))).collect()
    }
}

/// Counters of acknowledged messages by device.
pub type Acked = BTreeMap<String, BTreeSet<u64>>;

/// When each message was acknowledged, by device and counter.
pub type AckedAt = BTreeMap<String, BTreeMap<u64, Instant>>;

#[derive(Debug, Default)]
struct Books {
    acked: Acked,
    acked_total: u64,
    acked_at: AckedAt,
    acked_out_of_order: u64,
    connections_lost: u64,
    /// Why the latest connection was lost, or could not be opened.
    last_error: Option<String>,
}

/// A fleet under way.
pub struct Fleet {
    plan: Plan,
    devices: Vec<Device>,
    began: Instant,
    books: Arc<Mutex<Books>>,
    connections: JoinSet<()>,
}

/// What a fleet knows when all its messages are acknowledged.
#[derive(Debug)]
pub struct Sent {
    pub devices: Vec<Device>,
    pub acked: Acked,
    pub acked_total: u64,
    pub acked_at: AckedAt,
    /// PUBACKs that came before the one of an earlier message.
    pub acked_out_of_order: u64,
    pub connections_lost: u64,
    pub took: Duration,
}

impl Fleet {
    /// Messages that may be sent and not acknowledged.
    pub const UNACKED_MAX: u64 = (CONNECTIONS * INFLIGHT_MAX) as u64;

    pub fn start(plan: Plan, target: Target) -> Self {
        Self::start_padded(plan, target, 0)
    }

    /// With as many characters of noise in each message.
    pub fn start_padded(plan: Plan, target: Target, padding: usize) -> Self {
        let all: Vec<Device> = plan.devices().into_iter().map(|device| device.padded(padding)).collect();
        let began = Instant::now();
        let books = Arc::<Mutex<Books>>::default();
        let mut connections = JoinSet::new();
        for i in 0..CONNECTIONS {
            let devices: Vec<Device> = all.iter().skip(i).step_by(CONNECTIONS).cloned().collect();
            if devices.is_empty() {
                continue;
            }
            let share = devices.len() as f64 / plan.devices as f64;
            let share = Share {
                client_id: format!("{}-{i}", plan.name),
                target: target.clone(),
                rate: plan.messages_per_second as f64 * share,
                total: plan.messages / plan.devices * devices.len() as u64,
                devices,
                next: 0,
                unacked: VecDeque::new(),
                books: books.clone(),
            };
            connections.spawn(share.publish(began));
        }
        Self { plan, devices: all, began, books, connections }
    }

    pub fn acked_total(&self) -> u64 {
        lock(&self.books).acked_total
    }

    /// What is acknowledged by now.
    pub fn acked_by_now(&self) -> Acked {
        lock(&self.books).acked.clone()
    }

    /// Waits until this many messages are acknowledged.
    ///
    /// # Errors
    /// They are not, in a minute more than the plan takes.
    pub async fn acked(&self, messages: u64) -> Result<()> {
        eventually("acknowledgements", self.deadline(), async || {
            let books = lock(&self.books);
            ensure!(
                books.acked_total >= messages,
                "{} of {messages}; last error: {:?}",
                books.acked_total,
                books.last_error
            );
            Ok(())
        })
        .await
    }

    /// Waits until all messages are acknowledged.
    ///
    /// # Errors
    /// They are not, in a minute more than the plan takes.
    pub async fn finish(mut self) -> Result<Sent> {
        let deadline = self.deadline();
        let all = async {
            while let Some(connection) = self.connections.join_next().await {
                connection?;
            }
            anyhow::Ok(())
        };
        let in_time = tokio::time::timeout(deadline, all).await;
        let books = std::mem::take(&mut *lock(&self.books));
        in_time.with_context(|| {
            let (acked, all) = (books.acked_total, self.plan.messages);
            format!("{acked} of {all} acknowledged in time; last error: {:?}", books.last_error)
        })??;
        Ok(Sent {
            devices: self.devices,
            acked: books.acked,
            acked_total: books.acked_total,
            acked_at: books.acked_at,
            acked_out_of_order: books.acked_out_of_order,
            connections_lost: books.connections_lost,
            took: self.began.elapsed(),
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(60 + 2 * self.plan.messages / self.plan.messages_per_second)
    }
}

/// The part of a plan that one connection sends.
struct Share {
    client_id: String,
    target: Target,
    devices: Vec<Device>,
    rate: f64,
    total: u64,
    /// Messages begun; the next is of device `next % devices`, with counter `next / devices`.
    next: u64,
    /// Sent and not acknowledged, in order.
    unacked: VecDeque<u64>,
    books: Arc<Mutex<Books>>,
}

impl Share {
    async fn publish(mut self, began: Instant) {
        loop {
            // A lost connection is what scenarios are about: counted, and made anew.
            let (lost, error) = match Connection::open(&self.target, &self.client_id).await {
                Ok(connection) => match self.session(connection, began).await {
                    Ok(()) => return,
                    Err(e) => (1, e),
                },
                Err(e) => (0, e),
            };
            self.on_error(lost, &error);
            sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn session(&mut self, mut connection: Connection, began: Instant) -> Result<()> {
        for message in self.unacked.iter() {
            let (device, n) = self.message(*message);
            connection.push(device.topic(), device.payload(n), true)?;
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ack = connection.next_ack() => {
                    self.on_ack(ack?.position);
                    if self.unacked.is_empty() && self.next == self.total {
                        return Ok(());
                    }
                }
                _ = ticks.tick() => {
                    let due = (began.elapsed().as_secs_f64() * self.rate) as u64;
                    while self.next < due.min(self.total) && self.unacked.len() < INFLIGHT_MAX {
                        let (device, n) = self.message(self.next);
                        connection.push(device.topic(), device.payload(n), false)?;
                        self.unacked.push_back(self.next);
                        self.next += 1;
                    }
                    connection.flush().await?;
                }
            }
        }
    }

    fn message(&self, message: u64) -> (&Device, u64) {
        let devices = self.devices.len() as u64;
        (&self.devices[(message % devices) as usize], message / devices)
    }

    fn on_error(&self, connections_lost: u64, error: &anyhow::Error) {
        let mut books = lock(&self.books);
        books.connections_lost += connections_lost;
        books.last_error = Some(format!("{error:#}"));
    }

    fn on_ack(&mut self, position: usize) {
        let message = self.unacked.remove(position).expect("each message under way has one packet id");
        let (device, n) = self.message(message);
        let mut books = lock(&self.books);
        books.acked.entry(device.name().to_owned()).or_default().insert(n);
        books.acked_at.entry(device.name().to_owned()).or_default().insert(n, Instant::now());
        books.acked_total += 1;
        books.acked_out_of_order += u64::from(position > 0);
    }
}

fn lock(books: &Mutex<Books>) -> std::sync::MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
