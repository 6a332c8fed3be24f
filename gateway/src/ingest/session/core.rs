//! What both roles share: the books, the buffer to the peer, and how a PUBLISH becomes a record.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::in_flight::{Batch, Epoch, InFlight};
use super::kept::Kept;
use super::rate::Rate;
use super::{
    Action, BATCH_RECORDS_MAX, Close, IN_FLIGHT_MAX_BYTES, OUTPUT_MAX_BYTES, OUTPUT_STALL_MAX, Opened, Refused, State,
};
use crate::clock::Stamp;
use crate::ingest::MqttVersion;
use crate::ingest::access::Grant;
use crate::ingest::topics;
use crate::ingest::wire::{self, Publish, Reply};
use crate::queue::{Door, Flags, Record};

/// What both roles share.
pub(super) struct Core {
    pub(super) door: Door,
    pub(super) version: MqttVersion,
    pub(super) packet_max_bytes: usize,
    pub(super) state: State,
    pub(super) in_flight: InFlight,
    pub(super) in_flight_max_bytes: usize,
    /// PUBLISHes read.
    pub(super) messages: u64,
    /// The next transaction; handed out by `poll` once the queue has taken the one before.
    pub(super) batch: Batch,
    /// The queue has not taken the last batch yet.
    pub(super) appending: bool,
    /// At most the answers to CONNECT and SUBSCRIBE, and one refusal for each packet of a batch.
    pub(super) news: VecDeque<Action>,
    pub(super) out: BytesMut,
    /// When the peer last took bytes, or `out` was last empty.
    pub(super) out_moved_at: Instant,
    pub(super) sent_at: Instant,
    /// When the peer was last heard, or reading was last resumed.
    pub(super) heard_at: Instant,
    /// What outlives the connection, if `keeps`.
    pub(super) kept: Kept,
    /// Whether `kept` is durable: what changes in it goes with the records.
    pub(super) keeps: bool,
    /// What the peer may publish; of a broker everything is taken.
    pub(super) grant: Option<Grant>,
    /// v5: topics that the peer has given numbers, from 1 on. Empty: none are allowed.
    pub(super) aliases: Aliases,
    /// v5: most messages that may be under way.
    pub(super) receive_max: usize,
    /// Of QoS 1 and 2, as the peer counts them: from PUBLISH to PUBACK or PUBCOMP, over this connection.
    pub(super) under_way: usize,
    pub(super) rate: Rate,
    /// The peer has sent more than its rate: nothing is read until then.
    pub(super) slowed_until: Option<Instant>,
    /// Bytes of a packet that is too long, still to be thrown away.
    pub(super) skip_bytes: usize,
    /// A client that is let in as soon as what CONNACK promises is durable.
    pub(super) opens_with: Option<Opened>,
}

impl Core {
    pub(super) fn new(
        door: Door,
        version: MqttVersion,
        packet_max_bytes: usize,
        epoch: Epoch,
        open_until: Instant,
        now: Instant,
    ) -> Self {
        Self {
            door,
            version,
            packet_max_bytes,
            state: State::Opening { until: open_until },
            in_flight: InFlight::new(epoch),
            in_flight_max_bytes: IN_FLIGHT_MAX_BYTES,
            messages: 0,
            batch: Batch::default(),
            appending: false,
            news: VecDeque::new(),
            out: BytesMut::new(),
            out_moved_at: now,
            sent_at: now,
            heard_at: now,
            kept: Kept::default(),
            keeps: false,
            grant: None,
            aliases: Aliases::default(),
            receive_max: usize::from(u16::MAX),
            under_way: 0,
            rate: Rate::default(),
            slowed_until: None,
            skip_bytes: 0,
            opens_with: None,
        }
    }

    /// The connection is not being closed.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.state, State::Opening { .. } | State::Admitting { .. } | State::Open)
    }

    /// Reading goes on while the queue is full, up to the bounds: behind the messages lie pings that want an answer.
    pub(super) fn takes_bytes(&self) -> bool {
        matches!(self.state, State::Opening { .. } | State::Open)
            && self.batch.len() < BATCH_RECORDS_MAX
            && self.in_flight_bytes() < self.in_flight_max_bytes
            && self.out.len() < OUTPUT_MAX_BYTES
            && self.slowed_until.is_none()
    }

    /// Read and not yet durable.
    pub(super) fn in_flight_bytes(&self) -> usize {
        self.in_flight.bytes() + self.batch.bytes()
    }

    /// Makes a change after which reading may go on: the peer could not be heard before, so its silence counts from now.
    pub(super) fn resuming<T>(&mut self, now: Instant, change: impl FnOnce(&mut Self) -> T) -> T {
        let was_reading = self.takes_bytes();
        let had_output = !self.out.is_empty();
        let result = change(self);
        if !was_reading && self.takes_bytes() {
            self.heard_at = now;
        }
        if !had_output {
            self.out_moved_at = now;
        }
        result
    }

    pub(super) fn stall_at(&self) -> Option<Instant> {
        (!self.out.is_empty() && self.is_reading()).then(|| self.out_moved_at + OUTPUT_STALL_MAX)
    }

    /// The buffer, to write to at `now`.
    pub(super) fn speak(&mut self, now: Instant) -> &mut BytesMut {
        if self.out.is_empty() {
            self.out_moved_at = now;
        }
        self.sent_at = now;
        &mut self.out
    }

    /// What changed in `kept` is to go with the next batch.
    pub(super) fn kept_changed(&mut self) {
        if self.keeps {
            self.batch.set_state(Some(self.kept.to_bytes()));
        }
    }

    /// Has just read so much.
    pub(super) fn spent(&mut self, messages: usize, bytes: usize, now: Instant) {
        self.rate.take(messages, bytes, now);
        self.slowed_until = self.rate.ready_at();
    }

    /// Time has passed.
    pub(super) fn resume_if_due(&mut self, now: Instant) {
        if self.slowed_until.is_some_and(|until| now >= until) {
            self.resuming(now, |core| core.slowed_until = None);
        }
    }

    pub(super) fn on_publish(&mut self, mut publish: Publish, received: Stamp) -> Result<(), Close> {
        self.messages += 1;
        if let Some(alias) = publish.alias {
            publish.topic = self.aliases.resolve(alias, &publish.topic)?;
        }
        if !topics::is_name(&publish.topic) {
            return Err(Close::TopicInvalid);
        }
        if publish.qos > 0 {
            // Those of an earlier connection count for none, but take room until they are released.
            if self.under_way.max(self.kept.taken_count()) >= self.receive_max {
                return Err(Close::ReceiveMaximum);
            }
            self.under_way += 1;
        }
        if let Some(grant) = &mut self.grant
            && !grant.may_publish(&publish.topic)
        {
            return self.refuse(&publish);
        }
        match publish.qos {
            0 => {}
            1 => self.batch.reply(Reply::ack(publish.packet_id)),
            _ => {
                self.batch.reply(Reply::rec(publish.packet_id));
                if !self.kept.take(publish.packet_id) {
                    // It is stored, or on its way there: the peer has not had our PUBREC.
                    return Ok(());
                }
                self.kept_changed();
            }
        }
        self.batch.push(Record {
            door: self.door,
            flags: Flags { qos: publish.qos, retained: publish.retained, redelivered: publish.redelivered },
            received,
            topic: publish.topic,
            payload: publish.payload,
            content_type: publish.content_type,
            table: Bytes::new(),
        });
        Ok(())
    }

    /// 3.1.1 has no word for a refusal, and a PUBACK would say that the message is stored.
    fn refuse(&mut self, publish: &Publish) -> Result<(), Close> {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        match (self.version, publish.qos) {
            (MqttVersion::V311, 1 | 2) => return Err(Close::NotAllowed(topic)),
            (MqttVersion::V5, 1) => self.batch.reply(Reply::ack(publish.packet_id).because(Reply::NOT_AUTHORIZED)),
            (MqttVersion::V5, 2) => self.batch.reply(Reply::rec(publish.packet_id).because(Reply::NOT_AUTHORIZED)),
            (MqttVersion::V311 | MqttVersion::V5, _) => {}
        }
        self.news.push_back(Action::Refused(Refused::NotAllowed { topic }));
        Ok(())
    }

    /// The peer has our PUBREC: the id is free once that is durable.
    pub(super) fn on_pub_rel(&mut self, packet_id: u16) {
        let known = self.kept.release(packet_id);
        if known {
            self.kept_changed();
        }
        let reply = Reply::comp(packet_id);
        self.batch.reply(if known { reply } else { reply.because(Reply::ID_NOT_FOUND) });
    }

    /// A PUBLISH that is too long to be taken came from a broker: it would come again and again, so it is answered as if
    /// it were taken, thrown away and told of. `false`: its beginning is not there yet.
    pub(super) fn begin_skip(&mut self, bytes: &[u8], packet_bytes: usize) -> Result<bool, Close> {
        let Some(head) = wire::peek_head(bytes, packet_bytes)? else { return Ok(false) };
        match head.qos {
            0 => {}
            1 => self.batch.reply(Reply::ack(head.packet_id)),
            _ => {
                self.kept.take(head.packet_id);
                self.kept_changed();
                self.batch.reply(Reply::rec(head.packet_id));
            }
        }
        self.skip_bytes = packet_bytes;
        let refused = Refused::TooLarge { topic: head.topic, bytes: packet_bytes, max: self.packet_max_bytes };
        self.news.push_back(Action::Refused(refused));
        Ok(true)
    }

    /// Throws away what is there of a packet that is skipped.
    pub(super) fn skip(&mut self, buffer: &mut BytesMut) {
        let bytes = self.skip_bytes.min(buffer.len());
        buffer.advance(bytes);
        self.skip_bytes -= bytes;
    }
}

/// v5: what the peer's topic aliases stand for.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    topics: Vec<Bytes>,
    bytes: usize,
}

impl Aliases {
    /// All topics of one connection together, bytes.
    const MAX_BYTES: usize = 4 * 1024;

    pub(super) fn new(max: u16) -> Self {
        Self { topics: vec![Bytes::new(); usize::from(max)], bytes: 0 }
    }

    /// The topic meant by a PUBLISH with this alias; one that comes with it is remembered.
    fn resolve(&mut self, alias: u16, topic: &Bytes) -> Result<Bytes, Close> {
        let place = usize::from(alias).checked_sub(1).and_then(|at| self.topics.get_mut(at));
        let place = place.ok_or(Close::TopicAlias)?;
        if topic.is_empty() {
            return if place.is_empty() { Err(Close::TopicAlias) } else { Ok(place.clone()) };
        }
        if *place != topic {
            self.bytes = self.bytes - place.len() + topic.len();
            if self.bytes > Self::MAX_BYTES {
                return Err(Close::TopicAlias);
            }
            // A copy, because a slice would hold all that was read with it.
            *place = Bytes::copy_from_slice(topic);
        }
        Ok(topic.clone())
    }
}

/// The first `end` bytes. A well filled buffer is handed on as it is; of a roomy one the records would hold the whole
/// allocation until they are stored, so they get their own.
pub(super) fn take_chunk(buffer: &mut BytesMut, end: usize) -> Bytes {
    if 2 * end >= buffer.capacity() {
        return buffer.split_to(end).freeze();
    }
    let chunk = Bytes::copy_from_slice(&buffer[..end]);
    buffer.advance(end);
    chunk
}
