//! Records to messages: topic, and the payload untouched.

use std::sync::Arc;

use firmware_protocol::decode::Decoder;
use firmware_protocol::derived::Derived;
use firmware_protocol::measurement::ClockTrust;

use super::template::{Placeholder, TopicTemplate};
use super::{Batch, MqttSinkConfig};
use crate::clock::SharedClockMap;
use crate::forward::lines::{derived, topic};
use crate::forward::{Encoder, Kind, Labels, Times, Undeliverable};
use crate::publisher::Message;
use crate::queue::{Log, QueueSeq, Record};

/// Of a PUBLISH: first byte, lengths, packet id.
const PACKET_OVERHEAD_BYTES: u64 = 9;

pub(in crate::forward) struct MqttEncoder {
    decoder: Arc<Decoder>,
    clock: SharedClockMap,
    gateway: String,
    topic: TopicTemplate,
    raw_topic: TopicTemplate,
    retain: Vec<Kind>,
    payload_max_bytes: usize,
    messages: Vec<Message>,
    bytes: u64,
}

impl MqttEncoder {
    pub(in crate::forward) fn new(
        config: &MqttSinkConfig,
        decoder: Arc<Decoder>,
        clock: SharedClockMap,
        labels: &Labels,
    ) -> Self {
        Self {
            decoder,
            clock,
            gateway: labels.gateway.clone(),
            topic: config.topic.clone(),
            raw_topic: config.raw_topic.clone(),
            retain: config.retain.clone(),
            payload_max_bytes: config.payload_max_bytes,
            messages: Vec::new(),
            bytes: 0,
        }
    }

    fn topic_of_raw(&self, record: &Record) -> Result<String, Undeliverable> {
        let topic = topic(record)?;
        let device = self.decoder.device_of(topic, &record.payload, record.content_type());
        Ok(self.raw_topic.render(|name| match name {
            Placeholder::Gateway => &self.gateway,
            Placeholder::Log => Kind::Raw.name(),
            Placeholder::Device => &device,
            Placeholder::Topic => topic,
            Placeholder::Channel => "",
        }))
    }

    fn topic_of(&self, kind: Kind, derived: &Derived) -> String {
        let channel = match derived {
            Derived::Window(w) => &w.channel,
            Derived::Anomaly(a) => &a.channel,
            Derived::Incident(i) => &i.evidence.channel,
            Derived::Gap(_) => "",
        };
        self.topic.render(|name| match name {
            Placeholder::Gateway => &self.gateway,
            Placeholder::Log => kind.name(),
            Placeholder::Device => derived.device(),
            Placeholder::Channel => channel,
            Placeholder::Topic => "",
        })
    }
}

impl Encoder for MqttEncoder {
    type Batch = Batch;

    fn push(&mut self, log: Log, _: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        let (length, limit) = (record.payload.len(), self.payload_max_bytes);
        if length > limit {
            let detail = format!("payload of {length} bytes, limit is {limit}");
            return Err(Undeliverable { reason: "too_large", detail });
        }
        let (kind, topic, times) = match log {
            Log::Raw => {
                let is_marked = self.clock.resolve(record.received).clock != ClockTrust::Set;
                (Kind::Raw, self.topic_of_raw(record)?, Times { is_marked, ..Times::default() })
            }
            Log::Derived => {
                let derived = derived(record)?;
                let kind = Kind::of(&derived);
                (kind, self.topic_of(kind, &derived), Times::default())
            }
        };
        self.bytes += (topic.len() + length) as u64 + PACKET_OVERHEAD_BYTES;
        self.messages.push(Message { topic, payload: record.payload.clone(), retain: self.retain.contains(&kind) });
        Ok(times)
    }

    fn pending_bytes(&self) -> usize {
        self.bytes as usize
    }

    fn take(&mut self) -> Option<Batch> {
        let bytes = std::mem::take(&mut self.bytes);
        let messages = std::mem::take(&mut self.messages);
        (!messages.is_empty()).then(|| Batch { messages: messages.into(), bytes })
    }
}
