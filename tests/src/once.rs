//! A seeded sensor that sends with QoS 2 under a kept session, whatever becomes of the gateway meanwhile: each of its
//! messages is to be stored once, not more and not less.
//!
//! # Invariants
//! - After a reconnect it goes on as MQTT demands: PUBLISH again, marked as such, where no PUBREC came; PUBREL where one did.
//! - Few packet ids, used again and again: an id that is not free in time would swallow a new message.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, Packet, PubRel, Publish};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::message::Device;
use crate::publisher::{Connection, Target};

/// Messages under way.
const WINDOW: usize = 20;
/// Packet ids run from 1 to this.
const LAST_ID: u16 = 32;
/// Between two messages.
const PACE: Duration = Duration::from_millis(5);
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// For what is under way when it is told to stop.
const END: Duration = Duration::from_secs(60);

/// A sensor under way.
pub struct OnceSensor {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<OnceSent>>,
}

/// What it has sent; all of it was received, released and completed.
#[derive(Debug)]
pub struct OnceSent {
    pub device: Device,
    /// Counters of its messages are below this.
    pub messages: u64,
    pub connections_lost: u64,
    /// PUBLISHes and PUBRELs that were sent again.
    pub sent_again: u64,
    /// Times that the gateway did not know its session, although it had let it in before.
    pub sessions_lost: u64,
}

impl OnceSensor {
    pub fn start(device: Device, target: Target) -> Self {
        let stop = watch::Sender::new(false);
        let sensor = Sensor {
            stop: stop.subscribe(),
            was_let_in: false,
            last_id: 0,
            unreceived: VecDeque::new(),
            uncompleted: VecDeque::new(),
            sent: OnceSent { device, messages: 0, connections_lost: 0, sent_again: 0, sessions_lost: 0 },
        };
        Self { stop, task: tokio::spawn(sensor.publish(target)) }
    }

    /// No more messages; waits until those under way are through.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn finish(self) -> Result<OnceSent> {
        self.stop.send_replace(true);
        timeout(END, self.task).await.context("QoS 2 messages are still under way")??
    }
}

struct Sensor {
    stop: watch::Receiver<bool>,
    was_let_in: bool,
    last_id: u16,
    /// Packet id and counter of messages without PUBREC, in order.
    unreceived: VecDeque<(u16, u64)>,
    /// Packet ids of messages with PUBREC and without PUBCOMP, in order.
    uncompleted: VecDeque<u16>,
    sent: OnceSent,
}

impl Sensor {
    async fn publish(mut self, target: Target) -> Result<OnceSent> {
        let device = self.sent.device.name().to_owned();
        loop {
            let connect = Connect { keep_alive: 0, clean_session: false, ..Connect::new(device.as_str()) };
            if let Ok((connection, session_present)) = Connection::open_as(&target, connect).await {
                self.sent.sessions_lost += u64::from(self.was_let_in && !session_present);
                self.was_let_in = true;
                match self.session(connection).await {
                    Ok(()) => return Ok(self.sent),
                    // A word that was not due is a fault; a lost connection is what scenarios are about.
                    Err(e) if e.is::<NotDue>() => return Err(e),
                    Err(_) => self.sent.connections_lost += 1,
                }
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Until all is through after the word to stop.
    async fn session(&mut self, mut connection: Connection) -> Result<()> {
        for (id, n) in &self.unreceived {
            connection.add(&self.message(*id, *n, true))?;
        }
        for id in &self.uncompleted {
            connection.add(&Packet::PubRel(PubRel::new(*id)))?;
        }
        self.sent.sent_again += self.under_way() as u64;
        connection.flush().await?;
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.stop.clone();
        loop {
            let stopping = *stop.borrow();
            if stopping && self.under_way() == 0 {
                return Ok(());
            }
            tokio::select! {
                packet = connection.read_packet() => self.on_packet(packet?, &mut connection)?,
                _ = ticks.tick(), if !stopping && self.under_way() < WINDOW => {
                    let (id, n) = (self.free_id(), self.sent.messages);
                    self.sent.messages += 1;
                    self.unreceived.push_back((id, n));
                    connection.add(&self.message(id, n, false))?;
                }
                changed = stop.changed(), if !stopping => changed?,
            }
            connection.flush().await?;
        }
    }

    fn on_packet(&mut self, packet: Packet, connection: &mut Connection) -> Result<()> {
        if let Packet::PubComp(comp) = packet {
            self.uncompleted.retain(|id| *id != comp.pkid);
            return Ok(());
        }
        let Packet::PubRec(rec) = packet else { bail!(NotDue(format!("{packet:?}"))) };
        let place = self.unreceived.iter().position(|(id, _)| *id == rec.pkid);
        match place.and_then(|at| self.unreceived.remove(at)) {
            Some((id, _)) => self.uncompleted.push_back(id),
            None => bail!(NotDue(format!("{rec:?}"))),
        }
        connection.add(&Packet::PubRel(PubRel::new(rec.pkid)))
    }

    fn message(&self, id: u16, n: u64, again: bool) -> Packet {
        let mut publish = Publish::new(self.sent.device.topic(), QoS::ExactlyOnce, self.sent.device.payload(n));
        publish.pkid = id;
        publish.dup = again;
        Packet::Publish(publish)
    }

    fn under_way(&self) -> usize {
        self.unreceived.len() + self.uncompleted.len()
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id % LAST_ID + 1;
            let id = self.last_id;
            if !self.uncompleted.contains(&id) && self.unreceived.iter().all(|(other, _)| *other != id) {
                return id;
            }
        }
    }
}

#[derive(Debug)]
struct NotDue(String);

impl std::fmt::Display for NotDue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was not due", self.0)
    }
}

impl std::error::Error for NotDue {}
